/* care.h - looking after a store: small, not too old, sound.  For the daemon, the agent, and
 * `zb doctor --store`.
 *
 * Tidying  Jobs that are over become small and quick to read; jobs that are too old, or too many,
 *          go.  Any process that has the store open for writing may do it at any time, one at a
 *          time; whoever else reads or writes is not disturbed, and a kill at any moment costs
 *          nothing but the piece that was being done.
 * Checking Everything is read and compared with everything else, in a child process, since a
 *          damaged file can end the process that reads it. */
#ifndef DZ_STORE_CARE_H
#define DZ_STORE_CARE_H

#include "store/store.h"

enum { STORE_KEEP_DAYS = 30 };
#define STORE_KEEP_BYTES (UINT64_C(20) << 30)

/* What may be kept; 0: without end.  A job that runs, and the newest of each project, stay. */
struct store_retention {
    uint32_t days;      /* after its end */
    uint64_t max_bytes; /* of all jobs together; the oldest go first */
};

/* The store remembers it, so that runs without a daemon keep to what its daemon.yaml said last;
 * STORE_KEEP_DAYS and STORE_KEEP_BYTES before anybody has said. */
DZ_MUST_USE enum dz_rc store_retention_set(struct store *self, const struct store_retention *keep,
                                           struct dz_err *err);
DZ_MUST_USE enum dz_rc store_retention_get(struct store *self, struct store_retention *out,
                                           struct dz_err *err);

struct store_removed {
    char ulid[STORE_ULID_LEN + 1];
    const char *uri; /* valid during the call */
    int64_t end_us;
    const char *why; /* "older than 30 days", "more than 20 GiB" */
};
typedef void store_removed_fn(void *arg, const struct store_removed *job);

struct store_tidy {
    int64_t now_us;
    int64_t settle_us;  /* jobs that ended less than so long ago stay as they are: who follows their
                          events (feed.h) gets them one by one */
    unsigned budget_ms; /* ends after the piece in which it is used up */
    store_removed_fn *on_removed; /* may be NULL */
    void *arg;
    /* answers */
    uint32_t removed, compacted; /* jobs */
    bool is_done;                /* false: there is more to do */
    uint64_t live_bytes;         /* in use */
    uint64_t file_bytes;         /* of the file: it never shrinks, free pages are used again */
    uint32_t failed;             /* jobs that could not be made small: damaged */
    char first_failure[160];
};
/* AGAIN: another process is at it, or writes.  REFUSED: a spool (store_open_in()). */
DZ_MUST_USE enum dz_rc store_tidy(struct store *self, struct store_tidy *work, struct dz_err *err);
/* When it was last done to the end, 0: never. */
int64_t store_tidied_us(struct store *self);
/* Only this job, which must be over; for who has just sealed it. */
DZ_MUST_USE enum dz_rc store_tidy_job(struct store *self, const char *ulid, unsigned budget_ms,
                                      struct dz_err *err);
/* Remove one job now, whatever its age.  ABSENT; REFUSED: it runs. */
DZ_MUST_USE enum dz_rc store_job_remove(struct store *self, const char *ulid, int64_t now_us,
                                        struct dz_err *err);

/* ------------------------------------------------------------------ checking and repairing */

struct store_trouble {
    bool can_repair;               /* without losing a record */
    char ulid[STORE_ULID_LEN + 1]; /* of the job that it is about, or "" */
    char text[256];                /* one line: what is wrong */
};
typedef void store_trouble_fn(void *arg, const struct store_trouble *trouble);

struct store_check {
    store_trouble_fn *on_trouble; /* may be NULL */
    void *arg;
    /* answers */
    uint64_t jobs, records; /* that were read */
    uint32_t troubles, repairable;
};

/* Read all of a store, and compare: sums, lists in both directions, ledgers with their seals,
 * segments with their contents.  OK also when there are troubles.  CORRUPT: the file itself is
 * damaged, or ends the process that reads it; store_repair() saves what can be read. */
DZ_MUST_USE enum dz_rc store_check(const char *home, struct store_check *work, struct dz_err *err);

/* Put right what store_check() finds.  What cannot be read is dropped and named: a job that lost
 * records stays, marked as one whose account is wrong; a job that lost its own record goes.  A
 * damaged file is copied as far as it can be read, and put aside as *.bad-<n>: saved_out (may be
 * NULL) is its name then; caller owns.  AGAIN: another process was faster. */
DZ_MUST_USE enum dz_rc store_repair(const char *home, struct store_check *work, char **saved_out,
                                    struct dz_err *err);

/* Where the home's store is: what daemon.yaml says, or local.env/store; caller owns. */
DZ_MUST_USE enum dz_rc store_dir_of(const char *home, char **out, struct dz_err *err);

#endif
