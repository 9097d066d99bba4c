/* tidy.h - what keeps a store small.  Only for this folder; care.h is what others call. */
#ifndef DZ_STORE_TIDY_H
#define DZ_STORE_TIDY_H

#include "store/care.h"
#include "store/contents.h"

/* Make segments of all batches of a job.  *done_out: false when the time was up first.  The caller
 * holds the tidy lock. */
DZ_MUST_USE enum dz_rc job_compact(struct store *store, const char *ulid, int64_t deadline_ms,
                                   bool *done_out, struct dz_err *err);

/* Delete the keys from `prefix` on, below `end` (NULL: all with the prefix), in pieces; what is in
 * `batch` already goes with the first. */
DZ_MUST_USE enum dz_rc remove_below(struct store *store, unsigned table, const struct key *prefix,
                                    const struct key *end, struct dz_kv_batch *batch,
                                    struct dz_err *err);

/* A job's end as far as it is known, and whether somebody may still write to it. */
struct job_age {
    int64_t end_us;
    uint32_t project;
    bool is_sealed, is_running;
    uint32_t shards, shards_there; /* of a job that was never complete */
    char uri[256];                 /* its beginning */
};
DZ_MUST_USE enum dz_rc job_age(struct dz_kv_txn *txn, const char *ulid, int64_t now_us,
                               struct job_age *out, struct dz_err *err);

/* Out of every list at once; its rows follow in trash_empty(). */
DZ_MUST_USE enum dz_rc job_discard(struct store *store, const char *ulid, struct dz_err *err);
DZ_MUST_USE enum dz_rc trash_empty(struct store *store, int64_t deadline_ms, bool *done_out,
                                   struct dz_err *err);

/* As store_open(), but a damaged one is neither looked for nor put aside: for who repairs it. */
DZ_MUST_USE enum dz_rc store_open_unchecked(const char *home, enum store_mode mode,
                                            struct store **self_out, struct dz_err *err);
DZ_MUST_USE enum dz_rc store_open_tables(const char *dir, bool is_readonly, struct dz_kv **out,
                                         struct dz_err *err);
const char *table_name(unsigned table);

/* Bring what an earlier version wrote to this one. */
DZ_MUST_USE enum dz_rc store_migrate(struct store *store, long version, struct dz_err *err);

#endif
