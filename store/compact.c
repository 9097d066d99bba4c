/* compact.c - the batches of a job that is over become segments.
 *
 * It is done in pieces, each with one commit, so that nobody waits long for his turn to write and
 * no more than a piece is ever in memory.  Segments are written first; only the contents make them
 * count, and only then the batches go.  A process that dies in between leaves segments that nobody
 * knows of, which the next attempt writes again, or batches below the `until` of the contents, which
 * readers pass over and the next attempt removes. */
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "store/texts.h"
#include "store/tidy.h"
#include "store/timeline.h"

enum {
    COMMIT_BYTES = 4 << 20,  /* of one commit, about */
    REMOVED_AT_ONCE = 1024,  /* rows */
    RUN_MOMENTS = 256 << 10, /* records of one run; they are sorted in memory */
    RUN_RESULTS = 1024 << 10,
};

/* One run of one kind, being made. */
struct work {
    struct store *store; /* borrowed */
    const char *ulid;
    enum batch_kind kind;
    const struct column_set *set;
    struct contents contents; /* owned; as it will be */
    struct dz_kv_batch batch; /* owned */
    /* the segment that is being filled */
    struct segment_info info;
    struct dz_buf records, text, tests; /* owned */
};

static void
work_fini(struct work *self)
{
    contents_fini(&self->contents);
    dz_kv_batch_fini(&self->batch);
    dz_buf_fini(&self->records);
    dz_buf_fini(&self->text);
    dz_buf_fini(&self->tests);
}

static enum dz_rc
read_contents(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct work *self = arg;
    contents_fini(&self->contents);
    return contents_read(self->store, txn, self->ulid, self->kind, &self->contents, err);
}

static enum dz_rc
begin(struct work *self, struct dz_err *err)
{
    return dz_kv_read(self->store->kv, read_contents, self, err);
}

/* ---- filling segments ---- */

static enum dz_rc
close_segment(struct work *self, struct dz_err *err)
{
    uint32_t count = (uint32_t) (self->records.len / self->set->record_size);
    if (count == 0)
        return DZ_OK;
    DZ_AUTO(dz_buf_fini) struct dz_buf value = { 0 };
    struct key key = { .len = 0 };
    segment_pack(self->store, self->set, self->records.data, count, dz_buf_slice(&self->text),
                 &value);
    segment_key(&key, self->ulid, self->kind, self->contents.head.segments);
    self->info.count = count;
    self->info.run = self->contents.head.runs;
    contents_add(&self->contents, &self->info, (uint32_t *) (void *) self->tests.data,
                 (uint32_t) (self->tests.len / sizeof(uint32_t)));
    dz_kv_batch_put(&self->batch, T_SEGMENT, key_slice(&key), dz_buf_slice(&value));
    dz_buf_clear(&self->records);
    dz_buf_clear(&self->text);
    dz_buf_clear(&self->tests);
    self->info = (struct segment_info){ .count = 0 };
    if (self->batch.len < COMMIT_BYTES)
        return DZ_OK;
    return dz_kv_batch_commit(&self->batch, self->store->kv, err);
}

static void
widen(struct work *self, int64_t first, int64_t last, uint32_t batch)
{
    struct segment_info *info = &self->info;
    bool is_first = self->records.len == 0;
    info->first_us = is_first || first < info->first_us ? first : info->first_us;
    info->last_us = is_first || last > info->last_us ? last : info->last_us;
    info->batch_from = is_first || batch < info->batch_from ? batch : info->batch_from;
    info->batch_to = batch >= info->batch_to ? batch + 1 : info->batch_to;
}

static bool
is_closed(const struct work *self)
{
    return self->records.len / self->set->record_size >= SEGMENT_RECORDS ||
           self->text.len >= SEGMENT_TEXT;
}

/* ---- the end of a run ---- */

/* Everything of the run is in `batch`: its last segments, and now the contents. */
static enum dz_rc
end_run(struct work *self, uint32_t until, struct dz_err *err)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf value = { 0 };
    struct key key = { .len = 0 };
    enum dz_rc rc = close_segment(self, err);
    if (rc != DZ_OK)
        return rc;
    self->contents.head.runs++;
    self->contents.head.until = until;
    contents_pack(self->store, &self->contents, &value);
    contents_key(&key, self->ulid, self->kind);
    dz_kv_batch_put(&self->batch, T_CONTENTS, key_slice(&key), dz_buf_slice(&value));
    return DZ_OK;
}

struct listing {
    const struct key *prefix, *end; /* keys from the prefix, below the end */
    unsigned table;
    struct key *keys;
    size_t count;
};

static enum dz_rc
list_keys(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct listing *self = arg;
    struct dz_slice key, value;
    self->count = 0;
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, txn, self->table, key_slice(self->prefix));
    it.is_keys_only = true;
    while (self->count < REMOVED_AT_ONCE && dz_kv_next(&it, &key, &value)) {
        struct dz_slice end = self->end ? key_slice(self->end) : (struct dz_slice){ 0 };
        size_t least = key.len < end.len ? key.len : end.len;
        if (self->end && memcmp(key.ptr, end.ptr, least) >= 0)
            break;
        self->keys[self->count] = (struct key){ .len = 0 };
        key_add(&self->keys[self->count++], key.ptr, key.len);
    }
    return dz_kv_iter_rc(&it, err);
}

enum dz_rc
remove_below(struct store *store, unsigned table, const struct key *prefix, const struct key *end,
             struct dz_kv_batch *batch, struct dz_err *err)
{
    struct listing listing = { .prefix = prefix, .end = end, .table = table };
    DZ_AUTO(dz_free) struct key *keys = dz_alloc0(REMOVED_AT_ONCE, sizeof(*keys));
    listing.keys = keys;
    do {
        enum dz_rc rc = dz_kv_read(store->kv, list_keys, &listing, err);
        for (size_t i = 0; rc == DZ_OK && i < listing.count; i++)
            dz_kv_batch_del(batch, table, key_slice(&keys[i]));
        if (rc == DZ_OK)
            rc = dz_kv_batch_commit(batch, store->kv, err);
        if (rc != DZ_OK)
            return rc;
    } while (listing.count == REMOVED_AT_ONCE);
    return DZ_OK;
}

/* The contents, and in the same commit the first of the batches that it makes superfluous. */
static enum dz_rc
drop_batches(struct work *self, struct dz_err *err)
{
    struct key prefix = { .len = 0 }, end;
    batch_key(&prefix, (const uint8_t *) self->ulid, self->kind);
    end = prefix;
    key_add_number(&end, self->contents.head.until, 4);
    return remove_below(self->store, T_BATCH, &prefix, &end, &self->batch, err);
}

/* ---- logs and spans ---- */

static enum dz_rc
add_moment(struct work *self, const struct moment *m, struct dz_slice text, struct dz_err *err)
{
    struct moment placed = *m;
    widen(self, m->first_us, m->last_us, m->batch);
    self->info.workers |= worker_bit(m->worker);
    placed.offset = (uint32_t) self->text.len;
    dz_buf_add(&self->records, &placed, sizeof(placed));
    dz_buf_add(&self->text, text.ptr, text.len);
    if (m->test != STORE_NO_TEST)
        dz_buf_add(&self->tests, &m->test, sizeof(m->test));
    return is_closed(self) ? close_segment(self, err) : DZ_OK;
}

/* false in *more_out: no batch is left. */
static enum dz_rc
run_of_moments(struct work *self, bool *more_out, struct dz_err *err)
{
    DZ_AUTO(timeline_close) struct timeline *timeline = NULL;
    const struct moment *m;
    struct dz_slice text;
    enum dz_rc rc = begin(self, err);
    if (rc == DZ_OK)
        rc =
            timeline_open_batches(self->store, self->ulid, self->kind, RUN_MOMENTS, &timeline, err);
    if (rc != DZ_OK)
        return rc;
    *more_out = timeline_until(timeline) > self->contents.head.until;
    while ((rc = timeline_next(timeline, &m, &text, err)) == DZ_OK) {
        rc = add_moment(self, m, text, err);
        if (rc != DZ_OK)
            return rc;
    }
    if (rc != DZ_ABSENT)
        return rc;
    if (*more_out)
        rc = end_run(self, timeline_until(timeline), err);
    else
        rc = DZ_OK;
    return rc == DZ_OK ? drop_batches(self, err) : rc;
}

/* ---- results ---- */

struct gathering {
    struct work *work;
    uint32_t next; /* batch */
    uint32_t count;
    bool has_found;
};

static void
add_results(struct work *self, struct dz_slice records, uint32_t batch)
{
    struct packed_result row;
    for (size_t at = 0; at + sizeof(row) <= records.len; at += sizeof(row)) {
        memcpy(&row, records.ptr + at, sizeof(row));
        widen(self, row.start_us, row.start_us + row.setup_us + row.call_us + row.teardown_us,
              batch);
        self->info.workers |= worker_bit(row.worker);
        dz_buf_add(&self->records, &row, sizeof(row));
    }
}

/* As many batches as one segment takes: what is borrowed ends with the transaction. */
static enum dz_rc
gather(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct gathering *self = arg;
    struct key prefix = { .len = 0 }, from;
    struct dz_slice key, value, records, text;
    struct batch_head head;
    batch_key(&prefix, (const uint8_t *) self->work->ulid, BATCH_RESULTS);
    from = prefix;
    key_add_number(&from, self->next, 4);
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, txn, T_BATCH, key_slice(&prefix));
    dz_kv_iter_seek(&it, key_slice(&from));
    self->has_found = false;
    while (!is_closed(self->work) && dz_kv_next(&it, &key, &value)) {
        self->has_found = true;
        if (!batch_open(value, sizeof(struct packed_result), &head, &records, &text))
            return dz_fail(err, DZ_CORRUPT, "results of job %.26s cannot be read",
                           self->work->ulid);
        uint32_t number = (uint32_t) number_at(key, prefix.len, 4);
        add_results(self->work, records, number);
        self->next = number + 1;
        self->work->contents.head.written_us = head.written_us;
        self->count += head.count;
    }
    return dz_kv_iter_rc(&it, err);
}

static enum dz_rc
run_of_results(struct work *self, bool *more_out, struct dz_err *err)
{
    enum dz_rc rc = begin(self, err);
    uint32_t first = self->contents.head.until;
    struct gathering gathering = { .work = self, .next = first };
    do {
        if (rc == DZ_OK)
            rc = dz_kv_read(self->store->kv, gather, &gathering, err);
        if (rc == DZ_OK && is_closed(self))
            rc = close_segment(self, err);
        if (rc != DZ_OK)
            return rc;
    } while (gathering.has_found && gathering.count < RUN_RESULTS);
    *more_out = gathering.next > first;
    if (*more_out)
        rc = end_run(self, gathering.next, err);
    return rc == DZ_OK ? drop_batches(self, err) : rc;
}

/* ---- texts of failures ---- */

static enum dz_rc
gather_texts(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct work *self = arg;
    struct dz_slice key, value;
    enum dz_rc rc = DZ_OK;
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, txn, T_TEXT, dz_str(self->ulid));
    while (rc == DZ_OK && !is_closed(self) && dz_kv_next(&it, &key, &value)) {
        struct placed_text text = {
            .test = (uint32_t) number_at(key, DZ_ULID_LEN, 4),
            .attempt = (uint8_t) number_at(key, DZ_ULID_LEN + 4, 1),
            .who = number_at(key, DZ_ULID_LEN + 5, 8),
            .offset = (uint32_t) self->text.len,
        };
        rc = text_unpack(self->store, value, &self->text, err);
        if (rc != DZ_OK)
            return rc;
        text.len = (uint32_t) self->text.len - text.offset;
        widen(self, text.test, text.test, 0);
        dz_buf_add(&self->records, &text, sizeof(text));
    }
    return dz_kv_iter_rc(&it, err);
}

/* One segment, one commit: with it the rows go that it holds. */
static enum dz_rc
run_of_texts(struct work *self, bool *more_out, struct dz_err *err)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf texts = { 0 };
    enum dz_rc rc = begin(self, err);
    if (rc == DZ_OK)
        rc = dz_kv_read(self->store->kv, gather_texts, self, err);
    if (rc != DZ_OK)
        return rc;
    *more_out = self->records.len > 0;
    if (!*more_out) { /* the order in which they came is of use to who sends them on: not here */
        struct key prefix = { .len = 0 };
        batch_key(&prefix, (const uint8_t *) self->ulid, BATCH_TEXTS);
        return remove_below(self->store, T_BATCH, &prefix, NULL, &self->batch, err);
    }
    dz_buf_add(&texts, self->records.data, self->records.len);
    rc = end_run(self, 1, err);
    if (rc != DZ_OK)
        return rc;
    struct placed_text text;
    for (size_t at = 0; at < texts.len; at += sizeof(text)) {
        memcpy(&text, texts.data + at, sizeof(text));
        struct packed_text name = { .who = text.who, .test = text.test, .attempt = text.attempt };
        struct key key = text_key(self->ulid, &name);
        dz_kv_batch_del(&self->batch, T_TEXT, key_slice(&key));
    }
    return dz_kv_batch_commit(&self->batch, self->store->kv, err);
}

/* ---- all of a job ---- */

enum dz_rc
job_compact(struct store *store, const char *ulid, int64_t deadline_ms, bool *done_out,
            struct dz_err *err)
{
    static const struct {
        enum batch_kind kind;
        const struct column_set *set;
        enum dz_rc (*run)(struct work *self, bool *more_out, struct dz_err *err);
    } kinds[] = { { BATCH_RESULTS, &RESULT_COLUMNS, run_of_results },
                  { BATCH_LOGS, &MOMENT_COLUMNS, run_of_moments },
                  { BATCH_SPANS, &MOMENT_COLUMNS, run_of_moments },
                  { BATCH_TEXTS, &TEXT_COLUMNS, run_of_texts } };
    *done_out = false;
    for (size_t i = 0; i < DZ_LEN(kinds); i++) {
        for (bool is_more = true; is_more;) {
            if (dz_clock_ms() > deadline_ms)
                return DZ_OK;
            DZ_AUTO(work_fini)
            struct work work = {
                .store = store, .ulid = ulid, .kind = kinds[i].kind, .set = kinds[i].set
            };
            enum dz_rc rc = kinds[i].run(&work, &is_more, err);
            if (rc != DZ_OK)
                return rc;
        }
    }
    *done_out = true;
    return DZ_OK;
}
