/* event.h - an event of the feed as a client gets it. */
#ifndef DZ_STORE_HTTP_EVENT_H
#define DZ_STORE_HTTP_EVENT_H

#include "shared/base/buf.h"
#include "store/feed.h"

/* Append it as text/event-stream.  Its id is the place behind it. */
void event_write(struct dz_buf *out, const struct feed_event *event);
/* Only "you have seen all up to here"; no client program sees it. */
void event_write_place(struct dz_buf *out, struct feed_at place);
/* "12.3"; false: not one of ours. */
bool event_read_id(const char *text, struct feed_at *out);

/* The topics of a query ("job,log") as bits of kinds.  0: err names the one that is unknown. */
unsigned event_topics(const char *text, struct dz_err *err);

#endif
