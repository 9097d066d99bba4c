#include <signal.h>
#include <sys/wait.h>

#include "shared/base/ulid.h"
#include "shared/kv/kv.h"
#include "tests/unit/store/store_fixture.h"

static void
a_job_has_a_long_id_and_counts_up_by_day(void **state)
{
    struct fixture *f = *state;
    static const struct {
        int64_t at;
        const char *short_id;
    } cases[] = { { NOON, "j1" }, { NOON + 1, "j2" }, { NOON + DAY, "j1" }, { NOON + DAY, "j2" } };
    for (size_t i = 0; i < DZ_LEN(cases); i++) {
        struct store_job *job = begin_at(f, cases[i].at, "");
        int64_t wall_ms = 0;
        assert_true(dz_ulid_read(dz_str(store_job_ulid(job)), &wall_ms));
        assert_int_equal(wall_ms, cases[i].at / 1000);
        assert_string_equal(store_job_short(job), cases[i].short_id);
        store_job_close(&job);
    }
}

static void
days_are_counted_in_the_projects_time_zone(void **state)
{
    struct fixture *f = *state;
    struct store_begin begin = { .uri = URI, .timezone = "Asia/Tokyo", .now_us = NOON };
    struct store_job *job = NULL;
    assert_ok(store_job_begin(f->store, &begin, &job, &f->err));
    store_job_close(&job);
    begin.now_us = NOON + 4 * 3600 * INT64_C(1000000); /* 01:00 of the next day in Tokyo */
    assert_ok(store_job_begin(f->store, &begin, &job, &f->err));
    assert_string_equal(store_job_short(job), "j1");
    store_job_close(&job);
}

static void
processes_that_begin_at_once_get_different_numbers(void **state)
{
    enum { CHILDREN = 6, EACH = 5 };
    struct fixture *f = *state;
    pid_t pids[CHILDREN];
    store_close(&f->store);
    for (int i = 0; i < CHILDREN; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            bool ok = store_open(f->home, STORE_WRITE, &f->store, NULL, &f->err) == DZ_OK;
            struct store_begin begin = { .uri = URI, .timezone = "UTC", .now_us = NOON };
            for (int k = 0; ok && k < EACH; k++) {
                struct store_job *job = NULL;
                ok = store_job_begin(f->store, &begin, &job, &f->err) == DZ_OK;
            }
            _exit(ok ? 0 : 1);
        }
    }
    for (int i = 0; i < CHILDREN; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    open_store(f, STORE_READ);
    struct store_job_list list = { 0 };
    assert_ok(store_jobs(f->store, URI, 100, NOON, &list, &f->err));
    assert_int_equal(list.count, CHILDREN * EACH);
    for (size_t i = 0; i < list.count; i++) {
        char expected[16];
        (void) snprintf(expected, sizeof(expected), "j%zu", list.count - i);
        assert_string_equal(list.jobs[i].short_id, expected);
    }
    store_job_list_fini(&list);
}

static void
a_reopened_job_goes_on_where_it_was(void **state)
{
    struct fixture *f = *state;
    struct store_job *job = begin_with_tests(f, 3);
    struct store_result one = result_of(0, 0, 1, DZ_RESULT_OK);
    append_one(f, job, &one);
    char ulid[STORE_ULID_LEN + 1];
    (void) snprintf(ulid, sizeof(ulid), "%s", store_job_ulid(job));
    store_job_close(&job);
    store_close(&f->store);
    open_store(f, STORE_WRITE);
    assert_ok(store_job_reopen(f->store, ulid, &job, &f->err));
    assert_string_equal(store_job_short(job), "j1");
    append_one(f, job, &one);
    assert_true(one.is_repeat);
    struct store_result two = result_of(1, 0, 2, DZ_RESULT_OK);
    append_one(f, job, &two);
    assert_int_equal(ledger_now(f, job).counted, 2);
    put_tests(f, job, 3); /* the same list again */
    assert_ok(seal_job(f, job, 0));
    store_job_close(&job);
    assert_int_equal(store_job_reopen(f->store, "nonsense", &job, &f->err), DZ_ABSENT);
}

static void
count_row(void *arg, const struct store_result *row)
{
    *(uint64_t *) arg += row->exec + (row->word == DZ_WORD_COUNTED ? 1000 : 0);
}

static void
every_row_can_be_read_back(void **state)
{
    struct fixture *f = *state;
    struct store_job *job = begin_with_tests(f, 3);
    struct store_result rows[] = { result_of(0, 0, 1, DZ_RESULT_OK),
                                   result_of(0, 0, 2, DZ_RESULT_OK),
                                   result_of(2, 0, 4, DZ_RESULT_FAILED) };
    append_results(f, job, rows, 3);
    uint64_t sum = 0;
    assert_ok(store_job_each_row(job, count_row, &sum, &f->err));
    assert_int_equal(sum, 2000 + 7);
    store_job_close(&job);
}

static void
two_processes_can_write_one_job_and_count_exactly(void **state)
{
    enum { TESTS = 400 };
    struct fixture *f = *state;
    struct store_job *job = begin_with_tests(f, TESTS);
    char ulid[STORE_ULID_LEN + 1];
    (void) snprintf(ulid, sizeof(ulid), "%s", store_job_ulid(job));
    store_job_close(&job);
    store_close(&f->store);
    pid_t pids[2];
    for (int who = 0; who < 2; who++) {
        pids[who] = fork();
        if (pids[who] == 0) {
            bool ok = store_open(f->home, STORE_WRITE, &f->store, NULL, &f->err) == DZ_OK &&
                      store_job_reopen(f->store, ulid, &job, &f->err) == DZ_OK;
            for (uint32_t t = 0; ok && t < TESTS; t++) { /* both say every test */
                struct store_result r = result_of(t, 0, t, DZ_RESULT_OK);
                r.node = (uint64_t) who;
                struct store_batch batch = { .results = &r, .result_count = 1 };
                ok = store_job_append(job, &batch, &f->err) == DZ_OK;
            }
            _exit(ok ? 0 : 1);
        }
    }
    for (int who = 0; who < 2; who++) {
        int status;
        assert_int_equal(waitpid(pids[who], &status, 0), pids[who]);
        assert_int_equal(status, 0);
    }
    open_store(f, STORE_WRITE);
    assert_ok(store_job_reopen(f->store, ulid, &job, &f->err));
    struct store_ledger ledger = ledger_now(f, job);
    assert_int_equal(ledger.counted, TESTS);
    assert_int_equal(ledger.executions, TESTS * 2);
    store_job_close(&job);
}

static void
a_manifest_must_be_sorted_and_stay_the_same(void **state)
{
    struct fixture *f = *state;
    struct store_job *job = begin_at(f, NOON, "");
    struct dz_slice wrong[] = { dz_str("b"), dz_str("a") }, equal[] = { dz_str("a"), dz_str("a") };
    struct dz_slice right[] = { dz_str("a"), dz_str("ab"), dz_str("b") };
    struct store_result early = result_of(0, 0, 1, DZ_RESULT_OK);
    struct store_batch batch = { .results = &early, .result_count = 1 };
    assert_int_equal(store_job_append(job, &batch, &f->err), DZ_LIMIT); /* no manifest yet */
    assert_int_equal(store_job_put_manifest(job, wrong, 2, &f->err), DZ_CORRUPT);
    assert_int_equal(store_job_put_manifest(job, equal, 2, &f->err), DZ_CORRUPT);
    assert_ok(store_job_put_manifest(job, right, 3, &f->err));
    assert_ok(store_job_put_manifest(job, right, 3, &f->err));
    assert_int_equal(store_job_put_manifest(job, right, 2, &f->err), DZ_EXISTS);
    append_one(f, job, &early);
    store_job_close(&job);
}

static void
an_account_that_does_not_add_up_is_sealed_and_marked(void **state)
{
    struct fixture *f = *state;
    struct store_job *job = begin_with_tests(f, 2);
    struct store_result one = result_of(0, 0, 1, DZ_RESULT_OK);
    append_one(f, job, &one);
    struct store_seal seal = { .collected = 2, .counted = 2, .now_us = NOON + 1 };
    assert_int_equal(store_job_seal(job, &seal, &f->err), DZ_CORRUPT);
    struct store_result late = result_of(1, 0, 2, DZ_RESULT_OK);
    struct store_batch batch = { .results = &late, .result_count = 1 };
    assert_int_equal(store_job_append(job, &batch, &f->err), DZ_REFUSED);
    struct store_job_info info;
    assert_ok(store_job_info(f->store, store_job_ulid(job), NOON, &info, &f->err));
    assert_int_equal(info.state, STORE_SEALED);
    assert_true(info.is_ledger_wrong);
    store_job_info_fini(&info);
    store_job_close(&job);
}

static void
a_job_tells_how_it_went(void **state)
{
    struct fixture *f = *state;
    struct store_job *job = begin_with_tests(f, 4);
    struct store_job_info info;
    struct store_result rows[] = { result_of(0, 0, 1, DZ_RESULT_OK),
                                   result_of(1, 0, 2, DZ_RESULT_FAILED),
                                   result_of(2, 0, 3, DZ_RESULT_SKIPPED) };
    append_results(f, job, rows, 3);
    assert_ok(store_job_info(f->store, store_job_ulid(job), NOON, &info, &f->err));
    assert_int_equal(info.state, STORE_RUNNING); /* we live and have not sealed it */
    assert_int_equal(info.counted, 3);
    assert_int_equal(info.not_run, 1);
    assert_int_equal(info.collected, 4);
    assert_int_equal(info.exit_code, -1);
    store_job_info_fini(&info);
    assert_ok(seal_job(f, job, 1));
    assert_ok(store_job_info(f->store, store_job_ulid(job), NOON + DAY, &info, &f->err));
    assert_int_equal(info.state, STORE_SEALED);
    assert_int_equal(info.exit_code, 1);
    assert_int_equal(info.verdicts[DZ_RESULT_FAILED], 1);
    assert_int_equal(info.end_us, NOON + 5000000);
    assert_string_equal(info.short_id, "j1121.1");
    assert_string_equal(info.command, "pytest --dagz");
    store_job_info_fini(&info);
    store_job_close(&job);
}

static void
a_job_whose_writer_died_is_broken_off(void **state)
{
    struct fixture *f = *state;
    store_close(&f->store);
    pid_t pid = fork();
    if (pid == 0) {
        bool ok = store_open(f->home, STORE_WRITE, &f->store, NULL, &f->err) == DZ_OK;
        struct store_begin begin = { .uri = URI, .timezone = "UTC", .now_us = NOON };
        struct store_job *job = NULL;
        ok = ok && store_job_begin(f->store, &begin, &job, &f->err) == DZ_OK;
        _exit(ok ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    open_store(f, STORE_READ);
    const struct {
        int64_t later_us;
        enum store_state state;
    } looks[] = { { 2900000, STORE_RUNNING }, /* another agent may take it up */
                  { 3100000, STORE_BROKEN },
                  { DAY, STORE_BROKEN } };
    for (size_t i = 0; i < DZ_LEN(looks); i++) {
        struct store_job_list list = { 0 };
        assert_ok(store_jobs(f->store, URI, 1, NOON + looks[i].later_us, &list, &f->err));
        assert_int_equal(list.count, 1);
        assert_int_equal(list.jobs[0].state, looks[i].state);
        store_job_list_fini(&list);
    }
}

static void
texts_of_failures_are_kept_and_long_ones_lose_their_middle(void **state)
{
    struct fixture *f = *state;
    struct store_job *job = begin_with_tests(f, 2);
    size_t long_len = STORE_TEXT_MAX * 2;
    uint8_t *long_text = dz_alloc0(long_len, 1);
    memset(long_text, 'm', long_len);
    memcpy(long_text, "BEGIN", 5);
    memcpy(long_text + long_len - 3, "END", 3);
    struct store_result rows[] = { result_of(0, 0, 1, DZ_RESULT_FAILED),
                                   result_of(1, 0, 2, DZ_RESULT_FAILED) };
    rows[0].text = dz_str("t.py:3: AssertionError\nassert 1 == 2\n");
    struct store_text later = { 1, 0, 7, 1, 2, { long_text, long_len }, 0 };
    struct store_batch batch = {
        .results = rows, .result_count = 2, .texts = &later, .text_count = 1
    };
    assert_ok(store_job_append(job, &batch, &f->err));
    struct store_view *view = NULL;
    assert_ok(store_view_load(f->store, store_job_ulid(job), &view, &f->err));
    char *text = NULL;
    size_t len = 0;
    assert_ok(store_view_text(view, 0, &text, &len, &f->err));
    assert_string_equal(text, "t.py:3: AssertionError\nassert 1 == 2\n");
    free(text);
    assert_ok(store_view_text(view, 1, &text, &len, &f->err));
    assert_true(len <= STORE_TEXT_MAX);
    assert_memory_equal(text, "BEGIN", 5);
    assert_memory_equal(text + len - 3, "END", 3);
    assert_non_null(strstr(text, " bytes left out "));
    free(text);
    free(long_text);
    store_view_destroy(&view);
    store_job_close(&job);
}

static void
a_view_shows_every_test_with_its_deciding_execution(void **state)
{
    struct fixture *f = *state;
    struct store_job *job = begin_with_tests(f, 4);
    struct store_result rows[] = {
        result_of(0, 0, 1, DZ_RESULT_OK),     result_of(1, 0, 2, DZ_RESULT_FAILED),
        result_of(1, 1, 3, DZ_RESULT_OK),     result_of(2, 0, 4, DZ_RESULT_CRASHED),
        result_of(0, 0, 5, DZ_RESULT_FAILED),
    };
    rows[3].is_strike = true;
    rows[3].cause = DZ_CAUSE_SIGNAL;
    rows[3].signal = 11;
    rows[2].node = 9;
    append_results(f, job, rows, DZ_LEN(rows));
    struct store_view *view = NULL;
    assert_ok(store_view_load(f->store, store_job_ulid(job), &view, &f->err));
    assert_int_equal(store_view_count(view), 4);
    assert_int_equal(store_view_nodes(view), 2);
    struct store_test t;
    store_view_test(view, 0, &t);
    assert_int_equal(t.verdict, DZ_RESULT_OK);
    assert_int_equal(t.executions, 2);
    assert_int_equal(t.attempts, 1);
    store_view_test(view, 1, &t);
    assert_int_equal(t.verdict, DZ_RESULT_OK_FLAKY);
    assert_int_equal(t.node, 1);
    store_view_test(view, 2, &t);
    assert_int_equal(t.verdict, DZ_RESULT_NONE);
    assert_int_equal(t.signal, 11);
    store_view_test(view, 3, &t);
    assert_int_equal(t.executions, 0);
    assert_int_equal(store_view_find(view, dz_str("t.py::test_000002")), 2);
    assert_int_equal(store_view_find(view, dz_str("t.py::test_00000")), STORE_NO_TEST);
    uint64_t sum = 0;
    store_view_executions(view, 0, count_row, &sum);
    assert_int_equal(sum, 1000 + 6);
    store_view_destroy(&view);
    store_job_close(&job);
}

/* Writes results one by one and says each that was acknowledged, until it is killed. */
static _Noreturn void
write_until_killed(struct fixture *f, const char *ulid, uint32_t first, int tell)
{
    struct store_job *job = NULL;
    bool ok = store_open(f->home, STORE_WRITE, &f->store, NULL, &f->err) == DZ_OK &&
              store_job_reopen(f->store, ulid, &job, &f->err) == DZ_OK;
    for (uint32_t t = first; ok; t++) {
        struct store_result r = result_of(t, 0, t, DZ_RESULT_OK);
        struct store_batch batch = { .results = &r, .result_count = 1 };
        ok = store_job_append(job, &batch, &f->err) == DZ_OK && write(tell, "+", 1) == 1;
    }
    _exit(1);
}

static void
what_was_acknowledged_survives_a_kill_at_any_moment(void **state)
{
    enum { KILLS = 25, TESTS = 20000 };
    struct fixture *f = *state;
    struct store_job *job = begin_with_tests(f, TESTS);
    char ulid[STORE_ULID_LEN + 1];
    (void) snprintf(ulid, sizeof(ulid), "%s", store_job_ulid(job));
    store_job_close(&job);
    store_close(&f->store);
    uint32_t acked = 0;
    for (uint32_t i = 0; i < KILLS; i++) {
        int tell[2];
        char byte;
        assert_int_equal(pipe(tell), 0);
        pid_t pid = fork();
        if (pid == 0)
            write_until_killed(f, ulid, acked, tell[1]);
        (void) close(tell[1]);
        for (uint32_t n = 0; n < 1 + i % 7 && read(tell[0], &byte, 1) == 1; n++)
            acked++;
        assert_int_equal(kill(pid, SIGKILL), 0);
        while (read(tell[0], &byte, 1) == 1) /* said before the kill arrived */
            acked++;
        (void) close(tell[0]);
        assert_int_equal(waitpid(pid, NULL, 0), pid);

        open_store(f, STORE_WRITE);
        assert_ok(store_job_reopen(f->store, ulid, &job, &f->err));
        uint32_t counted = ledger_now(f, job).counted;
        assert_true(counted == acked ||
                    counted == acked + 1); /* stored, and killed before it spoke */
        acked = counted;
        store_job_close(&job);
        store_close(&f->store);
    }
}

static void
a_store_of_a_newer_version_is_named_as_such(void **state)
{
    static const char *const tables[] = { "meta" };
    struct fixture *f = *state;
    struct dz_kv *kv = NULL;
    struct dz_kv_opts opts = { .tables = tables, .table_count = 1 };
    struct dz_kv_batch batch = { 0 };
    char dir[128];
    store_close(&f->store);
    (void) snprintf(dir, sizeof(dir), "%s/local.env/store", f->home);
    assert_ok(dz_kv_open(dir, &opts, &kv, &f->err));
    dz_kv_batch_put(&batch, 0, dz_str("version"), dz_str("4"));
    assert_ok(dz_kv_batch_commit(&batch, kv, &f->err));
    dz_kv_batch_fini(&batch);
    dz_kv_close(&kv);
    assert_int_equal(store_open(f->home, STORE_READ, &f->store, NULL, &f->err), DZ_VERSION);
    assert_non_null(strstr(f->err.text, "newer dagz (its format is 4, ours 3)"));
    assert_int_equal(store_open(f->home, STORE_WRITE, &f->store, NULL, &f->err), DZ_VERSION);
}

static void
reading_where_nobody_wrote_is_absent(void **state)
{
    struct fixture *f = *state;
    struct store *store = NULL;
    assert_int_equal(store_open("/tmp/dz-no-such-home", STORE_READ, &store, NULL, &f->err),
                     DZ_ABSENT);
    assert_string_equal(f->err.text,
                        "there is no store in '/tmp/dz-no-such-home/local.env/store' yet");
}

static void
a_damaged_store_is_put_aside_with_a_warning(void **state)
{
    struct fixture *f = *state;
    char path[128], *warning = NULL;
    store_close(&f->store);
    (void) snprintf(path, sizeof(path), "%s/local.env/store/data.mdb", f->home);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    for (int i = 0; i < 8192; i++)
        (void) fputc('#', file);
    (void) fclose(file);
    assert_int_equal(store_open(f->home, STORE_READ, &f->store, NULL, &f->err), DZ_CORRUPT);
    assert_ok(store_open(f->home, STORE_WRITE, &f->store, &warning, &f->err));
    assert_non_null(warning);
    assert_non_null(strstr(warning, "store.bad-1 and a new one was begun"));
    free(warning);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_job_has_a_long_id_and_counts_up_by_day),
        T(days_are_counted_in_the_projects_time_zone),
        T(processes_that_begin_at_once_get_different_numbers),
        T(a_reopened_job_goes_on_where_it_was),
        T(every_row_can_be_read_back),
        T(two_processes_can_write_one_job_and_count_exactly),
        T(a_manifest_must_be_sorted_and_stay_the_same),
        T(an_account_that_does_not_add_up_is_sealed_and_marked),
        T(a_job_tells_how_it_went),
        T(a_job_whose_writer_died_is_broken_off),
        T(texts_of_failures_are_kept_and_long_ones_lose_their_middle),
        T(a_view_shows_every_test_with_its_deciding_execution),
        T(what_was_acknowledged_survives_a_kill_at_any_moment),
        T(a_store_of_a_newer_version_is_named_as_such),
        T(reading_where_nobody_wrote_is_absent),
        T(a_damaged_store_is_put_aside_with_a_warning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
