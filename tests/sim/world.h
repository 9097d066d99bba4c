/* world.h - a whole job in one process: nodes, their workers, a network, a store, and faults.
 *
 * The cores under test are the production ones.  Everything around them is simulated: one heap of
 * events ordered by (time, sequence), one random generator, no clock.  A seed is a history: the
 * same seed gives the same trace, whose hash is compared.
 *
 * A node   has an agent (a process with a vassal's core and, while it leads, a coordinator's), workers, and
 *          a disk: spool, number of its epoch, and the ledger that it counted in while it led.
 * Modes    STORE: private ledgers that are copied to the store's, which may be away.  HOST: one
 *          machine, one ledger, an authority that is always there.  ALONE: one node.
 * Phases   faults until `heal_at`; then everything works again and every node must leave within
 *          a bound; then the disks that are left are pushed, and the store's ledger is compared with
 *          what really happened (oracle.c).
 * Tests    have one number in the world (the universe, sorted by id).  Each node collected a subset, in
 *          whose numbers its cores speak: node.own maps them. */
#ifndef DZ_TESTS_SIM_WORLD_H
#define DZ_TESTS_SIM_WORLD_H

#include "coord/core/coord.h"
#include "shared/base/base.h"
#include "shared/wire/pace.h"
#include "shared/wire/wire.h"
#include "tests/sim/cells.h"
#include "vassal/core/vassal.h"

enum {
    NODES_MAX = 8,
    SLOTS_MAX = 8,
    QUEUE_MAX = 256,
    HEAL_MAX_US = 30 * 1000 * 1000, /* and three times the work of one worker */
    TIMEOUT_US = 300 * 1000,        /* of one test */
};

/* ------------------------------------------------------------------ randomness */

struct rng {
    uint64_t state;
};
uint64_t rng_next(struct rng *self);
uint64_t rng_below(struct rng *self, uint64_t bound);
bool rng_chance(struct rng *self, unsigned per_mille);

enum mode { MODE_ALONE, MODE_HOST, MODE_STORE };
enum lone {
    LONE_NONE,
    LONE_SCHEDULER_DIES, /* its process */
    LONE_SCHEDULER_STOPS,
    LONE_VASSAL_DIES,
    LONE_VASSAL_STOPS,
    LONES,
};

/* What is measured, in simulated time: names and bounds are in judge.c. */
enum measure {
    MEASURE_RESUMED_DEAD,    /* the scheduler dies; the next one speaks of tests */
    MEASURE_RESUMED_STOPPED, /* ... is stopped */
    MEASURE_FREED_DEAD,      /* a vassal dies; what it held is free for others */
    MEASURE_FREED_STOPPED,   /* ... is stopped */
    MEASURE_MOVED_DEAD,      /* ... and another node is given a test of it */
    MEASURE_MOVED_STOPPED,
    MEASURE_BACK, /* one that was stopped and given up goes on; it is led again */
    MEASURES,
};

enum fault {
    FAULT_WORKER,
    FAULT_ZYGOTE,
    FAULT_AGENT,
    FAULT_NODE,
    FAULT_FREEZE,
    FAULT_LEAVE,
    FAULT_STOP,
    FAULT_LEADER,
    FAULT_CUT,
    FAULT_STORE,
    FAULT_RESTORE,
    FAULT_SLOT,
    FAULT_LONE,
    FAULTS,
};

/* ------------------------------------------------------------------ options, drawn per seed */

struct options {
    unsigned nodes, slots, tests, modules;
    unsigned strikes;
    enum coord_placement placement;
    bool keep_order, has_history;
    dz_us mean_us;        /* of a test */
    unsigned slow;        /* per mille of tests that take 100 times as long */
    unsigned killers;     /* per mille of tests that kill their worker */
    unsigned hangs;       /* per mille that never end */
    unsigned absent;      /* per mille of (test, slot) pairs that do not exist (solo workers) */
    unsigned loss, twice; /* per mille of messages */
    dz_us delay_us;       /* greatest delay of a message */
    bool reorders;        /* a later message may arrive earlier */
    unsigned stray;       /* each message of this id arrives once more, much later; 0: none */
    dz_us persist_us;     /* until the number of an epoch is on disk */
    enum mode mode;
    bool is_sharded;      /* the CI names as many slots as there are nodes */
    unsigned odd;         /* per mille of tests that a node lacks or has of its own */
    unsigned odd_nodes;   /* so many nodes collect other tests */
    dz_us late_us;        /* nodes start within so long */
    unsigned rates;       /* per mille by which clocks differ */
    bool has_resets;      /* the death of a process is seen by its peers at once */
    bool has_needs;       /* some tests run in slot 0, or alone on their node */
    dz_us collect_us;     /* a node collects for so long at most */
    dz_us end_us;         /* a worker that was told to end tears down for so long at most */
    unsigned slot_losses; /* no worker can be made there again */
    unsigned worker_kills, zygote_kills, agent_kills, leader_kills, node_losses, freezes, leaves,
        stops, cuts, store_faults, restores;
    bool is_store_late,
        is_store_away;        /* it is not there at the start; it never is, before the push */
    const char *victim_phase; /* when a scheduler gets there, something happens; may be NULL */
    enum fault phase_fault;   /* ... namely this */
    dz_us store_lost_us;      /* from then on it never is again, before the push; 0: no */
    enum lone lone;           /* this and nothing else goes wrong: what it costs is measured */
    dz_us faults_us;          /* length of the fault phase */
    bool is_fault_free;
    unsigned crowd; /* as in struct history; not drawn */
};
/* Among so many each may be so much more patient. */
static inline dz_us
patience_among(const struct options *self)
{
    return dz_pace_crowd_us(self->crowd);
}
/* draw.c; is_for_cells: with what is needed to meet every message in every state */
void options_draw(struct options *self, struct rng *rng, bool is_for_cells);

/* ------------------------------------------------------------------ what really happened */

enum exec_end {
    EXEC_RUNNING,
    EXEC_FINISHED,
    EXEC_KILLED,
    EXEC_INNOCENT /* killed, not its fault */
};

struct exec {
    uint32_t test, node;
    enum exec_end end;
    bool is_timeout;
    bool was_stored; /* the store had it, whatever became of the store */
};

/* ------------------------------------------------------------------ a node */

enum worker_state { WORKER_NONE, WORKER_FORKING, WORKER_IDLE, WORKER_CALL, WORKER_NEXT };

struct worker {
    enum worker_state state;
    uint64_t life; /* events of an earlier one are stale */
    uint32_t queue[QUEUE_MAX];
    size_t queue_len;
    enum vassal_more more;
    bool is_waiting, has_next;
    uint32_t running, next;
    uint64_t exec;
    dz_us began, call_ended;
    struct vassal_outcome
        *ring; /* owned: results; the first `read` were read in this agent's life */
    size_t ring_len, ring_read, ring_cap;
};

struct spooled {
    uint64_t record;
    struct vassal_outcome outcome; /* in numbers of the node */
    dz_us at;                      /* when it was written */
    bool is_durable, is_known;     /* known: the scheduler's word was heard */
    bool is_stored;                /* deleted, as the core said */
};

struct row {
    uint64_t node, inc, exec;
    uint32_t test, result; /* of the universe */
    enum dz_word word;
    uint64_t batch, coord_life; /* of the coordinator that asked for it */
};

struct ledger {
    struct row *rows; /* owned */
    size_t count, cap;
    int32_t *counted; /* owned: [test] row or -1 */
    bool is_sealed;
    size_t sent; /* of a node's: rows that the store has */
};

struct granted {
    bool is_given;
    uint32_t to;
    struct dz_epoch by;
};

struct node {
    uint64_t id, inc;
    uint64_t life;         /* of the agent */
    struct vassal *vassal; /* owned; NULL: the agent is dead */
    struct spooled *spool; /* owned */
    size_t spool_len, spool_cap;
    uint64_t disk_n;
    dz_us frozen_until, tick_at, started_at;
    bool is_draining, is_flushing, has_left, is_gone, is_starting;
    bool has_collected;    /* in this life */
    struct vassal_end end; /* of DONE */
    bool is_leaving;
    bool has_met;             /* its disk names the others */
    struct dz_epoch obeyed;   /* greatest epoch that led this life */
    struct dz_epoch followed; /* who schedules, as its rank has it; */
    uint64_t said_then;       /* the greatest number that it had said by then */
    uint64_t said_n;          /* greatest number that this life said to know, to others */
    uint64_t asked_n;         /* ... to the authority */
    unsigned rate;            /* of its clock, per mille */

    struct coord *coord; /* owned; NULL: it does not schedule */
    uint64_t coord_life; /* events of an earlier one are stale */
    dz_us led_at;        /* when it began */
    dz_us coord_tick_at, answer_at;
    bool is_uplinking, is_sealing;
    uint64_t lead_n;              /* number of its coordinator's epoch */
    bool was_ready;               /* its coordinator has given out tests */
    uint64_t sessions[NODES_MAX]; /* its coordinator's with each; 0: none, or it was given up */
    struct dz_account seal;
    dz_us seal_by;
    uint8_t *knows;        /* owned, [tests]: counted, as its coordinator was told */
    uint32_t *coord_tests; /* owned: the coordinator's number -> the universe's */
    uint32_t coord_total;
    bool is_blind;
    unsigned shard_total, shard_index;

    uint32_t *own; /* owned: its number of a test -> the universe's */
    uint32_t own_total;
    struct dz_slice *own_ids; /* owned arrays of borrowed texts */
    struct dz_slice *own_groups;
    bool is_odd;
    unsigned lost_slots;  /* a bit for each */
    struct ledger ledger; /* of its disk: what its schedulers counted */
    struct worker workers[SLOTS_MAX];
};

/* ------------------------------------------------------------------ the world */

struct world {
    struct options opt;
    struct rng rng;
    dz_us now;
    uint64_t seq;
    struct happening *heap; /* owned */
    size_t heap_len, heap_cap;
    uint64_t trace; /* hash of all that happened */
    bool is_loud;
    struct cells *cells; /* borrowed; may be NULL */

    struct node nodes[NODES_MAX];
    dz_us last[NODES_MAX][NODES_MAX]; /* latest delivery on each link */
    dz_us cut_until[NODES_MAX][NODES_MAX];
    dz_us store_cut_until[NODES_MAX]; /* the store, as this node sees it */
    dz_us store_down_until, store_slow_until;
    struct ledger store;
    struct ledger backup; /* of the store, when it was made */
    struct dz_lease lease, lease_backup;
    bool has_backup;
    struct coord_test *tests; /* owned, with owned ids */
    dz_us *duration;          /* owned, [tests] */
    uint8_t *kind;            /* owned, [tests]: enum test_kind */
    struct exec *execs;       /* owned */
    size_t exec_count, exec_cap;

    bool is_healed, is_stopped, is_done;
    dz_us heal_at;
    dz_us work_us; /* of all tests */
    dz_us longest_us;
    unsigned leaves, leads, shards;
    dz_us lost_at;             /* when the last disk was lost */
    dz_us lone_at, lone_until; /* when the lone fault came; when it is over, if it ever is */
    uint32_t lone_node;        /* ... to whom */
    uint64_t lone_n;           /* number of the epoch at that time */
    uint8_t *lone_tests;       /* owned, [tests]: that this node held */
    dz_us took_us[MEASURES];   /* 0: not measured */
    uint64_t granted_n;        /* greatest number that the authority ever granted */
    dz_us granted_at;          /* when its lease went to somebody else */
    uint32_t *excused;         /* owned, [tests]: so many more times may it run (waste.c) */
    struct granted *grants;    /* owned, [tests]: the last one */
    struct dz_epoch ready;     /* greatest one that ever gave out tests */
    uint64_t wasted, excuses;  /* of all tests, at the end */
    uint64_t messages, steps;
    const char *violation; /* NULL: none */
    char violation_text[256];
};

enum test_kind { TEST_PLAIN, TEST_KILLER, TEST_HANG };

/* ------------------------------------------------------------------ the heap */

enum what {
    FRAME,        /* node: to; frame */
    COORD_TICK,   /* node */
    VASSAL_TICK,  /* node */
    PERSISTED,    /* node, a: n */
    LEDGER_WROTE, /* node, a: batch; list of records in frame */
    SEAL_TRIES,   /* node */
    UPLINK,       /* node: the ledger of its disk goes to the store */
    ANSWERED,     /* node: of the authority; struct answered in frame */
    GONE,         /* node hears that `a` (node + 1) of incarnation `b` is gone */
    FORKED,       /* node, slot */
    WORKER_RUNS,  /* node, slot: look at the queue */
    CALL_ENDS,    /* node, slot */
    WORKER_ASKS,  /* node, slot: the wake arrives */
    RINGS,        /* node: the agent reads its workers' rings */
    FLUSHED,      /* node: group commit of the spool */
    WORKER_DIED,  /* node, slot, a: cause */
    AGENT_STARTS, /* node */
    COLLECTED,    /* node */
    FAULT,        /* a: enum fault; b: of node b - 1, 0: of any */
    HEAL,
};

struct happening {
    dz_us at;
    uint64_t seq;
    enum what what;
    uint32_t node, slot;
    uint64_t life, a, b;
    uint8_t *frame; /* owned */
    size_t frame_len;
};

struct happening *world_at(struct world *self, dz_us at, enum what what); /* valid until the next */
bool world_next(struct world *self, struct happening *out);
void world_trace(struct world *self, const char *fmt, ...) DZ_PRINTF(2, 3);
void world_break(struct world *self, const char *fmt, ...) DZ_PRINTF(2, 3); /* an oracle's word */

/* ------------------------------------------------------------------ parts */

/* A node's own clock, and when one of its times is in the world's. */
dz_us node_now(const struct world *self, uint32_t n);
dz_us node_at(const struct world *self, uint32_t n, dz_us local);
bool node_is_frozen(const struct world *self, uint32_t n);
bool node_postpones(struct world *self, struct happening *it); /* it is stopped */
uint32_t node_test(const struct world *self, uint32_t n, uint32_t local);

/* nodes.c */
struct spooled *spool_of(struct node *node, uint64_t record);
bool spool_has_exec(const struct node *node, uint64_t exec);
void spool_journal(struct world *self, uint32_t n, uint64_t record,
                   const struct vassal_outcome *outcome);
void spool_flushed(struct world *self, uint32_t n);
void spool_restore(struct world *self, uint32_t n);
bool node_lacks(const struct world *self, uint32_t node, uint32_t slot, uint32_t test);
void node_new_life(struct world *self, uint32_t node);

/* coords.c */
void coord_begin(struct world *self, uint32_t n, const struct vassal_effect *lead);
void coord_end(struct world *self, uint32_t n);
/* Its tests, and what its ledger holds, once they are collected. */
void coord_brief(struct world *self, uint32_t n);
void coord_give(struct world *self, uint32_t n, const struct coord_event *event);
void coord_on(struct world *self, struct happening *it);

/* agents.c */
void agent_start(struct world *self, uint32_t node);
void agent_crash(struct world *self, uint32_t node, bool with_disk);
void agent_give(struct world *self, uint32_t node, const struct vassal_event *event);
void agent_on(struct world *self, struct happening *it);

/* workers.c */
void worker_on(struct world *self, struct happening *it);
void worker_kill(struct world *self, uint32_t node, uint32_t slot, enum dz_cause cause);
void worker_poke(struct world *self, uint32_t node,
                 uint32_t slot); /* its queue or `more` changed */

/* The authority's word on its way. */
struct answered {
    uint64_t number;
    struct dz_lease_reply reply;
};

/* net.c: links between nodes, and the store at the end of others */
void net_send(struct world *self, uint32_t from, uint32_t to, struct dz_slice frame);
void net_reset(struct world *self, uint32_t node, uint64_t inc); /* its connections end */
bool store_is_reachable(const struct world *self, uint32_t node);
void authority_ask(struct world *self, uint32_t node, const struct vassal_effect *ask);
void uplink_plan(struct world *self, uint32_t node);
void uplink_run(struct world *self, uint32_t node);
void push_all(struct world *self); /* every disk that is left, into the store */
void store_backup(struct world *self);
void store_restore(struct world *self);

/* ledger.c */
enum dz_word ledger_write(struct ledger *self, const struct row *row, bool *is_repeat_out);
void ledger_init(struct ledger *self, uint32_t tests);
void ledger_fini(struct ledger *self);
void ledger_copy(struct ledger *self, const struct ledger *from, uint32_t tests);
uint64_t ledger_count(const struct ledger *self);
const struct row *ledger_find(const struct ledger *self, uint64_t exec);

/* faults.c */
void faults_plan(struct world *self);
void fault_on(struct world *self, struct happening *it);
void fault_at_phase(struct world *self, uint32_t node);

/* oracle.c */
void oracle_coord_sends(struct world *self, uint32_t node, uint32_t to, struct dz_slice frame);
void oracle_coord_seals(struct world *self, uint32_t node);
void oracle_vassal_sends(struct world *self, uint32_t node, struct dz_slice frame);
void oracle_vassal_obeys(struct world *self, uint32_t node, struct dz_slice frame,
                         const struct vassal_effects *fx);
void oracle_worker_waited(struct world *self, uint32_t node, dz_us waited);
void oracle_stored(struct world *self, uint32_t node, uint64_t exec);
void oracle_vassal_leaves(struct world *self, uint32_t node);
void oracle_vassal_asks(struct world *self, uint32_t node, const struct dz_lease_ask *ask);
void oracle_granted(struct world *self, const struct dz_lease_ask *ask,
                    const struct dz_lease_reply *reply);
void oracle_feeds(struct world *self, uint32_t node, uint32_t local);
void oracle_loses(struct world *self, uint32_t scheduler, uint64_t node);
void oracle_begins(struct world *self, uint32_t node, uint32_t slot, uint32_t test);

/* waste.c: `node` schedules */
void waste_lost(struct world *self, uint32_t node, uint32_t other);
void waste_session(struct world *self, uint32_t node, uint32_t other, uint64_t session);
void waste_ready(struct world *self, uint32_t node);
void waste_grants(struct world *self, uint32_t to, const struct dz_epoch *epoch,
                  struct dz_list grants);
void waste_restored(struct world *self, const struct ledger *before);
void waste_judge(struct world *self);

/* judge.c */
void judge(struct world *self);
const char *measure_text(enum measure measure);

/* One history.  False: an oracle was violated (world.violation). */
struct outcome {
    uint64_t trace;
    uint64_t tests, execs, messages, steps, leads, shards, wasted, excuses;
    dz_us ended_us; /* virtual time */
    dz_us took_us[MEASURES];
    bool is_ok;
    char violation[256];
};
struct history {
    uint64_t seed;
    unsigned crowd; /* nodes are told that so many have come; 0: nothing of the kind */
    bool is_loud;
    struct cells *cells; /* borrowed; may be NULL */
};
void history_run(const struct history *what, struct outcome *out);

#endif
