/* Logs, spans and durations: what a job leaves behind besides its ledger. */
#include "tests/unit/store/store_fixture.h"

static struct store_log
log_of(uint64_t source, uint64_t seq, int64_t at, uint32_t worker, const char *text)
{
    return (struct store_log){ .source = source,
                               .seq = seq,
                               .first_us = NOON + at,
                               .last_us = NOON + at,
                               .worker = worker,
                               .test = STORE_NO_TEST,
                               .text = dz_str(text) };
}

static void
read_all(struct fixture *f, struct store_logs *logs, char *out, size_t size)
{
    struct store_log log;
    enum dz_rc rc;
    out[0] = '\0';
    while ((rc = store_logs_next(logs, &log, &f->err)) == DZ_OK) {
        size_t len = strlen(out);
        (void) snprintf(out + len, size - len, "%.*s|", (int) log.text.len, log.text.ptr);
    }
    assert_int_equal(rc, DZ_ABSENT);
}

static void
logs_come_in_time_order_over_all_workers_and_only_once(void **state)
{
    struct fixture *f = *state;
    struct store_job *job = begin_at(f, NOON, "");
    struct store_log first[] = { log_of(1, 10, 5, 0, "a5"), log_of(2, 4, 1, 1, "b1"),
                                 log_of(1, 20, 9, 0, "a9") };
    struct store_log second[] = { log_of(2, 4, 1, 1, "b1"), log_of(2, 8, 7, 1, "b7"),
                                  log_of(3, 1, 8, STORE_NO_WORKER, "note") };
    struct store_batch batch = { .logs = first, .log_count = 3 };
    assert_ok(store_job_append(job, &batch, &f->err));
    batch.logs = second;
    assert_ok(store_job_append(job, &batch, &f->err));
    assert_true(second[0].is_repeat);
    assert_false(second[1].is_repeat);
    assert_int_equal(store_job_seen(job, 1), 20);
    assert_int_equal(store_job_seen(job, 99), 0);

    static const struct store_log_filter all = { .worker = -1, .thread = -1 };
    struct store_logs *logs = NULL;
    char text[128];
    assert_ok(store_logs_open(f->store, store_job_ulid(job), &all, &logs, &f->err));
    assert_int_equal(store_logs_pending(logs), 5);
    read_all(f, logs, text, sizeof(text));
    assert_string_equal(text, "b1|a5|b7|note|a9|");

    struct store_log third = log_of(1, 30, 11, 0, "a11");
    batch = (struct store_batch){ .logs = &third, .log_count = 1 };
    assert_ok(store_job_append(job, &batch, &f->err));
    assert_ok(store_logs_refresh(logs, &f->err));
    read_all(f, logs, text, sizeof(text));
    assert_string_equal(text, "a11|");
    store_logs_close(&logs);
    store_job_close(&job);
}

static void
logs_can_be_narrowed(void **state)
{
    static const uint8_t second_only[] = { 2 };
    static const struct {
        struct store_log_filter filter;
        const char *expected;
    } cases[] = {
        { { .worker = 1, .thread = -1 }, "b1|b7|" },
        { { .worker = -2, .thread = -1 }, "note|" },
        { { .worker = -1, .thread = -1, .since_us = NOON + 6 }, "b7|note|" },
        { { .worker = -1, .thread = 3 }, "b7|" },
        { { .worker = -1, .thread = -1, .tests = second_only, .test_count = 8 }, "a5|" },
    };
    struct fixture *f = *state;
    struct store_job *job = begin_at(f, NOON, "");
    struct store_log logs_in[] = { log_of(1, 10, 5, 0, "a5"), log_of(2, 4, 1, 1, "b1"),
                                   log_of(2, 8, 7, 1, "b7"),
                                   log_of(3, 1, 8, STORE_NO_WORKER, "note") };
    logs_in[0].test = 1;
    logs_in[2].thread = 3;
    struct store_batch batch = { .logs = logs_in, .log_count = 4 };
    assert_ok(store_job_append(job, &batch, &f->err));
    for (size_t i = 0; i < DZ_LEN(cases); i++) {
        struct store_logs *logs = NULL;
        char text[128];
        assert_ok(store_logs_open(f->store, store_job_ulid(job), &cases[i].filter, &logs, &f->err));
        read_all(f, logs, text, sizeof(text));
        assert_string_equal(text, cases[i].expected);
        store_logs_close(&logs);
    }
    store_job_close(&job);
}

static void
spans_are_taken_once(void **state)
{
    struct fixture *f = *state;
    struct store_job *job = begin_at(f, NOON, "");
    struct store_span span = { .source = 5,
                               .seq = 1,
                               .id = 1,
                               .start_us = NOON,
                               .end_us = NOON + 9,
                               .test = STORE_NO_TEST,
                               .type = dz_str("fixture"),
                               .name = dz_str("db") };
    struct store_batch batch = { .spans = &span, .span_count = 1 };
    assert_ok(store_job_append(job, &batch, &f->err));
    assert_false(span.is_repeat);
    assert_ok(store_job_append(job, &batch, &f->err));
    assert_true(span.is_repeat);
    store_job_close(&job);
}

static void
durations_are_learned_when_a_job_is_sealed(void **state)
{
    struct fixture *f = *state;
    struct store_durations *d = NULL;
    double mean = 0, sd = 0;
    assert_ok(store_durations_load(f->store, URI, "py311", &d, &f->err));
    assert_int_equal(store_durations_count(d), 0);
    store_durations_destroy(&d);
    for (int run = 0; run < 3; run++) {
        struct store_job *job = begin_with_tests(f, 300);
        struct store_result rows[3] = { result_of(5, 0, 1, DZ_RESULT_OK),
                                        result_of(6, 0, 2, DZ_RESULT_SKIPPED),
                                        result_of(299, 0, 3, DZ_RESULT_FAILED) };
        rows[0].call_us = run == 0 ? 999850 : 3999850; /* with setup and teardown 1 s, then 4 s */
        append_results(f, job, rows, 3);
        assert_ok(seal_job(f, job, 0));
        assert_ok(seal_job(f, job, 0)); /* said twice, learned once */
        store_job_close(&job);
    }
    assert_ok(store_durations_load(f->store, URI, "py311", &d, &f->err));
    assert_int_equal(store_durations_count(d), 2); /* a skip teaches nothing */
    assert_true(store_durations_get(d, dz_str("t.py::test_000005"), &mean, &sd));
    assert_true(mean > 2000000 && mean < 4500000 && sd > 0.1);
    assert_true(store_durations_get(d, dz_str("t.py::test_000299"), &mean, &sd));
    assert_true(mean > 2100 && mean < 2500);
    assert_false(store_durations_get(d, dz_str("t.py::test_000006"), &mean, &sd));
    store_durations_destroy(&d);
    assert_ok(store_durations_load(f->store, URI, "other profile", &d, &f->err));
    assert_int_equal(store_durations_count(d), 0);
    store_durations_destroy(&d);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(logs_come_in_time_order_over_all_workers_and_only_once),
        T(logs_can_be_narrowed),
        T(spans_are_taken_once),
        T(durations_are_learned_when_a_job_is_sealed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
