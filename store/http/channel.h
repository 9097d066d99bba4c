/* channel.h - the last pieces of one kind of stream.  Only for the hub, under its lock. */
#ifndef DZ_STORE_HTTP_CHANNEL_H
#define DZ_STORE_HTTP_CHANNEL_H

#include "store/feed.h"

enum { PIECES = 64, KEPT_BYTES = 4 << 20 }; /* that a channel keeps */

/* Bytes of whole events.  Counted: several streams read one. */
struct piece {
    unsigned refs;
    struct feed_at from, to;
    size_t len;
    uint8_t bytes[];
};

struct channel {
    char *uri, *ulid; /* owned; NULL: any */
    struct feed_filter filter;
    struct feed_at end;           /* up to here it has been read */
    struct piece *pieces[PIECES]; /* owned; a ring */
    size_t first, count, bytes;
    uint32_t members;
    bool is_used;
};

struct piece *piece_new(struct dz_slice text, struct feed_at from, struct feed_at to);
void piece_drop(struct piece **piece_p); /* NULL is fine */

struct piece *channel_piece(const struct channel *self, size_t i); /* 0: the oldest */
/* Put a piece behind the others; the channel owns it, and forgets what is too much. */
void channel_keep(struct channel *self, struct piece *piece);
void channel_forget(struct channel *self); /* the oldest */
/* The piece that begins at a place; NULL: none, and *until_out is where the next one does, or the
 * channel's end. */
struct piece *channel_find(const struct channel *self, struct feed_at at,
                           struct feed_at *until_out);

#endif
