/* contents.h - the finished part of a job: which segments there are, and what is in them.  Only for
 * this folder.
 *
 * A job grows as a log of batches.  When it is over, its batches become segments (compact.c), and
 * one small value, the contents of each kind, says what every segment holds, so that a reader opens
 * only those that it needs.  Segments are never changed.  What comes later becomes batches again
 * and, some day, further segments.
 *
 * Run      The segments that one compaction has made: batches `batch_from` to `batch_to`.  Results
 *          lie in it in order of arrival, logs and spans in order of time, texts by test.
 * Until    Batches below this number are in segments.  They may still be there as batches, too, if
 *          a process died while it removed them: readers begin behind it. */
#ifndef DZ_STORE_CONTENTS_H
#define DZ_STORE_CONTENTS_H

#include "store/disk.h"

enum { AGENT_BIT = 63 }; /* of segment_info.workers */

struct segment_info {
    int64_t first_us, last_us; /* the earliest beginning, the latest end */
    uint64_t workers;          /* bits: worker % 63; AGENT_BIT: the agent itself */
    uint32_t count;
    uint32_t batch_from, batch_to; /* of its records: at least, below */
    uint32_t run;
    uint32_t tests_at, tests_count; /* its tests, in the list of all; no others are in it */
};

struct contents_head {
    uint64_t records;
    int64_t written_us; /* when the last batch was written */
    uint32_t segments, runs, until;
    uint32_t tests_len, tests_stored, reserved;
};

struct contents {
    struct contents_head head;
    struct segment_info *infos; /* owned; head.segments of them */
    struct dz_buf tests;        /* owned; for each segment: numbers of tests, ascending */
};

void contents_fini(struct contents *self); /* DZ_AUTO-able */
/* Empty when the job has none of this kind. */
DZ_MUST_USE enum dz_rc contents_read(struct store *store, struct dz_kv_txn *txn, const char *ulid,
                                     enum batch_kind kind, struct contents *out,
                                     struct dz_err *err);
/* Only its head; zeros without one. */
DZ_MUST_USE enum dz_rc contents_head(struct dz_kv_txn *txn, const char *ulid, enum batch_kind kind,
                                     struct contents_head *out, struct dz_err *err);
void contents_pack(struct store *store, const struct contents *self, struct dz_buf *out);

/* Add a segment that holds these tests (unordered, and some more than once). */
void contents_add(struct contents *self, const struct segment_info *info, uint32_t *tests,
                  uint32_t test_count);
/* May one of these tests (one bit each) be in the segment? */
bool contents_fits(const struct contents *self, uint32_t segment, const uint8_t *tests,
                   uint32_t test_count);

/* One segment, borrowed from the transaction; never ABSENT. */
DZ_MUST_USE enum dz_rc contents_segment(struct dz_kv_txn *txn, const char *ulid,
                                        enum batch_kind kind, uint32_t number,
                                        struct dz_slice *value_out, struct dz_err *err);
void contents_key(struct key *key, const char *ulid, enum batch_kind kind);
void segment_key(struct key *key, const char *ulid, enum batch_kind kind, uint32_t number);

uint64_t worker_bit(uint32_t worker); /* STORE_NO_WORKER: the agent's */

#endif
