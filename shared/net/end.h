/* end.h - what hub and link have in common; only for this folder. */
#ifndef DZ_SHARED_NET_END_H
#define DZ_SHARED_NET_END_H

#include <czmq.h>

#include "shared/base/base.h"
#include "shared/net/guard.h"
#include "shared/net/hub.h"
#include "shared/net/keys.h"
#include "shared/net/loop.h"

/* All jobs' one domain: an agent has one job. */
#define DZ_GATE_DOMAIN "dagz"

enum {
    DZ_ROUTING_LEN = 1 + 2 * (int) sizeof(uint64_t) + DZ_PROOF_LEN,
    DZ_USER_LEN = 16, /* hexadecimal digits of a node's number, as the gate writes them */
};

struct dz_end {
    struct dz_loop *loop; /* borrowed */
    zsock_t *sock;        /* owned; NULL: closed */
    dz_body_fn *fn;       /* one of the two */
    dz_hub_fn *hub_fn;
    void *arg;
    uint64_t refused;
    int frames_before_body; /* 1: the routing id */
    struct dz_guard *guard; /* borrowed; NULL: it is not faced with others */
};

/* Takes the socket, also when it fails; NULL: it could not be made. */
DZ_MUST_USE enum dz_rc dz_end_open(struct dz_end *self, struct dz_loop *loop, zsock_t *sock,
                                   struct dz_err *err);
void dz_end_close(struct dz_end *self);
/* How connections between machines are kept; before binding or connecting to this endpoint. */
void dz_end_face_network(struct dz_end *self, const struct dz_keys *keys, const char *endpoint);
/* A socket in a folder that only its owner can enter. */
bool dz_end_is_room(const char *endpoint);
/* After so long without its end a handshake is given up, on either side. */
int dz_end_handshake_ms(const char *endpoint);
/* A name that only the peer and the hub know, so that no other member can take it away. */
void dz_routing_id(struct dz_peer peer, const uint8_t proof[static DZ_PROOF_LEN],
                   uint8_t out[static DZ_ROUTING_LEN]);

#endif
