/* end.h - what hub and link have in common; only for this folder. */
#ifndef DZ_SHARED_NET_END_H
#define DZ_SHARED_NET_END_H

#include <czmq.h>

#include "shared/base/base.h"
#include "shared/net/hub.h"
#include "shared/net/loop.h"

enum { DZ_ROUTING_LEN = 1 + 2 * (int) sizeof(uint64_t) };

struct dz_end {
    struct dz_loop *loop; /* borrowed */
    zsock_t *sock;        /* owned */
    dz_body_fn *fn;
    void *arg;
    uint64_t refused;
    int frames_before_body; /* 1: the routing id */
};

/* Takes the socket, also when it fails; NULL: it could not be made. */
DZ_MUST_USE enum dz_rc dz_end_open(struct dz_end *self, struct dz_loop *loop, zsock_t *sock,
                                   struct dz_err *err);
void dz_end_close(struct dz_end *self);
void dz_routing_id(struct dz_peer peer, uint8_t out[DZ_ROUTING_LEN]);

#endif
