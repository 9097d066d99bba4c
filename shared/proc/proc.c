#include "shared/proc/proc.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* glibc wraps these from 2.36 on; older ones are still about */
enum dz_rc
dz_pidfd_open(pid_t pid, int *fd_out, struct dz_err *err)
{
    int fd = (int) syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0 && (errno == ESRCH || errno == EINVAL))
        return dz_fail(err, DZ_ABSENT, "there is no process %d", (int) pid);
    if (fd < 0)
        return dz_fail_errno(err, "watch process %d", (int) pid);
    *fd_out = fd;
    return DZ_OK;
}

bool
dz_pidfd_has_ended(int pidfd)
{
    struct pollfd polled = { .fd = pidfd, .events = POLLIN };
    return poll(&polled, 1, 0) > 0;
}

bool
dz_pidfd_signal(int pidfd, int number)
{
    return syscall(SYS_pidfd_send_signal, pidfd, number, NULL, 0) == 0;
}

void
dz_group_signal(pid_t leader, int number)
{
    if (leader > 1)
        (void) kill(-leader, number); /* nobody left in it is what we want */
}

const char *
dz_signal_name(int number, char space[static 32])
{
    const char *abbreviation = number > 0 && number < NSIG ? sigabbrev_np(number) : NULL;
    if (abbreviation)
        (void) snprintf(space, 32, "SIG%s", abbreviation);
    else
        (void) snprintf(space, 32, "signal %d", number);
    return space;
}
