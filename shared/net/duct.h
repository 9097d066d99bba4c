/* duct.h - one node's end of a way to another one that leads through somebody who is trusted with
 * nothing: he may lose, keep, repeat, reorder or invent what goes through his hands.
 *
 * What comes out are frames that the other node put in, each at most once and in order; some may be
 * missing.  The cores number, acknowledge and repeat what must arrive, as over any other way.
 *
 *   OPEN    opener -> answerer   the opener's half of a session                      long-term key
 *   ACCEPT  answerer -> opener   the other half, for this OPEN                       long-term key
 *   DATA    opener -> answerer   number, bytes before it in this session, a frame    the session's
 *   GRANT   answerer -> opener   number, up to which byte frames were taken          the session's
 *   LOST    answerer -> opener   it knows no such session: open another one          long-term key
 *
 * Each node opens for what it has to say, so between two nodes there are up to two sessions.
 *
 * Replay   A number is the nonce, and is taken only if it is greater than the last.  A session has a
 *          half of ours that was made for it, so an OPEN that is said again leads to keys under which
 *          nothing was ever said.  It takes the standing one's place only with the first DATA.
 * Memory   DZ_DUCT_WINDOW bytes of DATA are on their way before a GRANT must come, or one frame; and
 *          DZ_DUCT_WAITING bytes wait here.  What is more is dropped.
 * Losses   A GRANT names a byte, so it also covers what was lost before it.  When none comes, or no
 *          ACCEPT, a new session is opened.
 *
 * No clock and no descriptor: time is given, letters go to a function. */
#ifndef DZ_SHARED_NET_DUCT_H
#define DZ_SHARED_NET_DUCT_H

#include "shared/net/keys.h"

enum {
    DZ_DUCT_FRAME_MAX = 260 << 10,
    DZ_DUCT_WINDOW = 512 << 10,
    DZ_DUCT_WAITING = 1 << 20,
    DZ_DUCT_AGAIN_US = 1000 * 1000, /* without an answer for so long: a new session */
};

struct dz_duct;

struct dz_duct_ops {
    void (*letter)(void *arg, struct dz_slice letter); /* to the other node, somehow */
    void (*frame)(void *arg, struct dz_slice frame);   /* from it */
    void *arg;
};

/* Keys and ops are copied.  CORRUPT: theirs is no key. */
DZ_MUST_USE enum dz_rc dz_duct_new(const struct dz_keys *mine, const struct dz_key *theirs,
                                   const struct dz_duct_ops *ops, struct dz_duct **self_out);
void dz_duct_destroy(struct dz_duct **self_p); /* not from one of the ops */

/* FULL: dropped.  LIMIT: longer than a frame may be. */
enum dz_rc dz_duct_send(struct dz_duct *self, struct dz_slice frame, dz_us now);
/* A letter that is said to be from the other node.  CORRUPT: it is not, or it was here before. */
DZ_MUST_USE enum dz_rc dz_duct_take(struct dz_duct *self, struct dz_slice letter, dz_us now);

/* Bytes that wait, or are on their way without a GRANT. */
size_t dz_duct_held(const struct dz_duct *self);

#endif
