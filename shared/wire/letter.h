/* letter.h - bytes for a node, or from one, several of them behind each other: what travels through
 * the store between nodes that cannot reach each other.  What is inside is sealed (net/seal.h). */
#ifndef DZ_SHARED_WIRE_LETTER_H
#define DZ_SHARED_WIRE_LETTER_H

#include "shared/base/buf.h"

enum {
    DZ_LETTER_HEAD = 12,       /* node (8) and length (4), the lowest byte first */
    DZ_LETTER_MAX = 264 << 10, /* bytes of one: a frame between nodes and its seal */
};

/* What the store itself says of a node: it has hung up.  Nodes do not say it, since one byte is too
 * short for any seal. */
#define DZ_LETTER_LEFT ((struct dz_slice){ (const uint8_t *) "-", 1 })

/* len: 1 .. DZ_LETTER_MAX */
void dz_letter_add(struct dz_buf *out, uint64_t node, struct dz_slice bytes);
/* The first of `rest`, which then begins behind it.  ABSENT: there is none.  CORRUPT: anybody's
 * bytes. */
DZ_MUST_USE enum dz_rc dz_letter_next(struct dz_slice *rest, uint64_t *node_out,
                                      struct dz_slice *bytes_out);

#endif
