/* migrate.c - what an earlier version wrote becomes what this one reads.
 *
 * There is one step from each version to the next, for ever.  A step does its work in commits of
 * limited size, each of which leaves a store that the step can be begun on again; the version is
 * raised last.  So a kill at any moment costs only time, and two processes that do it at once do no
 * harm.  A step knows the layouts it needs by structs of its own, since those of disk.h move on.
 *
 *   1 to 2   Spans carry their source.  Segments, contentss and trash are new tables, empty at first.
 *            (Jobs that were there become segments when the store is tidied.)
 *   2 to 3   Results have the line of their test.  There was room for it in the records, with 0 in it; in
 *            segments it is a column more, which who reads does without.  So nothing is rewritten: only an
 *            earlier version must be told that it cannot read what is written from now on. */
#include <stdio.h>
#include <string.h>

#include "store/tidy.h"

enum { BATCHES_AT_ONCE = 64 };

/* ---- 1 to 2 ---- */

struct span_1 {
    uint64_t node, id, parent;
    int64_t start_us, end_us;
    uint32_t test, offset;
    uint16_t worker, type_len, name_len;
    uint8_t attempt, result;
};
_Static_assert(sizeof(struct span_1) == 56, "as version 1 wrote it");

struct span_2 {
    uint64_t node, source, id, parent;
    int64_t start_us, end_us;
    uint32_t test, offset;
    uint16_t worker, type_len, name_len;
    uint8_t attempt, result;
};
_Static_assert(sizeof(struct span_2) == 64, "as version 2 wrote it");

/* Version 1 did not say whose span it was: the node stands for the source. */
static void
rewrite_spans(struct dz_slice records, struct dz_buf *out)
{
    struct span_1 old;
    for (size_t at = 0; at + sizeof(old) <= records.len; at += sizeof(old)) {
        memcpy(&old, records.ptr + at, sizeof(old));
        struct span_2 span = {
            .node = old.node,
            .source = old.node,
            .id = old.id,
            .parent = old.parent,
            .start_us = old.start_us,
            .end_us = old.end_us,
            .test = old.test,
            .offset = old.offset,
            .worker = old.worker,
            .type_len = old.type_len,
            .name_len = old.name_len,
            .attempt = old.attempt,
            .result = old.result,
        };
        dz_buf_add(out, &span, sizeof(span));
    }
}

struct step {
    struct key at; /* behind the batch that was looked at last */
    bool is_over;
};

static enum dz_rc
rewrite_batch(struct dz_kv_txn *txn, const struct key *key, struct dz_slice value,
              struct dz_err *err)
{
    struct batch_head head;
    struct dz_slice records, text;
    if (!batch_open(value, sizeof(struct span_1), &head, &records, &text))
        return DZ_OK; /* rewritten already, or damaged: then its readers say so */
    DZ_AUTO(dz_buf_fini) struct dz_buf out = { 0 };
    dz_buf_add(&out, &head, sizeof(head));
    rewrite_spans(records, &out);
    dz_buf_add(&out, text.ptr, text.len);
    return dz_kv_put(txn, T_BATCH, key_slice(key), dz_buf_slice(&out), err);
}

/* The next batch of spans behind `at`; jobs without any are passed over by their first key. */
static enum dz_rc
next_spans(struct dz_kv_txn *txn, struct key *at, struct dz_slice *value_out, struct dz_err *err)
{
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, txn, T_BATCH, (struct dz_slice){ 0 });
    for (;;) {
        struct dz_slice key;
        dz_kv_iter_seek(&it, key_slice(at));
        if (!dz_kv_next(&it, &key, value_out)) {
            enum dz_rc rc = dz_kv_iter_rc(&it, err);
            return rc == DZ_OK ? DZ_ABSENT : rc;
        }
        *at = (struct key){ .len = 0 };
        if (key.len <= DZ_ULID_LEN) {
            key_add(at, key.ptr, key.len);
            key_add(at, "", 1);
            continue;
        }
        if (key.ptr[DZ_ULID_LEN] == BATCH_SPANS) {
            key_add(at, key.ptr, key.len);
            return DZ_OK;
        }
        key_add(at, key.ptr, DZ_ULID_LEN);
        uint8_t kind = key.ptr[DZ_ULID_LEN] < BATCH_SPANS ? BATCH_SPANS : 0xff;
        key_add(at, &kind, 1);
    }
}

static enum dz_rc
rewrite_some(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct step *self = arg;
    struct key at = self->at; /* the write may be begun again */
    for (unsigned i = 0; i < BATCHES_AT_ONCE; i++) {
        struct dz_slice value;
        enum dz_rc rc = next_spans(txn, &at, &value, err);
        if (rc == DZ_OK)
            rc = rewrite_batch(txn, &at, value, err);
        if (rc != DZ_OK) {
            self->is_over = rc == DZ_ABSENT;
            return rc == DZ_ABSENT ? DZ_OK : rc;
        }
        key_add(&at, "", 1); /* the least key behind it */
    }
    self->is_over = false;
    return DZ_OK;
}

static enum dz_rc
remember_place(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct step *self = arg;
    struct dz_slice value;
    for (unsigned i = 0; i < BATCHES_AT_ONCE; i++) {
        enum dz_rc rc = next_spans(txn, &self->at, &value, err);
        if (rc != DZ_OK)
            return rc == DZ_ABSENT ? DZ_OK : rc;
        key_add(&self->at, "", 1);
    }
    return DZ_OK;
}

static enum dz_rc
from_1_to_2(struct store *store, struct dz_err *err)
{
    struct step step = { .is_over = false };
    while (!step.is_over) {
        enum dz_rc rc = dz_kv_write(store->kv, rewrite_some, &step, err);
        if (rc == DZ_OK && !step.is_over)
            rc = dz_kv_read(store->kv, remember_place, &step, err);
        if (rc != DZ_OK)
            return rc;
    }
    return DZ_OK;
}

/* ---- 2 to 3 ---- */

static enum dz_rc
from_2_to_3(struct store *store, struct dz_err *err)
{
    (void) store;
    (void) err;
    return DZ_OK;
}

/* ---- all steps ---- */

struct raising {
    long from;
};

static enum dz_rc
raise(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    const struct raising *self = arg;
    char before[16], after[16];
    struct dz_slice value;
    (void) snprintf(before, sizeof(before), "%ld", self->from);
    (void) snprintf(after, sizeof(after), "%ld", self->from + 1);
    enum dz_rc rc = dz_kv_get(txn, T_META, dz_str("version"), &value, err);
    if (rc != DZ_OK || !dz_slice_eq(value, dz_str(before)))
        return rc; /* another process has done it */
    return dz_kv_put(txn, T_META, dz_str("version"), dz_str(after), err);
}

enum dz_rc
store_migrate(struct store *store, long version, struct dz_err *err)
{
    static enum dz_rc (*const steps[])(struct store * store, struct dz_err * err) = {
        [1] = from_1_to_2,
        [2] = from_2_to_3,
    };
    _Static_assert(DZ_LEN(steps) == STORE_VERSION, "a step from each version to the next");
    for (; version < STORE_VERSION; version++) {
        struct raising raising = { version };
        if (version < 1)
            return dz_fail(err, DZ_CORRUPT, "'%s' has the version %ld", store->dir, version);
        enum dz_rc rc = steps[version](store, err);
        if (rc == DZ_OK)
            rc = dz_kv_write(store->kv, raise, &raising, err);
        if (rc != DZ_OK)
            return rc;
    }
    return DZ_OK;
}
