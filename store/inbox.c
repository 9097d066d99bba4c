/* inbox.c - parcels of other stores, taken into this one.
 *
 * A job's ledger is read once and kept while its parcels come: the jobs that spoke last stay open. */
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/digest.h"
#include "store/numbers.h"
#include "store/parcel.h"
#include "store/shards.h"

enum { JOBS_MAX = 16 /* that are kept open */ };

struct entry {
    struct store_job *job; /* owned; NULL: free */
    char *uri;             /* owned */
    uint64_t used;
    int64_t heard_us;
    struct numbers_cache numbers; /* of its senders */
};

struct store_inbox {
    struct store *store; /* borrowed */
    struct entry entries[JOBS_MAX];
    uint64_t uses;
};

struct store_inbox *
store_inbox_new(struct store *store)
{
    struct store_inbox *self = dz_alloc0(1, sizeof(*self));
    self->store = store;
    return self;
}

struct store_inbox *
store_inbox_of(struct store *store)
{
    if (!store->inbox)
        store->inbox = store_inbox_new(store);
    return store->inbox;
}

static void
forget(struct entry *entry)
{
    store_job_close(&entry->job);
    free(entry->uri);
    numbers_fini(&entry->numbers);
    *entry = (struct entry){ 0 };
}

void
store_inbox_destroy(struct store_inbox **self_p)
{
    struct store_inbox *self = dz_move(*self_p);
    if (!self)
        return;
    for (size_t i = 0; i < JOBS_MAX; i++)
        forget(&self->entries[i]);
    free(self);
}

/* ---- the job ---- */

struct reading {
    const char *ulid;
    json_t *head; /* owned */
};

static enum dz_rc
read_head(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct reading *self = arg;
    return head_read(txn, self->ulid, &self->head, err);
}

/* The job's head, as it is stored.  Caller owns. */
static enum dz_rc
stored_head(struct store_inbox *self, const char *ulid, json_t **out, struct dz_err *err)
{
    struct reading reading = { .ulid = ulid };
    enum dz_rc rc = dz_kv_read(self->store->kv, read_head, &reading, err);
    if (rc == DZ_OK)
        *out = reading.head;
    return rc;
}

/* The job is another one's when its project is. */
static enum dz_rc
check_uri(const char *ulid, const char *there, const char *said, const char *wanted,
          struct dz_err *err)
{
    if (strcmp(there, said) != 0 || (wanted && strcmp(wanted, there) != 0))
        return dz_fail(err, DZ_ABSENT, "there is no job %s in this project", ulid);
    return DZ_OK;
}

static struct entry *
find(struct store_inbox *self, const char *ulid)
{
    for (size_t i = 0; i < JOBS_MAX; i++)
        if (self->entries[i].job && strcmp(self->entries[i].job->ulid, ulid) == 0)
            return &self->entries[i];
    return NULL;
}

static struct entry *
oldest(struct store_inbox *self)
{
    struct entry *found = &self->entries[0];
    for (size_t i = 1; i < JOBS_MAX; i++)
        if (self->entries[i].used < found->used)
            found = &self->entries[i];
    return found;
}

static enum dz_rc
open_job(struct store_inbox *self, const struct shard_place *place, const struct parcel *parcel,
         const char *wanted, struct entry **out, struct dz_err *err)
{
    const char *said = head_text(parcel->head, "uri"), *ulid = place->ulid;
    struct entry *entry = find(self, ulid);
    if (entry) {
        *out = entry;
        entry->used = ++self->uses;
        return check_uri(ulid, entry->uri, said, wanted, err);
    }
    DZ_AUTO(head_release) json_t *there = NULL;
    DZ_AUTO(store_job_close) struct store_job *job = NULL;
    enum dz_rc rc = check_uri(ulid, said, said, wanted, err);
    if (rc == DZ_OK)
        rc = adopt_job(self->store, place, parcel->head, &job, err);
    if (rc == DZ_OK)
        rc = stored_head(self, ulid, &there, err);
    if (rc == DZ_OK)
        rc = check_uri(ulid, head_text(there, "uri"), said, wanted, err);
    if (rc != DZ_OK)
        return rc;
    entry = oldest(self);
    forget(entry);
    *entry = (struct entry){ .job = dz_move(job), .uri = dz_strdup(said), .used = ++self->uses };
    *out = entry;
    return DZ_OK;
}

/* ---- records ---- */

struct taking {
    struct store_job *job;
    struct parcel *parcel;
    struct entry *entry;
    uint64_t origin;
    int64_t now_us;
    bool is_live, has_list;
    const struct shard *shard; /* NULL: it is none */
    struct store_receipt *receipt;
};

static struct key
mark_key(const struct taking *self, enum store_stream stream)
{
    uint64_t name[2] = { self->origin, (uint64_t) stream + 1 };
    struct key key = { .len = 0 };
    key_add(&key, self->job->ulid, DZ_ULID_LEN);
    key_add_number(&key, dz_hash64((struct dz_slice){ (uint8_t *) name, sizeof(name) }), 8);
    return key;
}

/* How many of the stream's records are here, and how many of the parcel's are to be passed over. */
static enum dz_rc
read_mark(struct taking *self, struct dz_kv_txn *txn, enum store_stream stream, uint32_t *skip_out,
          struct dz_err *err)
{
    struct dz_slice value = { 0 };
    struct key key = mark_key(self, stream);
    enum dz_rc rc = dz_kv_get(txn, T_MARK, key_slice(&key), &value, err);
    if (rc != DZ_OK && rc != DZ_ABSENT)
        return rc;
    const struct parcel_part *part = &self->parcel->parts[stream];
    uint64_t here = rc == DZ_OK ? number_at(value, 0, 8) : 0;
    bool needs_list =
        stream == STREAM_RESULTS || stream == STREAM_TEXTS || self->parcel->name[0] != '\0';
    bool is_usable = part->from <= here && (self->has_list || !needs_list);
    uint64_t skip = is_usable ? here - part->from : part->count;
    *skip_out = skip < part->count ? (uint32_t) skip : part->count;
    self->receipt->at.count[stream] = here;
    return DZ_OK;
}

static enum dz_rc
put_marks(struct taking *self, struct dz_kv_txn *txn, const uint32_t news[STORE_STREAMS],
          struct dz_err *err)
{
    enum dz_rc rc = DZ_OK;
    for (unsigned i = 0; rc == DZ_OK && i < STORE_STREAMS; i++) {
        struct key key = mark_key(self, (enum store_stream) i), value = { .len = 0 };
        if (news[i] == 0)
            continue;
        self->receipt->at.count[i] += news[i];
        self->receipt->taken += news[i];
        key_add_number(&value, self->receipt->at.count[i], 8);
        rc = dz_kv_put(txn, T_MARK, key_slice(&key), key_slice(&value), err);
    }
    return rc;
}

/* A job that says nothing for long is still running while its writer speaks. */
static enum dz_rc
note_heard(struct taking *self, struct dz_kv_txn *txn, struct dz_err *err)
{
    DZ_AUTO(head_release) json_t *head = NULL;
    if (self->is_live && self->shard)
        return shard_heard(txn, self->job->ulid, self->shard, self->parcel->head, self->now_us,
                           err);
    if (!self->is_live || self->job->is_sealed ||
        self->now_us - self->entry->heard_us < WRITER_NOTED_US)
        return DZ_OK;
    enum dz_rc rc = head_read(txn, self->job->ulid, &head, err);
    if (rc != DZ_OK)
        return rc;
    (void) json_object_set_new(head, "heard_us", json_integer(self->now_us));
    writer_copy(head, self->parcel->head);
    self->entry->heard_us = self->now_us;
    return head_write(txn, self->job->ulid, head, err);
}

/* A sealed job takes no results any more, but hears those that it has as often as they are told, and
 * those that could only be history: a scheduler that others had succeeded counted them. */
static void
leave_known(const struct store_job *job, struct store_batch *batch)
{
    if (!job->is_sealed)
        return;
    for (uint32_t i = 0; i < batch->result_count; i++)
        if (!ledger_knows(&job->ledger, &batch->results[i]) &&
            !ledger_has(&job->ledger, &batch->results[i]))
            return;
    batch->result_count = 0;
}

/* A share that comes late belongs into the account of a job that is closed, too. */
static enum dz_rc
open_again(struct taking *self, struct dz_kv_txn *txn, bool *was_sealed_out, struct dz_err *err)
{
    DZ_AUTO(head_release) json_t *head = NULL;
    enum dz_rc rc = head_read(txn, self->job->ulid, &head, err);
    if (rc == DZ_OK)
        *was_sealed_out = head_number(head, "is_sealed");
    self->job->is_sealed = false;
    return rc;
}

static enum dz_rc
settle(struct taking *self, struct dz_kv_txn *txn, struct dz_err *err)
{
    DZ_AUTO(head_release) json_t *head = NULL;
    enum dz_rc rc = head_read(txn, self->job->ulid, &head, err);
    return rc == DZ_OK ? shards_settle(txn, self->job, head, err) : rc;
}

/* Behind what is known; of a stream that a parcel does not have there is no array. */
#define BEHIND(array, count) ((array) ? (array) + (count) : NULL)

static enum dz_rc
take(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct taking *self = arg;
    bool was_sealed = false;
    struct parcel *p = self->parcel;
    uint32_t skip[STORE_STREAMS] = { 0 }, news[STORE_STREAMS];
    enum dz_rc rc = job_follow(self->job, txn, err);
    self->receipt->taken = 0; /* this may be the second time */
    for (unsigned i = 0; rc == DZ_OK && i < STORE_STREAMS; i++) {
        rc = read_mark(self, txn, (enum store_stream) i, &skip[i], err);
        news[i] = p->parts[i].count - skip[i];
    }
    if (rc != DZ_OK)
        return rc;
    struct store_batch batch = {
        .results = BEHIND(p->results, skip[STREAM_RESULTS]),
        .texts = BEHIND(p->texts, skip[STREAM_TEXTS]),
        .logs = BEHIND(p->logs, skip[STREAM_LOGS]),
        .spans = BEHIND(p->spans, skip[STREAM_SPANS]),
        .result_count = news[STREAM_RESULTS],
        .text_count = news[STREAM_TEXTS],
        .log_count = news[STREAM_LOGS],
        .span_count = news[STREAM_SPANS],
    };
    if (self->shard)
        rc = open_again(self, txn, &was_sealed, err);
    else
        leave_known(self->job, &batch);
    if (rc == DZ_OK)
        rc = append_check(self->job, &batch, err);
    if (rc == DZ_OK)
        rc = note_heard(self, txn, err);
    if (rc == DZ_OK)
        rc = append_records(txn, self->job, &batch, err);
    if (rc == DZ_OK)
        rc = put_marks(self, txn, news, err);
    if (rc == DZ_OK && was_sealed && batch.result_count > 0)
        return settle(self, txn, err);
    self->job->is_sealed |= was_sealed;
    return rc;
}

static bool
has_news(const struct parcel *parcel)
{
    for (unsigned i = 0; i < STORE_STREAMS; i++)
        if (parcel->parts[i].count > 0)
            return true;
    return false;
}

/* ---- the seal ---- */

static enum dz_rc
take_seal(struct taking *self, const struct numbers *numbers, struct store_receipt *out,
          struct dz_err *err)
{
    struct store_job *job = self->job;
    struct store_seal told;
    enum dz_rc rc = seal_read(self->parcel->seal, &told, err);
    if (rc == DZ_OK && self->shard)
        return shard_seal(job, self->shard, &told, err);
    if (rc != DZ_OK || (job->is_sealed && !job->is_witnessed))
        return rc; /* said before */
    uint32_t counted;
    uint64_t digest;
    numbers_sum(numbers, &job->ledger, &counted, &digest);
    if (told.counted == counted && told.digest == digest)
        told.digest = job->ledger.digest; /* the same, in the job's numbers */
    rc = store_job_seal(job, &told, err);
    out->is_ledger_wrong = rc == DZ_CORRUPT && job->is_sealed;
    return out->is_ledger_wrong ? DZ_OK : rc;
}

/* What the sender was told of the end.  A job of which all is counted may be waiting for its last row. */
static enum dz_rc
take_witness(struct store_job *job, const struct parcel *parcel, struct dz_err *err)
{
    struct store_seal told;
    bool is_told = witness_read(parcel->head, &told);
    bool is_whole = job->has_manifest && job->ledger.counted >= job->test_count;
    if (job->is_sealed || (!is_told && !is_whole && head_number(parcel->head, "is_live")))
        return DZ_OK;
    enum dz_rc rc = is_told ? store_job_witness(job, &told, err) : DZ_OK;
    return rc == DZ_OK ? store_job_seal_witnessed(job, err) : rc;
}

/* Everything that the sender has must be here. */
static bool
is_complete(const struct parcel *parcel, const struct store_receipt *receipt)
{
    for (unsigned i = 0; i < STORE_STREAMS; i++)
        if (receipt->at.count[i] < parcel->parts[i].from + parcel->parts[i].count)
            return false;
    return true;
}

/* ---- taking ---- */

static enum dz_rc
take_all(struct store_inbox *self, struct entry *entry, struct parcel *parcel,
         const struct shard *shard, struct store_receipt *out, struct dz_err *err)
{
    struct store_job *job = entry->job;
    const struct numbers *numbers = NULL;
    struct store_batch all = {
        .results = parcel->results,
        .texts = parcel->texts,
        .logs = parcel->logs,
        .spans = parcel->spans,
        .result_count = parcel->parts[STREAM_RESULTS].count,
        .text_count = parcel->parts[STREAM_TEXTS].count,
        .log_count = parcel->parts[STREAM_LOGS].count,
        .span_count = parcel->parts[STREAM_SPANS].count,
    };
    enum dz_rc rc = numbers_of(&entry->numbers, job, parcel, &numbers, err);
    out->wants_list = rc == DZ_ABSENT;
    if (rc != DZ_OK && rc != DZ_ABSENT)
        return rc;
    if (!numbers_translate(numbers, &all))
        return dz_fail(err, DZ_CORRUPT, "records of tests that are not in the sender's list");
    struct taking work = {
        .job = job,
        .parcel = parcel,
        .entry = entry,
        .origin = (uint64_t) head_number(parcel->head, "origin"),
        .now_us = dz_clock_wall_ms() * 1000,
        .is_live = head_number(parcel->head, "is_live"),
        .has_list = job->has_manifest && !out->wants_list,
        .shard = shard,
        .receipt = out,
    };
    bool must_write = has_news(parcel) || work.is_live;
    rc = must_write ? dz_kv_write(self->store->kv, take, &work, err)
                    : dz_kv_read(self->store->kv, take, &work, err);
    if (rc == DZ_OK)
        job->is_doubtful = false;
    if (rc == DZ_OK && parcel->seal && is_complete(parcel, out))
        rc = take_seal(&work, numbers, out, err);
    if (rc == DZ_OK && !shard)
        rc = take_witness(job, parcel, err);
    (void) memcpy(out->short_id, job->short_id, sizeof(out->short_id));
    (void) memcpy(out->job, job->ulid, sizeof(out->job));
    out->is_witnessed = job->is_witnessed && !shard;
    out->is_sealed = job->is_sealed && !job->is_witnessed;
    if (rc == DZ_OK && (shard || (parcel->seal && !out->is_sealed)))
        rc = shard_is_sealed(job, shard, &out->is_sealed, err);
    out->counted = job->ledger.counted;
    out->digest = job->ledger.digest;
    return rc;
}

enum dz_rc
store_inbox_take(struct store_inbox *self, const char *ulid, struct dz_slice bytes, const char *uri,
                 struct store_receipt *out, struct dz_err *err)
{
    DZ_AUTO(parcel_fini) struct parcel parcel = { 0 };
    struct store_receipt receipt = { 0 };
    struct shard shard;
    struct shard_place place;
    struct entry *entry = NULL;
    if (!dz_ulid_read(dz_str(ulid), NULL))
        return dz_fail(err, DZ_ABSENT, "'%.60s' is not the long id of a job", ulid);
    enum dz_rc rc = parcel_open(bytes, &parcel, err);
    if (rc == DZ_OK)
        rc = adopt_check(parcel.head, err);
    if (rc != DZ_OK)
        return rc;
    const struct shard *share = shard_of(parcel.head, &shard) ? &shard : NULL;
    rc = check_uri(ulid, shard.uri, shard.uri, uri, err);
    if (rc == DZ_OK)
        rc = adopt_place(self->store, ulid, parcel.head, share, &place, err);
    if (rc == DZ_OK)
        rc = open_job(self, &place, &parcel, uri, &entry, err);
    if (rc != DZ_OK)
        return rc;
    if (share)
        rc = shard_note(entry->job, ulid, share, err);
    if (rc == DZ_OK)
        rc = take_all(self, entry, &parcel, share, &receipt, err);
    if (rc == DZ_OK)
        *out = receipt;
    else
        forget(entry); /* what it holds may not be on disk */
    return rc;
}

enum dz_rc
store_inbox_end(struct store_inbox *self, const char *ulid, struct dz_err *err)
{
    struct entry *entry = find(self, ulid);
    if (entry)
        return store_job_seal_witnessed(entry->job, err);
    DZ_AUTO(head_release) json_t *head = NULL;
    DZ_AUTO(store_job_close) struct store_job *job = NULL;
    enum dz_rc rc = stored_head(self, ulid, &head, err);
    struct shard_place place;
    if (rc == DZ_OK)
        rc = adopt_place(self->store, ulid, head, NULL, &place, err);
    if (rc == DZ_OK)
        rc = adopt_job(self->store, &place, head, &job, err);
    if (rc == DZ_OK)
        rc = store_job_seal_witnessed(job, err);
    return rc == DZ_ABSENT ? DZ_OK : rc;
}
