/* check.c - reading all of a store and comparing it with itself; and putting right what is not.
 *
 * Each pass looks, tells what is wrong, and gathers what would put it right.  store_check() throws
 * that away; store_repair() commits it before the next pass, which then sees it. */
#include "store/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/job.h"
#include "store/texts.h"
#include "store/timeline.h"

/* ---- telling ---- */

DZ_PRINTF(4, 5)
static void
tell(struct checking *self, bool can_repair, const char *ulid, const char *fmt, ...)
{
    struct store_trouble trouble = { .can_repair = can_repair };
    struct store_check *work = self->work;
    va_list args;
    va_start(args, fmt);
    (void) vsnprintf(trouble.text, sizeof(trouble.text), fmt, args);
    va_end(args);
    (void) snprintf(trouble.ulid, sizeof(trouble.ulid), "%.26s", ulid);
    work->troubles++;
    work->repairable += can_repair;
    if (work->on_trouble)
        work->on_trouble(work->arg, &trouble);
}

static void
fix_put(struct checking *self, unsigned table, struct dz_slice key, struct dz_slice value)
{
    if (self->is_repairing)
        dz_kv_batch_put(&self->fixes, table, key, value);
}

static void
fix_del(struct checking *self, unsigned table, struct dz_slice key)
{
    if (self->is_repairing)
        dz_kv_batch_del(&self->fixes, table, key);
}

/* The job lost something: its account is not to be trusted. */
static void
mark_wrong(struct checking *self, const char *ulid, json_t *head)
{
    (void) json_object_set_new(head, "is_ledger_wrong", json_integer(1));
    DZ_AUTO(dz_free) char *text = json_dumps(head, JSON_COMPACT | JSON_SORT_KEYS);
    fix_put(self, T_JOB, dz_str(ulid), dz_str(text));
}

/* ---- pass 1: every value has its sum ---- */

static bool
is_of_job(unsigned table)
{
    return table == T_JOB || table == T_BATCH || table == T_SEGMENT || table == T_CONTENTS ||
           table == T_TEXT || table == T_MARK || table == T_TRASH;
}

static enum dz_rc
check_sums(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct checking *self = arg;
    for (unsigned table = 0; table < TABLES; table++) {
        struct dz_slice key, value;
        DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
        dz_kv_iter_init(&it, txn, table, (struct dz_slice){ 0 });
        it.is_keys_only = true;
        while (dz_kv_next(&it, &key, &value)) {
            self->work->records++;
            enum dz_rc rc = dz_kv_get(txn, table, key, &value, err);
            if (rc == DZ_ABSENT) /* its pages are not in order: whoever asks does not find it */
                return dz_fail(err, DZ_IO, "'%s' is damaged: keys of table '%s' are out of order",
                               self->store->dir, table_name(table));
            if (rc != DZ_CORRUPT)
                continue;
            bool has_ulid = is_of_job(table) && key.len >= DZ_ULID_LEN;
            char ulid[DZ_ULID_LEN + 1] = "";
            if (has_ulid)
                memcpy(ulid, key.ptr, DZ_ULID_LEN);
            tell(self, false, ulid, "a value of table '%s' does not match its checksum",
                 table_name(table));
            fix_del(self, table, key);
        }
        if (dz_kv_iter_rc(&it, err) != DZ_OK) /* no value was looked at: the file's own structure */
            return DZ_IO;
    }
    return DZ_OK;
}

/* ---- pass 2: jobs ---- */

static const struct kind {
    enum batch_kind kind;
    const char *name;
    size_t packed;
    const struct column_set *set;
} KINDS[] = {
    { BATCH_RESULTS, "results", sizeof(struct packed_result), &RESULT_COLUMNS },
    { BATCH_LOGS, "logs", sizeof(struct packed_log), &MOMENT_COLUMNS },
    { BATCH_SPANS, "spans", sizeof(struct packed_span), &MOMENT_COLUMNS },
    { BATCH_TEXTS, "texts", sizeof(struct packed_text), &TEXT_COLUMNS },
};

struct job_work {
    struct checking *all;
    struct dz_kv_txn *txn;
    const char *ulid;
    json_t *head;
    bool has_lost;
};

static enum dz_rc
check_batches(struct job_work *self, const struct kind *kind, struct dz_err *err)
{
    struct key prefix = { .len = 0 };
    struct dz_slice key, value, records, text;
    struct batch_head head;
    batch_key(&prefix, (const uint8_t *) self->ulid, kind->kind);
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, self->txn, T_BATCH, key_slice(&prefix));
    while (dz_kv_next(&it, &key, &value)) {
        DZ_AUTO(dz_buf_fini) struct dz_buf raw = { 0 };
        bool is_ok = batch_open(value, kind->packed, &head, &records, &text) &&
                     (head.raw_len == 0 ||
                      unzip_add(self->all->store, text, head.raw_len, &raw, err) == DZ_OK);
        if (is_ok)
            continue;
        tell(self->all, false, self->ulid, "a batch of %s cannot be read", kind->name);
        fix_del(self->all, T_BATCH, key);
        self->has_lost = true;
    }
    return dz_kv_iter_rc(&it, err);
}

static bool
is_segment_ok(struct job_work *self, const struct kind *kind, const struct segment_info *info,
              uint32_t number)
{
    struct dz_err unused;
    struct dz_slice value;
    struct segment segment;
    DZ_AUTO(dz_buf_fini) struct dz_buf records = { 0 };
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    struct store *store = self->all->store;
    return contents_segment(self->txn, self->ulid, kind->kind, number, &value, &unused) == DZ_OK &&
           segment_open(value, kind->set, &segment) && segment.count == info->count &&
           segment_records(store, &segment, kind->set, &records, &unused) == DZ_OK &&
           segment_text(store, &segment, &text, &unused) == DZ_OK;
}

/* Its number stays, so that the others keep theirs. */
static void
empty_segment(struct job_work *self, const struct kind *kind, struct contents *contents,
              uint32_t number)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf value = { 0 };
    struct key key = { .len = 0 };
    contents->head.records -= contents->infos[number].count;
    contents->infos[number].count = 0;
    segment_key(&key, self->ulid, kind->kind, number);
    segment_pack(self->all->store, kind->set, "", 0, (struct dz_slice){ 0 }, &value);
    fix_put(self->all, T_SEGMENT, key_slice(&key), dz_buf_slice(&value));
}

static enum dz_rc
check_segments(struct job_work *self, const struct kind *kind, struct dz_err *err)
{
    DZ_AUTO(contents_fini) struct contents contents = { .infos = NULL };
    struct key key = { .len = 0 };
    bool has_bad = false;
    contents_key(&key, self->ulid, kind->kind);
    enum dz_rc rc =
        contents_read(self->all->store, self->txn, self->ulid, kind->kind, &contents, err);
    if (rc == DZ_CORRUPT) {
        tell(self->all, false, self->ulid, "the contents of its %s cannot be read", kind->name);
        fix_del(self->all, T_CONTENTS, key_slice(&key));
        self->has_lost = true;
    }
    for (uint32_t i = 0; rc == DZ_OK && i < contents.head.segments; i++) {
        if (is_segment_ok(self, kind, &contents.infos[i], i))
            continue;
        tell(self->all, false, self->ulid, "%u records of its %s cannot be read",
             contents.infos[i].count, kind->name);
        empty_segment(self, kind, &contents, i);
        has_bad = true;
    }
    self->has_lost |= has_bad;
    if (has_bad) {
        DZ_AUTO(dz_buf_fini) struct dz_buf value = { 0 };
        contents_pack(self->all->store, &contents, &value);
        fix_put(self->all, T_CONTENTS, key_slice(&key), dz_buf_slice(&value));
    }
    return rc == DZ_CORRUPT ? DZ_OK : rc;
}

static void
check_lists(struct job_work *self)
{
    struct key index = { .len = 0 }, commit = { .len = 0 };
    struct dz_slice value, hex = dz_str(head_text(self->head, "commit"));
    struct dz_err unused;
    uint64_t project = (uint64_t) head_number(self->head, "project");
    key_add_number(&index, project, 4);
    key_add_number(&index, (uint64_t) head_number(self->head, "day"), 4);
    key_add_number(&index, (uint64_t) head_number(self->head, "n"), 4);
    enum dz_rc rc = dz_kv_get(self->txn, T_INDEX, key_slice(&index), &value, &unused);
    bool is_other = rc == DZ_OK && !dz_slice_eq(value, dz_str(self->ulid));
    if (rc != DZ_OK)
        fix_put(self->all, T_INDEX, key_slice(&index), dz_str(self->ulid));
    if (rc != DZ_OK || is_other)
        tell(self->all, !is_other, self->ulid, "its short id leads %s",
             is_other ? "to another job" : "nowhere");
    if (hex.len == 0 || hex.len > 64)
        return;
    key_add_number(&commit, project, 4);
    key_add(&commit, hex.ptr, hex.len);
    key_add(&commit, self->ulid, DZ_ULID_LEN);
    if (dz_kv_get(self->txn, T_COMMIT, key_slice(&commit), &value, &unused) == DZ_OK)
        return;
    tell(self->all, true, self->ulid, "it is not among the jobs of its commit");
    fix_put(self->all, T_COMMIT, key_slice(&commit), (struct dz_slice){ 0 });
}

/* The ledger is what the results say; a seal that says otherwise is marked as wrong. */
static void
check_ledger(struct job_work *self)
{
    struct manifest manifest = { 0 };
    struct store_ledger sum;
    struct ledger ledger;
    struct dz_err err;
    const char *name = head_text(self->head, "manifest");
    bool was_wrong = head_number(self->head, "is_ledger_wrong");
    if (manifest_read(self->all->store, self->txn, name, &manifest, &err) != DZ_OK) {
        tell(self->all, false, self->ulid, "its list of tests is gone: %.120s", err.text);
        return;
    }
    ledger_init(&ledger, manifest.count);
    manifest_fini(&manifest);
    struct follower follower = { .store = self->all->store, .ledger = &ledger };
    enum dz_rc rc = results_follow(self->txn, self->ulid, &follower, &err);
    ledger_sum(&ledger, &sum);
    ledger_fini(&ledger);
    bool is_sealed = head_number(self->head, "is_sealed");
    bool is_wrong =
        rc != DZ_OK || (is_sealed && (head_number(self->head, "counted") != sum.counted ||
                                      (uint64_t) head_number(self->head, "digest") != sum.digest));
    if (is_wrong && !was_wrong)
        tell(self->all, false, self->ulid,
             "its account says %" PRId64 " results, its ledger has %u",
             head_number(self->head, "counted"), sum.counted);
    if ((is_wrong || self->has_lost) && !was_wrong)
        mark_wrong(self->all, self->ulid, self->head);
}

static enum dz_rc
check_job(struct checking *all, struct dz_kv_txn *txn, const char *ulid, struct dz_err *err)
{
    DZ_AUTO(head_release) json_t *head = NULL;
    enum dz_rc rc = head_read(txn, ulid, &head, err);
    if (rc == DZ_CORRUPT) {
        tell(all, false, ulid, "its record cannot be read");
        fix_del(all, T_JOB, dz_str(ulid));
        return DZ_OK;
    }
    if (rc != DZ_OK)
        return rc;
    struct job_work work = { .all = all, .txn = txn, .ulid = ulid, .head = head };
    all->work->jobs++;
    check_lists(&work);
    for (size_t i = 0; rc == DZ_OK && i < DZ_LEN(KINDS); i++) {
        rc = check_batches(&work, &KINDS[i], err);
        if (rc == DZ_OK)
            rc = check_segments(&work, &KINDS[i], err);
    }
    if (rc == DZ_OK)
        check_ledger(&work);
    return rc;
}

static enum dz_rc
check_jobs(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct checking *self = arg;
    struct dz_slice key, value;
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, txn, T_JOB, (struct dz_slice){ 0 });
    it.is_keys_only = true;
    while (dz_kv_next(&it, &key, &value)) {
        char ulid[DZ_ULID_LEN + 1] = "";
        memcpy(ulid, key.ptr, key.len < DZ_ULID_LEN ? key.len : DZ_ULID_LEN);
        enum dz_rc rc = check_job(self, txn, ulid, err);
        if (rc != DZ_OK && rc != DZ_CORRUPT)
            return rc; /* what is CORRUPT was told by the first pass */
    }
    return dz_kv_iter_rc(&it, err);
}

/* ---- pass 3: what belongs to no job ---- */

static bool
has_job(struct dz_kv_txn *txn, struct dz_slice ulid)
{
    struct dz_err unused;
    struct dz_slice value;
    return dz_kv_get(txn, T_JOB, ulid, &value, &unused) != DZ_ABSENT ||
           dz_kv_get(txn, T_TRASH, ulid, &value, &unused) != DZ_ABSENT;
}

/* Lists that name a job that is not there. */
static enum dz_rc
check_names(struct checking *self, struct dz_kv_txn *txn, unsigned table, struct dz_err *err)
{
    struct dz_slice key, value;
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, txn, table, (struct dz_slice){ 0 });
    while (dz_kv_next(&it, &key, &value)) {
        struct dz_slice ulid = value;
        if (table == T_COMMIT)
            ulid = key.len < DZ_ULID_LEN
                       ? (struct dz_slice){ 0 }
                       : (struct dz_slice){ key.ptr + key.len - DZ_ULID_LEN, DZ_ULID_LEN };
        if (ulid.len == DZ_ULID_LEN && has_job(txn, ulid))
            continue;
        tell(self, true, "", "a list of %s names a job that is not there",
             table == T_COMMIT ? "commits" : "short ids");
        fix_del(self, table, key);
    }
    return dz_kv_iter_rc(&it, err);
}

/* Rows of a job that is not there: its own record was lost.  They are cleared away as trash. */
static enum dz_rc
check_orphans(struct checking *self, struct dz_kv_txn *txn, unsigned table, struct dz_err *err)
{
    struct dz_slice key, value;
    char last[DZ_ULID_LEN + 1] = "";
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, txn, table, (struct dz_slice){ 0 });
    it.is_keys_only = true;
    while (dz_kv_next(&it, &key, &value)) {
        struct dz_slice ulid = { key.ptr, DZ_ULID_LEN };
        if (key.len < DZ_ULID_LEN || dz_slice_eq(ulid, dz_str(last)) || has_job(txn, ulid))
            continue;
        memcpy(last, ulid.ptr, DZ_ULID_LEN);
        tell(self, true, last, "rows of table '%s' are of a job that is not there",
             table_name(table));
        fix_put(self, T_TRASH, ulid, (struct dz_slice){ 0 });
    }
    return dz_kv_iter_rc(&it, err);
}

static enum dz_rc
check_rest(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    static const unsigned of_jobs[] = { T_BATCH, T_SEGMENT, T_CONTENTS, T_TEXT, T_MARK, T_SHARD };
    enum dz_rc rc = check_names(arg, txn, T_INDEX, err);
    if (rc == DZ_OK)
        rc = check_names(arg, txn, T_COMMIT, err);
    for (size_t i = 0; rc == DZ_OK && i < DZ_LEN(of_jobs); i++)
        rc = check_orphans(arg, txn, of_jobs[i], err);
    return rc;
}

/* ---- all ---- */

enum dz_rc
check_all(struct checking *self, struct dz_err *err)
{
    static dz_kv_fn *const passes[] = { check_sums, check_jobs, check_rest };
    struct store_check *work = self->work;
    work->jobs = work->records = 0;
    work->troubles = work->repairable = 0;
    for (size_t i = 0; i < DZ_LEN(passes); i++) {
        enum dz_rc rc = dz_kv_read(self->store->kv, passes[i], self, err);
        if (rc == DZ_CORRUPT && !self->is_repairing)
            rc = DZ_OK; /* what is behind a bad value cannot be compared; it was told */
        if (rc == DZ_OK && self->is_repairing)
            rc = dz_kv_batch_commit(&self->fixes, self->store->kv, err);
        if (rc != DZ_OK)
            return rc;
    }
    return DZ_OK;
}
