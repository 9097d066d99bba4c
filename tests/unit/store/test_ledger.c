#include <signal.h>
#include <sys/resource.h>

#include "tests/unit/store/store_fixture.h"

static void
the_first_execution_that_arrives_is_counted(void **state)
{
    struct fixture *f = *state;
    struct store_job *job = begin_with_tests(f, 3);
    struct store_result first = result_of(1, 0, 10, DZ_RESULT_OK);
    struct store_result late = result_of(1, 0, 11, DZ_RESULT_FAILED);
    append_one(f, job, &first);
    append_one(f, job, &late);
    assert_int_equal(first.word, DZ_WORD_COUNTED);
    assert_int_equal(late.word, DZ_WORD_DUPLICATE);
    struct store_ledger ledger = ledger_now(f, job);
    assert_int_equal(ledger.counted, 1);
    assert_int_equal(ledger.executions, 2);
    assert_int_equal(ledger.verdicts[DZ_RESULT_OK], 1);
    assert_int_equal(ledger.verdicts[DZ_RESULT_NONE], 2);
    assert_true(ledger.digest == dz_ledger_mix(1, 0, DZ_RESULT_OK));
    store_job_close(&job);
}

static void
saying_it_again_changes_nothing_and_is_answered_as_before(void **state)
{
    struct fixture *f = *state;
    struct store_job *job = begin_with_tests(f, 3);
    struct store_result all[] = {
        result_of(0, 0, 1, DZ_RESULT_OK),      result_of(0, 0, 2, DZ_RESULT_OK),
        result_of(1, 0, 3, DZ_RESULT_FAILED),  result_of(1, 1, 4, DZ_RESULT_OK),
        result_of(2, 0, 5, DZ_RESULT_CRASHED),
    };
    all[4].is_strike = true;
    for (int round = 0; round < 3; round++) {
        append_results(f, job, all, DZ_LEN(all));
        assert_int_equal(all[0].word, DZ_WORD_COUNTED);
        assert_int_equal(all[1].word, DZ_WORD_DUPLICATE);
        assert_int_equal(all[2].word, DZ_WORD_COUNTED);
        assert_int_equal(all[3].word, DZ_WORD_COUNTED);
        assert_int_equal(all[4].word, DZ_WORD_STRIKE);
        for (size_t i = 0; i < DZ_LEN(all); i++)
            assert_int_equal(all[i].is_repeat, round > 0);
        assert_int_equal(ledger_now(f, job).executions, 5);
    }
    store_job_close(&job);
}

static void
note_crash(void *arg, const struct store_result *row)
{
    unsigned *crashes = arg;
    crashes[row->word == DZ_WORD_STRIKE]++;
}

/* Which death is the last is a scheduler's view, and another one may have had another view. */
static void
a_strike_that_is_sent_to_count_counts_if_nothing_else_does(void **state)
{
    struct fixture *f = *state;
    struct store_job *job = begin_with_tests(f, 2);
    struct store_result first = result_of(0, 0, 1, DZ_RESULT_CRASHED), last = first;
    struct store_result other = result_of(0, 0, 2, DZ_RESULT_CRASHED), later = other;
    first.is_strike = other.is_strike = true;
    append_one(f, job, &first);
    append_one(f, job, &other);
    assert_int_equal(first.counts, DZ_RESULT_NONE);
    for (int round = 0; round < 2; round++) {
        append_one(f, job, &last);
        append_one(f, job, &later);
        assert_int_equal(last.word, DZ_WORD_COUNTED);
        assert_int_equal(last.is_repeat, round > 0);
        assert_int_equal(later.word, DZ_WORD_STRIKE);
        assert_int_equal(later.counts, DZ_RESULT_CRASHED);
        append_one(f, job, &first); /* whoever still takes it for a strike */
        assert_int_equal(first.word, DZ_WORD_COUNTED);
        char ulid[STORE_ULID_LEN + 1];
        (void) snprintf(ulid, sizeof(ulid), "%s", store_job_ulid(job));
        store_job_close(&job); /* and as it is read again */
        assert_ok(store_job_reopen(f->store, ulid, &job, &f->err));
        struct store_ledger ledger = ledger_now(f, job);
        assert_int_equal(ledger.counted, 1);
        assert_int_equal(ledger.executions, 3); /* rows: the strike, and that it counts */
        assert_true(ledger.digest == dz_ledger_mix(0, 0, DZ_RESULT_CRASHED));
    }
    struct store_view *view = NULL;
    assert_ok(store_view_load(f->store, store_job_ulid(job), &view, &f->err));
    unsigned crashes[2] = { 0 };
    store_view_executions(view, 0, note_crash, crashes);
    assert_int_equal(crashes[0], 1); /* that counts */
    assert_int_equal(crashes[1], 1); /* a strike */
    store_view_destroy(&view);
    store_job_close(&job);
}

static void
a_repeat_within_one_batch_is_a_repeat(void **state)
{
    struct fixture *f = *state;
    struct store_job *job = begin_with_tests(f, 1);
    struct store_result twice[] = { result_of(0, 0, 1, DZ_RESULT_OK),
                                    result_of(0, 0, 1, DZ_RESULT_OK) };
    append_results(f, job, twice, 2);
    assert_false(twice[0].is_repeat);
    assert_true(twice[1].is_repeat);
    assert_int_equal(ledger_now(f, job).executions, 1);
    store_job_close(&job);
}

static void
equal_numbers_of_other_nodes_or_lives_are_other_executions(void **state)
{
    struct fixture *f = *state;
    struct store_job *job = begin_with_tests(f, 1);
    struct store_result here = result_of(0, 0, 1, DZ_RESULT_OK), there = here, later = here;
    there.node = 8;
    later.inc = 2;
    append_one(f, job, &here);
    append_one(f, job, &there);
    append_one(f, job, &later);
    assert_false(there.is_repeat);
    assert_false(later.is_repeat);
    assert_int_equal(ledger_now(f, job).executions, 3);
    assert_int_equal(ledger_now(f, job).counted, 1);
    store_job_close(&job);
}

static void
a_verdict_follows_from_the_counted_attempts(void **state)
{
    static const struct {
        enum dz_result attempts[2];
        bool has_strike;
        enum dz_result verdict;
    } cases[] = {
        { { DZ_RESULT_NONE, DZ_RESULT_NONE }, false, DZ_RESULT_NONE },
        { { DZ_RESULT_NONE, DZ_RESULT_NONE }, true, DZ_RESULT_NONE },
        { { DZ_RESULT_OK, DZ_RESULT_NONE }, false, DZ_RESULT_OK },
        { { DZ_RESULT_OK, DZ_RESULT_NONE }, true, DZ_RESULT_OK_FLAKY },
        { { DZ_RESULT_FAILED, DZ_RESULT_NONE }, false, DZ_RESULT_FAILED },
        { { DZ_RESULT_FAILED, DZ_RESULT_OK }, false, DZ_RESULT_OK_FLAKY },
        { { DZ_RESULT_FAILED, DZ_RESULT_FAILED }, false, DZ_RESULT_FAILED },
        { { DZ_RESULT_CRASHED, DZ_RESULT_OK }, false, DZ_RESULT_OK_FLAKY },
        { { DZ_RESULT_SKIPPED, DZ_RESULT_NONE }, true, DZ_RESULT_SKIPPED },
        { { DZ_RESULT_FAILED, DZ_RESULT_SKIPPED }, false, DZ_RESULT_SKIPPED },
        { { DZ_RESULT_TIMEOUT, DZ_RESULT_NONE }, false, DZ_RESULT_TIMEOUT },
        { { DZ_RESULT_OK_FLAKY, DZ_RESULT_NONE }, false, DZ_RESULT_OK_FLAKY },
    };
    (void) state;
    for (size_t i = 0; i < DZ_LEN(cases); i++)
        assert_int_equal(store_verdict(cases[i].attempts, 2, cases[i].has_strike),
                         cases[i].verdict);
}

static void
what_is_out_of_bounds_is_refused_and_nothing_of_its_batch_is_stored(void **state)
{
    struct fixture *f = *state;
    struct store_job *job = begin_with_tests(f, 2);
    struct store_result bad[] = {
        result_of(2, 0, 1, DZ_RESULT_OK),
        result_of(0, STORE_ATTEMPTS, 1, DZ_RESULT_OK),
        result_of(0, 0, 1, DZ_RESULT_NONE),
        result_of(0, 0, 1, DZ_RESULTS),
    };
    for (size_t i = 0; i < DZ_LEN(bad); i++) {
        struct store_result pair[] = { result_of(1, 0, 1, DZ_RESULT_OK), bad[i] };
        struct store_batch batch = { .results = pair, .result_count = 2 };
        assert_int_equal(store_job_append(job, &batch, &f->err), DZ_LIMIT);
        assert_int_equal(ledger_now(f, job).executions, 0);
    }
    store_job_close(&job);
}

static void
many_executions_are_each_known_again(void **state)
{
    enum { TESTS = 500, EACH = 5 };
    struct fixture *f = *state;
    struct store_job *job = begin_with_tests(f, TESTS);
    static struct store_result all[TESTS * EACH];
    for (uint32_t i = 0; i < TESTS * EACH; i++)
        all[i] = result_of(i % TESTS, i / TESTS % 2, i, DZ_RESULT_OK);
    append_results(f, job, all, TESTS * EACH);
    assert_int_equal(ledger_now(f, job).counted, TESTS * 2);
    append_results(f, job, all, TESTS * EACH);
    for (uint32_t i = 0; i < TESTS * EACH; i++) {
        assert_true(all[i].is_repeat);
        assert_int_equal(all[i].word, i < TESTS * 2 ? DZ_WORD_COUNTED : DZ_WORD_DUPLICATE);
    }
    store_job_close(&job);
}

/* RLIMIT_FSIZE stands for a full disk. */
static void
a_batch_that_did_not_fit_is_counted_once_when_there_is_room(void **state)
{
    enum { NOISE = 8 << 20 };
    struct fixture *f = *state;
    struct store_job *job = begin_with_tests(f, 3);
    struct store_result before = result_of(0, 0, 1, DZ_RESULT_OK);
    append_one(f, job, &before);
    uint8_t *noise = dz_alloc0(1, NOISE);
    for (uint32_t i = 0, x = 1; i < NOISE; i++) /* what zstd cannot shrink */
        noise[i] = (uint8_t) ((x = x * 1664525 + 1013904223) >> 24);
    struct store_result rows[] = { result_of(1, 0, 2, DZ_RESULT_OK),
                                   result_of(0, 0, 3, DZ_RESULT_OK) };
    struct store_log log = { .source = 4, .seq = 9, .test = 1, .text = { noise, NOISE } };
    struct store_batch batch = { .results = rows, .result_count = 2, .logs = &log, .log_count = 1 };

    struct rlimit old, small;
    (void) getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){ 1 << 20, old.rlim_max };
    (void) signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum dz_rc rc = store_job_append(job, &batch, &f->err);
    uint64_t seen = store_job_seen(job, 4);
    struct store_ledger ledger = ledger_now(f, job);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_true(rc == DZ_FULL || rc == DZ_IO);
    assert_int_equal(ledger.executions, 1);
    assert_int_equal(seen, 0);

    assert_ok(store_job_append(job, &batch, &f->err));
    assert_false(rows[0].is_repeat);
    assert_false(rows[1].is_repeat);
    assert_false(log.is_repeat);
    assert_int_equal(rows[0].word, DZ_WORD_COUNTED);
    assert_int_equal(rows[1].word, DZ_WORD_DUPLICATE);
    assert_int_equal(ledger_now(f, job).executions, 3);
    assert_int_equal(store_job_seen(job, 4), 9);
    free(noise);
    store_job_close(&job);
}

static void
the_ledger_is_right_when_the_map_grows_in_the_middle(void **state)
{
    enum { TESTS = 64, PIECES = 40, PIECE = 2 << 20 };
    struct fixture *f = *state;
    struct store_job *job = begin_with_tests(f, TESTS);
    uint8_t *noise = dz_alloc0(1, PIECE);
    for (uint32_t i = 0, x = 7; i < PIECE; i++)
        noise[i] = (uint8_t) ((x = x * 1664525 + 1013904223) >> 24);
    for (uint32_t i = 0; i < PIECES; i++) { /* 80 MiB: more than the first map */
        struct store_result row = result_of(i, 0, i, DZ_RESULT_OK);
        struct store_log log = { .source = 4, .seq = i + 1, .test = i, .text = { noise, PIECE } };
        struct store_batch batch = {
            .results = &row, .result_count = 1, .logs = &log, .log_count = 1
        };
        assert_ok(store_job_append(job, &batch, &f->err));
        assert_false(row.is_repeat);
        assert_false(log.is_repeat);
    }
    assert_int_equal(ledger_now(f, job).counted, PIECES);
    assert_int_equal(ledger_now(f, job).executions, PIECES);
    free(noise);
    store_job_close(&job);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_first_execution_that_arrives_is_counted),
        T(saying_it_again_changes_nothing_and_is_answered_as_before),
        T(a_strike_that_is_sent_to_count_counts_if_nothing_else_does),
        T(a_repeat_within_one_batch_is_a_repeat),
        T(equal_numbers_of_other_nodes_or_lives_are_other_executions),
        T(a_verdict_follows_from_the_counted_attempts),
        T(what_is_out_of_bounds_is_refused_and_nothing_of_its_batch_is_stored),
        T(many_executions_are_each_known_again),
        T(a_batch_that_did_not_fit_is_counted_once_when_there_is_room),
        T(the_ledger_is_right_when_the_map_grows_in_the_middle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
