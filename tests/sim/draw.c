/* draw.c - what a history is like, drawn from its seed. */
#include "tests/sim/world.h"

/* Messages that may come again when nobody thinks of them any more; those that are seldom said first. */
static const enum dz_msg_id strays[] = {
    DZ_MSG_mesh_own,    DZ_MSG_mesh_stop,   DZ_MSG_mesh_drained, DZ_MSG_mesh_seal,
    DZ_MSG_mesh_bye,    DZ_MSG_mesh_err,    DZ_MSG_mesh_nack,    DZ_MSG_mesh_revoke,
    DZ_MSG_mesh_back,   DZ_MSG_mesh_drain,  DZ_MSG_mesh_hello,   DZ_MSG_mesh_lead,
    DZ_MSG_mesh_state,  DZ_MSG_mesh_slots,  DZ_MSG_mesh_assign,  DZ_MSG_mesh_result,
    DZ_MSG_mesh_rack,   DZ_MSG_mesh_hb,     DZ_MSG_mesh_members, DZ_MSG_mesh_copy,
    DZ_MSG_mesh_copied, DZ_MSG_mesh_stored,
};
enum { SELDOM = 9 };

static enum dz_msg_id
draw_stray(struct rng *rng)
{
    size_t count = rng_chance(rng, 500) ? SELDOM : DZ_LEN(strays);
    return strays[rng_below(rng, count)];
}

static const char *const phases[] = { "LEADING", "SCHEDULING", "DRAINING", "SEALING", "PARTING" };

/* Swarm testing: each kind of fault is present or absent as a whole, so that rare combinations are
 * not drowned by the common ones. */
static unsigned
maybe(struct rng *rng, unsigned per_mille, unsigned most)
{
    return rng_chance(rng, per_mille) ? 1 + (unsigned) rng_below(rng, most) : 0;
}

static void
draw_faults(struct options *self, struct rng *rng)
{
    self->killers = maybe(rng, 300, 100);
    self->hangs = maybe(rng, 150, 40);
    self->absent = maybe(rng, 80, 200);
    self->loss = maybe(rng, 300, 250);
    self->twice = maybe(rng, 300, 200);
    self->delay_us = (dz_us[]){ 50, 500, 5000, 40000, 200000, 400000 }[rng_below(rng, 6)];
    self->reorders = rng_chance(rng, 500);
    self->stray = rng_chance(rng, 200) ? draw_stray(rng) : 0;
    self->end_us = (dz_us[]){ 2000, 2000, 2000, 300000 }[rng_below(rng, 4)];
    self->persist_us = (dz_us[]){ 3000, 3000, 3000, 300000 }[rng_below(rng, 4)];
    self->rates = maybe(rng, 300, 100);
    self->has_resets = rng_chance(rng, 600);
    self->worker_kills = maybe(rng, 400, 4);
    self->zygote_kills = maybe(rng, 200, 2);
    self->agent_kills = maybe(rng, 300, 4);
    self->leader_kills = maybe(rng, 350, 3);
    self->node_losses = maybe(rng, 200, 3);
    self->freezes = maybe(rng, 250, 4);
    self->victim_phase = rng_chance(rng, 200) ? phases[rng_below(rng, DZ_LEN(phases))] : NULL;
    self->phase_fault = FAULT_LEADER;
    self->leaves = maybe(rng, 100, 2);
    self->stops = maybe(rng, 80, 2);
    self->cuts = maybe(rng, 250, 4);
    self->slot_losses = maybe(rng, 60, 2);
    self->collect_us = rng_chance(rng, 300) ? 300 * 1000 : 0;
    self->store_faults = maybe(rng, 350, 4);
    self->restores = rng_chance(rng, 50) ? 2 : 0;
    self->is_store_late = rng_chance(rng, 80);
    self->is_store_away = rng_chance(rng, 60);
    self->faults_us = (dz_us) (200 + rng_below(rng, 4000)) * 1000;
    if (rng_chance(rng, 60))
        self->store_lost_us = 1 + (dz_us) rng_below(rng, (uint64_t) self->faults_us);
    if (self->collect_us > 0 && rng_chance(rng, 100))
        self->collect_us = 8000 * 1000; /* some wait for others */
}

/* What a mode excludes. */
static void
reconcile(struct options *self)
{
    if (self->mode == MODE_ALONE)
        self->nodes = 1;
    if (self->mode != MODE_STORE) {
        self->store_faults = self->restores = 0;
        self->is_store_late = self->is_store_away = self->is_sharded = false;
        self->store_lost_us = 0;
        self->node_losses = self->cuts = 0; /* it is one machine */
        self->rates = 0;
    }
    if (self->mode == MODE_ALONE)
        self->leaves = self->odd_nodes = 0;
    if (self->odd_nodes > self->nodes)
        self->odd_nodes = self->nodes;
    if (self->odd_nodes > 0)
        self->absent = 0;
}

/* Nothing goes wrong but that one process dies or is stopped. */
static void
draw_lone(struct options *self, struct rng *rng)
{
    self->lone = LONE_SCHEDULER_DIES + (enum lone) rng_below(rng, LONES - LONE_SCHEDULER_DIES);
    self->delay_us = (dz_us[]){ 300, 5000, 40000 }[rng_below(rng, 3)];
    self->mode = rng_chance(rng, 700) ? MODE_STORE : MODE_HOST;
    self->nodes = 2 + (unsigned) rng_below(rng, 5);
    self->odd_nodes = 0;
    self->late_us = rng_chance(rng, 300) ? 400 * 1000 : 1000;
    self->tests = 200;
    self->mean_us = 20000;
    self->slow = 0;
    self->has_resets = true;
    self->faults_us = 500 * 1000;
}

/* Old messages that meet a state only if several things go wrong together: a copy of this one, this fault
 * when a scheduler gets to that phase, and a store that is lost. */
static const struct scene {
    enum dz_msg_id stray;
    const char *phase;
    enum fault fault;
    dz_us late_us;   /* nodes come as late, and collect for as long */
    unsigned leaves; /* so many are told to leave, besides */
} scenes[] = {
    { DZ_MSG_mesh_seal, "PARTING", FAULT_AGENT, 300 * 1000, 3 },
    { DZ_MSG_mesh_seal, "PARTING", FAULT_AGENT, 300 * 1000, 1 },
    { DZ_MSG_mesh_err, "PARTING", FAULT_AGENT, 1500 * 1000, 3 },
    { DZ_MSG_mesh_err, "PARTING", FAULT_FREEZE, 1500 * 1000, 3 },
    { DZ_MSG_mesh_err, "PARTING", FAULT_NODE, 1500 * 1000, 0 },
    { DZ_MSG_mesh_nack, "LEADING", FAULT_NODE, 300 * 1000, 0 },
};

static void
draw_scene(struct options *self, struct rng *rng)
{
    const struct scene *scene = &scenes[rng_below(rng, DZ_LEN(scenes))];
    self->mode = MODE_STORE;
    self->nodes = 3 + (unsigned) rng_below(rng, 4);
    self->tests = 1 + (unsigned) rng_below(rng, 10);
    self->stray = scene->stray;
    self->victim_phase = scene->phase;
    self->phase_fault = scene->fault;
    self->late_us = self->collect_us = scene->late_us;
    self->delay_us = 400 * 1000;
    self->leaves = scene->leaves;
    self->agent_kills = self->node_losses = 2;
    self->stops = 0;
    self->faults_us = 4000 * 1000;
    self->store_lost_us = 1 + (dz_us) rng_below(rng, 1500 * 1000);
    self->is_sharded = rng_chance(rng, 500);
}

/* What brings messages to states in which they are seldom met: several nodes that come, go and die,
 * long moments of starting, and old messages. */
static void
draw_for_cells(struct options *self, struct rng *rng)
{
    static const enum fault faults[] = { FAULT_LEADER, FAULT_AGENT, FAULT_LEAVE, FAULT_CUT,
                                         FAULT_FREEZE, FAULT_STOP,  FAULT_NODE };
    self->mode = rng_chance(rng, 800) ? MODE_STORE : MODE_HOST;
    self->nodes = 2 + (unsigned) rng_below(rng, 4);
    self->tests = 1 + (unsigned) rng_below(rng, 40);
    draw_faults(self, rng);
    self->stray = draw_stray(rng);
    self->persist_us = self->end_us = 300 * 1000;
    self->collect_us = 300 * 1000;
    self->leaves = maybe(rng, 400, 2);
    self->stops = maybe(rng, 300, 2);
    self->odd_nodes = maybe(rng, 300, 3);
    self->leader_kills = maybe(rng, 500, 3);
    self->node_losses = maybe(rng, 400, 3);
    self->victim_phase = phases[rng_below(rng, DZ_LEN(phases))];
    self->phase_fault = faults[rng_below(rng, DZ_LEN(faults))];
    if (rng_chance(rng, 600))
        draw_scene(self, rng);
}

void
options_draw(struct options *self, struct rng *rng, bool is_for_cells)
{
    static const unsigned sizes[] = { 0, 1, 2, 10, 40, 60, 120, 300 };
    uint64_t mode = rng_below(rng, 100);
    *self = (struct options){
        .mode = mode < 15   ? MODE_ALONE
                : mode < 30 ? MODE_HOST
                            : MODE_STORE,
        .nodes = 1 + (unsigned) rng_below(rng, 1 + rng_below(rng, 6)),
        .slots = 1 + (unsigned) rng_below(rng, 4),
        .tests = rng_chance(rng, 100) ? sizes[rng_below(rng, DZ_LEN(sizes))]
                                      : 4 + (unsigned) rng_below(rng, 60),
        .strikes = 1 + (unsigned) rng_below(rng, 3),
        .placement =
            rng_chance(rng, 600) ? COORD_PLACE_LOAD : (enum coord_placement) rng_below(rng, 4),
        .keep_order = rng_chance(rng, 150),
        .has_history = rng_chance(rng, 500),
        .mean_us = (dz_us[]){ 100, 1000, 10000, 60000 }[rng_below(rng, 4)],
        .slow = rng_chance(rng, 200) ? 30 : 0,
        .delay_us = 300,
        .persist_us = 3000,
        .end_us = 2000,
        .is_sharded = rng_chance(rng, 400),
        .odd_nodes = maybe(rng, 150, 3),
        .odd = 1 + (unsigned) rng_below(rng, 300),
        .late_us = (dz_us[]){ 1000, 50000, 300000, 2000000 }[rng_below(rng, 4)],
        .has_needs = rng_chance(rng, 150),
    };
    uint64_t kind = rng_below(rng, 1000);
    self->is_fault_free = kind < 120 && !is_for_cells;
    if (is_for_cells)
        draw_for_cells(self, rng);
    else if (kind >= 120 && kind < 180)
        draw_lone(self, rng);
    else if (!self->is_fault_free)
        draw_faults(self, rng);
    self->modules = 1 + (unsigned) rng_below(rng, 1 + self->tests / 4);
    reconcile(self);
}
