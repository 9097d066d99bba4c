/* logs.c - a job's log records over all workers, in time order.
 *
 * The heads of all records are held in memory, sorted; the texts stay packed in their batches and
 * are unpacked as the reader comes by, a few batches at a time. */
#include <stdlib.h>
#include <string.h>

#include "store/disk.h"

enum { CACHED = 8 };

struct entry {
    struct packed_log log;
    uint32_t batch, order; /* order: of arrival, for equal times */
};

struct unpacked {
    uint32_t batch;
    bool is_used;
    struct dz_buf data; /* owned */
    uint64_t used_at;
};

struct store_logs {
    struct store *store; /* borrowed */
    char ulid[DZ_ULID_LEN + 1];
    struct store_log_filter filter;
    struct dz_buf entries; /* owned; struct entry */
    size_t at;             /* the next one to give */
    uint32_t next;         /* batch to read next */
    uint32_t arrived;
    struct unpacked cache[CACHED];
    uint64_t uses;
};

static struct entry *
entry_at(const struct store_logs *self, size_t i)
{
    return (struct entry *) (void *) self->entries.data + i;
}

static size_t
entry_count(const struct store_logs *self)
{
    return self->entries.len / sizeof(struct entry);
}

/* ---- which records ---- */

static bool
is_wanted(const struct store_log_filter *f, const struct packed_log *log)
{
    bool is_agents = log->worker == STORE_NO_WORKER;
    if (log->last_us < f->since_us)
        return false;
    if (f->worker == -2 ? !is_agents : f->worker >= 0 && log->worker != f->worker)
        return false;
    if (f->thread >= 0 && log->thread != (uint32_t) f->thread)
        return false;
    if (!f->tests)
        return true;
    return log->test < f->test_count && (f->tests[log->test / 8] >> (log->test % 8) & 1);
}

static int
by_time(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->log.first_us != y->log.first_us)
        return x->log.first_us < y->log.first_us ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static bool
add_batch(struct store_logs *self, uint32_t number, struct dz_slice value)
{
    struct batch_head head;
    struct dz_slice records, data;
    if (!batch_open(value, sizeof(struct packed_log), &head, &records, &data))
        return false;
    for (uint32_t i = 0; i < head.count; i++) {
        struct entry entry = { .batch = number, .order = self->arrived++ };
        memcpy(&entry.log, records.ptr + i * sizeof(entry.log), sizeof(entry.log));
        if ((uint64_t) entry.log.offset + entry.log.len > head.raw_len)
            return false;
        if (is_wanted(&self->filter, &entry.log))
            dz_buf_add(&self->entries, &entry, sizeof(entry));
    }
    return true;
}

static enum dz_rc
read_new(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct store_logs *self = arg;
    struct key prefix = { .len = 0 }, from;
    struct dz_slice key, value;
    batch_key(&prefix, (const uint8_t *) self->ulid, BATCH_LOGS);
    from = prefix;
    key_add_number(&from, self->next, 4);
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, txn, T_BATCH, key_slice(&prefix));
    dz_kv_iter_seek(&it, key_slice(&from));
    while (dz_kv_next(&it, &key, &value)) {
        uint32_t number = (uint32_t) number_at(key, prefix.len, 4);
        if (!add_batch(self, number, value))
            return dz_fail(err, DZ_CORRUPT, "logs of job %s cannot be read", self->ulid);
        self->next = number + 1;
    }
    return dz_kv_iter_rc(&it, err);
}

enum dz_rc
store_logs_refresh(struct store_logs *self, struct dz_err *err)
{
    size_t given = self->at * sizeof(struct entry);
    dz_buf_drop(&self->entries, given);
    self->at = 0;
    enum dz_rc rc = dz_kv_read(self->store->kv, read_new, self, err);
    if (self->entries.len > 0)
        qsort(self->entries.data, entry_count(self), sizeof(struct entry), by_time);
    return rc;
}

/* ---- texts ---- */

struct unpacking {
    struct store_logs *logs;
    struct unpacked *into;
    uint32_t batch;
};

static enum dz_rc
unpack(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct unpacking *work = arg;
    struct store_logs *self = work->logs;
    struct key key = { .len = 0 };
    struct dz_slice value, records, data;
    struct batch_head head;
    batch_key(&key, (const uint8_t *) self->ulid, BATCH_LOGS);
    key_add_number(&key, work->batch, 4);
    enum dz_rc rc = dz_kv_get(txn, T_BATCH, key_slice(&key), &value, err);
    if (rc != DZ_OK)
        return rc == DZ_ABSENT ? dz_fail(err, rc, "logs of job %s were removed", self->ulid) : rc;
    if (!batch_open(value, sizeof(struct packed_log), &head, &records, &data))
        return dz_fail(err, DZ_CORRUPT, "logs of job %s cannot be read", self->ulid);
    dz_buf_clear(&work->into->data);
    return unzip_add(self->store, data, head.raw_len, &work->into->data, err);
}

static enum dz_rc
batch_data(struct store_logs *self, uint32_t batch, struct dz_slice *data_out, struct dz_err *err)
{
    struct unpacked *oldest = &self->cache[0], *found = NULL;
    for (size_t i = 0; i < CACHED && !found; i++) {
        struct unpacked *c = &self->cache[i];
        if (c->is_used && c->batch == batch)
            found = c;
        if (c->used_at < oldest->used_at)
            oldest = c;
    }
    if (!found) {
        struct unpacking work = { self, oldest, batch };
        oldest->is_used = false;
        enum dz_rc rc = dz_kv_read(self->store->kv, unpack, &work, err);
        if (rc != DZ_OK)
            return rc;
        found = oldest;
        found->batch = batch;
        found->is_used = true;
    }
    found->used_at = ++self->uses;
    *data_out = dz_buf_slice(&found->data);
    return DZ_OK;
}

enum dz_rc
store_logs_next(struct store_logs *self, struct store_log *out, struct dz_err *err)
{
    if (self->at == entry_count(self))
        return DZ_ABSENT;
    const struct entry *entry = entry_at(self, self->at);
    const struct packed_log *log = &entry->log;
    struct dz_slice data;
    enum dz_rc rc = batch_data(self, entry->batch, &data, err);
    if (rc != DZ_OK)
        return rc;
    if ((uint64_t) log->offset + log->len > data.len)
        return dz_fail(err, DZ_CORRUPT, "logs of job %s cannot be read", self->ulid);
    self->at++;
    *out = (struct store_log){
        .kind = log->kind == STORE_LOG_NOTE ? STORE_LOG_NOTE : STORE_LOG_OUTPUT,
        .first_us = log->first_us,
        .last_us = log->last_us,
        .node = log->node,
        .worker = log->worker,
        .thread = log->thread,
        .test = log->test,
        .attempt = log->attempt,
        .text = { data.ptr + log->offset, log->len },
    };
    return DZ_OK;
}

uint32_t
store_logs_pending(const struct store_logs *self)
{
    return (uint32_t) (entry_count(self) - self->at);
}

/* ---- opening ---- */

enum dz_rc
store_logs_open(struct store *self, const char *ulid, const struct store_log_filter *filter,
                struct store_logs **out, struct dz_err *err)
{
    if (!dz_ulid_read(dz_str(ulid), NULL))
        return dz_fail(err, DZ_ABSENT, "'%.60s' is not the long id of a job", ulid);
    DZ_AUTO(store_logs_close) struct store_logs *logs = dz_alloc0(1, sizeof(*logs));
    logs->store = self;
    logs->filter = *filter;
    memcpy(logs->ulid, ulid, DZ_ULID_LEN);
    enum dz_rc rc = store_logs_refresh(logs, err);
    if (rc == DZ_OK)
        *out = dz_move(logs);
    return rc;
}

void
store_logs_close(struct store_logs **self_p)
{
    struct store_logs *self = dz_move(*self_p);
    if (!self)
        return;
    for (size_t i = 0; i < CACHED; i++)
        dz_buf_fini(&self->cache[i].data);
    dz_buf_fini(&self->entries);
    free(self);
}
