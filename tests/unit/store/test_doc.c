#include "store/doc.h"
#include "store/jot.h"
#include "tests/unit/store/store_fixture.h"

static void
said(struct dz_buf *out, const char *expected)
{
    dz_buf_add(out, "", 1);
    assert_string_equal((char *) out->data, expected);
    dz_buf_fini(out);
}

static void
times_are_utc_and_nothing_is_null(void **state)
{
    (void) state;
    struct dz_buf out = { 0 };
    jot_open(&out, '[');
    jot_time(&out, NULL, NOON + 1);
    jot_time(&out, NULL, 0);
    jot_time(&out, NULL, INT64_C(951782399999999));  /* the last of 28 February 2000 */
    jot_time(&out, NULL, INT64_C(951782400000000));  /* which was a leap year */
    jot_time(&out, NULL, INT64_C(4107542399000000)); /* and 2100 is none */
    jot_time(&out, NULL, INT64_C(4107542400000000));
    jot_close(&out, ']');
    said(&out, "[\"2026-11-21T12:00:00.000001Z\",null,\"2000-02-28T23:59:59.999999Z\","
               "\"2000-02-29T00:00:00.000000Z\",\"2100-02-28T23:59:59.000000Z\","
               "\"2100-03-01T00:00:00.000000Z\"]");
}

static void
json_is_valid_whatever_the_bytes_are(void **state)
{
    struct dz_buf out = { 0 };
    (void) state;
    jot_open(&out, '{');
    jot_slice(&out, "a", (struct dz_slice){ (const uint8_t *) "q\"\\\n\x01\0z", 7 });
    jot_text(&out, "b", "caf\xc3\xa9 \xff\xc0\x80 \xed\xa0\x80");
    jot_key(&out, "c");
    jot_open(&out, '[');
    jot_int(&out, NULL, -5);
    jot_bool(&out, NULL, true);
    jot_close(&out, ']');
    jot_time(&out, "d", 0);
    jot_close(&out, '}');
    said(&out, "{\"a\":\"q\\\"\\\\\\n\\u0001\\u0000z\",\"b\":\"caf\xc3\xa9 "
               "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd "
               "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\",\"c\":[-5,true],\"d\":null}");
}

static void
the_first_line_that_says_something_is_found(void **state)
{
    static const struct {
        const char *text, *line;
    } cases[] = {
        { "one\ntwo", "one" },
        { "\n\n  one\r\ntwo", "one" },
        { "", "" },
        { "\n", "" },
    };
    (void) state;
    for (size_t i = 0; i < DZ_LEN(cases); i++)
        assert_true(dz_slice_eq(doc_first_line(dz_str(cases[i].text)), dz_str(cases[i].line)));
}

struct seen {
    char ids[8][32];
    size_t count;
    bool has_text;
};

static void
see(void *arg, const struct doc_test *test)
{
    struct seen *seen = arg;
    (void) snprintf(seen->ids[seen->count++ % 8], 32, "%.*s", (int) test->id.len, test->id.ptr);
    seen->has_text = test->text != NULL;
}

static void
tests_come_in_the_order_that_is_asked_for(void **state)
{
    struct fixture *f = *state;
    struct store_job *job = begin_with_tests(f, 4);
    struct store_result results[3] = { result_of(0, 0, 30, DZ_RESULT_OK),
                                       result_of(1, 0, 10, DZ_RESULT_FAILED),
                                       result_of(2, 0, 20, DZ_RESULT_OK) };
    results[2].call_us = 9000;
    results[1].text = dz_str("why\nmore");
    append_results(f, job, results, 3);
    DZ_AUTO(store_view_destroy) struct store_view *view = NULL;
    assert_ok(store_view_load(f->store, store_job_ulid(job), &view, &f->err));
    DZ_AUTO(query_destroy) struct query *all = query_new(NULL, 0, &f->err);
    struct doc_tests_sum sum;
    struct seen seen = { .count = 0 };
    doc_tests(view, &(struct doc_tests_ask){ .query = all, .order = DOC_BY_DURATION, .limit = 1 },
              see, &seen, &sum);
    assert_string_equal(seen.ids[0], "t.py::test_000002");
    assert_int_equal(sum.found, 4);
    assert_int_equal(sum.shown, 1);
    seen.count = 0;
    doc_tests(view, &(struct doc_tests_ask){ .query = all, .order = DOC_BY_START, .offset = 1 },
              see, &seen, &sum);
    assert_int_equal(seen.count, 3);
    assert_string_equal(seen.ids[0], "t.py::test_000001"); /* the first never started */
    assert_string_equal(seen.ids[2], "t.py::test_000000");
    assert_false(seen.has_text);
    char failed[] = "outcome:failed", *words[] = { failed };
    DZ_AUTO(query_destroy) struct query *bad = query_new(words, 1, &f->err);
    doc_tests(view, &(struct doc_tests_ask){ .query = bad, .reasons_max = 1 }, see, &seen, &sum);
    assert_true(seen.has_text);
    assert_int_equal(sum.found, 1);
    doc_tests(view, &(struct doc_tests_ask){ .query = all, .offset = 9 }, see, &seen, &sum);
    assert_int_equal(sum.shown, 0);
    store_job_close(&job);
}

struct places {
    struct dz_buf said;
};

static void
see_place(void *arg, const struct doc_test *test)
{
    struct places *self = arg;
    dz_buf_addf(&self->said, "%s:%u%s %s\n", test->file ? test->file : "", test->line,
                test->is_elsewhere ? " elsewhere" : "", test->text ? test->text : "-");
}

static void
the_file_that_a_test_really_stands_in_is_told_apart_from_what_it_said(void **state)
{
    struct fixture *f = *state;
    struct store_job *job = begin_with_tests(f, 4);
    struct store_result results[4] = { result_of(0, 0, 1, DZ_RESULT_OK),
                                       result_of(1, 0, 2, DZ_RESULT_FAILED),
                                       result_of(2, 0, 3, DZ_RESULT_CRASHED),
                                       result_of(3, 0, 4, DZ_RESULT_FAILED) };
    for (size_t i = 0; i < 3; i++)
        results[i].line |= DZ_LINE_ELSEWHERE;
    results[0].text = dz_str("\x1e"
                             "base.py\n");
    results[1].text = dz_str("\x1e"
                             "base.py\nwhy\nmore");
    results[2].text = dz_str("killed by SIGSEGV"); /* its agent's, who knows no file */
    results[3].text = dz_str("why");
    append_results(f, job, results, 4);
    DZ_AUTO(store_view_destroy) struct store_view *view = NULL;
    assert_ok(store_view_load(f->store, store_job_ulid(job), &view, &f->err));
    DZ_AUTO(query_destroy) struct query *all = query_new(NULL, 0, &f->err);
    struct doc_tests_sum sum;
    struct places places = { .said = { 0 } };
    doc_tests(view, &(struct doc_tests_ask){ .query = all, .wants_text = true }, see_place, &places,
              &sum);
    dz_buf_add(&places.said, "", 1);
    assert_string_equal((char *) places.said.data, "base.py:1 elsewhere -\n"
                                                   "base.py:11 elsewhere why\nmore\n"
                                                   ":21 elsewhere killed by SIGSEGV\n"
                                                   ":31 why\n");
    dz_buf_fini(&places.said);
    store_job_close(&job);
}

static void
the_nearest_tests_are_told_the_nearest_first(void **state)
{
    static const char *const ids[] = { "tests/test_api.py::test_get", "tests/test_api.py::test_put",
                                       "tests/test_core.py::test_get_all" };
    struct fixture *f = *state;
    struct store_job *job = begin_at(f, NOON, "");
    struct dz_slice slices[3] = { dz_str(ids[0]), dz_str(ids[1]), dz_str(ids[2]) };
    assert_ok(store_job_put_manifest(job, slices, 3, &f->err));
    DZ_AUTO(store_view_destroy) struct store_view *view = NULL;
    assert_ok(store_view_load(f->store, store_job_ulid(job), &view, &f->err));
    struct dz_slice near[DOC_NEAR_MAX];
    size_t all = 0;
    assert_int_equal(doc_near(view, "tests/test_api.py::test_gte", 8, near, &all), 2);
    assert_true(dz_slice_eq(near[0], slices[0]));
    assert_true(dz_slice_eq(near[1], slices[1]));
    assert_int_equal(doc_near(view, "test_get", 1, near, &all), 1); /* contains it */
    assert_int_equal(all, 2);
    assert_int_equal(doc_near(view, "tset_get", 8, near, &all), 1); /* of a function's name */
    assert_true(dz_slice_eq(near[0], slices[0]));
    assert_int_equal(doc_near(view, "something else altogether", 8, near, &all), 0);
    store_job_close(&job);
}

static void
a_jobs_failures_are_limited_and_all_are_counted(void **state)
{
    struct fixture *f = *state;
    struct store_job *job = begin_with_tests(f, 4);
    struct store_result results[4];
    for (uint32_t i = 0; i < 4; i++) {
        results[i] = result_of(i, 0, i + 1, i < 3 ? DZ_RESULT_FAILED : DZ_RESULT_OK);
        results[i].text = dz_str("\nfirst line\nsecond");
    }
    append_results(f, job, results, 4);
    struct doc_job doc;
    assert_ok(doc_job_read(f->store, store_job_ulid(job), NOON, 2, &doc, &f->err));
    assert_int_equal(doc.failure_count, 3);
    assert_int_equal(doc.failures_len, 2);
    assert_string_equal(doc.failures[1].text, "first line");
    assert_int_equal(doc.lane_count, 2);
    assert_string_equal(doc.lanes[1].worker, "jw1");
    assert_int_equal(doc.lanes[1].runs, 2);
    assert_int_equal(doc.lanes[1].busy_us, 2 * 2150);
    doc_job_fini(&doc);
    store_job_close(&job);
}

static void
logs_are_chosen_by_names(void **state)
{
    static const struct {
        struct doc_logs_ask ask;
        enum dz_rc rc;
        int records;
    } cases[] = {
        { { .worker = NULL }, DZ_OK, 3 },
        { { .worker = "jw1" }, DZ_OK, 1 },
        { { .worker = "agent" }, DZ_OK, 1 },
        { { .thread = "jw0.t7" }, DZ_OK, 1 },
        { { .thread = "jw0.t8" }, DZ_OK, 0 },
        { { .test = "t.py" }, DZ_OK, 2 },
        { { .test = "t.py::test_000001" }, DZ_OK, 1 },
        { { .only_failed = true }, DZ_OK, 1 },
        { { .since_us = NOON + 2 }, DZ_OK, 2 },
        { { .until_us = NOON + 2 }, DZ_OK, 2 },
        { { .worker = "gw1" }, DZ_OK, 1 },
        { { .worker = "w0" }, DZ_REFUSED, 0 },
        { { .thread = "jw0" }, DZ_REFUSED, 0 },
        { { .test = "t.py::test_000091" }, DZ_ABSENT, 0 },
    };
    struct fixture *f = *state;
    struct store_job *job = begin_with_tests(f, 2);
    struct store_result bad = result_of(1, 0, 1, DZ_RESULT_FAILED);
    append_one(f, job, &bad);
    struct store_log logs[3];
    for (uint32_t i = 0; i < 3; i++)
        logs[i] = (struct store_log){ .first_us = NOON + 1 + i,
                                      .last_us = NOON + 1 + i,
                                      .node = 7,
                                      .worker = i,
                                      .thread = 7 + i,
                                      .test = i,
                                      .text = dz_str("x") };
    logs[2].worker = STORE_NO_WORKER;
    logs[2].test = STORE_NO_TEST;
    struct store_batch batch = { .logs = logs, .log_count = 3 };
    assert_ok(store_job_append(job, &batch, &f->err));
    for (size_t i = 0; i < DZ_LEN(cases); i++) {
        DZ_AUTO(doc_logs_close) struct doc_logs *reader = NULL;
        struct doc_log log;
        int records = 0;
        enum dz_rc rc =
            doc_logs_open(f->store, store_job_ulid(job), &cases[i].ask, &reader, &f->err);
        assert_int_equal(rc, cases[i].rc);
        while (reader && doc_logs_next(reader, &log, &f->err) == DZ_OK)
            records++;
        if (records != cases[i].records)
            fail_msg("case %zu gives %d records", i, records);
    }
    store_job_close(&job);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_utc_and_nothing_is_null),
        cmocka_unit_test(json_is_valid_whatever_the_bytes_are),
        cmocka_unit_test(the_first_line_that_says_something_is_found),
        cmocka_unit_test_setup_teardown(tests_come_in_the_order_that_is_asked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(
            the_file_that_a_test_really_stands_in_is_told_apart_from_what_it_said, setup, teardown),
        cmocka_unit_test_setup_teardown(the_nearest_tests_are_told_the_nearest_first, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_jobs_failures_are_limited_and_all_are_counted, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(logs_are_chosen_by_names, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
