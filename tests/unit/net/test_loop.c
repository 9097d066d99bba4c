#include <signal.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/fd.h"
#include "shared/net/loop.h"
#include "tests/unit/unit.h"

struct seen {
    struct dz_loop *loop;
    struct dz_watch *other;
    unsigned calls, turns;
    unsigned events;
    int signal;
    struct dz_timer timer;
};

static struct dz_loop *
new_loop(void)
{
    struct dz_loop *loop = NULL;
    assert_ok(dz_loop_new(&loop, NULL));
    return loop;
}

static void
count(void *arg, unsigned events)
{
    struct seen *seen = arg;
    seen->calls++;
    seen->events = events;
    if (seen->other)
        dz_loop_unwatch(seen->loop, seen->other);
}

static void
a_readable_descriptor_is_told_until_it_is_read(void **state)
{
    (void) state;
    struct dz_loop *loop = new_loop();
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct seen seen = { .loop = loop };
    struct dz_watch watch = { .fd = ends[0], .events = DZ_LOOP_READ, .fn = count, .arg = &seen };
    assert_ok(dz_loop_watch(loop, &watch, NULL));
    assert_ok(dz_loop_once(loop, 0, NULL));
    assert_int_equal(seen.calls, 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_ok(dz_loop_once(loop, 100, NULL));
    assert_ok(dz_loop_once(loop, 100, NULL));
    assert_int_equal(seen.calls, 2);
    assert_int_equal(seen.events, DZ_LOOP_READ);
    dz_fd_close(&ends[1]);
    char byte;
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_ok(dz_loop_once(loop, 100, NULL));
    assert_true(seen.events & DZ_LOOP_GONE);
    dz_loop_unwatch(loop, &watch);
    dz_fd_close(&ends[0]);
    dz_loop_destroy(&loop);
}

/* Both are ready in one batch, and whoever is first removes the other. */
static void
a_handler_may_remove_a_watch_whose_event_is_on_its_way(void **state)
{
    (void) state;
    struct dz_loop *loop = new_loop();
    int first[2], second[2];
    assert_int_equal(pipe(first), 0);
    assert_int_equal(pipe(second), 0);
    struct seen a = { .loop = loop }, b = { .loop = loop };
    struct dz_watch watch_a = { .fd = first[0], .events = DZ_LOOP_READ, .fn = count, .arg = &a };
    struct dz_watch watch_b = { .fd = second[0], .events = DZ_LOOP_READ, .fn = count, .arg = &b };
    a.other = &watch_b;
    b.other = &watch_a;
    assert_ok(dz_loop_watch(loop, &watch_a, NULL));
    assert_ok(dz_loop_watch(loop, &watch_b, NULL));
    assert_int_equal(write(first[1], "x", 1), 1);
    assert_int_equal(write(second[1], "x", 1), 1);
    assert_ok(dz_loop_once(loop, 100, NULL));
    assert_int_equal(a.calls + b.calls, 1);
    dz_loop_unwatch(loop, &watch_a);
    dz_loop_unwatch(loop, &watch_b);
    for (int i = 0; i < 2; i++) {
        dz_fd_close(&first[i]);
        dz_fd_close(&second[i]);
    }
    dz_loop_destroy(&loop);
}

static void
on_timer(void *arg)
{
    struct seen *seen = arg;
    seen->calls++;
    dz_loop_set(seen->loop, &seen->timer, dz_clock_us()); /* due at once, but not in this wake */
}

static void
a_timer_fires_once_in_a_wake_and_not_before_its_time(void **state)
{
    (void) state;
    struct dz_loop *loop = new_loop();
    struct seen seen = { .loop = loop, .timer = { .fn = on_timer, .arg = &seen } };
    dz_us at = dz_clock_us() + 3000;
    dz_loop_set(loop, &seen.timer, at);
    while (seen.calls == 0)
        assert_ok(dz_loop_once(loop, -1, NULL));
    assert_true(dz_clock_us() >= at);
    assert_int_equal(seen.calls, 1);
    assert_ok(dz_loop_once(loop, -1, NULL));
    assert_int_equal(seen.calls, 2);
    dz_loop_unset(loop, &seen.timer);
    assert_ok(dz_loop_once(loop, 0, NULL));
    assert_int_equal(seen.calls, 2);
    dz_loop_destroy(&loop);
}

static void
on_call(void *arg)
{
    struct seen *seen = arg;
    seen->calls++;
}

static void
a_timer_that_may_be_early_shares_a_wake_and_makes_none(void **state)
{
    (void) state;
    struct dz_loop *loop = new_loop();
    struct seen early = { .timer = { .fn = on_call, .arg = &early, .early = 60000000 } };
    struct seen other = { .timer = { .fn = on_call, .arg = &other } };
    struct seen far = { .timer = { .fn = on_call, .arg = &far, .early = 1000000 } };
    dz_us at = dz_clock_us() + 3000;
    dz_loop_set(loop, &other.timer, at);
    dz_loop_set(loop, &far.timer, at + 60000000);
    dz_loop_set(loop, &early.timer, at + 50000000);
    while (other.calls == 0)
        assert_ok(dz_loop_once(loop, -1, NULL));
    assert_true(dz_clock_us() >= at); /* nobody was woken for what may be early */
    assert_int_equal(early.calls, 1);
    assert_int_equal(far.calls, 0);
    dz_loop_destroy(&loop);
}

static void
on_signal(void *arg, int number)
{
    struct seen *seen = arg;
    seen->signal = number;
}

static void
on_turn(void *arg)
{
    struct seen *seen = arg;
    seen->turns++;
}

static void
a_signal_comes_as_an_event_and_every_wake_ends_with_a_turn(void **state)
{
    (void) state;
    struct dz_loop *loop = new_loop();
    struct seen seen = { .loop = loop };
    static const int signals[] = { SIGUSR1 };
    assert_ok(dz_loop_signals(loop, signals, 1, on_signal, &seen, NULL));
    dz_loop_on_turn(loop, on_turn, &seen);
    assert_int_equal(raise(SIGUSR1), 0);
    assert_ok(dz_loop_once(loop, 1000, NULL));
    assert_int_equal(seen.signal, SIGUSR1);
    assert_int_equal(seen.turns, 1);
    dz_loop_destroy(&loop);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_readable_descriptor_is_told_until_it_is_read),
        cmocka_unit_test(a_handler_may_remove_a_watch_whose_event_is_on_its_way),
        cmocka_unit_test(a_timer_fires_once_in_a_wake_and_not_before_its_time),
        cmocka_unit_test(a_timer_that_may_be_early_shares_a_wake_and_makes_none),
        cmocka_unit_test(a_signal_comes_as_an_event_and_every_wake_ends_with_a_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
