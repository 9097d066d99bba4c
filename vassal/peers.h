/* peers.h - who else takes part in a node's job: how they were found, and the connections to them.
 *
 * By the run's join key (a CI step's, or one that was given) it is decided how nodes meet: nobody
 * else takes part, or they meet at the store; where none answers a room of this host is entered, or,
 * when the CI has several slots that may be on different hosts, each runs its own static share. */
#ifndef DZ_VASSAL_PEERS_H
#define DZ_VASSAL_PEERS_H

#include "shared/ci/ci.h"
#include "shared/net/loop.h"
#include "shared/wire/wire.h"
#include "vassal/core/vassal.h"
#include "vassal/io/mesh.h"
#include "vassal/io/room.h"
#include "vassal/known.h"
#include "vassal/lobby.h"
#include "vassal/tunnel.h"

enum { PEERS_ALONE_NODE = 1 /* the number of a node that is alone */ };

struct peers_ops {
    struct mesh_ops mesh;
    /* To a question of peers_ask(): at once, or later from the loop. */
    void (*answer)(void *arg, uint64_t number, const struct dz_lease_reply *reply,
                   struct dz_slice contact);
    void (*idle)(void *arg); /* peers_is_idle() */
    void *arg;
};

struct peers {
    struct dz_loop *loop; /* borrowed */
    struct peers_ops ops;
    uint64_t node, inc;
    bool is_meeting;
    bool is_late;                   /* the job had ended */
    bool has_sealed;                /* by us */
    bool is_shard;                  /* it runs its own share, without the others */
    char job[DZ_ULID_LEN + 1];      /* the job's long id */
    char step[DZ_MEETING_NAME + 1]; /* by what the store knows that it is of this step, or "" */
    enum dz_rerun mode;             /* DAGZ_MODE */
    uint32_t generation;            /* how often the CI ran it before */
    char previous[DZ_ULID_LEN + 1]; /* the generation before this one, or, of a first one, the job
                                     * that had ended before its nodes came; "": none is known */
    bool is_full;                   /* nothing counts as it was there */
    struct dz_ci ci;
    struct dz_buf how; /* for people: why it is so */

    struct dz_keys keys;
    struct dz_gate *gate; /* owned, as are the next; NULL: alone */
    struct room *room;
    struct lobby *lobby;
    struct mesh *mesh;
    struct tunnel *tunnel;
    struct known known; /* whom it has met */
};

/* What makes a job this one and no other, besides what `start` says. */
struct peers_job {
    const char *uri, *profile, *commit;
    const char *ulid;           /* its name, if a job begins here */
    const char *url;            /* of the store; NULL: there is none */
    const char *after;          /* the key's job had ended: those meet who have tests that this one
                                 * lacks; NULL: none had */
    bool has_answered;          /* it was asked just now */
    bool is_shard;              /* an earlier agent of this node has begun to run its own share */
    const char *folder;         /* of an earlier life's records; NULL: this is the first */
    void (*on_wait)(void *arg); /* the store is asked, and its answer waited for */
    void *arg;
};

/* Find the others.  A key or a slot that makes no sense is an error: a run that was meant to share
 * its tests must not run all of them in silence. */
DZ_MUST_USE enum dz_rc peers_open(struct peers *self, struct dz_loop *loop,
                                  const struct dz_msg_start *start, const struct peers_job *job,
                                  const struct peers_ops *ops, struct dz_err *err);
void peers_close(struct peers *self); /* takes a zeroed one */

/* As what the CI started this slot: a retry is another one. */
uint64_t peers_ci_job(const struct peers *self);

/* Ask whoever grants the lease; one question at a time, the newest. */
void peers_ask(struct peers *self, uint64_t number, const struct dz_lease_ask *ask,
               dz_us patience_us);
/* Whom it meets is written down in this folder, for a later life. */
void peers_keep(struct peers *self, const char *folder);
void peers_meet(struct peers *self, uint64_t node, uint64_t inc, struct dz_slice contact,
                bool is_due);
void peers_send(struct peers *self, uint64_t node, uint64_t inc, struct dz_slice frame);

/* So many have come to the job and have not left it, as whoever keeps the meeting last said; 0: not known. */
unsigned peers_count(const struct peers *self);

/* This node, which schedules, has closed the ledger; account: as the job's seal will say. */
void peers_sealed(struct peers *self, const struct dz_epoch *epoch, bool is_good,
                  const struct store_seal *account);
/* How this node's part ended. */
void peers_ended(struct peers *self, enum dz_slot_end end);
/* Both have been heard, by whoever keeps them. */
bool peers_is_idle(const struct peers *self);

/* -- within this folder: detour.c -- */
/* A way through the store for nodes that it does not lead to otherwise; behind the lobby. */
DZ_MUST_USE enum dz_rc detour_open(struct peers *self, const struct peers_job *job,
                                   struct dz_err *err);
/* Others are in the job that these peers' node schedules: they may speak to it in that way. */
void detour_listen(void *arg);

/* -- within this folder: arrival.c: as what this node comes, and what people are told of it -- */
/* What all nodes of one job have in common; and a part more, which makes it another one. */
void peers_key(const struct peers *self, const struct dz_msg_start *start,
               const struct peers_job *job, struct dz_buf *out);
void peers_key_part(struct dz_buf *key, struct dz_slice part);
struct dz_meeting_entry peers_entry(const struct peers *self);
void peers_tell_after(struct peers *self); /* the job had ended: `previous` */
void peers_tell_arrival(struct peers *self, const struct dz_meeting_entry *entry,
                        const char *where);

#endif
