/* folder.c - see folder.h. */
#include "vassal/io/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/buf.h"
#include "shared/base/fd.h"

enum {
    TRIES = 100,      /* to lock a folder that others take away at the same time */
    STALE_MAX = 64,   /* abandoned folders looked at in one folder_sweep */
    RUNTIME_MAX = 60, /* bytes of XDG_RUNTIME_DIR: a socket below it has at most 107 */
};

/* ------------------------------------------------------------------ files */

char *
folder_path(const char *folder, const char *fmt, ...)
{
    char name[64];
    va_list args;
    va_start(args, fmt);
    (void) vsnprintf(name, sizeof(name), fmt, args);
    va_end(args);
    DZ_AUTO(dz_buf_fini) struct dz_buf path = { 0 };
    dz_buf_addf(&path, "%s/%s", folder, name);
    return dz_slice_dup(dz_buf_slice(&path));
}

bool
folder_set_lock(int fd, short type)
{
    struct flock lock = { .l_type = type, .l_whence = SEEK_SET };
    int rc;
    do
        rc = fcntl(fd, type == F_UNLCK ? F_OFD_SETLK : F_OFD_SETLKW, &lock);
    while (rc != 0 && errno == EINTR);
    return rc == 0;
}

static bool
is_locked_by_another(int fd)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* ------------------------------------------------------------------ the root */

/* Ours and nobody else's.  A link would lead who knows where, so it is refused too. */
enum dz_rc
folder_make_private(const char *path, struct dz_err *err)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return dz_fail_errno(err, "make %s", path);
    struct stat st;
    if (lstat(path, &st) != 0)
        return dz_fail_errno(err, "look at %s", path);
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid())
        return dz_fail(err, DZ_REFUSED, "%s is not a folder of this user", path);
    if (st.st_mode & 077)
        return dz_fail(err, DZ_REFUSED, "%s is open to other users (its mode is %03o, not 700)",
                       path, (unsigned) st.st_mode & 0777U);
    return DZ_OK;
}

char *
folder_root(void)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR"); /* NOLINT(concurrency-mt-unsafe): one thread */
    bool is_fit =
        runtime && *runtime == '/' && strlen(runtime) <= RUNTIME_MAX && access(runtime, W_OK) == 0;
    DZ_AUTO(dz_buf_fini) struct dz_buf path = { 0 };
    if (is_fit)
        dz_buf_addf(&path, "%s/dagz", runtime);
    else
        dz_buf_addf(&path, "/tmp/dagz-%u", (unsigned) geteuid());
    return dz_slice_dup(dz_buf_slice(&path));
}

/* ------------------------------------------------------------------ the lock */

/* Whoever leaves last takes the lock's file away.  One that is gone by the time that we have it is
 * nobody's lock: again.  -1: cannot be locked, or, unless it is to be made, is not there. */
int
folder_lock(const char *folder, const char *name, bool is_made)
{
    DZ_AUTO(dz_free) char *path = folder_path(folder, "%s", name);
    for (int i = 0; i < TRIES; i++) {
        if (is_made && mkdir(folder, 0700) != 0 && errno != EEXIST)
            return -1;
        DZ_AUTO(dz_fd_close) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        struct stat held, named;
        if (fd < 0 && errno == ENOENT && is_made)
            continue; /* the folder went away in between */
        if (fd < 0 || !folder_set_lock(fd, F_WRLCK))
            return -1;
        if (fstat(fd, &held) == 0 && stat(path, &named) == 0 && held.st_ino == named.st_ino)
            return dz_fd_move(&fd);
    }
    return -1;
}

/* ------------------------------------------------------------------ members */

bool
folder_is_alive(const char *folder, uint64_t node)
{
    DZ_AUTO(dz_free) char *path = folder_path(folder, "%016" PRIx64 ".node", node);
    DZ_AUTO(dz_fd_close) int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    return fd >= 0 && is_locked_by_another(fd);
}

/* The number in "<node>.node"; 0: another file. */
static uint64_t
node_of_name(const char *name)
{
    char *end = NULL;
    uint64_t node = strlen(name) == FOLDER_NAME_LEN + 5 ? strtoull(name, &end, 16) : 0;
    return end == name + FOLDER_NAME_LEN && strcmp(end, ".node") == 0 ? node : 0;
}

typedef bool member_fn(void *arg, uint64_t node); /* false: enough */

static void
each_member(const char *folder, member_fn *fn, void *arg)
{
    DIR *dir = opendir(folder);
    bool goes_on = dir != NULL;
    while (goes_on) {
        const struct dirent *entry = readdir(dir); /* NOLINT(concurrency-mt-unsafe): our own DIR */
        uint64_t node = entry ? node_of_name(entry->d_name) : 0;
        goes_on = entry && (node == 0 || fn(arg, node));
    }
    if (dir)
        (void) closedir(dir);
}

/* Does anybody but `except` live here?  The first who does is enough.  Files of the dead go on the way. */
struct census {
    const char *folder;
    uint64_t except;
    bool is_inhabited;
};

static bool
count_one(void *arg, uint64_t node)
{
    struct census *self = arg;
    if (node == self->except)
        return true;
    if (folder_is_alive(self->folder, node)) {
        self->is_inhabited = true;
        return false;
    }
    DZ_AUTO(dz_free) char *file = folder_path(self->folder, "%016" PRIx64 ".node", node);
    DZ_AUTO(dz_free) char *sock = folder_path(self->folder, "%016" PRIx64 ".sock", node);
    (void) unlink(file);
    (void) unlink(sock);
    return true;
}

/* With the lock held. */
bool
folder_is_inhabited(const char *folder, uint64_t except)
{
    struct census census = { .folder = folder, .except = except };
    each_member(folder, count_one, &census);
    return census.is_inhabited;
}

/* With the lock held, when nobody lives here any more. */
void
folder_remove(const char *folder)
{
    static const char *const names[] = { "state",     "state.new",  "lease",
                                         "lease.new", "lease.lock", "lock" };
    for (size_t i = 0; i < DZ_LEN(names); i++) {
        DZ_AUTO(dz_free) char *path = folder_path(folder, "%s", names[i]);
        (void) unlink(path);
    }
    (void) rmdir(folder); /* somebody may be entering: then it stays, and is theirs */
}

/* Rooms whose members were all killed. */
void
folder_sweep(const char *root, const char *except)
{
    DIR *dir = opendir(root);
    for (int i = 0; dir && i < STALE_MAX; i++) {
        const struct dirent *entry = readdir(dir); /* NOLINT(concurrency-mt-unsafe): our own DIR */
        if (!entry)
            break;
        if (strlen(entry->d_name) != FOLDER_NAME_LEN || strcmp(entry->d_name, except) == 0)
            continue;
        DZ_AUTO(dz_free) char *folder = folder_path(root, "%s", entry->d_name);
        DZ_AUTO(dz_fd_close) int lock = folder_lock(folder, "lock", false);
        if (lock >= 0 && !folder_is_inhabited(folder, 0))
            folder_remove(folder);
    }
    if (dir)
        (void) closedir(dir);
}
