/* disk.h - what lies in the store's tables.  Only for this folder.
 *
 *   table     key                                   value
 *   META      "version", "projects"                 decimal text
 *   PROJECT   uri (or a hash of a long one)         number of the project, 4 bytes
 *   INDEX     project, yyyymmdd, n                  long id        the short ids, in order of time
 *   JOB       long id                               JSON: what zb jobs shows
 *   COMMIT    project, 40 hex digits, long id       empty
 *   MANIFEST  digest, count                         zstd: u32 lengths, then the ids
 *   BATCH     long id, kind, number                 records of one append, see below
 *   SEGMENT   long id, kind, number                 records of many batches as columns: column.h
 *   CONTENTS  long id, kind                         what is in which segment: contents.h
 *   TEXT      long id, test, attempt, execution     zstd: what a failure said
 *   MARK      long id, source                       greatest seq of a stream, or how many records
 *                                                   of a sender's stream were taken
 *   DURATION  project, profile                      rows sorted by the hash of the node id
 *   MEETING   project, 'm', join key                time, text of meeting.h
 *             project, 'n', join key, node          time, the node's contact
 *   STEP      's', project, step, generation, ordinal   long id of the job of its shares: shards.h
 *             'm', likewise                         ... of the job of its meeting
 *             'a', a sender's long id               long id of the job that its records are in
 *   SHARD     long id, slot, origin               JSON: a share that came, and how it ended
 *   FEED      number                                what was written, in order: feed.h
 *   TRASH     long id                               a removed job's manifest; its rows still go
 *
 * A job's batches are a log that only grows.  Its ledger is nothing but that log read from the
 * start, first come first counted; the word that was given is written with the record, so readers
 * need not decide again.  Writers keep the ledger in memory and, inside each write, first read what
 * other processes appended: that makes the count exact without a lookup on disk for each result.
 *
 * Numbers in keys are big-endian (they sort); packed records are the structs below as they lie in
 * memory: the file never leaves machines of one byte order. */
#ifndef DZ_STORE_DISK_H
#define DZ_STORE_DISK_H

#include <jansson.h>
#include <zstd.h>

#include "shared/base/buf.h"
#include "shared/base/ulid.h"
#include "shared/kv/kv.h"
#include "store/ledger.h"
#include "store/store.h"

enum { STORE_VERSION = 3 };

enum table {
    T_META,
    T_PROJECT,
    T_INDEX,
    T_JOB,
    T_COMMIT,
    T_MANIFEST,
    T_BATCH,
    T_TEXT,
    T_MARK,
    T_DURATION,
    T_MEETING,
    T_FEED,
    T_SEGMENT,
    T_CONTENTS,
    T_TRASH,
    T_STEP,
    T_SHARD,
    TABLES,
};

struct store {
    struct dz_kv *kv; /* owned unless is_shared */
    char *dir;        /* owned */
    ZSTD_CCtx *zip;   /* owned; made when first needed */
    ZSTD_DCtx *unzip; /* owned; likewise */
    bool is_readonly, is_shared;
    bool is_spool; /* opened as such: its batches are sent on one by one, so they stay */
    struct store_inbox *inbox; /* owned; made when first asked for */
};

/* ---- keys ---- */

struct key {
    uint8_t bytes[DZ_KV_KEY_MAX];
    size_t len;
};
void key_add(struct key *self, const void *bytes, size_t len);
void key_add_number(struct key *self, uint64_t number, int len); /* big-endian, `len` bytes */
struct dz_slice key_slice(const struct key *self);
uint64_t number_at(struct dz_slice bytes, size_t at, int len); /* 0 when it is not there */

/* ---- records of a batch ---- */

enum batch_kind {
    BATCH_RESULTS = 'r',
    BATCH_LOGS = 'l',
    BATCH_SPANS = 's',
    BATCH_TEXTS = 't', /* which texts came, in order: for sending them on */
};

/* Begins every batch; `packed` records follow, then `data_len` bytes (zstd if raw_len differs). */
struct batch_head {
    uint32_t count;
    uint32_t lanes; /* batch_lane() of all its logs or spans together; 0: not told */
    uint32_t raw_len, data_len;
    int64_t written_us;
};

struct packed_result {
    uint64_t node, inc, exec;
    int64_t start_us, setup_us, call_us, teardown_us;
    uint32_t test;
    uint16_t worker;
    uint8_t attempt, result, cause, signal, word, reserved[1];
    uint32_t line;
};

struct packed_log {
    uint64_t node;
    int64_t first_us, last_us;
    uint32_t thread, test;
    uint16_t worker;
    uint8_t attempt, kind;
    uint32_t offset, len; /* in the data */
    uint32_t reserved;
};

struct packed_span {
    uint64_t node, source, id, parent;
    int64_t start_us, end_us;
    uint32_t test, offset; /* in the data: type, then name */
    uint16_t worker, type_len, name_len;
    uint8_t attempt, result;
};

struct packed_text {
    uint64_t who;
    uint32_t test;
    uint8_t attempt, reserved[3];
};

/* The records of one batch, borrowed from the transaction; false: not what we wrote. */
bool batch_open(struct dz_slice value, size_t record_size, struct batch_head *head_out,
                struct dz_slice *records_out, struct dz_slice *data_out);

uint32_t batch_lane(uint32_t worker); /* one bit, of the agent one of its own */
void batch_key(struct key *key, const uint8_t ulid[DZ_ULID_LEN], enum batch_kind kind);
/* The number of the next batch of this kind. */
enum dz_rc batch_next(struct dz_kv_txn *txn, const uint8_t ulid[DZ_ULID_LEN], enum batch_kind kind,
                      uint32_t *number_out, struct dz_err *err);

/* ---- the feed ---- */

enum { FEED_OF_JOB = 'j' };
/* In the same write as the batch (its kind and number), or as the job's document (FEED_OF_JOB). */
DZ_MUST_USE enum dz_rc feed_note(struct dz_kv_txn *txn, const char *ulid, int kind, uint32_t number,
                                 struct dz_err *err);

/* ---- compression ---- */

/* Append `raw` to `out`, smaller if that pays; *is_raw_out says which. */
void zip_add(struct store *self, struct dz_slice raw, struct dz_buf *out);
/* The reverse; `raw_len` is what was put in.  CORRUPT. */
DZ_MUST_USE enum dz_rc unzip_add(struct store *self, struct dz_slice zipped, size_t raw_len,
                                 struct dz_buf *out, struct dz_err *err);

/* ---- a job's JSON ---- */

DZ_MUST_USE enum dz_rc head_read(struct dz_kv_txn *txn, const char *ulid, json_t **head_out,
                                 struct dz_err *err);
DZ_MUST_USE enum dz_rc head_write(struct dz_kv_txn *txn, const char *ulid, const json_t *head,
                                  struct dz_err *err);
void head_release(json_t **self_p);                         /* DZ_AUTO-able */
json_t *json_text(const char *text);                        /* invalid UTF-8 is replaced */
const char *head_text(const json_t *head, const char *key); /* "" when absent; borrowed */
int64_t head_number(const json_t *head, const char *key);   /* 0 when absent */

/* What another store told: a whole number from 0 to `most`, or not there. */
bool head_is_number(const json_t *head, const char *key, int64_t most);
enum { HEAD_TEXT_MAX = 128 << 10 }; /* of such a text, but for the URI */
#define HEAD_TIME_MAX (INT64_C(1) << 53)

/* ---- projects ---- */

DZ_MUST_USE enum dz_rc project_number(struct dz_kv_txn *txn, const char *uri, uint32_t *out,
                                      struct dz_err *err); /* ABSENT */

DZ_MUST_USE enum dz_rc project_make(struct dz_kv_txn *txn, const char *uri, uint32_t *out,
                                    struct dz_err *err);

/* ---- manifests ---- */

struct manifest {
    uint32_t count;
    uint8_t *bytes;   /* owned: all ids, one after another */
    uint32_t *starts; /* owned: count + 1 of them */
};
enum { MANIFEST_NAME_LEN = 32 };
struct dz_slice manifest_id(const struct manifest *self, uint32_t test);
/* Among the first `sorted` ones; STORE_NO_TEST. */
uint32_t manifest_find_id(const struct manifest *self, uint32_t sorted, struct dz_slice id);
/* How many are sorted, by the job's head; all, unless the list has grown. */
uint32_t manifest_sorted(const json_t *head, uint32_t count);
/* Keep a list, unless it is there. */
DZ_MUST_USE enum dz_rc manifest_put(struct store *store, struct dz_kv_txn *txn,
                                    const struct dz_slice *ids, uint32_t count,
                                    char name_out[MANIFEST_NAME_LEN], struct dz_err *err);
void manifest_fini(struct manifest *self);
/* `name` as in a job's JSON; "": an empty one. */
DZ_MUST_USE enum dz_rc manifest_read(struct store *store, struct dz_kv_txn *txn, const char *name,
                                     struct manifest *out, struct dz_err *err);

/* Is there such a list?  ABSENT. */
DZ_MUST_USE enum dz_rc manifest_find(struct dz_kv_txn *txn, const char *name, struct dz_err *err);

/* ---- texts ---- */

uint64_t text_who(const struct store_text *text);
struct key text_key(const char *ulid, const struct packed_text *text);
/* Appended to *out; ABSENT: nothing was said. */
DZ_MUST_USE enum dz_rc text_read(struct store *store, struct dz_kv_txn *txn, const char *ulid,
                                 const struct packed_text *text, struct dz_buf *out,
                                 struct dz_err *err);

/* ---- walking a job's results ---- */

/* Who reads a job's results, and how far it is.  When batches that it has read only in part became
 * segments, it is set back to the start, and what it gathered is emptied first. */
struct follower {
    struct store *store;
    uint32_t next;         /* number of the batch to read next */
    struct ledger *ledger; /* borrowed; NULL: not wanted */
    struct dz_buf *rows;   /* borrowed; raw records are appended; NULL: not wanted */
    int64_t written_us;    /* when the last batch was written; untouched without one */
};
DZ_MUST_USE enum dz_rc results_follow(struct dz_kv_txn *txn, const char *ulid,
                                      struct follower *follower, struct dz_err *err);
struct store_result unpack_result(const struct packed_result *row);

/* ---- durations ---- */

struct duration_row {
    uint64_t id; /* dz_hash64() of the node id */
    float log_mean, log_var;
    float weight;
    uint32_t day; /* days since 1970 when it was last seen */
};

/* Fold a job's counted results into what is known. */
DZ_MUST_USE enum dz_rc durations_learn(struct dz_kv_txn *txn, uint32_t project, const char *profile,
                                       struct duration_row *news, size_t count, struct dz_err *err);

#endif
