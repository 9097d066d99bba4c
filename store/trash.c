/* trash.c - removing a job.
 *
 * One commit takes it out of every list and leaves a note in TRASH; its rows go afterwards, in
 * pieces, and the note last.  So a kill in between leaves nothing that is never cleared away. */
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "store/shards.h"
#include "store/tidy.h"

enum { NOTES_AT_ONCE = 256, NAME_MAX_LEN = 40 };

static const unsigned row_tables[] = { T_BATCH, T_SEGMENT, T_CONTENTS, T_TEXT, T_MARK, T_SHARD };

/* ---- out of the lists ---- */

static enum dz_rc
allow_absent(enum dz_rc rc)
{
    return rc == DZ_ABSENT ? DZ_OK : rc;
}

static enum dz_rc
discard(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    const char *ulid = arg;
    DZ_AUTO(head_release) json_t *head = NULL;
    struct key index = { .len = 0 }, commit = { .len = 0 };
    enum dz_rc rc = head_read(txn, ulid, &head, err);
    if (rc != DZ_OK)
        return rc;
    uint32_t project = (uint32_t) head_number(head, "project");
    struct dz_slice hex = dz_str(head_text(head, "commit"));
    key_add_number(&index, project, 4);
    key_add_number(&index, (uint64_t) head_number(head, "day"), 4);
    key_add_number(&index, (uint64_t) head_number(head, "n"), 4);
    rc = allow_absent(dz_kv_del(txn, T_INDEX, key_slice(&index), err));
    if (rc == DZ_OK && hex.len > 0 && hex.len <= 64) {
        key_add_number(&commit, project, 4);
        key_add(&commit, hex.ptr, hex.len);
        key_add(&commit, ulid, DZ_ULID_LEN);
        rc = allow_absent(dz_kv_del(txn, T_COMMIT, key_slice(&commit), err));
    }
    if (rc == DZ_OK)
        rc = shards_forget(txn, ulid, head, err);
    if (rc == DZ_OK)
        rc = dz_kv_put(txn, T_TRASH, dz_str(ulid), dz_str(head_text(head, "manifest")), err);
    return rc == DZ_OK ? dz_kv_del(txn, T_JOB, dz_str(ulid), err) : rc;
}

enum dz_rc
job_discard(struct store *store, const char *ulid, struct dz_err *err)
{
    return dz_kv_write(store->kv, discard, (void *) ulid, err);
}

/* ---- the rows ---- */

struct note {
    char ulid[DZ_ULID_LEN + 1];
    char manifest[NAME_MAX_LEN];
    bool is_used;
};

struct notes {
    struct note *items; /* owned */
    size_t count;
};

static enum dz_rc
read_notes(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct notes *self = arg;
    struct dz_slice key, value;
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, txn, T_TRASH, (struct dz_slice){ 0 });
    self->count = 0;
    while (self->count < NOTES_AT_ONCE && dz_kv_next(&it, &key, &value)) {
        struct note *note = &self->items[self->count++];
        *note = (struct note){ .is_used = false };
        memcpy(note->ulid, key.ptr, key.len < DZ_ULID_LEN ? key.len : DZ_ULID_LEN);
        if (value.len < sizeof(note->manifest) && value.len > 0)
            memcpy(note->manifest, value.ptr, value.len);
    }
    return dz_kv_iter_rc(&it, err);
}

/* Other jobs may have the same list of tests. */
static enum dz_rc
mark_used(struct dz_kv_txn *txn, struct notes *notes, struct dz_err *err)
{
    struct dz_slice key, value;
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, txn, T_JOB, (struct dz_slice){ 0 });
    while (dz_kv_next(&it, &key, &value)) {
        DZ_AUTO(head_release)
        json_t *head = json_loadb((const char *) value.ptr, value.len, 0, NULL);
        const char *manifest = head_text(head, "manifest");
        for (size_t i = 0; i < notes->count; i++)
            notes->items[i].is_used |= !head || strcmp(notes->items[i].manifest, manifest) == 0;
    }
    return dz_kv_iter_rc(&it, err);
}

static enum dz_rc
remove_notes(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct notes *notes = arg;
    enum dz_rc rc = mark_used(txn, notes, err);
    for (size_t i = 0; rc == DZ_OK && i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        if (!note->is_used && note->manifest[0])
            rc = allow_absent(dz_kv_del(txn, T_MANIFEST, dz_str(note->manifest), err));
        if (rc == DZ_OK)
            rc = allow_absent(dz_kv_del(txn, T_TRASH, dz_str(note->ulid), err));
    }
    return rc;
}

static enum dz_rc
remove_rows(struct store *store, const char *ulid, struct dz_err *err)
{
    DZ_AUTO(dz_kv_batch_fini) struct dz_kv_batch batch = { 0 };
    struct key prefix = { .len = 0 };
    key_add(&prefix, ulid, DZ_ULID_LEN);
    enum dz_rc rc = DZ_OK;
    for (size_t i = 0; rc == DZ_OK && i < DZ_LEN(row_tables); i++)
        rc = remove_below(store, row_tables[i], &prefix, NULL, &batch, err);
    return rc;
}

enum dz_rc
trash_empty(struct store *store, int64_t deadline_ms, bool *done_out, struct dz_err *err)
{
    DZ_AUTO(dz_free) struct note *items = dz_alloc0(NOTES_AT_ONCE, sizeof(*items));
    struct notes notes = { .items = items };
    *done_out = false;
    for (;;) {
        enum dz_rc rc = dz_kv_read(store->kv, read_notes, &notes, err);
        if (rc != DZ_OK || notes.count == 0) {
            *done_out = rc == DZ_OK;
            return rc;
        }
        size_t cleared = 0;
        for (; rc == DZ_OK && cleared < notes.count && dz_clock_ms() <= deadline_ms; cleared++)
            rc = remove_rows(store, items[cleared].ulid, err);
        if (rc != DZ_OK)
            return rc;
        bool is_late = cleared < notes.count;
        notes.count = cleared;
        if (cleared > 0)
            rc = dz_kv_write(store->kv, remove_notes, &notes, err);
        if (rc != DZ_OK || is_late)
            return rc;
    }
}
