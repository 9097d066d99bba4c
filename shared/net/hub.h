/* hub.h - whole messages between nodes: the scheduler's end (ROUTER).
 *
 * This folder is the only door to libzmq and czmq.  Delivery is best effort, and nothing here
 * ever waits: a message for somebody who is not there, or whose pipe is full, is dropped and the
 * caller told.  The cores number, acknowledge and repeat what must arrive; ZeroMQ's own promises
 * are not relied upon.
 *
 * A message is one routing frame and one body.  Anything else that comes in is counted and
 * dropped.  Bodies are borrowed for the call. */
#ifndef DZ_SHARED_NET_HUB_H
#define DZ_SHARED_NET_HUB_H

#include "shared/base/base.h"
#include "shared/net/keys.h"
#include "shared/net/loop.h"

/* Who a message is for: the node and its life, as the routing id. */
struct dz_peer {
    uint64_t node;
    uint64_t inc;
};

/* Before anything else of this folder, in a process that has one thread: czmq must not take over
 * signals or print to stdout. */
void dz_net_setup(void);
void dz_net_teardown(void); /* when hubs and links are gone */

typedef void dz_body_fn(void *arg, struct dz_slice body);
/* `from`: the node that the gate let this connection in as; 0: it is of this process. */
typedef void dz_hub_fn(void *arg, uint64_t from, struct dz_slice body);

struct dz_hub;
struct dz_gate;

/* `endpoint`: "inproc://..." within this process. */
DZ_MUST_USE enum dz_rc dz_hub_new(struct dz_loop *loop, const char *endpoint, dz_hub_fn *fn,
                                  void *arg, struct dz_hub **self_out, struct dz_err *err);
void dz_hub_destroy(struct dz_hub **self_p);

/* Once: be there for other processes too.  An asterisk as the port of a TCP endpoint takes a free
 * one; the folder of "ipc:///path" must exist.  Needs a gate (gate.h): without one anybody would be
 * let in, so REFUSED.  *endpoint_out is where it is bound, "tcp://0.0.0.0:41237"; borrowed. */
DZ_MUST_USE enum dz_rc dz_hub_listen(struct dz_hub *self, const struct dz_gate *gate,
                                     const struct dz_keys *keys, const char *endpoint,
                                     const char **endpoint_out, struct dz_err *err);

/* ABSENT: nobody of that name.  FULL: its pipe is.  Dropped either way. */
enum dz_rc dz_hub_send(struct dz_hub *self, struct dz_peer to, struct dz_slice body);
/* Messages that were not of the form above. */
uint64_t dz_hub_refused(const struct dz_hub *self);

#endif
