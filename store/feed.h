/* feed.h - what has happened in a store, in the order in which it did.
 *
 * Every commit that changes a job or appends records to it also writes a row of the feed: a number
 * that only grows and what was written.  So an event has a name for ever, (row, record), whoever
 * wrote it, and a reader that knows the last one it has seen misses nothing and gets nothing twice.
 * The newest FEED_ROWS_MAX rows are kept.
 *
 * A row points to records and does not hold them.  Those of a job that has become small, or has
 * been removed, are no longer there one by one: then the row gives FEED_GAP, and its job has to be
 * read again. */
#ifndef DZ_STORE_FEED_H
#define DZ_STORE_FEED_H

#include "store/store.h"

enum { FEED_ROWS_MAX = 1 << 18 };

/* The next event to read.  Rows count from 1. */
struct feed_at {
    uint64_t row;
    uint32_t record;
};
int feed_compare(struct feed_at a, struct feed_at b); /* as memcmp() */

enum feed_kind {
    FEED_JOB,    /* its document has changed: begun, collected, sealed */
    FEED_RESULT, /* an execution */
    FEED_LOG,
    FEED_SPAN,
    FEED_GAP, /* what was here is to be read from the job */
    FEED_KINDS,
};

struct feed_filter {
    const char *uri, *ulid; /* NULL: any */
    unsigned kinds;         /* one bit a kind; FEED_GAP comes with all */
};

/* All pointers are valid during the call. */
struct feed_event {
    struct feed_at at, next;
    enum feed_kind kind;
    const char *ulid, *uri;
    struct dz_slice test_id;    /* of result, log, span; len 0: none, or not known yet */
    struct store_result result; /* FEED_RESULT */
    struct store_log log;       /* FEED_LOG */
    struct store_span span;     /* FEED_SPAN */
};
/* false: enough for now; this event counts as read. */
typedef bool feed_fn(void *arg, const struct feed_event *event);

/* A reader; belongs to one thread, as its store handle does. */
struct store_feed;
struct store_feed *store_feed_open(struct store *store);
void store_feed_close(struct store_feed **self_p);

/* The oldest row that is kept, and the one that will be written next. */
DZ_MUST_USE enum dz_rc store_feed_bounds(struct store *store, uint64_t *first_out,
                                         uint64_t *next_out, struct dz_err *err);

/* Give the events from *at on and before `until`, and move *at behind what was looked at.  Looks at
 * no more than FEED_ROWS_AT_ONCE rows a call: *at before `until` means call again. */
enum { FEED_ROWS_AT_ONCE = 4096 };
DZ_MUST_USE enum dz_rc store_feed_read(struct store_feed *self, const struct feed_filter *filter,
                                       struct feed_at *at, struct feed_at until, feed_fn *fn,
                                       void *arg, struct dz_err *err);

#endif
