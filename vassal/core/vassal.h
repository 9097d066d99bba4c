/* vassal.h - one per node: its slots, what they hold, and results that must not be lost.
 *
 * A pure core like coord/core/coord.h, with the same rules: one event and the time in, effects out,
 * to be carried out in order; events borrowed for the call, effects until the next vassal_step();
 * bytes of a MESSAGE may be anything, every other event is our own driver's and given once.
 *
 * Life     vassal_new() -> (RESTORED, ATTACHED, SLOT_UP of a life before) -> MANIFEST -> it says HELLO
 *          to the scheduler and forks its slots -> tests -> DRAIN: slots end -> DONE.
 * A slot   is a worker's number with at most one living worker.
 *              FORK -> SLOT_UP -> FEED ... RESULT ... -> SLOT_DOWN -> (FORK again)
 *          The core keeps the list of what it granted and has no result of, in the order of the
 *          queue in shared memory: running first.
 * A result RESULT -> JOURNAL -> JOURNALED -> told to the scheduler -> COUNTED -> STORED.  The driver
 *          keeps what belongs to it (reports, log range, stacks) under `record` until COUNTED, and
 *          the record itself in the spool until it is stored.
 * Who leads  Above the session, this core decides who schedules (its rank):
 *              ask the authority (the store; on one host the lock's holder) -> GRANTED: LEAD, this node
 *              makes a coordinator | HELD: HELLO to the holder | UNREACHABLE: SHARD if the CI has
 *              several slots, else LEAD.
 *          A scheduler that is gone or silent: CLAIM with that evidence; if the authority cannot be
 *          reached, nodes succeed it in the order that it told (MEMBERS), with n + 1.
 *          The coordinator that the driver hosts is another core (coord/core/coord.h); what one of
 *          them has to tell the other goes through the driver: LEAD, ABDICATE, and DEPOSED back.
 * Messages  SEND names a node.  To itself: straight to its coordinator.  A frame that arrives goes to the
 *          end that its envelope names (`to`, shared/wire/frame.h); one for a scheduler that does
 *          not run here is given to this core, which tells its sender who leads. */
#ifndef DZ_VASSAL_CORE_VASSAL_H
#define DZ_VASSAL_CORE_VASSAL_H

#include "shared/base/base.h"
#include "shared/wire/account.h"
#include "shared/wire/lease.h"
#include "shared/wire/mesh.h"
#include "shared/wire/model.h"

struct vassal;

enum { VASSAL_SLOTS_MAX = 1024, VASSAL_QUEUE_MAX = 128 /* granted and unfinished, per slot */ };

enum vassal_rendezvous {
    VASSAL_ALONE, /* nobody else takes part: this node leads as soon as it has its manifest */
    VASSAL_MEETS, /* there is an authority to ask (store, host) */
};

struct vassal_cfg {
    struct dz_slice job; /* copied */
    uint64_t node;       /* unique in the job, not 0 */
    uint64_t inc;        /* of this life of the agent: greater than those of earlier lives */
    unsigned slots;      /* workers of this node: 1 .. VASSAL_SLOTS_MAX */
    dz_us hb_us;         /* 0: 100 ms; LEAD changes it */
    uint64_t seen_n;     /* greatest epoch number on disk, 0 none */
    enum vassal_rendezvous rendezvous;
    unsigned shard_index,
        shard_total;         /* of the CI's parallel step; total < 2: not known to be one */
    struct dz_slice contact; /* copied: how others reach this node (the transport's bytes), at most
                              * DZ_CONTACT_MAX.  Empty: it cannot be reached, so it never succeeds */
    /* Nodes of this job that an earlier life of this one had met; copied.  With them a node that finds
     * no authority does not go its own way: it asks them who schedules. */
    const uint64_t *known;
    size_t known_count;
    unsigned nodes; /* have come to the job by now, this one too; 0: not known */
};

/* What a worker may expect after its queue is empty: enum dz_more of shared/shm/shm.h, number for
 * number. */
enum vassal_more { VASSAL_MORE_ASK, VASSAL_MORE_NONE, VASSAL_MORE_END };

/* One finished execution. */
struct vassal_outcome {
    struct dz_grant what;
    uint32_t result; /* enum dz_result */
    uint32_t slot;
    uint64_t exec;      /* unique among all executions of this node's incarnation (not only of the
                      * worker: put the worker's generation above its own counter) */
    uint64_t inc;       /* incarnation in which it ran; the core fills it, RESTORED gives it back */
    uint64_t origin;    /* node that ran it, 0: this one; the core fills it, RESTORED gives it back.
                      * Not 0: a copy of these facts, which another node wants to be kept here */
    uint64_t copied_in; /* the core's own; RESTORED: 0 */
    uint64_t digest;    /* of the reports */
    dz_us start_us, setup_us, call_us, teardown_us;
    uint32_t line; /* of the test: enum dz_line */
};

enum vassal_event_kind {
    VASSAL_EV_TICK,      /* time passed */
    VASSAL_EV_MANIFEST,  /* collected: take part.  Once */
    VASSAL_EV_MESSAGE,   /* bytes from the scheduler */
    VASSAL_EV_SLOT_UP,   /* a worker is there, its queue is empty.  Answers FORK; without FORK for a
                          * worker that forked before the manifest was known (solo) */
    VASSAL_EV_ATTACHED,  /* instead of SLOT_UP, after this agent was restarted: a living worker with
                          * what its queue still holds.  Best before MANIFEST (later, what had not
                          * begun is taken out of its queue) */
    VASSAL_EV_SLOT_ASKS, /* the worker sent `wake`, its queue is still empty and `more` is ASK: it
                          * sleeps until a FEED, which comes soon.  Not for a wake about the ring */
    VASSAL_EV_SLOT_DOWN, /* the worker is dead, its ring is read to the end (RESULTs given) */
    VASSAL_EV_RESULT,    /* a `result` frame was read from a slot's ring, or what it says was made
                          * up by the driver */
    VASSAL_EV_JOURNALED, /* every JOURNAL up to `record` is durable */
    VASSAL_EV_RESTORED,  /* before MANIFEST: a record of this job in the spool that no scheduler was
                          * heard to count */
    VASSAL_EV_UNPUT,     /* answer to UNPUT: one for each, even when the worker died */
    VASSAL_EV_ABSENT,    /* the slot's worker has no such tests (it collected other ones): they were
                          * in a FEED and are not in the queue */
    VASSAL_EV_STOP,      /* the person, or -x, ends the job */
    VASSAL_EV_LEAVE,     /* SIGTERM to this node: unstarted tests go back, others go on elsewhere */
    VASSAL_EV_JOIN,      /* the transport is ready: look for the others.  Once; may come before or
                          * after MANIFEST.  Not under VASSAL_ALONE */
    VASSAL_EV_ANSWER,    /* to an ASK, when there is one; UNREACHABLE if the driver gave up */
    VASSAL_EV_GONE,      /* the transport knows that a node's process has ended (its connection was
                          * reset and cannot be made again).  Silence is noticed by the cores */
    VASSAL_EV_DEPOSED,   /* the coordinator of this node said DEPOSED and is destroyed */
};

struct dz_item_own;

/* This node's tests: at() is asked for those below `total` until the core is destroyed, and what it gives is
 * used before it is asked again.  at: NULL: it is told to nobody. */
struct vassal_own {
    void (*at)(const void *arg, uint32_t test, struct dz_item_own *out);
    const void *arg;
};

struct vassal_event {
    enum vassal_event_kind kind;
    union {
        struct {
            uint32_t total;
            uint64_t digest;       /* the same number as in coord.h */
            uint64_t seen_n;       /* greatest epoch number on disk, 0 none */
            unsigned nodes;        /* have come to the job by now; 0: not known */
            struct vassal_own own; /* for a scheduler whose list differs */
        } manifest;
        struct dz_slice message;
        struct {
            unsigned slot;
        } slot; /* SLOT_UP, SLOT_ASKS */
        struct {
            unsigned slot;
            const struct dz_grant
                *held; /* running first, then the queue; at most VASSAL_QUEUE_MAX */
            size_t count;
        } attached;
        struct {
            unsigned slot;
            enum dz_cause
                cause;    /* SIGNAL, EXITED, OOM: a strike for `ran`.  TIMEOUT: final for `ran`.
                                  * Others: nobody's fault */
            bool has_ran; /* a test was running (shm `running`) and its result was not read */
            bool is_lost; /* no worker can be made in this slot again */
            struct dz_grant ran;
            uint64_t exec;
            dz_us start_us, elapsed_us;
            uint32_t line; /* as of an outcome */
        } down;
        struct vassal_outcome result; /* inc need not be filled */
        struct {
            uint64_t record;
        } journaled;
        struct {
            uint64_t record;
            struct vassal_outcome outcome;
        } restored;
        struct {
            unsigned slot;
            const struct dz_grant *grants; /* UNPUT: as dz_queue_unput() gave them, last first */
            size_t count;
        } back; /* UNPUT, ABSENT */
        struct {
            int how; /* 0 running tests finish, 1 kill workers now */
            struct dz_slice reason;
        } stop;
        struct {
            uint64_t number; /* of the ASK */
            struct dz_lease_reply reply;
            struct dz_slice contact; /* GRANTED: empty.  HELD: of the holder, as it gave it */
            unsigned nodes; /* have come to the job, as whoever answers knows; 0: it does not say */
        } answer;
        struct {
            uint64_t node;
            uint64_t inc;
        } gone;
        struct dz_epoch deposed; /* the greater epoch; n 0: it left by itself, none is known */
    } as;
};

enum vassal_effect_kind {
    VASSAL_FX_SEND,  /* to a node, best effort: never wait for it, drop it when there is no way */
    VASSAL_FX_FORK,  /* make a worker in the slot (nothing to do if one is being made: solo); answer
                        * SLOT_UP, or SLOT_DOWN when that failed */
    VASSAL_FX_FEED,  /* 1 put the grants into the slot's queue, 2 set `more`, 3 wake the worker if
                        * it waits.  count may be 0 */
    VASSAL_FX_UNPUT, /* take up to `count` back from the end of the slot's queue; answer UNPUT with
                        * those that could be taken, possibly none */
    VASSAL_FX_KILL,  /* kill the slot's process group now; SLOT_DOWN with cause STOPPED follows */
    VASSAL_FX_JOURNAL, /* write it to the spool with all that belongs to it; answer JOURNALED */
    VASSAL_FX_COUNTED, /* the scheduler's word on a record: tell the controller (once for each) */
    VASSAL_FX_DONE,    /* the job is over (or, not is_sealed: cannot go on); nothing follows */
    VASSAL_FX_NOTE,    /* a line for people */
    VASSAL_FX_STORED,  /* a record need not be kept in the spool any more.  What was not said to be
                        * stored when the node ends stays there, for zb push */
    VASSAL_FX_ASK,     /* ask the authority; answer ANSWER.  Only the newest ASK counts: one that is
                        * still on its way may be dropped (without an answer) for the next.  A HTTP
                        * try takes at most ask.patience_us, then say UNREACHABLE */
    VASSAL_FX_MEET,    /* here is how to reach a node: let it in.  Safe to repeat */
    VASSAL_FX_LEAD,    /* this node schedules: make a coordinator (after destroying one that runs),
                        * START it with seen_n = n - 1, MANIFEST when it is known, LEDGER with what
                        * the authority's ledger holds if it can be read */
    VASSAL_FX_ABDICATE, /* give the coordinator of this node COORD_EV_OUTRANKED, if one runs; it
                         * answers with its own DEPOSED */
    VASSAL_FX_RANK,     /* what this node is has changed; for logs and people */
};

/* Reasons of a RANK that people are told of. */
#define VASSAL_WHY_LED    "is led"
#define VASSAL_WHY_YIELDS "still collects, and others wait"

/* What DONE tells: message `done` can be filled from it. */
struct vassal_end {
    struct dz_account account; /* unless is_sealed, nothing of it is known */
    bool is_sealed;            /* false: the job ended here without a seal */
    bool is_late;  /* not is_sealed: it had ended before this node could join.  The driver compares
                     * manifests: exit 0, or what the sealed one lacks is a job of its own */
    bool is_shard; /* only this node's static shard: completeness is not verified */
    uint64_t pending; /* records of this node that are not known to be stored */
};

struct vassal_effect {
    enum vassal_effect_kind kind;
    union {
        struct {
            uint64_t node; /* to: may be this node itself, that is its coordinator */
            uint64_t inc;  /* 0: in whatever life it is */
            struct dz_slice frame;
        } send;
        struct {
            unsigned slot;
        } slot; /* FORK, KILL */
        struct {
            unsigned slot;
            const struct dz_grant *grants;
            size_t count;
            enum vassal_more more;
        } feed;
        struct {
            unsigned slot;
            size_t count;
        } unput;
        struct {
            uint64_t record; /* 1, 2, ... above all RESTORED ones */
            enum dz_cause
                cause; /* FINISHED: the worker's own report.  Else the core made it up from
                                  * that SLOT_DOWN, in the same step: add the stacks */
            struct vassal_outcome outcome;
        } journal;
        struct {
            uint64_t record;
            enum dz_word word;
            bool is_stored; /* STORED will not follow */
            struct vassal_outcome outcome;
        } counted;
        uint64_t stored; /* record */
        struct {
            uint64_t number;
            struct dz_lease_ask ask;
            dz_us patience_us;
        } ask;
        struct {
            uint64_t node;
            uint64_t inc; /* 0: not known */
            struct dz_slice contact;
            bool is_due; /* it will be spoken to: connect now */
        } meet;
        struct {
            uint64_t n;        /* number of the epoch */
            unsigned expected; /* nodes that were members: coord_cfg.nodes_expected */
            unsigned shard_index, shard_total; /* total 0: everything.  To coord_cfg */
            bool is_blind; /* the authority could not be reached: coord_cfg.is_blind unless the
                            * driver can read the ledger all the same */
        } lead;
        struct {
            const char *name;      /* "VASSAL" */
            struct dz_epoch epoch; /* of the scheduler, n 0: none is known */
            const char *why;       /* a few words */
        } rank;
        struct dz_epoch abdicate; /* the greater epoch; n 0: none, this node only leaves */
        struct vassal_end done;
        struct {
            unsigned severity;
            struct dz_slice text;
        } note;
    } as;
};

struct vassal_effects {
    const struct vassal_effect *items;
    size_t count;
};

struct vassal *vassal_new(const struct vassal_cfg *cfg);
void vassal_destroy(struct vassal **self_p);
void vassal_step(struct vassal *self, const struct vassal_event *event, dz_us now,
                 struct vassal_effects *out);
/* When the next TICK is wanted at the latest; INT64_MAX: no need. */
dz_us vassal_next(const struct vassal *self);

/* For the driver's own decisions and for logs. */
enum vassal_slot_state {
    VASSAL_SLOT_ABSENT,
    VASSAL_SLOT_FORKING,
    VASSAL_SLOT_IDLE,
    VASSAL_SLOT_BUSY,
    VASSAL_SLOT_LEAVING,
    VASSAL_SLOT_LOST,
    VASSAL_SLOT_STATES
};
enum vassal_slot_state vassal_slot_state(const struct vassal *self, unsigned slot);
const char *vassal_state_text(const struct vassal *self); /* "SERVING" */
const char *vassal_rank_text(const struct vassal *self);  /* "CANDIDATE" */

/* Asserts what must always hold (README.md); for tests, since it looks at everything. */
void vassal_check(const struct vassal *self);

#endif
