/* column.h - records as columns.  Only for this folder.
 *
 * What is finished is kept in segments of some thousand records.  A segment holds each field of
 * all its records one after another, as the difference to the one before in as few bytes as it
 * takes, and each such column is compressed by itself: node and worker nearly vanish, times and
 * numbers shrink to a byte or two.  Texts of the records are one more column.
 *
 *     u32 records, u32 columns
 *     u32 length, u32 length as stored; for each column and then for the texts
 *     the columns, then the texts (zstd where the two lengths differ) */
#ifndef DZ_STORE_COLUMN_H
#define DZ_STORE_COLUMN_H

#include "store/disk.h"

enum {
    COLUMNS_MAX = 20,
    SEGMENT_RECORDS = 8192,      /* records after which a segment is closed */
    SEGMENT_TEXT = 1 << 20,      /* bytes of text after which it is closed */
    SEGMENT_RECORDS_MAX = 65536, /* that are read */
    SEGMENT_TEXT_MAX = 1 << 30,
};

/* A field of a record: an unsigned number of 1, 2, 4 or 8 bytes. */
struct column {
    uint8_t offset, size;
};

struct column_set {
    const struct column *columns;
    uint32_t count;
    uint32_t record_size;
    uint32_t newer; /* of them at the end, which segments of earlier versions lack: 0 in those */
};

#define COLUMN(type, field) \
    { \
        offsetof(type, field), sizeof(((type *) 0)->field) \
    }

extern const struct column_set RESULT_COLUMNS; /* of struct packed_result; no text */

/* An opened segment; borrows the value. */
struct segment {
    uint32_t count, column_count, text_len;
    struct dz_slice columns[COLUMNS_MAX], text;
    uint32_t lens[COLUMNS_MAX]; /* once unpacked */
};

/* Append a segment of `count` records. */
void segment_pack(struct store *store, const struct column_set *set, const void *records,
                  uint32_t count, struct dz_slice text, struct dz_buf *out);
bool segment_open(struct dz_slice value, const struct column_set *set, struct segment *out);
/* Append all its records; bytes between the fields are 0. */
DZ_MUST_USE enum dz_rc segment_records(struct store *store, const struct segment *self,
                                       const struct column_set *set, struct dz_buf *out,
                                       struct dz_err *err);
DZ_MUST_USE enum dz_rc segment_text(struct store *store, const struct segment *self,
                                    struct dz_buf *out, struct dz_err *err);

/* Numbers in as few bytes as they take: seven bits each, least first. */
void varint_add(struct dz_buf *out, uint64_t number);
bool varint_next(struct dz_slice *from, uint64_t *out); /* false: the bytes end before it does */

#endif
