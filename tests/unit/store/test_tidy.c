/* Jobs that are over become small; nobody who reads notices.  Old ones go, and their space is used
 * again. */
#include <sys/stat.h>

#include "shared/base/clock.h"
#include "store/care.h"
#include "store/disk.h"
#include "tests/unit/store/store_fixture.h"
#include "tests/unit/store/transcript.h"

enum { TESTS = 300, BATCHES = 200, PER_BATCH = 40 };

/* The same numbers every time: a linear congruence. */
static uint32_t
draw(uint64_t *seed, uint32_t below)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t) (*seed >> 33) % below;
}

/* Batches as an agent sends them: somewhat out of order, several sources, some repeats. */
static void
append_drawn(struct fixture *f, struct store_job *job, uint64_t *seed, uint32_t batch)
{
    struct store_result results[4];
    struct store_log logs[PER_BATCH];
    struct store_span spans[PER_BATCH];
    char texts[PER_BATCH][48];
    for (uint32_t i = 0; i < DZ_LEN(results); i++) {
        results[i] = result_of(draw(seed, TESTS), draw(seed, 2), batch * 4 + i + 1,
                               draw(seed, 3) ? DZ_RESULT_OK : DZ_RESULT_FAILED);
        if (results[i].result == DZ_RESULT_FAILED)
            results[i].text = dz_str("t.py:1: AssertionError\nand more\n");
    }
    for (uint32_t i = 0; i < PER_BATCH; i++) {
        int64_t at = NOON + batch * INT64_C(100000) + draw(seed, 300000);
        bool is_note = draw(seed, 10) == 0;
        (void) snprintf(texts[i], sizeof(texts[i]), "batch %u line %u\n", batch, i);
        logs[i] = (struct store_log){
            .kind = is_note ? STORE_LOG_NOTE : STORE_LOG_OUTPUT,
            .first_us = at,
            .last_us = at + draw(seed, 1000),
            .node = 1 + draw(seed, 2),
            .worker = is_note ? STORE_NO_WORKER : draw(seed, 70),
            .thread = draw(seed, 3),
            .test = is_note ? STORE_NO_TEST : batch * TESTS / BATCHES + draw(seed, 3),
            .text = dz_str(texts[i]),
        };
        spans[i] = (struct store_span){
            .source = 5,
            .seq = batch * PER_BATCH + i + 1,
            .id = batch * PER_BATCH + i + 1,
            .parent = draw(seed, batch * PER_BATCH + i + 1),
            .start_us = at,
            .end_us = at + draw(seed, 50000),
            .node = 1,
            .worker = draw(seed, 4),
            .test = draw(seed, TESTS),
            .type = dz_str("fixture"),
            .name = dz_str(texts[i]),
        };
    }
    struct store_batch all = { .results = results,
                               .logs = logs,
                               .spans = spans,
                               .result_count = DZ_LEN(results),
                               .log_count = PER_BATCH,
                               .span_count = PER_BATCH };
    enum dz_rc rc = store_job_append(job, &all, &f->err);
    if (rc != DZ_OK)
        fail_msg("%s", f->err.text);
}

static struct store_job *
big_job(struct fixture *f, uint32_t batches)
{
    uint64_t seed = 42;
    struct store_job *job = begin_with_tests(f, TESTS);
    for (uint32_t i = 0; i < batches; i++)
        append_drawn(f, job, &seed, i);
    return job;
}

static enum dz_rc
count_keys(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    size_t *counts = arg;
    for (unsigned table = 0; table < TABLES; table++) {
        struct dz_slice key, value;
        DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
        dz_kv_iter_init(&it, txn, table, (struct dz_slice){ 0 });
        for (counts[table] = 0; dz_kv_next(&it, &key, &value); counts[table]++)
            continue;
        enum dz_rc rc = dz_kv_iter_rc(&it, err);
        if (rc != DZ_OK)
            return rc;
    }
    return DZ_OK;
}

static size_t
keys_in(struct fixture *f, unsigned table)
{
    size_t counts[TABLES];
    assert_ok(dz_kv_read(f->store->kv, count_keys, counts, &f->err));
    return counts[table];
}

static void
tidy(struct fixture *f, struct store_tidy *work)
{
    work->budget_ms = 60000;
    enum dz_rc rc = store_tidy(f->store, work, &f->err);
    if (rc != DZ_OK)
        fail_msg("%s", f->err.text);
    assert_true(work->is_done);
    assert_int_equal(work->failed, 0);
}

static void
assert_same(char *before, char *after)
{
    assert_string_equal(before, after);
    free(before);
    free(after);
}

static void
a_sealed_job_becomes_segments_and_reads_the_same(void **state)
{
    struct fixture *f = *state;
    struct store_job *job = big_job(f, BATCHES);
    struct store_ledger ledger = ledger_now(f, job);
    assert_ok(seal_job(f, job, 1));
    char *before = transcript(f->store, store_job_ulid(job));
    struct store_tidy work = { .now_us = NOON + DAY };
    tidy(f, &work);
    assert_int_equal(work.compacted, 1);
    assert_int_equal(keys_in(f, T_BATCH), 0);
    assert_int_equal(keys_in(f, T_TEXT), 0);
    assert_true(keys_in(f, T_SEGMENT) >= 4);
    assert_same(before, transcript(f->store, store_job_ulid(job)));
    struct store_ledger again = ledger_now(f, job); /* a handle that knows the batches */
    assert_memory_equal(&again, &ledger, sizeof(ledger));
    char ulid[STORE_ULID_LEN + 1];
    memcpy(ulid, store_job_ulid(job), sizeof(ulid));
    store_job_close(&job);
    assert_ok(store_job_reopen(f->store, ulid, &job, &f->err)); /* one that does not */
    again = ledger_now(f, job);
    assert_memory_equal(&again, &ledger, sizeof(ledger));
    store_job_close(&job);
}

static void
a_job_that_has_just_ended_stays_as_it_is(void **state)
{
    struct fixture *f = *state;
    struct store_job *job = big_job(f, BATCHES);
    assert_ok(seal_job(f, job, 1));
    struct store_tidy work = { .now_us = NOON + 65000000, .settle_us = 61000000 };
    tidy(f, &work);
    assert_int_equal(work.compacted, 0);
    work.settle_us = 60000000; /* it ended five seconds after noon */
    tidy(f, &work);
    assert_int_equal(work.compacted, 1);
    store_job_close(&job);
}

static void
every_filter_finds_the_same_in_segments(void **state)
{
    struct fixture *f = *state;
    struct store_job *job = big_job(f, BATCHES);
    const char *ulid = store_job_ulid(job);
    uint8_t tests[(TESTS + 7) / 8] = { 0 };
    struct dz_buf texts[2] = { { 0 }, { 0 } };
    struct store_tidy work = { .now_us = NOON + DAY };
    tests[17 / 8] |= 1 << 17 % 8;
    tests[200 / 8] |= 1 << 200 % 8;
    struct store_log_filter logs[] = {
        { .worker = -1, .thread = -1, .tests = tests, .test_count = TESTS },
        { .worker = 3, .thread = -1 },
        { .worker = 66, .thread = 2 },
        { .worker = -2, .thread = -1 },
        { .worker = -1, .thread = -1, .since_us = NOON + 10000000, .until_us = NOON + 11000000 },
        { .worker = -1, .thread = -1, .has_node = true, .node = 2, .since_us = NOON + 19000000 },
    };
    struct store_span_filter spans[] = {
        { .worker = 2, .since_us = NOON + 1000000, .until_us = NOON + 1500000 },
        { .worker = -1, .tests = tests, .test_count = TESTS },
        { .worker = -1, .key = store_span_key(5, 777) },
    };
    assert_ok(seal_job(f, job, 1));
    for (unsigned pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < DZ_LEN(logs); i++)
            say_logs(f->store, ulid, &logs[i], &texts[pass]);
        for (size_t i = 0; i < DZ_LEN(spans); i++)
            say_spans(f->store, ulid, &spans[i], &texts[pass]);
        dz_buf_add(&texts[pass], "", 1);
        tidy(f, &work);
    }
    assert_non_null(strstr((char *) texts[0].data, "span 5/777 "));
    assert_same((char *) texts[0].data, (char *) texts[1].data);
    store_job_close(&job);
}

/* Everything that a reader gives from here on. */
static void
read_on(struct fixture *f, struct store_logs *logs, uint32_t most, struct dz_buf *out)
{
    struct store_log log;
    enum dz_rc rc = DZ_OK;
    for (uint32_t i = 0; i < most && (rc = store_logs_next(logs, &log, &f->err)) == DZ_OK; i++)
        say_log(&log, out);
    if (rc != DZ_OK && rc != DZ_ABSENT)
        fail_msg("%s", f->err.text);
}

static void
who_reads_meanwhile_misses_nothing_and_gets_nothing_twice(void **state)
{
    enum { CASES = 6 };
    static const uint32_t read_before[CASES] = { 0, 1, 777, 5000, BATCHES * PER_BATCH - 1, 20000 };
    struct fixture *f = *state;
    struct store_job *job = big_job(f, BATCHES);
    struct store_log_filter all = { .worker = -1, .thread = -1 };
    struct store_logs *logs[CASES], *undisturbed = NULL;
    struct dz_buf texts[CASES] = { { 0 } }, expected = { 0 };
    assert_ok(seal_job(f, job, 1));
    assert_ok(store_logs_open(f->store, store_job_ulid(job), &all, &undisturbed, &f->err));
    read_on(f, undisturbed, UINT32_MAX, &expected);
    store_logs_close(&undisturbed);
    for (size_t i = 0; i < CASES; i++) {
        assert_ok(store_logs_open(f->store, store_job_ulid(job), &all, &logs[i], &f->err));
        read_on(f, logs[i], read_before[i], &texts[i]);
    }
    struct store_tidy work = { .now_us = NOON + DAY };
    tidy(f, &work);
    for (size_t i = 0; i < CASES; i++) {
        read_on(f, logs[i], UINT32_MAX, &texts[i]);
        assert_ok(store_logs_refresh(logs[i], &f->err));
        read_on(f, logs[i], UINT32_MAX, &texts[i]);
        assert_int_equal(texts[i].len, expected.len);
        assert_memory_equal(texts[i].data, expected.data, expected.len);
        dz_buf_fini(&texts[i]);
        store_logs_close(&logs[i]);
    }
    dz_buf_fini(&expected);
    store_job_close(&job);
}

static void
what_comes_later_joins_what_is_small_already(void **state)
{
    struct fixture *f = *state;
    struct store_job *job = big_job(f, 20);
    struct store_log_filter all = { .worker = -1, .thread = -1 };
    struct store_logs *follower = NULL;
    struct dz_buf unused = { 0 };
    struct store_tidy work = { .now_us = NOON + DAY };
    struct store_log late = { .first_us = NOON + 5,
                              .last_us = NOON + 5,
                              .test = STORE_NO_TEST,
                              .text = dz_str("late") },
                     got;
    struct store_batch batch = { .logs = &late, .log_count = 1 };
    assert_ok(seal_job(f, job, 1));
    tidy(f, &work);
    assert_ok(store_logs_open(f->store, store_job_ulid(job), &all, &follower, &f->err));
    read_on(f, follower, UINT32_MAX, &unused);
    assert_ok(store_job_append(job, &batch, &f->err));
    char *before = transcript(f->store, store_job_ulid(job));
    tidy(f, &work); /* before the follower has looked */
    assert_int_equal(keys_in(f, T_BATCH), 0);
    assert_same(before, transcript(f->store, store_job_ulid(job)));
    assert_ok(store_logs_refresh(follower, &f->err));
    assert_ok(store_logs_next(follower, &got, &f->err));
    assert_memory_equal(got.text.ptr, "late", 4);
    assert_int_equal(store_logs_next(follower, &got, &f->err), DZ_ABSENT);
    assert_ok(store_job_append(job, &batch, &f->err)); /* numbers go on where they were */
    assert_ok(store_logs_refresh(follower, &f->err));
    assert_ok(store_logs_next(follower, &got, &f->err));
    store_logs_close(&follower);
    store_job_close(&job);
    dz_buf_fini(&unused);
}

static void
a_job_that_runs_is_left_alone(void **state)
{
    struct fixture *f = *state;
    struct store_retention nothing = { .days = 1, .max_bytes = 1 };
    int64_t now_us = dz_clock_wall_ms() * 1000; /* when batches are written */
    struct store_job *job = begin_at(f, now_us - 60 * DAY, ""), *newer = NULL;
    put_tests(f, job, 3);
    struct store_result one = result_of(0, 0, 1, DZ_RESULT_OK);
    append_one(f, job, &one);
    newer = begin_at(f, now_us, ""); /* so that the first is not the project's newest */
    assert_ok(store_retention_set(f->store, &nothing, &f->err));
    struct store_tidy work = { .now_us = now_us };
    tidy(f, &work);
    assert_int_equal(work.removed, 0);
    assert_int_equal(keys_in(f, T_BATCH), 1);
    assert_int_equal(store_job_remove(f->store, store_job_ulid(job), now_us, &f->err), DZ_REFUSED);
    store_job_close(&job);
    store_job_close(&newer);
}

static void
note_removed(void *arg, const struct store_removed *job)
{
    dz_buf_addf(arg, "%s: %s\n", job->uri, job->why);
}

static void
jobs_that_are_too_old_are_removed_with_all_they_had(void **state)
{
    struct fixture *f = *state;
    DZ_AUTO(dz_buf_fini) struct dz_buf said = { 0 };
    struct store_tidy work = { .now_us = NOON + 30 * DAY + 4000000,
                               .on_removed = note_removed,
                               .arg = &said };
    struct store_job *old = big_job(f, 10);
    assert_ok(seal_job(f, old, 0));
    struct store_job *job = begin_at(f, NOON + 2 * DAY, "0123456789");
    put_tests(f, job, 5);
    assert_ok(seal_job(f, job, 0)); /* ends at the same moment, but is the newest */
    tidy(f, &work);
    assert_int_equal(work.removed, 0); /* it ended at NOON + 5 s */
    work.now_us = NOON + 30 * DAY + 6000000;
    tidy(f, &work);
    assert_int_equal(work.removed, 1);
    dz_buf_add(&said, "", 1);
    assert_string_equal((char *) said.data, "git@example.org:acme/shop.git: older than 30 days\n");
    assert_int_equal(keys_in(f, T_JOB), 1);
    assert_int_equal(keys_in(f, T_INDEX), 1);
    assert_int_equal(keys_in(f, T_SEGMENT), 0);
    assert_int_equal(keys_in(f, T_CONTENTS), 0);
    assert_int_equal(keys_in(f, T_MARK), 0);
    assert_int_equal(keys_in(f, T_TRASH), 0);
    assert_int_equal(keys_in(f, T_MANIFEST), 1); /* that of the other job */
    struct store_view *view = NULL;
    assert_int_equal(store_view_load(f->store, store_job_ulid(old), &view, &f->err), DZ_ABSENT);
    store_job_close(&old);
    store_job_close(&job);
}

static off_t
file_size(struct fixture *f)
{
    char path[128];
    struct stat info;
    (void) snprintf(path, sizeof(path), "%s/data.mdb", store_dir(f->store));
    assert_int_equal(stat(path, &info), 0);
    return info.st_size;
}

static void
above_its_size_the_oldest_go_and_their_pages_are_used_again(void **state)
{
    enum { JOBS = 45, SETTLED = 30 };
    struct fixture *f = *state;
    struct store_retention small = { .max_bytes = 512 << 10 };
    off_t settled = 0;
    assert_ok(store_retention_set(f->store, &small, &f->err));
    for (int i = 0; i < JOBS; i++) {
        uint64_t seed = (uint64_t) i;
        struct store_job *job = begin_at(f, NOON + i * DAY, "");
        put_tests(f, job, TESTS);
        for (uint32_t k = 0; k < 25; k++)
            append_drawn(f, job, &seed, k);
        assert_ok(seal_job(f, job, 0));
        store_job_close(&job);
        struct store_tidy work = { .now_us = NOON + i * DAY };
        tidy(f, &work);
        assert_true(work.live_bytes <= small.max_bytes);
        if (i == SETTLED)
            settled = file_size(f);
    }
    struct store_job_list list = { 0 };
    assert_ok(store_jobs(f->store, URI, 100, NOON, &list, &f->err));
    assert_in_range(list.count, 2, JOBS / 2);
    store_job_list_fini(&list);
    assert_true(file_size(f) < settled * 5 / 4);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_sealed_job_becomes_segments_and_reads_the_same),
        T(a_job_that_has_just_ended_stays_as_it_is),
        T(every_filter_finds_the_same_in_segments),
        T(who_reads_meanwhile_misses_nothing_and_gets_nothing_twice),
        T(what_comes_later_joins_what_is_small_already),
        T(a_job_that_runs_is_left_alone),
        T(jobs_that_are_too_old_are_removed_with_all_they_had),
        T(above_its_size_the_oldest_go_and_their_pages_are_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
