/* shards.h - slots of a CI step that could not meet ran a share each: here they become one job.
 *
 * Which job  Who sends says of which step and generation it is (HEAD: step, generation, shard_index,
 *            shard_total).  The first to come lends its job's long id to all; those of a step that
 *            met at this store are of the job of that meeting.  What was decided once stays, by the
 *            sender's own long id.
 * Retries    A slot that had ended and comes again under another CI job id opens the next
 *            generation; one that had not ended, or was terminated, is a new incarnation in this one.
 *            The same CI job again is another command of it, and has a job of its own.
 * Complete   All shares have been told to their end, or whoever scheduled the others has; and each
 *            test that any of them has collected has a counted result, or was left by its own slot
 *            (-x, Ctrl-C), or did not fail in the generation before.  Until then the job is not
 *            sealed, whatever its senders were told of their part. */
#ifndef DZ_STORE_SHARDS_H
#define DZ_STORE_SHARDS_H

#include "store/job.h"

enum {
    SHARDS_MAX = 10000,   /* slots of one step */
    SHARD_COMES_MAX = 64, /* incarnations of one slot in one job */
};

struct shard {
    uint32_t index, total, generation;
    uint64_t origin, ci_job;
    int64_t start_us;
    const char *step, *uri; /* borrowed from the head */
};
/* False: what has this head is no share. */
bool shard_of(const json_t *head, struct shard *out);
bool shard_check(const json_t *head); /* what of it is told makes sense */

/* The job that a sender's records belong to. */
struct shard_place {
    char ulid[DZ_ULID_LEN + 1];
    char previous[DZ_ULID_LEN + 1]; /* of the generation before it, or "" */
    uint32_t generation;
};
DZ_MUST_USE enum dz_rc shard_find_job(struct store *store, const char *ulid,
                                      const struct shard *shard, struct shard_place *out,
                                      struct dz_err *err);

/* It is noted in the job, which is there, that the share has come; ulid: the sender's. */
DZ_MUST_USE enum dz_rc shard_note(struct store_job *job, const char *ulid,
                                  const struct shard *shard, struct dz_err *err);
/* Its slot lives; from: the head as it says it. */
DZ_MUST_USE enum dz_rc shard_heard(struct dz_kv_txn *txn, const char *ulid,
                                   const struct shard *shard, const json_t *from, int64_t now_us,
                                   struct dz_err *err);
/* Does the job's writer live?  Of shares: a slot that has not told its end, or whoever schedules. */
bool writers_are_there(struct dz_kv_txn *txn, const char *ulid, const json_t *head,
                       int64_t written_us, int64_t now_us);
/* The share was told to its end; `seal` is what its slot says.  Again: fine. */
DZ_MUST_USE enum dz_rc shard_seal(struct store_job *job, const struct shard *shard,
                                  const struct store_seal *seal, struct dz_err *err);
/* Was that taken; shard NULL: what whoever scheduled tells, of a job that may be incomplete? */
DZ_MUST_USE enum dz_rc shard_is_sealed(struct store_job *job, const struct shard *shard, bool *out,
                                       struct dz_err *err);

/* ---- within a write; the job's list and ledger were followed ---- */

/* A job in which somebody scheduled was put here: shares of its step are of it. */
DZ_MUST_USE enum dz_rc shards_note_meeting(struct dz_kv_txn *txn, uint32_t project,
                                           const struct store_begin *begin, const char *ulid,
                                           struct dz_err *err);
/* Is it complete?  The account goes into the head, which is written. */
DZ_MUST_USE enum dz_rc shards_settle(struct dz_kv_txn *txn, struct store_job *job, json_t *head,
                                     struct dz_err *err);
/* Whoever scheduled has closed the ledger, as far as it knows. */
DZ_MUST_USE enum dz_rc shards_settle_led(struct dz_kv_txn *txn, struct store_job *job, json_t *head,
                                         const struct store_seal *seal, struct dz_err *err);
bool shards_are_in(const json_t *head); /* the job has some */
void shards_begin(json_t *head, uint32_t total);
/* The job is removed: nothing leads to it any more. */
DZ_MUST_USE enum dz_rc shards_forget(struct dz_kv_txn *txn, const char *ulid, const json_t *head,
                                     struct dz_err *err);

/* ---- adopt.c: any job that another store tells of ---- */

/* Does what it says make sense?  CORRUPT. */
DZ_MUST_USE enum dz_rc adopt_check(const json_t *head, struct dz_err *err);
/* Its own, but for a share (else NULL). */
DZ_MUST_USE enum dz_rc adopt_place(struct store *store, const char *ulid, const json_t *head,
                                   const struct shard *shard, struct shard_place *out,
                                   struct dz_err *err);
/* It is begun here, or taken up. */
DZ_MUST_USE enum dz_rc adopt_job(struct store *store, const struct shard_place *place,
                                 const json_t *head, struct store_job **job_out,
                                 struct dz_err *err);

/* The job that a sender of this long id was put into; ABSENT. */
DZ_MUST_USE enum dz_rc shard_alias(struct dz_kv_txn *txn, const char *ulid,
                                   char out[DZ_ULID_LEN + 1], struct dz_err *err);

/* ---- come.c: one share that came, as it lies in SHARD ---- */

struct shard_come {
    uint32_t index;
    uint64_t origin, ci_job;
    int64_t start_us;
    bool has_ended;
    json_t *note; /* owned */
};
void shard_come_fini(struct shard_come *self); /* DZ_AUTO-able */
/* ABSENT: it has not come. */
DZ_MUST_USE enum dz_rc shard_get(struct dz_kv_txn *txn, const char *ulid, const struct shard *shard,
                                 struct shard_come *out, struct dz_err *err);
struct shard_walk {
    struct dz_kv_iter it;
    struct key prefix;
    struct shard_come come;
};
void shard_walk_init(struct shard_walk *self, struct dz_kv_txn *txn, const char *ulid);
void shard_walk_fini(struct shard_walk *self); /* DZ_AUTO-able */
bool shard_walk_next(struct shard_walk *self); /* self->come is the next one */
DZ_MUST_USE enum dz_rc shard_put(struct dz_kv_txn *txn, const char *ulid,
                                 const struct shard_come *come, struct dz_err *err);
bool shard_end_is_verdict(const json_t *seal); /* not a slot that was taken away */

#endif
