/* mesh.h - a node's connections to the others: one place to listen, and a link to each node that it
 * has to speak to first.
 *
 * A frame goes the way that is open: over a link of ours, or back over the one on which that node
 * came to us.  Where there is none and it is known how to reach the node, one is dialled; the last
 * short frame goes as soon as that is up, others are dropped: the cores repeat what must arrive.
 * Frames from here to here take the same path (within the process), so a single node is a mesh of one.
 *
 * Detour   Where no direct way is found within MESH_PATIENCE_US, or the direct one says nothing for
 *          MESH_DOUBT_US although we speak, frames go through the detour (in doubt both ways), if
 *          there is one.  Dialling is tried again, later and later.  It ends with the first frame
 *          that comes directly.
 * Death    A connection that broke and cannot be made again tells that a process is gone, unless it
 *          has just spoken through the detour; or the detour tells.  Silence is not noticed here: the cores do that.
 * Trust    Everything that comes from outside names the node whose key proved it; a frame whose
 *          envelope says otherwise is dropped and counted. */
#ifndef DZ_VASSAL_IO_MESH_H
#define DZ_VASSAL_IO_MESH_H

#include "shared/base/buf.h"
#include "shared/net/gate.h"
#include "shared/net/keys.h"
#include "shared/net/loop.h"

struct mesh;

enum {
    MESH_NODES_MAX = 16384, /* others that are known */
    MESH_LINKS_MAX = 64,    /* dialled at one time; the oldest idle one makes room */
    MESH_PATIENCE_US = 1000 * 1000,
    MESH_DOUBT_US = 500 * 1000,
    MESH_THERE_US = 2 * 1000 * 1000,  /* who spoke through the detour so lately lives */
    MESH_USUAL_US = 10 * 1000 * 1000, /* somebody did so lately: patience with others is in vain */
    MESH_RETRY_US =
        2 * 1000 * 1000, /* between two tries to dial a node beside the detour; doubled */
    MESH_RETRY_MOST_US = 32 * 1000 * 1000,
};

/* Where mesh_ops.way() says that a node is reached, besides endpoints. */
#define MESH_WAY_DETOUR "store"  /* not directly */
#define MESH_WAY_CALLED "itself" /* directly again, over a connection that it made */

struct mesh_ops {
    /* A frame for an end of this node; borrowed for the call. */
    void (*frame)(void *arg, struct dz_slice frame);
    /* The process of a node is gone. */
    void (*gone)(void *arg, uint64_t node, uint64_t inc);
    /* How this node came to speak to another, "tcp://..." or one of the words above, for people. */
    void (*way)(void *arg, uint64_t node, const char *endpoint);
    void *arg;
};

struct mesh_cfg {
    struct dz_loop *loop; /* borrowed */
    uint64_t node, inc;   /* with keys: dz_key_node() of the public one */
    const char *name;     /* of the place within this process: "inproc://..." */
    /* NULL: nobody else takes part, and nothing is opened to the outside. */
    const struct dz_keys *keys; /* borrowed */
    struct dz_gate *gate;       /* borrowed */
    const char *ipc;            /* "ipc:///...": a room of this host; NULL: TCP, a free port */
    struct mesh_ops ops;
};

DZ_MUST_USE enum dz_rc mesh_new(const struct mesh_cfg *cfg, struct mesh **self_out,
                                struct dz_err *err);
void mesh_destroy(struct mesh **self_p);

/* How others reach this node: bytes for contact.h.  Empty without keys. */
struct dz_slice mesh_contact(const struct mesh *self);

/* Here is how to reach a node: let it in (unless it was shut out), and dial it when there is
 * something to say.  Contacts are
 * anybody's bytes: CORRUPT, or not of that node. LIMIT: too many nodes. */
DZ_MUST_USE enum dz_rc mesh_meet(struct mesh *self, uint64_t node, uint64_t inc,
                                 struct dz_slice contact);

/* There will be something to say to it: dial it now, if it has not come to us.  Safe to repeat. */
void mesh_reach(struct mesh *self, uint64_t node);

/* Send `fn` what does not go directly. */
typedef void mesh_detour_fn(void *arg, uint64_t node, struct dz_slice frame);
void mesh_set_detour(struct mesh *self, mesh_detour_fn *fn, void *arg);
/* A frame came through it, from that node, as its key proved. */
void mesh_hear(struct mesh *self, uint64_t node, struct dz_slice frame);

/* Whoever leads the detour says that the process at its other end is gone.  Believed only where that
 * is the way on which the node is spoken to. */
void mesh_leave(struct mesh *self, uint64_t node);

/* It takes part no more: its key is refused from now on, and what it still says is dropped. */
void mesh_shut_out(struct mesh *self, uint64_t node);
/* It does again, as whoever keeps the list of members says. */
void mesh_let_back(struct mesh *self, uint64_t node);

/* Best effort, without a word when there is no way. inc 0: in whatever life it is. */
void mesh_send(struct mesh *self, uint64_t node, uint64_t inc, struct dz_slice frame);

/* The endpoint at which we reach it, MESH_WAY_DETOUR, or "": it came to us, or there is no way. */
const char *mesh_way(const struct mesh *self, uint64_t node);

/* Frames that were dropped because they named another sender than the one whose key it was. */
uint64_t mesh_impostors(const struct mesh *self);

#endif
