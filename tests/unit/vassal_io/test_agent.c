/* test_agent.c - a real dagz-agent among fake processes: what must be true of every run. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/unit.h"
#include "tests/unit/vassal_io/behave.h"

static void
a_run_counts_each_test_once_and_leaves_nobody(void **state)
{
    (void) state;
    struct fake fake;
    fake_start(&fake, &(struct fake_plan){ .tests = 500, .workers = 2 });
    fake_run(&fake, NULL);
    check_once(&fake);
    assert_int_equal(fake.done.duplicates, 0);
    assert_int_equal(fake.done.exit_code, 0);
    assert_int_equal(fake.ups, 2);
    assert_int_equal(fake.downs, 2);
    assert_int_equal(fake.relays, 3); /* the zygote's and each worker's */
    fake_finish(&fake, 0);
}

static void
fail_every_third(struct act *act)
{
    act->result = act->test % 3 == 0 ? DZ_RESULT_FAILED : DZ_RESULT_OK;
}

static void
failures_are_counted_as_such(void **state)
{
    (void) state;
    struct fake fake;
    fake_start(&fake, &(struct fake_plan){ .tests = 30, .workers = 2, .behave = fail_every_third });
    fake_run(&fake, NULL);
    check_once(&fake);
    assert_int_equal(fake.done.failed, 10);
    assert_int_equal(fake.done.exit_code, 1);
    fake_finish(&fake, 1);
}

static void
no_test_is_run_when_the_collection_says_so(void **state)
{
    (void) state;
    struct fake fake;
    fake_start(&fake, &(struct fake_plan){ .tests = 5, .workers = 2, .is_no_go = true });
    fake_run(&fake, NULL);
    assert_int_equal(fake.report_total, 0);
    assert_int_equal(fake.ups, 0);
    fake_finish(&fake, 2);
}

/* ------------------------------------------------------------------ deaths of workers */

static void
the_third_death_of_a_worker_counts_as_crashed(void **state)
{
    (void) state;
    struct fake fake;
    fake_start(&fake, &(struct fake_plan){ .tests = 50, .workers = 2, .behave = crash_in_seven });
    fake_run(&fake, NULL);
    check_once(&fake);
    assert_int_equal(fake.verdicts[42], 1);
    assert_int_equal(fake.strikes[42], 2);
    assert_int_equal(fake.last_cause, DZ_CAUSE_SIGNAL);
    assert_non_null(strstr(fake.detail, "killed by SIGSEGV"));
    assert_non_null(strstr(fake.detail, "Native stack: here"));
    assert_in_range(fake.ups, 4, 5); /* the third dead one is replaced if anything is left to run */
    fake_finish(&fake, 1);
}

static void
crash_once(struct act *act)
{
    char path[64];
    (void) snprintf(path, sizeof(path), "/tmp/dz-fake-once-%d", (int) getpgid(getppid()));
    if (act->test == 7 && mkdir(path, 0700) == 0)
        _exit(7);
    if (act->test == 7)
        (void) rmdir(path);
}

static void
a_test_that_passes_after_a_death_is_counted_once(void **state)
{
    (void) state;
    struct fake fake;
    fake_start(&fake, &(struct fake_plan){ .tests = 50, .workers = 2, .behave = crash_once });
    fake_run(&fake, NULL);
    check_once(&fake);
    assert_int_equal(fake.strikes[42], 1);
    assert_int_equal(fake.reports[42], 1);
    assert_int_equal(fake.last_cause, DZ_CAUSE_EXITED);
    assert_non_null(strstr(fake.detail, "exit code 7"));
    fake_finish(&fake, 0);
}

/* ------------------------------------------------------------------ time limits */

static int stacks_fd;

static void
write_stacks(int number)
{
    (void) number;
    (void) !write(stacks_fd, "all my threads\n", 15);
}

static void
hang_in_seven(struct act *act)
{
    if (act->test != 7)
        return;
    stacks_fd = act->link->kit.crash;
    (void) signal(SIGRTMIN + 5, write_stacks);
    for (;;)
        (void) pause();
}

static void
a_test_above_its_limit_is_killed_after_its_stacks_were_taken(void **state)
{
    (void) state;
    struct fake fake;
    fake_start(&fake, &(struct fake_plan){
                          .tests = 50, .workers = 2, .timeout_ms = 100, .behave = hang_in_seven });
    fake_run(&fake, NULL);
    check_once(&fake);
    assert_int_equal(fake.verdicts[42], 1);
    assert_int_equal(fake.strikes[42], 0);
    assert_int_equal(fake.last_cause, DZ_CAUSE_TIMEOUT);
    assert_non_null(strstr(fake.detail, "all my threads"));
    fake_finish(&fake, 1);
}

/* ------------------------------------------------------------------ stopping */

static void
work_long(struct act *act)
{
    (void) act;
    work_us(20000);
}

static void
stopping_lets_running_tests_finish(void **state)
{
    (void) state;
    struct fake fake;
    fake_start(&fake, &(struct fake_plan){ .tests = 400, .workers = 2, .behave = work_long });
    fake_run(&fake, has_some_reports);
    fake_stop(&fake, 0);
    fake_run(&fake, NULL);
    assert_int_equal(fake.done.counted, fake.report_total);
    assert_int_equal(fake.done.not_run, 400 - fake.report_total);
    assert_true(fake.done.not_run > 300);
    fake_finish(&fake, 2);
}

static void
stopping_now_kills_the_workers(void **state)
{
    (void) state;
    struct fake fake;
    fake_start(&fake, &(struct fake_plan){ .tests = 40, .workers = 2, .behave = hang_in_all });
    fake_run(&fake, has_two_workers);
    fake_stop(&fake, 1);
    fake_run(&fake, NULL);
    assert_int_equal(fake.done.counted, 0);
    assert_int_equal(fake.done.not_run, 40);
    fake_finish(&fake, 2);
}

static bool
has_a_job(struct fake *fake)
{
    return fake->job[0] != '\0';
}

static void
stopping_before_the_collection_is_over_ends_the_run(void **state)
{
    (void) state;
    struct fake fake;
    fake_start(&fake, &(struct fake_plan){ .tests = 40, .workers = 2 });
    fake_run(&fake, has_a_job);
    fake_stop(&fake, 1);
    fake_run(&fake, NULL);
    assert_true(fake.is_done);
    fake_finish(&fake, 2);
}

int
main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_counts_each_test_once_and_leaves_nobody),
        cmocka_unit_test(failures_are_counted_as_such),
        cmocka_unit_test(no_test_is_run_when_the_collection_says_so),
        cmocka_unit_test(the_third_death_of_a_worker_counts_as_crashed),
        cmocka_unit_test(a_test_that_passes_after_a_death_is_counted_once),
        cmocka_unit_test(a_test_above_its_limit_is_killed_after_its_stacks_were_taken),
        cmocka_unit_test(stopping_lets_running_tests_finish),
        cmocka_unit_test(stopping_now_kills_the_workers),
        cmocka_unit_test(stopping_before_the_collection_is_over_ends_the_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
