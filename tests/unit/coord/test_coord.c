/* Whom a scheduler leads, what it grants, and when the job is over. */
#include "tests/unit/coord/lab.h"

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

/* Others have collected, and this node has not. */
static void
without_a_manifest_it_leaves_the_job_to_those_who_have_one(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_without_manifest(3, 0);
    give(&lab, &(struct coord_event){ .kind = COORD_EV_PERSISTED });
    hello(&lab, 2, DIGEST);
    lab.now += 1900000;
    hello(&lab, 2, DIGEST);
    assert_int_equal(lab.fx_count, 0);
    lab.now += 200000;
    hello(&lab, 2, DIGEST);
    assert_int_equal(effect(&lab, COORD_FX_DEPOSED)->as.deposed.n, 0);
}

/* The one before may have died before it could say that they had joined. */
static void
one_that_takes_over_waits_for_nodes_that_it_has_not_heard_of(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_new_after(3, 4);
    give(&lab, &(struct coord_event){ .kind = COORD_EV_PERSISTED });
    join(&lab, 1);
    assert_null(told(&lab, DZ_MSG_mesh_assign, 0));
    assert_true(coord_next(lab.coord) > lab.now && coord_next(lab.coord) < lab.now + 100000);
    while (!told(&lab, DZ_MSG_mesh_assign, 0) && lab.now < 2000000) {
        lab.now = coord_next(lab.coord);
        give(&lab, &(struct coord_event){ .kind = COORD_EV_TICK });
    }
    assert_true(lab.now > 1000000 && lab.now < 1100000);
}

static void
tests_are_granted_when_the_state_is_told(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_leading(3);
    hello(&lab, 1, DIGEST);
    assert_null(told(&lab, DZ_MSG_mesh_assign, 0));
    tell_state(&lab, 1, DZ_SLOT_UP, 0);
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
a_slot_that_waits_is_answered_even_with_nothing(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_leading(3);
    join(&lab, 1);
    for (int round = 0; round < TOTAL; round++)
        tell_slots(&lab, 1, DZ_SLOT_WANT);
    tell_slots(&lab, 1, DZ_SLOT_WANT);
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
        tell_slots(&lab, 1, DZ_SLOT_UP);
    join(&lab, 2);
    tell_slots(&lab, 2, DZ_SLOT_WANT);
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
    tell_slots(&lab, 1, DZ_SLOT_WANT);
    for (int ms = 0; ms < 1100; ms += 100) {
        lab.now += 100 * 1000;
        give(&lab, &(struct coord_event){ .kind = COORD_EV_TICK });
        if (is_granted(&lab, test))
            return;
    }
    fail_msg("test %u of the silent node was given to nobody", test);
}

/* It ran before this scheduler granted the test again, in the same slot. */
static void
a_result_that_was_announced_frees_no_slot(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_leading(3);
    join(&lab, 1);
    hello(&lab, 2, DIGEST);
    tell_state(&lab, 2, DZ_SLOT_UP, 1);
    unsigned nth = 0;
    while (told(&lab, DZ_MSG_mesh_assign, nth)->slot != 0)
        nth++;
    uint32_t test = told(&lab, DZ_MSG_mesh_assign, nth)->tests[0];
    tell_slots(&lab, 1, DZ_SLOT_WANT);
    report(&lab, 2, test, DZ_RESULT_CRASHED, 1);
    assert_false(is_granted(&lab, test));
    tell_slots(&lab, 1, DZ_SLOT_WANT);
    assert_false(is_granted(&lab, test));
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
a_job_is_drained_sealed_and_done(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_leading(3);
    join(&lab, 1);
    count_all(&lab);
    assert_int_equal(told(&lab, DZ_MSG_mesh_drain, 0)->how, 0);
    say(&lab, 1, &(struct dz_msg){ .id = DZ_MSG_mesh_drained });
    const struct dz_account sealed = effect(&lab, COORD_FX_SEAL)->as.seal;
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

/* All of our own are counted; node 2 has two of its own, of which the ledger named one. */
static void
what_only_the_ledger_named_is_tied_as_its_node_says(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_leading(3);
    DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
    const struct dz_slice named = dz_str("z.py::t");
    struct coord_row rows[TOTAL] = { 0 };
    for (uint32_t t = 0; t < TOTAL; t++)
        rows[t] =
            (struct coord_row){ .what = { t, 0 }, .result = DZ_RESULT_OK, .is_counted = true };
    manifest(&lab);
    give(&lab, &(struct coord_event){ .kind = COORD_EV_TESTS, .as.tests = { &named, 1 } });
    give(&lab, &(struct coord_event){ .kind = COORD_EV_LEDGER, .as.ledger = { rows, TOTAL } });
    join(&lab, 1);
    hello(&lab, 2, DIGEST + 1);
    struct dz_msg own = { .id = DZ_MSG_mesh_own, .as.mesh_own.last = 1 };
    const struct dz_item_own items[] = { { .id = dz_str("y.py::t") },
                                         { .id = named, .group = dz_str("!x:gx") } };
    for (size_t i = 0; i < DZ_LEN(items); i++)
        dz_own_add(&own.as.mesh_own.tests, &bytes, &items[i]);
    say(&lab, 2, &own);
    tell_state(&lab, 2, DZ_SLOT_UP, 0);
    unsigned granted = 0;
    for (size_t i = 0; i < lab.told_count; i++)
        granted += lab.told[i].id == DZ_MSG_mesh_assign && lab.told[i].count > 0;
    assert_int_equal(granted, 1);
}

static void
manifest_of_one_group(struct lab *lab)
{
    struct coord_test tests[TOTAL];
    static const char *const ids[TOTAL] = { "a::0", "a::1", "a::2", "a::3", "a::4", "a::5" };
    for (uint32_t t = 0; t < TOTAL; t++)
        tests[t] = (struct coord_test){ .id = dz_str(ids[t]), .group = dz_str("gx"), .order = t };
    give(lab, &(struct coord_event){ .kind = COORD_EV_MANIFEST,
                                     .as.manifest = { tests, TOTAL, DIGEST, 0 } });
}

/* Node 1 still runs a test of the group, which is counted already, when node 2 brings one more. */
static void
what_a_drained_slot_had_begun_of_a_group_is_for_others(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_without_manifest(3, 0);
    DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
    struct coord_row rows[TOTAL] = { 0 };
    for (uint32_t t = 0; t < TOTAL; t++)
        rows[t] =
            (struct coord_row){ .what = { t, 0 }, .result = DZ_RESULT_OK, .is_counted = true };
    give(&lab, &(struct coord_event){ .kind = COORD_EV_PERSISTED });
    manifest_of_one_group(&lab);
    manifest_of_one_group(&lab); /* as an answer to RETELL */
    join(&lab, 1);
    assert_true(told(&lab, DZ_MSG_mesh_assign, 0)->count > 0);
    give(&lab, &(struct coord_event){ .kind = COORD_EV_LEDGER, .as.ledger = { rows, TOTAL } });
    assert_non_null(told(&lab, DZ_MSG_mesh_drain, 0));
    hello(&lab, 2, DIGEST + 1);
    struct dz_msg own = { .id = DZ_MSG_mesh_own, .as.mesh_own.last = 1 };
    const struct dz_item_own item = { .id = dz_str("a::6"), .group = dz_str("gx") };
    dz_own_add(&own.as.mesh_own.tests, &bytes, &item);
    say(&lab, 2, &own);
    tell_state(&lab, 2, DZ_SLOT_UP, 0);
    assert_non_null(told(&lab, DZ_MSG_mesh_assign, 0));
    assert_true(told(&lab, DZ_MSG_mesh_assign, 0)->count > 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_result_that_was_announced_frees_no_slot),
        cmocka_unit_test(nobody_is_led_before_the_epoch_is_on_disk),
        cmocka_unit_test(without_a_manifest_it_leaves_the_job_to_those_who_have_one),
        cmocka_unit_test(one_that_takes_over_waits_for_nodes_that_it_has_not_heard_of),
        cmocka_unit_test(tests_are_granted_when_the_state_is_told),
        cmocka_unit_test(a_node_with_other_tests_is_told_so),
        cmocka_unit_test(a_result_is_acknowledged_when_the_ledger_has_it),
        cmocka_unit_test(a_slot_that_waits_is_answered_even_with_nothing),
        cmocka_unit_test(a_slot_that_has_nothing_to_give_back_is_not_asked_again),
        cmocka_unit_test(a_silent_nodes_tests_go_elsewhere),
        cmocka_unit_test(a_greater_epoch_ends_this_scheduler),
        cmocka_unit_test(a_job_is_drained_sealed_and_done),
        cmocka_unit_test(a_stop_drains_with_tests_not_run),
        cmocka_unit_test(what_the_ledger_held_before_is_not_run_again),
        cmocka_unit_test(what_only_the_ledger_named_is_tied_as_its_node_says),
        cmocka_unit_test(what_a_drained_slot_had_begun_of_a_group_is_for_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
