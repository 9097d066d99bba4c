/* env.h - what the files of this folder share; nobody else includes it. */
#ifndef DZ_SHARED_KV_ENV_H
#define DZ_SHARED_KV_ENV_H

#include <lmdb.h>
#include <pthread.h>

#include "shared/kv/kv.h"

enum { CRC_LEN = 4, READERS_MAX = 512 };

struct dz_kv {
    MDB_env *env;              /* owned */
    char *dir;                 /* owned */
    char *names[DZ_KV_TABLES]; /* owned */
    MDB_dbi dbis[DZ_KV_TABLES];
    bool is_there[DZ_KV_TABLES]; /* false: read-only, and the table was never made */
    unsigned table_count;
    size_t map_size, map_limit;
    unsigned lock_ms;
    int turn;         /* owned; -1: none.  The file that writers lock */
    dz_ms dropped_at; /* see kv_drop_pages() */
    void *map; /* where it has found the file; NULL: not looked for since the shape changed */
    size_t map_len;
    bool is_readonly, is_unsynced;
    /* Threads.  Transactions hold `shape` shared; growing the map or opening it again holds it
     * alone.  A write holds `writing` from its first attempt to its last. */
    pthread_rwlock_t shape;
    pthread_mutex_t writing;
};

struct dz_kv_txn {
    struct dz_kv *kv;
    MDB_txn *txn;
    bool is_map_full; /* the map must grow and the write start again */
    bool is_read;     /* all that it gives lies in the map */
};

/* Open LMDB itself; shared by the handle and by the child that checks. */
DZ_MUST_USE enum dz_rc kv_env_open(const char *dir, size_t map_size, bool is_readonly,
                                   MDB_env **env_out, struct dz_err *err);

/* Is there anything in it?  Not where its making was cut short. */
bool kv_is_begun(const char *dir);
/* The errno that it left: ABSENT, or what keeps one from knowing: REFUSED without permission, IO
 * where a file stands in place of a folder. */
DZ_MUST_USE enum dz_rc kv_why_none(const char *dir, struct dz_err *err);
/* So that it is made anew; by who has the writers' turn, in which every file is made. */
void kv_clear_half_made(const char *dir);

/* Between transactions, with the shape shared: give pages of the map back, at most once a second. */
void kv_drop_pages(struct dz_kv *self);

/* A long walk of a reader does not hold all that it saw: after some megabytes they are given back.
 * What was read stays valid. */
void kv_walked(struct dz_kv_walk *self, MDB_val stored);

/* What an LMDB code means to our callers. */
enum dz_rc kv_fail(struct dz_err *err, const char *dir, int code, const char *what);

/* Strip and check the checksum of a stored value. */
bool kv_value_ok(MDB_val key, MDB_val stored, struct dz_slice *value_out);

#endif
