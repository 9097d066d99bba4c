/* shards_fixture.h - slots of a step that run without each other, and the store that they are sent to. */
#ifndef DZ_TESTS_UNIT_STORE_SHARDS_FIXTURE_H
#define DZ_TESTS_UNIT_STORE_SHARDS_FIXTURE_H

#include "shared/base/buf.h"
#include "shared/wire/meeting.h"
#include "store/sync.h"
#include "store/tidy.h"
#include "tests/unit/store/store_fixture.h"

enum { TESTS = 40, SLOTS = 4, SLOTS_MAX = 8 };

static const char STEP[] = "0123456789abcdef0123456789abcdef";

/* One run of a slot, with the store in its spool folder. */
struct run {
    struct fixture *at;
    struct store_job *job;
    struct store_outbox *outbox;
    struct store_receipt receipt;
};

struct world {
    struct fixture *to;
    struct store_inbox *inbox;
    struct run runs[SLOTS_MAX];
    unsigned count;
    char ids[TESTS + 1][32];
    struct dz_slice list[TESTS + 1];
};

static inline int
setup_world(void **state)
{
    struct world *w = dz_alloc0(1, sizeof(*w));
    *state = w;
    for (unsigned i = 0; i <= TESTS; i++) {
        (void) snprintf(w->ids[i], sizeof(w->ids[i]), "t.py::test_%06u", i);
        w->list[i] = dz_str(w->ids[i]);
    }
    if (setup((void **) &w->to))
        return -1;
    w->inbox = store_inbox_new(w->to->store);
    return 0;
}

static inline int
teardown_world(void **state)
{
    struct world *w = *state;
    for (unsigned i = 0; i < w->count; i++) {
        store_outbox_close(&w->runs[i].outbox);
        store_job_close(&w->runs[i].job);
        (void) teardown((void **) &w->runs[i].at);
    }
    store_inbox_destroy(&w->inbox);
    (void) teardown((void **) &w->to);
    free(w);
    return 0;
}

/* How a slot's run went. */
struct how {
    unsigned index, total; /* total 0: it scheduled all of them */
    uint64_t ci_job;
    int64_t later_us;
    unsigned tests; /* of the list, 0: TESTS */
    unsigned left;  /* of its share, not run */
    bool fails;     /* its first test does */
    int exit_code;
    uint32_t generation;
};

static inline struct run *
begin_run(struct world *w, const struct how *how)
{
    struct run *run = &w->runs[w->count];
    assert_true(w->count < SLOTS_MAX);
    assert_int_equal(setup((void **) &run->at), 0);
    w->count++;
    struct store_begin begin = {
        .uri = URI,
        .timezone = "UTC",
        .profile = "py311",
        .workers = 2,
        .node_total = SLOTS,
        .now_us = NOON + how->later_us,
        .step = STEP,
        .ci_job = how->ci_job ? how->ci_job : 100 + how->index,
        .shard_index = how->index,
        .shard_total = how->total,
        .generation = how->generation,
    };
    assert_ok(store_job_begin(run->at->store, &begin, &run->job, &run->at->err));
    assert_ok(
        store_job_put_manifest(run->job, w->list, how->tests ? how->tests : TESTS, &run->at->err));
    assert_ok(
        store_outbox_open(run->at->store, store_job_ulid(run->job), &run->outbox, &run->at->err));
    return run;
}

static inline void
run_share(struct world *w, struct run *run, const struct how *how)
{
    struct store_result rows[TESTS + 1];
    uint32_t count = 0, mine = 0, tests = how->tests ? how->tests : TESTS;
    for (uint32_t i = 0; i < tests; i++) {
        if (dz_shard_of(w->list[i], how->total) != how->index || mine++ < how->left)
            continue;
        bool is_bad = how->fails && count == 0;
        rows[count] = result_of(i, 0, i + 1, is_bad ? DZ_RESULT_FAILED : DZ_RESULT_OK);
        rows[count++].node = 1000 + w->count;
    }
    append_results(run->at, run->job, rows, count);
}

static inline void
end_run(struct run *run, const struct how *how)
{
    struct store_ledger ledger = ledger_now(run->at, run->job);
    struct store_seal seal = {
        .collected = how->tests ? how->tests : TESTS,
        .not_run = how->left,
        .counted = ledger.counted,
        .digest = ledger.digest,
        .nodes = 1,
        .workers = 2,
        .exit_code = how->exit_code,
        .now_us = NOON + how->later_us + 5000000,
    };
    assert_ok(store_job_seal(run->job, &seal, &run->at->err));
}

static inline struct run *
whole_run(struct world *w, const struct how *how)
{
    struct run *run = begin_run(w, how);
    run_share(w, run, how);
    end_run(run, how);
    return run;
}

/* As a pusher that knows nothing: from the start, until all is there. */
static inline void
push(struct world *w, struct run *run)
{
    struct store_at after, total;
    bool is_sealed = false;
    unsigned flags = STORE_HELLO, count = 0;
    assert_ok(store_outbox_total(run->outbox, &total, &is_sealed, &run->at->err));
    run->receipt = (struct store_receipt){ 0 };
    do {
        DZ_AUTO(dz_buf_fini) struct dz_buf parcel = { 0 };
        struct store_at from = run->receipt.at;
        assert_ok(
            store_outbox_next(run->outbox, &from, flags, 4096, &parcel, &after, &run->at->err));
        assert_ok(store_inbox_take(w->inbox, store_job_ulid(run->job), dz_buf_slice(&parcel), NULL,
                                   &run->receipt, &w->to->err));
        flags = run->receipt.wants_list ? STORE_WITH_LIST : 0;
        assert_true(++count < 100);
    } while (!store_at_eq(&run->receipt.at, &total) || run->receipt.is_sealed != is_sealed);
}

static inline struct store_job_info
info_of(struct world *w, const char *ulid)
{
    struct store_job_info info = { 0 };
    assert_ok(store_job_info(w->to->store, ulid, NOON + DAY, &info, &w->to->err));
    return info;
}

static inline size_t
jobs_there(struct world *w)
{
    struct store_job_list list = { 0 };
    assert_ok(store_jobs(w->to->store, URI, 100, NOON + DAY, &list, &w->to->err));
    size_t count = list.count;
    store_job_list_fini(&list);
    return count;
}

static inline void
assert_state(struct world *w, const char *ulid, enum store_state state, uint32_t there,
             uint32_t not_run, int exit_code)
{
    struct store_job_info info = info_of(w, ulid);
    assert_int_equal(info.state, state);
    assert_int_equal(info.shards_there, there);
    assert_int_equal(info.not_run, not_run);
    assert_int_equal(info.exit_code, exit_code);
    store_job_info_fini(&info);
}

/* Of the first `tests` ones. */
static inline uint32_t
size_of_share(struct world *w, unsigned index, uint32_t tests)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < tests; i++)
        count += dz_shard_of(w->list[i], SLOTS) == index;
    assert_true(count > 1);
    return count;
}

#endif
