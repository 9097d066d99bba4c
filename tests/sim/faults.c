/* faults.c - what goes wrong, when, and the moment from which everything works again. */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/world.h"

enum fault {
    FAULT_WORKER,
    FAULT_ZYGOTE,
    FAULT_AGENT,
    FAULT_NODE,
    FAULT_FREEZE,
    FAULT_LEAVE,
    FAULT_STOP,
    FAULT_SCHEDULER,
    FAULTS,
};

void
faults_plan(struct world *self)
{
    const struct options *opt = &self->opt;
    const unsigned counts[FAULTS] = {
        [FAULT_WORKER] = opt->worker_kills, [FAULT_ZYGOTE] = opt->zygote_kills,
        [FAULT_AGENT] = opt->agent_kills,   [FAULT_NODE] = opt->node_losses,
        [FAULT_FREEZE] = opt->freezes,      [FAULT_LEAVE] = opt->leaves,
        [FAULT_STOP] = opt->stops,
    };
    for (unsigned f = 0; f < FAULTS; f++)
        for (unsigned i = 0; i < counts[f]; i++)
            world_at(self, (dz_us) rng_below(&self->rng, 1 + (uint64_t) opt->faults_us), FAULT)->a =
                f;
    world_at(self, opt->faults_us, HEAL);
}

static dz_us
between(struct world *self, dz_us least, dz_us most)
{
    return least + (dz_us) rng_below(&self->rng, (uint64_t) (most - least));
}

static void
start_again(struct world *self, uint32_t node, dz_us delay)
{
    world_at(self, self->now + delay, AGENT_STARTS)->node = node;
}

static void
kill_workers(struct world *self, uint32_t node)
{
    self->kills_worker += self->opt.slots;
    for (uint32_t s = 0; s < self->opt.slots; s++)
        worker_kill(self, node, s, DZ_CAUSE_ZYGOTE);
}

static void
lose_node(struct world *self, uint32_t node)
{
    if (!self->nodes[node].vassal || self->nodes[node].has_left)
        return;
    self->kills_node++;
    agent_crash(self, node, true);
    self->nodes[node].is_gone = rng_chance(&self->rng, 500);
    if (!self->nodes[node].is_gone)
        start_again(self, node, between(self, 200000, 2000000));
}

static void
freeze(struct world *self, uint32_t node)
{
    if (self->nodes[node].frozen_until > self->now)
        return;
    self->freezes++;
    self->nodes[node].frozen_until = self->now + between(self, 100000, 3000000);
    world_trace(self, "agent %u is stopped", node);
}

static void
stop(struct world *self)
{
    int how = (int) rng_below(&self->rng, 2);
    self->is_stopped = self->nodes[0].vassal != NULL || self->is_stopped;
    world_trace(self, "stop %d", how);
    agent_give(
        self, 0,
        &(struct vassal_event){ .kind = VASSAL_EV_STOP, .as.stop = { how, dz_str("enough") } });
}

static void
heal(struct world *self)
{
    world_trace(self, "healed");
    self->is_healed = true;
    self->heal_at = self->now;
    for (uint32_t n = 0; n < self->opt.nodes; n++) {
        if (!self->nodes[n].vassal)
            start_again(self, n, between(self, 1, 200000));
    }
}

/* The moments in which a scheduler's death hurts most are short: aim at them. */
void
fault_at_phase(struct world *self)
{
    if (self->is_healed || !self->opt.victim_phase ||
        strcmp(self->opt.victim_phase, coord_state_text(self->coord)) != 0)
        return;
    self->opt.victim_phase = NULL;
    struct happening *it = world_at(self, self->now + between(self, 1, 20000), FAULT);
    it->a = FAULT_SCHEDULER;
}

static void
kill_agent(struct world *self, uint32_t node)
{
    self->kills_agent++;
    agent_crash(self, node, false);
    start_again(self, node, between(self, 20000, 600000));
}

void
fault_on(struct world *self, struct happening *it)
{
    if (it->what == HEAL) {
        heal(self);
        return;
    }
    uint32_t node = (uint32_t) rng_below(&self->rng, self->opt.nodes);
    uint32_t slot = (uint32_t) rng_below(&self->rng, self->opt.slots);
    switch ((enum fault) it->a) {
    case FAULT_WORKER:
        self->kills_worker++;
        worker_kill(self, node, slot, DZ_CAUSE_SIGNAL);
        break;
    case FAULT_ZYGOTE: kill_workers(self, node); break;
    case FAULT_AGENT: kill_agent(self, node); break;
    case FAULT_SCHEDULER: kill_agent(self, 0); break;
    case FAULT_NODE:
        if (node != 0)
            lose_node(self, node);
        break;
    case FAULT_FREEZE: freeze(self, node); break;
    case FAULT_LEAVE:
        self->leaves++;
        if (node != 0)
            agent_give(self, node, &(struct vassal_event){ .kind = VASSAL_EV_LEAVE });
        break;
    case FAULT_STOP: stop(self); break;
    case FAULTS: break;
    }
}
