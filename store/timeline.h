/* timeline.h - a job's logs or spans in the order of time, wherever they lie: in segments, which are
 * read one after another, and in batches, whose heads are held in memory.  Only for this folder.
 *
 * Batches may become segments while somebody reads.  Then the reader begins again at the place
 * where it is: every record has a place for ever (its time, its batch, its number in that batch),
 * and none is given twice or left out. */
#ifndef DZ_STORE_TIMELINE_H
#define DZ_STORE_TIMELINE_H

#include "store/column.h"

/* A log record or a span. */
struct moment {
    uint64_t node, source, id, parent;
    int64_t first_us, last_us;
    uint32_t thread, test;
    uint32_t offset, len; /* of its text: a log's, or type and name of a span */
    uint32_t batch, index;
    uint16_t worker, type_len;
    uint8_t attempt, what; /* enum store_log_kind, or enum dz_result */
    uint8_t reserved[2];
};
extern const struct column_set MOMENT_COLUMNS;

struct moment_filter {
    int64_t since_us, until_us; /* until 0: no end */
    int worker, thread;         /* -1: all; worker -2: the agent's */
    bool has_node;
    uint64_t node;
    const uint8_t *tests; /* one bit a test, NULL: all; borrowed while the reader lives */
    uint32_t test_count;
    uint64_t key;         /* of store_span_key(), 0: all */
    uint32_t from, until; /* batches; until 0: no end */
};

/* Of one record in a batch; its batch and index are the caller's to fill in. */
struct moment moment_unpack(enum batch_kind kind, const uint8_t *record);
size_t moment_packed_size(enum batch_kind kind);
int moment_by_place(const void *a, const void *b); /* for qsort(): time, batch, index */
bool moment_fits(const struct moment *m, const struct moment_filter *filter);

struct timeline;

DZ_MUST_USE enum dz_rc timeline_open(struct store *store, const char *ulid, enum batch_kind kind,
                                     const struct moment_filter *filter, struct timeline **out,
                                     struct dz_err *err);
/* The batches only that no segment holds yet, until there are `limit` records; for what makes
 * segments. */
DZ_MUST_USE enum dz_rc timeline_open_batches(struct store *store, const char *ulid,
                                             enum batch_kind kind, size_t limit,
                                             struct timeline **out, struct dz_err *err);
void timeline_close(struct timeline **self_p);
/* ABSENT: no more for now.  Both are valid until the next call. */
DZ_MUST_USE enum dz_rc timeline_next(struct timeline *self, const struct moment **out,
                                     struct dz_slice *text_out, struct dz_err *err);
/* Other tests, from the next refresh on. */
void timeline_choose(struct timeline *self, const uint8_t *tests, uint32_t test_count);
/* Look for what was appended since. */
DZ_MUST_USE enum dz_rc timeline_refresh(struct timeline *self, struct dz_err *err);
/* How many timeline_next() will give; may read all segments that could hold some. */
DZ_MUST_USE enum dz_rc timeline_pending(struct timeline *self, uint64_t *out, struct dz_err *err);
uint32_t timeline_until(const struct timeline *self); /* batches below it were looked at */

#endif
