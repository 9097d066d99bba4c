/* test_flow.c - how long a flow waits before it says something again. */
#include "shared/wire/flow.h"
#include "shared/wire/frame.h"
#include "tests/unit/unit.h"

enum { MS = 1000 };

struct pair {
    struct dz_flow a, b;
    struct dz_buf frame;
};

static struct dz_flow
one_end(uint64_t node, enum dz_mesh_end to)
{
    return (struct dz_flow){
        .job = dz_str("job"), .epoch = { 1, 1, 1 }, .node = node, .inc = 1, .peer_inc = 1, .to = to
    };
}

static void
open_pair(struct pair *self)
{
    *self =
        (struct pair){ .a = one_end(1, DZ_MESH_TO_VASSAL), .b = one_end(2, DZ_MESH_TO_SCHEDULER) };
    dz_flow_open(&self->a);
    dz_flow_open(&self->b);
}

static void
close_pair(struct pair *self)
{
    dz_flow_fini(&self->a);
    dz_flow_fini(&self->b);
    dz_buf_fini(&self->frame);
}

static void
say(struct pair *self, dz_us now)
{
    struct dz_msg msg = { .id = DZ_MSG_mesh_drain };
    dz_buf_clear(&self->frame);
    dz_flow_say(&self->a, &msg, now, &self->frame);
}

/* What is in the frame reaches the other end, if `to` is that, and its ack comes at `now`. */
static void
deliver(struct pair *self, struct dz_flow *to, dz_us now)
{
    struct dz_msg_mesh envelope;
    assert_ok(dz_mesh_open(dz_buf_slice(&self->frame), &envelope));
    (void) dz_flow_hear(to, &envelope, now);
}

static void
acknowledge(struct pair *self, dz_us now)
{
    deliver(self, &self->b, now);
    dz_buf_clear(&self->frame);
    dz_flow_whisper(&self->b, NULL, &self->frame);
    deliver(self, &self->a, now);
}

static bool
says_again(struct pair *self, dz_us now)
{
    unsigned nth = 0;
    dz_buf_clear(&self->frame);
    bool is_so = dz_flow_resend(&self->a, now, &nth, &self->frame);
    DZ_AUTO(dz_buf_fini) struct dz_buf rest = { 0 };
    while (is_so && dz_flow_resend(&self->a, now, &nth, &rest))
        dz_buf_clear(&rest);
    return is_so;
}

static void
where_acks_are_known_to_take_long_patience_is_longer_from_the_beginning(void **state)
{
    (void) state;
    struct pair it;
    open_pair(&it);
    dz_flow_bear(&it.a, 10 * MS); /* never less than usual */
    dz_flow_bear(&it.a, 200 * MS);
    say(&it, 0);
    assert_false(says_again(&it, 199 * MS));
    assert_true(says_again(&it, 200 * MS));
    close_pair(&it);
}

/* One ack that came at once says nothing of the next. */
static void
and_it_is_never_less_where_acks_are_known_to_take_long(void **state)
{
    (void) state;
    struct pair it;
    open_pair(&it);
    dz_flow_bear(&it.a, 1200 * MS);
    say(&it, 0);
    acknowledge(&it, 1 * MS);
    say(&it, 10 * MS);
    assert_false(says_again(&it, 1209 * MS));
    assert_true(says_again(&it, 1210 * MS));
    assert_true(says_again(&it, 1210 * MS + 2400 * MS));
    assert_false(
        says_again(&it, 1210 * MS + 2400 * MS + 2399 * MS)); /* and not more than twice that */
    assert_true(says_again(&it, 1210 * MS + 2400 * MS + 2400 * MS));
    close_pair(&it);
}

static void
what_nobody_acknowledges_is_said_again_later_and_later(void **state)
{
    (void) state;
    struct pair it;
    open_pair(&it);
    say(&it, 0);
    assert_false(says_again(&it, 49 * MS));
    assert_true(says_again(&it, 50 * MS));
    assert_false(says_again(&it, 149 * MS));
    assert_true(says_again(&it, 150 * MS));
    assert_false(says_again(&it, 349 * MS));
    assert_true(says_again(&it, 350 * MS));
    close_pair(&it);
}

static void
a_peer_that_is_slow_is_waited_for(void **state)
{
    (void) state;
    struct pair it;
    open_pair(&it);
    say(&it, 0);
    acknowledge(&it, 40 * MS);
    say(&it, 1000 * MS);
    assert_false(says_again(&it, 1119 * MS)); /* three times 40 ms */
    assert_true(says_again(&it, 1120 * MS));
    close_pair(&it);
}

static void
an_ack_of_what_was_said_twice_makes_nobody_impatient(void **state)
{
    (void) state;
    struct pair it;
    open_pair(&it);
    say(&it, 0);
    assert_true(says_again(&it, 50 * MS)); /* from now on 100 ms */
    acknowledge(&it, 51 * MS);
    say(&it, 1000 * MS);
    assert_false(says_again(&it, 1099 * MS));
    assert_true(says_again(&it, 1100 * MS));
    acknowledge(&it, 1101 * MS);
    say(&it, 2000 * MS); /* said once, and acknowledged soon: as at first */
    acknowledge(&it, 2001 * MS);
    say(&it, 3000 * MS);
    assert_false(says_again(&it, 3049 * MS));
    assert_true(says_again(&it, 3050 * MS));
    close_pair(&it);
}

static void
a_new_session_begins_without_what_was_learned(void **state)
{
    (void) state;
    struct pair it;
    open_pair(&it);
    say(&it, 0);
    acknowledge(&it, 200 * MS);
    dz_flow_open(&it.a);
    dz_flow_open(&it.b);
    say(&it, 1000 * MS);
    assert_true(says_again(&it, 1050 * MS));
    close_pair(&it);
}

/* When what b has heard is acknowledged, if nothing carries the ack. */
static dz_us
ack_of(struct pair *self, unsigned bodies)
{
    for (unsigned i = 0; i < bodies; i++) {
        say(self, 0);
        deliver(self, &self->b, 0);
    }
    dz_us at = 0;
    while (!dz_flow_owes_ack(&self->b, at) && at < 1000 * MS)
        at += MS;
    return at;
}

static void
among_many_an_ack_waits_longer_but_not_when_much_waits_for_it(void **state)
{
    (void) state;
    static const struct {
        dz_us patience;
        unsigned bodies;
        dz_us at;
    } cases[] = {
        { 0, 1, 10 * MS },          { 50 * MS, 1, 10 * MS },    { 400 * MS, 1, 200 * MS },
        { 1200 * MS, 1, 600 * MS }, { 400 * MS, 15, 200 * MS }, { 400 * MS, 16, 10 * MS },
    };
    for (size_t i = 0; i < DZ_LEN(cases); i++) {
        struct pair it;
        open_pair(&it);
        dz_flow_bear(&it.b, cases[i].patience);
        assert_int_equal(ack_of(&it, cases[i].bodies), cases[i].at);
        close_pair(&it);
    }
}

static void
what_is_said_again_is_acknowledged_soon(void **state)
{
    (void) state;
    struct pair it;
    open_pair(&it);
    dz_flow_bear(&it.b, 800 * MS);
    say(&it, 0);
    deliver(&it, &it.b, 0);
    dz_buf_clear(&it.frame);
    dz_flow_whisper(&it.b, NULL, &it.frame); /* and is lost */
    assert_false(dz_flow_owes_ack(&it.b, 1000 * MS));
    assert_true(says_again(&it, 1000 * MS));
    deliver(&it, &it.b, 1000 * MS);
    assert_true(dz_flow_owes_ack(&it.b, 1010 * MS));
    close_pair(&it);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(where_acks_are_known_to_take_long_patience_is_longer_from_the_beginning),
        cmocka_unit_test(and_it_is_never_less_where_acks_are_known_to_take_long),
        cmocka_unit_test(what_nobody_acknowledges_is_said_again_later_and_later),
        cmocka_unit_test(a_peer_that_is_slow_is_waited_for),
        cmocka_unit_test(an_ack_of_what_was_said_twice_makes_nobody_impatient),
        cmocka_unit_test(a_new_session_begins_without_what_was_learned),
        cmocka_unit_test(among_many_an_ack_waits_longer_but_not_when_much_waits_for_it),
        cmocka_unit_test(what_is_said_again_is_acknowledged_soon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
