/* fill_store.c - fill a store as an agent would, for the tests of zb and for figures.
 *
 *     fill_store HOME PROJECT mixed            failures of every kind, logs, notes; sealed
 *     fill_store HOME PROJECT passed           a small job that passed
 *     fill_store HOME PROJECT empty            nothing collected, exit code 5
 *     fill_store HOME PROJECT broken           its writer is gone
 *     fill_store HOME PROJECT newer            says that a later dagz wrote it
 *     fill_store HOME PROJECT running          every line of stdin becomes output of a test, which
 *                                              the line "!fail" ends; EOF seals it
 *     fill_store HOME PROJECT big N [BATCH [SPANS]]
 *                                              N tests in batches, so many spans; figures on stdout */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/kv/kv.h"
#include "store/chronicle.h"
#include "store/project.h"
#include "store/store.h"

struct filler {
    struct project project;
    struct store *store;
    struct store_job *job;
    int64_t now_us;
    struct dz_err err;
};

static void
must(struct filler *f, enum dz_rc rc)
{
    if (rc == DZ_OK)
        return;
    (void) fprintf(stderr, "fill_store: %s\n", f->err.text);
    exit(1); /* NOLINT(concurrency-mt-unsafe): one thread */
}

static void
begin(struct filler *f, const char *command)
{
    struct store_begin begin = {
        .uri = f->project.uri,
        .timezone = f->project.timezone,
        .profile = f->project.profile,
        .commit = f->project.commit,
        .command = command,
        .versions = "CPython 3.11.2, pytest 9.0.0, dagz 0.1.0",
        .rootdir = f->project.root,
        .workers = 2,
        .node_total = 1,
        .now_us = f->now_us,
    };
    must(f, store_job_begin(f->store, &begin, &f->job, &f->err));
}

static void
put_ids(struct filler *f, const char *const *texts, uint32_t count)
{
    struct dz_slice *ids = dz_alloc0(count + 1, sizeof(*ids));
    for (uint32_t i = 0; i < count; i++)
        ids[i] = dz_str(texts[i]);
    must(f, store_job_put_manifest(f->job, ids, count, &f->err));
    free(ids);
}

static struct store_result
result_of(const struct filler *f, uint32_t test, uint64_t exec, enum dz_result result)
{
    return (struct store_result){
        .test = test,
        .node = 1,
        .inc = 1,
        .exec = exec,
        .result = result,
        .worker = (uint32_t) exec % 2,
        .start_us = f->now_us + (int64_t) exec * 10000,
        .setup_us = 1200,
        .call_us = 2000 * (int64_t) (test + 1),
        .teardown_us = 300,
        .line = 10 * test + 2,
    };
}

static void
seal(struct filler *f, int exit_code, uint32_t collected, int64_t took_us)
{
    struct store_ledger ledger;
    must(f, store_job_ledger(f->job, &ledger, &f->err));
    struct store_seal seal = {
        .collected = collected,
        .not_run = collected - ledger.tests_counted,
        .counted = ledger.counted,
        .duplicates = ledger.executions - ledger.counted,
        .digest = ledger.digest,
        .nodes = 1,
        .workers = 2,
        .exit_code = exit_code,
        .now_us = f->now_us + took_us,
    };
    must(f, store_job_seal(f->job, &seal, &f->err));
}

static struct store_log
log_of(const struct filler *f, int64_t at_us, uint32_t worker, uint32_t test, const char *text)
{
    return (struct store_log){
        .kind = worker == STORE_NO_WORKER ? STORE_LOG_NOTE : STORE_LOG_OUTPUT,
        .first_us = f->now_us + at_us,
        .last_us = f->now_us + at_us,
        .node = 1,
        .worker = worker,
        .test = test,
        .text = dz_str(text),
    };
}

static void
add_logs(struct filler *f, struct store_log *logs, uint32_t count)
{
    struct store_batch batch = { .logs = logs, .log_count = count };
    must(f, store_job_append(f->job, &batch, &f->err));
}

static void
add_spans(struct filler *f)
{
    struct store_span spans[] = {
        { .source = 1,
          .seq = 1,
          .id = 1,
          .start_us = f->now_us + 10100,
          .end_us = f->now_us + 11100,
          .node = 1,
          .worker = 1,
          .test = 0,
          .result = DZ_RESULT_OK,
          .type = dz_str("fixture"),
          .name = dz_str("client") },
        { .source = 1,
          .seq = 2,
          .id = 2,
          .parent = 1,
          .start_us = f->now_us + 10300,
          .end_us = f->now_us + 11000,
          .node = 1,
          .worker = 1,
          .test = 0,
          .type = dz_str("subproc"),
          .name = dz_str("caf\xc3\xa9 --version") },
    };
    struct store_batch batch = { .spans = spans, .span_count = DZ_LEN(spans) };
    must(f, store_job_append(f->job, &batch, &f->err));
}

static void
mixed(struct filler *f)
{
    static const char *const ids[] = {
        "tests/test_api.py::TestGet::test_found", "tests/test_api.py::TestGet::test_missing",
        "tests/test_api.py::test_status[200-ok]", "tests/test_api.py::test_status[404-caf\xc3\xa9]",
        "tests/test_core.py::test_crash",         "tests/test_core.py::test_flaky",
        "tests/test_core.py::test_hang",          "tests/test_core.py::test_known_bug",
        "tests/test_core.py::test_never_ran",     "tests/test_core.py::test_skipped",
    };
    begin(f, "pytest --dagz --dagz-workers=2 tests");
    put_ids(f, ids, DZ_LEN(ids));
    struct store_result results[] = {
        result_of(f, 0, 1, DZ_RESULT_OK),      result_of(f, 1, 2, DZ_RESULT_FAILED),
        result_of(f, 2, 3, DZ_RESULT_OK),      result_of(f, 3, 4, DZ_RESULT_OK),
        result_of(f, 4, 5, DZ_RESULT_CRASHED), result_of(f, 5, 6, DZ_RESULT_FAILED),
        result_of(f, 5, 7, DZ_RESULT_OK),      result_of(f, 6, 8, DZ_RESULT_TIMEOUT),
        result_of(f, 7, 9, DZ_RESULT_XFAIL),   result_of(f, 9, 10, DZ_RESULT_SKIPPED),
    };
    results[1].text = dz_str("tests/test_api.py:12: AssertionError: assert 404 == 200\n"
                             "\n"
                             "    def test_missing(self):\n"
                             ">       assert get('/x') == 200\n"
                             "E       assert 404 == 200\n");
    results[4].cause = DZ_CAUSE_SIGNAL;
    results[4].signal = 11;
    results[4].text =
        dz_str("killed by a signal: SIGSEGV\nFatal Python error: Segmentation fault\n");
    results[6].attempt = 1;
    results[7].cause = DZ_CAUSE_TIMEOUT;
    results[7].call_us = 5000000;
    results[7].text = dz_str("above its time limit of 5 s\n");
    results[9].text = dz_str("tests/test_core.py:40: needs a network\n");
    struct store_batch batch = { .results = results, .result_count = DZ_LEN(results) };
    must(f, store_job_append(f->job, &batch, &f->err));

    struct store_log logs[] = {
        log_of(f, 1000, STORE_NO_WORKER, STORE_NO_TEST, "worker jw0 forked, pid 4242"),
        log_of(f, 21000, 0, 1, "GET \x1b[31m/x\x1b[0m\nhalf a "),
        log_of(f, 12000, 1, 0, "hello from stdout\nhello from stderr\n"),
        log_of(f, 22000, 0, 1, "line\nprogress 1%\rprogress 100%\n"),
        log_of(f, 50000, 1, 4, "about to crash\n"),
        log_of(f, 60000, STORE_NO_WORKER, STORE_NO_TEST, "worker jw1 killed by SIGSEGV"),
    };
    add_logs(f, logs, DZ_LEN(logs));
    add_spans(f);
    seal(f, 1, DZ_LEN(ids), 6200000);
}

static void
passed(struct filler *f)
{
    static const char *const ids[] = { "t.py::test_a", "t.py::test_b", "t.py::test_c" };
    begin(f, "pytest --dagz");
    put_ids(f, ids, DZ_LEN(ids));
    struct store_result results[] = { result_of(f, 0, 1, DZ_RESULT_OK),
                                      result_of(f, 1, 2, DZ_RESULT_OK),
                                      result_of(f, 2, 3, DZ_RESULT_OK) };
    struct store_batch batch = { .results = results, .result_count = DZ_LEN(results) };
    must(f, store_job_append(f->job, &batch, &f->err));
    seal(f, 0, DZ_LEN(ids), 1500000);
}

static void
empty(struct filler *f)
{
    begin(f, "pytest --dagz -k nothing");
    put_ids(f, NULL, 0);
    seal(f, 5, 0, 300000);
}

#define HOUR_US INT64_C(3600000000)
#define DAY_US  (24 * HOUR_US)

static void
broken(struct filler *f)
{
    static const char *const ids[] = { "t.py::test_a", "t.py::test_b" };
    int64_t midnight_us = f->now_us / DAY_US * DAY_US; /* it is still of today */
    f->now_us = f->now_us - HOUR_US > midnight_us ? f->now_us - HOUR_US : midnight_us;
    begin(f, "pytest --dagz");
    put_ids(f, ids, DZ_LEN(ids));
}

/* Earlier runs tell that one of two tests takes a minute. */
static void
add_plan(struct filler *f)
{
    static const struct chronicle_fact facts[] = { { "tests", NULL, 2 },
                                                   { "known", NULL, 1 },
                                                   { "work_us", NULL, 60000000 },
                                                   { "longest_us", NULL, 60000000 },
                                                   { NULL, NULL, 0 } };
    struct chronicle chronicle = { 0 };
    chronicle_init(&chronicle, 1, 1);
    chronicle_add(&chronicle, "planned", 1, f->now_us, facts);
    struct store_batch batch = { .spans = chronicle_spans(&chronicle),
                                 .span_count = chronicle.count };
    must(f, store_job_append(f->job, &batch, &f->err));
    chronicle_fini(&chronicle);
}

static void
running(struct filler *f)
{
    static const char *const ids[] = { "t.py::test_a", "t.py::test_b" };
    char line[512];
    begin(f, "pytest --dagz");
    put_ids(f, ids, DZ_LEN(ids));
    (void) printf("%s\n", store_job_ulid(f->job));
    (void) fflush(stdout);
    struct store_result done = result_of(f, 0, 1, DZ_RESULT_OK);
    struct store_batch batch = { .results = &done, .result_count = 1 };
    while (fgets(line, sizeof(line), stdin)) {
        struct store_log log = log_of(f, dz_clock_wall_ms() * 1000 - f->now_us, 0, 0, line);
        if (strcmp(line, "!fail\n") == 0) {
            done.result = DZ_RESULT_FAILED;
            must(f, store_job_append(f->job, &batch, &f->err));
        } else if (strcmp(line, "!plan\n") == 0) {
            add_plan(f);
        } else {
            add_logs(f, &log, 1);
        }
        (void) printf("stored\n");
        (void) fflush(stdout);
    }
    must(f, store_job_append(f->job, &batch, &f->err));
    seal(f, 0, DZ_LEN(ids), 100000);
}

static void
newer(struct filler *f)
{
    static const char *const tables[] = { "meta" };
    struct dz_kv_opts opts = { .tables = tables, .table_count = 1 };
    struct dz_kv *kv = NULL;
    struct dz_kv_batch batch = { 0 };
    DZ_AUTO(dz_free) char *dir = dz_strdup(store_dir(f->store));
    store_close(&f->store);
    must(f, dz_kv_open(dir, &opts, &kv, &f->err));
    dz_kv_batch_put(&batch, 0, dz_str("version"), dz_str("99"));
    must(f, dz_kv_batch_commit(&batch, kv, &f->err));
    dz_kv_batch_fini(&batch);
    dz_kv_close(&kv);
}

/* ---- figures ---- */

static double
cpu_seconds(void)
{
    struct rusage used;
    (void) getrusage(RUSAGE_SELF, &used);
    return (double) (used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double) (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static struct dz_slice *
make_ids(uint32_t count, char **memory_out)
{
    enum { LEN = 96 };
    struct dz_slice *ids = dz_alloc0(count + 1, sizeof(*ids));
    char *memory = dz_alloc0(count + 1, LEN);
    for (uint32_t i = 0; i < count; i++) {
        char *at = memory + (size_t) i * LEN;
        (void) snprintf(at, LEN,
                        "tests/package_%02u/test_module_%04u.py::TestThing::test_it[%05u-x]",
                        i / 16000, i / 160, i);
        ids[i] = dz_str(at);
    }
    *memory_out = memory;
    return ids;
}

static void
append_all(struct filler *f, uint32_t count, uint32_t batch_size)
{
    struct store_result *results = dz_alloc0(batch_size, sizeof(*results));
    for (uint32_t i = 0; i < count; i += batch_size) {
        uint32_t n = count - i < batch_size ? count - i : batch_size;
        for (uint32_t k = 0; k < n; k++) {
            results[k] =
                result_of(f, i + k, i + k, (i + k) % 5000 ? DZ_RESULT_OK : DZ_RESULT_FAILED);
            results[k].call_us = 100 + (i + k) % 977;
            if ((i + k) % 5000 == 0)
                results[k].text = dz_str("test.py:1: AssertionError: assert 1 == 2\n...\n");
        }
        struct store_batch batch = { .results = results, .result_count = n };
        must(f, store_job_append(f->job, &batch, &f->err));
    }
    free(results);
}

/* Spread evenly over the tests, as fixtures of theirs. */
static void
append_spans(struct filler *f, uint32_t tests, uint32_t count)
{
    struct store_span *spans = dz_alloc0(STORE_BATCH_MAX, sizeof(*spans));
    for (uint32_t i = 0; i < count; i += STORE_BATCH_MAX) {
        uint32_t n = count - i < STORE_BATCH_MAX ? count - i : STORE_BATCH_MAX;
        for (uint32_t k = 0; k < n; k++) {
            uint32_t test = (uint32_t) ((uint64_t) (i + k) * tests / count);
            spans[k] = (struct store_span){
                .source = 1,
                .seq = i + k + 1,
                .id = i + k + 1,
                .node = 1,
                .worker = test % 2,
                .test = test,
                .start_us = f->now_us + (int64_t) test * 10000 + (i + k) % 7,
                .end_us = f->now_us + (int64_t) test * 10000 + 90 + (i + k) % 900,
                .type = dz_str("fixture"),
                .name = dz_str(k % 3 ? "database" : "client"),
            };
        }
        struct store_batch batch = { .spans = spans, .span_count = n };
        must(f, store_job_append(f->job, &batch, &f->err));
    }
    free(spans);
}

static void
look_up_all(struct filler *f, const struct dz_slice *ids, uint32_t count)
{
    struct store_durations *known = NULL;
    double cpu = cpu_seconds(), mean, sd;
    uint32_t found = 0;
    must(f, store_durations_load(f->store, f->project.uri, f->project.profile, &known, &f->err));
    for (uint32_t i = 0; i < count; i++)
        found += store_durations_get(known, ids[i], &mean, &sd);
    (void) printf("durations: %u of %u found, %.1f ms CPU\n", found, count,
                  (cpu_seconds() - cpu) * 1e3);
    store_durations_destroy(&known);
}

static void
big(struct filler *f, uint32_t count, uint32_t batch_size, uint32_t spans)
{
    char *memory = NULL;
    struct dz_slice *ids = make_ids(count, &memory);
    begin(f, "pytest --dagz");
    double cpu = cpu_seconds(), wall = (double) dz_clock_us() / 1e6;
    must(f, store_job_put_manifest(f->job, ids, count, &f->err));
    (void) printf("manifest: %.1f ms\n", ((double) dz_clock_us() / 1e6 - wall) * 1e3);
    cpu = cpu_seconds();
    wall = (double) dz_clock_us() / 1e6;
    append_all(f, count, batch_size);
    (void) printf("results in batches of %u: %.2f us CPU each, %.2f us wall\n", batch_size,
                  (cpu_seconds() - cpu) * 1e6 / count,
                  ((double) dz_clock_us() / 1e6 - wall) * 1e6 / count);
    if (spans > 0)
        append_spans(f, count, spans);
    cpu = cpu_seconds();
    seal(f, 1, count, 60000000);
    (void) printf("seal: %.1f ms CPU\n", (cpu_seconds() - cpu) * 1e3);
    look_up_all(f, ids, count);
    free(ids);
    free(memory);
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fill)(struct filler *f);
    } scenarios[] = { { "mixed", mixed },   { "passed", passed },   { "empty", empty },
                      { "broken", broken }, { "running", running }, { "newer", newer } };
    if (argc < 4) {
        (void) fprintf(stderr, "usage: fill_store HOME PROJECT SCENARIO [N [BATCH [SPANS]]]\n");
        return 2;
    }
    struct filler f = { .now_us = dz_clock_wall_ms() * 1000 };
    must(&f, project_find(argv[2], true, &f.project, &f.err));
    must(&f, store_open(argv[1], STORE_WRITE, &f.store, NULL, &f.err));
    for (size_t i = 0; i < DZ_LEN(scenarios); i++)
        if (strcmp(argv[3], scenarios[i].name) == 0)
            scenarios[i].fill(&f);
    if (strcmp(argv[3], "big") == 0)
        big(&f, argc > 4 ? (uint32_t) strtoul(argv[4], NULL, 10) : 240000,
            argc > 5 ? (uint32_t) strtoul(argv[5], NULL, 10) : 64,
            argc > 6 ? (uint32_t) strtoul(argv[6], NULL, 10) : 0);
    store_job_close(&f.job);
    store_close(&f.store);
    project_fini(&f.project);
    return 0;
}
