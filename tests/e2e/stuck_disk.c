/* stuck_disk.c - loaded into an agent, whose disk is slow then.
 *
 * One sync takes STUCK_MS, in a state that looks to others as a wait for a disk does; it begins when
 * the file STUCK_WHEN is there.  Or every sync takes SLOW_MS, and adds a byte to the file SLOW_LOG. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* A parent of vfork() is in uninterruptible sleep until its child has ended. */
static void
be_stuck(long ms)
{
    struct timespec left = { ms / 1000, ms % 1000 * 1000000 };
    if (vfork() == 0) {
        nanosleep(&left, NULL);
        _exit(0);
    }
}

static void
be_slow(long ms, const char *log)
{
    struct timespec left = { ms / 1000, ms % 1000 * 1000000 };
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, ".", 1) != 1)
        abort();
    close(fd);
    nanosleep(&left, NULL);
}

int
fdatasync(int fd)
{
    static int was_stuck;
    int (*sync)(int) = (int (*)(int)) dlsym(RTLD_NEXT, "fdatasync");
    const char *when = getenv("STUCK_WHEN"), *ms = getenv("STUCK_MS");
    if (when && ms && !was_stuck && access(when, F_OK) == 0) {
        was_stuck = 1;
        be_stuck(atol(ms));
    }
    const char *slow = getenv("SLOW_MS"), *log = getenv("SLOW_LOG");
    if (slow && log)
        be_slow(atol(slow), log);
    return sync(fd);
}
