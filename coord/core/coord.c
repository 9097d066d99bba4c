#include "coord/core/coord.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coord/core/inside.h"
#include "shared/wire/pace.h"

enum {
    HB_US = 100 * 1000,
    DEAD_US = 1000 * 1000,
    STATE_US = 2000 * 1000,
    FROZEN_BEATS = 3, /* not stepped for so many heartbeats: it was we who were away */
};

enum coord_placement
coord_placement_of(struct dz_slice name)
{
    static const struct {
        const char *name;
        enum coord_placement placement;
    } known[] = {
        { "loadfile", COORD_PLACE_FILE },
        { "loadscope", COORD_PLACE_SCOPE },
        { "loadgroup", COORD_PLACE_GROUP },
    };
    for (size_t i = 0; i < DZ_LEN(known); i++)
        if (dz_slice_eq(name, dz_str(known[i].name)))
            return known[i].placement;
    return COORD_PLACE_LOAD;
}

struct coord *
coord_new(const struct coord_cfg *cfg)
{
    dz_assert(cfg->node != 0 && cfg->inc != 0);
    struct coord *self = dz_alloc0(1, sizeof(*self));
    self->cfg = *cfg;
    self->cfg.job = dz_str(dz_slice_dup(cfg->job));
    self->cfg.strikes = cfg->strikes ? cfg->strikes : 1;
    self->cfg.hb_us = cfg->hb_us ? cfg->hb_us : HB_US;
    self->cfg.dead_us = cfg->dead_us ? cfg->dead_us : DEAD_US;
    self->cfg.state_us = cfg->state_us ? cfg->state_us : STATE_US;
    self->phase = PHASE_NEW;
    self->wake_at = INT64_MAX;
    self->stop_how = -1;
    return self;
}

void
coord_destroy(struct coord **self_p)
{
    struct coord *self = dz_move(*self_p);
    if (!self)
        return;
    nodes_fini(self);
    plan_destroy(&self->plan);
    tests_fini(self);
    copies_fini(self);
    dz_arena_fini(&self->arena);
    dz_buf_fini(&self->frame);
    dz_buf_fini(&self->items);
    void *const owned[] = { self->fx,          self->tests,
                            self->strikes,     self->dirty_slots,
                            self->dirty_nodes, self->asked,
                            self->batch_len,   (void *) (uintptr_t) self->cfg.job.ptr };
    for (size_t i = 0; i < DZ_LEN(owned); i++)
        free(owned[i]);
    free(self);
}

/* ------------------------------------------------------------------ effects */

struct coord_effect *
coord_effect(struct coord *self, enum coord_effect_kind kind)
{
    GROW(self->fx, self->fx_count, self->fx_cap);
    struct coord_effect *fx = &self->fx[self->fx_count++];
    *fx = (struct coord_effect){ .kind = kind };
    return fx;
}

void
coord_note(struct coord *self, unsigned severity, const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    (void) vsnprintf(text, sizeof(text), fmt, args); /* cut off if need be */
    va_end(args);
    struct coord_effect *fx = coord_effect(self, COORD_FX_NOTE);
    fx->as.note.severity = severity;
    fx->as.note.text = dz_arena_copy(&self->arena, dz_str(text));
}

void
coord_wake(struct coord *self, dz_us at)
{
    if (at < self->wake_at)
        self->wake_at = at;
}

size_t
coord_crowd(const struct coord *self)
{
    return self->node_count > self->crowd ? self->node_count : self->crowd;
}

dz_us
coord_news_us(const struct coord *self)
{
    return dz_pace_news_us(coord_crowd(self));
}

dz_us
coord_beat_us(const struct coord *self)
{
    return dz_pace_beat_us(coord_crowd(self), self->cfg.hb_us);
}

dz_us
coord_dead_us(const struct coord *self)
{
    return dz_pace_dead_us(coord_beat_us(self), self->cfg.hb_us, self->cfg.dead_us);
}

/* ------------------------------------------------------------------ events */

static void
on_start(struct coord *self, const struct coord_event *event, dz_us now)
{
    self->epoch = (struct dz_epoch){ event->as.start.seen_n + 1, self->cfg.node, self->cfg.inc };
    bool is_first = coord_turn(self, TURN_START, now);
    dz_assert(is_first);
    if (DZ_BROKEN(PERSIST_FIRST))
        (void) coord_turn(self, TURN_PERSISTED, now);
}

static void
on_manifest(struct coord *self, const struct coord_event *event, dz_us now)
{
    if (!self->has_manifest) {
        self->briefed_at = now;
        coord_wake(self, now + self->cfg.state_us);
    }
    self->manifest_digest = event->as.manifest.digest;
    self->crowd =
        event->as.manifest.nodes < COORD_NODES_MAX ? event->as.manifest.nodes : COORD_NODES_MAX;
    tests_take(self, event->as.manifest.tests, event->as.manifest.count);
}

static void
on_sealed(struct coord *self, const struct coord_event *event, dz_us now)
{
    self->is_agreed =
        event->as.sealed.count == self->counted && event->as.sealed.digest == self->ledger_digest;
    self->is_stored = event->as.sealed.is_stored || !self->cfg.has_store;
    (void) coord_turn(self, TURN_SEALED, now);
}

static void
on_gone(struct coord *self, const struct coord_event *event)
{
    struct node *node = node_find(self, event->as.gone.node);
    if (node && node->inc == event->as.gone.inc)
        node_give_up(self, node, "its process is gone");
}

/* Silence that is our own (the process was stopped) is nobody's fault. */
static void
forgive_own_absence(struct coord *self, dz_us now)
{
    dz_us away = now - self->stepped_at;
    if (self->stepped_at == 0 || away < FROZEN_BEATS * self->cfg.hb_us)
        return;
    for (size_t i = 0; i < self->node_count; i++)
        self->nodes[i]->heard_at += away;
    if (self->phase == PHASE_LEADING || self->phase >= PHASE_DRAINING)
        self->phase_since += away;
    if (self->empty_since > 0)
        self->empty_since += away;
}

static void
on_tick(struct coord *self, bool is_behind, dz_us now)
{
    if (now < self->wake_at)
        return;
    self->wake_at = INT64_MAX;
    if (self->phase < PHASE_DONE) {
        nodes_tick(self, is_behind, now);
        slots_rescue(self, is_behind, now);
        if (self->phase == PHASE_LEADING || self->phase >= PHASE_DRAINING)
            coord_wake(self, now + self->cfg.hb_us);
    }
}

static void
handle(struct coord *self, const struct coord_event *event, dz_us now)
{
    switch (event->kind) {
    case COORD_EV_TICK: on_tick(self, event->as.tick.is_behind, now); break;
    case COORD_EV_START: on_start(self, event, now); break;
    case COORD_EV_PERSISTED: (void) coord_turn(self, TURN_PERSISTED, now); break;
    case COORD_EV_MANIFEST: on_manifest(self, event, now); break;
    case COORD_EV_LEDGER: facts_load(self, event->as.ledger.rows, event->as.ledger.count); break;
    case COORD_EV_MESSAGE: node_hear(self, event->as.message, now); break;
    case COORD_EV_COUNTED:
        facts_answered(self, event->as.counted.batch, event->as.counted.answers);
        break;
    case COORD_EV_SEALED: on_sealed(self, event, now); break;
    case COORD_EV_GONE: on_gone(self, event); break;
    case COORD_EV_OUTRANKED:
        self->outranked_by = event->as.outranked;
        (void) coord_turn(self, TURN_OUTRANKED, now);
        break;
    case COORD_EV_STORED: copies_stored(self, event->as.stored.batch); break;
    case COORD_EV_TESTS: tests_bring(self, event->as.tests.ids, event->as.tests.count); break;
    }
}

void
coord_step(struct coord *self, const struct coord_event *event, dz_us now,
           struct coord_effects *out)
{
    dz_arena_clear(&self->arena);
    self->fx_count = 0;
    forgive_own_absence(self, now);
    self->stepped_at = now;
    if (self->phase < PHASE_DONE)
        handle(self, event, now);
    if (self->phase < PHASE_DONE) {
        phase_settle(self, now);
        slots_flush(self, now);
        members_flush(self, now);
        copies_flush(self, now);
        nodes_flush(self, now);
    }
    *out = (struct coord_effects){ self->fx, self->fx_count };
}

dz_us
coord_next(const struct coord *self)
{
    return self->wake_at;
}

/* ------------------------------------------------------------------ for people */

void
coord_progress(const struct coord *self, struct coord_progress *out)
{
    dz_us left = self->plan ? plan_free_us(self->plan) : 0;
    for (size_t i = 0; i < self->slot_count; i++) {
        const struct slot *slot = self->slots[i];
        for (uint32_t h = 0; h < slot->held_count; h++)
            left += plan_cost_us(self->plan, slot->number, slot->held[h]);
    }
    *out = (struct coord_progress){
        .total = self->total,
        .done = self->counted,
        .failed = self->failed,
        .eta_us = self->up_count ? left / (dz_us) self->up_count : 0,
    };
}

const char *
coord_node_text(const struct coord *self, uint64_t node)
{
    const struct node *it = node_find(self, node);
    return it ? node_state_name(it->state) : "";
}

const char *
coord_state_text(const struct coord *self)
{
    return phase_name(self->phase);
}

/* ------------------------------------------------------------------ what must always hold */

static void
check_holders(const struct coord *self)
{
    uint8_t *holders = dz_alloc0(self->total + 1, 1);
    uint64_t held = 0;
    size_t up = 0;
    size_t parked = 0;
    size_t owed = 0;
    size_t givers = 0;
    for (size_t i = 0; i < self->slot_count; i++) {
        const struct slot *slot = self->slots[i];
        up += slot->is_up;
        parked += slot->is_parked;
        owed += slot->is_parked && slot->wants;
        givers += slot->is_up && (slot->is_revoking || slot->held_count - slot->stale > 1);
        dz_assert(slot->held_count <= HELD_MAX);
        held += slot->held_count;
        for (uint32_t h = 0; h < slot->held_count; h++)
            holders[slot->held[h]]++;
    }
    dz_assert(held == self->held_total);
    dz_assert(up == self->up_count && parked == self->parked_count);
    dz_assert(owed == self->owed_count && givers == self->giver_count);
    for (uint32_t t = 0; t < self->total; t++)
        dz_assert(holders[t] == self->tests[t].holders);
    free(holders);
}

void
coord_check(const struct coord *self)
{
    size_t counted = 0;
    size_t absent = 0;
    size_t in_plan = 0;
    size_t due = 0;
    check_holders(self);
    for (size_t i = 0; i < self->kept_count; i++) {
        const struct kept *kept = &self->kept[self->kept_first + i];
        due += kept->is_due && !kept->is_copied;
    }
    dz_assert(due == self->copies_due);
    for (uint32_t t = 0; t < self->total; t++) {
        const struct test *test = &self->tests[t];
        bool is_free = plan_is_free(self->plan, t);
        counted += test->state == TEST_COUNTED;
        absent += test->state == TEST_ABSENT;
        in_plan += is_free;
        dz_assert(!is_free || test->state == TEST_OPEN);
        dz_assert(test->state != TEST_OPEN || is_free || test->holders > 0);
    }
    dz_assert(counted == self->counted && absent == self->absent);
    dz_assert(!self->plan || in_plan == plan_free(self->plan));
}
