#include "store/push/spools.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/fd.h"
#include "shared/base/ulid.h"

static const char *const FILES[] = { "data.mdb", "lock.mdb", "writer.lock", "to",
                                     "owner",    "peers",    "peers.new" };

static char *
join(const char *a, const char *b)
{
    struct dz_buf path = { 0 };
    dz_buf_addf(&path, "%s/%s", a, b);
    dz_buf_add(&path, "", 1);
    return (char *) path.data;
}

char *
spool_dir_path(const char *home, const char *name)
{
    DZ_AUTO(dz_free) char *parent = join(home, "spool");
    return *name ? join(parent, name) : dz_move(parent);
}

/* ---- one folder ---- */

static enum dz_rc
make_folder(const char *path, struct dz_err *err)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return dz_fail_errno(err, "make '%s'", path);
    return DZ_OK;
}

/* *owner_out stays -1 where nothing can be written: a copy on a medium that is read-only. */
static enum dz_rc
lock_owner(const char *path, int *owner_out, struct dz_err *err)
{
    DZ_AUTO(dz_free) char *name = join(path, "owner");
    DZ_AUTO(dz_fd_close) int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 && (errno == EROFS || errno == EACCES))
        return DZ_OK;
    if (fd < 0)
        return dz_fail_errno(err, "open '%s'", name);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        return dz_fail(err, DZ_AGAIN, "'%s' is in use: its run is not over, or it is being sent",
                       path);
    *owner_out = dz_fd_move(&fd);
    return DZ_OK;
}

static enum dz_rc
write_to(const char *path, const char *to, struct dz_err *err)
{
    DZ_AUTO(dz_free) char *name = join(path, "to");
    DZ_AUTO(dz_fd_close)
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return dz_fail_errno(err, "write '%s'", name);
    enum dz_rc rc = dz_fd_write_all(fd, dz_str(to), err);
    return rc == DZ_OK ? dz_fd_write_all(fd, dz_str("\n"), err) : rc;
}

static void
read_to(struct spool_dir *self)
{
    struct dz_err unused;
    DZ_AUTO(dz_free) char *name = join(self->path, "to");
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    if (dz_fd_read_file(name, SPOOL_TO_MAX - 1, &text, &unused) != DZ_OK)
        text.len = 0; /* then it is for whoever takes it */
    dz_buf_add(&text, "", 1);
    (void) snprintf(self->to, sizeof(self->to), "%.*s", (int) strcspn((char *) text.data, "\r\n"),
                    (char *) text.data);
}

enum dz_rc
spool_dir_make(const char *home, const char *name, const char *to, struct spool_dir *out,
               struct dz_err *err)
{
    DZ_AUTO(spool_dir_close) struct spool_dir self = SPOOL_DIR_NONE;
    DZ_AUTO(dz_free) char *parent = join(home, "spool");
    self.path = spool_dir_path(home, name);
    (void) snprintf(self.ulid, sizeof(self.ulid), "%.*s", STORE_ULID_LEN, name);
    (void) snprintf(self.to, sizeof(self.to), "%s", to);
    enum dz_rc rc = make_folder(home, err);
    if (rc == DZ_OK)
        rc = make_folder(parent, err);
    if (rc == DZ_OK)
        rc = make_folder(self.path, err);
    if (rc == DZ_OK)
        rc = lock_owner(self.path, &self.owner, err);
    if (rc == DZ_OK)
        rc = write_to(self.path, to, err);
    if (rc == DZ_OK)
        rc = store_open_in(self.path, STORE_NEW, &self.store, err);
    if (rc != DZ_OK)
        return rc;
    *out = self;
    self = SPOOL_DIR_NONE;
    return DZ_OK;
}

/* The one job that is in it, whatever the folder is called now. */
static enum dz_rc
find_job(struct spool_dir *self, struct dz_err *err)
{
    struct store_job_list jobs = { 0 };
    enum dz_rc rc = store_jobs(self->store, NULL, 1, 0, &jobs, err);
    if (rc == DZ_OK && jobs.count == 0)
        rc = dz_fail(err, DZ_ABSENT, "there is no job in '%s'", self->path);
    if (rc == DZ_OK)
        (void) snprintf(self->ulid, sizeof(self->ulid), "%s", jobs.jobs[0].ulid);
    store_job_list_fini(&jobs);
    return rc;
}

enum spool_kind
spool_dir_look(const char *path)
{
    DZ_AUTO(dz_free) char *data = join(path, "data.mdb");
    DZ_AUTO(dz_free) char *owner = join(path, "owner");
    if (access(data, F_OK) == 0)
        return SPOOL_WHOLE;
    return access(owner, F_OK) == 0 ? SPOOL_HUSK : SPOOL_NONE;
}

enum dz_rc
spool_dir_open(const char *path, enum store_mode mode, struct spool_dir *out, struct dz_err *err)
{
    DZ_AUTO(spool_dir_close) struct spool_dir self = SPOOL_DIR_NONE;
    if (spool_dir_look(path) != SPOOL_WHOLE)
        return dz_fail(err, DZ_ABSENT, "'%s' is no spool: there is no data.mdb in it", path);
    self.path = dz_strdup(path);
    enum dz_rc rc = lock_owner(path, &self.owner, err);
    if (rc == DZ_OK)
        rc = store_open_in(path, mode, &self.store, err);
    if (rc == DZ_OK)
        rc = find_job(&self, err);
    if (rc != DZ_OK)
        return rc;
    read_to(&self);
    *out = self;
    self = SPOOL_DIR_NONE;
    return DZ_OK;
}

void
spool_dir_close(struct spool_dir *self)
{
    store_close(&self->store);
    dz_fd_close(&self->owner);
    free(self->path);
    *self = SPOOL_DIR_NONE;
}

void
spool_dir_remove(struct spool_dir *self)
{
    store_close(&self->store);
    for (size_t i = 0; i < DZ_LEN(FILES); i++) {
        DZ_AUTO(dz_free) char *name = join(self->path, FILES[i]);
        (void) unlink(name); /* not all of them are there */
    }
    (void) rmdir(self->path); /* something else is in it: then it stays */
    spool_dir_close(self);
}

/* ---- all of them ---- */

static int
by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}

/* <long id> or <long id>.<node>; an agent's journal beside it is called otherwise. */
static bool
is_name(const char *name)
{
    struct dz_slice id = dz_str(name);
    if (id.len > DZ_ULID_LEN && (name[DZ_ULID_LEN] != '.' || strchr(name, '-')))
        return false;
    id.len = id.len < DZ_ULID_LEN ? id.len : DZ_ULID_LEN;
    return dz_ulid_read(id, NULL);
}

size_t
spool_dirs(const char *parent, char ***paths_out)
{
    DIR *dir = opendir(parent);
    char **paths = NULL;
    size_t count = 0;
    *paths_out = NULL;
    if (!dir)
        return 0;
    for (struct dirent *item = readdir(dir); item && count < SPOOLS_MAX; item = readdir(dir)) {
        if (!is_name(item->d_name))
            continue;
        paths = dz_realloc(paths, count + 1, sizeof(*paths));
        paths[count++] = join(parent, item->d_name);
    }
    (void) closedir(dir);
    if (count > 0)
        qsort(paths, count, sizeof(*paths), by_name);
    *paths_out = paths;
    return count;
}

void
spool_dirs_free(char **paths, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(paths[i]);
    free(paths);
}
