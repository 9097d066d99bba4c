/* link.h - whole messages between nodes: a vassal's end (DEALER).  See hub.h.
 *
 * To another machine there may be several ways; they are tried one after another, round and round,
 * until a handshake succeeds.  Then the link is up, until the connection breaks: LOST is told, which
 * is evidence that the hub's process is gone, and trying begins again.  A full round in vain tells
 * FAILED.  What is sent while the link is not up is dropped; the cores repeat what must arrive. */
#ifndef DZ_SHARED_NET_LINK_H
#define DZ_SHARED_NET_LINK_H

#include "shared/net/hub.h"

struct dz_link;

enum { DZ_LINK_WAYS_MAX = 16 };

/* Messages from the hub at `endpoint`, within this process, go to `fn`; `me` is what the hub knows
 * us by. */
DZ_MUST_USE enum dz_rc dz_link_new(struct dz_loop *loop, const char *endpoint, struct dz_peer me,
                                   dz_body_fn *fn, void *arg, struct dz_link **self_out,
                                   struct dz_err *err);
void dz_link_destroy(struct dz_link **self_p);

enum dz_link_event {
    DZ_LINK_UP,      /* the hub proved its key and let us in */
    DZ_LINK_LOST,    /* a connection that was up broke */
    DZ_LINK_FAILED,  /* no way led there in this round */
    DZ_LINK_REFUSED, /* the gate knows us not, or not yet */
};
/* The link may be destroyed in it. */
typedef void dz_link_fn(void *arg, enum dz_link_event event);

struct dz_link_cfg {
    struct dz_peer me;
    const struct dz_keys *keys;   /* copied, as is all of this */
    struct dz_key server;         /* of the hub: nobody else can take its place */
    const char *const *endpoints; /* "tcp://10.0.0.7:41237", the likeliest first */
    size_t endpoint_count;        /* 1 .. DZ_LINK_WAYS_MAX */
    dz_body_fn *fn;
    dz_link_fn *event_fn;
    void *arg;
};
/* Begins to try.  What goes wrong with one endpoint is a failed way, not an error. */
struct dz_link *dz_link_dial(struct dz_loop *loop, const struct dz_link_cfg *cfg);
/* The endpoint in use, "" while the link is not up.  Borrowed until the next event. */
const char *dz_link_way(const struct dz_link *self);

/* FULL: dropped.  AGAIN: not up, dropped. */
enum dz_rc dz_link_send(struct dz_link *self, struct dz_slice body);

#endif
