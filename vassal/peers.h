/* peers.h - who else takes part in a node's job: how they were found, and the connections to them.
 *
 * By the run's join key (a CI step's, or one that was given) it is decided how nodes meet: nobody
 * else takes part, or a room of this host is entered, or, where the CI has several slots that may
 * be on different hosts and no store answers, each runs its own static share. */
#ifndef DZ_VASSAL_PEERS_H
#define DZ_VASSAL_PEERS_H

#include "shared/ci/ci.h"
#include "shared/net/loop.h"
#include "shared/wire/wire.h"
#include "vassal/core/vassal.h"
#include "vassal/io/mesh.h"
#include "vassal/io/room.h"

enum { PEERS_ALONE_NODE = 1 /* the number of a node that is alone */ };

struct peers {
    struct dz_loop *loop; /* borrowed */
    uint64_t node, inc;
    bool is_meeting;
    bool is_late;              /* the job had ended: there is nothing to do */
    char job[DZ_ULID_LEN + 1]; /* the job's long id */
    struct dz_ci ci;
    struct dz_buf how; /* for people: why it is so */

    struct dz_keys keys;
    struct dz_gate *gate; /* owned, as are room and mesh; NULL: alone */
    struct room *room;
    struct mesh *mesh;
};

/* What makes a job this one and no other, besides what `start` says. */
struct peers_job {
    const char *uri, *profile, *commit;
    const char *ulid; /* its name, if a job begins here */
};

/* Find the others.  A key or a slot that makes no sense is an error: a run that was meant to share
 * its tests must not run all of them in silence. */
DZ_MUST_USE enum dz_rc peers_open(struct peers *self, struct dz_loop *loop,
                                  const struct dz_msg_start *start, const struct peers_job *job,
                                  const struct mesh_ops *ops, struct dz_err *err);
void peers_close(struct peers *self); /* takes a zeroed one */

/* Ask whoever grants the lease.  contact_out: of who holds it. */
void peers_ask(struct peers *self, const struct dz_lease_ask *ask, struct dz_lease_reply *out,
               struct dz_buf *contact_out);
void peers_meet(struct peers *self, uint64_t node, uint64_t inc, struct dz_slice contact);
void peers_send(struct peers *self, uint64_t node, uint64_t inc, struct dz_slice frame);

/* This node, which schedules, has closed the ledger. */
void peers_sealed(struct peers *self, bool is_good);
/* How this node's part ended. */
void peers_ended(struct peers *self, enum dz_slot_end end);

#endif
