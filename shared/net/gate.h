/* gate.h - who may connect: the public keys of a job's members, and nobody else.
 *
 * Answers libzmq's question (ZAP, RFC 27) after every CURVE handshake of this process.  It denies
 * by default: until a key is admitted, and when there is no gate at all, hubs with keys refuse to
 * bind.  A peer that is let in is known by its node's number in everything that it sends. */
#ifndef DZ_SHARED_NET_GATE_H
#define DZ_SHARED_NET_GATE_H

#include "shared/net/keys.h"
#include "shared/net/loop.h"

struct dz_gate;

enum { DZ_GATE_KEYS_MAX = 16384 };

/* One per process, before the first hub with keys.  EXISTS: there is one. */
DZ_MUST_USE enum dz_rc dz_gate_new(struct dz_loop *loop, struct dz_gate **self_out,
                                   struct dz_err *err);
void dz_gate_destroy(struct dz_gate **self_p); /* hubs first */

/* Asked about a key that was not admitted; true: it is now. */
typedef bool dz_gate_fn(void *arg, const struct dz_key *public);
void dz_gate_on_stranger(struct dz_gate *self, dz_gate_fn *fn, void *arg);

/* Again: fine.  LIMIT: too many.  REFUSED: another key has the same number. */
DZ_MUST_USE enum dz_rc dz_gate_admit(struct dz_gate *self, const struct dz_key *public);
/* New connections of this key are refused; one that stands is not cut. */
void dz_gate_expel(struct dz_gate *self, const struct dz_key *public);

/* The key of an admitted node, NULL: none.  Borrowed until it is expelled. */
const struct dz_key *dz_gate_key(const struct dz_gate *self, uint64_t node);

/* It is admitted, and no connection of it was let in yet. */
bool dz_gate_awaits(const struct dz_gate *self, uint64_t node);

/* Handshakes that were refused. */
uint64_t dz_gate_refused(const struct dz_gate *self);

#endif
