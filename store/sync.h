/* sync.h - a job's records on their way from one store into another.
 *
 * The sending side is a store that nobody else writes to (an agent's private one, in its spool
 * folder, or a copy of such a folder).  Its job is a log of records in four streams, and the other
 * side says for each stream how many it has: that is all the state there is, and it is kept with
 * the records, in the same transaction.  So a parcel may be sent twice, or answered into the void,
 * or the other side may be put back to an earlier copy: the sender goes on from what it is told.
 *
 *     outbox   reads the job and makes parcels, from where the other side is
 *     inbox    takes parcels into a store and says how far it is
 *
 * A parcel says all that a side which knows nothing needs, but for the list of tests: that is sent
 * when the receipt asks for it.  Results are judged by the ledger of the side that takes them. */
#ifndef DZ_STORE_SYNC_H
#define DZ_STORE_SYNC_H

#include "shared/base/buf.h"
#include "store/store.h"

enum {
    STORE_PARCEL_VERSION = 2,
    STORE_PARCEL_SOFT = 1 << 20,     /* bytes of records, unpacked, that a parcel is filled to */
    STORE_PARCEL_MAX = 16 << 20,     /* packed */
    STORE_PARCEL_RAW_MAX = 64 << 20, /* unpacked */
};
#define STORE_PARCEL_TYPE "application/vnd.dagz.parcel"

enum store_stream { STREAM_RESULTS, STREAM_TEXTS, STREAM_LOGS, STREAM_SPANS, STORE_STREAMS };

/* How many records of each stream. */
struct store_at {
    uint64_t count[STORE_STREAMS];
};
bool store_at_eq(const struct store_at *a, const struct store_at *b);

/* ---- sending ---- */

struct store_outbox;

/* Borrows the store. */
DZ_MUST_USE enum dz_rc store_outbox_open(struct store *store, const char *ulid,
                                         struct store_outbox **self_out, struct dz_err *err);
void store_outbox_close(struct store_outbox **self_p);

/* All that lies here now, and whether the job is sealed. */
DZ_MUST_USE enum dz_rc store_outbox_total(struct store_outbox *self, struct store_at *total_out,
                                          bool *is_sealed_out, struct dz_err *err);
/* At that moment: has its seal been noted (store_job_witness())?  Each parcel tells it. */
bool store_outbox_is_witnessed(const struct store_outbox *self);

enum store_parcel_flag {
    STORE_WITH_LIST = 1, /* the list of tests, which the other side lacks */
    STORE_IS_LIVE = 2,   /* the job's own writer sends it: somebody still works on it */
    STORE_HELLO = 4,     /* no records: only to hear how far the other side is */
    STORE_ROWS_ONLY = 8, /* nothing but results: for store_rows_take() */
};

/* The records behind `from`, at least one and about `soft` bytes of them, appended to *out; the
 * seal too, when nothing is behind them.  after_out: where the other side is when it has them. */
DZ_MUST_USE enum dz_rc store_outbox_next(struct store_outbox *self, const struct store_at *from,
                                         unsigned flags, size_t soft, struct dz_buf *out,
                                         struct store_at *after_out, struct dz_err *err);

/* ---- taking ---- */

struct store_inbox;

struct store_inbox *store_inbox_new(struct store *store); /* borrows it */
void store_inbox_destroy(struct store_inbox **self_p);    /* before the store is closed */

struct store_receipt {
    char short_id[STORE_SHORT_MAX];
    char job[STORE_ULID_LEN + 1]; /* the job that the records are in: of shares another one's */
    bool wants_list;              /* results and texts were left: the list of tests is not known */
    bool is_sealed;               /* by its scheduler; of a share: this one */
    bool is_witnessed;            /* as others said that it would be */
    bool is_ledger_wrong;         /* sealed, and the numbers were not the ledger's */
    struct store_at at;           /* what is stored now of this sender's */
    uint32_t taken;               /* records that were new */
    uint32_t pace_ms;             /* the sender is asked to leave so much between two parcels */
    uint32_t counted;             /* rows of the ledger */
    uint64_t digest;
};

/* Take what is new of a parcel: one transaction, one sync, and a second for a seal.  Records that
 * are here are passed over; those behind a gap are left, and receipt->at tells.
 * uri: the job must be of this project (NULL: of any).  ABSENT: it is of another one.
 * CORRUPT, LIMIT, VERSION: the parcel.  REFUSED: results for a sealed job, or of another list. */
DZ_MUST_USE enum dz_rc store_inbox_take(struct store_inbox *self, const char *ulid,
                                        struct dz_slice parcel, const char *uri,
                                        struct store_receipt *out, struct dz_err *err);
/* Its seal was noted: seal it if all is here.  A job that is not here: fine. */
DZ_MUST_USE enum dz_rc store_inbox_end(struct store_inbox *self, const char *ulid,
                                       struct dz_err *err);

/* ---- a scheduler that takes over: what the store counted before it ---- */

/* How many rows a parcel of results tells, with those before it. */
DZ_MUST_USE enum dz_rc store_rows_end(struct dz_slice parcel, uint64_t *end_out,
                                      struct dz_err *err);
/* Take them into a job's own ledger.  REFUSED: they are of another list of tests. */
DZ_MUST_USE enum dz_rc store_rows_take(struct store_job *job, struct dz_slice parcel,
                                       struct dz_err *err);

/* ---- a generation that goes on from an earlier one ---- */

/* Tests of the job, by what the earlier one counted of them. */
struct store_carried {
    uint32_t passed, failed, missing;
};
/* Into a job's own ledger, what tests that did not fail have counted in an earlier generation, as
 * rows of DZ_NODE_CARRIED; again: fine.  pages: its whole ledger, as parcels, the first with the
 * list of tests.  Tests that the job lacks are left. */
DZ_MUST_USE enum dz_rc store_rows_carry(struct store_job *job, const struct dz_buf *pages,
                                        size_t page_count, struct store_carried *out,
                                        struct dz_err *err);
/* Each id of the list that a page has; is_told_out: it has one, which may be empty. */
typedef void store_listed_fn(void *arg, struct dz_slice id);
DZ_MUST_USE enum dz_rc store_rows_list(struct dz_slice page, store_listed_fn *fn, void *arg,
                                       bool *is_told_out, struct dz_err *err);
/* A page with the list of a job that lies in a store here; appended. */
DZ_MUST_USE enum dz_rc store_list_page(struct store *store, const char *ulid, struct dz_buf *out,
                                       struct dz_err *err);
/* The same pages, of a job that lies in a store here; appended to a list.  Caller owns them. */
DZ_MUST_USE enum dz_rc store_rows_pages(struct store *store, const char *ulid,
                                        struct dz_buf **pages_out, size_t *count_out,
                                        struct dz_err *err);

/* The inbox of this handle, which owns it. */
struct store_inbox *store_inbox_of(struct store *store);

/* A receipt as JSON.  Caller owns the text.  Reading is strict: what is not one is CORRUPT. */
char *store_receipt_write(const struct store_receipt *self);
DZ_MUST_USE enum dz_rc store_receipt_read(struct dz_slice json, struct store_receipt *out,
                                          struct dz_err *err);

#endif
