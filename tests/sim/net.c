/* net.c - what lies between nodes, and between them and the store. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "shared/wire/frame.h"
#include "tests/sim/world.h"

enum {
    LOCAL_US = 100,
    STORE_US = 5000,        /* an answer of the store */
    SLOW_STORE_US = 900000, /* one that is in trouble */
    HOST_US = 300,
    RESET_US = 5000,
    UPLINK_US = 20000,
    UPLINK_ROWS = 40,
    STRAY_US = 3000 * 1000,
    STRAY_COPIES = 4,
};

/* ------------------------------------------------------------------ links */

struct link {
    uint32_t from, to;
    bool is_bad;
};

static void
deliver(struct world *self, struct link link, struct dz_slice frame, dz_us most)
{
    dz_us *last = &self->last[link.from][link.to];
    dz_us at = self->now + 1 + (dz_us) rng_below(&self->rng, (uint64_t) most);
    bool is_in_order = !link.is_bad || !self->opt.reorders;
    if (is_in_order && at <= *last)
        at = *last + 1;
    *last = at > *last ? at : *last;
    struct happening *it = world_at(self, at, FRAME);
    it->node = link.to;
    it->frame = dz_realloc(NULL, frame.len + 1, 1);
    memcpy(it->frame, frame.ptr, frame.len);
    it->frame_len = frame.len;
}

/* More copies of some messages, which arrive when nobody thinks of them any more, whatever became of
 * the first one. */
static void
stray(struct world *self, struct link link, struct dz_slice frame)
{
    bool is_stray = frame.len > DZ_MESH_KIND_AT && frame.ptr[DZ_MESH_KIND_AT] == self->opt.stray;
    if (self->opt.stray == 0 || !link.is_bad || !is_stray)
        return;
    dz_us last = self->last[link.from][link.to];
    for (int i = 0; i < STRAY_COPIES; i++) {
        self->last[link.from][link.to] = 0;
        deliver(self, (struct link){ link.from, link.to, false }, frame, STRAY_US);
    }
    self->last[link.from][link.to] = last;
}

void
net_send(struct world *self, uint32_t from, uint32_t to, struct dz_slice frame)
{
    if (to >= self->opt.nodes)
        return; /* of nobody: a driver knows no way */
    struct link link = { from, to, from != to && !self->is_healed };
    self->messages++;
    stray(self, link, frame);
    if (link.is_bad &&
        (self->cut_until[from][to] > self->now || rng_chance(&self->rng, self->opt.loss)))
        return;
    deliver(self, link, frame, link.is_bad ? self->opt.delay_us : LOCAL_US);
    if (link.is_bad && rng_chance(&self->rng, self->opt.twice))
        deliver(self, link, frame, 3 * self->opt.delay_us);
}

void
net_reset(struct world *self, uint32_t node, uint64_t inc)
{
    for (uint32_t n = 0; n < self->opt.nodes; n++) {
        if (n == node || (self->cut_until[node][n] > self->now && !self->is_healed))
            continue;
        struct happening *it =
            world_at(self, self->now + 1 + (dz_us) rng_below(&self->rng, RESET_US), GONE);
        it->node = n;
        it->life = self->nodes[n].life;
        it->a = node + 1;
        it->b = inc;
    }
}

/* ------------------------------------------------------------------ the authority */

bool
store_is_reachable(const struct world *self, uint32_t n)
{
    if (self->opt.mode != MODE_STORE)
        return true;
    if (self->opt.is_store_away ||
        (self->opt.store_lost_us > 0 && self->now >= self->opt.store_lost_us))
        return false;
    if (self->is_healed)
        return true;
    return self->now >= self->store_down_until && self->now >= self->store_cut_until[n];
}

void
authority_ask(struct world *self, uint32_t n, const struct vassal_effect *fx)
{
    struct answered answered = { .number = fx->as.ask.number };
    oracle_vassal_asks(self, n, &fx->as.ask.ask);
    bool is_host = self->opt.mode == MODE_HOST;
    bool is_slow = self->now < self->store_slow_until && !self->is_healed;
    dz_us takes = 1 + (dz_us) rng_below(&self->rng, is_host   ? HOST_US
                                                    : is_slow ? SLOW_STORE_US
                                                              : STORE_US);
    if (!store_is_reachable(self, n)) {
        answered.reply.word = DZ_LEASE_UNREACHABLE;
        takes = rng_chance(&self->rng, 500) ? takes : fx->as.ask.patience_us;
    } else {
        (void) dz_lease_step(&self->lease, &fx->as.ask.ask, self->now, &answered.reply);
        oracle_granted(self, &fx->as.ask.ask, &answered.reply);
        if (takes > fx->as.ask.patience_us) { /* it was done, and nobody hears of it */
            answered.reply = (struct dz_lease_reply){ .word = DZ_LEASE_UNREACHABLE };
            takes = fx->as.ask.patience_us;
        }
    }
    world_trace(self, "node %u asks %d, word %d, n %" PRIu64, n, fx->as.ask.ask.kind,
                answered.reply.word, answered.reply.epoch.n);
    struct happening *it = world_at(self, self->now + takes, ANSWERED);
    it->node = n;
    it->life = self->nodes[n].life;
    it->frame_len = sizeof(answered);
    it->frame = dz_realloc(NULL, sizeof(answered), 1);
    memcpy(it->frame, &answered, sizeof(answered));
}

/* ------------------------------------------------------------------ the store's ledger */

void
uplink_plan(struct world *self, uint32_t n)
{
    struct node *node = &self->nodes[n];
    if (self->opt.mode != MODE_STORE || node->is_uplinking || node->is_gone)
        return;
    if (node->ledger.sent == node->ledger.count && !node->is_sealing)
        return;
    node->is_uplinking = true;
    struct happening *it =
        world_at(self, self->now + 1 + (dz_us) rng_below(&self->rng, UPLINK_US), UPLINK);
    it->node = n;
    it->life = node->life;
}

/* The store counted another execution before: that one goes. */
static void
correct(struct world *self, uint32_t n, uint32_t test)
{
    struct node *node = &self->nodes[n];
    if (self->store.counted[test] < 0)
        return;
    const struct row *row = &self->store.rows[self->store.counted[test]];
    struct row theirs = *row;
    bool is_repeat;
    theirs.batch = theirs.coord_life = 0;
    node->ledger.rows[node->ledger.counted[test]].word = DZ_WORD_DUPLICATE;
    node->ledger.counted[test] = -1;
    (void) ledger_write(&node->ledger, &theirs, &is_repeat);
    node->knows[test] = 1;
    if (!node->coord || !node->has_collected)
        return; /* coord_brief() tells it */
    for (uint32_t t = 0; t < node->coord_total; t++) {
        if (node->coord_tests[t] != test)
            continue;
        struct coord_row it = { .what = { t, 0 },
                                .result = row->result,
                                .node = row->node,
                                .inc = row->inc,
                                .exec = row->exec,
                                .is_counted = true };
        coord_give(self, n,
                   &(struct coord_event){ .kind = COORD_EV_LEDGER, .as.ledger = { &it, 1 } });
    }
}

void
uplink_run(struct world *self, uint32_t n)
{
    struct node *node = &self->nodes[n];
    node->is_uplinking = false;
    if (!node->vassal)
        return;
    uint64_t stored = 0;
    bool can_send = store_is_reachable(self, n);
    for (unsigned i = 0; can_send && i < UPLINK_ROWS && node->ledger.sent < node->ledger.count;
         i++) {
        const struct row row = node->ledger.rows[node->ledger.sent];
        bool is_repeat;
        enum dz_word word = ledger_write(&self->store, &row, &is_repeat);
        node->ledger.sent++;
        self->execs[row.exec].was_stored = true;
        if (word == DZ_WORD_DUPLICATE && row.word == DZ_WORD_COUNTED)
            correct(self, n, row.test);
        bool is_whole = node->ledger.sent == node->ledger.count ||
                        node->ledger.rows[node->ledger.sent].batch != row.batch;
        if (is_whole && row.coord_life == node->coord_life && row.batch > stored)
            stored = row.batch;
    }
    if (stored > 0 && node->coord)
        coord_give(self, n,
                   &(struct coord_event){ .kind = COORD_EV_STORED, .as.stored.batch = stored });
    uplink_plan(self, n);
}

void
store_backup(struct world *self)
{
    ledger_copy(&self->backup, &self->store, self->opt.tests);
    self->lease_backup = self->lease;
    self->has_backup = true;
}

/* An older copy: clients find out (by what the store says that it holds) and send again. */
void
store_restore(struct world *self)
{
    if (!self->has_backup)
        return;
    world_trace(self, "the store is restored from an older copy");
    struct ledger before;
    ledger_init(&before, self->opt.tests);
    ledger_copy(&before, &self->store, self->opt.tests);
    ledger_copy(&self->store, &self->backup, self->opt.tests);
    waste_restored(self, &before);
    ledger_fini(&before);
    self->lease = self->lease_backup;
    self->granted_n = self->lease.epoch.n;
    for (uint32_t n = 0; n < self->opt.nodes; n++) {
        self->nodes[n].ledger.sent = 0;
        uplink_plan(self, n);
    }
}

/* ------------------------------------------------------------------ the push of what is left */

void
push_all(struct world *self)
{
    for (uint32_t n = 0; n < self->opt.nodes; n++) {
        struct node *node = &self->nodes[n];
        bool is_repeat;
        for (size_t i = 0; i < node->ledger.count; i++)
            (void) ledger_write(&self->store, &node->ledger.rows[i], &is_repeat);
    }
    for (uint32_t n = 0; n < self->opt.nodes; n++) {
        struct node *node = &self->nodes[n];
        for (size_t i = 0; i < node->spool_len; i++) {
            const struct vassal_outcome *it = &node->spool[i].outcome;
            bool is_repeat;
            /* whether a death counts is not the spool's to say */
            if (node->spool[i].is_stored || it->result == DZ_RESULT_CRASHED)
                continue;
            struct row row = { .node = it->origin ? it->origin : node->id,
                               .inc = it->inc,
                               .exec = it->exec,
                               .test = node_test(self, n, it->what.test),
                               .result = it->result };
            (void) ledger_write(&self->store, &row, &is_repeat);
        }
    }
}
