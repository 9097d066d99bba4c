/* coords.c - what drives the coordinator's core on a node that leads: the stand-in for coord/io. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/world.h"

enum {
    LEDGER_US = 3000,
    SEAL_AGAIN_US = 50 * 1000,
    FLUSH_US = 1000 * 1000, /* DAGZ_FLUSH_TIMEOUT */
};

/* The ledger in which this node counts. */
static struct ledger *
ledger_of(struct world *self, uint32_t n)
{
    return self->opt.mode == MODE_STORE ? &self->nodes[n].ledger : &self->store;
}

/* ------------------------------------------------------------------ effects */

static struct happening *
later(struct world *self, uint32_t n, dz_us delay, enum what what)
{
    struct happening *it = world_at(self, self->now + delay, what);
    it->node = n;
    it->life = self->nodes[n].coord_life;
    return it;
}

static void
ask_ledger(struct world *self, uint32_t n, const struct coord_effect *fx)
{
    struct node *node = &self->nodes[n];
    dz_us at = self->now + 1 + (dz_us) rng_below(&self->rng, LEDGER_US);
    if (at <= node->answer_at) /* one writer: in order */
        at = node->answer_at + 1;
    node->answer_at = at;
    struct happening *it = later(self, n, at - self->now, LEDGER_WROTE);
    it->a = fx->as.count.batch;
    it->frame_len = fx->as.count.count * sizeof(struct coord_record);
    it->frame = dz_realloc(NULL, it->frame_len + 1, 1);
    memcpy(it->frame, fx->as.count.records, it->frame_len);
}

static void
on_tests(struct world *self, uint32_t n, const struct coord_effect *fx)
{
    struct node *node = &self->nodes[n];
    dz_assert(fx->as.tests.first == node->coord_total);
    size_t total = node->coord_total + fx->as.tests.count;
    node->coord_tests = dz_realloc(node->coord_tests, total + 1, sizeof(*node->coord_tests));
    for (size_t i = 0; i < fx->as.tests.count; i++) {
        for (uint32_t t = 0; t < self->opt.tests; t++)
            if (dz_slice_eq(self->tests[t].id, fx->as.tests.ids[i]))
                node->coord_tests[node->coord_total] = t;
        node->coord_total++;
    }
}

static void give_manifest(struct world *self, uint32_t n);

static void
apply(struct world *self, uint32_t n, const struct coord_effect *fx, bool *has_to_retell)
{
    struct node *node = &self->nodes[n];
    switch (fx->kind) {
    case COORD_FX_SEND:
        oracle_coord_sends(self, n, (uint32_t) fx->as.send.node - 1, fx->as.send.frame);
        net_send(self, n, (uint32_t) fx->as.send.node - 1, fx->as.send.frame);
        break;
    case COORD_FX_PERSIST:
        later(self, n, 1 + (dz_us) rng_below(&self->rng, (uint64_t) self->opt.persist_us),
              PERSISTED)
            ->a = fx->as.persist.n;
        break;
    case COORD_FX_COUNT: ask_ledger(self, n, fx); break;
    case COORD_FX_SEAL:
        node->seal = fx->as.seal;
        node->is_sealing = true;
        node->seal_by = self->now + FLUSH_US;
        oracle_coord_seals(self, n);
        (void) later(self, n, 1 + (dz_us) rng_below(&self->rng, LEDGER_US), SEAL_TRIES);
        break;
    case COORD_FX_DONE:
        world_trace(self,
                    "job done on node %u: counted %" PRIu64 ", not run %" PRIu64 ", agrees %d", n,
                    fx->as.done.counted, fx->as.done.not_run, fx->as.done.agrees);
        if (!fx->as.done.agrees)
            world_break(self, "the account of node %u does not agree with the ledger", n);
        break;
    case COORD_FX_DEPOSED: break; /* told when the effects are through */
    case COORD_FX_RETELL: *has_to_retell = true; break;
    case COORD_FX_TESTS: on_tests(self, n, fx); break;
    case COORD_FX_NODE:
        if (strcmp(fx->as.node.word, "lost") == 0)
            oracle_loses(self, n, fx->as.node.node);
        else if (strcmp(fx->as.node.word, "left") == 0)
            waste_lost(self, n, (uint32_t) fx->as.node.node - 1);
        break;
    case COORD_FX_NOTE:
        world_trace(self, "scheduler %u notes: %.*s", n, (int) fx->as.note.text.len,
                    (const char *) fx->as.note.text.ptr);
        break;
    }
}

static void
plan_tick(struct world *self, uint32_t n)
{
    struct node *node = &self->nodes[n];
    dz_us at = coord_next(node->coord);
    if (at == INT64_MAX)
        return;
    at = node_at(self, n, at);
    if (node->coord_tick_at > self->now && node->coord_tick_at <= at)
        return;
    node->coord_tick_at = at > self->now ? at : self->now + 1;
    (void) later(self, n, node->coord_tick_at - self->now, COORD_TICK);
}

/* A core that is over is destroyed when its effects are through. */
static void
settle(struct world *self, uint32_t n, const struct coord_effects *fx)
{
    struct dz_epoch by = { 0 };
    bool is_deposed = false;
    bool is_done = false;
    for (size_t i = 0; i < fx->count; i++) {
        is_done = is_done || fx->items[i].kind == COORD_FX_DONE;
        if (fx->items[i].kind != COORD_FX_DEPOSED)
            continue;
        is_deposed = true;
        by = fx->items[i].as.deposed;
    }
    if (is_deposed || is_done)
        coord_end(self, n);
    else
        plan_tick(self, n);
    if (is_deposed) {
        world_trace(self, "scheduler %u is deposed by %" PRIu64 " of %" PRIu64, n, by.n, by.node);
        agent_give(self, n, &(struct vassal_event){ .kind = VASSAL_EV_DEPOSED, .as.deposed = by });
    }
}

void
coord_give(struct world *self, uint32_t n, const struct coord_event *event)
{
    struct node *node = &self->nodes[n];
    if (!node->coord || self->violation)
        return;
    struct coord_effects fx;
    bool has_to_retell = false;
    if (event->kind == COORD_EV_MESSAGE)
        cells_coord(self->cells, node->coord, event->as.message);
    coord_step(node->coord, event, node_now(self, n), &fx);
    self->steps++;
    if (!node->was_ready && strcmp(coord_state_text(node->coord), "SCHEDULING") == 0)
        waste_ready(self, n);
    for (size_t i = 0; i < fx.count; i++)
        apply(self, n, &fx.items[i], &has_to_retell);
    if (self->steps % 64 == 0)
        coord_check(node->coord);
    fault_at_phase(self, n);
    settle(self, n, &fx);
    if (has_to_retell && node->coord)
        give_manifest(self, n);
}

/* ------------------------------------------------------------------ life */

static void
give_manifest(struct world *self, uint32_t n)
{
    struct node *node = &self->nodes[n];
    struct coord_test *tests = dz_alloc0(node->own_total + 1, sizeof(*tests));
    for (uint32_t t = 0; t < node->own_total; t++) {
        tests[t] = self->tests[node->own[t]];
        tests[t].order = t;
    }
    coord_give(
        self, n,
        &(struct coord_event){ .kind = COORD_EV_MANIFEST,
                               .as.manifest = { tests, node->own_total,
                                                node->is_odd ? 1000 + n : 77, self->opt.crowd } });
    free(tests);
}

static uint32_t
coord_test_of(const struct node *node, uint32_t test)
{
    for (uint32_t t = 0; t < node->coord_total; t++)
        if (node->coord_tests[t] == test)
            return t;
    return UINT32_MAX;
}

/* Tests of rows that this node does not have: its driver names them first. */
static void
bring_tests(struct world *self, uint32_t n, const struct ledger *ledger)
{
    struct node *node = &self->nodes[n];
    struct dz_slice *ids = dz_alloc0(self->opt.tests + 1, sizeof(*ids));
    size_t count = 0;
    node->coord_tests = dz_realloc(node->coord_tests, node->coord_total + self->opt.tests + 1,
                                   sizeof(*node->coord_tests));
    for (size_t i = 0; i < ledger->count; i++) {
        uint32_t test = ledger->rows[i].test;
        if (coord_test_of(node, test) != UINT32_MAX)
            continue;
        node->coord_tests[node->coord_total++] = test;
        ids[count++] = self->tests[test].id;
    }
    if (count > 0) {
        give_manifest(self, n);
        coord_give(self, n,
                   &(struct coord_event){ .kind = COORD_EV_TESTS, .as.tests = { ids, count } });
    }
    free(ids);
}

static void
give_rows(struct world *self, uint32_t n, const struct ledger *ledger)
{
    struct node *node = &self->nodes[n];
    struct coord_row *rows = dz_alloc0(ledger->count + 1, sizeof(*rows));
    bring_tests(self, n, ledger);
    for (uint32_t t = 0; t < self->opt.tests; t++)
        node->knows[t] = node->knows[t] || ledger->counted[t] >= 0;
    for (size_t i = 0; i < ledger->count; i++)
        rows[i] = (struct coord_row){ .what = { coord_test_of(node, ledger->rows[i].test), 0 },
                                      .result = ledger->rows[i].result,
                                      .node = ledger->rows[i].node,
                                      .inc = ledger->rows[i].inc,
                                      .exec = ledger->rows[i].exec,
                                      .is_counted = ledger->rows[i].word == DZ_WORD_COUNTED };
    coord_give(
        self, n,
        &(struct coord_event){ .kind = COORD_EV_LEDGER, .as.ledger = { rows, ledger->count } });
    free(rows);
}

/* What the store has goes into the node's own ledger: it counts on from there. */
static void
take_stock(struct world *self, uint32_t n)
{
    struct node *node = &self->nodes[n];
    if (self->opt.mode != MODE_STORE || node->is_blind)
        return;
    struct ledger merged;
    ledger_init(&merged, self->opt.tests);
    bool is_repeat;
    for (size_t i = 0; i < self->store.count; i++)
        (void) ledger_write(&merged, &self->store.rows[i], &is_repeat);
    size_t known = merged.count;
    for (size_t i = 0; i < node->ledger.count; i++) {
        struct row row = node->ledger.rows[i];
        if (row.word == DZ_WORD_DUPLICATE)
            row.word = DZ_WORD_COUNTED; /* it may count in this one */
        (void) ledger_write(&merged, &row, &is_repeat);
    }
    for (merged.sent = 0; merged.sent < known; merged.sent++) /* a strike there may count here */
        if (merged.rows[merged.sent].word != self->store.rows[merged.sent].word)
            break;
    for (size_t i = 0; i < merged.count; i++)
        merged.rows[i].coord_life = 0;
    ledger_fini(&node->ledger);
    node->ledger = merged;
}

void
coord_begin(struct world *self, uint32_t n, const struct vassal_effect *lead)
{
    struct node *node = &self->nodes[n];
    coord_end(self, n);
    self->leads++;
    self->shards += lead->as.lead.shard_total > 1;
    node->is_blind = self->opt.mode == MODE_STORE && !store_is_reachable(self, n);
    node->shard_total = lead->as.lead.shard_total;
    node->shard_index = lead->as.lead.shard_index;
    struct coord_cfg cfg = {
        .job = dz_str("job"),
        .node = node->id,
        .inc = node->inc,
        .nodes_expected = lead->as.lead.expected,
        .strikes = self->opt.strikes,
        .placement = self->opt.placement,
        .keep_order = self->opt.keep_order,
        .shard_index = lead->as.lead.shard_index,
        .shard_total = lead->as.lead.shard_total,
        .has_store = self->opt.mode == MODE_STORE,
        .is_blind = node->is_blind,
    };
    world_trace(self, "node %u leads, n %" PRIu64 ", expects %u, shard %u/%u", n, lead->as.lead.n,
                lead->as.lead.expected, lead->as.lead.shard_index, lead->as.lead.shard_total);
    node->coord_life++;
    node->led_at = self->now;
    node->lead_n = lead->as.lead.n;
    node->coord = coord_new(&cfg);
    node->coord_tick_at = node->answer_at = 0;
    node->is_sealing = node->was_ready = false;
    memset(node->sessions, 0, sizeof(node->sessions));
    memset(node->knows, 0, self->opt.tests);
    node->coord_total = node->own_total;
    node->coord_tests =
        dz_realloc(node->coord_tests, node->own_total + 1, sizeof(*node->coord_tests));
    if (node->own_total > 0)
        memcpy(node->coord_tests, node->own, node->own_total * sizeof(*node->own));
    take_stock(self, n);
    coord_give(
        self, n,
        &(struct coord_event){ .kind = COORD_EV_START, .as.start.seen_n = lead->as.lead.n - 1 });
    coord_brief(self, n);
    uplink_plan(self, n);
}

void
coord_brief(struct world *self, uint32_t n)
{
    const struct node *node = &self->nodes[n];
    if (!node->coord || !node->has_collected)
        return;
    give_manifest(self, n);
    give_rows(self, n, ledger_of(self, n));
}

void
coord_end(struct world *self, uint32_t n)
{
    struct node *node = &self->nodes[n];
    coord_destroy(&node->coord);
    node->coord_life++;
    node->is_sealing = false;
}

/* ------------------------------------------------------------------ what happens to it */

static void
on_wrote(struct world *self, const struct happening *it)
{
    struct node *node = &self->nodes[it->node];
    const struct coord_record *records = (const struct coord_record *) (void *) it->frame;
    size_t count = it->frame_len / sizeof(*records);
    struct coord_answer *answers = dz_alloc0(count + 1, sizeof(*answers));
    for (size_t i = 0; i < count; i++) {
        struct row row = { .node = records[i].node,
                           .inc = records[i].inc,
                           .exec = records[i].exec,
                           .test = node->coord_tests[records[i].what.test],
                           .result = records[i].result,
                           .word = records[i].is_history ? DZ_WORD_STRIKE : DZ_WORD_COUNTED,
                           .batch = it->a,
                           .coord_life = node->coord_life };
        if (records[i].line != (records[i].exec & DZ_LINE_MAX))
            world_break(self, "the line of test %u was lost on its way", row.test);
        answers[i].word = ledger_write(ledger_of(self, it->node), &row, &answers[i].is_repeat);
        const struct ledger *ledger = ledger_of(self, it->node);
        node->knows[row.test] = node->knows[row.test] || ledger->counted[row.test] >= 0;
        if (ledger->counted[row.test] >= 0)
            answers[i].counts = ledger->rows[ledger->counted[row.test]].result;
        world_trace(self, "ledger of %u: test %u, exec %" PRIu64 ", result %u, word %d", it->node,
                    row.test, row.exec, row.result, answers[i].word);
    }
    coord_give(self, it->node,
               &(struct coord_event){ .kind = COORD_EV_COUNTED, .as.counted = { it->a, answers } });
    free(answers);
    uplink_plan(self, it->node);
}

static void
digest_of(const struct world *self, uint32_t n, const struct ledger *ledger, uint64_t *count_out,
          uint64_t *digest_out)
{
    const struct node *node = &self->nodes[n];
    *count_out = *digest_out = 0;
    for (size_t i = 0; i < ledger->count; i++) {
        const struct row *row = &ledger->rows[i];
        if (row->word != DZ_WORD_COUNTED)
            continue;
        uint32_t test = coord_test_of(node, row->test);
        *digest_out += dz_ledger_mix(test, 0, row->result);
        ++*count_out;
    }
}

static void
on_seal(struct world *self, uint32_t n)
{
    struct node *node = &self->nodes[n];
    bool is_flushed = self->opt.mode != MODE_STORE ||
                      (store_is_reachable(self, n) && node->ledger.sent == node->ledger.count);
    if (!is_flushed && self->now < node->seal_by) {
        uplink_plan(self, n);
        (void) later(self, n, SEAL_AGAIN_US, SEAL_TRIES);
        return;
    }
    struct coord_event event = { .kind = COORD_EV_SEALED };
    bool is_whole = node->shard_total < 2; /* a shard does not close the job */
    if (is_flushed)
        give_rows(self, n, &self->store); /* its word goes, the rows of others included */
    if (!node->coord)
        return;
    node->is_sealing = false;
    struct ledger *ledger = is_flushed ? &self->store : &node->ledger;
    digest_of(self, n, ledger, &event.as.sealed.count, &event.as.sealed.digest);
    event.as.sealed.is_stored = is_flushed;
    if (is_flushed && is_whole && !self->store.is_sealed) {
        world_trace(self, "node %u seals the job", n);
        self->store.is_sealed = self->lease.is_sealed = true;
    }
    coord_give(self, n, &event);
}

void
coord_on(struct world *self, struct happening *it)
{
    if (it->life != self->nodes[it->node].coord_life)
        return;
    switch ((int) it->what) {
    case COORD_TICK:
        coord_give(self, it->node, &(struct coord_event){ .kind = COORD_EV_TICK });
        break;
    case PERSISTED:
        self->nodes[it->node].disk_n = it->a;
        coord_give(self, it->node, &(struct coord_event){ .kind = COORD_EV_PERSISTED });
        break;
    case LEDGER_WROTE: on_wrote(self, it); break;
    case SEAL_TRIES: on_seal(self, it->node); break;
    default: dz_assert(!"an event of the scheduler");
    }
}
