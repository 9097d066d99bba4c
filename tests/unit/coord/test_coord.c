/* A scheduler among nodes that say exactly what the test wants. */
#include "coord/core/coord.h"
#include "shared/wire/flow.h"
#include "shared/wire/frame.h"
#include "shared/wire/model.h"
#include "tests/unit/unit.h"

enum { TOTAL = 6, DIGEST = 5, SLOTS = 2, NODES = 2, FX_MAX = 64, ORDERS_MAX = 64 };

/* What a node was told, in its order. */
struct told {
    enum dz_msg_id id;
    uint64_t slot, follow, how, count;
    uint32_t tests[DZ_GRANTS_MAX];
    enum dz_word word;
};

struct lab {
    struct coord *coord; /* owned */
    dz_us now;
    struct dz_flow flows[NODES + 1]; /* the nodes' ends, by node id */
    struct dz_buf frame;
    struct told told[ORDERS_MAX]; /* of the last step, whoever was told */
    size_t told_count;
    struct coord_effect fx[FX_MAX]; /* of the last step, without SEND */
    size_t fx_count;
};

static void
note_assign(struct told *told, const struct dz_msg_mesh_assign *assign)
{
    struct dz_list list = assign->grants;
    struct dz_item_grant grant;
    told->slot = assign->slot;
    told->follow = assign->follow;
    while (dz_grant_next(&list, &grant))
        told->tests[told->count++] = (uint32_t) grant.test;
}

static void
note_told(struct lab *lab, uint64_t node, struct dz_slice frame)
{
    struct dz_msg_mesh from;
    struct dz_msg msg;
    struct dz_flow *flow = &lab->flows[node];
    assert_ok(dz_mesh_open(frame, &from));
    if (from.body.len == 0)
        return;
    assert_ok(dz_msg_decode(from.body, &msg));
    if (msg.id == DZ_MSG_mesh_lead) {
        flow->epoch = (struct dz_epoch){ from.epoch_n, from.epoch_node, from.epoch_inc };
        flow->session = from.session;
        flow->peer_inc = from.inc;
        dz_flow_open(flow);
    } else if (!dz_flow_fits(flow, &from) || !dz_flow_hear(flow, &from, lab->now)) {
        return;
    }
    assert_true(lab->told_count < ORDERS_MAX);
    struct told *told = &lab->told[lab->told_count++];
    *told = (struct told){ .id = msg.id };
    if (msg.id == DZ_MSG_mesh_assign)
        note_assign(told, &msg.as.mesh_assign);
    if (msg.id == DZ_MSG_mesh_drain)
        told->how = msg.as.mesh_drain.how;
    if (msg.id == DZ_MSG_mesh_revoke) {
        told->slot = msg.as.mesh_revoke.slot;
        told->count = msg.as.mesh_revoke.count;
    }
    struct dz_item_rack rack;
    if (msg.id == DZ_MSG_mesh_rack && dz_rack_next(&msg.as.mesh_rack.racks, &rack))
        told->word = (enum dz_word) rack.word;
}

static void
give(struct lab *lab, const struct coord_event *event)
{
    struct coord_effects fx;
    lab->told_count = lab->fx_count = 0;
    coord_step(lab->coord, event, lab->now, &fx);
    coord_check(lab->coord);
    for (size_t i = 0; i < fx.count; i++) {
        if (fx.items[i].kind == COORD_FX_SEND)
            note_told(lab, fx.items[i].as.send.node, fx.items[i].as.send.frame);
        else
            lab->fx[lab->fx_count++] = fx.items[i];
    }
}

static const struct coord_effect *
effect(const struct lab *lab, enum coord_effect_kind kind)
{
    for (size_t i = 0; i < lab->fx_count; i++)
        if (lab->fx[i].kind == kind)
            return &lab->fx[i];
    return NULL;
}

/* NULL: nobody was told such a thing. */
static const struct told *
told(const struct lab *lab, enum dz_msg_id id, unsigned nth)
{
    for (size_t i = 0; i < lab->told_count; i++)
        if (lab->told[i].id == id && nth-- == 0)
            return &lab->told[i];
    return NULL;
}

static void
hear(struct lab *lab)
{
    give(lab, &(struct coord_event){ .kind = COORD_EV_MESSAGE,
                                     .as.message = dz_buf_slice(&lab->frame) });
    dz_buf_clear(&lab->frame);
}

static void
say(struct lab *lab, uint64_t node, const struct dz_msg *msg)
{
    dz_flow_say(&lab->flows[node], msg, lab->now, &lab->frame);
    hear(lab);
}

static void
hello(struct lab *lab, uint64_t node, uint64_t digest)
{
    struct dz_flow outside = { .job = dz_str("J"), .node = node, .inc = lab->flows[node].inc };
    struct dz_msg msg = { .id = DZ_MSG_mesh_hello,
                          .as.mesh_hello = { .slots = SLOTS, .total = TOTAL, .digest = digest } };
    dz_flow_open(&outside);
    dz_flow_whisper(&outside, &msg, &lab->frame);
    dz_flow_fini(&outside);
    hear(lab);
}

static void
tell_slots(struct lab *lab, uint64_t node, enum dz_slot_say what, bool is_state)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
    struct dz_list list = { 0 };
    for (unsigned s = 0; s < SLOTS; s++) {
        struct dz_item_slot item = { s, what };
        dz_slot_add(&list, &bytes, &item);
    }
    struct dz_msg state = { .id = DZ_MSG_mesh_state,
                            .as.mesh_state = { .slots = list, .last = 1 } };
    struct dz_msg slots = { .id = DZ_MSG_mesh_slots, .as.mesh_slots = { .slots = list } };
    say(lab, node, is_state ? &state : &slots);
}

static void
join(struct lab *lab, uint64_t node)
{
    hello(lab, node, DIGEST);
    tell_slots(lab, node, DZ_SLOT_UP, true);
}

static void
report(struct lab *lab, uint64_t node, uint32_t test, enum dz_result result, uint64_t exec)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
    struct dz_msg msg = { .id = DZ_MSG_mesh_result };
    struct dz_item_outcome item = { .test = test,
                                    .exec = exec,
                                    .result = result,
                                    .call_us = 1000,
                                    .inc = lab->flows[node].inc,
                                    .record = exec };
    dz_outcome_add(&msg.as.mesh_result.outcomes, &bytes, &item);
    say(lab, node, &msg);
}

static void
counted(struct lab *lab, uint64_t batch, enum dz_word word)
{
    const struct coord_answer answer = { .word = word };
    give(lab, &(struct coord_event){ .kind = COORD_EV_COUNTED, .as.counted = { batch, &answer } });
}

/* One module per test, all unknown: each slot is given them one after another. */
static struct lab
lab_new(unsigned strikes)
{
    static const char *const ids[TOTAL] = { "a.py::t", "b.py::t", "c.py::t",
                                            "d.py::t", "e.py::t", "f.py::t" };
    struct lab lab = { .now = 1000000 };
    struct coord_cfg cfg = { .job = dz_str("J"), .node = 1, .inc = 1, .strikes = strikes };
    struct coord_test tests[TOTAL];
    for (uint32_t t = 0; t < TOTAL; t++)
        tests[t] = (struct coord_test){ .id = dz_str(ids[t]), .order = t };
    for (uint64_t n = 1; n <= NODES; n++)
        lab.flows[n] = (struct dz_flow){ .job = dz_str("J"), .node = n, .inc = 9 };
    lab.coord = coord_new(&cfg);
    give(&lab, &(struct coord_event){ .kind = COORD_EV_START, .as.start.seen_n = 4 });
    assert_int_equal(effect(&lab, COORD_FX_PERSIST)->as.persist.n, 5);
    give(&lab, &(struct coord_event){ .kind = COORD_EV_MANIFEST,
                                      .as.manifest = { tests, TOTAL, DIGEST } });
    return lab;
}

static struct lab
lab_leading(unsigned strikes)
{
    struct lab lab = lab_new(strikes);
    give(&lab, &(struct coord_event){ .kind = COORD_EV_PERSISTED });
    return lab;
}

static void
lab_fini(struct lab *lab)
{
    coord_destroy(&lab->coord);
    for (unsigned n = 1; n <= NODES; n++)
        dz_flow_fini(&lab->flows[n]);
    dz_buf_fini(&lab->frame);
}

static void
nobody_is_led_before_the_epoch_is_on_disk(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_new(3);
    hello(&lab, 1, DIGEST);
    assert_int_equal(lab.told_count, 0);
    give(&lab, &(struct coord_event){ .kind = COORD_EV_PERSISTED });
    hello(&lab, 1, DIGEST);
    assert_non_null(told(&lab, DZ_MSG_mesh_lead, 0));
}

static void
tests_are_granted_when_the_state_is_told(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_leading(3);
    hello(&lab, 1, DIGEST);
    assert_null(told(&lab, DZ_MSG_mesh_assign, 0));
    tell_slots(&lab, 1, DZ_SLOT_UP, true);
    assert_int_equal(told(&lab, DZ_MSG_mesh_assign, 0)->slot, 0);
    assert_int_equal(told(&lab, DZ_MSG_mesh_assign, 0)->tests[0], 0);
    assert_int_equal(told(&lab, DZ_MSG_mesh_assign, 1)->slot, 1);
}

static void
a_node_with_other_tests_is_told_so(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_leading(3);
    hello(&lab, 2, DIGEST + 1);
    assert_null(told(&lab, DZ_MSG_mesh_lead, 0));
}

static void
a_result_is_acknowledged_when_the_ledger_has_it(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_leading(3);
    join(&lab, 1);
    report(&lab, 1, 0, DZ_RESULT_OK, 1);
    assert_int_equal(effect(&lab, COORD_FX_COUNT)->as.count.count, 1);
    assert_null(told(&lab, DZ_MSG_mesh_rack, 0));
    counted(&lab, 1, DZ_WORD_COUNTED);
    assert_int_equal(told(&lab, DZ_MSG_mesh_rack, 0)->word, DZ_WORD_COUNTED);
    struct coord_progress progress;
    coord_progress(lab.coord, &progress);
    assert_int_equal(progress.done, 1);
}

static void
only_the_last_strike_counts(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_leading(3);
    join(&lab, 1);
    report(&lab, 1, 0, DZ_RESULT_CRASHED, 1);
    assert_true(effect(&lab, COORD_FX_COUNT)->as.count.records[0].is_history);
    report(&lab, 1, 0, DZ_RESULT_CRASHED, 2);
    assert_true(effect(&lab, COORD_FX_COUNT)->as.count.records[0].is_history);
    report(&lab, 1, 0, DZ_RESULT_CRASHED, 2); /* told twice: the same death */
    assert_true(effect(&lab, COORD_FX_COUNT)->as.count.records[0].is_history);
    report(&lab, 1, 0, DZ_RESULT_CRASHED, 3);
    assert_false(effect(&lab, COORD_FX_COUNT)->as.count.records[0].is_history);
}

static void
a_timeout_counts_at_once(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_leading(3);
    join(&lab, 1);
    report(&lab, 1, 0, DZ_RESULT_TIMEOUT, 1);
    assert_false(effect(&lab, COORD_FX_COUNT)->as.count.records[0].is_history);
}

static void
a_slot_that_waits_is_answered_even_with_nothing(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_leading(3);
    join(&lab, 1);
    for (int round = 0; round < TOTAL; round++)
        tell_slots(&lab, 1, DZ_SLOT_WANT, false);
    tell_slots(&lab, 1, DZ_SLOT_WANT, false);
    assert_int_equal(told(&lab, DZ_MSG_mesh_assign, 0)->count, 0);
    assert_int_equal(told(&lab, DZ_MSG_mesh_assign, 0)->follow, 0);
}

/* Node 1 says that there is nothing to take back.  How often was it asked? */
static unsigned
answer_revokes(struct lab *lab)
{
    struct told asked[ORDERS_MAX];
    unsigned count = 0;
    for (size_t i = 0; i < lab->told_count; i++)
        if (lab->told[i].id == DZ_MSG_mesh_revoke)
            asked[count++] = lab->told[i];
    for (unsigned i = 0; i < count; i++)
        say(lab, 1,
            &(struct dz_msg){ .id = DZ_MSG_mesh_back,
                              .as.mesh_back = { .slot = asked[i].slot, .why = DZ_BACK_REVOKED } });
    return count;
}

static void
a_slot_that_has_nothing_to_give_back_is_not_asked_again(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_leading(3);
    join(&lab, 1);
    for (int round = 0; round < TOTAL; round++)
        tell_slots(&lab, 1, DZ_SLOT_UP, false);
    join(&lab, 2);
    tell_slots(&lab, 2, DZ_SLOT_WANT, false);
    unsigned asked = 0;
    for (int ms = 0; ms < 900; ms += 30) {
        lab.now += 30 * 1000;
        give(&lab, &(struct coord_event){ .kind = COORD_EV_TICK });
        asked += answer_revokes(&lab);
    }
    assert_in_range(asked, 1, SLOTS);
}

static bool
is_granted(const struct lab *lab, uint32_t test)
{
    for (size_t t = 0; t < lab->told_count; t++)
        for (uint64_t i = 0; i < lab->told[t].count; i++)
            if (lab->told[t].id == DZ_MSG_mesh_assign && lab->told[t].tests[i] == test)
                return true;
    return false;
}

static void
a_silent_nodes_tests_go_elsewhere(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_leading(3);
    join(&lab, 1);
    join(&lab, 2);
    bool is_elsewhere[TOTAL];
    for (uint32_t t = 0; t < TOTAL; t++)
        is_elsewhere[t] = is_granted(&lab, t); /* to node 2, which is silent from now on */
    uint32_t test = TOTAL;
    uint64_t batch = 0;
    for (uint32_t t = 0; t < TOTAL; t++) {
        if (is_elsewhere[t]) {
            test = t;
            continue;
        }
        report(&lab, 1, t, DZ_RESULT_OK, t + 1);
        counted(&lab, ++batch, DZ_WORD_COUNTED);
    }
    assert_true(test < TOTAL);
    tell_slots(&lab, 1, DZ_SLOT_WANT, false);
    for (int ms = 0; ms < 1100; ms += 100) {
        lab.now += 100 * 1000;
        give(&lab, &(struct coord_event){ .kind = COORD_EV_TICK });
        if (is_granted(&lab, test))
            return;
    }
    fail_msg("test %u of the silent node was given to nobody", test);
}

static void
a_greater_epoch_ends_this_scheduler(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_leading(3);
    join(&lab, 1);
    lab.flows[1].epoch.n = 6;
    dz_flow_whisper(&lab.flows[1], NULL, &lab.frame);
    hear(&lab);
    assert_non_null(effect(&lab, COORD_FX_DEPOSED));
    hello(&lab, 2, DIGEST);
    assert_int_equal(lab.told_count + lab.fx_count, 0);
}

static void
count_all(struct lab *lab)
{
    for (uint32_t t = 0; t < TOTAL; t++) {
        report(lab, 1, t, t == 0 ? DZ_RESULT_FAILED : DZ_RESULT_OK, t + 1);
        counted(lab, t + 1, DZ_WORD_COUNTED);
    }
}

static void
a_job_is_drained_sealed_and_done(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_leading(3);
    join(&lab, 1);
    count_all(&lab);
    assert_int_equal(told(&lab, DZ_MSG_mesh_drain, 0)->how, 0);
    say(&lab, 1, &(struct dz_msg){ .id = DZ_MSG_mesh_drained });
    const struct coord_account sealed = effect(&lab, COORD_FX_SEAL)->as.seal;
    assert_int_equal(sealed.counted, TOTAL);
    assert_int_equal(sealed.failed, 1);
    give(&lab,
         &(struct coord_event){ .kind = COORD_EV_SEALED, .as.sealed = { TOTAL, sealed.digest } });
    assert_non_null(told(&lab, DZ_MSG_mesh_seal, 0));
    say(&lab, 1, &(struct dz_msg){ .id = DZ_MSG_mesh_bye });
    assert_true(effect(&lab, COORD_FX_DONE)->as.done.agrees);
    assert_int_equal(effect(&lab, COORD_FX_DONE)->as.done.not_run, 0);
}

static void
a_ledger_that_holds_something_else_does_not_agree(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_leading(3);
    join(&lab, 1);
    count_all(&lab);
    say(&lab, 1, &(struct dz_msg){ .id = DZ_MSG_mesh_drained });
    uint64_t digest = effect(&lab, COORD_FX_SEAL)->as.seal.digest;
    give(&lab,
         &(struct coord_event){ .kind = COORD_EV_SEALED, .as.sealed = { TOTAL, digest + 1 } });
    say(&lab, 1, &(struct dz_msg){ .id = DZ_MSG_mesh_bye });
    assert_false(effect(&lab, COORD_FX_DONE)->as.done.agrees);
}

static void
a_stop_drains_with_tests_not_run(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_leading(3);
    join(&lab, 1);
    say(&lab, 1, &(struct dz_msg){ .id = DZ_MSG_mesh_stop, .as.mesh_stop = { .how = 1 } });
    assert_int_equal(told(&lab, DZ_MSG_mesh_drain, 0)->how, 2);
    assert_null(told(&lab, DZ_MSG_mesh_assign, 0));
    say(&lab, 1, &(struct dz_msg){ .id = DZ_MSG_mesh_drained });
    assert_int_equal(effect(&lab, COORD_FX_SEAL)->as.seal.not_run, TOTAL);
}

static void
what_the_ledger_held_before_is_not_run_again(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_leading(3);
    struct coord_row rows[TOTAL - 1] = { 0 };
    for (uint32_t t = 0; t < TOTAL - 1; t++)
        rows[t] =
            (struct coord_row){ .what = { t, 0 }, .result = DZ_RESULT_OK, .is_counted = true };
    give(&lab, &(struct coord_event){ .kind = COORD_EV_LEDGER, .as.ledger = { rows, TOTAL - 1 } });
    join(&lab, 1);
    assert_int_equal(told(&lab, DZ_MSG_mesh_assign, 0)->count, 1);
    assert_int_equal(told(&lab, DZ_MSG_mesh_assign, 0)->tests[0], TOTAL - 1);
    assert_null(told(&lab, DZ_MSG_mesh_assign, 1));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_led_before_the_epoch_is_on_disk),
        cmocka_unit_test(tests_are_granted_when_the_state_is_told),
        cmocka_unit_test(a_node_with_other_tests_is_told_so),
        cmocka_unit_test(a_result_is_acknowledged_when_the_ledger_has_it),
        cmocka_unit_test(only_the_last_strike_counts),
        cmocka_unit_test(a_timeout_counts_at_once),
        cmocka_unit_test(a_slot_that_waits_is_answered_even_with_nothing),
        cmocka_unit_test(a_slot_that_has_nothing_to_give_back_is_not_asked_again),
        cmocka_unit_test(a_silent_nodes_tests_go_elsewhere),
        cmocka_unit_test(a_greater_epoch_ends_this_scheduler),
        cmocka_unit_test(a_job_is_drained_sealed_and_done),
        cmocka_unit_test(a_ledger_that_holds_something_else_does_not_agree),
        cmocka_unit_test(a_stop_drains_with_tests_not_run),
        cmocka_unit_test(what_the_ledger_held_before_is_not_run_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
