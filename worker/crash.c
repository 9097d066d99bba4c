#include "worker/crash.h"

#include <execinfo.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { DEPTH = 32, SKIPPED_FRAMES = 1 };

/* A signal handler has no other way to know. */
static int crash_fd = -1;

static const int fatal_signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };

static void
say(const char *text)
{
    ssize_t ignored = write(crash_fd, text, strlen(text)); /* nothing is left to be done */
    (void) ignored;
}

static void
on_fatal_signal(int number)
{
    void *frames[DEPTH];
    say("Native stack (most recent call first):\n");
    int depth = backtrace(frames, DEPTH);
    if (depth > SKIPPED_FRAMES)
        backtrace_symbols_fd(frames + SKIPPED_FRAMES, depth - SKIPPED_FRAMES, crash_fd);
    (void) raise(number); /* SA_RESETHAND put the default action back */
}

enum dz_rc
crash_handlers_install(int fd, struct dz_err *err)
{
    void *frame;
    (void) backtrace(&frame, 1); /* loads libgcc now: a handler must not allocate */
    crash_fd = fd;
    struct sigaction action = { .sa_handler = on_fatal_signal,
                                .sa_flags = (int) (SA_RESETHAND | SA_NODEFER | SA_ONSTACK) };
    (void) sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < DZ_LEN(fatal_signals); i++) {
        if (sigaction(fatal_signals[i], &action, NULL) != 0)
            return dz_fail_errno(err, "install a handler for signal %d", fatal_signals[i]);
    }
    return DZ_OK;
}
