/* outbox.h - executions of this node from their journaling until the scheduler's word on them.
 *
 * The core decides what becomes of a record; here lies what belongs to it: the reports, the text
 * for people, how the worker ended.  Records are numbered without gaps, so they sit in a ring. */
#ifndef DZ_VASSAL_IO_CARGO_H
#define DZ_VASSAL_IO_CARGO_H

#include "shared/base/base.h"
#include "shared/base/buf.h"
#include "shared/wire/model.h"
#include "vassal/core/vassal.h"

struct cargo_item {
    uint64_t record; /* 0: free */
    struct vassal_outcome outcome;
    enum dz_cause cause; /* FINISHED: the worker reported it */
    uint32_t signal;
    dz_us elapsed_us;
    bool is_counted; /* the scheduler said so, and that it is not stored yet */
    uint8_t *bytes;  /* owned; blob, then text */
    uint32_t blob_len, text_len;
};

struct cargo {
    struct cargo_item *items; /* owned; a ring of `cap`, a power of two */
    size_t cap;
    uint64_t first, end; /* records */
    uint64_t hint;       /* record after the one found last */
    size_t bytes;        /* held by items */
};

void cargo_fini(struct cargo *self);
/* record == end, or the box is empty.  Copies blob and text. */
struct cargo_item *cargo_add(struct cargo *self, uint64_t record, struct dz_slice blob,
                             struct dz_slice text);
struct cargo_item *cargo_get(struct cargo *self, uint64_t record); /* NULL: not there */
/* The item of this node's own execution, NULL: not there.  Quick when asked for in the order of records. */
struct cargo_item *cargo_find(struct cargo *self, uint64_t inc, uint64_t exec);
void cargo_drop(struct cargo *self, uint64_t record);
/* Keep the facts and let go of reports and text. */
void cargo_strip(struct cargo *self, uint64_t record);
typedef void cargo_fn(void *arg, const struct cargo_item *item);
void cargo_each(const struct cargo *self, cargo_fn *fn, void *arg);

static inline struct dz_slice
cargo_blob(const struct cargo_item *item)
{
    return (struct dz_slice){ item->bytes, item->blob_len };
}

static inline struct dz_slice
cargo_text(const struct cargo_item *item)
{
    return (struct dz_slice){ item->bytes + item->blob_len, item->text_len };
}

/* An item as the spool keeps it, and back.  CORRUPT: not one of ours.  The slices that
 * cargo_decode() gives out borrow from `value`. */
void cargo_encode(const struct cargo_item *item, struct dz_buf *out);
DZ_MUST_USE enum dz_rc cargo_decode(struct dz_slice value, struct cargo_item *item_out,
                                    struct dz_slice *blob_out, struct dz_slice *text_out);

#endif
