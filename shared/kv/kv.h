/* kv.h - tables of bytes on disk, durable when a write returns.  The only door to LMDB.
 *
 * One environment is one directory.  Many processes may have it open, one of them writes at a
 * time, readers never wait and never make a writer wait.  A process opens a directory at most
 * once (closing it a second time would drop the first one's locks) and never uses what it opened
 * before a fork.
 *
 * Writes   A write is a function that runs inside a transaction.  When dz_kv_write() has returned
 *          DZ_OK, everything it put is on the disk (default sync mode: a power cut loses nothing
 *          that was returned).  Batch: one sync for a hundred records costs what one costs for
 *          one.  The function may run more than once (the map had to grow), so it must do nothing
 *          but read, put and delete.
 * Unsynced An environment that is of no use once the machine has gone down need not wait for a disk
 *          (`is_unsynced`): what was returned outlives every process, but after a power cut the
 *          whole of it may be damaged, until dz_kv_sync_from_now().
 * Reads    A read is a function that sees one unchanging moment.  Slices that it gets are valid
 *          until it returns; in a write, until the next put or del.
 * Damage   Every value carries a CRC32C, checked when it is read: DZ_CORRUPT names the table.
 *          LMDB itself can crash on a damaged file, so a directory may first be walked in a child
 *          process that is allowed to die (`check_ms`), and dz_kv_quarantine() moves a bad one
 *          out of the way.
 * Full     The map grows by itself up to `map_limit`; above it, and when the disk is full, a write
 *          returns DZ_FULL, has changed nothing, and reading and deleting still work.
 * Stopped  A writer that is stopped in the middle (Ctrl-Z) must not stop everybody else for ever: a
 *          write waits at most `lock_ms` for its turn, then it is DZ_AGAIN and has changed nothing.
 * Threads  dz_kv_read(), dz_kv_write() and dz_kv_stat() may be called from several threads, not from inside one
 *          another's functions; reads run beside each other and beside a write.  The rest belongs to
 *          one thread. */
#ifndef DZ_SHARED_KV_KV_H
#define DZ_SHARED_KV_KV_H

#include "shared/base/base.h"

struct dz_kv;
struct dz_kv_txn; /* lives as long as the callback it is given to */

enum {
    DZ_KV_TABLES = 24,  /* most tables of one environment */
    DZ_KV_KEY_MAX = 511 /* bytes of a key; keys compare as memcmp() does */
};

struct dz_kv_opts {
    const char *const *tables; /* names, in the order of the numbers that callers use; copied */
    unsigned table_count;
    size_t map_size;   /* bytes to begin with; 0: 64 MiB */
    size_t map_limit;  /* bytes; 0: 1 TiB */
    unsigned check_ms; /* > 0: walk it first, in a child, for at most so long; see dz_kv_check() */
    unsigned lock_ms;  /* how long a write waits for other processes'; 0: 5000 */
    bool is_readonly;  /* nothing is created; DZ_ABSENT when it is not there */
    bool is_unsynced;  /* writes outlive processes, not the machine */
};

/* Open the environment in `dir`, making the directory (0700) and the tables unless read-only.
 * CORRUPT: damaged, nothing is left open.  REFUSED: not permitted. */
DZ_MUST_USE enum dz_rc dz_kv_open(const char *dir, const struct dz_kv_opts *opts,
                                  struct dz_kv **self_out, struct dz_err *err);
void dz_kv_close(struct dz_kv **self_p);
/* The next write and those after it are synced, and with the next one all before it.  By the thread
 * that writes. */
void dz_kv_sync_from_now(struct dz_kv *self);

/* Open for writing and checked first; a damaged one is quarantined and a new one made.
 * bad_out: where the damaged one is now (caller owns), or NULL when all was well. */
DZ_MUST_USE enum dz_rc dz_kv_open_or_replace(const char *dir, const struct dz_kv_opts *opts,
                                             struct dz_kv **self_out, char **bad_out,
                                             struct dz_err *err);

/* ---- writing and reading ---- */

/* What the callbacks return ends the call: DZ_OK commits, anything else undoes the write. */
typedef enum dz_rc dz_kv_fn(struct dz_kv_txn *txn, void *arg, struct dz_err *err);

DZ_MUST_USE enum dz_rc dz_kv_write(struct dz_kv *self, dz_kv_fn *fn, void *arg, struct dz_err *err);
DZ_MUST_USE enum dz_rc dz_kv_read(struct dz_kv *self, dz_kv_fn *fn, void *arg, struct dz_err *err);

/* DZ_ABSENT when there is no such key. */
DZ_MUST_USE enum dz_rc dz_kv_get(struct dz_kv_txn *txn, unsigned table, struct dz_slice key,
                                 struct dz_slice *value_out, struct dz_err *err);
DZ_MUST_USE enum dz_rc dz_kv_put(struct dz_kv_txn *txn, unsigned table, struct dz_slice key,
                                 struct dz_slice value, struct dz_err *err);
DZ_MUST_USE enum dz_rc dz_kv_del(struct dz_kv_txn *txn, unsigned table, struct dz_slice key,
                                 struct dz_err *err); /* no such key: DZ_ABSENT */

/* What a walk has seen since it last gave pages back; for this folder. */
struct dz_kv_walk {
    size_t len;                /* about */
    const uint8_t *low, *high; /* it lies between these */
};

/* Walk the keys that begin with `prefix` (empty: all), in order.
 *
 *     DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
 *     dz_kv_iter_init(&it, txn, TABLE, prefix);
 *     while (dz_kv_next(&it, &key, &value)) ...
 *     return dz_kv_iter_rc(&it, err);
 *
 * Do not put or del in its table while it lives. */
struct dz_kv_iter {
    struct dz_kv_txn *txn;
    void *cursor;
    unsigned table;
    int rc;
    uint8_t prefix[DZ_KV_KEY_MAX + 1];
    size_t prefix_len;
    uint8_t state;
    struct dz_kv_walk walk;
    bool is_keys_only; /* set it after init: values are not looked at, and given as empty */
    /* Likewise, for dz_kv_next(): a value for which it is true is passed over.  It has not been checked,
     * and most of it never leaves the disk. */
    bool (*is_skipped)(const void *arg, struct dz_slice value);
    const void *skip_arg; /* borrowed */
};
void dz_kv_iter_init(struct dz_kv_iter *self, struct dz_kv_txn *txn, unsigned table,
                     struct dz_slice prefix);
/* Move to the first key >= `key` (next) or the last key < `key` (prev), still under the prefix. */
void dz_kv_iter_seek(struct dz_kv_iter *self, struct dz_slice key);
bool dz_kv_next(struct dz_kv_iter *self, struct dz_slice *key_out, struct dz_slice *value_out);
bool dz_kv_prev(struct dz_kv_iter *self, struct dz_slice *key_out, struct dz_slice *value_out);
void dz_kv_iter_fini(struct dz_kv_iter *self);
/* DZ_OK when the walk ended because there was no more. */
DZ_MUST_USE enum dz_rc dz_kv_iter_rc(const struct dz_kv_iter *self, struct dz_err *err);

/* ---- group commit ---- */

/* Puts and dels that wait for one commit.  A value type; zero it, dz_kv_batch_fini() it. */
struct dz_kv_batch {
    uint8_t *ops; /* owned */
    size_t len, cap;
    unsigned count;
};
void dz_kv_batch_put(struct dz_kv_batch *self, unsigned table, struct dz_slice key,
                     struct dz_slice value); /* copies */
void dz_kv_batch_del(struct dz_kv_batch *self, unsigned table,
                     struct dz_slice key); /* absent: fine */
/* Apply all in order, durably, and empty the batch.  On failure nothing is applied and the batch
 * keeps what it has. */
DZ_MUST_USE enum dz_rc dz_kv_batch_commit(struct dz_kv_batch *self, struct dz_kv *kv,
                                          struct dz_err *err);
void dz_kv_batch_fini(struct dz_kv_batch *self);

/* ---- health ---- */

/* Walk `dir` in a child process for at most `budget_ms` (0: to the end).  OK: nothing wrong was
 * seen, or the check could not be made.  CORRUPT: a value's checksum, a structure, or a death of the
 * child that the file must have caused says so.  ABSENT. */
DZ_MUST_USE enum dz_rc dz_kv_check(const char *dir, unsigned budget_ms, struct dz_err *err);

/* What became of a process that read `dir`, in words; signal: what it died of, 0 if it ended without
 * having said anything.  CORRUPT: it was the file.  IO: somebody killed it. */
DZ_MUST_USE enum dz_rc dz_kv_fail_reader(const char *dir, int signal, struct dz_err *err);

/* Rename `dir` to `dir`.bad-<n>, n the first free number, unless by now another process has put
 * a good one in its place.  moved_out: the new name, or NULL (caller owns). */
DZ_MUST_USE enum dz_rc dz_kv_quarantine(const char *dir, char **moved_out, struct dz_err *err);

struct dz_kv_stat {
    uint64_t used_bytes; /* of the file */
    uint64_t free_bytes; /* of those: to be written again.  A file never shrinks */
    uint64_t map_bytes;
    unsigned stale_readers; /* slots of dead processes, freed just now */
};
DZ_MUST_USE enum dz_rc dz_kv_stat(struct dz_kv *self, struct dz_kv_stat *out, struct dz_err *err);

#endif
