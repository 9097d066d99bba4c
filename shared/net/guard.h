/* guard.h - what strangers and members may cost a hub.
 *
 * libzmq bounds a frame, not a message of many frames, and holds every connection that says nothing
 * until the handshake's time is over.  The guard follows the hub's connections and ends some:
 *
 *   unheard   has not sent a message.  Beyond a number of those, whoever has been so for longest goes;
 *             members speak at once, so they stay.
 *   greedy    has sent much more than has come out as messages: parts of one that never ends, or more of
 *             them than we read.  Looked for whenever the process has grown.
 *
 * A connection is ended by shutting its socket; libzmq sees the end and cleans up. */
#ifndef DZ_SHARED_NET_GUARD_H
#define DZ_SHARED_NET_GUARD_H

#include "shared/net/loop.h"

struct dz_guard;

/* Of the hub's ROUTER (libzmq's handle), before it is bound; it must outlive the guard. */
DZ_MUST_USE enum dz_rc dz_guard_new(struct dz_loop *loop, void *handle, struct dz_guard **self_out,
                                    struct dz_err *err);
void dz_guard_destroy(struct dz_guard **self_p);

/* A message of so many bytes came over the connection with this number (-1: of none). */
void dz_guard_heard(struct dz_guard *self, int fd, size_t bytes);

#endif
