/* tunnel.h - frames to and from nodes that cannot be reached by TCP, as letters through the store.
 *
 * The store may be anybody: what it carries is sealed (shared/net/duct.h), with a duct for each node
 * that is spoken to.  Letters wait there until this node fetches them, by one request that waits for
 * the next letter; what is to be sent goes in numbered batches, one after the other.  It is best
 * effort, as all ways between nodes: the cores repeat what must arrive.
 *
 * Fetching costs the store a connection, so it is done only by who expects letters: for a while
 * after the last frame, or when told to.
 * Bounds    of what waits here: TUNNEL_OUT_MAX of letters, those of one batch that is on its way, and
 *           what ducts hold.
 * Failures  are tried again, later and later and at drawn times; a store that knows no letters is
 *           left alone for longer. */
#ifndef DZ_VASSAL_TUNNEL_H
#define DZ_VASSAL_TUNNEL_H

#include "shared/net/duct.h"
#include "shared/net/loop.h"

struct tunnel;

enum {
    TUNNEL_OUT_MAX = 1 << 20, /* bytes of letters that wait; a letter more at most */
    TUNNEL_ROADS_MAX = 4096,  /* nodes that are spoken to in this way */
    TUNNEL_LISTEN_US = 30 * 1000 * 1000,
};

struct tunnel_ops {
    /* From that node, as its key proved; borrowed for the call. */
    void (*frame)(void *arg, uint64_t node, struct dz_slice frame);
    /* The store says that its process has hung up. */
    void (*left)(void *arg, uint64_t node);
    /* The key of a node that may speak here, NULL: there is no such.  Borrowed for the call. */
    const struct dz_key *(*key)(void *arg, uint64_t node);
    void (*idle)(void *arg); /* all that was said has been sent */
    void *arg;
};

struct tunnel_cfg {
    struct dz_loop *loop; /* borrowed */
    const char *url;      /* of the meeting's letters; copied, as is the rest */
    const char *uri;      /* of the project */
    uint64_t node;        /* this one */
    const struct dz_keys *keys;
    struct tunnel_ops ops;
};

DZ_MUST_USE enum dz_rc tunnel_new(const struct tunnel_cfg *cfg, struct tunnel **self_out,
                                  struct dz_err *err);
void tunnel_destroy(struct tunnel **self_p); /* not from one of the ops */

void tunnel_send(struct tunnel *self, uint64_t node, struct dz_slice frame);
/* Somebody may speak to this node: fetch for TUNNEL_LISTEN_US from now. */
void tunnel_listen(struct tunnel *self);
bool tunnel_is_idle(const struct tunnel *self);

#endif
