/* test_many.c - what changes when many nodes take part: how often each speaks, how long it is waited for. */
#include <stdio.h>
#include <string.h>

#include "tests/unit/coord/lab.h"

enum { MANY = 1000, TICK_US = 100 * 1000, NEWS_US = 312500 };

static void
tick(struct lab *lab, bool is_behind)
{
    lab->now += TICK_US;
    give(lab, &(struct coord_event){ .kind = COORD_EV_TICK, .as.tick.is_behind = is_behind });
}

static bool
is_lost(const struct lab *lab)
{
    const struct coord_effect *fx = effect(lab, COORD_FX_NODE);
    return fx && fx->as.node.node == 2 && strcmp(fx->as.node.word, "lost") == 0;
}

/* Tenths of a second until node 2, which says nothing, is given up. */
static int
silence_of_two(bool is_behind)
{
    DZ_AUTO(lab_fini) struct lab lab = lab_leading(3);
    join(&lab, 1);
    join(&lab, 2);
    for (int ticks = 1; ticks < 100; ticks++) {
        tick(&lab, is_behind);
        if (is_lost(&lab))
            return ticks;
    }
    return 0;
}

static void
who_may_have_spoken_among_what_lies_unread_is_not_silent_yet(void **state)
{
    (void) state;
    assert_int_equal(silence_of_two(false), 10);
    assert_int_equal(silence_of_two(true), 40);
}

static void
what_may_be_acknowledged_among_what_lies_unread_is_not_said_again(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_leading(3);
    join(&lab, 1);
    join(&lab, 2); /* it was told of tests, and acknowledges nothing */
    lab.now += TICK_US / 4;
    give(&lab, &(struct coord_event){ .kind = COORD_EV_TICK }); /* news of members */
    struct coord_effects fx;
    unsigned said[2] = { 0 };
    for (int is_behind = 1; is_behind >= 0; is_behind--) {
        lab.now += TICK_US;
        struct coord_event event = { .kind = COORD_EV_TICK, .as.tick.is_behind = is_behind };
        coord_step(lab.coord, &event, lab.now, &fx);
        for (size_t i = 0; i < fx.count; i++) {
            struct dz_msg_mesh from;
            if (fx.items[i].kind != COORD_FX_SEND || fx.items[i].as.send.node != 2)
                continue;
            assert_ok(dz_mesh_open(fx.items[i].as.send.frame, &from));
            said[is_behind] += from.seq > 0 ? 1 : 0;
        }
    }
    assert_int_equal(said[true], 0);
    assert_in_range(said[false], 1, DZ_FLOW_WINDOW);
}

/* What the LEAD says that answers this node's HELLO. */
static struct dz_msg_mesh_lead
greeted(struct lab *lab, uint64_t node)
{
    struct dz_flow outside = { .job = dz_str("J"), .node = node, .inc = 9 };
    struct dz_msg msg = { .id = DZ_MSG_mesh_hello,
                          .as.mesh_hello = { .slots = 1, .total = TOTAL, .digest = DIGEST } };
    dz_flow_open(&outside);
    dz_flow_whisper(&outside, &msg, &lab->frame);
    dz_flow_fini(&outside);
    struct coord_effects fx;
    struct coord_event event = { .kind = COORD_EV_MESSAGE,
                                 .as.message = dz_buf_slice(&lab->frame) };
    coord_step(lab->coord, &event, lab->now, &fx);
    dz_buf_clear(&lab->frame);
    for (size_t i = 0; i < fx.count; i++) {
        struct dz_msg_mesh from;
        if (fx.items[i].kind != COORD_FX_SEND || fx.items[i].as.send.node != node)
            continue;
        assert_ok(dz_mesh_open(fx.items[i].as.send.frame, &from));
        assert_ok(dz_msg_decode(from.body, &msg));
        assert_int_equal(msg.id, DZ_MSG_mesh_lead);
        return msg.as.mesh_lead;
    }
    fail_msg("node %u was not led", (unsigned) node);
    return (struct dz_msg_mesh_lead){ 0 };
}

static void
the_more_nodes_the_rarer_each_one_says_that_it_lives(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_leading(3);
    struct dz_msg_mesh_lead lead = greeted(&lab, 1);
    assert_int_equal(lead.hb_ms, 100);
    assert_int_equal(lead.dead_ms, 1000);
    for (uint64_t node = 2; node < MANY; node++)
        lead = greeted(&lab, node);
    lead = greeted(&lab, MANY); /* a thousand a second of all of them */
    assert_int_equal(lead.hb_ms, 1000);
    assert_int_equal(lead.dead_ms, 5000);
}

static void
who_has_come_and_was_not_heard_yet_counts_among_them(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_leading(3);
    manifest_in_crowd(&lab, MANY);
    struct dz_msg_mesh_lead lead = greeted(&lab, 1);
    assert_int_equal(lead.hb_ms, 1000);
    assert_int_equal(lead.dead_ms, 5000);
}

static void
a_greeting_that_met_its_answer_on_the_way_is_not_answered(void **state)
{
    (void) state;
    static const unsigned crowds[] = { 0, MANY };
    static const dz_us soon[] = { 10 * 1000, 250 * 1000 };
    for (size_t i = 0; i < DZ_LEN(crowds); i++) {
        DZ_AUTO(lab_fini) struct lab lab = lab_leading(3);
        manifest_in_crowd(&lab, crowds[i]);
        hello(&lab, 1, DIGEST);
        assert_non_null(told(&lab, DZ_MSG_mesh_lead, 0));
        lab.now += soon[i];
        hello(&lab, 1, DIGEST);
        assert_null(told(&lab, DZ_MSG_mesh_lead, 0));
        lab.now += soon[i];
        hello(&lab, 1, DIGEST); /* it was lost */
        assert_non_null(told(&lab, DZ_MSG_mesh_lead, 0));
    }
}

/* 2 ms each. */
static void
manifest_of_many(struct lab *lab, unsigned nodes)
{
    enum { TESTS = 400 };
    static char ids[TESTS][16];
    struct coord_test tests[TESTS];
    lab->total = TESTS;
    for (uint32_t t = 0; t < TESTS; t++) {
        (void) snprintf(ids[t], sizeof(ids[t]), "%03u.py::t", (unsigned) t);
        tests[t] = (struct coord_test){ .id = dz_str(ids[t]), .order = t, .est_us = 2000 };
    }
    give(lab, &(struct coord_event){ .kind = COORD_EV_MANIFEST,
                                     .as.manifest = { tests, TESTS, DIGEST, nodes } });
}

/* Few are given 50 ms of tests each.  Of eighty, who hear of more only when that is done, each is given its part
 * at once, 10 ms, whether the others are up yet or not. */
static void
who_hears_of_more_only_when_all_is_done_is_given_its_whole_share(void **state)
{
    (void) state;
    static const unsigned crowds[] = { 0, 80 }, counts[] = { 25, 5 };
    for (size_t i = 0; i < DZ_LEN(crowds); i++) {
        DZ_AUTO(lab_fini) struct lab lab = lab_without_manifest(3, 0);
        manifest_of_many(&lab, crowds[i]);
        give(&lab, &(struct coord_event){ .kind = COORD_EV_PERSISTED });
        for (uint64_t node = 1; node <= NODES; node++) {
            join(&lab, node);
            for (unsigned slot = 0; slot < SLOTS; slot++)
                assert_int_equal(told(&lab, DZ_MSG_mesh_assign, slot)->count, counts[i]);
        }
    }
}

/* It had been given all tests by the scheduler before, and they wait in the queues of its first slots. */
static void
join_with_all(struct lab *lab, uint64_t node, unsigned slots_that_hold)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf slots = { 0 }, held = { 0 };
    struct dz_msg msg = { .id = DZ_MSG_mesh_state, .as.mesh_state.last = 1 };
    hello(lab, node, DIGEST);
    for (unsigned s = 0; s < SLOTS; s++)
        dz_slot_add(&msg.as.mesh_state.slots, &slots, &(struct dz_item_slot){ s, DZ_SLOT_UP });
    for (unsigned t = 0; t < TOTAL; t++)
        dz_held_add(&msg.as.mesh_state.held, &held,
                    &(struct dz_item_held){ t % slots_that_hold, t, 0 });
    say(lab, node, &msg);
}

/* Node 1 has all tests and says nothing of them; node 2 has nothing. */
static struct lab
lab_with_one_silent(unsigned crowd, unsigned slots_that_hold)
{
    struct lab lab = lab_leading(3);
    manifest_in_crowd(&lab, crowd);
    join_with_all(&lab, 1, slots_that_hold);
    join(&lab, 2);
    tell_slots(&lab, 2, DZ_SLOT_WANT);
    return lab;
}

/* How long until somebody is told this, if nobody says anything; two seconds at most. */
static dz_us
until_told(struct lab *lab, enum dz_msg_id id, bool is_behind)
{
    dz_us began = lab->now;
    while (!told(lab, id, 0) && lab->now - began < 2000 * 1000) {
        lab->now += 5 * 1000;
        give(lab, &(struct coord_event){ .kind = COORD_EV_TICK, .as.tick.is_behind = is_behind });
    }
    return lab->now - began;
}

/* How long until its tests are asked for. */
static dz_us
patience_with_one(unsigned crowd, bool is_behind)
{
    DZ_AUTO(lab_fini) struct lab lab = lab_with_one_silent(crowd, 1);
    return until_told(&lab, DZ_MSG_mesh_revoke, is_behind);
}

/* Three slots wait while there is a test in the queue of the fourth; then there is none. */
static void
all_who_wait_are_told_at_once_that_there_is_nothing(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_leading(3);
    DZ_AUTO(dz_buf_fini) struct dz_buf slots = { 0 };
    struct dz_msg want = { .id = DZ_MSG_mesh_slots };
    hello(&lab, 1, DIGEST); /* its slots come first */
    join_with_all(&lab, 2, SLOTS);
    tell_state(&lab, 1, DZ_SLOT_UP, 0);
    tell_slots(&lab, 1, DZ_SLOT_WANT);
    report(&lab, 2, 0, DZ_RESULT_OK, 1);
    report(&lab, 2, 2, DZ_RESULT_OK, 2);
    dz_slot_add(&want.as.mesh_slots.slots, &slots, &(struct dz_item_slot){ 0, DZ_SLOT_WANT });
    say(&lab, 2, &want);
    report_of(&lab, 2, 1, 1, DZ_RESULT_OK, 3);
    assert_null(told(&lab, DZ_MSG_mesh_assign, 0));
    report_of(&lab, 2, 1, 3, DZ_RESULT_OK, 4);
    assert_non_null(told(&lab, DZ_MSG_mesh_assign, 2));
}

/* Each of its slots has two tests that wait, and two slots of node 2 have nothing. */
static void
of_a_crowd_no_more_is_taken_back_than_those_who_have_nothing_need(void **state)
{
    (void) state;
    for (unsigned crowd = 0; crowd <= MANY; crowd += MANY) {
        DZ_AUTO(lab_fini) struct lab lab = lab_with_one_silent(crowd, SLOTS);
        (void) until_told(&lab, DZ_MSG_mesh_revoke, false);
        assert_non_null(told(&lab, DZ_MSG_mesh_revoke, 0));
        assert_int_equal(told(&lab, DZ_MSG_mesh_revoke, 1) != NULL, crowd == 0);
        lab.now += 25 * 1000; /* what was asked for is on its way */
        give(&lab, &(struct coord_event){ .kind = COORD_EV_TICK });
        assert_null(told(&lab, DZ_MSG_mesh_revoke, 0));
    }
}

static void
where_many_speak_a_test_is_late_only_when_news_of_it_could_have_come(void **state)
{
    (void) state;
    dz_us alone = patience_with_one(0, false), among_many = patience_with_one(MANY, false);
    assert_in_range(alone, 20 * 1000, 100 * 1000);
    assert_in_range(among_many - alone, NEWS_US - 20 * 1000, NEWS_US + 20 * 1000);
}

/* How long until node 2 is told that there is nothing for it: all that node 1 has it has begun. */
static dz_us
until_nothing(unsigned crowd)
{
    DZ_AUTO(lab_fini) struct lab lab = lab_leading(3);
    manifest_in_crowd(&lab, crowd);
    join_with_all(&lab, 1, 1);
    for (uint32_t t = 0; t < TOTAL - 1; t++)
        report(&lab, 1, t, DZ_RESULT_OK, t + 1);
    join(&lab, 2);
    tell_slots(&lab, 2, DZ_SLOT_WANT);
    return until_told(&lab, DZ_MSG_mesh_assign, false);
}

static void
where_many_ask_all_may_be_over_before_each_is_told_that_there_is_nothing(void **state)
{
    (void) state;
    assert_int_equal(until_nothing(0), 0);
    assert_in_range(until_nothing(MANY), NEWS_US, NEWS_US + 30 * 1000);
}

/* They are read first, but not for ever. */
static void
where_many_speak_news_may_lie_unread(void **state)
{
    (void) state;
    assert_int_equal(patience_with_one(0, true), patience_with_one(0, false));
    dz_us behind = patience_with_one(MANY, true);
    assert_in_range(behind, 4 * NEWS_US, 6 * NEWS_US);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_may_have_spoken_among_what_lies_unread_is_not_silent_yet),
        cmocka_unit_test(what_may_be_acknowledged_among_what_lies_unread_is_not_said_again),
        cmocka_unit_test(the_more_nodes_the_rarer_each_one_says_that_it_lives),
        cmocka_unit_test(who_has_come_and_was_not_heard_yet_counts_among_them),
        cmocka_unit_test(a_greeting_that_met_its_answer_on_the_way_is_not_answered),
        cmocka_unit_test(who_hears_of_more_only_when_all_is_done_is_given_its_whole_share),
        cmocka_unit_test(where_many_speak_a_test_is_late_only_when_news_of_it_could_have_come),
        cmocka_unit_test(where_many_speak_news_may_lie_unread),
        cmocka_unit_test(of_a_crowd_no_more_is_taken_back_than_those_who_have_nothing_need),
        cmocka_unit_test(all_who_wait_are_told_at_once_that_there_is_nothing),
        cmocka_unit_test(where_many_ask_all_may_be_over_before_each_is_told_that_there_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
