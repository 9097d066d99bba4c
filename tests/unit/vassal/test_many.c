/* test_many.c - a node among a thousand: what it does not say, so that others are heard. */
#include "tests/unit/vassal/lab.h"

enum { SECOND = 1000 * 1000 };

/* How often it says this until then, if nobody says anything but that the lease is held. */
static unsigned
said_until(struct lab *lab, dz_us end, enum dz_msg_id id, unsigned *claims_out)
{
    unsigned count = 0;
    while (vassal_next(lab->vassal) <= end) {
        dz_us next = vassal_next(lab->vassal);
        lab->now = next > lab->now ? next : lab->now + 1;
        give(lab, &(struct vassal_event){ .kind = VASSAL_EV_TICK });
        count += has_said(lab, id);
        const struct vassal_effect *ask = effect(lab, VASSAL_FX_ASK, 0);
        if (!ask)
            continue;
        *claims_out += ask->as.ask.ask.kind == DZ_LEASE_CLAIM;
        answer(lab, DZ_LEASE_HELD, (struct dz_epoch){ 1, 1, 1 });
        count += has_said(lab, id);
    }
    return count;
}

static void
a_scheduler_that_does_not_answer_is_greeted_more_and_more_rarely(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_following();
    unsigned claims = 0;
    dz_us begin = lab.now;
    unsigned soon = said_until(&lab, begin + SECOND, DZ_MSG_mesh_hello, &claims);
    assert_in_range(soon, 9, 11); /* after 2 ms, 6, 14, 30, 62, 126, 254, 454, ... */
    unsigned more = said_until(&lab, begin + 4 * SECOND, DZ_MSG_mesh_hello, &claims);
    assert_in_range(more, 5, 7); /* and then 15 of them, if it went on like that */
}

static void
who_schedules_for_a_crowd_is_greeted_more_rarely(void **state)
{
    (void) state;
    static const unsigned nodes[] = { 32, 256, 2048 }, most[] = { 11, 6, 3 };
    for (size_t i = 0; i < DZ_LEN(nodes); i++) {
        DZ_AUTO(lab_fini) struct lab lab = lab_in_crowd(nodes[i]);
        unsigned claims = 0;
        answer(&lab, DZ_LEASE_HELD, (struct dz_epoch){ 1, 1, 1 });
        dz_us begin = lab.now;
        give(&lab,
             &(struct vassal_event){ .kind = VASSAL_EV_MANIFEST, .as.manifest = { 1, DIGEST } });
        unsigned count = has_said(&lab, DZ_MSG_mesh_hello);
        count += said_until(&lab, begin + SECOND, DZ_MSG_mesh_hello, &claims);
        assert_in_range(count, most[i] - 2, most[i]);
    }
}

static void
a_lease_that_does_not_run_out_is_asked_for_more_and_more_rarely(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_following();
    unsigned soon = 0, more = 0;
    give(&lab, &(struct vassal_event){ .kind = VASSAL_EV_GONE, .as.gone = { 1, 1 } });
    answer(&lab, DZ_LEASE_HELD, (struct dz_epoch){ 1, 1, 1 });
    dz_us begin = lab.now;
    (void) said_until(&lab, begin + 2 * SECOND, DZ_MSG_mesh_hello, &soon);
    assert_in_range(soon, 15, 25);
    (void) said_until(&lab, begin + 12 * SECOND, DZ_MSG_mesh_hello, &more);
    assert_in_range(more, 4, 10);
}

static void
it_says_that_it_lives_as_often_as_the_list_of_members_tells_it(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_new();
    unsigned claims = 0;
    struct dz_msg news = { .id = DZ_MSG_mesh_members,
                           .as.mesh_members = { .count = 2000, .hb_ms = 1000, .dead_ms = 5000 } };
    order(&lab, &news);
    dz_us begin = lab.now;
    assert_in_range(said_until(&lab, begin + SECOND / 2, DZ_MSG_mesh_hb, &claims), 0,
                    1); /* its ack */
    assert_in_range(said_until(&lab, begin + 4 * SECOND, DZ_MSG_mesh_hb, &claims), 3, 4);
    news.as.mesh_members = (struct dz_msg_mesh_members){ .count = 2000 }; /* an older peer's */
    order(&lab, &news);
    assert_in_range(said_until(&lab, lab.now + SECOND / 2, DZ_MSG_mesh_hb, &claims), 0, 1);
}

/* How often it asks whoever does not answer, until it goes its own way. */
static unsigned
questions(unsigned nodes, dz_us *patience_out)
{
    DZ_AUTO(lab_fini) struct lab lab = lab_in_crowd(nodes);
    unsigned count = 0;
    *patience_out = effect(&lab, VASSAL_FX_ASK, 0)->as.ask.patience_us;
    give(&lab, &(struct vassal_event){ .kind = VASSAL_EV_MANIFEST, .as.manifest = { 1, DIGEST } });
    for (count = 1; count < 20 && !effect(&lab, VASSAL_FX_LEAD, 0); count++) {
        struct vassal_event event = { .kind = VASSAL_EV_ANSWER };
        event.as.answer.number = count;
        event.as.answer.reply.word = DZ_LEASE_UNREACHABLE;
        give(&lab, &event);
        if (effect(&lab, VASSAL_FX_LEAD, 0))
            break;
        lab.now += SECOND;
        give(&lab, &(struct vassal_event){ .kind = VASSAL_EV_TICK });
    }
    return count;
}

static void
a_store_that_a_crowd_asks_is_waited_for_longer(void **state)
{
    (void) state;
    dz_us few = 0, many = 0;
    assert_int_equal(questions(0, &few), 2);
    assert_int_equal(questions(400, &many),
                     4); /* others have come: alone it would do all their work */
    assert_int_equal(many - few, 2 * SECOND);
}

static void
the_silence_of_one_who_schedules_for_a_crowd_is_borne_longer(void **state)
{
    (void) state;
    for (unsigned nodes = 0; nodes <= 400; nodes += 400) {
        DZ_AUTO(lab_fini) struct lab lab = lab_in_crowd(nodes);
        answer(&lab, DZ_LEASE_HELD, (struct dz_epoch){ 1, 1, 1 });
        give(&lab,
             &(struct vassal_event){ .kind = VASSAL_EV_MANIFEST, .as.manifest = { 1, DIGEST } });
        bool is_doubted = false;
        for (int tenth = 0; tenth < 15; tenth++) {
            lab.now += SECOND / 10;
            give(&lab, &(struct vassal_event){ .kind = VASSAL_EV_TICK });
            is_doubted |= effect(&lab, VASSAL_FX_ASK, 0) != NULL;
        }
        assert_int_equal(is_doubted, nodes == 0);
    }
}

static void
in_a_crowd_who_asks_for_more_says_so_with_the_results_that_are_being_written(void **state)
{
    (void) state;
    static const unsigned nodes[] = { 32, 2048 };
    for (size_t i = 0; i < DZ_LEN(nodes); i++) {
        bool is_crowd = nodes[i] > 32;
        DZ_AUTO(lab_fini) struct lab lab = lab_in_crowd(nodes[i]);
        answer(&lab, DZ_LEASE_HELD, (struct dz_epoch){ 1, 1, 1 });
        give(&lab,
             &(struct vassal_event){ .kind = VASSAL_EV_MANIFEST, .as.manifest = { 1, DIGEST } });
        lead(&lab, 1, 1);
        slot_event(&lab, VASSAL_EV_SLOT_UP, 0);
        assign(&lab, 0, 0, 1, true);
        report(&lab, 0, 0, 1);
        slot_event(&lab, VASSAL_EV_SLOT_ASKS, 0);
        assert_int_equal(has_said(&lab, DZ_MSG_mesh_slots), !is_crowd);
        journaled(&lab, 1);
        assert_true(has_said(&lab, DZ_MSG_mesh_result));
        assert_int_equal(has_said(&lab, DZ_MSG_mesh_slots), is_crowd);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scheduler_that_does_not_answer_is_greeted_more_and_more_rarely),
        cmocka_unit_test(who_schedules_for_a_crowd_is_greeted_more_rarely),
        cmocka_unit_test(a_lease_that_does_not_run_out_is_asked_for_more_and_more_rarely),
        cmocka_unit_test(it_says_that_it_lives_as_often_as_the_list_of_members_tells_it),
        cmocka_unit_test(a_store_that_a_crowd_asks_is_waited_for_longer),
        cmocka_unit_test(the_silence_of_one_who_schedules_for_a_crowd_is_borne_longer),
        cmocka_unit_test(
            in_a_crowd_who_asks_for_more_says_so_with_the_results_that_are_being_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
