/* faults.c - what goes wrong, when, and the moment from which everything works again. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/world.h"

enum { LONE_HEAL_US = 6 * 1000 * 1000 }; /* the links stay as they are */

static dz_us
between(struct world *self, dz_us least, dz_us most)
{
    return least + (dz_us) rng_below(&self->rng, (uint64_t) (most - least));
}

void
faults_plan(struct world *self)
{
    const struct options *opt = &self->opt;
    const unsigned counts[FAULTS] = {
        [FAULT_WORKER] = opt->worker_kills,
        [FAULT_ZYGOTE] = opt->zygote_kills,
        [FAULT_AGENT] = opt->agent_kills,
        [FAULT_NODE] = opt->node_losses,
        [FAULT_FREEZE] = opt->freezes,
        [FAULT_LEAVE] = opt->leaves,
        [FAULT_STOP] = opt->stops,
        [FAULT_LEADER] = opt->leader_kills,
        [FAULT_CUT] = opt->cuts,
        [FAULT_STORE] = opt->store_faults,
        [FAULT_RESTORE] = opt->restores,
        [FAULT_SLOT] = opt->slot_losses,
    };
    if (opt->is_store_late)
        self->store_down_until = opt->faults_us;
    for (unsigned f = 0; f < FAULTS; f++)
        for (unsigned i = 0; i < counts[f]; i++)
            world_at(self, (dz_us) rng_below(&self->rng, 1 + (uint64_t) opt->faults_us), FAULT)->a =
                f;
    if (opt->lone != LONE_NONE) /* everybody has heard who takes part */
        world_at(self, between(self, 100 * 1000 + 4 * opt->delay_us, opt->faults_us), FAULT)->a =
            FAULT_LONE;
    world_at(self, opt->lone != LONE_NONE ? LONE_HEAL_US : opt->faults_us, HEAL);
}

static void
start_again(struct world *self, uint32_t node, dz_us delay)
{
    self->nodes[node].is_starting = true;
    world_at(self, self->now + delay, AGENT_STARTS)->node = node;
}

static void
kill_workers(struct world *self, uint32_t node)
{
    for (uint32_t s = 0; s < self->opt.slots; s++)
        worker_kill(self, node, s, DZ_CAUSE_ZYGOTE);
}

/* One is left to every node. */
static void
lose_slot(struct world *self, uint32_t node, uint32_t slot)
{
    if (slot == 0)
        return;
    self->nodes[node].lost_slots |= 1u << slot;
    worker_kill(self, node, slot, DZ_CAUSE_SIGNAL);
}

static unsigned
living(const struct world *self)
{
    unsigned count = 0;
    for (uint32_t n = 0; n < self->opt.nodes; n++)
        count += !self->nodes[n].is_gone;
    return count;
}

static void
lose_node(struct world *self, uint32_t node)
{
    if (!self->nodes[node].vassal || self->nodes[node].has_left)
        return;
    agent_crash(self, node, true);
    self->nodes[node].is_gone = rng_chance(&self->rng, 500) && living(self) > 1;
    if (!self->nodes[node].is_gone)
        start_again(self, node, between(self, 200000, 2000000));
}

static void
freeze(struct world *self, uint32_t node)
{
    if (self->nodes[node].frozen_until > self->now)
        return;
    self->nodes[node].frozen_until = self->now + between(self, 100000, 3000000);
    world_trace(self, "agent %u is stopped", node);
}

static void
stop(struct world *self, uint32_t node)
{
    int how = (int) rng_below(&self->rng, 2);
    if (!self->nodes[node].vassal || self->nodes[node].has_left)
        return;
    self->is_stopped = true;
    world_trace(self, "stop %d", how);
    agent_give(
        self, node,
        &(struct vassal_event){ .kind = VASSAL_EV_STOP, .as.stop = { how, dz_str("enough") } });
}

static void
leave(struct world *self, uint32_t node)
{
    if (self->opt.nodes < 2 || !self->nodes[node].vassal || self->nodes[node].has_left)
        return;
    self->leaves++;
    self->nodes[node].is_leaving = true;
    world_trace(self, "node %u is told to leave", node);
    agent_give(self, node, &(struct vassal_event){ .kind = VASSAL_EV_LEAVE });
}

/* One way, or both, or a node from everybody, the store included or not. */
static void
cut(struct world *self, uint32_t node)
{
    dz_us until = self->now + between(self, 100000, 4000000);
    for (uint32_t n = 0; n < self->opt.nodes && rng_chance(&self->rng, 400); n++)
        node = self->nodes[n].coord ? n : node;
    uint64_t how = rng_below(&self->rng, 4);
    uint32_t other = (uint32_t) rng_below(&self->rng, self->opt.nodes);
    if (rng_chance(&self->rng, 250)) { /* the store hung up, and told more than it knew */
        world_trace(self, "node %u is said to be gone", node);
        net_reset(self, node, self->nodes[node].inc);
    }
    for (uint32_t n = 0; n < self->opt.nodes; n++) {
        if (n == node || (how < 2 && n != other))
            continue;
        self->cut_until[node][n] = until;
        if (how % 2 == 0)
            self->cut_until[n][node] = until;
    }
    if (how == 2 && rng_chance(&self->rng, 600))
        self->store_cut_until[node] = until;
    world_trace(self, "cut %d of node %u until %" PRId64, (int) how, node, until / 1000);
}

static void
store_fault(struct world *self, uint32_t node)
{
    dz_us until = self->now + between(self, 50000, 4000000);
    switch (rng_below(&self->rng, 3)) {
    case 0: self->store_down_until = until; break;
    case 1: self->store_slow_until = until; break;
    default: self->store_cut_until[node] = until; break;
    }
    world_trace(self, "the store fails until %" PRId64, until / 1000);
}

static void
kill_agent(struct world *self, uint32_t node)
{
    agent_crash(self, node, false);
    start_again(self, node, between(self, 20000, 600000));
}

/* Its whole machine, or only the agent. */
static void
kill_leader(struct world *self)
{
    for (uint32_t n = 0; n < self->opt.nodes; n++) {
        struct node *node = &self->nodes[n];
        if (!node->coord)
            continue;
        if (self->opt.node_losses > 0 && !node->has_left && rng_chance(&self->rng, 500))
            lose_node(self, n);
        else
            kill_agent(self, n);
        return;
    }
}

/* ------------------------------------------------------------------ one fault by itself */

static void
note_held(struct world *self, uint32_t n)
{
    self->lone_tests = dz_alloc0(self->opt.tests + 1, 1);
    for (uint32_t s = 0; s < self->opt.slots; s++) {
        const struct worker *worker = &self->nodes[n].workers[s];
        if (worker->state == WORKER_CALL || worker->state == WORKER_NEXT)
            self->lone_tests[node_test(self, n, worker->running)] = 1;
        for (size_t i = 0; i < worker->queue_len; i++)
            self->lone_tests[node_test(self, n, worker->queue[i])] = 1;
    }
}

/* Of a job that is under way: its scheduler, or another member. */
static bool
find_lone(const struct world *self, uint32_t *out)
{
    bool is_scheduler =
        self->opt.lone == LONE_SCHEDULER_DIES || self->opt.lone == LONE_SCHEDULER_STOPS;
    for (uint32_t n = 0; n < self->opt.nodes; n++) {
        const struct node *node = &self->nodes[n];
        if (!node->coord || strcmp(coord_state_text(node->coord), "SCHEDULING") != 0)
            continue;
        for (uint32_t m = 0; m < self->opt.nodes; m++) {
            bool is_member = strcmp(coord_node_text(node->coord, m + 1), "MEMBER") == 0;
            *out = m;
            if (is_scheduler ? m == n : m != n && is_member)
                return true;
        }
    }
    return false;
}

static void
lone_fault(struct world *self)
{
    uint32_t n = 0;
    if (!find_lone(self, &n))
        return;
    self->lone_at = self->now;
    self->lone_node = n;
    self->lone_n = self->lease.epoch.n;
    note_held(self, n);
    if (self->opt.lone == LONE_SCHEDULER_DIES || self->opt.lone == LONE_VASSAL_DIES) {
        agent_crash(self, n, false);
        start_again(self, n, between(self, 500000, 800000));
        return;
    }
    self->lone_until = self->now + between(self, 1500000, 3000000);
    self->nodes[n].frozen_until = self->lone_until;
    world_trace(self, "agent %u is stopped", n);
}

static void
heal(struct world *self)
{
    world_trace(self, "healed");
    self->is_healed = true;
    self->heal_at = self->now;
    for (uint32_t n = 0; n < self->opt.nodes; n++) {
        if (!self->nodes[n].vassal && !self->nodes[n].is_gone && self->opt.lone == LONE_NONE)
            start_again(self, n, between(self, 1, 200000));
    }
}

static void
plan_fault(struct world *self, dz_us delay, enum fault fault, uint32_t node)
{
    struct happening *it = world_at(self, self->now + delay, FAULT);
    it->a = fault;
    it->b = node + 1;
}

/* The moments in which a scheduler's death, or another fault, hurts most are short: aim at them. */
void
fault_at_phase(struct world *self, uint32_t node)
{
    if (self->is_healed || !self->opt.victim_phase || !self->nodes[node].coord ||
        strcmp(self->opt.victim_phase, coord_state_text(self->nodes[node].coord)) != 0)
        return;
    self->opt.victim_phase = NULL;
    uint32_t other = (uint32_t) rng_below(&self->rng, self->opt.nodes);
    plan_fault(self, between(self, 1, 20000), self->opt.phase_fault, other);
    if (self->opt.leaves > 1)
        plan_fault(self, between(self, 500000, 2500000), FAULT_LEAVE, other);
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
    if (it->b > 0)
        node = (uint32_t) it->b - 1;
    switch ((enum fault) it->a) {
    case FAULT_WORKER: worker_kill(self, node, slot, DZ_CAUSE_SIGNAL); break;
    case FAULT_ZYGOTE: kill_workers(self, node); break;
    case FAULT_AGENT: kill_agent(self, node); break;
    case FAULT_LEADER: kill_leader(self); break;
    case FAULT_NODE:
        if (self->opt.nodes > 1)
            lose_node(self, node);
        break;
    case FAULT_FREEZE: freeze(self, node); break;
    case FAULT_LEAVE: leave(self, node); break;
    case FAULT_STOP: stop(self, node); break;
    case FAULT_CUT: cut(self, node); break;
    case FAULT_STORE: store_fault(self, node); break;
    case FAULT_RESTORE:
        if (self->has_backup)
            store_restore(self);
        else
            store_backup(self);
        break;
    case FAULT_SLOT: lose_slot(self, node, slot); break;
    case FAULT_LONE: lone_fault(self); break;
    case FAULTS: break;
    }
}
