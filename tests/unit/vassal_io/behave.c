#include "tests/unit/vassal_io/behave.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/unit.h"
#include "tests/unit/vassal_io/fake.h"

/* Long enough for a kill to hit a run in its midst; tests only pretend to work. */
void
work_us(long microseconds)
{
    struct timespec span = { .tv_nsec = microseconds * 1000 };
    (void) nanosleep(&span, NULL);
}

void
check_once(struct fake *fake)
{
    for (uint32_t test = 0; test < fake->plan.tests; test++) {
        if (fake->reports[test] + fake->verdicts[test] != 1)
            print_error("test %u: %u reports, %u verdicts; %s", test, fake->reports[test],
                        fake->verdicts[test], fake->note);
        assert_int_equal(fake->reports[test] + fake->verdicts[test], 1);
    }
    assert_int_equal(fake->done.collected, fake->plan.tests);
    assert_int_equal(fake->done.counted, fake->plan.tests);
    assert_int_equal(fake->done.not_run, 0);
    assert_int_equal(fake->done.lost, 0);
}

void
work_a_little(struct act *act)
{
    (void) act;
    work_us(2000);
}

bool
has_some_reports(struct fake *fake)
{
    return fake->report_total >= 5;
}

void
hang_in_all(struct act *act)
{
    (void) act;
    for (;;)
        (void) pause();
}

bool
has_two_workers(struct fake *fake)
{
    return fake->ups >= 2;
}

/* Local number 7 of 50 is the node's test 42: names count down. */
void
crash_in_seven(struct act *act)
{
    if (act->test != 7)
        return;
    static const char stack[] = "Native stack: here\n";
    (void) !write(act->link->kit.crash, stack, sizeof(stack) - 1);
    (void) raise(SIGSEGV);
}
