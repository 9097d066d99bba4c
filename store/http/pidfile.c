/* pidfile.c - one daemon for one home. */
#include "store/http/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/fd.h"

enum { TRIES = 16 };

static char *
path_of(const char *home)
{
    char *path = NULL;
    return asprintf(&path, "%s/local.env/daemon.pid", home) < 0 ? NULL : path;
}

static enum dz_rc
fail_home(const char *what, struct dz_err *err)
{
    bool is_denied = errno == EACCES || errno == EROFS || errno == EPERM;
    enum dz_rc rc = errno == ENOSPC || errno == EDQUOT ? DZ_FULL : DZ_IO;
    (void) dz_fail_errno(err, "write '%s'", what);
    return is_denied ? DZ_REFUSED : rc;
}

static enum dz_rc
make_home(const char *home, struct dz_err *err)
{
    DZ_AUTO(dz_free) char *dir = NULL;
    if (asprintf(&dir, "%s/local.env", home) < 0)
        return dz_fail(err, DZ_IO, "out of memory");
    for (char *p = dir + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        (void) mkdir(dir, 0700); /* the last one tells */
        *p = '/';
    }
    return mkdir(dir, 0700) == 0 || errno == EEXIST ? DZ_OK : fail_home(dir, err);
}

static bool
read_it(int fd, struct daemon_status *out)
{
    char text[DZ_URL_MAX + 32];
    ssize_t len = pread(fd, text, sizeof(text) - 1, 0);
    if (len <= 0)
        return false;
    text[len] = '\0';
    char *end = NULL;
    out->pid = strtol(text, &end, 10);
    if (out->pid <= 0 || *end != '\n')
        return false;
    end[1 + strcspn(end + 1, "\n")] = '\0';
    (void) snprintf(out->url, sizeof(out->url), "%s", end + 1);
    return true;
}

/* Is the descriptor still the file at that path?  Its last owner may have removed it. */
static bool
is_there(int fd, const char *path)
{
    struct stat mine, there;
    return fstat(fd, &mine) == 0 && stat(path, &there) == 0 && mine.st_ino == there.st_ino &&
           mine.st_dev == there.st_dev;
}

void
daemon_look(const char *home, struct daemon_status *out)
{
    DZ_AUTO(dz_free) char *path = path_of(home);
    DZ_AUTO(dz_fd_close) int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    *out = (struct daemon_status){ .is_running = false };
    if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return;
    out->is_running = true;
    if (!read_it(fd, out))
        out->pid = 0; /* it is starting */
}

enum dz_rc
pidfile_take(const char *home, int *fd_out, struct dz_err *err)
{
    enum dz_rc rc = make_home(home, err);
    DZ_AUTO(dz_free) char *path = path_of(home);
    for (int tries = 0; rc == DZ_OK && tries < TRIES; tries++) {
        DZ_AUTO(dz_fd_close) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0)
            return fail_home(path, err);
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            struct daemon_status status = { .pid = 0 };
            (void) read_it(fd, &status);
            return dz_fail(err, DZ_EXISTS, "a daemon is running already: pid %ld, %s", status.pid,
                           status.url[0] ? status.url : "starting");
        }
        if (!is_there(fd, path))
            continue;
        if (ftruncate(fd, 0) != 0)
            return fail_home(path, err);
        *fd_out = dz_fd_move(&fd);
        return DZ_OK;
    }
    return rc == DZ_OK ? dz_fail(err, DZ_AGAIN, "'%s' comes and goes", path) : rc;
}

enum dz_rc
pidfile_write(int fd, const char *url, struct dz_err *err)
{
    char text[DZ_URL_MAX + 32];
    (void) snprintf(text, sizeof(text), "%ld\n%s\n", (long) getpid(), url);
    return dz_fd_write_all(fd, dz_str(text), err);
}

void
pidfile_release(const char *home, int *fd_p)
{
    DZ_AUTO(dz_free) char *path = path_of(home);
    if (*fd_p < 0)
        return;
    if (path)
        (void) unlink(path); /* one that stays is stale */
    dz_fd_close(fd_p);
}
