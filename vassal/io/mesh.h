/* mesh.h - a node's connections to the others: one place to listen, and a link to each node that it
 * has to speak to first.
 *
 * A frame goes the way that is open: over a link of ours, or back over the one on which that node
 * came to us.  Where there is none and it is known how to reach the node, one is dialled and the
 * frame dropped; the cores repeat what must arrive.  Frames from here to here take the same path
 * (within the process), so a single node is a mesh of one.
 *
 * Death    A connection that broke and cannot be made again tells that a process is gone.  Silence
 *          is not noticed here: the cores do that.
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
};

struct mesh_ops {
    /* A frame for an end of this node; borrowed for the call. */
    void (*frame)(void *arg, struct dz_slice frame);
    /* The process of a node is gone. */
    void (*gone)(void *arg, uint64_t node, uint64_t inc);
    /* How this node came to speak to another, "tcp://...", for people. */
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

/* It takes part no more: its key is refused from now on, and what it still says is dropped. */
void mesh_shut_out(struct mesh *self, uint64_t node);
/* It does again, as whoever keeps the list of members says. */
void mesh_let_back(struct mesh *self, uint64_t node);

/* Best effort, without a word when there is no way. inc 0: in whatever life it is. */
void mesh_send(struct mesh *self, uint64_t node, uint64_t inc, struct dz_slice frame);

/* The endpoint at which we reach it, "": it came to us, or there is no way. */
const char *mesh_way(const struct mesh *self, uint64_t node);

/* Frames that were dropped because they named another sender than the one whose key it was. */
uint64_t mesh_impostors(const struct mesh *self);

#endif
