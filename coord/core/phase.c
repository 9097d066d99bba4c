/* phase.c - the life of a job under one scheduler, and of a node in it, as tables. */
#include "coord/core/inside.h"

enum {
    PARTING_MAX_US = 5 * 1000 * 1000, /* then whoever has not said BYE is left behind */
    COPY_MAX_US = 5 * 1000 * 1000,    /* of what the store lacks, before the seal */
    TAKEOVER_US = 50 * 1000, /* a scheduler that is not the first: for nodes it has not heard of */
};

enum { NO = -1 };

/* clang-format off */
static const int8_t phases[PHASE_COUNT][TURN_COUNT] = {
    /*                START            PERSISTED      READY             DRAIN           MORE              EMPTY          SEALED         ALONE       OUTRANKED */
    [PHASE_NEW]        = { PHASE_PERSISTING, NO, NO, NO, NO, NO, NO, NO, PHASE_DEPOSED },
    [PHASE_PERSISTING] = { NO, PHASE_LEADING, NO, NO, NO, NO, NO, NO, PHASE_DEPOSED },
    [PHASE_LEADING]    = { NO, NO, PHASE_SCHEDULING, NO, NO, NO, NO, NO, PHASE_DEPOSED },
    [PHASE_SCHEDULING] = { NO, NO, NO, PHASE_DRAINING, NO, NO, NO, NO, PHASE_DEPOSED },
    [PHASE_DRAINING]   = { NO, NO, NO, NO, PHASE_SCHEDULING, PHASE_SEALING, NO, NO, PHASE_DEPOSED },
    [PHASE_SEALING]    = { NO, NO, NO, NO, NO, NO, PHASE_PARTING, NO, PHASE_DEPOSED },
    [PHASE_PARTING]    = { NO, NO, NO, NO, NO, NO, NO, PHASE_DONE, PHASE_DEPOSED },
    [PHASE_DONE]       = { NO, NO, NO, NO, NO, NO, NO, NO, NO },
    [PHASE_DEPOSED]    = { NO, NO, NO, NO, NO, NO, NO, NO, NO },
};

/* A node that comes back, in a new incarnation or after a silence, is greeted again. */
static const int8_t node_states[NODE_STATE_COUNT][NODE_TURN_COUNT] = {
    /*                  GREET         TOLD         EMPTY         SILENCE      BYE */
    [NODE_GREETED] = { NODE_GREETED, NODE_MEMBER, NO,           NODE_SILENT, NODE_LEFT },
    [NODE_MEMBER]  = { NODE_GREETED, NO,          NODE_DRAINED, NODE_SILENT, NODE_LEFT },
    [NODE_DRAINED] = { NODE_GREETED, NO,          NO,           NODE_SILENT, NODE_LEFT },
    [NODE_SILENT]  = { NODE_GREETED, NO,          NO,           NO,          NO        },
    [NODE_LEFT]    = { NODE_GREETED, NO,          NO,           NO,          NO        },
};
/* clang-format on */

#define X(name) #name,
static const char *const phase_names[] = { COORD_PHASES(X) };
static const char *const turn_names[] = { COORD_TURNS(X) };
static const char *const node_state_names[] = { NODE_STATES(X) };
static const char *const node_turn_names[] = { NODE_TURNS(X) };
#undef X

int
phase_after(enum phase phase, enum turn turn)
{
    dz_assert((unsigned) phase < PHASE_COUNT && (unsigned) turn < TURN_COUNT);
    return phases[phase][turn];
}

int
node_state_after(enum node_state state, enum node_turn turn)
{
    dz_assert((unsigned) state < NODE_STATE_COUNT && (unsigned) turn < NODE_TURN_COUNT);
    return node_states[state][turn];
}

const char *
phase_name(enum phase phase)
{
    dz_assert((unsigned) phase < PHASE_COUNT);
    return phase_names[phase];
}

const char *
turn_name(enum turn turn)
{
    dz_assert((unsigned) turn < TURN_COUNT);
    return turn_names[turn];
}

const char *
node_state_name(enum node_state state)
{
    dz_assert((unsigned) state < NODE_STATE_COUNT);
    return node_state_names[state];
}

const char *
node_turn_name(enum node_turn turn)
{
    dz_assert((unsigned) turn < NODE_TURN_COUNT);
    return node_turn_names[turn];
}

/* ------------------------------------------------------------------ entering a phase */

static void
mark_everybody(struct coord *self)
{
    for (size_t i = 0; i < self->node_count; i++)
        node_mark(self, self->nodes[i]);
}

static void
enter_persisting(struct coord *self, dz_us now)
{
    (void) now;
    coord_effect(self, COORD_FX_PERSIST)->as.persist.n = self->epoch.n;
}

static void
enter_leading(struct coord *self, dz_us now)
{
    coord_wake(self, now + TAKEOVER_US);
    coord_wake(self, now + self->cfg.state_us);
}

static void
enter_scheduling(struct coord *self, dz_us now)
{
    (void) now;
    for (size_t i = 0; i < self->node_count; i++)
        self->was_reopened = self->was_reopened || self->nodes[i]->drain_said >= 0;
    for (size_t i = 0; i < self->slot_count; i++)
        slot_mark(self, self->slots[i]);
}

static void
enter_draining(struct coord *self, dz_us now)
{
    (void) now;
    mark_everybody(self);
}

static void
enter_sealing(struct coord *self, dz_us now)
{
    (void) now;
    coord_account_fill(self, &coord_effect(self, COORD_FX_SEAL)->as.seal);
}

static void
enter_parting(struct coord *self, dz_us now)
{
    mark_everybody(self);
    coord_wake(self, now + PARTING_MAX_US);
}

static void
enter_done(struct coord *self, dz_us now)
{
    (void) now;
    coord_account_fill(self, &coord_effect(self, COORD_FX_DONE)->as.done);
    self->wake_at = INT64_MAX;
}

static void
enter_deposed(struct coord *self, dz_us now)
{
    bool is_known = self->outranked_by.n > 0 && self->outranked_by.node != 0;
    struct dz_epoch by = is_known ? self->outranked_by : (struct dz_epoch){ 0 };
    struct dz_msg msg = { .id = DZ_MSG_mesh_nack, .as.mesh_nack = { by.n, by.node, by.inc } };
    for (size_t i = 0; i < self->node_count; i++) {
        struct node *node = self->nodes[i];
        bool is_led = node->state == NODE_MEMBER || node->state == NODE_DRAINED;
        if (is_led && node->id != self->cfg.node)
            node_whisper(self, node, &msg, now);
    }
    coord_effect(self, COORD_FX_DEPOSED)->as.deposed = self->outranked_by;
    self->wake_at = INT64_MAX;
}

static void (*const on_enter[PHASE_COUNT])(struct coord *self, dz_us now) = {
    [PHASE_PERSISTING] = enter_persisting,
    [PHASE_LEADING] = enter_leading,
    [PHASE_SCHEDULING] = enter_scheduling,
    [PHASE_DRAINING] = enter_draining,
    [PHASE_SEALING] = enter_sealing,
    [PHASE_PARTING] = enter_parting,
    [PHASE_DONE] = enter_done,
    [PHASE_DEPOSED] = enter_deposed,
};

bool
coord_turn(struct coord *self, enum turn turn, dz_us now)
{
    int next = phase_after(self->phase, turn);
    if (next == NO)
        return false;
    self->phase = (enum phase) next;
    self->phase_since = now;
    if (on_enter[next])
        on_enter[next](self, now);
    return true;
}

/* ------------------------------------------------------------------ when an edge is due */

/* Results that were announced with STATE are worth waiting for: what they tell need not run. */
static bool
is_ready(const struct coord *self, dz_us now)
{
    if (!self->has_manifest)
        return false;
    dz_us since = self->briefed_at > self->phase_since ? self->briefed_at : self->phase_since;
    if (now - since >= self->cfg.state_us)
        return true;
    /* Nodes that joined in the last moments of the one before: nobody was told of them yet. */
    if (self->epoch.n > 1 && now - self->phase_since < TAKEOVER_US)
        return false;
    /* This node's own vassal is on its way: an empty or stopped job shall not end without it. */
    const struct node *own = node_find(self, self->cfg.node);
    if (!own || own->state != NODE_MEMBER)
        return false;
    if (self->in_state[NODE_MEMBER] < self->cfg.nodes_expected)
        return false;
    for (size_t i = 0; i < self->node_count; i++)
        if (self->nodes[i]->state == NODE_MEMBER && self->nodes[i]->results_due > 0)
            return false;
    return true;
}

static bool
is_all_counted(const struct coord *self)
{
    uint64_t missing = DZ_BROKEN(DRAIN_ALL) && self->total > 1 ? 1 : 0;
    return self->counted + self->absent + self->elsewhere + missing >= self->total &&
           self->batch_count == 0;
}

/* Nobody is left who could run anything.  Nodes on their way in are waited for. */
static bool
is_crippled(const struct coord *self)
{
    return self->node_count > 0 && self->up_count == 0 && self->in_state[NODE_GREETED] == 0 &&
           self->in_state[NODE_MEMBER] + self->in_state[NODE_LEFT] == self->node_count;
}

/* Somebody came late with tests that the job did not have. */
static bool
has_more(const struct coord *self)
{
    return self->brought.len > 0 && self->stop_how < 0 && !is_all_counted(self) &&
           !is_crippled(self);
}

static bool
is_empty(struct coord *self, dz_us now)
{
    bool is_done = self->batch_count == 0 &&
                   (self->in_state[NODE_GREETED] + self->in_state[NODE_MEMBER] == 0 ||
                    DZ_BROKEN(SEAL_DRAINED));
    if (!is_done)
        self->empty_since = 0;
    else if (self->empty_since == 0)
        self->empty_since = now;
    return is_done && (copies_are_safe(self) || now - self->empty_since >= COPY_MAX_US);
}

static bool
is_alone(const struct coord *self, dz_us now)
{
    return now - self->phase_since >= PARTING_MAX_US ||
           self->in_state[NODE_LEFT] + self->in_state[NODE_SILENT] == self->node_count;
}

static bool
settle_once(struct coord *self, dz_us now)
{
    switch (self->phase) {
    case PHASE_LEADING: return is_ready(self, now) && coord_turn(self, TURN_READY, now);
    case PHASE_SCHEDULING:
        tests_give_up(self, now);
        if (is_crippled(self) && !is_all_counted(self))
            coord_note(self, 2, "no worker is left that could run tests");
        return (self->stop_how >= 0 || is_all_counted(self) || is_crippled(self)) &&
               coord_turn(self, TURN_DRAIN, now);
    case PHASE_DRAINING:
        if (has_more(self))
            return coord_turn(self, TURN_MORE, now);
        return is_empty(self, now) && coord_turn(self, TURN_EMPTY, now);
    case PHASE_PARTING: return is_alone(self, now) && coord_turn(self, TURN_ALONE, now);
    default: return false;
    }
}

void
phase_settle(struct coord *self, dz_us now)
{
    while (settle_once(self, now))
        continue;
}

void
coord_account_fill(const struct coord *self, struct dz_account *out)
{
    *out = (struct dz_account){
        .collected = self->total,
        .counted = self->counted,
        .duplicates = self->duplicates,
        .not_run = self->total - self->counted - self->elsewhere,
        .elsewhere = self->elsewhere,
        .carried = self->carried,
        .failed = self->failed,
        .nodes = self->node_count,
        .workers = self->slot_count,
        .digest = self->ledger_digest,
        .agrees = self->is_agreed,
    };
}
