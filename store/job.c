/* job.c - beginning a job, and taking one up again. */
#include "store/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "shared/base/digest.h"
#include "store/shards.h"
#include "store/zone.h"

static const char *
or_empty(const char *text)
{
    return text ? text : "";
}

void
short_id_write(uint32_t day, uint32_t n, uint32_t today, char out[STORE_SHORT_MAX])
{
    uint32_t year = day / 10000, month_day = day % 10000;
    bool is_this_year = day <= today && day + 10000 > today; /* the most recent such day */
    if (day == today)
        (void) snprintf(out, STORE_SHORT_MAX, "j%u", n);
    else if (is_this_year)
        (void) snprintf(out, STORE_SHORT_MAX, "j%04u.%u", month_day, n);
    else
        (void) snprintf(out, STORE_SHORT_MAX, "j%04u-%04u.%u", year, month_day, n);
}

void
job_set_tests(struct store_job *self, const char *list, uint32_t count)
{
    free(self->hashes);
    self->hashes = dz_alloc0((size_t) count + 1, sizeof(*self->hashes));
    (void) snprintf(self->list, sizeof(self->list), "%s", list);
    if (!self->has_manifest) {
        ledger_fini(&self->ledger);
        ledger_init(&self->ledger, count);
        self->next = 0;
    } else {
        self->is_doubtful |= self->ledger.strangers > 0; /* they are known now: read again */
        ledger_grow(&self->ledger, count);
    }
    self->has_manifest = true;
    self->test_count = count;
}

void
store_job_close(struct store_job **self_p)
{
    struct store_job *self = dz_move(*self_p);
    if (!self)
        return;
    ledger_fini(&self->ledger);
    free(self->hashes);
    free(self->marks);
    free(self->profile);
    free(self);
}

const char *
store_job_ulid(const struct store_job *self)
{
    return self->ulid;
}

const char *
store_job_short(const struct store_job *self)
{
    return self->short_id;
}

/* ---- begin ---- */

struct beginning {
    struct store_job *job;
    const struct store_begin *begin;
    uint32_t day;
    const json_t *from; /* borrowed: the head that another store has; NULL: the job is ours */
    uint64_t origin;    /* names this store's copy among all that are sent to one place */
};

/* One more than the last of that project and day. */
static enum dz_rc
next_number(struct dz_kv_txn *txn, uint32_t project, uint32_t day, uint32_t *n_out,
            struct dz_err *err)
{
    struct key prefix = { .len = 0 };
    struct dz_slice key, value;
    key_add_number(&prefix, project, 4);
    key_add_number(&prefix, day, 4);
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, txn, T_INDEX, key_slice(&prefix));
    *n_out = dz_kv_prev(&it, &key, &value) ? (uint32_t) number_at(key, prefix.len, 4) + 1 : 1;
    return dz_kv_iter_rc(&it, err);
}

static json_t *
new_head(const struct beginning *b, uint32_t n)
{
    const struct store_begin *begin = b->begin;
    json_t *head = json_object();
    const struct {
        const char *key, *text;
    } texts[] = {
        { "uri", begin->uri },           { "timezone", begin->timezone },
        { "profile", begin->profile },   { "commit", begin->commit },
        { "command", begin->command },   { "versions", begin->versions },
        { "rootdir", begin->rootdir },   { "manifest", "" },
        { "previous", begin->previous }, { "step", begin->step },
    };
    for (size_t i = 0; i < DZ_LEN(texts); i++)
        (void) json_object_set_new(head, texts[i].key, json_text(or_empty(texts[i].text)));
    const struct {
        const char *key;
        int64_t number;
    } numbers[] = {
        { "project", b->job->project },
        { "day", b->day },
        { "n", n },
        { "start_us", begin->now_us },
        { "workers", begin->workers },
        { "node_total", begin->node_total },
        { "is_dirty", begin->is_dirty },
        { "is_sealed", 0 },
        { "generation", begin->generation },
        { "ci_job", (int64_t) begin->ci_job },
        { "shard_index", begin->shard_index },
        { "shard_total", begin->shard_total },
    };
    for (size_t i = 0; i < DZ_LEN(numbers); i++)
        (void) json_object_set_new(head, numbers[i].key, json_integer(numbers[i].number));
    (void) json_object_set_new(head, "origin", json_integer((json_int_t) b->origin));
    bool is_of_shards = b->from && begin->shard_total > 1; /* each of them is a writer */
    if (is_of_shards)
        shards_begin(head, begin->shard_total);
    if (is_of_shards)
        (void) json_object_set_new(head, "host", json_text(head_text(b->from, "host")));
    else if (b->from)
        writer_copy(head, b->from);
    else
        writer_note(head);
    return head;
}

static enum dz_rc
put_index(struct dz_kv_txn *txn, const struct beginning *b, uint32_t n, struct dz_err *err)
{
    struct key index = { .len = 0 }, commit = { .len = 0 };
    struct dz_slice ulid = dz_str(b->job->ulid), hex = dz_str(or_empty(b->begin->commit));
    key_add_number(&index, b->job->project, 4);
    key_add_number(&index, b->day, 4);
    key_add_number(&index, n, 4);
    enum dz_rc rc = dz_kv_put(txn, T_INDEX, key_slice(&index), ulid, err);
    if (rc != DZ_OK || hex.len == 0 || hex.len > 64)
        return rc;
    key_add_number(&commit, b->job->project, 4);
    key_add(&commit, hex.ptr, hex.len);
    key_add(&commit, ulid.ptr, ulid.len);
    return dz_kv_put(txn, T_COMMIT, key_slice(&commit), dz_str(""), err);
}

static enum dz_rc
begin_job(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct beginning *b = arg;
    struct store_job *job = b->job;
    struct dz_slice there;
    uint32_t n = 0;
    enum dz_rc rc = dz_kv_get(txn, T_JOB, dz_str(job->ulid), &there, err);
    if (rc != DZ_ABSENT)
        return rc == DZ_OK ? dz_fail(err, DZ_EXISTS, "job %s is there already", job->ulid) : rc;
    rc = project_make(txn, or_empty(b->begin->uri), &job->project, err);
    if (rc == DZ_OK)
        rc = next_number(txn, job->project, b->day, &n, err);
    if (rc == DZ_OK)
        rc = put_index(txn, b, n, err);
    if (rc == DZ_OK)
        rc = shards_note_meeting(txn, job->project, b->begin, job->ulid, err);
    if (rc != DZ_OK)
        return rc;
    DZ_AUTO(head_release) json_t *head = new_head(b, n);
    short_id_write(b->day, n, b->day, job->short_id);
    return head_write(txn, job->ulid, head, err);
}

enum dz_rc
store_new_ulid(int64_t now_us, char out[STORE_ULID_LEN + 1], struct dz_err *err)
{
    uint8_t chance[DZ_ULID_CHANCE];
    if (getrandom(chance, sizeof(chance), 0) != (ssize_t) sizeof(chance))
        return dz_fail_errno(err, "get random bytes");
    dz_ulid_make(now_us > 0 ? now_us / 1000 : 0, chance, out);
    return DZ_OK;
}

static enum dz_rc
begin_as(struct store *self, const struct store_begin *begin, const json_t *from,
         struct store_job **job_out, struct dz_err *err)
{
    DZ_AUTO(store_job_close) struct store_job *job = dz_alloc0(1, sizeof(*job));
    DZ_AUTO(zone_destroy) struct zone *zone = zone_new(or_empty(begin->timezone));
    struct beginning b = {
        .job = job, .begin = begin, .day = zone_day(zone, begin->now_us), .from = from
    };
    if (getrandom(&b.origin, sizeof(b.origin), 0) != (ssize_t) sizeof(b.origin))
        return dz_fail_errno(err, "get random bytes");
    job->store = self;
    job->profile = dz_strdup(or_empty(begin->profile));
    enum dz_rc rc = DZ_OK;
    if (begin->ulid)
        (void) snprintf(job->ulid, sizeof(job->ulid), "%s", begin->ulid);
    else
        rc = store_new_ulid(begin->now_us, job->ulid, err);
    if (rc == DZ_OK)
        rc = dz_kv_write(self->kv, begin_job, &b, err);
    if (rc == DZ_OK)
        *job_out = dz_move(job);
    return rc;
}

enum dz_rc
store_job_begin(struct store *self, const struct store_begin *begin, struct store_job **job_out,
                struct dz_err *err)
{
    return begin_as(self, begin, NULL, job_out, err);
}

/* ---- reopen ---- */

enum dz_rc
job_read_list(struct store_job *self, struct dz_kv_txn *txn, const json_t *head, struct dz_err *err)
{
    struct manifest manifest = { 0 };
    const char *name = head_text(head, "manifest");
    if (!*name || strcmp(name, self->list) == 0)
        return DZ_OK; /* nobody has collected yet, or it is known */
    enum dz_rc rc = manifest_read(self->store, txn, name, &manifest, err);
    if (rc != DZ_OK)
        return rc;
    job_set_tests(self, name, manifest.count);
    for (uint32_t i = 0; i < manifest.count; i++)
        self->hashes[i] = dz_hash64(manifest_id(&manifest, i));
    manifest_fini(&manifest);
    return DZ_OK;
}

static enum dz_rc
reopen_job(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct beginning *b = arg;
    struct store_job *job = b->job;
    DZ_AUTO(head_release) json_t *head = NULL;
    enum dz_rc rc = head_read(txn, job->ulid, &head, err);
    if (rc != DZ_OK)
        return rc;
    free(job->profile);
    job->profile = dz_strdup(head_text(head, "profile"));
    job->project = (uint32_t) head_number(head, "project");
    job->is_sealed = head_number(head, "is_sealed");
    job->is_witnessed = head_number(head, "is_witnessed");
    b->day = (uint32_t) head_number(head, "day");
    short_id_write(b->day, (uint32_t) head_number(head, "n"), b->day, job->short_id);
    rc = job_read_list(job, txn, head, err);
    job->is_doubtful = true;
    if (rc == DZ_OK)
        rc = job_follow(job, txn, err);
    if (rc != DZ_OK || job->is_sealed || b->from)
        return rc;
    writer_note(head);
    return head_write(txn, job->ulid, head, err);
}

static enum dz_rc
reopen_as(struct store *self, const char *ulid, const json_t *from, struct store_job **job_out,
          struct dz_err *err)
{
    if (!dz_ulid_read(dz_str(ulid), NULL))
        return dz_fail(err, DZ_ABSENT, "'%.60s' is not the long id of a job", ulid);
    DZ_AUTO(store_job_close) struct store_job *job = dz_alloc0(1, sizeof(*job));
    job->store = self;
    memcpy(job->ulid, ulid, DZ_ULID_LEN);
    struct beginning b = { .job = job, .from = from };
    enum dz_rc rc = from ? dz_kv_read(self->kv, reopen_job, &b, err)
                         : dz_kv_write(self->kv, reopen_job, &b, err);
    if (rc == DZ_OK)
        *job_out = dz_move(job);
    return rc;
}

enum dz_rc
store_job_reopen(struct store *self, const char *ulid, struct store_job **job_out,
                 struct dz_err *err)
{
    return reopen_as(self, ulid, NULL, job_out, err);
}

enum dz_rc
job_adopt(struct store *self, const struct store_begin *begin, const json_t *head,
          struct store_job **job_out, struct dz_err *err)
{
    enum dz_rc rc = reopen_as(self, begin->ulid, head, job_out, err);
    if (rc != DZ_ABSENT || !dz_ulid_read(dz_str(begin->ulid), NULL))
        return rc;
    return begin_as(self, begin, head, job_out, err);
}

/* ---- following the log ---- */

struct mark *
job_mark(struct store_job *self, uint64_t source)
{
    for (size_t i = self->mark_count; i-- > 0;) /* the newest streams speak most */
        if (self->marks[i].source == source)
            return &self->marks[i];
    if (self->mark_count == self->mark_cap) {
        self->mark_cap = self->mark_cap ? self->mark_cap * 2 : 16;
        self->marks = dz_realloc(self->marks, self->mark_cap, sizeof(*self->marks));
    }
    self->marks[self->mark_count] = (struct mark){ .source = source };
    return &self->marks[self->mark_count++];
}

static enum dz_rc
read_marks(struct store_job *self, struct dz_kv_txn *txn, struct dz_err *err)
{
    struct dz_slice key, value;
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, txn, T_MARK, dz_str(self->ulid));
    self->mark_count = 0;
    while (dz_kv_next(&it, &key, &value))
        job_mark(self, number_at(key, DZ_ULID_LEN, 8))->seq = number_at(value, 0, 8);
    return dz_kv_iter_rc(&it, err);
}

/* Another process made the list grow, and counted some of the new tests: once more, with them. */
static enum dz_rc
follow_list(struct store_job *self, struct dz_kv_txn *txn, struct dz_err *err)
{
    DZ_AUTO(head_release) json_t *head = NULL;
    uint32_t before = self->test_count;
    enum dz_rc rc = head_read(txn, self->ulid, &head, err);
    if (rc == DZ_OK)
        rc = job_read_list(self, txn, head, err);
    if (rc != DZ_OK || self->test_count == before)
        return rc;
    ledger_clear(&self->ledger);
    struct follower follower = { .store = self->store, .ledger = &self->ledger };
    rc = results_follow(txn, self->ulid, &follower, err);
    self->next = follower.next;
    self->is_doubtful = false;
    return rc;
}

enum dz_rc
job_follow(struct store_job *self, struct dz_kv_txn *txn, struct dz_err *err)
{
    if (self->is_doubtful) {
        ledger_clear(&self->ledger);
        self->next = 0;
        enum dz_rc rc = read_marks(self, txn, err);
        if (rc != DZ_OK)
            return rc;
        self->is_doubtful = false;
    }
    struct follower follower = { .store = self->store,
                                 .next = self->next,
                                 .ledger = &self->ledger };
    enum dz_rc rc = results_follow(txn, self->ulid, &follower, err);
    self->next = follower.next;
    return rc == DZ_OK && self->ledger.strangers > 0 ? follow_list(self, txn, err) : rc;
}

enum dz_rc
job_catch_up(struct store_job *self, struct dz_kv_txn *txn, json_t **head_out, struct dz_err *err)
{
    enum dz_rc rc = head_read(txn, self->ulid, head_out, err);
    if (rc == DZ_OK)
        rc = job_read_list(self, txn, *head_out, err);
    return rc == DZ_OK ? job_follow(self, txn, err) : rc;
}

/* ---- the ledger, for the agent ---- */

struct row_reader {
    struct store_job *job;
    struct dz_buf rows;
};

static enum dz_rc
follow(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    return job_follow(arg, txn, err);
}

uint64_t
store_job_seen(struct store_job *self, uint64_t source)
{
    struct dz_err unused;
    if (self->is_doubtful && dz_kv_read(self->store->kv, follow, self, &unused) != DZ_OK)
        return 0; /* a repeat does no harm, a gap would */
    for (size_t i = 0; i < self->mark_count; i++)
        if (self->marks[i].source == source)
            return self->marks[i].seq;
    return 0;
}

enum dz_rc
store_job_ledger(struct store_job *self, struct store_ledger *out, struct dz_err *err)
{
    enum dz_rc rc = dz_kv_read(self->store->kv, follow, self, err);
    if (rc == DZ_OK)
        ledger_sum(&self->ledger, out);
    return rc;
}

static enum dz_rc
read_rows(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct row_reader *reader = arg;
    struct follower follower = { .store = reader->job->store, .rows = &reader->rows };
    dz_buf_clear(&reader->rows);
    return results_follow(txn, reader->job->ulid, &follower, err);
}

enum dz_rc
store_job_each_row(struct store_job *self, store_row_fn *fn, void *arg, struct dz_err *err)
{
    struct row_reader reader = { .job = self };
    enum dz_rc rc = dz_kv_read(self->store->kv, read_rows, &reader, err);
    struct packed_result row;
    for (size_t at = 0; rc == DZ_OK && at + sizeof(row) <= reader.rows.len; at += sizeof(row)) {
        memcpy(&row, reader.rows.data + at, sizeof(row));
        struct store_result result = unpack_result(&row);
        fn(arg, &result);
    }
    dz_buf_fini(&reader.rows);
    return rc;
}
