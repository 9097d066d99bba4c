/* agents.c - what drives the vassal's core on each node: the stand-in for vassal/io. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/world.h"

enum {
    RINGS_US = 10 * 1000, /* how often the agent reads its workers' rings */
    FORK_US = 20 * 1000,
    COMMIT_US = 4 * 1000,
};

static bool
is_frozen(const struct world *self, uint32_t node)
{
    return self->nodes[node].frozen_until > self->now;
}

/* ------------------------------------------------------------------ spool */

static struct spooled *
spool_of(struct node *node, uint64_t record)
{
    for (size_t i = 0; i < node->spool_len; i++)
        if (node->spool[i].record == record)
            return &node->spool[i];
    return NULL;
}

static bool
spool_has_exec(const struct node *node, uint64_t exec)
{
    for (size_t i = 0; i < node->spool_len; i++)
        if (node->spool[i].outcome.exec == exec && node->spool[i].is_durable)
            return true;
    return false;
}

static void
journal(struct world *self, uint32_t n, uint64_t record, const struct vassal_outcome *outcome)
{
    struct node *node = &self->nodes[n];
    if (node->spool_len == node->spool_cap) {
        node->spool_cap = node->spool_cap ? node->spool_cap * 2 : 16;
        node->spool = dz_realloc(node->spool, node->spool_cap, sizeof(*node->spool));
    }
    node->spool[node->spool_len++] = (struct spooled){ .record = record, .outcome = *outcome };
    if (!node->is_flushing) {
        struct happening *it =
            world_at(self, self->now + 1 + (dz_us) rng_below(&self->rng, COMMIT_US), FLUSHED);
        it->node = n;
        it->life = node->life;
    }
    node->is_flushing = true;
}

static void
on_flushed(struct world *self, uint32_t n)
{
    struct node *node = &self->nodes[n];
    node->is_flushing = false;
    uint64_t last = 0;
    for (size_t i = 0; i < node->spool_len; i++) {
        node->spool[i].is_durable = true;
        last = node->spool[i].record;
    }
    for (uint32_t s = 0; s < SLOTS_MAX; s++) {
        struct worker *worker = &node->workers[s];
        size_t done = 0;
        while (done < worker->ring_read && spool_has_exec(node, worker->ring[done].exec))
            done++;
        worker->ring_len -= done;
        worker->ring_read -= done;
        if (done > 0)
            memmove(worker->ring, worker->ring + done, worker->ring_len * sizeof(*worker->ring));
    }
    agent_give(self, n,
               &(struct vassal_event){ .kind = VASSAL_EV_JOURNALED, .as.journaled.record = last });
}

/* ------------------------------------------------------------------ effects */

struct answers {
    struct vassal_event events[4 * SLOTS_MAX];
    struct dz_grant grants[4 * SLOTS_MAX][QUEUE_MAX];
    size_t count;
};

static struct vassal_event *
answer(struct answers *answers, enum vassal_event_kind kind, unsigned slot)
{
    dz_assert(answers->count < DZ_LEN(answers->events));
    struct vassal_event *event = &answers->events[answers->count];
    *event = (struct vassal_event){
        .kind = kind, .as.back = { .slot = slot, .grants = answers->grants[answers->count] }
    };
    answers->count++;
    return event;
}

static void
add_grant(struct vassal_event *event, struct answers *answers, uint32_t test)
{
    answers->grants[event - answers->events][event->as.back.count++] = (struct dz_grant){ test, 0 };
}

/* A worker that collected for itself may lack tests. */
static bool
is_absent(const struct world *self, uint32_t node, uint32_t slot, uint32_t test)
{
    struct rng rng = { .state = (uint64_t) test << 20 | node << 10 | slot };
    return rng_chance(&rng, self->opt.absent);
}

static void
on_feed(struct world *self, uint32_t n, const struct vassal_effect *fx, struct answers *answers)
{
    struct worker *worker = &self->nodes[n].workers[fx->as.feed.slot];
    struct vassal_event *lacking = NULL;
    if (worker->state == WORKER_FORKING)
        world_break(self, "node %u feeds slot %u before its worker is up", n, fx->as.feed.slot);
    if (worker->state == WORKER_NONE)
        return; /* it is dead, and the agent will learn so */
    for (size_t i = 0; i < fx->as.feed.count; i++) {
        uint32_t test = fx->as.feed.grants[i].test;
        if (is_absent(self, n, fx->as.feed.slot, test)) {
            lacking = lacking ? lacking : answer(answers, VASSAL_EV_ABSENT, fx->as.feed.slot);
            add_grant(lacking, answers, test);
            continue;
        }
        dz_assert(worker->queue_len < QUEUE_MAX);
        worker->queue[worker->queue_len++] = test;
    }
    worker->more = fx->as.feed.more;
    worker_poke(self, n, fx->as.feed.slot);
}

static void
on_unput(struct world *self, uint32_t n, const struct vassal_effect *fx, struct answers *answers)
{
    struct worker *worker = &self->nodes[n].workers[fx->as.unput.slot];
    struct vassal_event *back = answer(answers, VASSAL_EV_UNPUT, fx->as.unput.slot);
    for (size_t i = 0; i < fx->as.unput.count && worker->queue_len > 0; i++)
        add_grant(back, answers, worker->queue[--worker->queue_len]);
}

static void
on_fork(struct world *self, uint32_t n, uint32_t slot)
{
    struct worker *worker = &self->nodes[n].workers[slot];
    if (worker->state != WORKER_NONE) {
        world_break(self, "node %u forks slot %u twice", n, slot);
        return;
    }
    worker->state = WORKER_FORKING;
    struct happening *it =
        world_at(self, self->now + 1 + (dz_us) rng_below(&self->rng, FORK_US), FORKED);
    it->node = n;
    it->slot = slot;
    it->life = worker->life;
}

static void
apply(struct world *self, uint32_t n, const struct vassal_effect *fx, struct answers *answers)
{
    struct node *node = &self->nodes[n];
    switch (fx->kind) {
    case VASSAL_FX_SEND:
        oracle_vassal_sends(self, n, fx->as.send.frame);
        net_send(self, n, true, fx->as.send.frame);
        break;
    case VASSAL_FX_FORK: on_fork(self, n, fx->as.slot.slot); break;
    case VASSAL_FX_FEED: on_feed(self, n, fx, answers); break;
    case VASSAL_FX_UNPUT: on_unput(self, n, fx, answers); break;
    case VASSAL_FX_KILL: worker_kill(self, n, fx->as.slot.slot, DZ_CAUSE_STOPPED); break;
    case VASSAL_FX_JOURNAL: journal(self, n, fx->as.journal.record, &fx->as.journal.outcome); break;
    case VASSAL_FX_COUNTED: {
        struct spooled *it = spool_of(node, fx->as.counted.record);
        if (!it || it->is_known)
            world_break(self, "node %u was told twice of record %" PRIu64, n,
                        fx->as.counted.record);
        else
            it->is_known = true;
        break;
    }
    case VASSAL_FX_DONE:
        node->has_left = true;
        world_trace(self, "node %u done, sealed %d", n, fx->as.done.is_sealed);
        oracle_vassal_leaves(self, n, fx->as.done.is_sealed);
        break;
    case VASSAL_FX_NOTE:
        world_trace(self, "node %u notes: %.*s", n, (int) fx->as.note.text.len,
                    (const char *) fx->as.note.text.ptr);
        break;
    default: break;
    }
}

static void
plan_tick(struct world *self, uint32_t n)
{
    struct node *node = &self->nodes[n];
    dz_us at = vassal_next(node->vassal);
    if (at == INT64_MAX || (node->tick_at > self->now && node->tick_at <= at))
        return;
    node->tick_at = at > self->now ? at : self->now + 1;
    struct happening *it = world_at(self, node->tick_at, VASSAL_TICK);
    it->node = n;
    it->life = node->life;
}

void
agent_give(struct world *self, uint32_t n, const struct vassal_event *event)
{
    struct node *node = &self->nodes[n];
    if (!node->vassal || self->violation)
        return;
    struct vassal_effects fx;
    struct answers *answers = dz_alloc0(1, sizeof(*answers));
    vassal_step(node->vassal, event, self->now, &fx);
    self->steps++;
    if (event->kind == VASSAL_EV_MESSAGE)
        oracle_vassal_obeys(self, n, event->as.message, &fx);
    for (size_t i = 0; i < fx.count; i++)
        apply(self, n, &fx.items[i], answers);
    vassal_check(node->vassal);
    plan_tick(self, n);
    for (size_t i = 0; i < answers->count; i++)
        agent_give(self, n, &answers->events[i]);
    free(answers);
}

/* ------------------------------------------------------------------ life of an agent */

static void
attach(struct world *self, uint32_t n, uint32_t s)
{
    struct worker *worker = &self->nodes[n].workers[s];
    struct dz_grant held[QUEUE_MAX + 2];
    size_t count = 0;
    worker->ring_read = 0;
    if (worker->state == WORKER_FORKING) { /* its parent gives up on it */
        worker->state = WORKER_NONE;
        worker->life++;
    }
    if (worker->state == WORKER_NONE) {
        self->lost_results += worker->ring_len;
        worker->ring_len = 0;
        return;
    }
    if (worker->state != WORKER_IDLE)
        held[count++] = (struct dz_grant){ worker->running, 0 };
    if (worker->has_next)
        held[count++] = (struct dz_grant){ worker->next, 0 };
    for (size_t i = 0; i < worker->queue_len; i++)
        held[count++] = (struct dz_grant){ worker->queue[i], 0 };
    agent_give(
        self, n,
        &(struct vassal_event){ .kind = VASSAL_EV_ATTACHED,
                                .as.attached = { .slot = s, .held = held, .count = count } });
}

static void
read_ring(struct world *self, uint32_t n, uint32_t s)
{
    struct node *node = &self->nodes[n];
    struct worker *worker = &node->workers[s];
    while (worker->ring_read < worker->ring_len && node->vassal) {
        struct vassal_outcome outcome = worker->ring[worker->ring_read++];
        if (!spool_has_exec(node, outcome.exec))
            agent_give(self, n,
                       &(struct vassal_event){ .kind = VASSAL_EV_RESULT, .as.result = outcome });
    }
}

static void
ask_again(struct world *self, uint32_t n, uint32_t s)
{
    struct worker *worker = &self->nodes[n].workers[s];
    if (worker->state < WORKER_IDLE || !worker->is_waiting)
        return;
    struct happening *it = world_at(self, self->now + 50, WORKER_ASKS);
    it->node = n;
    it->slot = s;
    it->life = worker->life;
}

static void
restore_spool(struct world *self, uint32_t n)
{
    struct node *node = &self->nodes[n];
    size_t kept = 0;
    for (size_t i = 0; i < node->spool_len; i++)
        if (node->spool[i].is_durable)
            node->spool[kept++] = node->spool[i];
    node->spool_len = kept;
    for (size_t i = 0; i < kept; i++) {
        struct vassal_event event = { .kind = VASSAL_EV_RESTORED,
                                      .as.restored = { node->spool[i].record,
                                                       node->spool[i].outcome } };
        node->spool[i].is_known = false; /* what was heard is not written down */
        agent_give(self, n, &event);
    }
}

void
agent_start(struct world *self, uint32_t n)
{
    struct node *node = &self->nodes[n];
    if (node->vassal || node->has_left || node->is_gone)
        return;
    node->life++;
    node->inc = node->life;
    node->obeyed_n = 0;
    node->started_at = self->now;
    node->tick_at = 0;
    node->is_draining = node->is_flushing = false;
    struct vassal_cfg cfg = {
        .job = dz_str("job"), .node = node->id, .inc = node->inc, .slots = self->opt.slots
    };
    node->vassal = vassal_new(&cfg);
    world_trace(self, "agent %u starts, life %" PRIu64, n, node->life);
    if (n == 0)
        coord_start(self);
    restore_spool(self, n);
    for (uint32_t s = 0; s < self->opt.slots; s++)
        attach(self, n, s);
    for (uint32_t s = 0; s < self->opt.slots; s++)
        read_ring(self, n, s);
    agent_give(self, n,
               &(struct vassal_event){ .kind = VASSAL_EV_MANIFEST,
                                       .as.manifest = { self->opt.tests, 77, node->disk_n } });
    for (uint32_t s = 0; s < self->opt.slots; s++)
        ask_again(self, n, s);
    if (n == 0 && self->is_stopped)
        agent_give(self, n, &(struct vassal_event){ .kind = VASSAL_EV_STOP });
}

void
agent_crash(struct world *self, uint32_t n, bool with_disk)
{
    struct node *node = &self->nodes[n];
    if (!node->vassal || node->has_left)
        return;
    world_trace(self, "agent %u dies%s", n, with_disk ? ", with its node" : "");
    vassal_destroy(&node->vassal);
    node->life++;
    for (size_t i = 0; i < node->spool_len; i++)
        self->lost_results += !node->spool[i].is_durable; /* unless their worker still lives */
    if (n == 0)
        coord_crash(self);
    if (!with_disk)
        return;
    for (uint32_t s = 0; s < self->opt.slots; s++) {
        worker_kill(self, n, s, DZ_CAUSE_AGENT);
        self->lost_results += node->workers[s].ring_len;
        node->workers[s].ring_len = 0;
    }
    node->spool_len = 0;
}

/* ------------------------------------------------------------------ what happens to it */

static void
on_worker_died(struct world *self, const struct happening *it)
{
    struct vassal_event event;
    if (!self->nodes[it->node].vassal)
        return; /* nobody hears of it; the next agent finds no such worker */
    memcpy(&event, it->frame, sizeof(event));
    read_ring(self, it->node, it->slot);
    self->nodes[it->node].workers[it->slot].ring_len = 0;
    self->nodes[it->node].workers[it->slot].ring_read = 0;
    agent_give(self, it->node, &event);
}

static void
on_forked(struct world *self, const struct happening *it)
{
    struct worker *worker = &self->nodes[it->node].workers[it->slot];
    if (worker->life != it->life || worker->state != WORKER_FORKING)
        return;
    worker->state = WORKER_IDLE;
    worker->more = VASSAL_MORE_ASK;
    agent_give(self, it->node,
               &(struct vassal_event){ .kind = VASSAL_EV_SLOT_UP, .as.slot.slot = it->slot });
    worker_poke(self, it->node, it->slot);
}

static void
on_asks(struct world *self, const struct happening *it)
{
    const struct worker *worker = &self->nodes[it->node].workers[it->slot];
    if (worker->life == it->life && worker->is_waiting && worker->queue_len == 0 &&
        worker->more == VASSAL_MORE_ASK)
        agent_give(self, it->node,
                   &(struct vassal_event){ .kind = VASSAL_EV_SLOT_ASKS, .as.slot.slot = it->slot });
}

/* A stopped process gets everything later, in the same order. */
static bool
postpone(struct world *self, struct happening *it)
{
    if (!is_frozen(self, it->node) || it->what == AGENT_STARTS)
        return false;
    struct happening *later = world_at(self, self->nodes[it->node].frozen_until, it->what);
    uint64_t seq = later->seq;
    dz_us at = later->at;
    *later = *it;
    later->seq = seq;
    later->at = at;
    it->frame = NULL;
    return true;
}

void
agent_on(struct world *self, struct happening *it)
{
    struct node *node = &self->nodes[it->node];
    if (postpone(self, it))
        return;
    bool is_of_agent = it->what == VASSAL_TICK || it->what == RINGS || it->what == FLUSHED ||
                       it->what == WORKER_DIED;
    if (is_of_agent && it->life != node->life)
        return;
    switch ((int) it->what) {
    case AGENT_STARTS: agent_start(self, it->node); break;
    case TO_VASSAL:
        agent_give(self, it->node,
                   &(struct vassal_event){ .kind = VASSAL_EV_MESSAGE,
                                           .as.message = { it->frame, it->frame_len } });
        break;
    case VASSAL_TICK:
        agent_give(self, it->node, &(struct vassal_event){ .kind = VASSAL_EV_TICK });
        break;
    case RINGS:
        node->is_draining = false;
        for (uint32_t s = 0; s < self->opt.slots; s++)
            read_ring(self, it->node, s);
        break;
    case FLUSHED: on_flushed(self, it->node); break;
    case WORKER_DIED: on_worker_died(self, it); break;
    case FORKED: on_forked(self, it); break;
    case WORKER_ASKS: on_asks(self, it); break;
    default: dz_assert(!"an event of an agent");
    }
}
