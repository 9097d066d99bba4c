/* A node under a scheduler that says exactly what the test wants. */
#include "shared/wire/flow.h"
#include "shared/wire/frame.h"
#include "tests/unit/unit.h"
#include "vassal/core/vassal.h"

enum { TOTAL = 100, DIGEST = 5, SLOTS = 2, SAID_MAX = 64, FX_MAX = 64 };

struct lab {
    struct vassal *vassal; /* owned */
    dz_us now;
    struct dz_flow flow; /* the scheduler's end */
    struct dz_buf frame;
    enum dz_msg_id said[SAID_MAX]; /* by the node, in the last step */
    struct dz_msg last;            /* its last body; borrows from the last step */
    size_t said_count;
    struct vassal_effect fx[FX_MAX]; /* of the last step, without SEND */
    size_t fx_count;
};

static void
note_said(struct lab *lab, struct dz_slice frame)
{
    struct dz_msg_mesh from;
    assert_ok(dz_mesh_open(frame, &from));
    if (dz_flow_fits(&lab->flow, &from))
        (void) dz_flow_hear(&lab->flow, &from, lab->now);
    if (from.body.len == 0)
        return;
    assert_ok(dz_msg_decode(from.body, &lab->last));
    assert_true(lab->said_count < SAID_MAX);
    lab->said[lab->said_count++] = lab->last.id;
}

static void
give(struct lab *lab, const struct vassal_event *event)
{
    struct vassal_effects fx;
    lab->said_count = lab->fx_count = 0;
    vassal_step(lab->vassal, event, lab->now, &fx);
    vassal_check(lab->vassal);
    for (size_t i = 0; i < fx.count; i++) {
        if (fx.items[i].kind == VASSAL_FX_SEND)
            note_said(lab, fx.items[i].as.send.frame);
        else
            lab->fx[lab->fx_count++] = fx.items[i];
    }
}

static bool
has_said(const struct lab *lab, enum dz_msg_id id)
{
    for (size_t i = 0; i < lab->said_count; i++)
        if (lab->said[i] == id)
            return true;
    return false;
}

/* The nth effect of a kind; NULL: there are not so many. */
static const struct vassal_effect *
effect(const struct lab *lab, enum vassal_effect_kind kind, unsigned nth)
{
    for (size_t i = 0; i < lab->fx_count; i++)
        if (lab->fx[i].kind == kind && nth-- == 0)
            return &lab->fx[i];
    return NULL;
}

static void
hear(struct lab *lab)
{
    give(lab, &(struct vassal_event){ .kind = VASSAL_EV_MESSAGE,
                                      .as.message = dz_buf_slice(&lab->frame) });
    dz_buf_clear(&lab->frame);
}

static void
order(struct lab *lab, const struct dz_msg *msg)
{
    dz_flow_say(&lab->flow, msg, lab->now, &lab->frame);
    hear(lab);
}

static void
lead(struct lab *lab, uint64_t n, uint64_t session)
{
    lab->flow.epoch = (struct dz_epoch){ n, 1, 1 };
    lab->flow.session = session;
    dz_flow_open(&lab->flow);
    struct dz_msg msg = { .id = DZ_MSG_mesh_lead,
                          .as.mesh_lead = { .hb_ms = 100, .dead_ms = 1000 } };
    dz_flow_whisper(&lab->flow, &msg, &lab->frame);
    hear(lab);
}

static void
assign(struct lab *lab, unsigned slot, uint32_t first, unsigned count, bool does_follow)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
    struct dz_msg msg = { .id = DZ_MSG_mesh_assign,
                          .as.mesh_assign = { .slot = slot, .follow = does_follow } };
    for (uint32_t i = 0; i < count; i++) {
        struct dz_item_grant grant = { .test = first + i };
        dz_grant_add(&msg.as.mesh_assign.grants, &bytes, &grant);
    }
    order(lab, &msg);
}

static void
rack(struct lab *lab, uint64_t record, enum dz_word word)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
    struct dz_msg msg = { .id = DZ_MSG_mesh_rack };
    struct dz_item_rack item = { record, word };
    dz_rack_add(&msg.as.mesh_rack.racks, &bytes, &item);
    order(lab, &msg);
}

static void
slot_event(struct lab *lab, enum vassal_event_kind kind, unsigned slot)
{
    give(lab, &(struct vassal_event){ .kind = kind, .as.slot.slot = slot });
}

static void
report(struct lab *lab, unsigned slot, uint32_t test, uint64_t exec)
{
    give(lab, &(struct vassal_event){
                  .kind = VASSAL_EV_RESULT,
                  .as.result = {
                      .what = { test, 0 }, .result = DZ_RESULT_OK, .slot = slot, .exec = exec } });
}

static void
journaled(struct lab *lab, uint64_t record)
{
    give(lab, &(struct vassal_event){ .kind = VASSAL_EV_JOURNALED, .as.journaled.record = record });
}

static void
down(struct lab *lab, unsigned slot, enum dz_cause cause, uint32_t ran)
{
    give(lab, &(struct vassal_event){ .kind = VASSAL_EV_SLOT_DOWN,
                                      .as.down = { .slot = slot,
                                                   .cause = cause,
                                                   .has_ran = ran < TOTAL,
                                                   .ran = { ran, 0 },
                                                   .exec = 77 } });
}

/* A node that serves, with both workers up. */
static struct lab
lab_new(void)
{
    struct lab lab = { .now = 1000000 };
    struct vassal_cfg cfg = { .job = dz_str("J"), .node = 2, .inc = 9, .slots = SLOTS };
    lab.vassal = vassal_new(&cfg);
    lab.flow = (struct dz_flow){ .job = dz_str("J"), .node = 1, .inc = 1, .peer_inc = 9 };
    give(&lab,
         &(struct vassal_event){ .kind = VASSAL_EV_MANIFEST, .as.manifest = { TOTAL, DIGEST, 0 } });
    assert_true(has_said(&lab, DZ_MSG_mesh_hello));
    assert_non_null(effect(&lab, VASSAL_FX_FORK, SLOTS - 1));
    lead(&lab, 1, 1);
    assert_true(has_said(&lab, DZ_MSG_mesh_state));
    for (unsigned s = 0; s < SLOTS; s++)
        slot_event(&lab, VASSAL_EV_SLOT_UP, s);
    return lab;
}

static void
lab_fini(struct lab *lab)
{
    vassal_destroy(&lab->vassal);
    dz_flow_fini(&lab->flow);
    dz_buf_fini(&lab->frame);
}

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

static void
answer(struct lab *lab, enum dz_lease_word word, struct dz_epoch epoch)
{
    uint64_t number = effect(lab, VASSAL_FX_ASK, 0)->as.ask.number;
    struct vassal_event event = { .kind = VASSAL_EV_ANSWER,
                                  .as.answer = { number, { word, epoch, 0, 0 }, { 0 } } };
    give(lab, &event);
}

/* The old scheduler was only slow: it ends the job before the new one has led anybody. */
static void
a_node_whose_job_another_scheduler_ends_abdicates(void **state)
{
    (void) state;
    struct vassal_cfg cfg = {
        .job = dz_str("J"), .node = 2, .inc = 9, .slots = 1, .rendezvous = VASSAL_MEETS
    };
    DZ_AUTO(lab_fini)
    struct lab lab = { .now = 1000000,
                       .vassal = vassal_new(&cfg),
                       .flow = { .job = dz_str("J"), .node = 1, .inc = 1, .peer_inc = 9 } };
    give(&lab, &(struct vassal_event){ .kind = VASSAL_EV_JOIN });
    answer(&lab, DZ_LEASE_HELD, (struct dz_epoch){ 1, 1, 1 });
    give(&lab, &(struct vassal_event){ .kind = VASSAL_EV_MANIFEST, .as.manifest = { 1, DIGEST } });
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
    assert_true(effect(&lab, VASSAL_FX_DONE, 0)->as.done.agrees);
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
        cmocka_unit_test(a_new_session_tells_again_what_was_not_acknowledged),
        cmocka_unit_test(a_lower_epoch_is_answered_with_nack_and_obeyed_in_nothing),
        cmocka_unit_test(a_nack_is_not_answered),
        cmocka_unit_test(a_node_whose_job_another_scheduler_ends_abdicates),
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
