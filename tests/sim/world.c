#include "tests/sim/world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    HAPPENINGS_MAX = 4 * 1000 * 1000, /* of a history: many times more than any needs */
};

/* ------------------------------------------------------------------ randomness */

uint64_t
rng_next(struct rng *self)
{
    uint64_t x = self->state += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

uint64_t
rng_below(struct rng *self, uint64_t bound)
{
    return bound ? rng_next(self) % bound : 0;
}

bool
rng_chance(struct rng *self, unsigned per_mille)
{
    return rng_below(self, 1000) < per_mille;
}

/* ------------------------------------------------------------------ the heap */

static bool
is_before(const struct happening *a, const struct happening *b)
{
    return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

struct happening *
world_at(struct world *self, dz_us at, enum what what)
{
    if (self->heap_len == self->heap_cap) {
        self->heap_cap = self->heap_cap ? self->heap_cap * 2 : 256;
        self->heap = dz_realloc(self->heap, self->heap_cap, sizeof(*self->heap));
    }
    struct happening it = { .at = at, .seq = ++self->seq, .what = what };
    size_t place = self->heap_len++;
    while (place > 0 && is_before(&it, &self->heap[(place - 1) / 2])) {
        self->heap[place] = self->heap[(place - 1) / 2];
        place = (place - 1) / 2;
    }
    self->heap[place] = it;
    return &self->heap[place];
}

bool
world_next(struct world *self, struct happening *out)
{
    if (self->heap_len == 0)
        return false;
    *out = self->heap[0];
    struct happening last = self->heap[--self->heap_len];
    size_t place = 0;
    for (;;) {
        size_t child = place * 2 + 1;
        if (child + 1 < self->heap_len && is_before(&self->heap[child + 1], &self->heap[child]))
            child++;
        if (child >= self->heap_len || !is_before(&self->heap[child], &last))
            break;
        self->heap[place] = self->heap[child];
        place = child;
    }
    self->heap[place] = last;
    return true;
}

/* ------------------------------------------------------------------ words */

void
world_trace(struct world *self, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    uint64_t hash = self->trace ^ (uint64_t) self->now;
    for (int i = 0; i < len && i < (int) sizeof(text) - 1; i++)
        hash = (hash ^ (uint8_t) text[i]) * 0x100000001b3;
    self->trace = hash;
    if (self->is_loud)
        printf("%10.3f  %s\n", (double) self->now / 1000, text);
}

void
world_break(struct world *self, const char *fmt, ...)
{
    if (self->violation)
        return;
    va_list args;
    va_start(args, fmt);
    (void) vsnprintf(self->violation_text, sizeof(self->violation_text), fmt, args);
    va_end(args);
    self->violation = self->violation_text;
    world_trace(self, "VIOLATION %s", self->violation_text);
}

/* ------------------------------------------------------------------ tests */

static void
make_tests(struct world *self)
{
    uint32_t count = self->opt.tests;
    self->tests = dz_alloc0(count + 1, sizeof(*self->tests));
    self->duration = dz_alloc0(count + 1, sizeof(*self->duration));
    self->kind = dz_alloc0(count + 1, 1);
    self->excused = dz_alloc0(count + 1, sizeof(*self->excused));
    self->grants = dz_alloc0(count + 1, sizeof(*self->grants));
    uint32_t per_module = (count + self->opt.modules - 1) / self->opt.modules;
    for (uint32_t t = 0; t < count; t++) {
        char id[64];
        uint32_t module = t / per_module;
        (void) snprintf(id, sizeof(id), "m%04u.py::C%03u::t%06u", module, t % per_module / 8, t);
        self->tests[t].id = dz_str(dz_strdup(id));
        self->tests[t].order = t;
        static const char *const needs[] = { "!x:gx", "!m:gm", "!mx:gmx" };
        if (rng_chance(&self->rng, 20))
            self->tests[t].group = dz_str("together");
        else if (self->opt.has_needs && rng_chance(&self->rng, 100))
            self->tests[t].group = dz_str(needs[rng_below(&self->rng, DZ_LEN(needs))]);
        bool is_slow = rng_chance(&self->rng, self->opt.slow);
        self->duration[t] = 1 + (dz_us) rng_below(&self->rng, (uint64_t) self->opt.mean_us * 2);
        self->duration[t] *= is_slow ? 100 : 1;
        self->longest_us =
            self->duration[t] > self->longest_us ? self->duration[t] : self->longest_us;
        self->work_us += self->duration[t] + self->opt.hangs * TIMEOUT_US / 1000;
        if (self->opt.has_history && !rng_chance(&self->rng, 100))
            self->tests[t].est_us = (uint32_t) (self->duration[t] / 2 + 1);
        if (rng_chance(&self->rng, self->opt.killers))
            self->kind[t] = TEST_KILLER;
        else if (rng_chance(&self->rng, self->opt.hangs))
            self->kind[t] = TEST_HANG;
    }
}

/* Which tests a node collected: those that all have, without some and with some of its own. */
static void
make_node(struct world *self, uint32_t n)
{
    struct node *node = &self->nodes[n];
    uint32_t count = self->opt.tests;
    node->id = n + 1;
    node->rate = 1000;
    if (self->opt.rates > 0)
        node->rate += (unsigned) rng_below(&self->rng, self->opt.rates) - self->opt.rates / 2;
    node->is_odd = n < self->opt.odd_nodes;
    node->knows = dz_alloc0(count + 1, 1);
    node->own = dz_alloc0(count + 1, sizeof(*node->own));
    node->own_ids = dz_alloc0(count + 1, sizeof(*node->own_ids));
    node->own_groups = dz_alloc0(count + 1, sizeof(*node->own_groups));
    for (uint32_t t = 0; t < count; t++) {
        bool is_here = t % 8 != 7 || self->opt.odd_nodes == 0;
        if (node->is_odd && rng_chance(&self->rng, self->opt.odd))
            is_here = !is_here;
        if (!is_here)
            continue;
        node->own[node->own_total] = t;
        node->own_groups[node->own_total] = self->tests[t].group;
        node->own_ids[node->own_total++] = self->tests[t].id;
    }
    ledger_init(&node->ledger, count);
}

/* ------------------------------------------------------------------ a history */

static void
dispatch(struct world *self, struct happening *it)
{
    switch (it->what) {
    case WORKER_RUNS:
    case CALL_ENDS: worker_on(self, it); break;
    case FAULT:
    case HEAL: fault_on(self, it); break;
    default: agent_on(self, it); break;
    }
}

static void
world_fini(struct world *self)
{
    struct happening it;
    while (world_next(self, &it))
        free(it.frame);
    for (uint32_t n = 0; n < NODES_MAX; n++) {
        coord_destroy(&self->nodes[n].coord);
        free(self->nodes[n].coord_tests);
        free(self->nodes[n].knows);
        free(self->nodes[n].own);
        free(self->nodes[n].own_ids);
        free(self->nodes[n].own_groups);
        ledger_fini(&self->nodes[n].ledger);
        vassal_destroy(&self->nodes[n].vassal);
        free(self->nodes[n].spool);
        for (uint32_t s = 0; s < SLOTS_MAX; s++)
            free(self->nodes[n].workers[s].ring);
    }
    for (uint32_t t = 0; t < self->opt.tests; t++)
        free((void *) (uintptr_t) self->tests[t].id.ptr);
    free(self->heap);
    free(self->tests);
    free(self->duration);
    free(self->kind);
    free(self->execs);
    free(self->lone_tests);
    free(self->excused);
    free(self->grants);
    ledger_fini(&self->store);
    ledger_fini(&self->backup);
}

static bool
is_over(const struct world *self)
{
    for (uint32_t n = 0; n < self->opt.nodes; n++) {
        const struct node *node = &self->nodes[n];
        if (!(node->has_left || node->is_gone) || node->coord)
            return false;
    }
    return true;
}

static void
world_init(struct world *self)
{
    make_tests(self);
    for (uint32_t n = 0; n < self->opt.nodes; n++) {
        make_node(self, n);
        dz_us delay = n == 0 ? 1000 : self->opt.late_us;
        world_at(self, self->now + (dz_us) rng_below(&self->rng, (uint64_t) delay), AGENT_STARTS)
            ->node = n;
    }
    ledger_init(&self->store, self->opt.tests);
    faults_plan(self);
}

static void
say_who_is_left(struct world *self)
{
    for (uint32_t n = 0; n < self->opt.nodes; n++) {
        const struct node *node = &self->nodes[n];
        if (node->has_left || node->is_gone)
            continue;
        world_break(self, "node %u did not leave after healing (%s, %s, scheduler %s)", n,
                    node->vassal ? vassal_rank_text(node->vassal) : "dead",
                    node->vassal ? vassal_state_text(node->vassal) : "dead",
                    node->coord ? coord_state_text(node->coord) : "none");
    }
    world_break(self, "a scheduler did not end after healing");
}

void
history_run(const struct history *what, struct outcome *out)
{
    struct world *self = dz_alloc0(1, sizeof(*self));
    self->rng.state = what->seed * 0x2545f4914f6cdd1d + 1;
    self->is_loud = what->is_loud;
    self->cells = what->cells;
    options_draw(&self->opt, &self->rng, what->cells != NULL);
    self->opt.crowd = what->crowd;
    world_trace(self,
                "seed %" PRIu64 ": mode %d, %u nodes, %u slots, %u tests, loss %u, delay %" PRId64
                ", sharded %d, odd %u",
                what->seed, self->opt.mode, self->opt.nodes, self->opt.slots, self->opt.tests,
                self->opt.loss, self->opt.delay_us, self->opt.is_sharded, self->opt.odd_nodes);
    self->now = 1000;
    world_init(self);
    struct happening it;
    uint64_t happenings = 0;
    while (!self->violation && !is_over(self) && world_next(self, &it)) {
        self->now = it.at;
        if (++happenings == HAPPENINGS_MAX)
            world_break(self, "after %u happenings nothing has come to rest", HAPPENINGS_MAX);
        dispatch(self, &it);
        free(it.frame);
        if (self->cells && self->cells->wrong[0])
            world_break(self, "%s", self->cells->wrong);
        dz_us heal_us = HEAL_MAX_US + 2 * patience_among(&self->opt); /* it asks twice */
        if (self->is_healed && self->now > self->heal_at + heal_us + 3 * self->work_us)
            say_who_is_left(self);
    }
    if (!self->violation) {
        push_all(self);
        judge(self);
    }
    *out = (struct outcome){ .trace = self->trace,
                             .tests = self->opt.tests,
                             .execs = self->exec_count,
                             .messages = self->messages,
                             .steps = self->steps,
                             .leads = self->leads,
                             .shards = self->shards,
                             .wasted = self->wasted,
                             .excuses = self->excuses,
                             .ended_us = self->now,
                             .is_ok = !self->violation };
    memcpy(out->took_us, self->took_us, sizeof(out->took_us));
    memcpy(out->violation, self->violation_text, sizeof(out->violation));
    world_fini(self);
    free(self);
}
