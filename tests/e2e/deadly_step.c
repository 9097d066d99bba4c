/* deadly_step.c - loaded into an agent: its machine dies when the agent logs DEADLY_STEP for the
 * DEADLY_NTH time.  DEADLY_ALONE: only the agent does. */
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
die_at(const void *bytes, size_t len)
{
    static long seen;
    const char *step = getenv("DEADLY_STEP"), *nth = getenv("DEADLY_NTH");
    if (!step || !nth || !memmem(bytes, len, step, strlen(step)) || ++seen != atol(nth))
        return;
    if (!getenv("DEADLY_ALONE"))
        kill(getppid(), SIGKILL);
    kill(getpid(), SIGKILL);
}

ssize_t
write(int fd, const void *bytes, size_t len)
{
    ssize_t (*real)(int, const void *, size_t) =
        (ssize_t(*)(int, const void *, size_t)) dlsym(RTLD_NEXT, "write");
    ssize_t wrote = real(fd, bytes, len);
    die_at(bytes, len);
    return wrote;
}
