/* stuck_disk.c - loaded into an agent: one sync takes STUCK_MS, in a state that looks to others as a
 * wait for a disk does.  It begins when the file STUCK_WHEN is there. */
#include <dlfcn.h>
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
    return sync(fd);
}
