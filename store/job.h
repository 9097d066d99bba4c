/* job.h - a job that this process writes to.  Only for this folder. */
#ifndef DZ_STORE_JOB_H
#define DZ_STORE_JOB_H

#include "store/disk.h"

struct mark {
    uint64_t source, seq;
};

struct store_job {
    struct store *store; /* borrowed */
    char ulid[DZ_ULID_LEN + 1];
    char short_id[STORE_SHORT_MAX];
    char *profile; /* owned */
    uint32_t project;

    bool has_manifest, is_sealed;
    bool is_witnessed;            /* sealed as others said that its scheduler would */
    char list[MANIFEST_NAME_LEN]; /* its name, as it was read last */
    uint64_t *hashes;             /* owned; dz_hash64() of each test's id */
    uint32_t test_count;

    /* What the log of batches says up to batch `next`.  While a write is under way and after one
     * that failed it may hold what is not on disk: then it is read again from the start. */
    bool is_doubtful;
    uint32_t next;
    struct ledger ledger;
    struct mark *marks; /* owned; unordered: a job has few streams */
    size_t mark_count, mark_cap;
};

/* What was counted stays, when the list has only grown. */
void job_set_tests(struct store_job *self, const char *list, uint32_t count);
/* The job's list, if it is another one than was read last. */
DZ_MUST_USE enum dz_rc job_read_list(struct store_job *self, struct dz_kv_txn *txn,
                                     const json_t *head, struct dz_err *err);

/* Bring ledger and marks up to what is on disk. */
DZ_MUST_USE enum dz_rc job_follow(struct store_job *self, struct dz_kv_txn *txn,
                                  struct dz_err *err);
/* All of that, of a job whose head is read on the way: it is the caller's, if not NULL. */
DZ_MUST_USE enum dz_rc job_catch_up(struct store_job *self, struct dz_kv_txn *txn,
                                    json_t **head_out, struct dz_err *err);
/* The stream's greatest seq; made when it is new. */
struct mark *job_mark(struct store_job *self, uint64_t source);

/* Is it within the limits, and may the job take it? */
DZ_MUST_USE enum dz_rc append_check(const struct store_job *job, const struct store_batch *batch,
                                    struct dz_err *err);
/* Into a transaction, after job_follow().  The job is doubtful until the caller, whose commit
 * succeeded, says otherwise. */
DZ_MUST_USE enum dz_rc append_records(struct dz_kv_txn *txn, struct store_job *job,
                                      struct store_batch *batch, struct dz_err *err);

/* Begin a job that another process writes, whose own head is `head`; it is taken up when it is
 * here.  No mark is left that this process is its writer. */
DZ_MUST_USE enum dz_rc job_adopt(struct store *self, const struct store_begin *begin,
                                 const json_t *head, struct store_job **job_out,
                                 struct dz_err *err);

/* What store_job_witness() notes, in a head; false: nothing, or nothing that makes sense. */
bool witness_read(const json_t *head, struct store_seal *out);
/* The same note, within a transaction.  A job that is not here: fine. */
DZ_MUST_USE enum dz_rc witness_put(struct dz_kv_txn *txn, const char *ulid,
                                   const struct store_seal *seal, struct dz_err *err);
/* The account of a job's end, into its head. */
void seal_fill(json_t *head, const struct store_seal *seal, const struct store_ledger *ledger);
/* The same, as it was told and is kept; caller owns. */
json_t *seal_text(const struct store_seal *seal);
/* As another store told it, if that makes sense; `reason` is borrowed. */
DZ_MUST_USE enum dz_rc seal_read(const json_t *told, struct store_seal *out, struct dz_err *err);
/* What its tests took, into what is known of the project; once. */
DZ_MUST_USE enum dz_rc seal_learn(struct dz_kv_txn *txn, struct store_job *job, int64_t now_us,
                                  struct dz_err *err);

/* "j10" on the day itself, "j1201.1", "j2025-1201.1" when a year has passed. */
void short_id_write(uint32_t day, uint32_t n, uint32_t today, char out[STORE_SHORT_MAX]);

/* Who writes to a job, so that a reader can tell whether it still runs. */
enum { WRITER_NOTED_US = 5 * 1000000 /* how often it is noted that one of elsewhere lives */ };
void writer_note(json_t *head);
void writer_copy(json_t *head, const json_t *from); /* as another store noted it */
/* Whether somebody still writes the job, as far as can be told from here; written_us: the last time
 * that anything was. */
bool writer_is_there(const json_t *head, int64_t written_us, int64_t now_us);

#endif
