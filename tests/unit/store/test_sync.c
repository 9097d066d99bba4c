/* A job's records go from one store into another: all of them, once, whatever is said how often. */
#include "shared/base/buf.h"
#include "store/sync.h"
#include "tests/unit/store/store_fixture.h"

enum { TESTS = 9000, LOGS = 300 };

struct pair {
    struct fixture *from, *to;
    struct store_job *job;
    struct store_outbox *outbox;
    struct store_inbox *inbox;
    struct store_receipt receipt;
};

static int
setup_pair(void **state)
{
    struct pair *p = dz_alloc0(1, sizeof(*p));
    *state = p;
    return setup((void **) &p->from) || setup((void **) &p->to);
}

static int
teardown_pair(void **state)
{
    struct pair *p = *state;
    store_outbox_close(&p->outbox);
    store_inbox_destroy(&p->inbox);
    store_job_close(&p->job);
    (void) teardown((void **) &p->from);
    (void) teardown((void **) &p->to);
    free(p);
    return 0;
}

static void
open_ends(struct pair *p)
{
    if (!p->job)
        p->job = begin_with_tests(p->from, TESTS);
    assert_ok(store_outbox_open(p->from->store, store_job_ulid(p->job), &p->outbox, &p->from->err));
    p->inbox = store_inbox_new(p->to->store);
}

/* Results first..last-1, every tenth a failure with a text, one strike in a thousand; in batches of
 * different sizes. */
static void
run_some(struct pair *p, uint32_t first, uint32_t last)
{
    static char texts[TESTS][32];
    DZ_AUTO(dz_free) struct store_result *rows = dz_alloc0(2 * (size_t) TESTS, sizeof(*rows));
    uint32_t count = 0;
    for (uint32_t i = first; i < last; i++) {
        if (i % 1000 == 999) {
            rows[count] = result_of(i, 0, i + 500000, DZ_RESULT_CRASHED);
            rows[count++].is_strike = true;
        }
        rows[count] = result_of(i, 0, i + 1, i % 10 ? DZ_RESULT_OK : DZ_RESULT_FAILED);
        (void) snprintf(texts[i], sizeof(texts[i]), "E assert %u", i);
        rows[count++].text = i % 10 ? dz_str("") : dz_str(texts[i]);
    }
    for (uint32_t at = 0, part = 3; at < count;
         at += part, part = part * 3 < 4000 ? part * 3 : 4000)
        append_results(p->from, p->job, rows + at, count - at < part ? count - at : part);
}

static void
write_logs(struct pair *p, uint32_t first, uint32_t last)
{
    static char texts[LOGS][32];
    struct store_log logs[LOGS];
    struct store_span spans[LOGS];
    for (uint32_t i = first; i < last; i++) {
        (void) snprintf(texts[i], sizeof(texts[i]), "line %u", i);
        logs[i] = (struct store_log){ .source = 9,
                                      .seq = i + 1,
                                      .first_us = NOON + i,
                                      .last_us = NOON + i,
                                      .test = STORE_NO_TEST,
                                      .text = dz_str(texts[i]) };
        spans[i] = (struct store_span){ .source = 10,
                                        .seq = i + 1,
                                        .id = i + 1,
                                        .start_us = NOON,
                                        .end_us = NOON + i,
                                        .test = STORE_NO_TEST,
                                        .type = dz_str("fixture"),
                                        .name = dz_str(texts[i]) };
    }
    for (uint32_t at = first; at < last; at += 100) {
        uint32_t count = last - at < 100 ? last - at : 100;
        struct store_batch batch = {
            .logs = logs + at, .log_count = count, .spans = spans + at, .span_count = count
        };
        assert_ok(store_job_append(p->job, &batch, &p->from->err));
    }
}

static enum dz_rc
send_from(struct pair *p, const struct store_at *at, unsigned flags, struct store_at *after)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf parcel = { 0 };
    assert_ok(
        store_outbox_next(p->outbox, at, flags, STORE_PARCEL_SOFT, &parcel, after, &p->from->err));
    return store_inbox_take(p->inbox, store_job_ulid(p->job), dz_buf_slice(&parcel), NULL,
                            &p->receipt, &p->to->err);
}

/* Until everything is there; returns how many parcels that took. */
static unsigned
send_all(struct pair *p)
{
    struct store_at after, total;
    bool is_sealed = false;
    unsigned count = 0;
    assert_ok(store_outbox_total(p->outbox, &total, &is_sealed, &p->from->err));
    p->receipt = (struct store_receipt){ 0 };
    do {
        unsigned flags = p->receipt.wants_list ? STORE_WITH_LIST : 0;
        assert_ok(send_from(p, &p->receipt.at, flags, &after));
        assert_true(++count < 100);
    } while (!store_at_eq(&p->receipt.at, &total) || p->receipt.is_sealed != is_sealed);
    return count;
}

static struct store_ledger
ledger_there(struct pair *p)
{
    struct store_job *job = NULL;
    assert_ok(store_job_reopen(p->to->store, store_job_ulid(p->job), &job, &p->to->err));
    struct store_ledger ledger = ledger_now(p->to, job);
    store_job_close(&job);
    return ledger;
}

/* Field by field: the bytes between them say nothing. */
static void
assert_same_ledger(const struct store_ledger *a, const struct store_ledger *b)
{
    assert_int_equal(a->counted, b->counted);
    assert_int_equal(a->executions, b->executions);
    assert_true(a->digest == b->digest);
    assert_int_equal(a->tests_counted, b->tests_counted);
    assert_memory_equal(a->verdicts, b->verdicts, sizeof(a->verdicts));
}

static uint32_t
logs_there(struct pair *p)
{
    static const struct store_log_filter all = { .worker = -1, .thread = -1 };
    struct store_logs *logs = NULL;
    assert_ok(store_logs_open(p->to->store, store_job_ulid(p->job), &all, &logs, &p->to->err));
    uint32_t count = store_logs_pending(logs);
    store_logs_close(&logs);
    return count;
}

/* ------------------------------------------------------------------ */

static void
everything_arrives_and_the_ledgers_are_equal(void **state)
{
    struct pair *p = *state;
    open_ends(p);
    run_some(p, 0, TESTS);
    write_logs(p, 0, LOGS);
    assert_ok(seal_job(p->from, p->job, 1));
    (void) send_all(p);
    struct store_ledger here = ledger_now(p->from, p->job), there = ledger_there(p);
    assert_same_ledger(&here, &there);
    assert_int_equal(there.executions, TESTS + 9);
    assert_int_equal(there.verdicts[DZ_RESULT_OK_FLAKY], 9);
    assert_int_equal(logs_there(p), LOGS);
    assert_false(p->receipt.is_ledger_wrong);
    assert_string_equal(p->receipt.short_id, "j1");
    assert_true(p->receipt.digest == here.digest);

    struct store_job_info info = { 0 };
    assert_ok(store_job_info(p->to->store, store_job_ulid(p->job), NOON, &info, &p->to->err));
    assert_int_equal(info.state, STORE_SEALED);
    assert_int_equal(info.exit_code, 1);
    assert_int_equal(info.collected, TESTS);
    assert_string_equal(info.uri, URI);
    assert_string_equal(info.rootdir, "/src/shop");
    store_job_info_fini(&info);
}

static void
a_failure_s_text_arrives(void **state)
{
    struct pair *p = *state;
    open_ends(p);
    run_some(p, 0, 20);
    (void) send_all(p);
    struct store_view *view = NULL;
    DZ_AUTO(dz_free) char *text = NULL;
    size_t len = 0;
    assert_ok(store_view_load(p->to->store, store_job_ulid(p->job), &view, &p->to->err));
    assert_ok(store_view_text(view, 10, &text, &len, &p->to->err));
    assert_string_equal(text, "E assert 10");
    store_view_destroy(&view);
}

static void
a_replay_of_all_parcels_changes_nothing(void **state)
{
    struct pair *p = *state;
    open_ends(p);
    run_some(p, 0, TESTS);
    write_logs(p, 0, LOGS);
    assert_ok(seal_job(p->from, p->job, 0));
    (void) send_all(p);
    struct store_ledger once = ledger_there(p);
    for (int again = 0; again < 3; again++) {
        struct store_at at = { 0 }, after;
        do { /* as one who never heard an answer */
            assert_ok(send_from(p, &at, STORE_WITH_LIST, &after));
            assert_int_equal(p->receipt.taken, 0);
            at = after;
        } while (!store_at_eq(&after, &p->receipt.at));
        struct store_ledger now = ledger_there(p);
        assert_same_ledger(&once, &now);
        assert_int_equal(logs_there(p), LOGS);
    }
}

/* Two senders tell of the same executions: each counts once, also after the seal. */
static void
what_two_senders_tell_counts_once(void **state)
{
    struct pair *p = *state;
    open_ends(p);
    run_some(p, 0, 500);
    assert_ok(seal_job(p->from, p->job, 0));
    (void) send_all(p);
    struct store_ledger once = ledger_there(p);

    char ulid[STORE_ULID_LEN + 1];
    (void) snprintf(ulid, sizeof(ulid), "%s", store_job_ulid(p->job));
    store_outbox_close(&p->outbox);
    store_job_close(&p->job);
    (void) teardown((void **) &p->from);
    assert_int_equal(setup((void **) &p->from), 0);
    struct store_begin begin = { .uri = URI, .timezone = "UTC", .now_us = NOON, .ulid = ulid };
    assert_ok(store_job_begin(p->from->store, &begin, &p->job, &p->from->err));
    put_tests(p->from, p->job, TESTS);
    assert_ok(store_outbox_open(p->from->store, ulid, &p->outbox, &p->from->err));
    run_some(p, 0, 500);
    assert_ok(seal_job(p->from, p->job, 0));
    (void) send_all(p);
    struct store_ledger twice = ledger_there(p);
    assert_same_ledger(&once, &twice);
}

static void
the_list_of_tests_is_sent_only_to_who_lacks_it(void **state)
{
    struct pair *p = *state;
    struct store_at at = { 0 }, after;
    open_ends(p);
    run_some(p, 0, 10);
    assert_ok(send_from(p, &at, 0, &after));
    assert_true(p->receipt.wants_list);
    assert_int_equal(p->receipt.at.count[STREAM_RESULTS], 0);
    assert_ok(send_from(p, &at, STORE_WITH_LIST, &after));
    assert_false(p->receipt.wants_list);
    assert_int_equal(p->receipt.at.count[STREAM_RESULTS], 10);

    store_outbox_close(&p->outbox); /* another job of the same tests */
    store_job_close(&p->job);
    store_inbox_destroy(&p->inbox);
    open_ends(p);
    run_some(p, 0, 10);
    assert_ok(send_from(p, &at, 0, &after));
    assert_false(p->receipt.wants_list);
    assert_int_equal(p->receipt.at.count[STREAM_RESULTS], 10);
    assert_string_equal(p->receipt.short_id, "j2");
}

static void
a_gap_is_left_and_told(void **state)
{
    struct pair *p = *state;
    struct store_at at = { 0 }, after;
    open_ends(p);
    run_some(p, 0, TESTS);
    assert_ok(send_from(p, &at, STORE_WITH_LIST, &after));
    at = after;
    at.count[STREAM_RESULTS] += 7;
    assert_ok(send_from(p, &at, 0, &after));
    assert_int_equal(p->receipt.taken, 0);
    assert_int_equal(p->receipt.at.count[STREAM_RESULTS], 4096);
    (void) send_all(p);
    assert_int_equal(ledger_there(p).counted, TESTS);
}

static void
a_place_that_is_put_back_gets_what_it_lacks(void **state)
{
    struct pair *p = *state;
    open_ends(p);
    run_some(p, 0, 5000);
    write_logs(p, 0, 10);
    (void) send_all(p);
    struct store_at before = p->receipt.at, after;
    /* an earlier copy: another place, which was told less */
    (void) teardown((void **) &p->to);
    store_inbox_destroy(&p->inbox);
    assert_int_equal(setup((void **) &p->to), 0);
    p->inbox = store_inbox_new(p->to->store);
    run_some(p, 5000, TESTS);
    write_logs(p, 10, LOGS);
    assert_ok(send_from(p, &before, 0, &after));
    assert_int_equal(p->receipt.at.count[STREAM_LOGS], 0);
    assert_ok(seal_job(p->from, p->job, 0));
    (void) send_all(p);
    assert_int_equal(ledger_there(p).counted, TESTS);
    assert_int_equal(logs_there(p), LOGS);
}

static void
a_job_of_another_project_is_not_there(void **state)
{
    struct pair *p = *state;
    struct store_at at = { 0 }, after;
    DZ_AUTO(dz_buf_fini) struct dz_buf parcel = { 0 };
    open_ends(p);
    assert_ok(
        store_outbox_next(p->outbox, &at, 0, STORE_PARCEL_SOFT, &parcel, &after, &p->from->err));
    assert_int_equal(store_inbox_take(p->inbox, store_job_ulid(p->job), dz_buf_slice(&parcel),
                                      "https://example.org/other", &p->receipt, &p->to->err),
                     DZ_ABSENT);
    struct store_job_info info = { 0 };
    assert_int_equal(store_job_info(p->to->store, store_job_ulid(p->job), NOON, &info, &p->to->err),
                     DZ_ABSENT);
    assert_ok(store_inbox_take(p->inbox, store_job_ulid(p->job), dz_buf_slice(&parcel), URI,
                               &p->receipt, &p->to->err));
}

static void
damage_on_the_way_is_seen(void **state)
{
    struct pair *p = *state;
    struct store_at at = { 0 }, after;
    DZ_AUTO(dz_buf_fini) struct dz_buf parcel = { 0 };
    const char *ulid = NULL;
    open_ends(p);
    run_some(p, 0, 100);
    ulid = store_job_ulid(p->job);
    assert_ok(store_outbox_next(p->outbox, &at, STORE_WITH_LIST, STORE_PARCEL_SOFT, &parcel, &after,
                                &p->from->err));
    for (size_t i = 0; i < parcel.len; i += 1 + parcel.len / 97) {
        parcel.data[i] ^= 0x20;
        assert_int_not_equal(
            store_inbox_take(p->inbox, ulid, dz_buf_slice(&parcel), NULL, &p->receipt, &p->to->err),
            DZ_OK);
        parcel.data[i] ^= 0x20;
    }
    struct dz_slice half = { parcel.data, parcel.len / 2 };
    assert_int_equal(store_inbox_take(p->inbox, ulid, half, NULL, &p->receipt, &p->to->err),
                     DZ_CORRUPT);
    parcel.data[4]++;
    assert_int_equal(
        store_inbox_take(p->inbox, ulid, dz_buf_slice(&parcel), NULL, &p->receipt, &p->to->err),
        DZ_VERSION);
}

static void
a_receipt_reads_as_it_was_written(void **state)
{
    (void) state;
    static const char *const bad[] = { "", "[]", "{}", "{\"schema\":\"dagz.receipt/1\"}",
                                       "<html>502 Bad Gateway</html>" };
    struct store_receipt was = { .short_id = "j10",
                                 .wants_list = true,
                                 .at = { { 1, 2, 3, 4 } },
                                 .taken = 5,
                                 .counted = 6,
                                 .digest = UINT64_C(0xfedcba9876543210) },
                         is = { 0 };
    struct dz_err err;
    DZ_AUTO(dz_free) char *text = store_receipt_write(&was);
    assert_ok(store_receipt_read(dz_str(text), &is, &err));
    assert_memory_equal(&was, &is, sizeof(was));
    for (size_t i = 0; i < DZ_LEN(bad); i++)
        assert_int_equal(store_receipt_read(dz_str(bad[i]), &is, &err), DZ_CORRUPT);
}

static void
durations_travel(void **state)
{
    struct pair *p = *state;
    open_ends(p);
    run_some(p, 0, 500);
    assert_ok(seal_job(p->from, p->job, 0));
    struct store_durations *here = NULL, *there = NULL;
    DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
    double mean = 0, other = 1, sd = 0;
    assert_ok(store_durations_load(p->from->store, URI, "py311", &here, &p->from->err));
    store_durations_write(here, &bytes);
    assert_ok(store_durations_read(dz_buf_slice(&bytes), &there, &p->to->err));
    assert_int_equal(store_durations_count(there), 500);
    assert_true(store_durations_get(here, dz_str("t.py::test_000007"), &mean, &sd));
    assert_true(store_durations_get(there, dz_str("t.py::test_000007"), &other, &sd));
    assert_true(mean == other);
    store_durations_destroy(&here);
    store_durations_destroy(&there);
    bytes.data[bytes.len / 2] ^= 1;
    bytes.data[8]++;
    assert_int_equal(store_durations_read(dz_buf_slice(&bytes), &there, &p->to->err), DZ_CORRUPT);
}

/* A second sender of the same job, with a list of its own: b, x, y where the first has a, b, c. */
static void
lists_that_differ_become_one_and_every_result_finds_its_test(void **state)
{
    struct pair *p = *state;
    struct fixture *other = NULL;
    assert_int_equal(setup((void **) &other), 0);
    const struct dz_slice first[] = { dz_str("a"), dz_str("b"), dz_str("c") };
    const struct dz_slice second[] = { dz_str("b"), dz_str("x"), dz_str("y") };
    struct store_job *job = NULL, *same = NULL;
    assert_ok(store_job_begin(p->from->store, &(struct store_begin){ .uri = URI, .now_us = NOON },
                              &job, &p->from->err));
    assert_ok(store_job_begin(
        other->store,
        &(struct store_begin){ .uri = URI, .now_us = NOON, .ulid = store_job_ulid(job) }, &same,
        &other->err));
    assert_ok(store_job_put_manifest(job, first, 3, &p->from->err));
    assert_ok(store_job_put_manifest(same, second, 3, &other->err));
    struct store_result one = result_of(2, 0, 1, DZ_RESULT_OK),
                        two = result_of(0, 0, 2, DZ_RESULT_FAILED),
                        three = result_of(2, 0, 3, DZ_RESULT_SKIPPED);
    append_results(p->from, job, &one, 1);
    append_results(other, same, &two, 1);
    append_results(other, same, &three, 1);
    p->job = job;
    open_ends(p);
    assert_true(send_all(p) > 0);
    store_outbox_close(&p->outbox);
    assert_ok(store_outbox_open(other->store, store_job_ulid(job), &p->outbox, &other->err));
    assert_true(send_all(p) > 0);

    static const char *const ids[] = { "a", "b", "c", "x", "y" };
    static const enum dz_result verdicts[] = { DZ_RESULT_NONE, DZ_RESULT_FAILED, DZ_RESULT_OK,
                                               DZ_RESULT_NONE, DZ_RESULT_SKIPPED };
    struct store_view *view = NULL;
    assert_ok(store_view_load(p->to->store, store_job_ulid(job), &view, &p->to->err));
    assert_int_equal(store_view_count(view), 5);
    for (uint32_t i = 0; i < 5; i++) {
        struct store_test test;
        assert_int_equal(store_view_find(view, dz_str(ids[i])), i);
        store_view_test(view, i, &test);
        assert_int_equal(test.verdict, verdicts[i]);
    }
    store_view_destroy(&view);
    store_outbox_close(&p->outbox);
    store_job_close(&same);
    (void) teardown((void **) &other);
}

int
main(void)
{
#define P(name) cmocka_unit_test_setup_teardown(name, setup_pair, teardown_pair)
    const struct CMUnitTest tests[] = {
        P(everything_arrives_and_the_ledgers_are_equal),
        P(a_failure_s_text_arrives),
        P(a_replay_of_all_parcels_changes_nothing),
        P(what_two_senders_tell_counts_once),
        P(the_list_of_tests_is_sent_only_to_who_lacks_it),
        P(a_gap_is_left_and_told),
        P(a_place_that_is_put_back_gets_what_it_lacks),
        P(a_job_of_another_project_is_not_there),
        P(damage_on_the_way_is_seen),
        cmocka_unit_test(a_receipt_reads_as_it_was_written),
        P(lists_that_differ_become_one_and_every_result_finds_its_test),
        P(durations_travel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
