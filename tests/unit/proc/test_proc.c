#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/fd.h"
#include "shared/proc/proc.h"
#include "tests/unit/unit.h"

/* A child that waits for ever; *line is readable until its end, and that of all its kin. */
static pid_t
fork_idler(int *line, void (*before)(void))
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void) close(ends[0]);
        (void) signal(SIGTERM, SIG_DFL);
        if (before)
            before();
        (void) !write(ends[1], "x", 1);
        for (;;)
            (void) pause();
    }
    (void) close(ends[1]);
    char byte;
    assert_int_equal(read(ends[0], &byte, 1), 1); /* it is there, and so are those it made */
    *line = ends[0];
    return pid;
}

static bool
all_are_gone(int line)
{
    struct pollfd polled = { .fd = line, .events = POLLIN };
    return poll(&polled, 1, 5000) > 0 && (polled.revents & POLLHUP);
}

static void
a_pidfd_tells_an_end_and_carries_signals(void **state)
{
    (void) state;
    int line = -1, pidfd = -1;
    pid_t pid = fork_idler(&line, NULL);
    assert_ok(dz_pidfd_open(pid, &pidfd, NULL));
    assert_false(dz_pidfd_has_ended(pidfd));
    assert_true(dz_pidfd_signal(pidfd, SIGTERM));
    assert_true(all_are_gone(line));
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WTERMSIG(status), SIGTERM);
    assert_true(dz_pidfd_has_ended(pidfd));
    assert_false(dz_pidfd_signal(pidfd, SIGTERM));
    int again = -1;
    assert_int_equal(dz_pidfd_open(pid, &again, NULL), DZ_ABSENT);
    dz_fd_close(&pidfd);
    dz_fd_close(&line);
}

/* A grandchild in a session of its own: no group signal reaches it. */
static void
make_a_stray(void)
{
    (void) prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t pid = fork();
    if (pid != 0)
        return;
    (void) setsid();
    (void) prctl(PR_SET_NAME, "a (stray) one");
    for (;;)
        (void) pause();
}

static bool
names_the_stray(pid_t root)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf names = { 0 };
    dz_tree_names(root, 4096, &names);
    dz_buf_add(&names, "", 1);
    return strstr((const char *) names.data, "a (stray) one (") != NULL;
}

static void
a_tree_is_killed_without_its_root(void **state)
{
    (void) state;
    int line = -1;
    pid_t root = fork_idler(&line, make_a_stray);
    assert_int_equal(dz_proc_parent(root), getpid());
    for (int i = 0; i < 1000 && !names_the_stray(root); i++)
        (void) usleep(1000); /* it may not have taken its name yet */
    assert_true(names_the_stray(root));
    assert_true(dz_tree_kill(root, 5000) >= 1);
    assert_false(names_the_stray(root));
    assert_int_equal(kill(root, 0), 0);
    dz_group_signal(root, SIGKILL); /* it leads no group: nothing happens */
    assert_int_equal(kill(root, SIGKILL), 0);
    assert_true(all_are_gone(line));
    (void) waitpid(root, NULL, 0);
    dz_fd_close(&line);
}

static void
a_stopped_process_is_told_from_one_that_sleeps(void **state)
{
    (void) state;
    pid_t child = fork();
    if (child == 0)
        for (;;)
            (void) pause();
    assert_false(dz_proc_is_stopped(child));
    assert_int_equal(kill(child, SIGSTOP), 0);
    assert_int_equal(waitpid(child, NULL, WUNTRACED), child);
    assert_true(dz_proc_is_stopped(child));
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_false(dz_proc_is_stopped(child));
}

static void
signals_have_names(void **state)
{
    (void) state;
    char space[32];
    assert_string_equal(dz_signal_name(SIGSEGV, space), "SIGSEGV");
    assert_string_equal(dz_signal_name(SIGKILL, space), "SIGKILL");
    assert_string_equal(dz_signal_name(1000, space), "signal 1000");
}

static void
the_count_of_kills_for_memory_does_not_fall(void **state)
{
    (void) state;
    struct dz_oom oom;
    dz_oom_init(&oom);
    uint64_t first = dz_oom_count(&oom);
    assert_true(dz_oom_count(&oom) >= first);
    dz_oom_fini(&oom);
    assert_int_equal(oom.vmstat, -1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pidfd_tells_an_end_and_carries_signals),
        cmocka_unit_test(a_tree_is_killed_without_its_root),
        cmocka_unit_test(a_stopped_process_is_told_from_one_that_sleeps),
        cmocka_unit_test(signals_have_names),
        cmocka_unit_test(the_count_of_kills_for_memory_does_not_fall),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
