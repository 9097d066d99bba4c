/* tidy.c - making finished jobs small and removing old ones. */
#include "store/tidy.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/fd.h"
#include "store/shards.h"

#define DAY_US   INT64_C(86400000000)
#define QUIET_US DAY_US /* a job that nobody ended and nobody wrote to for so long is over */

enum { ULIDS_AT_ONCE = 64 };

/* ---- one at a time ---- */

/* The lock goes with the process that holds it. */
static enum dz_rc
take_lock(struct store *self, int *fd_out, struct dz_err *err)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf path = { 0 };
    if (self->is_spool)
        return dz_fail(err, DZ_REFUSED, "'%s' is a spool: it is sent on as it is", self->dir);
    dz_buf_addf(&path, "%s/tidy.lock", self->dir);
    dz_buf_add(&path, "", 1);
    int fd = open((char *) path.data, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return dz_fail_errno(err, "open '%s'", (char *) path.data);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        (void) close(fd);
        return dz_fail(err, DZ_AGAIN, "'%s' is being tidied by another process", self->dir);
    }
    *fd_out = fd;
    return DZ_OK;
}

/* ---- what may be kept ---- */

static enum dz_rc
put_retention(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    const struct store_retention *keep = arg;
    struct key value = { .len = 0 };
    key_add_number(&value, keep->days, 4);
    key_add_number(&value, keep->max_bytes, 8);
    return dz_kv_put(txn, T_META, dz_str("retention"), key_slice(&value), err);
}

static enum dz_rc
get_retention(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct store_retention *out = arg;
    struct dz_slice value;
    *out = (struct store_retention){ STORE_KEEP_DAYS, STORE_KEEP_BYTES };
    enum dz_rc rc = dz_kv_get(txn, T_META, dz_str("retention"), &value, err);
    if (rc == DZ_OK && value.len == 12)
        *out =
            (struct store_retention){ (uint32_t) number_at(value, 0, 4), number_at(value, 4, 8) };
    return rc == DZ_ABSENT ? DZ_OK : rc;
}

enum dz_rc
store_retention_set(struct store *self, const struct store_retention *keep, struct dz_err *err)
{
    struct store_retention now;
    enum dz_rc rc = store_retention_get(self, &now, err);
    if (rc != DZ_OK || (now.days == keep->days && now.max_bytes == keep->max_bytes))
        return rc;
    return dz_kv_write(self->kv, put_retention, (void *) keep, err);
}

enum dz_rc
store_retention_get(struct store *self, struct store_retention *out, struct dz_err *err)
{
    return dz_kv_read(self->kv, get_retention, out, err);
}

/* ---- is it over? ---- */

static enum dz_rc
last_written(struct dz_kv_txn *txn, const char *ulid, enum batch_kind kind, int64_t *at,
             struct dz_err *err)
{
    struct key prefix = { .len = 0 };
    struct dz_slice key, value;
    struct contents_head contents;
    struct batch_head batch;
    enum dz_rc rc = contents_head(txn, ulid, kind, &contents, err);
    if (rc != DZ_OK)
        return rc;
    if (contents.written_us > *at)
        *at = contents.written_us;
    batch_key(&prefix, (const uint8_t *) ulid, kind);
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, txn, T_BATCH, key_slice(&prefix));
    if (dz_kv_prev(&it, &key, &value) && value.len >= sizeof(batch)) {
        memcpy(&batch, value.ptr, sizeof(batch));
        if (batch.written_us > *at)
            *at = batch.written_us;
    }
    return dz_kv_iter_rc(&it, err);
}

enum dz_rc
job_age(struct dz_kv_txn *txn, const char *ulid, int64_t now_us, struct job_age *out,
        struct dz_err *err)
{
    DZ_AUTO(head_release) json_t *head = NULL;
    enum dz_rc rc = head_read(txn, ulid, &head, err);
    if (rc != DZ_OK)
        return rc;
    *out = (struct job_age){ .is_sealed = head_number(head, "is_sealed") };
    (void) snprintf(out->uri, sizeof(out->uri), "%s", head_text(head, "uri"));
    out->project = (uint32_t) head_number(head, "project");
    out->end_us = head_number(head, out->is_sealed ? "end_us" : "start_us");
    if (out->is_sealed)
        return DZ_OK;
    if (head_number(head, "heard_us") > out->end_us)
        out->end_us = head_number(head, "heard_us");
    static const enum batch_kind kinds[] = { BATCH_RESULTS, BATCH_LOGS, BATCH_SPANS };
    for (size_t i = 0; rc == DZ_OK && i < DZ_LEN(kinds); i++)
        rc = last_written(txn, ulid, kinds[i], &out->end_us, err);
    /* we ourselves may only have written it for others, who are gone */
    bool has_writer = writers_are_there(txn, ulid, head, out->end_us, now_us) &&
                      head_number(head, "pid") != getpid();
    out->is_running = has_writer || now_us - out->end_us < QUIET_US;
    const json_t *shards = json_object_get(head, "shards");
    out->shards = (uint32_t) head_number(shards, "total");
    out->shards_there = (uint32_t) head_number(shards, "there");
    return rc;
}

struct age_query {
    const char *ulid;
    int64_t now_us;
    struct job_age *out;
    bool is_newest;
};

/* "latest" always means something, and no short id is given twice. */
static enum dz_rc
query_age(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct age_query *q = arg;
    struct key prefix = { .len = 0 };
    struct dz_slice key, value;
    enum dz_rc rc = job_age(txn, q->ulid, q->now_us, q->out, err);
    if (rc != DZ_OK)
        return rc;
    key_add_number(&prefix, q->out->project, 4);
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, txn, T_INDEX, key_slice(&prefix));
    q->is_newest = dz_kv_prev(&it, &key, &value) && dz_slice_eq(value, dz_str(q->ulid));
    return dz_kv_iter_rc(&it, err);
}

/* ---- walking jobs ---- */

/* Distinct long ids at the start of a table's keys, from behind `after` on. */
struct ulids {
    unsigned table;
    char after[DZ_ULID_LEN + 1];
    char found[ULIDS_AT_ONCE][DZ_ULID_LEN + 1];
    size_t count;
};

static enum dz_rc
list_ulids(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct ulids *self = arg;
    struct dz_slice key, value;
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, txn, self->table, (struct dz_slice){ 0 });
    it.is_keys_only = true;
    self->count = 0;
    while (self->count < ULIDS_AT_ONCE) {
        struct key from = { .len = 0 };
        if (self->after[0]) {
            key_add(&from, self->after, DZ_ULID_LEN);
            key_add(&from, "\xff", 1); /* behind all that begins with it */
            dz_kv_iter_seek(&it, key_slice(&from));
        }
        if (!dz_kv_next(&it, &key, &value))
            break;
        if (key.len < DZ_ULID_LEN)
            return dz_fail(err, DZ_CORRUPT, "a key of %zu bytes in the store", key.len);
        memcpy(self->after, key.ptr, DZ_ULID_LEN);
        memcpy(self->found[self->count++], self->after, DZ_ULID_LEN + 1);
    }
    return dz_kv_iter_rc(&it, err);
}

static bool
is_time_left(const struct store_tidy *work, int64_t deadline_ms)
{
    (void) work;
    return dz_clock_ms() <= deadline_ms;
}

struct tidying {
    struct store *store;
    struct store_tidy *work;
    struct store_retention keep;
    int64_t deadline_ms;
};

static void
note_failure(struct tidying *self, const struct dz_err *err)
{
    if (self->work->failed++ == 0)
        (void) snprintf(self->work->first_failure, sizeof(self->work->first_failure), "%.159s",
                        err->text);
}

/* ---- making small ---- */

static enum dz_rc
compact_one(struct tidying *self, const char *ulid, struct dz_err *err)
{
    struct job_age age = { .is_sealed = false };
    struct age_query q = { .ulid = ulid, .now_us = self->work->now_us, .out = &age };
    bool is_done = false;
    enum dz_rc rc = dz_kv_read(self->store->kv, query_age, &q, err);
    int64_t settle_us = self->work->settle_us;
    bool is_fresh = settle_us > 0 && age.end_us > self->work->now_us - settle_us;
    if (rc == DZ_ABSENT || (rc == DZ_OK && (age.is_running || is_fresh)))
        return DZ_OK;
    if (rc == DZ_OK)
        rc = job_compact(self->store, ulid, self->deadline_ms, &is_done, err);
    if (rc == DZ_CORRUPT) {
        note_failure(self, err);
        return DZ_OK; /* the others can still be made small */
    }
    self->work->compacted += is_done;
    return rc;
}

static enum dz_rc
compact_all(struct tidying *self, unsigned table, struct dz_err *err)
{
    DZ_AUTO(dz_free) struct ulids *ulids = dz_alloc0(1, sizeof(*ulids));
    ulids->table = table;
    do {
        enum dz_rc rc = dz_kv_read(self->store->kv, list_ulids, ulids, err);
        for (size_t i = 0; rc == DZ_OK && i < ulids->count; i++) {
            if (!is_time_left(self->work, self->deadline_ms))
                return DZ_OK;
            rc = compact_one(self, ulids->found[i], err);
        }
        if (rc != DZ_OK)
            return rc;
    } while (ulids->count == ULIDS_AT_ONCE);
    return DZ_OK;
}

/* ---- removing ---- */

static enum dz_rc
remove_one(struct tidying *self, const char *ulid, const struct job_age *age, const char *why,
           struct dz_err *err)
{
    bool is_empty = false;
    enum dz_rc rc = job_discard(self->store, ulid, err);
    if (rc != DZ_OK)
        return rc;
    self->work->removed++;
    char text[160];
    if (age->shards > 0)
        (void) snprintf(text, sizeof(text), "%s; it was never complete, %u of %u shards came", why,
                        age->shards_there, age->shards);
    else
        (void) snprintf(text, sizeof(text), "%s", why);
    struct store_removed removed = { .uri = age->uri, .end_us = age->end_us, .why = text };
    memcpy(removed.ulid, ulid, DZ_ULID_LEN);
    if (self->work->on_removed)
        self->work->on_removed(self->work->arg, &removed);
    return trash_empty(self->store, self->deadline_ms, &is_empty, err);
}

/* Why this job has to go, or NULL; *more_out: false when no later job has to. */
static enum dz_rc
judge(struct tidying *self, const struct job_age *age, char why[64], bool *more_out,
      struct dz_err *err)
{
    const struct store_retention *keep = &self->keep;
    struct dz_kv_stat stat;
    *why = '\0';
    *more_out = false;
    if (keep->days && age->end_us < self->work->now_us - keep->days * DAY_US) {
        (void) snprintf(why, 64, "older than %u days", keep->days);
        *more_out = true;
        return DZ_OK;
    }
    if (keep->max_bytes == 0)
        return DZ_OK;
    enum dz_rc rc = dz_kv_stat(self->store->kv, &stat, err);
    if (rc != DZ_OK || stat.used_bytes - stat.free_bytes <= keep->max_bytes)
        return rc;
    (void) snprintf(why, 64, "more than %.1f MiB are kept", (double) keep->max_bytes / 0x1p20);
    *more_out = true;
    return DZ_OK;
}

/* The oldest first.  A job that was begun earlier may have ended later; that does not matter. */
static enum dz_rc
remove_old(struct tidying *self, struct dz_err *err)
{
    DZ_AUTO(dz_free) struct ulids *ulids = dz_alloc0(1, sizeof(*ulids));
    bool is_more = true;
    ulids->table = T_JOB;
    do {
        enum dz_rc rc = dz_kv_read(self->store->kv, list_ulids, ulids, err);
        for (size_t i = 0; rc == DZ_OK && is_more && i < ulids->count; i++) {
            struct job_age age = { .is_sealed = false };
            struct age_query q = { ulids->found[i], self->work->now_us, &age, false };
            char why[64];
            if (!is_time_left(self->work, self->deadline_ms))
                return DZ_OK;
            rc = dz_kv_read(self->store->kv, query_age, &q, err);
            if (rc == DZ_CORRUPT) {
                note_failure(self, err);
                rc = DZ_OK;
                continue;
            }
            if (rc != DZ_OK || age.is_running || q.is_newest)
                continue;
            rc = judge(self, &age, why, &is_more, err);
            if (rc == DZ_OK && *why)
                rc = remove_one(self, ulids->found[i], &age, why, err);
        }
        if (rc != DZ_OK)
            return rc;
    } while (is_more && ulids->count == ULIDS_AT_ONCE);
    return DZ_OK;
}

/* ---- all of it ---- */

static enum dz_rc
put_tidied(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct key value = { .len = 0 };
    key_add_number(&value, (uint64_t) * (int64_t *) arg, 8);
    return dz_kv_put(txn, T_META, dz_str("tidied"), key_slice(&value), err);
}

static enum dz_rc
get_tidied(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct dz_slice value;
    enum dz_rc rc = dz_kv_get(txn, T_META, dz_str("tidied"), &value, err);
    if (rc == DZ_OK)
        *(int64_t *) arg = (int64_t) number_at(value, 0, 8);
    return rc;
}

int64_t
store_tidied_us(struct store *self)
{
    struct dz_err unused;
    int64_t at = 0;
    return dz_kv_read(self->kv, get_tidied, &at, &unused) == DZ_OK ? at : 0;
}

static enum dz_rc
tidy(struct tidying *self, struct dz_err *err)
{
    bool is_empty = false;
    struct store_tidy *work = self->work;
    enum dz_rc rc = trash_empty(self->store, self->deadline_ms, &is_empty, err);
    if (rc == DZ_OK)
        rc = compact_all(self, T_BATCH, err);
    if (rc == DZ_OK)
        rc = compact_all(self, T_TEXT, err);
    if (rc == DZ_OK)
        rc = remove_old(self, err);
    work->is_done = rc == DZ_OK && is_time_left(work, self->deadline_ms);
    if (work->is_done)
        rc = dz_kv_write(self->store->kv, put_tidied, &work->now_us, err);
    return rc;
}

enum dz_rc
store_tidy(struct store *self, struct store_tidy *work, struct dz_err *err)
{
    struct tidying all = { .store = self,
                           .work = work,
                           .deadline_ms = dz_clock_ms() + work->budget_ms };
    struct dz_kv_stat stat = { 0 };
    int lock = -1;
    work->removed = work->compacted = work->failed = 0;
    work->is_done = false;
    enum dz_rc rc = take_lock(self, &lock, err);
    if (rc == DZ_OK)
        rc = store_retention_get(self, &all.keep, err);
    if (rc == DZ_OK)
        rc = tidy(&all, err);
    dz_fd_close(&lock);
    if (rc == DZ_OK)
        rc = dz_kv_stat(self->kv, &stat, err);
    work->file_bytes = stat.used_bytes;
    work->live_bytes = stat.used_bytes - stat.free_bytes;
    return rc;
}

enum dz_rc
store_tidy_job(struct store *self, const char *ulid, unsigned budget_ms, struct dz_err *err)
{
    struct store_tidy work = { .budget_ms = budget_ms };
    struct tidying one = { .store = self, .work = &work, .deadline_ms = dz_clock_ms() + budget_ms };
    int lock = -1;
    enum dz_rc rc = take_lock(self, &lock, err);
    if (rc == DZ_OK)
        rc = compact_one(&one, ulid, err);
    dz_fd_close(&lock);
    if (rc == DZ_OK && work.failed > 0)
        return dz_fail(err, DZ_CORRUPT, "%s", work.first_failure);
    return rc;
}

enum dz_rc
store_job_remove(struct store *self, const char *ulid, int64_t now_us, struct dz_err *err)
{
    struct job_age age = { .is_sealed = false };
    struct age_query q = { ulid, now_us, &age, false };
    bool is_empty = false;
    int lock = -1;
    enum dz_rc rc = take_lock(self, &lock, err);
    if (rc == DZ_OK)
        rc = dz_kv_read(self->kv, query_age, &q, err);
    if (rc == DZ_OK && age.is_running)
        rc = dz_fail(err, DZ_REFUSED, "job %.26s still runs", ulid);
    if (rc == DZ_OK)
        rc = job_discard(self, ulid, err);
    if (rc == DZ_OK)
        rc = trash_empty(self, INT64_MAX, &is_empty, err);
    dz_fd_close(&lock);
    return rc;
}
