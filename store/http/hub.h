/* hub.h - one reader of the feed, any number of clients.
 *
 * Clients that ask for the same events share a channel.  One thread, the pump, reads the feed for
 * each channel, a few times a second and more often while there are few clients, and keeps the last
 * pieces as bytes: a thousand clients cost one reading and a thousand copies.  Who is behind that,
 * because it reconnects or reads slowly, is given pieces of its own, made from the feed, until it has
 * caught up.  So memory is bounded and nobody misses anything.
 *
 *   piece    bytes of whole events from one place of the feed up to another
 *   place    (row, record), see store/feed.h; the id of an event is the place behind it
 *
 * Threads  hub_join(), hub_read() and hub_leave() from any; hold and wake are called with the hub's
 *          lock held. */
#ifndef DZ_STORE_HTTP_HUB_H
#define DZ_STORE_HTTP_HUB_H

#include <sys/types.h>

#include "shared/base/buf.h"
#include "store/feed.h"

struct hub;
struct hub_stream;

struct hub_ops {
    void (*hold)(void *owner); /* there is nothing to read for now */
    void (*wake)(void *owner); /* there is again, or it is over */
};

struct hub *hub_new(struct store *store, const struct hub_ops *ops);
/* All streams end; woken ones read -1.  The rest follows when they have left. */
void hub_stop(struct hub *self);
void hub_destroy(struct hub **self_p);

/* What a client asks for; strings are copied. */
struct hub_ask {
    struct feed_filter filter;
    struct feed_at from;
    struct dz_slice preface; /* comes first */
};
/* NULL: too many different ones. */
struct hub_stream *hub_join(struct hub *self, const struct hub_ask *ask, void *owner);
/* Bytes read; 0: held, read again when woken; -1: the hub stops. */
ssize_t hub_read(struct hub_stream *stream, char *to, size_t max);
void hub_leave(struct hub_stream **stream_p);

struct hub_counts {
    uint32_t streams, channels;
    uint64_t events, bytes, catch_ups;
};
void hub_count(struct hub *self, struct hub_counts *out);

#endif
