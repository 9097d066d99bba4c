/* Slots and their workers, and how a job ends for a node. */
#include "tests/unit/vassal/lab.h"

static void
a_result_is_told_only_when_it_is_journaled(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_new();
    assign(&lab, 0, 10, 2, true);
    report(&lab, 0, 10, 1);
    assert_int_equal(effect(&lab, VASSAL_FX_JOURNAL, 0)->as.journal.record, 1);
    assert_false(has_said(&lab, DZ_MSG_mesh_result));
    journaled(&lab, 1);
    assert_true(has_said(&lab, DZ_MSG_mesh_result));
    rack(&lab, 1, DZ_WORD_COUNTED);
    assert_int_equal(effect(&lab, VASSAL_FX_COUNTED, 0)->as.counted.word, DZ_WORD_COUNTED);
    rack(&lab, 1, DZ_WORD_COUNTED);
    assert_null(effect(&lab, VASSAL_FX_COUNTED, 0));
}

static void
grants_reach_the_worker_in_order(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_new();
    assign(&lab, 1, 20, 3, true);
    const struct vassal_effect *fx = effect(&lab, VASSAL_FX_FEED, 0);
    assert_int_equal(fx->as.feed.slot, 1);
    assert_int_equal(fx->as.feed.count, 3);
    assert_int_equal(fx->as.feed.grants[2].test, 22);
    assert_int_equal(fx->as.feed.more, VASSAL_MORE_ASK);
    assign(&lab, 1, 30, 1, false);
    assert_int_equal(effect(&lab, VASSAL_FX_FEED, 0)->as.feed.more, VASSAL_MORE_NONE);
}

static void
a_worker_that_asks_is_answered_with_what_the_scheduler_says(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_new();
    slot_event(&lab, VASSAL_EV_SLOT_ASKS, 0);
    assert_true(has_said(&lab, DZ_MSG_mesh_slots));
    assert_null(effect(&lab, VASSAL_FX_FEED, 0));
    assign(&lab, 0, 0, 0, false);
    assert_int_equal(effect(&lab, VASSAL_FX_FEED, 0)->as.feed.more, VASSAL_MORE_NONE);
}

static void
a_worker_does_not_wait_for_a_scheduler_that_is_silent(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_new();
    slot_event(&lab, VASSAL_EV_SLOT_ASKS, 0);
    lab.now += 29999 * 1000;
    give(&lab, &(struct vassal_event){ .kind = VASSAL_EV_TICK });
    assert_null(effect(&lab, VASSAL_FX_FEED, 0));
    lab.now += 1000;
    give(&lab, &(struct vassal_event){ .kind = VASSAL_EV_TICK });
    assert_int_equal(effect(&lab, VASSAL_FX_FEED, 0)->as.feed.more, VASSAL_MORE_NONE);
}

/* It sleeps without a word after NONE, so its last result is the sign. */
static void
a_worker_that_was_told_NONE_is_idle_after_its_last_result(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_new();
    assign(&lab, 0, 10, 2, false);
    report(&lab, 0, 10, 1);
    assert_false(has_said(&lab, DZ_MSG_mesh_slots));
    report(&lab, 0, 11, 2);
    assert_true(has_said(&lab, DZ_MSG_mesh_slots));
}

static void
a_workers_own_death_is_a_record_and_the_rest_goes_back(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_new();
    assign(&lab, 0, 10, 3, true);
    down(&lab, 0, DZ_CAUSE_SIGNAL, 10);
    const struct vassal_effect *fx = effect(&lab, VASSAL_FX_JOURNAL, 0);
    assert_int_equal(fx->as.journal.outcome.result, DZ_RESULT_CRASHED);
    assert_int_equal(fx->as.journal.outcome.what.test, 10);
    assert_int_equal(fx->as.journal.cause, DZ_CAUSE_SIGNAL);
    assert_true(has_said(&lab, DZ_MSG_mesh_back));
    assert_non_null(effect(&lab, VASSAL_FX_FORK, 0));
}

static void
a_test_above_its_time_limit_is_recorded_as_TIMEOUT(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_new();
    assign(&lab, 0, 10, 1, true);
    down(&lab, 0, DZ_CAUSE_TIMEOUT, 10);
    assert_int_equal(effect(&lab, VASSAL_FX_JOURNAL, 0)->as.journal.outcome.result,
                     DZ_RESULT_TIMEOUT);
}

static void
a_zygotes_death_is_no_tests_fault(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_new();
    assign(&lab, 0, 10, 2, true);
    down(&lab, 0, DZ_CAUSE_ZYGOTE, 10);
    assert_null(effect(&lab, VASSAL_FX_JOURNAL, 0));
    assert_true(has_said(&lab, DZ_MSG_mesh_back));
}

/* The mapping is a claim: a test can write anything there. */
static void
a_death_in_a_test_that_was_never_given_records_nothing(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_new();
    assign(&lab, 0, 10, 2, true);
    down(&lab, 0, DZ_CAUSE_SIGNAL, 55);
    assert_null(effect(&lab, VASSAL_FX_JOURNAL, 0));
}

static void
a_slot_whose_workers_never_run_a_test_is_given_up(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_new();
    for (int i = 0; i < 7; i++) {
        down(&lab, 0, DZ_CAUSE_EXITED, TOTAL);
        assert_non_null(effect(&lab, VASSAL_FX_FORK, 0));
        slot_event(&lab, VASSAL_EV_SLOT_UP, 0);
    }
    down(&lab, 0, DZ_CAUSE_EXITED, TOTAL);
    assert_null(effect(&lab, VASSAL_FX_FORK, 0));
    assert_int_equal(vassal_slot_state(lab.vassal, 0), VASSAL_SLOT_LOST);
}

static void
a_revoke_is_answered_with_what_had_not_begun(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_new();
    assign(&lab, 0, 10, 4, true);
    order(&lab, &(struct dz_msg){ .id = DZ_MSG_mesh_revoke, .as.mesh_revoke = { 0, 3 } });
    assert_int_equal(effect(&lab, VASSAL_FX_UNPUT, 0)->as.unput.count, 3);
    const struct dz_grant back[] = { { 13, 0 }, { 12, 0 } }; /* 11 was taken meanwhile */
    give(&lab, &(struct vassal_event){ .kind = VASSAL_EV_UNPUT,
                                       .as.back = { .grants = back, .count = 2 } });
    assert_int_equal(lab.last.id, DZ_MSG_mesh_back);
    assert_int_equal(lab.last.as.mesh_back.why, DZ_BACK_REVOKED);
    struct dz_list list = lab.last.as.mesh_back.grants;
    struct dz_item_grant item;
    assert_true(dz_grant_next(&list, &item));
    assert_int_equal(item.test, 12); /* in queue order */
}

static void
a_job_ends_when_workers_are_gone_and_all_is_acknowledged(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_new();
    assign(&lab, 0, 10, 1, true);
    report(&lab, 0, 10, 1);
    journaled(&lab, 1);
    order(&lab, &(struct dz_msg){ .id = DZ_MSG_mesh_drain });
    assert_int_equal(effect(&lab, VASSAL_FX_FEED, 1)->as.feed.more, VASSAL_MORE_END);
    down(&lab, 0, DZ_CAUSE_FINISHED, TOTAL);
    down(&lab, 1, DZ_CAUSE_FINISHED, TOTAL);
    assert_false(has_said(&lab, DZ_MSG_mesh_drained));
    rack(&lab, 1, DZ_WORD_COUNTED);
    assert_true(has_said(&lab, DZ_MSG_mesh_drained));
    order(&lab, &(struct dz_msg){ .id = DZ_MSG_mesh_seal,
                                  .as.mesh_seal = { .collected = 1, .counted = 1, .agrees = 1 } });
    assert_true(effect(&lab, VASSAL_FX_DONE, 0)->as.done.is_sealed);
    assert_true(effect(&lab, VASSAL_FX_DONE, 0)->as.done.account.agrees);
    assert_true(has_said(&lab, DZ_MSG_mesh_bye));
}

static void
a_seal_before_the_node_is_drained_is_refused(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_new();
    order(&lab, &(struct dz_msg){ .id = DZ_MSG_mesh_seal });
    assert_null(effect(&lab, VASSAL_FX_DONE, 0));
}

static void
a_stop_takes_back_what_has_not_begun_and_ends_the_workers(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_new();
    assign(&lab, 0, 10, 3, true);
    give(&lab, &(struct vassal_event){ .kind = VASSAL_EV_STOP, .as.stop = { 0, dz_str("-x") } });
    assert_true(has_said(&lab, DZ_MSG_mesh_stop));
    assert_non_null(effect(&lab, VASSAL_FX_UNPUT, 0));
    assert_int_equal(effect(&lab, VASSAL_FX_FEED, 0)->as.feed.more, VASSAL_MORE_END);
    assert_null(effect(&lab, VASSAL_FX_KILL, 0));
    give(&lab, &(struct vassal_event){ .kind = VASSAL_EV_STOP, .as.stop = { 1, dz_str("^C") } });
    assert_non_null(effect(&lab, VASSAL_FX_KILL, 1));
}

static void
a_node_that_leaves_says_bye_when_it_is_empty(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_new();
    give(&lab, &(struct vassal_event){ .kind = VASSAL_EV_LEAVE });
    down(&lab, 0, DZ_CAUSE_FINISHED, TOTAL);
    assert_false(has_said(&lab, DZ_MSG_mesh_bye));
    down(&lab, 1, DZ_CAUSE_FINISHED, TOTAL);
    assert_int_equal(lab.last.as.mesh_bye.why, DZ_BYE_TERMINATED);
    assert_false(effect(&lab, VASSAL_FX_DONE, 0)->as.done.is_sealed);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_result_is_told_only_when_it_is_journaled),
        cmocka_unit_test(grants_reach_the_worker_in_order),
        cmocka_unit_test(a_worker_that_asks_is_answered_with_what_the_scheduler_says),
        cmocka_unit_test(a_worker_does_not_wait_for_a_scheduler_that_is_silent),
        cmocka_unit_test(a_worker_that_was_told_NONE_is_idle_after_its_last_result),
        cmocka_unit_test(a_workers_own_death_is_a_record_and_the_rest_goes_back),
        cmocka_unit_test(a_test_above_its_time_limit_is_recorded_as_TIMEOUT),
        cmocka_unit_test(a_zygotes_death_is_no_tests_fault),
        cmocka_unit_test(a_death_in_a_test_that_was_never_given_records_nothing),
        cmocka_unit_test(a_slot_whose_workers_never_run_a_test_is_given_up),
        cmocka_unit_test(a_revoke_is_answered_with_what_had_not_begun),
        cmocka_unit_test(a_job_ends_when_workers_are_gone_and_all_is_acknowledged),
        cmocka_unit_test(a_seal_before_the_node_is_drained_is_refused),
        cmocka_unit_test(a_stop_takes_back_what_has_not_begun_and_ends_the_workers),
        cmocka_unit_test(a_node_that_leaves_says_bye_when_it_is_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
