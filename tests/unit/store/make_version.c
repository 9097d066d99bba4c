/* make_version.c - a small store with something of everything, for the tests of migration.
 *
 *     make_version HOME
 *
 * It uses only what every version since the second has.  Before the format changes it is run once more, and what it
 * made joins the others: see docs/operations.md, "The store's format". */
#include <stdio.h>

#include "store/care.h"
#include "store/store.h"

#define NOON INT64_C(1795262400000000)

enum { TESTS = 6, BATCHES = 5 };

static void
must(enum dz_rc rc, const struct dz_err *err)
{
    if (rc != DZ_OK) {
        (void) fprintf(stderr, "make_version: %s\n", err->text);
        dz_assert(rc == DZ_OK);
    }
}

static struct store_log
log_of(uint32_t i, uint64_t n, int64_t at, const char *text)
{
    return (struct store_log){ .source = 10 + i % 2,
                               .seq = 10 * i + n,
                               .first_us = at,
                               .last_us = at,
                               .node = 1,
                               .worker = i % 2,
                               .test = i,
                               .text = dz_str(text) };
}

static struct store_span
span_of(uint32_t i, uint64_t n, int64_t from, int64_t to)
{
    return (struct store_span){ .source = 30,
                                .seq = 2 * i + n,
                                .id = 2 * i + n,
                                .parent = n == 2 ? 2 * i + 1 : 0,
                                .start_us = from,
                                .end_us = to,
                                .node = 1,
                                .worker = i % 2,
                                .test = i,
                                .type = dz_str(n == 2 ? "subproc" : "fixture"),
                                .name = dz_str(n == 2 ? "createdb" : "db") };
}

/* Each batch has a result of test `i`, two lines of its output, a note and two spans. */
static void
append(struct store_job *job, uint32_t i)
{
    struct dz_err err = { "" };
    int64_t at = NOON + i * 1000000;
    struct store_result result = {
        .test = i,
        .node = 1,
        .inc = 1,
        .exec = i + 1,
        .result = i == 1 ? DZ_RESULT_FAILED : DZ_RESULT_OK,
        .worker = i % 2,
        .start_us = at,
        .call_us = 1000 * (i + 1),
    };
    if (i == 1)
        result.text = dz_str("t.py:7: AssertionError: assert 1 == 2\n");
    struct store_log logs[] = { log_of(i, 1, at + 100, "first line\n"),
                                log_of(i, 2, at + 300, "second line\n"),
                                log_of(i, 3, at + 200, "a note") };
    logs[2].source = 20;
    logs[2].kind = STORE_LOG_NOTE;
    logs[2].worker = STORE_NO_WORKER;
    logs[2].test = STORE_NO_TEST;
    struct store_span spans[] = { span_of(i, 1, at, at + 400), span_of(i, 2, at + 50, at + 90) };
    spans[0].result = DZ_RESULT_OK;
    struct store_batch batch = { .results = &result,
                                 .logs = logs,
                                 .spans = spans,
                                 .result_count = 1,
                                 .log_count = DZ_LEN(logs),
                                 .span_count = DZ_LEN(spans) };
    must(store_job_append(job, &batch, &err), &err);
}

static void
make_job(struct store *store, int64_t now_us, bool is_sealed)
{
    struct dz_err err = { "" };
    struct dz_slice ids[TESTS] = { dz_str("t.py::test_a"), dz_str("t.py::test_b"),
                                   dz_str("t.py::test_c"), dz_str("t.py::test_d"),
                                   dz_str("t.py::test_e"), dz_str("t.py::test_f") };
    struct store_begin begin = { .uri = "git@example.org:acme/shop.git",
                                 .timezone = "UTC",
                                 .commit = "0123456789abcdef0123456789abcdef01234567",
                                 .command = "pytest --dagz",
                                 .now_us = now_us };
    struct store_job *job = NULL;
    struct store_ledger ledger;
    must(store_job_begin(store, &begin, &job, &err), &err);
    must(store_job_put_manifest(job, ids, TESTS, &err), &err);
    for (uint32_t i = 0; i < BATCHES; i++)
        append(job, i);
    must(store_job_ledger(job, &ledger, &err), &err);
    struct store_seal seal = { .collected = TESTS,
                               .not_run = 1,
                               .counted = ledger.counted,
                               .digest = ledger.digest,
                               .exit_code = 1,
                               .now_us = now_us + 5000000 };
    if (is_sealed)
        must(store_job_seal(job, &seal, &err), &err);
    store_job_close(&job);
}

int
main(int argc, char **argv)
{
    struct dz_err err = { "" };
    struct store *store = NULL;
    if (argc != 2) {
        (void) fprintf(stderr, "usage: make_version HOME\n");
        return 2;
    }
    must(store_open(argv[1], STORE_WRITE, &store, NULL, &err), &err);
    struct store_tidy work = { .now_us = NOON + 30000000, .budget_ms = 60000 };
    make_job(store, NOON, true);
    must(store_tidy(store, &work, &err), &err); /* its batches become segments */
    make_job(store, NOON + 60000000, false);
    store_close(&store);
    return 0;
}
