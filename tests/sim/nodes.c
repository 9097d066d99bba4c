/* nodes.c - what a node has whether its agent lives or not: a clock, a disk. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/world.h"

enum { COMMIT_US = 4 * 1000 };

bool
node_is_frozen(const struct world *self, uint32_t n)
{
    return self->nodes[n].frozen_until > self->now;
}

/* A stopped process gets everything later, in the same order. */
bool
node_postpones(struct world *self, struct happening *it)
{
    if (!node_is_frozen(self, it->node) || it->what == AGENT_STARTS)
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

dz_us
node_now(const struct world *self, uint32_t n)
{
    return self->now * self->nodes[n].rate / 1000;
}

dz_us
node_at(const struct world *self, uint32_t n, dz_us local)
{
    return local / self->nodes[n].rate * 1000 + local % self->nodes[n].rate + 1;
}

uint32_t
node_test(const struct world *self, uint32_t n, uint32_t local)
{
    return self->nodes[n].own[local];
}

struct spooled *
spool_of(struct node *node, uint64_t record)
{
    for (size_t i = 0; i < node->spool_len; i++)
        if (node->spool[i].record == record)
            return &node->spool[i];
    return NULL;
}

bool
spool_has_exec(const struct node *node, uint64_t exec)
{
    for (size_t i = 0; i < node->spool_len; i++)
        if (node->spool[i].outcome.exec == exec && node->spool[i].is_durable)
            return true;
    return false;
}

void
spool_journal(struct world *self, uint32_t n, uint64_t record, const struct vassal_outcome *outcome)
{
    struct node *node = &self->nodes[n];
    if (node->spool_len == node->spool_cap) {
        node->spool_cap = node->spool_cap ? node->spool_cap * 2 : 16;
        node->spool = dz_realloc(node->spool, node->spool_cap, sizeof(*node->spool));
    }
    node->spool[node->spool_len++] =
        (struct spooled){ .record = record, .outcome = *outcome, .at = self->now };
    if (!node->is_flushing) {
        struct happening *it =
            world_at(self, self->now + 1 + (dz_us) rng_below(&self->rng, COMMIT_US), FLUSHED);
        it->node = n;
        it->life = node->life;
    }
    node->is_flushing = true;
}

void
spool_flushed(struct world *self, uint32_t n)
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

void
spool_restore(struct world *self, uint32_t n)
{
    struct node *node = &self->nodes[n];
    size_t kept = 0;
    for (size_t i = 0; i < node->spool_len; i++)
        if (node->spool[i].is_durable && !node->spool[i].is_stored)
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

/* A worker that collected for itself may lack tests. */
bool
node_lacks(const struct world *self, uint32_t node, uint32_t slot, uint32_t test)
{
    struct rng rng = { .state = (uint64_t) test << 20 | node << 10 | slot };
    return rng_chance(&rng, self->opt.absent);
}

/* Whom it had met it finds on its disk. */
void
node_new_life(struct world *self, uint32_t n)
{
    struct node *node = &self->nodes[n];
    node->life++;
    node->inc = node->life;
    node->obeyed = node->followed = (struct dz_epoch){ 0 };
    node->said_n = node->said_then = node->asked_n = 0;
    node->started_at = self->now;
    node->tick_at = 0;
    node->is_draining = node->is_flushing = node->is_uplinking = node->is_starting = false;
    node->has_collected = false;
    uint64_t known[NODES_MAX];
    for (uint32_t i = 0; i < self->opt.nodes; i++)
        known[i] = self->nodes[i].id;
    struct vassal_cfg cfg = {
        .job = dz_str("job"),
        .node = node->id,
        .inc = node->inc,
        .slots = self->opt.slots,
        .nodes = self->opt.crowd,
        .seen_n = node->disk_n,
        .rendezvous = self->opt.mode == MODE_ALONE ? VASSAL_ALONE : VASSAL_MEETS,
        .shard_index = n,
        .shard_total = self->opt.is_sharded ? self->opt.nodes : 0,
        .contact = dz_str("somewhere"),
        .known = known,
        .known_count = node->has_met ? self->opt.nodes : 0,
    };
    node->vassal = vassal_new(&cfg);
    world_trace(self, "agent %u starts, life %" PRIu64, n, node->life);
}
