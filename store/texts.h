/* texts.h - what failures said, as rows of their own or in segments.  Only for this folder. */
#ifndef DZ_STORE_TEXTS_H
#define DZ_STORE_TEXTS_H

#include "store/column.h"
#include "store/contents.h"

/* A text in a segment. */
struct placed_text {
    uint64_t who; /* hash of node, incarnation, execution */
    uint32_t test, offset, len;
    uint8_t attempt, reserved[3];
};
extern const struct column_set TEXT_COLUMNS;

/* The value of such a row, and back. */
void text_pack(struct store *store, struct dz_slice text, struct dz_buf *value);
DZ_MUST_USE enum dz_rc text_unpack(struct store *store, struct dz_slice value, struct dz_buf *out,
                                   struct dz_err *err);

/* Keeps the segment that was read last: who asks in order of tests unpacks each once. */
struct text_reader {
    struct contents contents;   /* owned */
    struct dz_buf texts, bytes; /* owned; struct placed_text of the segment, and what they say */
    uint32_t loaded;
    bool has_loaded;
};
void text_reader_fini(struct text_reader *self);

/* As text_read(), which is for a single one. */
DZ_MUST_USE enum dz_rc text_find(struct store *store, struct dz_kv_txn *txn,
                                 struct text_reader *reader, const char *ulid,
                                 const struct packed_text *name, struct dz_buf *out,
                                 struct dz_err *err);

#endif
