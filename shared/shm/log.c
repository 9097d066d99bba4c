/* log.c - a worker's output: from its pseudo-terminal into one file, by either side.
 *
 * Whoever holds drain_lock appends at log_len and then moves log_len.  A holder may be killed
 * between the two; whoever takes the lock from a dead one therefore believes the file's length and
 * not log_len.  The lock is held for microseconds, unless its holder is stopped. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/fd.h"
#include "shared/shm/shm.h"

enum {
    PIECE = 16384,
    DRAIN_MAX = 4 << 20,       /* bytes of one drain: a flood must not keep the caller for ever */
    WAIT_FIRST_NS = 20 * 1000, /* between looks at a lock that somebody holds */
    WAIT_LAST_NS = 2000 * 1000,
    WAIT_MS = 15 * 1000, /* longer than it takes to replace an agent that hangs */
};

/* A process that was killed and not yet waited for still answers kill(); it holds nothing. */
static bool
is_zombie(uint32_t pid)
{
    char path[40], text[512];
    (void) snprintf(path, sizeof(path), "/proc/%u/stat", pid);
    DZ_AUTO(dz_fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t len = read(fd, text, sizeof(text) - 1);
    if (len <= 0)
        return false;
    text[len] = '\0';
    const char *name_end = strrchr(text, ')'); /* "pid (name) state": a name may hold anything */
    return name_end && (strncmp(name_end, ") Z", 3) == 0 || strncmp(name_end, ") X", 3) == 0);
}

static bool
is_dead(uint32_t pid)
{
    if (pid > INT32_MAX)
        return true; /* scribbled: no process has this number */
    if (kill((pid_t) pid, 0) != 0)
        return errno == ESRCH;
    return is_zombie(pid);
}

static void
believe_the_file(struct dz_shm *self, int log)
{
    struct stat info;
    if (fstat(log, &info) == 0 && info.st_size >= 0)
        atomic_store(&self->log_len, (uint64_t) info.st_size);
}

static bool
lock(struct dz_shm *self, int log)
{
    uint32_t mine = (uint32_t) getpid();
    uint32_t holder = 0;
    if (atomic_compare_exchange_strong(&self->drain_lock, &holder, mine))
        return true;
    if (!is_dead(holder) || !atomic_compare_exchange_strong(&self->drain_lock, &holder, mine))
        return false;
    believe_the_file(self, log);
    return true;
}

static void
unlock(struct dz_shm *self)
{
    atomic_store(&self->drain_lock, 0);
}

/* With the lock held. */
static enum dz_rc
append(struct dz_shm *self, int log, struct dz_slice bytes)
{
    uint64_t at = atomic_load(&self->log_len);
    while (bytes.len > 0) {
        ssize_t n = pwrite(log, bytes.ptr, bytes.len, (off_t) at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 && (errno == ENOSPC || errno == EFBIG) ? DZ_FULL : DZ_IO;
        at += (uint64_t) n;
        bytes.ptr += n;
        bytes.len -= (size_t) n;
    }
    atomic_store(&self->log_len, at);
    return DZ_OK;
}

/* With the lock held. */
static enum dz_rc
drain(struct dz_shm *self, int master, int log, size_t *moved_out)
{
    uint8_t piece[PIECE];
    while (*moved_out < DRAIN_MAX) {
        ssize_t n = read(master, piece, sizeof(piece));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return DZ_OK; /* EAGAIN: nothing more now; EIO and 0: no writer is left */
        enum dz_rc rc = append(self, log, (struct dz_slice){ piece, (size_t) n });
        if (rc != DZ_OK)
            return rc;
        *moved_out += (size_t) n;
    }
    return DZ_OK;
}

enum dz_rc
dz_log_drain(struct dz_shm *self, int master, int log, size_t *moved_out)
{
    size_t moved = 0;
    if (!lock(self, log))
        return DZ_AGAIN;
    enum dz_rc rc = drain(self, master, log, &moved);
    unlock(self);
    if (moved_out)
        *moved_out = moved;
    return rc;
}

static bool
lock_patiently(struct dz_shm *self, int log)
{
    if (lock(self, log))
        return true;
    dz_ms deadline = dz_clock_ms() + WAIT_MS;
    struct timespec pause = { .tv_nsec = WAIT_FIRST_NS };
    while (dz_clock_ms() < deadline) {
        (void) nanosleep(&pause, NULL); /* a signal only makes us look sooner */
        if (lock(self, log))
            return true;
        pause.tv_nsec = pause.tv_nsec * 2 < WAIT_LAST_NS ? pause.tv_nsec * 2 : WAIT_LAST_NS;
    }
    return false;
}

enum dz_rc
dz_log_append(struct dz_shm *self, int master, int log, struct dz_slice text, uint64_t *at_out)
{
    size_t moved = 0;
    bool is_locked = lock_patiently(self, log);
    enum dz_rc rc = is_locked ? drain(self, master, log, &moved) : DZ_IO;
    *at_out = atomic_load(&self->log_len);
    if (rc == DZ_OK)
        rc = append(self, log, text);
    if (is_locked)
        unlock(self);
    return rc;
}
