/* Whom a node obeys, and what it tells a scheduler that is new to it. */
#include "tests/unit/vassal/lab.h"

static void
a_new_session_tells_again_what_was_not_acknowledged(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_new();
    assign(&lab, 0, 10, 2, true);
    report(&lab, 0, 10, 1);
    journaled(&lab, 1);
    lead(&lab, 2, 1);
    assert_true(has_said(&lab, DZ_MSG_mesh_state));
    assert_true(has_said(&lab, DZ_MSG_mesh_result));
    rack(&lab, 1, DZ_WORD_COUNTED);
    lead(&lab, 3, 1);
    assert_false(has_said(&lab, DZ_MSG_mesh_result));
}

/* It would run again in the slot that reported it, and the first result would end the second run. */
static void
what_has_a_result_is_not_taken_again_before_it_is_journaled(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_new();
    assign(&lab, 0, 10, 1, true);
    report(&lab, 0, 10, 1);
    lead(&lab, 2, 1);
    assign(&lab, 0, 10, 1, true);
    assert_null(effect(&lab, VASSAL_FX_FEED, 0));
}

/* The results that it announces then follow at once. */
static void
the_state_waits_for_the_journal(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_new();
    assign(&lab, 0, 10, 2, true);
    report(&lab, 0, 10, 1);
    lead(&lab, 2, 1);
    report(&lab, 0, 11, 2);
    assert_int_equal(lab.said_count, 0);
    journaled(&lab, 1);
    assert_int_equal(lab.said[0], DZ_MSG_mesh_state);
    assert_int_equal(lab.said[1], DZ_MSG_mesh_result);
}

/* What ended while STATE waited is announced with the rest. */
static void
what_ended_before_the_state_is_not_taken_again(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_new();
    assign(&lab, 0, 10, 2, true);
    report(&lab, 0, 10, 1);
    lead(&lab, 2, 1);
    report(&lab, 0, 11, 2);
    journaled(&lab, 1);
    assign(&lab, 0, 11, 1, true);
    assert_null(effect(&lab, VASSAL_FX_FEED, 0));
}

/* Others remember it; it had nothing left to remember itself by. */
static void
a_node_that_its_earlier_life_deposes_looks_for_a_scheduler(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_meeting();
    answer(&lab, DZ_LEASE_GRANTED, (struct dz_epoch){ 1, 2, 9 });
    assert_non_null(effect(&lab, VASSAL_FX_LEAD, 0));
    give(&lab, &(struct vassal_event){ .kind = VASSAL_EV_DEPOSED, .as.deposed = { 2, 2, 5 } });
    assert_int_equal(effect(&lab, VASSAL_FX_ASK, 0)->as.ask.ask.kind, DZ_LEASE_CLAIM);
}

static void
a_lower_epoch_is_answered_with_nack_and_obeyed_in_nothing(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_new();
    lead(&lab, 5, 1);
    lab.flow.epoch.n = 4;
    dz_flow_open(&lab.flow);
    assign(&lab, 0, 10, 2, true);
    assert_int_equal(lab.fx_count, 0);
    assert_int_equal(lab.said_count, 1);
    assert_int_equal(lab.last.id, DZ_MSG_mesh_nack);
    assert_int_equal(lab.last.as.mesh_nack.n, 5);
}

/* Two nodes that each know of another scheduler would answer each other for ever. */
static void
a_nack_is_not_answered(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_new();
    struct dz_msg nack = { .id = DZ_MSG_mesh_nack, .as.mesh_nack = { 3, 7, 1 } };
    lead(&lab, 5, 1);
    lab.flow.epoch.n = 4;
    for (int to = 0; to < 2; to++) {
        lab.flow.to = to ? DZ_MESH_TO_SCHEDULER : DZ_MESH_TO_VASSAL;
        dz_flow_whisper(&lab.flow, &nack, &lab.frame);
        hear(&lab);
        assert_int_equal(lab.said_count, 0);
    }
}

/* The old scheduler was only slow: it ends the job before the new one has led anybody. */
static void
a_node_whose_job_another_scheduler_ends_abdicates(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_following();
    lead(&lab, 1, 1);
    order(&lab, &(struct dz_msg){ .id = DZ_MSG_mesh_drain });
    down(&lab, 0, DZ_CAUSE_FINISHED, TOTAL);
    while (!effect(&lab, VASSAL_FX_ASK, 0) && lab.now < 5000000) {
        lab.now = vassal_next(lab.vassal);
        give(&lab, &(struct vassal_event){ .kind = VASSAL_EV_TICK });
    }
    answer(&lab, DZ_LEASE_GRANTED, (struct dz_epoch){ 2, 2, 9 });
    order(&lab, &(struct dz_msg){ .id = DZ_MSG_mesh_seal });
    assert_true(effect(&lab, VASSAL_FX_DONE, 0)->as.done.is_sealed);
    assert_non_null(effect(&lab, VASSAL_FX_ABDICATE, 0));
}

/* Its LEAD was on the way when its process ended.  A node that obeyed it would get the lease and not
 * lead, and all others would wait for it. */
static void
a_scheduler_that_is_gone_is_not_obeyed_while_its_lease_is_asked_for(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_following();
    give(&lab, &(struct vassal_event){ .kind = VASSAL_EV_GONE, .as.gone = { 1, 1 } });
    const struct vassal_effect *ask = effect(&lab, VASSAL_FX_ASK, 0);
    assert_int_equal(ask->as.ask.ask.kind, DZ_LEASE_CLAIM);
    uint64_t number = ask->as.ask.number;
    lead(&lab, 1, 1);
    assert_false(has_said(&lab, DZ_MSG_mesh_state));
    give(&lab, &(struct vassal_event){
                   .kind = VASSAL_EV_ANSWER,
                   .as.answer = { number, { DZ_LEASE_GRANTED, { 2, 2, 9 }, 0, 0 }, { 0 } } });
    assert_int_equal(effect(&lab, VASSAL_FX_LEAD, 0)->as.lead.n, 2);
}

/* It lives, says the authority: a connection that ended proved nothing. */
static void
a_scheduler_that_still_has_the_lease_is_obeyed_again(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_following();
    give(&lab, &(struct vassal_event){ .kind = VASSAL_EV_GONE, .as.gone = { 1, 1 } });
    answer(&lab, DZ_LEASE_HELD, (struct dz_epoch){ 1, 1, 1 });
    lead(&lab, 1, 1);
    assert_true(has_said(&lab, DZ_MSG_mesh_state));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_ended_before_the_state_is_not_taken_again),
        cmocka_unit_test(a_node_that_its_earlier_life_deposes_looks_for_a_scheduler),
        cmocka_unit_test(a_new_session_tells_again_what_was_not_acknowledged),
        cmocka_unit_test(what_has_a_result_is_not_taken_again_before_it_is_journaled),
        cmocka_unit_test(the_state_waits_for_the_journal),
        cmocka_unit_test(a_lower_epoch_is_answered_with_nack_and_obeyed_in_nothing),
        cmocka_unit_test(a_nack_is_not_answered),
        cmocka_unit_test(a_node_whose_job_another_scheduler_ends_abdicates),
        cmocka_unit_test(a_scheduler_that_is_gone_is_not_obeyed_while_its_lease_is_asked_for),
        cmocka_unit_test(a_scheduler_that_still_has_the_lease_is_obeyed_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
