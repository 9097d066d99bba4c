/* parcel.h - records of one job as bytes, to be sent from one store to another.
 *
 *     "DZPL"  version u8  reserved u8 x 3  raw_len u32  crc32c u32  zstd
 *
 * The sum is of the compressed bytes.  Unpacked, a parcel is a list of sections, each kind u8 and
 * len u32, each at most once:
 *
 *     'h'  JSON: what the job is, as it was begun
 *     'm'  name of its list of tests: digest and count
 *     'M'  the list itself: count u32, a length u32 for each id, the ids
 *     'r' 't' 'l' 's'   records: from u64 (how many of that kind come before), count u32, then
 *                       each: results, texts, logs, spans
 *     'z'  JSON: the seal; only behind the last records
 *
 * Numbers are little-endian.  Unlike what lies in the store's tables this travels, so it does not
 * depend on a machine.  A change to anything above is a new version; the store still reads version 1, whose
 * results end before the line.
 *
 * Decoding trusts nothing: sizes are checked before memory is spent, and what is wrong anywhere
 * makes the whole CORRUPT. */
#ifndef DZ_STORE_PARCEL_H
#define DZ_STORE_PARCEL_H

#include "store/disk.h"
#include "store/sync.h"

enum {
    PARCEL_HEAD = 16,
    PARCEL_JSON_MAX = 256 << 10,
    PARCEL_NAME_MAX = 64,
};

/* Records of one stream; `from` of them come before. */
struct parcel_part {
    bool is_there;
    uint64_t from;
    uint32_t count;
};

struct parcel {
    uint32_t version;
    json_t *head, *seal;        /* owned; NULL: not in it */
    char name[PARCEL_NAME_MAX]; /* of the list; "": none */
    struct dz_slice *ids;       /* owned; point into raw; NULL: no list */
    uint32_t id_count;
    struct parcel_part parts[STORE_STREAMS];
    struct store_result *results; /* owned, as are the next; texts point into raw */
    struct store_text *texts;
    struct store_log *logs;
    struct store_span *spans;
    struct dz_buf raw;
};

/* VERSION: of a newer dagz.  LIMIT: too large.  CORRUPT. */
DZ_MUST_USE enum dz_rc parcel_open(struct dz_slice bytes, struct parcel *out, struct dz_err *err);
void parcel_fini(struct parcel *self); /* DZ_AUTO-able */

/* ---- writing: sections are added to `raw`, which parcel_close() then packs ---- */

void parcel_add_bytes(struct dz_buf *raw, char kind, struct dz_slice bytes);
/* A section that grows: its length and count are filled in by _end(). */
size_t parcel_begin(struct dz_buf *raw, char kind, uint64_t from);
void parcel_end(struct dz_buf *raw, size_t at, uint32_t count);
void parcel_add_list(struct dz_buf *raw, const struct manifest *list);
void parcel_add_result(struct dz_buf *raw, const struct store_result *result);
void parcel_add_text(struct dz_buf *raw, const struct store_text *text);
void parcel_add_log(struct dz_buf *raw, const struct store_log *log);
void parcel_add_span(struct dz_buf *raw, const struct store_span *span);
void parcel_close(struct dz_slice raw, struct dz_buf *out);

#endif
