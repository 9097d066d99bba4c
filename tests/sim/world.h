/* world.h - a whole job in one process: nodes, their workers, a network, a ledger, and faults.
 *
 * The cores under test are the production ones.  Everything around them is simulated: one heap of
 * events ordered by (time, sequence), one random generator, no clock.  A seed is a history: the
 * same seed gives the same trace, whose hash is compared.
 *
 * Phases   faults until `heal_at`; then everything works again and the job must end within
 *          a bound; then the ledger is compared with what really happened (oracle.c). */
#ifndef DZ_TESTS_SIM_WORLD_H
#define DZ_TESTS_SIM_WORLD_H

#include "coord/core/coord.h"
#include "shared/base/base.h"
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
    unsigned worker_kills, zygote_kills, agent_kills, node_losses, freezes, leaves, stops;
    const char *victim_phase; /* agent 0 is killed when its scheduler gets there; may be NULL */
    dz_us faults_us;          /* length of the fault phase */
    bool is_fault_free;
};
void options_draw(struct options *self, struct rng *rng);

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
    struct vassal_outcome outcome;
    bool is_durable, is_known; /* known: the scheduler's word was heard */
};

struct node {
    uint64_t id, inc;
    uint64_t life;         /* of the agent */
    struct vassal *vassal; /* owned; NULL: the agent is dead */
    struct spooled *spool; /* owned */
    size_t spool_len, spool_cap;
    uint64_t disk_n;
    dz_us frozen_until, tick_at, started_at;
    bool is_draining, is_flushing, has_left, is_gone, is_forgetful;
    uint64_t obeyed_n; /* greatest epoch number that led this life */
    struct worker workers[SLOTS_MAX];
};

/* ------------------------------------------------------------------ the ledger */

struct row {
    uint64_t node, inc, exec;
    uint32_t test, result;
    enum dz_word word;
};

struct ledger {
    struct row *rows; /* owned */
    size_t count, cap;
    int32_t *counted; /* owned: [test] row or -1 */
    bool is_sealed;
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

    struct node nodes[NODES_MAX];
    dz_us last_up[NODES_MAX], last_down[NODES_MAX]; /* latest delivery on each link */
    struct coord *coord;                            /* owned; runs on node 0 */
    uint64_t coord_life;
    dz_us coord_tick_at, answer_at;
    struct ledger ledger;
    struct coord_test *tests; /* owned, with owned ids */
    dz_us *duration;          /* owned, [tests] */
    uint8_t *kind;            /* owned, [tests]: enum test_kind */
    struct exec *execs;       /* owned */
    size_t exec_count, exec_cap;

    bool is_healed, is_stopped, is_done;
    dz_us heal_at;
    dz_us work_us; /* of all tests */
    struct coord_account account;
    unsigned kills_worker, kills_agent, kills_node, freezes, leaves;
    uint64_t lost_results; /* of workers that died while no agent could read their rings */
    uint64_t messages, steps;
    const char *violation; /* NULL: none */
    char violation_text[256];
};

enum test_kind { TEST_PLAIN, TEST_KILLER, TEST_HANG };

/* ------------------------------------------------------------------ the heap */

enum what {
    TO_COORD,  /* frame */
    TO_VASSAL, /* node, frame */
    COORD_TICK,
    VASSAL_TICK,  /* node */
    PERSISTED,    /* a: n */
    LEDGER_WROTE, /* a: batch; list of records in frame */
    SEALED,
    FORKED,       /* node, slot */
    WORKER_RUNS,  /* node, slot: look at the queue */
    CALL_ENDS,    /* node, slot */
    WORKER_ASKS,  /* node, slot: the wake arrives */
    RINGS,        /* node: the agent reads its workers' rings */
    FLUSHED,      /* node: group commit of the spool */
    WORKER_DIED,  /* node, slot, a: cause */
    AGENT_STARTS, /* node */
    FAULT,        /* a: enum fault */
    HEAL,
};

struct happening {
    dz_us at;
    uint64_t seq;
    enum what what;
    uint32_t node, slot;
    uint64_t life, a;
    uint8_t *frame; /* owned */
    size_t frame_len;
};

struct happening *world_at(struct world *self, dz_us at, enum what what); /* valid until the next */
bool world_next(struct world *self, struct happening *out);
void world_trace(struct world *self, const char *fmt, ...) DZ_PRINTF(2, 3);
void world_break(struct world *self, const char *fmt, ...) DZ_PRINTF(2, 3); /* an oracle's word */

/* ------------------------------------------------------------------ parts */

void coord_start(struct world *self);
void coord_crash(struct world *self);
void coord_give(struct world *self, const struct coord_event *event);
void coord_on(struct world *self, struct happening *it);

void agent_start(struct world *self, uint32_t node);
void agent_crash(struct world *self, uint32_t node, bool with_disk);
void agent_give(struct world *self, uint32_t node, const struct vassal_event *event);
void agent_on(struct world *self, struct happening *it);

void worker_on(struct world *self, struct happening *it);
void worker_kill(struct world *self, uint32_t node, uint32_t slot, enum dz_cause cause);
void worker_poke(struct world *self, uint32_t node,
                 uint32_t slot); /* its queue or `more` changed */

void net_send(struct world *self, uint32_t node, bool is_up, struct dz_slice frame);

bool ledger_write(struct world *self, const struct coord_record *record, struct coord_answer *out);
uint64_t ledger_count(const struct ledger *self);
uint64_t ledger_digest(const struct ledger *self);

void faults_plan(struct world *self);
void fault_on(struct world *self, struct happening *it);
void fault_at_phase(struct world *self);

/* Oracles. */
void oracle_coord_sends(struct world *self, struct dz_slice frame);
void oracle_vassal_sends(struct world *self, uint32_t node, struct dz_slice frame);
void oracle_vassal_obeys(struct world *self, uint32_t node, struct dz_slice frame,
                         const struct vassal_effects *fx);
void oracle_worker_waited(struct world *self, uint32_t node, dz_us waited);
void oracle_vassal_leaves(struct world *self, uint32_t node, bool is_sealed);
void oracle_end(struct world *self);

/* One history.  False: an oracle was violated (world.violation). */
struct outcome {
    uint64_t trace;
    uint64_t tests, execs, messages, steps;
    bool is_ok;
    char violation[256];
};
void history_run(uint64_t seed, bool is_loud, struct outcome *out);

#endif
