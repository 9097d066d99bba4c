/* What a store holds may make no sense although its checksums are right: a writer had a bug, or
 * another version.  Whatever lies under a job's keys is refused with one line, or read as far as it
 * makes sense.  (Damage below the checksums, in LMDB's own pages, is tried in a child process by
 * tests/unit/kv/test_check.c.)
 *
 *     byte 0   which record, of all tables
 *     byte 1   even: the rest is its new value.  odd: the rest are changes to the real value,
 *              three bytes each: an offset of two and what is xored there */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/files.h"
#include "store/disk.h"
#include "store/store.h"
#include "tests/fuzz/target.h"

enum { TESTS = 3, RECORDS_MAX = 32, VALUE_MAX = 64 << 10 };
#define NOON INT64_C(1795262400000000)

struct record {
    unsigned table;
    struct key key;
    struct dz_buf value; /* owned; as the store wrote it */
};

struct world {
    struct store *store;
    char ulid[STORE_ULID_LEN + 1];
    struct record records[RECORDS_MAX];
    size_t record_count;
};

static void
must(enum dz_rc rc, const struct dz_err *err)
{
    if (rc != DZ_OK) {
        (void) fprintf(stderr, "fuzz_store: %s\n", err->text);
        abort();
    }
}

/* ---- a job as the store itself writes it ---- */

static enum dz_rc
remember(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct world *self = arg;
    for (unsigned table = 0; table < TABLES; table++) {
        struct dz_slice key, value;
        DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
        dz_kv_iter_init(&it, txn, table, (struct dz_slice){ 0 });
        while (self->record_count < RECORDS_MAX && dz_kv_next(&it, &key, &value)) {
            struct record *record = &self->records[self->record_count++];
            record->table = table;
            key_add(&record->key, key.ptr, key.len);
            dz_buf_add(&record->value, value.ptr, value.len);
        }
        enum dz_rc rc = dz_kv_iter_rc(&it, err);
        if (rc != DZ_OK)
            return rc;
    }
    return DZ_OK;
}

static void
fill(struct world *self)
{
    struct dz_err err = { .text = "" };
    struct store_job *job = NULL;
    struct dz_slice ids[TESTS] = { dz_str("a"), dz_str("b"), dz_str("c") };
    struct store_begin begin = {
        .uri = "fuzz", .timezone = "UTC", .commit = "abcd", .now_us = NOON
    };
    struct store_result results[] = {
        { .exec = 1, .result = DZ_RESULT_FAILED, .text = dz_str("why") },
        { .test = 1, .exec = 2, .result = DZ_RESULT_OK, .call_us = 5 },
    };
    struct store_log log = { .source = 1, .seq = 1, .text = dz_str("said\n") };
    struct store_span span = { .source = 1, .seq = 2, .type = dz_str("t"), .name = dz_str("n") };
    struct store_batch batch = { .results = results,
                                 .result_count = DZ_LEN(results),
                                 .logs = &log,
                                 .log_count = 1,
                                 .spans = &span,
                                 .span_count = 1 };
    struct store_seal seal = { .now_us = NOON };
    must(store_job_begin(self->store, &begin, &job, &err), &err);
    must(store_job_put_manifest(job, ids, TESTS, &err), &err);
    must(store_job_append(job, &batch, &err), &err);
    dz_assert(store_job_seal(job, &seal, &err) == DZ_CORRUPT); /* its numbers are not ours */
    (void) snprintf(self->ulid, sizeof(self->ulid), "%s", store_job_ulid(job));
    store_job_close(&job);
}

/* The store goes on in its open files; nothing is left behind, however the fuzzer ends. */
static struct world *
world(void)
{
    static struct world *made; /* one store for all inputs */
    struct dz_err err = { .text = "" };
    char home[] = "/dev/shm/dz-fuzz-XXXXXX";
    if (made)
        return made;
    made = dz_alloc0(1, sizeof(*made));
    if (!mkdtemp(home))
        abort();
    must(store_open(home, STORE_WRITE, &made->store, NULL, &err), &err);
    fill(made);
    must(dz_kv_read(made->store->kv, remember, made, &err), &err);
    dz_remove_tree(home);
    return made;
}

/* ---- one input ---- */

static bool
is_ours(const struct world *world, unsigned table, struct dz_slice key)
{
    for (size_t i = 0; i < world->record_count; i++)
        if (world->records[i].table == table && dz_slice_eq(key_slice(&world->records[i].key), key))
            return true;
    return false;
}

/* What the input before this one added. */
static enum dz_rc
remove_others(struct dz_kv_txn *txn, const struct world *world, struct dz_err *err)
{
    struct key others[RECORDS_MAX];
    enum dz_rc rc = DZ_OK;
    for (unsigned table = 0; rc == DZ_OK && table < TABLES; table++) {
        struct dz_slice key, value;
        size_t count = 0;
        struct dz_kv_iter it;
        dz_kv_iter_init(&it, txn, table, (struct dz_slice){ 0 });
        while (count < RECORDS_MAX && dz_kv_next(&it, &key, &value)) {
            others[count] = (struct key){ .len = 0 };
            if (!is_ours(world, table, key))
                key_add(&others[count++], key.ptr, key.len);
        }
        dz_kv_iter_fini(&it);
        for (size_t i = 0; rc == DZ_OK && i < count; i++)
            rc = dz_kv_del(txn, table, key_slice(&others[i]), err);
    }
    return rc;
}

struct change {
    struct world *world;
    const struct record *record; /* NULL: put all back */
    struct dz_slice value;
};

static enum dz_rc
apply(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    const struct change *change = arg;
    const struct world *world = change->world;
    enum dz_rc rc = DZ_OK;
    if (change->record)
        return dz_kv_put(txn, change->record->table, key_slice(&change->record->key), change->value,
                         err);
    for (size_t i = 0; rc == DZ_OK && i < world->record_count; i++)
        rc = dz_kv_put(txn, world->records[i].table, key_slice(&world->records[i].key),
                       dz_buf_slice(&world->records[i].value), err);
    return rc == DZ_OK ? remove_others(txn, world, err) : rc;
}

static void
make_value(const struct record *record, struct dz_slice input, struct dz_buf *out)
{
    if (input.ptr[1] % 2 == 0) {
        dz_buf_add(out, input.ptr + 2, input.len - 2);
        return;
    }
    dz_buf_add(out, record->value.data, record->value.len);
    for (size_t i = 2; i + 3 <= input.len; i += 3) {
        size_t at = (size_t) input.ptr[i] | (size_t) input.ptr[i + 1] << 8;
        if (out->len > 0)
            out->data[at % out->len] ^= input.ptr[i + 2];
    }
}

/* Told in one line, or nothing to tell. */
static bool
went_well(enum dz_rc rc, const struct dz_err *err)
{
    dz_assert(rc == DZ_OK || rc == DZ_ABSENT || err->text[0]);
    dz_assert(!strchr(err->text, '\n'));
    return rc == DZ_OK;
}

static void
ignore(void *arg, const struct store_result *row)
{
    *(unsigned *) arg += (unsigned) row->result;
}

static void
read_view(struct world *w)
{
    struct dz_err err = { .text = "" };
    struct store_view *view = NULL;
    unsigned sum = 0;
    if (!went_well(store_view_load(w->store, w->ulid, &view, &err), &err))
        return;
    for (uint32_t i = 0; i < store_view_count(view) && i < 64; i++) {
        struct store_test test;
        char *text = NULL;
        size_t len = 0;
        store_view_test(view, i, &test);
        store_view_executions(view, i, ignore, &sum);
        (void) store_view_find(view, test.id);
        (void) went_well(store_view_text(view, i, &text, &len, &err), &err);
        free(text);
    }
    store_view_destroy(&view);
}

static void
read_logs(struct world *w)
{
    static const struct store_log_filter all = { .worker = -1, .thread = -1 };
    struct dz_err err = { .text = "" };
    struct store_logs *logs = NULL;
    struct store_log log;
    if (!went_well(store_logs_open(w->store, w->ulid, &all, &logs, &err), &err))
        return;
    while (went_well(store_logs_next(logs, &log, &err), &err))
        continue;
    store_logs_close(&logs);
}

static void
read_names(struct world *w)
{
    static const char *const specs[] = { "latest", "j1", "j1121.1", "@{-1}", "01ZZ" };
    struct dz_err err = { .text = "" };
    struct store_job_list list = { 0 };
    struct store_durations *durations = NULL;
    char ulid[STORE_ULID_LEN + 1];
    double mean, sd;
    for (size_t i = 0; i < DZ_LEN(specs); i++)
        (void) went_well(store_job_find(w->store, "fuzz", specs[i], NOON, ulid, &err), &err);
    (void) went_well(store_job_of_commit(w->store, "fuzz", "abcd", ulid, &err), &err);
    if (went_well(store_jobs(w->store, "fuzz", 10, NOON, &list, &err), &err))
        store_job_list_fini(&list);
    if (went_well(store_durations_load(w->store, "fuzz", "", &durations, &err), &err)) {
        (void) store_durations_get(durations, dz_str("b"), &mean, &sd);
        store_durations_destroy(&durations);
    }
}

static void
write_again(struct world *w)
{
    struct dz_err err = { .text = "" };
    struct store_job *job = NULL;
    struct store_ledger ledger;
    struct store_result result = { .test = 2, .exec = 9, .result = DZ_RESULT_OK };
    struct store_batch batch = { .results = &result, .result_count = 1 };
    if (!went_well(store_job_reopen(w->store, w->ulid, &job, &err), &err))
        return;
    (void) went_well(store_job_ledger(job, &ledger, &err), &err);
    if (went_well(store_job_append(job, &batch, &err), &err)) {
        struct store_seal seal = { .now_us = NOON };
        (void) went_well(store_job_seal(job, &seal, &err), &err);
    }
    store_job_close(&job);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world *w = world();
    struct dz_err err = { .text = "" };
    struct dz_slice input = { data, size };
    if (size < 2 || size > VALUE_MAX)
        return 0;
    const struct record *record = &w->records[data[0] % w->record_count];
    DZ_AUTO(dz_buf_fini) struct dz_buf value = { 0 };
    make_value(record, input, &value);
    struct change change = { w, record, dz_buf_slice(&value) };
    must(dz_kv_write(w->store->kv, apply, &change, &err), &err);
    read_names(w);
    read_view(w);
    read_logs(w);
    write_again(w);
    change.record = NULL;
    must(dz_kv_write(w->store->kv, apply, &change, &err), &err);
    return 0;
}
