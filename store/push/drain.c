#include "store/push/drain.h"

#include <stdlib.h>
#include <string.h>

enum { PARCELS_MAX = 1 << 20 /* of one folder; each brings at least one record */ };

static bool
is_done(const struct store_at *total, bool is_sealed, const struct store_receipt *receipt)
{
    for (unsigned i = 0; i < STORE_STREAMS; i++)
        if (receipt->at.count[i] < total->count[i])
            return false;
    return receipt->is_sealed || !is_sealed;
}

static enum dz_rc
carry(struct store_outbox *from, struct store_inbox *to, const char *ulid,
      struct store_receipt *receipt, struct dz_err *err)
{
    struct store_at total, after;
    bool is_sealed = false;
    DZ_AUTO(dz_buf_fini) struct dz_buf parcel = { 0 };
    enum dz_rc rc = store_outbox_total(from, &total, &is_sealed, err);
    unsigned flags = STORE_HELLO;
    for (unsigned i = 0; rc == DZ_OK && i < PARCELS_MAX; i++) {
        struct store_at at = receipt->at;
        dz_buf_clear(&parcel);
        rc = store_outbox_next(from, &at, flags, STORE_PARCEL_SOFT, &parcel, &after, err);
        if (rc == DZ_OK)
            rc = store_inbox_take(to, ulid, dz_buf_slice(&parcel), NULL, receipt, err);
        if (rc == DZ_OK && is_done(&total, is_sealed, receipt))
            return DZ_OK;
        flags = receipt->wants_list ? STORE_WITH_LIST : 0;
    }
    return rc == DZ_OK ? dz_fail(err, DZ_LIMIT, "job %s does not come to an end", ulid) : rc;
}

enum dz_rc
drain_dir(struct store *into, struct spool_dir *self, bool is_kept, struct store_receipt *out,
          struct dz_err *err)
{
    struct store_outbox *outbox = NULL;
    struct store_receipt receipt = { 0 };
    enum dz_rc rc = store_outbox_open(self->store, self->ulid, &outbox, err);
    if (rc == DZ_OK)
        rc = carry(outbox, store_inbox_of(into), self->ulid, &receipt, err);
    store_outbox_close(&outbox);
    if (rc == DZ_OK) {
        *out = receipt;
        if (!is_kept)
            spool_dir_remove(self);
    }
    spool_dir_close(self);
    return rc;
}

enum dz_rc
drain_hello(struct store *into, const struct spool_dir *self, struct store_receipt *out,
            struct dz_err *err)
{
    static const struct store_at none;
    struct store_at after;
    struct store_outbox *outbox = NULL;
    DZ_AUTO(dz_buf_fini) struct dz_buf parcel = { 0 };
    enum dz_rc rc = store_outbox_open(self->store, self->ulid, &outbox, err);
    if (rc == DZ_OK)
        rc = store_outbox_next(outbox, &none, STORE_HELLO | STORE_IS_LIVE, 0, &parcel, &after, err);
    if (rc == DZ_OK)
        rc = store_inbox_take(store_inbox_of(into), self->ulid, dz_buf_slice(&parcel), NULL, out,
                              err);
    store_outbox_close(&outbox);
    return rc;
}

static bool
is_for(const char *to, const char *const *urls)
{
    if (strcmp(to, "home") == 0)
        return true;
    for (size_t i = 0; urls && urls[i]; i++)
        if (strcmp(to, urls[i]) == 0)
            return true;
    return false;
}

size_t
drain_home(struct store *into, const char *home, const char *const *urls, size_t most,
           drain_note_fn *note, void *arg)
{
    DZ_AUTO(dz_free) char *parent = spool_dir_path(home, "");
    char **paths = NULL;
    size_t count = spool_dirs(parent, &paths), taken = 0;
    for (size_t i = 0; i < count && taken < most; i++) {
        struct spool_dir dir = SPOOL_DIR_NONE;
        struct store_receipt receipt;
        struct dz_err err;
        enum dz_rc rc = spool_dir_open(paths[i], STORE_READ, &dir, &err);
        if (rc == DZ_AGAIN || rc == DZ_ABSENT)
            continue; /* its run is not over; or it was sent just now */
        if (rc == DZ_OK && !is_for(dir.to, urls)) {
            spool_dir_close(&dir);
            continue;
        }
        if (rc == DZ_OK)
            rc = drain_dir(into, &dir, false, &receipt, &err);
        taken += rc == DZ_OK;
        if (note)
            note(arg, paths[i], rc, rc == DZ_OK ? "" : err.text);
    }
    spool_dirs_free(paths, count);
    return taken;
}
