/* agents.c - what drives the vassal's core on each node: the stand-in for vassal/io. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "shared/wire/frame.h"
#include "tests/sim/world.h"

enum {
    RINGS_US = 10 * 1000, /* how often the agent reads its workers' rings */
    FORK_US = 20 * 1000,
};

/* ------------------------------------------------------------------ effects */

/* What the driver answers at once, when the effects of a step are through. */
struct answer {
    struct vassal_event event;
    struct dz_grant grants[QUEUE_MAX];
};

struct answers {
    struct answer *items[4 * SLOTS_MAX]; /* owned */
    size_t count;
};

static struct vassal_event *
answer(struct answers *answers, enum vassal_event_kind kind, unsigned slot)
{
    dz_assert(answers->count < DZ_LEN(answers->items));
    struct answer *it = dz_realloc(NULL, 1, sizeof(*it));
    it->event =
        (struct vassal_event){ .kind = kind, .as.back = { .slot = slot, .grants = it->grants } };
    answers->items[answers->count++] = it;
    return &it->event;
}

static void
add_grant(struct vassal_event *event, uint32_t test)
{
    struct answer *it = (struct answer *) (void *) event; /* its first member */
    it->grants[event->as.back.count++] = (struct dz_grant){ test, 0 };
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
        if (test >= self->nodes[n].own_total) {
            world_break(self, "node %u is given test %u, which it does not have", n, test);
            return;
        }
        if (node_lacks(self, n, fx->as.feed.slot, test)) {
            lacking = lacking ? lacking : answer(answers, VASSAL_EV_ABSENT, fx->as.feed.slot);
            add_grant(lacking, test);
            continue;
        }
        oracle_feeds(self, n, test);
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
        add_grant(back, worker->queue[--worker->queue_len]);
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
on_stored(struct world *self, uint32_t n, uint64_t record)
{
    struct spooled *it = spool_of(&self->nodes[n], record);
    if (!it || it->is_stored) {
        world_break(self, "node %u was told twice that record %" PRIu64 " is stored", n, record);
        return;
    }
    it->is_stored = true;
    oracle_stored(self, n, it->outcome.exec);
}

static void
on_counted(struct world *self, uint32_t n, const struct vassal_effect *fx)
{
    struct spooled *it = spool_of(&self->nodes[n], fx->as.counted.record);
    if (!it || it->is_known) {
        world_break(self, "node %u was told twice of record %" PRIu64, n, fx->as.counted.record);
        return;
    }
    it->is_known = true;
    if (fx->as.counted.is_stored)
        on_stored(self, n, fx->as.counted.record);
}

static void
on_done(struct world *self, uint32_t n, const struct vassal_effect *fx)
{
    struct node *node = &self->nodes[n];
    node->has_left = true;
    node->end = fx->as.done;
    world_trace(self, "node %u done, sealed %d, late %d, shard %d, pending %" PRIu64, n,
                fx->as.done.is_sealed, fx->as.done.is_late, fx->as.done.is_shard,
                fx->as.done.pending);
    oracle_vassal_leaves(self, n);
}

struct due {
    const struct vassal_effect *lead, *abdicate, *ask;
};

static void
apply(struct world *self, uint32_t n, const struct vassal_effect *fx, struct answers *answers,
      struct due *due)
{
    switch (fx->kind) {
    case VASSAL_FX_SEND:
        oracle_vassal_sends(self, n, fx->as.send.frame);
        net_send(self, n, (uint32_t) fx->as.send.node - 1, fx->as.send.frame);
        break;
    case VASSAL_FX_FORK: on_fork(self, n, fx->as.slot.slot); break;
    case VASSAL_FX_FEED: on_feed(self, n, fx, answers); break;
    case VASSAL_FX_UNPUT: on_unput(self, n, fx, answers); break;
    case VASSAL_FX_KILL: worker_kill(self, n, fx->as.slot.slot, DZ_CAUSE_STOPPED); break;
    case VASSAL_FX_JOURNAL:
        spool_journal(self, n, fx->as.journal.record, &fx->as.journal.outcome);
        break;
    case VASSAL_FX_COUNTED: on_counted(self, n, fx); break;
    case VASSAL_FX_STORED: on_stored(self, n, fx->as.stored); break;
    case VASSAL_FX_DONE: on_done(self, n, fx); break;
    case VASSAL_FX_NOTE:
        world_trace(self, "node %u notes: %.*s", n, (int) fx->as.note.text.len,
                    (const char *) fx->as.note.text.ptr);
        break;
    case VASSAL_FX_RANK:
        world_trace(self, "node %u is %s, epoch %" PRIu64 " of %" PRIu64 ": %s", n,
                    fx->as.rank.name, fx->as.rank.epoch.n, fx->as.rank.epoch.node, fx->as.rank.why);
        self->nodes[n].followed = fx->as.rank.epoch;
        self->nodes[n].said_then = self->nodes[n].said_n;
        break;
    case VASSAL_FX_MEET: self->nodes[n].has_met = true; break; /* everybody knows the way */
    case VASSAL_FX_ASK: due->ask = fx; break;
    case VASSAL_FX_LEAD: due->lead = fx; break;
    case VASSAL_FX_ABDICATE: due->abdicate = fx; break;
    }
}

static void
plan_tick(struct world *self, uint32_t n)
{
    struct node *node = &self->nodes[n];
    dz_us at = vassal_next(node->vassal);
    if (at == INT64_MAX)
        return;
    at = node_at(self, n, at);
    if (node->tick_at > self->now && node->tick_at <= at)
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
    struct due due = { 0 };
    struct answers answers = { .count = 0 };
    if (event->kind == VASSAL_EV_MESSAGE)
        cells_vassal(self->cells, node->vassal, event->as.message);
    vassal_step(node->vassal, event, node_now(self, n), &fx);
    self->steps++;
    if (event->kind == VASSAL_EV_MESSAGE)
        oracle_vassal_obeys(self, n, event->as.message, &fx);
    for (size_t i = 0; i < fx.count; i++)
        apply(self, n, &fx.items[i], &answers, &due);
    if (self->steps % 16 == 0)
        vassal_check(node->vassal);
    plan_tick(self, n);
    struct vassal_effect lead, abdicate; /* the core's memory is gone with its next step */
    if (due.lead)
        lead = *due.lead;
    if (due.abdicate)
        abdicate = *due.abdicate;
    if (due.ask)
        authority_ask(self, n, due.ask);
    for (size_t i = 0; i < answers.count; i++) {
        agent_give(self, n, &answers.items[i]->event);
        free(answers.items[i]);
    }
    if (due.abdicate)
        coord_give(self, n,
                   &(struct coord_event){ .kind = COORD_EV_OUTRANKED,
                                          .as.outranked = abdicate.as.abdicate });
    if (due.lead && node->vassal)
        coord_begin(self, n, &lead);
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
own_test(const void *arg, uint32_t test, struct dz_item_own *out)
{
    const struct node *node = arg;
    *out = (struct dz_item_own){ .id = node->own_ids[test], .group = node->own_groups[test] };
}

static void
collect(struct world *self, uint32_t n)
{
    struct node *node = &self->nodes[n];
    struct vassal_event event = {
        .kind = VASSAL_EV_MANIFEST,
        .as.manifest = { .total = node->own_total,
                         .digest = node->is_odd ? 1000 + n : 77,
                         .seen_n = node->disk_n,
                         .nodes = self->opt.crowd,
                         .own = { own_test, node } },
    };
    node->has_collected = true;
    coord_brief(self, n);
    agent_give(self, n, &event);
}

void
agent_start(struct world *self, uint32_t n)
{
    struct node *node = &self->nodes[n];
    if (node->vassal || node->has_left || node->is_gone)
        return;
    node_new_life(self, n);
    spool_restore(self, n);
    if (self->opt.mode != MODE_ALONE)
        agent_give(self, n, &(struct vassal_event){ .kind = VASSAL_EV_JOIN });
    for (uint32_t s = 0; s < self->opt.slots; s++)
        attach(self, n, s);
    for (uint32_t s = 0; s < self->opt.slots; s++)
        read_ring(self, n, s);
    if (self->opt.collect_us == 0) {
        collect(self, n);
    } else {
        struct happening *it = world_at(
            self, self->now + (dz_us) rng_below(&self->rng, (uint64_t) self->opt.collect_us),
            COLLECTED);
        it->node = n;
        it->life = self->nodes[n].life;
    }
    for (uint32_t s = 0; s < self->opt.slots; s++)
        ask_again(self, n, s);
    if (self->is_stopped)
        agent_give(self, n, &(struct vassal_event){ .kind = VASSAL_EV_STOP });
    if (node->is_leaving)
        agent_give(self, n, &(struct vassal_event){ .kind = VASSAL_EV_LEAVE });
    uplink_plan(self, n);
}

void
agent_crash(struct world *self, uint32_t n, bool with_disk)
{
    struct node *node = &self->nodes[n];
    if (!node->vassal || (node->has_left && !node->coord))
        return;
    world_trace(self, "agent %u dies%s", n, with_disk ? ", with its node" : "");
    vassal_destroy(&node->vassal);
    coord_end(self, n);
    node->life++;
    if (!with_disk && self->opt.has_resets)
        net_reset(self, n, node->inc);
    if (!with_disk)
        return;
    self->lost_at = self->now;
    for (uint32_t s = 0; s < self->opt.slots; s++) {
        worker_kill(self, n, s, DZ_CAUSE_AGENT);
        node->workers[s].ring_len = 0;
    }
    node->spool_len = 0;
    node->disk_n = 0;
    node->has_met = false;
    ledger_fini(&node->ledger);
    ledger_init(&node->ledger, self->opt.tests);
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

/* Which end of the node is meant; for a scheduler that is not here its vassal answers. */
static void
on_frame(struct world *self, struct happening *it)
{
    struct dz_msg_mesh from;
    struct dz_slice frame = { it->frame, it->frame_len };
    struct node *node = &self->nodes[it->node];
    if (dz_mesh_open(frame, &from) != DZ_OK)
        return;
    if (from.to == DZ_MESH_TO_SCHEDULER && node->coord)
        coord_give(self, it->node,
                   &(struct coord_event){ .kind = COORD_EV_MESSAGE, .as.message = frame });
    else
        agent_give(self, it->node,
                   &(struct vassal_event){ .kind = VASSAL_EV_MESSAGE, .as.message = frame });
}

static void
on_answered(struct world *self, const struct happening *it)
{
    struct answered answered;
    memcpy(&answered, it->frame, sizeof(answered));
    struct vassal_event event = { .kind = VASSAL_EV_ANSWER,
                                  .as.answer = { .number = answered.number,
                                                 .reply = answered.reply } };
    if (answered.reply.word == DZ_LEASE_HELD)
        event.as.answer.contact = dz_str("somewhere");
    agent_give(self, it->node, &event);
}

static void
on_gone(struct world *self, const struct happening *it)
{
    agent_give(self, it->node,
               &(struct vassal_event){ .kind = VASSAL_EV_GONE, .as.gone = { it->a, it->b } });
    coord_give(self, it->node,
               &(struct coord_event){ .kind = COORD_EV_GONE, .as.gone = { it->a, it->b } });
}

void
agent_on(struct world *self, struct happening *it)
{
    struct node *node = &self->nodes[it->node];
    if (node_postpones(self, it))
        return;
    bool is_of_agent = it->what == VASSAL_TICK || it->what == RINGS || it->what == FLUSHED ||
                       it->what == WORKER_DIED || it->what == ANSWERED || it->what == GONE ||
                       it->what == UPLINK || it->what == COLLECTED;
    if (is_of_agent && it->life != node->life)
        return;
    switch ((int) it->what) {
    case AGENT_STARTS: agent_start(self, it->node); break;
    case COLLECTED: collect(self, it->node); break;
    case FRAME: on_frame(self, it); break;
    case VASSAL_TICK:
        agent_give(self, it->node, &(struct vassal_event){ .kind = VASSAL_EV_TICK });
        break;
    case RINGS:
        node->is_draining = false;
        for (uint32_t s = 0; s < self->opt.slots; s++)
            read_ring(self, it->node, s);
        break;
    case FLUSHED: spool_flushed(self, it->node); break;
    case WORKER_DIED: on_worker_died(self, it); break;
    case FORKED: on_forked(self, it); break;
    case WORKER_ASKS: on_asks(self, it); break;
    case ANSWERED: on_answered(self, it); break;
    case GONE: on_gone(self, it); break;
    case UPLINK: uplink_run(self, it->node); break;
    case COORD_TICK:
    case PERSISTED:
    case LEDGER_WROTE:
    case SEAL_TRIES: coord_on(self, it); break;
    default: dz_assert(!"an event of an agent");
    }
}
