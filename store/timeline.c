/* timeline.c - merging segments and batches. */
#include "store/timeline.h"

#include <stdlib.h>
#include <string.h>

#include "store/contents.h"

enum { CACHED = 8, RELOADS_MAX = 4 };

/* Records in order of time, some of them in memory. */
struct lane {
    bool is_hot;      /* from batches; else from the segments of a run */
    uint32_t run;     /* of segments */
    uint32_t segment; /* of the next one to look at */
    uint32_t loaded;  /* the one that is in memory */
    bool has_text;
    struct dz_buf moments; /* owned; struct moment */
    struct dz_buf text;    /* owned; of the loaded segment */
    size_t at;
};

struct unpacked {
    uint32_t batch;
    bool is_used;
    struct dz_buf text; /* owned */
    uint64_t used_at;
};

struct timeline {
    struct store *store; /* borrowed */
    char ulid[DZ_ULID_LEN + 1];
    enum batch_kind kind;
    struct moment_filter filter;
    bool is_batches_only;
    size_t limit; /* records after which a round takes no further batch, 0: none */

    uint32_t from, until; /* this round gives what is in batches `from` to `until` */
    bool has_last;
    struct moment last; /* given in this round */

    struct contents contents; /* owned */
    struct lane *lanes;       /* owned; one for each run, and one for the batches */
    uint32_t lane_count;
    struct unpacked cache[CACHED];
    uint64_t uses;
};

static enum dz_rc
fail(const struct timeline *self, struct dz_err *err)
{
    return dz_fail(err, DZ_CORRUPT, "%s of job %s cannot be read",
                   self->kind == BATCH_LOGS ? "logs" : "spans", self->ulid);
}

static struct moment *
moment_at(const struct lane *lane, size_t i)
{
    return (struct moment *) (void *) lane->moments.data + i;
}

static size_t
moments_in(const struct lane *lane)
{
    return lane->moments.len / sizeof(struct moment);
}

/* ---- which records ---- */

static bool
is_wanted(const struct timeline *self, const struct moment *m)
{
    if (m->batch < self->from || m->batch >= self->until)
        return false;
    return moment_fits(m, &self->filter) &&
           !(self->has_last && moment_by_place(m, &self->last) <= 0);
}

static bool
is_segment_wanted(const struct timeline *self, uint32_t number)
{
    const struct moment_filter *f = &self->filter;
    const struct segment_info *info = &self->contents.infos[number];
    uint64_t workers = f->worker == -2  ? worker_bit(STORE_NO_WORKER)
                       : f->worker >= 0 ? worker_bit((uint32_t) f->worker)
                                        : UINT64_MAX;
    if (info->batch_to <= self->from || info->batch_from >= self->until ||
        (info->workers & workers) == 0 || info->last_us < f->since_us)
        return false;
    /* in a run the segments' first times ascend, but `last` may be of another run */
    if (f->until_us && info->first_us > f->until_us)
        return false;
    return !f->tests || contents_fits(&self->contents, number, f->tests, f->test_count);
}

/* ---- batches ---- */

static bool
add_batch(const struct timeline *self, struct lane *lane, uint32_t number, struct dz_slice value)
{
    struct batch_head head;
    struct dz_slice records, text;
    if (!batch_open(value, moment_packed_size(self->kind), &head, &records, &text))
        return false;
    for (uint32_t i = 0; i < head.count; i++) {
        struct moment m =
            moment_unpack(self->kind, records.ptr + i * moment_packed_size(self->kind));
        m.batch = number;
        m.index = i;
        if ((uint64_t) m.offset + m.len > head.raw_len)
            return false;
        if (is_wanted(self, &m))
            dz_buf_add(&lane->moments, &m, sizeof(m));
    }
    return true;
}

/* None of its records can be of the worker that is wanted. */
static bool
is_of_others(const void *arg, struct dz_slice value)
{
    const struct moment_filter *filter = arg;
    struct batch_head head;
    if (value.len < sizeof(head))
        return false;
    memcpy(&head, value.ptr, sizeof(head));
    uint32_t worker = filter->worker == -2 ? STORE_NO_WORKER : (uint32_t) filter->worker;
    return head.lanes != 0 && (head.lanes & batch_lane(worker)) == 0;
}

static enum dz_rc
add_batches(struct timeline *self, struct dz_kv_txn *txn, struct lane *lane, uint32_t *next_out,
            struct dz_err *err)
{
    struct key prefix = { .len = 0 }, from;
    struct dz_slice key, value;
    uint32_t next = self->from > self->contents.head.until ? self->from : self->contents.head.until;
    batch_key(&prefix, (const uint8_t *) self->ulid, self->kind);
    from = prefix;
    key_add_number(&from, next, 4);
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, txn, T_BATCH, key_slice(&prefix));
    if (self->filter.worker != -1) {
        it.is_skipped = is_of_others;
        it.skip_arg = &self->filter;
    }
    dz_kv_iter_seek(&it, key_slice(&from));
    while (dz_kv_next(&it, &key, &value)) {
        uint32_t number = (uint32_t) number_at(key, prefix.len, 4);
        if (number >= self->until || (self->limit && moments_in(lane) >= self->limit))
            break;
        if (!add_batch(self, lane, number, value))
            return fail(self, err);
        next = number + 1;
    }
    *next_out = next;
    return dz_kv_iter_rc(&it, err);
}

/* ---- segments ---- */

struct loading {
    struct timeline *self;
    struct lane *lane;
    uint32_t number;
    bool is_text;
    bool is_count; /* only how many are wanted */
    uint64_t count;
};

/* Keep those that are wanted. */
static bool
sift(struct loading *work, struct dz_buf *moments, const struct segment *segment)
{
    size_t kept = 0, count = moments->len / sizeof(struct moment);
    struct moment *m = (struct moment *) (void *) moments->data;
    for (size_t i = 0; i < count; i++) {
        if ((uint64_t) m[i].offset + m[i].len > segment->text_len || m[i].type_len > m[i].len)
            return false;
        if (is_wanted(work->self, &m[i]))
            m[kept++] = m[i];
    }
    moments->len = kept * sizeof(struct moment);
    work->count += kept;
    return true;
}

static enum dz_rc
load_segment(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct loading *work = arg;
    struct timeline *self = work->self;
    struct dz_slice value;
    struct segment segment;
    DZ_AUTO(dz_buf_fini) struct dz_buf own = { 0 };
    enum dz_rc rc = contents_segment(txn, self->ulid, self->kind, work->number, &value, err);
    if (rc != DZ_OK)
        return rc;
    if (!segment_open(value, &MOMENT_COLUMNS, &segment))
        return fail(self, err);
    if (work->is_text) {
        dz_buf_clear(&work->lane->text);
        return segment_text(self->store, &segment, &work->lane->text, err);
    }
    struct dz_buf *to = work->is_count ? &own : &work->lane->moments;
    dz_buf_clear(to);
    rc = segment_records(self->store, &segment, &MOMENT_COLUMNS, to, err);
    return rc == DZ_OK && !sift(work, to, &segment) ? fail(self, err) : rc;
}

/* The next record of this lane is in memory, or there is none. */
static enum dz_rc
fill_lane(struct timeline *self, struct lane *lane, struct dz_err *err)
{
    while (!lane->is_hot && lane->at == moments_in(lane) &&
           lane->segment < self->contents.head.segments) {
        uint32_t number = lane->segment++;
        if (self->contents.infos[number].run != lane->run || !is_segment_wanted(self, number))
            continue;
        struct loading work = { .self = self, .lane = lane, .number = number };
        lane->at = 0;
        lane->loaded = number;
        lane->has_text = false;
        enum dz_rc rc = dz_kv_read(self->store->kv, load_segment, &work, err);
        if (rc != DZ_OK)
            return rc;
    }
    return DZ_OK;
}

/* ---- a round ---- */

static void
drop_lanes(struct timeline *self)
{
    for (uint32_t i = 0; i < self->lane_count; i++) {
        dz_buf_fini(&self->lanes[i].moments);
        dz_buf_fini(&self->lanes[i].text);
    }
    free(self->lanes);
    self->lanes = NULL;
    self->lane_count = 0;
}

static enum dz_rc
load_round(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct timeline *self = arg;
    uint32_t next = 0;
    drop_lanes(self);
    contents_fini(&self->contents);
    enum dz_rc rc = contents_read(self->store, txn, self->ulid, self->kind, &self->contents, err);
    if (rc != DZ_OK)
        return rc;
    uint32_t runs = self->is_batches_only || self->contents.head.until <= self->from
                        ? 0
                        : self->contents.head.runs;
    if (runs > self->contents.head.segments)
        return fail(self, err);
    self->lanes = dz_alloc0((size_t) runs + 1, sizeof(*self->lanes));
    self->lane_count = runs + 1;
    for (uint32_t i = 0; i < runs; i++)
        self->lanes[i].run = i;
    struct lane *hot = &self->lanes[runs];
    hot->is_hot = true;
    rc = add_batches(self, txn, hot, &next, err);
    if (rc == DZ_OK && next < self->until)
        self->until = next;
    if (hot->moments.len > 0)
        qsort(hot->moments.data, moments_in(hot), sizeof(struct moment), moment_by_place);
    return rc;
}

/* From where the last round ended. */
static enum dz_rc
begin_round(struct timeline *self, uint32_t from, struct dz_err *err)
{
    self->from = from;
    self->until = self->filter.until ? self->filter.until : UINT32_MAX;
    self->has_last = false;
    return dz_kv_read(self->store->kv, load_round, self, err);
}

static enum dz_rc
open_it(struct timeline *self, const char *ulid, struct timeline **out, struct dz_err *err)
{
    DZ_AUTO(timeline_close) struct timeline *mine = self;
    if (!dz_ulid_read(dz_str(ulid), NULL))
        return dz_fail(err, DZ_ABSENT, "'%.60s' is not the long id of a job", ulid);
    memcpy(mine->ulid, ulid, DZ_ULID_LEN);
    enum dz_rc rc = begin_round(mine, mine->filter.from, err);
    if (rc == DZ_OK)
        *out = dz_move(mine);
    return rc;
}

enum dz_rc
timeline_open(struct store *store, const char *ulid, enum batch_kind kind,
              const struct moment_filter *filter, struct timeline **out, struct dz_err *err)
{
    struct timeline *self = dz_alloc0(1, sizeof(*self));
    self->store = store;
    self->kind = kind;
    self->filter = *filter;
    return open_it(self, ulid, out, err);
}

enum dz_rc
timeline_open_batches(struct store *store, const char *ulid, enum batch_kind kind, size_t limit,
                      struct timeline **out, struct dz_err *err)
{
    struct timeline *self = dz_alloc0(1, sizeof(*self));
    self->store = store;
    self->kind = kind;
    self->filter = (struct moment_filter){ .since_us = INT64_MIN, .worker = -1, .thread = -1 };
    self->is_batches_only = true;
    self->limit = limit;
    return open_it(self, ulid, out, err);
}

void
timeline_close(struct timeline **self_p)
{
    struct timeline *self = dz_move(*self_p);
    if (!self)
        return;
    drop_lanes(self);
    contents_fini(&self->contents);
    for (size_t i = 0; i < CACHED; i++)
        dz_buf_fini(&self->cache[i].text);
    free(self);
}

uint32_t
timeline_until(const struct timeline *self)
{
    return self->until;
}

void
timeline_choose(struct timeline *self, const uint8_t *tests, uint32_t test_count)
{
    self->filter.tests = tests;
    self->filter.test_count = test_count;
}

enum dz_rc
timeline_refresh(struct timeline *self, struct dz_err *err)
{
    return begin_round(self, self->until, err);
}

enum dz_rc
timeline_pending(struct timeline *self, uint64_t *out, struct dz_err *err)
{
    struct loading work = { .self = self, .is_count = true };
    for (uint32_t i = 0; i < self->lane_count; i++) {
        const struct lane *lane = &self->lanes[i];
        work.count += moments_in(lane) - lane->at;
        for (uint32_t n = lane->segment; !lane->is_hot && n < self->contents.head.segments; n++) {
            if (self->contents.infos[n].run != lane->run || !is_segment_wanted(self, n))
                continue;
            work.number = n;
            enum dz_rc rc = dz_kv_read(self->store->kv, load_segment, &work, err);
            if (rc != DZ_OK)
                return rc;
        }
    }
    *out = work.count;
    return DZ_OK;
}

/* ---- texts ---- */

struct unpacking {
    struct timeline *self;
    struct unpacked *into;
    uint32_t batch;
};

static enum dz_rc
unpack(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct unpacking *work = arg;
    struct timeline *self = work->self;
    struct key key = { .len = 0 };
    struct dz_slice value, records, text;
    struct batch_head head;
    batch_key(&key, (const uint8_t *) self->ulid, self->kind);
    key_add_number(&key, work->batch, 4);
    enum dz_rc rc = dz_kv_get(txn, T_BATCH, key_slice(&key), &value, err);
    if (rc != DZ_OK)
        return rc;
    if (!batch_open(value, moment_packed_size(self->kind), &head, &records, &text))
        return fail(self, err);
    dz_buf_clear(&work->into->text);
    return unzip_add(self->store, text, head.raw_len, &work->into->text, err);
}

static enum dz_rc
batch_text(struct timeline *self, uint32_t batch, struct dz_slice *text_out, struct dz_err *err)
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
    *text_out = dz_buf_slice(&found->text);
    return DZ_OK;
}

static enum dz_rc
text_of(struct timeline *self, struct lane *lane, const struct moment *m, struct dz_slice *out,
        struct dz_err *err)
{
    enum dz_rc rc = DZ_OK;
    if (lane->is_hot) {
        rc = batch_text(self, m->batch, out, err);
    } else {
        struct loading work = {
            .self = self, .lane = lane, .number = lane->loaded, .is_text = true
        };
        if (!lane->has_text)
            rc = dz_kv_read(self->store->kv, load_segment, &work, err);
        lane->has_text = rc == DZ_OK;
        *out = dz_buf_slice(&lane->text);
    }
    if (rc != DZ_OK)
        return rc;
    if ((uint64_t) m->offset + m->len > out->len || m->type_len > m->len)
        return fail(self, err);
    *out = (struct dz_slice){ out->ptr ? out->ptr + m->offset : NULL, m->len };
    return DZ_OK;
}

/* ---- the next one ---- */

static enum dz_rc
earliest(struct timeline *self, struct lane **out, struct dz_err *err)
{
    struct lane *best = NULL;
    for (uint32_t i = 0; i < self->lane_count; i++) {
        struct lane *lane = &self->lanes[i];
        enum dz_rc rc = fill_lane(self, lane, err);
        if (rc != DZ_OK)
            return rc;
        if (lane->at < moments_in(lane) &&
            (!best || moment_by_place(moment_at(lane, lane->at), moment_at(best, best->at)) < 0))
            best = lane;
    }
    *out = best;
    return DZ_OK;
}

enum dz_rc
timeline_next(struct timeline *self, const struct moment **out, struct dz_slice *text_out,
              struct dz_err *err)
{
    for (unsigned tries = 0;; tries++) {
        struct lane *lane = NULL;
        enum dz_rc rc = earliest(self, &lane, err);
        if (rc != DZ_OK || !lane)
            return rc == DZ_OK ? DZ_ABSENT : rc;
        const struct moment *m = moment_at(lane, lane->at);
        rc = text_of(self, lane, m, text_out, err);
        if (rc == DZ_OK) {
            lane->at++;
            self->last = *m;
            self->has_last = true;
            *out = m;
            return DZ_OK;
        }
        if (rc != DZ_ABSENT)
            return rc;
        if (tries == RELOADS_MAX)
            return dz_fail(err, DZ_IO, "job %s was removed", self->ulid);
        rc = dz_kv_read(self->store->kv, load_round, self, err); /* it is in a segment by now */
        if (rc != DZ_OK)
            return rc;
    }
}
