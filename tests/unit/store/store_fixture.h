/* store_fixture.h - a home of its own for each test, and short ways to fill a store. */
#ifndef DZ_TESTS_UNIT_STORE_FIXTURE_H
#define DZ_TESTS_UNIT_STORE_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/files.h"
#include "store/store.h"
#include "tests/unit/unit.h"

/* 2026-11-21 12:00:00 UTC */
#define NOON INT64_C(1795262400000000)
#define DAY  INT64_C(86400000000)

static const char URI[] = "git@example.org:acme/shop.git";

struct fixture {
    char home[64];
    struct store *store;
    struct dz_err err;
};

static inline void
open_store(struct fixture *f, enum store_mode mode)
{
    enum dz_rc rc = store_open(f->home, mode, &f->store, NULL, &f->err);
    if (rc != DZ_OK)
        fail_msg("%s", f->err.text);
}

static inline int
setup(void **state)
{
    struct fixture *f = dz_alloc0(1, sizeof(*f));
    (void) snprintf(f->home, sizeof(f->home), "/dev/shm/dz-store-XXXXXX");
    if (!mkdtemp(f->home))
        return -1;
    *state = f;
    open_store(f, STORE_WRITE);
    return 0;
}

static inline int
teardown(void **state)
{
    struct fixture *f = *state;
    store_close(&f->store);
    dz_remove_tree(f->home);
    free(f);
    return 0;
}

static inline struct store_job *
begin_at(struct fixture *f, int64_t now_us, const char *commit)
{
    struct store_begin begin = {
        .uri = URI,
        .timezone = "UTC",
        .profile = "py311",
        .commit = commit,
        .command = "pytest --dagz",
        .versions = "CPython 3.11.2",
        .rootdir = "/src/shop",
        .workers = 2,
        .node_total = 1,
        .now_us = now_us,
    };
    struct store_job *job = NULL;
    enum dz_rc rc = store_job_begin(f->store, &begin, &job, &f->err);
    if (rc != DZ_OK)
        fail_msg("%s", f->err.text);
    return job;
}

/* t.py::test_0000 and so on */
static inline void
put_tests(struct fixture *f, struct store_job *job, uint32_t count)
{
    struct dz_slice *ids = dz_alloc0(count + 1, sizeof(*ids));
    char(*texts)[32] = dz_alloc0(count + 1, sizeof(*texts));
    for (uint32_t i = 0; i < count; i++) {
        (void) snprintf(texts[i], sizeof(texts[i]), "t.py::test_%06u", i);
        ids[i] = dz_str(texts[i]);
    }
    enum dz_rc rc = store_job_put_manifest(job, ids, count, &f->err);
    free(ids);
    free(texts);
    if (rc != DZ_OK)
        fail_msg("%s", f->err.text);
}

static inline struct store_job *
begin_with_tests(struct fixture *f, uint32_t count)
{
    struct store_job *job = begin_at(f, NOON, "");
    put_tests(f, job, count);
    return job;
}

static inline struct store_result
result_of(uint32_t test, uint32_t attempt, uint64_t exec, enum dz_result result)
{
    return (struct store_result){
        .test = test,
        .attempt = attempt,
        .node = 7,
        .inc = 1,
        .exec = exec,
        .result = result,
        .worker = (uint32_t) exec % 2,
        .start_us = NOON + (int64_t) exec * 1000,
        .setup_us = 100,
        .call_us = 2000,
        .teardown_us = 50,
        .line = 10 * test + 1,
    };
}

static inline void
append_results(struct fixture *f, struct store_job *job, struct store_result *results,
               uint32_t count)
{
    struct store_batch batch = { .results = results, .result_count = count };
    enum dz_rc rc = store_job_append(job, &batch, &f->err);
    if (rc != DZ_OK)
        fail_msg("%s", f->err.text);
}

static inline void
append_one(struct fixture *f, struct store_job *job, struct store_result *result)
{
    append_results(f, job, result, 1);
}

static inline struct store_ledger
ledger_now(struct fixture *f, struct store_job *job)
{
    struct store_ledger ledger;
    assert_ok(store_job_ledger(job, &ledger, &f->err));
    return ledger;
}

static inline enum dz_rc
seal_job(struct fixture *f, struct store_job *job, int exit_code)
{
    struct store_ledger ledger = ledger_now(f, job);
    struct store_seal seal = {
        .collected = ledger.tests_counted,
        .counted = ledger.counted,
        .digest = ledger.digest,
        .nodes = 1,
        .workers = 2,
        .exit_code = exit_code,
        .now_us = NOON + 5000000,
    };
    return store_job_seal(job, &seal, &f->err);
}

#endif
