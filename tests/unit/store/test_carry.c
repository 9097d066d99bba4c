/* What did not fail in a generation counts in the next one, whatever the lists of tests are. */
#include "shared/wire/generation.h"
#include "store/sync.h"
#include "tests/unit/store/store_fixture.h"

enum { TESTS = 6 };

struct earlier {
    struct dz_buf *pages;
    size_t count;
};

static void
earlier_fini(struct earlier *self)
{
    for (size_t i = 0; i < self->count; i++)
        dz_buf_fini(&self->pages[i]);
    free(self->pages);
}

/* 0, 5 passed; 1 failed; 2 passed after a strike; 3 skipped, and failed in a run that came second;
 * 4 is missing. */
static void
fill(struct fixture *f, struct store_job *job)
{
    struct store_result rows[] = {
        result_of(0, 0, 1, DZ_RESULT_OK),      result_of(1, 0, 2, DZ_RESULT_FAILED),
        result_of(2, 0, 3, DZ_RESULT_CRASHED), result_of(2, 0, 4, DZ_RESULT_OK),
        result_of(3, 0, 5, DZ_RESULT_SKIPPED), result_of(3, 0, 6, DZ_RESULT_FAILED),
        result_of(5, 0, 7, DZ_RESULT_OK),
    };
    rows[2].is_strike = true;
    append_results(f, job, rows, DZ_LEN(rows));
}

static struct earlier
read_pages(struct fixture *f, const struct store_job *job)
{
    struct earlier out = { 0 };
    assert_ok(store_rows_pages(f->store, store_job_ulid(job), &out.pages, &out.count, &f->err));
    return out;
}

static struct store_carried
carry(struct fixture *f, struct store_job *job, const struct earlier *from)
{
    struct store_carried out;
    enum dz_rc rc = store_rows_carry(job, from->pages, from->count, &out, &f->err);
    if (rc != DZ_OK)
        fail_msg("%s", f->err.text);
    return out;
}

static void
see(void *arg, const struct store_result *row)
{
    assert_true(row->node == DZ_NODE_CARRIED);
    assert_int_equal(row->worker, STORE_EARLIER);
    ++*(unsigned *) arg;
}

static void
count_id(void *arg, struct dz_slice id)
{
    (void) id;
    ++*(unsigned *) arg;
}

/* Whoever comes late compares with it, though nothing may have been counted. */
static void
a_list_is_told_without_results_and_not_before_it_is_known(void **state)
{
    struct fixture *f = *state;
    struct store_job *job = begin_with_tests(f, TESTS), *none = begin_at(f, NOON, "");
    DZ_AUTO(dz_buf_fini) struct dz_buf page = { 0 }, empty = { 0 };
    unsigned ids = 0;
    bool is_told = false;
    assert_ok(store_list_page(f->store, store_job_ulid(job), &page, &f->err));
    assert_ok(store_rows_list(dz_buf_slice(&page), count_id, &ids, &is_told, &f->err));
    assert_true(is_told);
    assert_int_equal(ids, TESTS);
    assert_ok(store_list_page(f->store, store_job_ulid(none), &empty, &f->err));
    assert_ok(store_rows_list(dz_buf_slice(&empty), count_id, &ids, &is_told, &f->err));
    assert_false(is_told);
    store_job_close(&job);
    store_job_close(&none);
}

static void
what_passed_counts_and_the_rest_is_told_apart(void **state)
{
    struct fixture *f = *state;
    struct store_job *first = begin_with_tests(f, TESTS), *next = begin_with_tests(f, TESTS);
    fill(f, first);
    DZ_AUTO(earlier_fini) struct earlier pages = read_pages(f, first);
    struct store_carried carried = carry(f, next, &pages);
    assert_int_equal(carried.passed, 4);
    assert_int_equal(carried.failed, 1);
    assert_int_equal(carried.missing, 1);
    struct store_ledger ledger = ledger_now(f, next);
    assert_int_equal(ledger.counted, 4);
    assert_int_equal(ledger.executions, 5); /* the strike too: it makes the verdict */
    assert_int_equal(ledger.verdicts[DZ_RESULT_OK], 2);
    assert_int_equal(ledger.verdicts[DZ_RESULT_OK_FLAKY], 1);
    assert_int_equal(ledger.verdicts[DZ_RESULT_SKIPPED], 1);
    unsigned rows = 0;
    assert_ok(store_job_each_row(next, see, &rows, &f->err));
    assert_int_equal(rows, 5);
    store_job_close(&first);
    store_job_close(&next);
}

static void
a_scheduler_that_takes_over_may_do_it_again(void **state)
{
    struct fixture *f = *state;
    struct store_job *first = begin_with_tests(f, TESTS), *next = begin_with_tests(f, TESTS);
    fill(f, first);
    DZ_AUTO(earlier_fini) struct earlier pages = read_pages(f, first);
    (void) carry(f, next, &pages);
    struct store_ledger before = ledger_now(f, next);
    struct store_carried again = carry(f, next, &pages);
    struct store_ledger after = ledger_now(f, next);
    assert_int_equal(again.passed, 4);
    assert_int_equal(after.executions, before.executions);
    assert_true(after.digest == before.digest);
    store_job_close(&first);
    store_job_close(&next);
}

static void
what_was_taken_over_goes_on_to_a_third_generation(void **state)
{
    struct fixture *f = *state;
    struct store_job *first = begin_with_tests(f, TESTS), *next = begin_with_tests(f, TESTS),
                     *third = begin_with_tests(f, TESTS);
    fill(f, first);
    DZ_AUTO(earlier_fini) struct earlier pages = read_pages(f, first);
    (void) carry(f, next, &pages);
    struct store_result mended = result_of(1, 0, 1, DZ_RESULT_OK);
    append_one(f, next, &mended);
    DZ_AUTO(earlier_fini) struct earlier more = read_pages(f, next);
    struct store_carried carried = carry(f, third, &more);
    assert_int_equal(carried.passed, 5);
    assert_int_equal(carried.failed, 0);
    assert_int_equal(carried.missing, 1);
    assert_int_equal(ledger_now(f, third).verdicts[DZ_RESULT_OK_FLAKY], 1);
    store_job_close(&first);
    store_job_close(&next);
    store_job_close(&third);
}

static void
tests_are_known_by_their_ids_and_others_are_left(void **state)
{
    struct fixture *f = *state;
    const struct dz_slice ids[] = { dz_str("a.py::test_new"), dz_str("t.py::test_000001"),
                                    dz_str("t.py::test_000005") };
    struct store_job *first = begin_with_tests(f, TESTS), *next = begin_at(f, NOON, "");
    fill(f, first);
    assert_ok(store_job_put_manifest(next, ids, DZ_LEN(ids), &f->err));
    DZ_AUTO(earlier_fini) struct earlier pages = read_pages(f, first);
    struct store_carried carried = carry(f, next, &pages);
    assert_int_equal(carried.passed, 1);
    assert_int_equal(carried.failed, 1);
    assert_int_equal(carried.missing, 1);
    struct store_ledger ledger = ledger_now(f, next);
    assert_int_equal(ledger.counted, 1);
    assert_true(ledger.digest == dz_ledger_mix(2, 0, DZ_RESULT_OK));
    store_job_close(&first);
    store_job_close(&next);
}

static void
what_was_taken_over_teaches_no_durations(void **state)
{
    struct fixture *f = *state;
    struct store_job *first = begin_with_tests(f, TESTS), *next = begin_with_tests(f, TESTS);
    fill(f, first);
    DZ_AUTO(earlier_fini) struct earlier pages = read_pages(f, first);
    (void) carry(f, next, &pages);
    assert_ok(seal_job(f, next, 0));
    struct store_durations *known = NULL;
    assert_ok(store_durations_load(f->store, URI, "py311", &known, &f->err));
    assert_int_equal(store_durations_count(known), 0);
    store_durations_destroy(&known);
    store_job_close(&first);
    store_job_close(&next);
}

static void
a_page_that_is_damaged_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct store_job *first = begin_with_tests(f, TESTS), *next = begin_with_tests(f, TESTS);
    struct store_carried out;
    fill(f, first);
    DZ_AUTO(earlier_fini) struct earlier pages = read_pages(f, first);
    pages.pages[0].data[pages.pages[0].len - 1] ^= 1;
    assert_int_equal(store_rows_carry(next, pages.pages, pages.count, &out, &f->err), DZ_CORRUPT);
    assert_int_equal(ledger_now(f, next).executions, 0);
    store_job_close(&first);
    store_job_close(&next);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_list_is_told_without_results_and_not_before_it_is_known),
        T(what_passed_counts_and_the_rest_is_told_apart),
        T(a_scheduler_that_takes_over_may_do_it_again),
        T(what_was_taken_over_goes_on_to_a_third_generation),
        T(tests_are_known_by_their_ids_and_others_are_left),
        T(what_was_taken_over_teaches_no_durations),
        T(a_page_that_is_damaged_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
