/* feed.c - rows of the feed: written with what they tell of, read back as events. */
#include "store/feed.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/map.h"
#include "store/disk.h"

enum {
    TRIM_EVERY = 256, /* rows; then as many of the oldest go, and once more so many */
    MANIFESTS = 4,
    URIS_MAX = 1024,
};

struct feed_row {
    char ulid[DZ_ULID_LEN];
    uint8_t kind; /* enum batch_kind, or FEED_OF_JOB */
    uint8_t reserved;
    uint32_t number; /* of the batch */
};
_Static_assert(sizeof(struct feed_row) == 32, "no padding in what is written");

/* ---- writing ---- */

static uint64_t
last_row(struct dz_kv_txn *txn)
{
    struct dz_slice key = { 0 }, value;
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, txn, T_FEED, (struct dz_slice){ 0 });
    return dz_kv_prev(&it, &key, &value) ? number_at(key, 0, 8) : 0;
}

static enum dz_rc
trim(struct dz_kv_txn *txn, uint64_t newest, struct dz_err *err)
{
    uint64_t rows[2 * TRIM_EVERY];
    size_t count = 0;
    struct dz_slice key, value;
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, txn, T_FEED, (struct dz_slice){ 0 });
    while (count < DZ_LEN(rows) && dz_kv_next(&it, &key, &value) &&
           number_at(key, 0, 8) + FEED_ROWS_MAX <= newest)
        rows[count++] = number_at(key, 0, 8);
    dz_kv_iter_fini(&it);
    for (size_t i = 0; i < count; i++) {
        struct key old = { .len = 0 };
        key_add_number(&old, rows[i], 8);
        enum dz_rc rc = dz_kv_del(txn, T_FEED, key_slice(&old), err);
        if (rc != DZ_OK)
            return rc;
    }
    return DZ_OK;
}

enum dz_rc
feed_note(struct dz_kv_txn *txn, const char *ulid, int kind, uint32_t number, struct dz_err *err)
{
    struct key key = { .len = 0 };
    struct feed_row row = { .kind = (uint8_t) kind, .number = number };
    uint64_t next = last_row(txn) + 1;
    memcpy(row.ulid, ulid, DZ_ULID_LEN);
    key_add_number(&key, next, 8);
    struct dz_slice value = { (const uint8_t *) &row, sizeof(row) };
    enum dz_rc rc = dz_kv_put(txn, T_FEED, key_slice(&key), value, err);
    return rc == DZ_OK && next % TRIM_EVERY == 0 ? trim(txn, next, err) : rc;
}

/* ---- reading ---- */

struct known_manifest {
    char ulid[DZ_ULID_LEN + 1];
    struct manifest manifest; /* owned */
    uint64_t used_at;
};

struct store_feed {
    struct store *store; /* borrowed */
    struct known_manifest manifests[MANIFESTS];
    struct dz_dict uris; /* long id to URI, owned */
    struct dz_buf data;  /* texts of the batch that is read */
    uint64_t uses;
};

/* One call of store_feed_read(). */
struct reading {
    struct store_feed *feed;
    const struct feed_filter *filter;
    struct feed_at *at;
    struct feed_at until;
    feed_fn *fn;
    void *arg;
    struct dz_kv_txn *txn;
    uint64_t number; /* of the row */
    struct feed_row row;
    char ulid[DZ_ULID_LEN + 1];     /* of the row */
    char gap_ulid[DZ_ULID_LEN + 1]; /* of the last FEED_GAP */
    bool is_enough;
};

struct store_feed *
store_feed_open(struct store *store)
{
    struct store_feed *self = dz_alloc0(1, sizeof(*self));
    self->store = store;
    return self;
}

static void
forget_uris(struct store_feed *self)
{
    size_t at = 0;
    struct dz_slice key;
    void *uri;
    while (dz_dict_next(&self->uris, &at, &key, &uri))
        free(uri);
    dz_dict_fini(&self->uris);
}

void
store_feed_close(struct store_feed **self_p)
{
    struct store_feed *self = dz_move(*self_p);
    if (!self)
        return;
    for (size_t i = 0; i < MANIFESTS; i++)
        manifest_fini(&self->manifests[i].manifest);
    forget_uris(self);
    dz_buf_fini(&self->data);
    free(self);
}

int
feed_compare(struct feed_at a, struct feed_at b)
{
    if (a.row != b.row)
        return a.row < b.row ? -1 : 1;
    return a.record < b.record ? -1 : a.record > b.record;
}

/* "" when the job is gone. */
static const char *
uri_of(struct reading *r)
{
    struct dz_slice id = { (const uint8_t *) r->ulid, DZ_ULID_LEN };
    struct dz_err unused;
    char *uri = dz_dict_get(&r->feed->uris, id);
    if (uri)
        return uri;
    DZ_AUTO(head_release) json_t *head = NULL;
    if (head_read(r->txn, r->ulid, &head, &unused) != DZ_OK)
        return "";
    if (r->feed->uris.len >= URIS_MAX)
        forget_uris(r->feed);
    uri = dz_strdup(head_text(head, "uri"));
    (void) dz_dict_put(&r->feed->uris, id, uri);
    return uri;
}

static struct known_manifest *
manifest_of(struct reading *r, uint32_t test)
{
    struct known_manifest *oldest = &r->feed->manifests[0];
    struct dz_err unused;
    for (size_t i = 0; i < MANIFESTS; i++) {
        struct known_manifest *known = &r->feed->manifests[i];
        bool is_it = strcmp(known->ulid, r->ulid) == 0;
        if (is_it && test < known->manifest.count)
            return known;
        if (is_it) { /* it has grown, or makes no sense */
            oldest = known;
            break;
        }
        if (known->used_at < oldest->used_at)
            oldest = known;
    }
    DZ_AUTO(head_release) json_t *head = NULL;
    struct manifest manifest;
    if (head_read(r->txn, r->ulid, &head, &unused) != DZ_OK || !*head_text(head, "manifest") ||
        manifest_read(r->feed->store, r->txn, head_text(head, "manifest"), &manifest, &unused) !=
            DZ_OK)
        return NULL;
    manifest_fini(&oldest->manifest);
    oldest->manifest = manifest;
    memcpy(oldest->ulid, r->ulid, sizeof(oldest->ulid));
    return oldest;
}

static struct dz_slice
test_id_of(struct reading *r, uint32_t test)
{
    struct known_manifest *known = test == STORE_NO_TEST ? NULL : manifest_of(r, test);
    if (!known)
        return (struct dz_slice){ 0 };
    known->used_at = ++r->feed->uses;
    return test < known->manifest.count ? manifest_id(&known->manifest, test)
                                        : (struct dz_slice){ 0 };
}

/* ---- events ---- */

static void
give(struct reading *r, struct feed_event *event, uint32_t record, uint32_t count)
{
    event->at = (struct feed_at){ r->number, record };
    event->next = record + 1 < count ? (struct feed_at){ r->number, record + 1 }
                                     : (struct feed_at){ r->number + 1, 0 };
    event->ulid = r->ulid;
    event->uri = uri_of(r);
    *r->at = event->next;
    r->is_enough = !r->fn(r->arg, event);
}

static void
give_gap(struct reading *r)
{
    struct feed_event event = { .kind = FEED_GAP };
    bool is_told = strcmp(r->gap_ulid, r->ulid) == 0;
    memcpy(r->gap_ulid, r->ulid, sizeof(r->gap_ulid));
    if (!is_told)
        give(r, &event, 0, 1);
}

static void
read_result(struct reading *r, const uint8_t *record, struct feed_event *event)
{
    struct packed_result row;
    memcpy(&row, record, sizeof(row));
    event->kind = FEED_RESULT;
    event->result = unpack_result(&row);
    event->test_id = test_id_of(r, row.test);
}

/* A slice of the batch's texts; empty where it would reach beyond them. */
static struct dz_slice
text_at(const struct reading *r, uint32_t offset, uint32_t len)
{
    const struct dz_buf *data = &r->feed->data;
    bool is_in = offset <= data->len && len <= data->len - offset;
    return (struct dz_slice){ data->data + (is_in ? offset : 0), is_in ? len : 0 };
}

static void
read_log(struct reading *r, const uint8_t *record, struct feed_event *event)
{
    struct packed_log row;
    memcpy(&row, record, sizeof(row));
    event->kind = FEED_LOG;
    event->log = (struct store_log){
        .kind = row.kind == STORE_LOG_NOTE ? STORE_LOG_NOTE : STORE_LOG_OUTPUT,
        .first_us = row.first_us,
        .last_us = row.last_us,
        .node = row.node,
        .worker = row.worker,
        .thread = row.thread,
        .test = row.test,
        .attempt = row.attempt,
        .text = text_at(r, row.offset, row.len),
    };
    event->test_id = test_id_of(r, row.test);
}

static void
read_span(struct reading *r, const uint8_t *record, struct feed_event *event)
{
    struct packed_span row;
    memcpy(&row, record, sizeof(row));
    event->kind = FEED_SPAN;
    event->span = (struct store_span){
        .scope = row.source,
        .id = row.id,
        .parent = row.parent,
        .start_us = row.start_us,
        .end_us = row.end_us,
        .node = row.node,
        .worker = row.worker,
        .test = row.test,
        .attempt = row.attempt,
        .result = row.result < DZ_RESULTS ? (enum dz_result) row.result : DZ_RESULT_NONE,
        .type = text_at(r, row.offset, row.type_len),
        .name = text_at(r, row.offset + row.type_len, row.name_len),
    };
    event->test_id = test_id_of(r, row.test);
}

/* What a kind of row holds. */
static const struct form {
    enum batch_kind kind;
    enum feed_kind event;
    size_t record_size;
    void (*read)(struct reading *r, const uint8_t *record, struct feed_event *event);
} FORMS[] = {
    { BATCH_RESULTS, FEED_RESULT, sizeof(struct packed_result), read_result },
    { BATCH_LOGS, FEED_LOG, sizeof(struct packed_log), read_log },
    { BATCH_SPANS, FEED_SPAN, sizeof(struct packed_span), read_span },
};

static enum dz_rc
give_batch(struct reading *r, const struct form *form, struct dz_err *err)
{
    struct key key = { .len = 0 };
    struct dz_slice value, records, data;
    struct batch_head head;
    batch_key(&key, (const uint8_t *) r->ulid, form->kind);
    key_add_number(&key, r->row.number, 4);
    enum dz_rc rc = dz_kv_get(r->txn, T_BATCH, key_slice(&key), &value, err);
    if (rc == DZ_ABSENT) {
        give_gap(r);
        return DZ_OK;
    }
    if (rc != DZ_OK)
        return rc;
    if (!batch_open(value, form->record_size, &head, &records, &data))
        return dz_fail(err, DZ_CORRUPT, "records of job %s cannot be read", r->ulid);
    dz_buf_clear(&r->feed->data);
    rc = unzip_add(r->feed->store, data, head.raw_len, &r->feed->data, err);
    for (uint32_t i = r->at->record; rc == DZ_OK && i < head.count && !r->is_enough; i++) {
        struct feed_event event = { .kind = form->event };
        form->read(r, records.ptr + i * form->record_size, &event);
        give(r, &event, i, head.count);
        if (feed_compare(*r->at, r->until) >= 0)
            break;
    }
    return rc;
}

/* ---- rows ---- */

static bool
is_wanted(struct reading *r, enum feed_kind kind)
{
    const struct feed_filter *f = r->filter;
    if (!(f->kinds >> kind & 1) || (f->ulid && strcmp(f->ulid, r->ulid) != 0))
        return false;
    return !f->uri || strcmp(f->uri, uri_of(r)) == 0;
}

static enum dz_rc
give_row(struct reading *r, struct dz_err *err)
{
    memcpy(r->ulid, r->row.ulid, DZ_ULID_LEN);
    if (r->row.kind == FEED_OF_JOB && is_wanted(r, FEED_JOB) && r->at->record == 0) {
        struct feed_event event = { .kind = FEED_JOB };
        give(r, &event, 0, 1);
    }
    for (size_t i = 0; i < DZ_LEN(FORMS); i++)
        if (r->row.kind == FORMS[i].kind && is_wanted(r, FORMS[i].event))
            return give_batch(r, &FORMS[i], err);
    return DZ_OK;
}

static enum dz_rc
give_rows(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct reading *r = arg;
    struct dz_slice key, value;
    struct key from = { .len = 0 };
    enum dz_rc rc = DZ_OK;
    r->txn = txn;
    key_add_number(&from, r->at->row, 8);
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, txn, T_FEED, (struct dz_slice){ 0 });
    dz_kv_iter_seek(&it, key_slice(&from));
    for (int i = 0; i < FEED_ROWS_AT_ONCE && rc == DZ_OK && !r->is_enough; i++) {
        if (feed_compare(*r->at, r->until) >= 0 || !dz_kv_next(&it, &key, &value))
            break;
        r->number = number_at(key, 0, 8);
        if (value.len != sizeof(r->row))
            return dz_fail(err, DZ_CORRUPT, "row %llu of the feed cannot be read",
                           (unsigned long long) r->number);
        memcpy(&r->row, value.ptr, sizeof(r->row));
        if (r->number > r->at->row) /* rows in between have been trimmed */
            *r->at = (struct feed_at){ r->number, 0 };
        if (feed_compare(*r->at, r->until) >= 0)
            break;
        rc = give_row(r, err);
        bool is_through = !r->is_enough && feed_compare(*r->at, r->until) < 0;
        if (rc == DZ_OK && is_through && r->at->row == r->number)
            *r->at = (struct feed_at){ r->number + 1, 0 };
    }
    return rc == DZ_OK ? dz_kv_iter_rc(&it, err) : rc;
}

enum dz_rc
store_feed_read(struct store_feed *self, const struct feed_filter *filter, struct feed_at *at,
                struct feed_at until, feed_fn *fn, void *arg, struct dz_err *err)
{
    struct reading r = {
        .feed = self, .filter = filter, .at = at, .until = until, .fn = fn, .arg = arg
    };
    return dz_kv_read(self->store->kv, give_rows, &r, err);
}

struct bounds {
    uint64_t first, next;
};

static enum dz_rc
read_bounds(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct bounds *out = arg;
    struct dz_slice key = { 0 }, value;
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, txn, T_FEED, (struct dz_slice){ 0 });
    out->first = dz_kv_next(&it, &key, &value) ? number_at(key, 0, 8) : 1;
    out->next = last_row(txn) + 1;
    return dz_kv_iter_rc(&it, err);
}

enum dz_rc
store_feed_bounds(struct store *store, uint64_t *first_out, uint64_t *next_out, struct dz_err *err)
{
    struct bounds bounds = { 0 };
    enum dz_rc rc = dz_kv_read(store->kv, read_bounds, &bounds, err);
    if (rc != DZ_OK)
        return rc;
    *first_out = bounds.first;
    *next_out = bounds.next;
    return DZ_OK;
}
