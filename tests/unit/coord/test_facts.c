/* What counts: strikes, and the ledger's word. */
#include "coord/core/inside.h"
#include "tests/unit/coord/lab.h"

static void
answered(struct lab *lab, uint64_t batch, struct coord_answer answer)
{
    give(lab, &(struct coord_event){ .kind = COORD_EV_COUNTED, .as.counted = { batch, &answer } });
}

static struct coord_progress
progress(const struct lab *lab)
{
    struct coord_progress out;
    coord_progress(lab->coord, &out);
    return out;
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

/* Another scheduler was told of the same deaths in another order, and took this one for a strike. */
static void
a_last_strike_counts_what_the_ledger_says_of_it(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_leading(1);
    join(&lab, 1);
    report(&lab, 1, 0, DZ_RESULT_CRASHED, 1);
    answered(
        &lab, 1,
        (struct coord_answer){ .word = DZ_WORD_STRIKE, .is_repeat = true, .counts = DZ_RESULT_OK });
    assert_int_equal(progress(&lab).done, 1);
    assert_int_equal(progress(&lab).failed, 0);
    assert_int_equal(told(&lab, DZ_MSG_mesh_rack, 0)->word, DZ_WORD_STRIKE);
}

static void
a_strike_tells_that_something_else_counts(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_leading(3);
    join(&lab, 1);
    report(&lab, 1, 0, DZ_RESULT_CRASHED, 1);
    answered(&lab, 1, (struct coord_answer){ .word = DZ_WORD_STRIKE, .counts = DZ_RESULT_FAILED });
    assert_int_equal(progress(&lab).done, 1);
    assert_int_equal(progress(&lab).failed, 1);
}

static void
a_double_counts_as_the_first_did(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_leading(3);
    join(&lab, 1);
    report(&lab, 1, 0, DZ_RESULT_OK, 1);
    answered(&lab, 1,
             (struct coord_answer){ .word = DZ_WORD_DUPLICATE, .counts = DZ_RESULT_FAILED });
    assert_int_equal(progress(&lab).done, 1);
    assert_int_equal(progress(&lab).failed, 1);
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

/* The ledger may be closing without it; a node that heard "duplicate" would give it up. */
static void
nothing_is_said_of_what_comes_while_the_ledger_closes(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_leading(3);
    join(&lab, 1);
    count_all(&lab);
    say(&lab, 1, &(struct dz_msg){ .id = DZ_MSG_mesh_drained });
    assert_non_null(effect(&lab, COORD_FX_SEAL));
    report(&lab, 1, 0, DZ_RESULT_OK, 900);
    assert_null(told(&lab, DZ_MSG_mesh_rack, 0));
    assert_null(effect(&lab, COORD_FX_COUNT));
}

/* Told again, all of them, because another scheduler was at work: what it counted counts. */
static void
rows_that_are_told_before_the_seal_count(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_leading(3);
    join(&lab, 1);
    say(&lab, 1, &(struct dz_msg){ .id = DZ_MSG_mesh_stop, .as.mesh_stop = { .how = 1 } });
    say(&lab, 1, &(struct dz_msg){ .id = DZ_MSG_mesh_drained });
    const struct coord_row rows[] = {
        { .what = { 2, 0 }, .result = DZ_RESULT_OK, .exec = 1, .is_counted = true },
        { .what = { 2, 0 }, .result = DZ_RESULT_OK, .exec = 2 },
    };
    give(&lab, &(struct coord_event){ .kind = COORD_EV_LEDGER, .as.ledger = { rows, 2 } });
    uint64_t digest = dz_ledger_mix(2, 0, DZ_RESULT_OK);
    give(&lab, &(struct coord_event){ .kind = COORD_EV_SEALED, .as.sealed = { 1, digest } });
    say(&lab, 1, &(struct dz_msg){ .id = DZ_MSG_mesh_bye });
    const struct dz_account account = effect(&lab, COORD_FX_DONE)->as.done;
    assert_true(account.agrees);
    assert_int_equal(account.counted, 1);
    assert_int_equal(account.duplicates, 1);
    assert_int_equal(account.not_run, TOTAL - 1);
}

/* The ledger names it because a worker died of it, and the nodes that had it are lost. */
static void
a_test_that_only_the_ledger_names_is_given_up(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_leading(3);
    const struct dz_slice id = dz_str("z.py::t");
    struct coord_row rows[TOTAL + 1] = { [TOTAL] = { { TOTAL, 0 }, .result = DZ_RESULT_CRASHED } };
    for (uint32_t t = 0; t < TOTAL; t++)
        rows[t] =
            (struct coord_row){ .what = { t, 0 }, .result = DZ_RESULT_OK, .is_counted = true };
    manifest(&lab);
    give(&lab, &(struct coord_event){ .kind = COORD_EV_TESTS, .as.tests = { &id, 1 } });
    give(&lab, &(struct coord_event){ .kind = COORD_EV_LEDGER, .as.ledger = { rows, TOTAL + 1 } });
    join(&lab, 1);
    assert_null(told(&lab, DZ_MSG_mesh_drain, 0));
    while (!told(&lab, DZ_MSG_mesh_drain, 0) && lab.now < 10000000) {
        lab.now += 50000;
        give(&lab, &(struct coord_event){ .kind = COORD_EV_TICK });
    }
    assert_non_null(told(&lab, DZ_MSG_mesh_drain, 0));
}

/* The agent of a node was replaced before its silence was noticed: what it told may have gone with it. */
static void
what_an_earlier_life_told_is_copied(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_leading(3);
    lab.coord->cfg.has_store = true;
    join(&lab, 1);
    join(&lab, 2);
    report(&lab, 2, 0, DZ_RESULT_OK, 1);
    counted(&lab, 1, DZ_WORD_COUNTED);
    assert_null(told(&lab, DZ_MSG_mesh_copy, 0));
    lab.flows[2].inc++;
    join(&lab, 2);
    assert_non_null(told(&lab, DZ_MSG_mesh_copy, 0));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_last_strike_counts),
        cmocka_unit_test(a_timeout_counts_at_once),
        cmocka_unit_test(a_last_strike_counts_what_the_ledger_says_of_it),
        cmocka_unit_test(a_strike_tells_that_something_else_counts),
        cmocka_unit_test(a_double_counts_as_the_first_did),
        cmocka_unit_test(a_ledger_that_holds_something_else_does_not_agree),
        cmocka_unit_test(nothing_is_said_of_what_comes_while_the_ledger_closes),
        cmocka_unit_test(rows_that_are_told_before_the_seal_count),
        cmocka_unit_test(a_test_that_only_the_ledger_names_is_given_up),
        cmocka_unit_test(what_an_earlier_life_told_is_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
