/* outbox.c - reading a job, to be sent to another store. */
#include <stdlib.h>
#include <string.h>

#include "store/parcel.h"

static const char *const HEAD_KEYS[] = { "uri",         "timezone",    "profile",   "commit",
                                         "command",     "versions",    "rootdir",   "host",
                                         "boot",        "pid",         "pid_start", "workers",
                                         "node_total",  "is_dirty",    "start_us",  "origin",
                                         "generation",  "previous",    "step",      "ci_job",
                                         "shard_index", "shard_total", "witness" };
static const char *const SEAL_KEYS[] = { "collected",      "deselected", "redundant", "not_run",
                                         "counted",        "duplicates", "lost",      "nodes",
                                         "sealed_workers", "digest",     "exit_code", "end_us",
                                         "reason" };

static const struct {
    enum batch_kind batch;
    size_t record_size;
    char section;
} STREAMS[STORE_STREAMS] = {
    [STREAM_RESULTS] = { BATCH_RESULTS, sizeof(struct packed_result), 'r' },
    [STREAM_TEXTS] = { BATCH_TEXTS, sizeof(struct packed_text), 't' },
    [STREAM_LOGS] = { BATCH_LOGS, sizeof(struct packed_log), 'l' },
    [STREAM_SPANS] = { BATCH_SPANS, sizeof(struct packed_span), 's' },
};

/* A place in a stream: record `index` of batch `batch`, behind `count` records. */
struct place {
    uint32_t batch, index;
    uint64_t count;
};

struct store_outbox {
    struct store *store; /* borrowed */
    char ulid[DZ_ULID_LEN + 1];
    struct place at[STORE_STREAMS];  /* where the last parcel ended */
    struct place end[STORE_STREAMS]; /* the last that was seen; index is 0 */
    bool is_witnessed;               /* as was seen with it */
};

bool
store_at_eq(const struct store_at *a, const struct store_at *b)
{
    return memcmp(a->count, b->count, sizeof(a->count)) == 0;
}

enum dz_rc
store_outbox_open(struct store *store, const char *ulid, struct store_outbox **self_out,
                  struct dz_err *err)
{
    if (!dz_ulid_read(dz_str(ulid), NULL))
        return dz_fail(err, DZ_ABSENT, "'%.60s' is not the long id of a job", ulid);
    struct store_outbox *self = dz_alloc0(1, sizeof(*self));
    self->store = store;
    memcpy(self->ulid, ulid, DZ_ULID_LEN);
    *self_out = self;
    return DZ_OK;
}

void
store_outbox_close(struct store_outbox **self_p)
{
    struct store_outbox *self = dz_move(*self_p);
    free(self);
}

/* ---- walking batches ---- */

/* One batch of a stream, and what is to be done with each. */
struct walk {
    struct dz_kv_iter it;
    struct key prefix;
    enum store_stream stream;
    uint32_t number; /* of the batch that _next() gave */
    struct batch_head head;
    struct dz_slice records, data;
    bool is_bad;
};

static void
walk_begin(struct walk *self, const struct store_outbox *box, struct dz_kv_txn *txn,
           enum store_stream stream, uint32_t batch)
{
    self->stream = stream;
    self->prefix.len = 0;
    self->is_bad = false;
    batch_key(&self->prefix, (const uint8_t *) box->ulid, STREAMS[stream].batch);
    struct key from = self->prefix;
    key_add_number(&from, batch, 4);
    dz_kv_iter_init(&self->it, txn, T_BATCH, key_slice(&self->prefix));
    dz_kv_iter_seek(&self->it, key_slice(&from));
}

static bool
walk_next(struct walk *self)
{
    struct dz_slice key, value;
    if (self->is_bad || !dz_kv_next(&self->it, &key, &value))
        return false;
    self->number = (uint32_t) number_at(key, self->prefix.len, 4);
    self->is_bad = !batch_open(value, STREAMS[self->stream].record_size, &self->head,
                               &self->records, &self->data);
    return !self->is_bad;
}

static enum dz_rc
walk_end(struct walk *self, const struct store_outbox *box, struct dz_err *err)
{
    enum dz_rc rc = dz_kv_iter_rc(&self->it, err);
    dz_kv_iter_fini(&self->it);
    if (rc == DZ_OK && self->is_bad)
        rc = dz_fail(err, DZ_CORRUPT, "records of job %s cannot be read", box->ulid);
    return rc;
}

/* Move `place` on to behind `count` records, as far as there are some. */
static enum dz_rc
go_to(const struct store_outbox *box, struct dz_kv_txn *txn, enum store_stream stream,
      uint64_t count, struct place *place, struct dz_err *err)
{
    struct walk walk;
    if (place->count == count)
        return DZ_OK;
    if (place->count > count)
        *place = (struct place){ 0 };
    uint64_t before = place->count - place->index; /* those of earlier batches */
    walk_begin(&walk, box, txn, stream, place->batch);
    while (place->count < count && walk_next(&walk)) {
        bool is_inside = count - before < walk.head.count;
        place->batch = is_inside ? walk.number : walk.number + 1;
        place->index = is_inside ? (uint32_t) (count - before) : 0;
        place->count = is_inside ? count : before + walk.head.count;
        before += walk.head.count;
    }
    return walk_end(&walk, box, err);
}

static enum dz_rc
has_more(const struct store_outbox *box, struct dz_kv_txn *txn, enum store_stream stream,
         bool *has_out, struct dz_err *err)
{
    const struct place *place = &box->at[stream];
    struct walk walk;
    *has_out = false;
    walk_begin(&walk, box, txn, stream, place->batch);
    while (!*has_out && walk_next(&walk))
        *has_out = walk.head.count > (walk.number == place->batch ? place->index : 0);
    return walk_end(&walk, box, err);
}

/* ---- totals ---- */

struct totals {
    struct store_outbox *box;
    bool is_sealed;
};

static enum dz_rc
read_totals(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct totals *self = arg;
    DZ_AUTO(head_release) json_t *head = NULL;
    enum dz_rc rc = head_read(txn, self->box->ulid, &head, err);
    if (rc == DZ_OK)
        self->is_sealed = head_number(head, "is_sealed");
    self->box->is_witnessed = rc == DZ_OK && json_object_get(head, "witness");
    for (unsigned i = 0; rc == DZ_OK && i < STORE_STREAMS; i++)
        rc = go_to(self->box, txn, (enum store_stream) i, UINT64_MAX, &self->box->end[i], err);
    return rc;
}

enum dz_rc
store_outbox_total(struct store_outbox *self, struct store_at *total_out, bool *is_sealed_out,
                   struct dz_err *err)
{
    struct totals work = { .box = self };
    enum dz_rc rc = dz_kv_read(self->store->kv, read_totals, &work, err);
    if (rc != DZ_OK)
        return rc;
    for (unsigned i = 0; i < STORE_STREAMS; i++)
        total_out->count[i] = self->end[i].count;
    *is_sealed_out = work.is_sealed;
    return DZ_OK;
}

bool
store_outbox_is_witnessed(const struct store_outbox *self)
{
    return self->is_witnessed;
}

/* ---- one parcel ---- */

struct packing {
    struct store_outbox *box;
    struct dz_kv_txn *txn;
    const struct store_at *from;
    unsigned flags;
    size_t soft, limit; /* limit: of raw, when the head is in it */
    struct dz_buf raw, text;
    struct store_at after;
};

static void
add_json(struct packing *self, char kind, const json_t *head, const char *const *keys, size_t count)
{
    json_t *part = json_object();
    for (size_t i = 0; i < count; i++) {
        json_t *value = json_object_get(head, keys[i]);
        if (value)
            (void) json_object_set(part, keys[i], value);
    }
    if (kind == 'h')
        (void) json_object_set_new(part, "is_live",
                                   json_integer((self->flags & STORE_IS_LIVE) != 0));
    char *text = json_dumps(part, JSON_COMPACT);
    dz_assert(text); /* it came from a text of ours */
    parcel_add_bytes(&self->raw, kind, dz_str(text));
    free(text);
    json_decref(part);
}

static enum dz_rc
add_list(struct packing *self, const char *name, struct dz_err *err)
{
    struct manifest list = { 0 };
    enum dz_rc rc = manifest_read(self->box->store, self->txn, name, &list, err);
    if (rc != DZ_OK)
        return rc;
    uint64_t size = 4 + 4 * (uint64_t) list.count + list.starts[list.count];
    if (size + STORE_PARCEL_SOFT > STORE_PARCEL_RAW_MAX)
        rc = dz_fail(err, DZ_LIMIT, "the list of %u tests is too long to be sent", list.count);
    else
        parcel_add_list(&self->raw, &list);
    manifest_fini(&list);
    return rc;
}

static void
add_result(struct packing *self, struct dz_slice record)
{
    struct packed_result row;
    memcpy(&row, record.ptr, sizeof(row));
    struct store_result result = unpack_result(&row);
    parcel_add_result(&self->raw, &result);
}

static enum dz_rc
add_text(struct packing *self, struct dz_slice record, struct dz_err *err)
{
    struct packed_text row;
    memcpy(&row, record.ptr, sizeof(row));
    dz_buf_clear(&self->text);
    enum dz_rc rc = text_read(self->box->store, self->txn, self->box->ulid, &row, &self->text, err);
    if (rc != DZ_OK && rc != DZ_ABSENT)
        return rc;
    struct store_text text = {
        .test = row.test, .attempt = row.attempt, .who = row.who, .text = dz_buf_slice(&self->text)
    };
    parcel_add_text(&self->raw, &text);
    return DZ_OK;
}

/* `data` is the batch's, unpacked. */
static bool
add_log(struct packing *self, struct dz_slice record, struct dz_slice data)
{
    struct packed_log row;
    memcpy(&row, record.ptr, sizeof(row));
    if ((uint64_t) row.offset + row.len > data.len)
        return false;
    struct store_log log = {
        .kind = (enum store_log_kind) row.kind,
        .first_us = row.first_us,
        .last_us = row.last_us,
        .node = row.node,
        .worker = row.worker,
        .thread = row.thread,
        .test = row.test,
        .attempt = row.attempt,
        .text = { data.ptr + row.offset, row.len },
    };
    parcel_add_log(&self->raw, &log);
    return true;
}

static bool
add_span(struct packing *self, struct dz_slice record, struct dz_slice data)
{
    struct packed_span row;
    memcpy(&row, record.ptr, sizeof(row));
    if ((uint64_t) row.offset + row.type_len + row.name_len > data.len)
        return false;
    struct store_span span = {
        .node = row.node,
        .scope = row.source,
        .id = row.id,
        .parent = row.parent,
        .start_us = row.start_us,
        .end_us = row.end_us,
        .test = row.test,
        .worker = row.worker,
        .attempt = row.attempt,
        .result = (enum dz_result) row.result,
        .type = { data.ptr + row.offset, row.type_len },
        .name = { data.ptr + row.offset + row.type_len, row.name_len },
    };
    parcel_add_span(&self->raw, &span);
    return true;
}

static enum dz_rc
add_record(struct packing *self, enum store_stream stream, struct dz_slice record,
           struct dz_slice data, struct dz_err *err)
{
    bool is_ok = true;
    switch (stream) {
    case STREAM_RESULTS: add_result(self, record); break;
    case STREAM_TEXTS: return add_text(self, record, err);
    case STREAM_LOGS: is_ok = add_log(self, record, data); break;
    case STREAM_SPANS: is_ok = add_span(self, record, data); break;
    case STORE_STREAMS: break;
    }
    return is_ok ? DZ_OK
                 : dz_fail(err, DZ_CORRUPT, "records of job %s cannot be read", self->box->ulid);
}

/* The batch that the walk is at, from place->index on; `place` moves on. */
static enum dz_rc
add_batch(struct packing *self, struct walk *walk, struct place *place, uint32_t *count,
          struct dz_err *err)
{
    size_t size = STREAMS[walk->stream].record_size;
    DZ_AUTO(dz_buf_fini) struct dz_buf data = { 0 };
    enum dz_rc rc = DZ_OK;
    if (walk->head.raw_len > 0)
        rc = unzip_add(self->box->store, walk->data, walk->head.raw_len, &data, err);
    if (place->batch != walk->number)
        *place = (struct place){ .batch = walk->number, .count = place->count };
    while (rc == DZ_OK && place->index < walk->head.count && *count < STORE_BATCH_MAX &&
           self->raw.len < self->limit) {
        struct dz_slice record = { walk->records.ptr + place->index * size, size };
        rc = add_record(self, walk->stream, record, dz_buf_slice(&data), err);
        place->index++;
        place->count++;
        ++*count;
    }
    if (rc == DZ_OK && place->index == walk->head.count)
        *place = (struct place){ .batch = walk->number + 1, .count = place->count };
    return rc;
}

static enum dz_rc
add_stream(struct packing *self, enum store_stream stream, struct dz_err *err)
{
    struct place *place = &self->box->at[stream];
    struct walk walk;
    enum dz_rc rc = go_to(self->box, self->txn, stream, self->from->count[stream], place, err);
    if (rc != DZ_OK)
        return rc;
    uint32_t count = 0;
    self->after.count[stream] = self->from->count[stream];
    if (place->count != self->from->count[stream])
        return DZ_OK; /* it has more than we: another sender's, and none of our business */
    size_t at = parcel_begin(&self->raw, STREAMS[stream].section, place->count);
    walk_begin(&walk, self->box, self->txn, stream, place->batch);
    while (rc == DZ_OK && count < STORE_BATCH_MAX && self->raw.len < self->limit &&
           walk_next(&walk))
        rc = add_batch(self, &walk, place, &count, err);
    enum dz_rc end = walk_end(&walk, self->box, err);
    parcel_end(&self->raw, at, count);
    self->after.count[stream] = place->count;
    return rc == DZ_OK ? end : rc;
}

static enum dz_rc
pack(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct packing *self = arg;
    DZ_AUTO(head_release) json_t *head = NULL;
    bool is_all = true;
    self->txn = txn;
    enum dz_rc rc = head_read(txn, self->box->ulid, &head, err);
    if (rc != DZ_OK)
        return rc;
    add_json(self, 'h', head, HEAD_KEYS, DZ_LEN(HEAD_KEYS));
    const char *name = head_text(head, "manifest");
    if (*name)
        parcel_add_bytes(&self->raw, 'm', dz_str(name));
    self->limit = self->raw.len + self->soft;
    unsigned streams = self->flags & STORE_ROWS_ONLY ? STREAM_RESULTS + 1 : STORE_STREAMS;
    for (unsigned i = 0; rc == DZ_OK && i < streams; i++) {
        bool has = false;
        rc = add_stream(self, (enum store_stream) i, err);
        if (rc == DZ_OK)
            rc = has_more(self->box, txn, (enum store_stream) i, &has, err);
        is_all = is_all && !has;
    }
    /* a grown list is not that of who asks for rows */
    bool is_news = streams != STORE_STREAMS && head_number(head, "sorted") > 0;
    if (rc == DZ_OK && *name && ((self->flags & STORE_WITH_LIST) || is_news))
        rc = add_list(self, name, err);
    is_all = is_all && streams == STORE_STREAMS;
    if (rc == DZ_OK && is_all && head_number(head, "is_sealed"))
        add_json(self, 'z', head, SEAL_KEYS, DZ_LEN(SEAL_KEYS));
    return rc;
}

enum dz_rc
store_outbox_next(struct store_outbox *self, const struct store_at *from, unsigned flags,
                  size_t soft, struct dz_buf *out, struct store_at *after_out, struct dz_err *err)
{
    struct packing work = { .box = self, .from = from, .flags = flags, .soft = soft };
    if (flags & STORE_HELLO)
        work.soft = 0;
    enum dz_rc rc = dz_kv_read(self->store->kv, pack, &work, err);
    if (rc == DZ_OK) {
        parcel_close(dz_buf_slice(&work.raw), out);
        *after_out = work.after;
    }
    dz_buf_fini(&work.raw);
    dz_buf_fini(&work.text);
    return rc;
}
