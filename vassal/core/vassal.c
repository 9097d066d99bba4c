#include "vassal/core/vassal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vassal/core/inside.h"

enum {
    LEAVE_KILL_US = 3 * 1000 * 1000, /* a node that leaves lets its tests run so long */
    LEAVE_MAX_US = 5 * 1000 * 1000,  /* ... and waits for acknowledgements so long */
    FROZEN_BEATS = 3, /* not stepped for so many heartbeats: it was we who were away */
};

struct vassal *
vassal_new(const struct vassal_cfg *cfg)
{
    dz_assert(cfg->node != 0 && cfg->inc != 0);
    dz_assert(cfg->slots > 0 && cfg->slots <= VASSAL_SLOTS_MAX);
    struct vassal *self = dz_alloc0(1, sizeof(*self));
    self->cfg = *cfg;
    self->cfg.job = dz_str(dz_slice_dup(cfg->job));
    dz_assert(cfg->contact.len <= DZ_CONTACT_MAX);
    self->cfg.contact.ptr = (const uint8_t *) dz_slice_dup(cfg->contact);
    self->ranking.ask_at = INT64_MAX;
    self->seen_n = cfg->seen_n;
    self->wake_at = INT64_MAX;
    self->stop_how = -1;
    self->slot_count = cfg->slots;
    self->slots = dz_alloc0(cfg->slots, sizeof(*self->slots));
    for (unsigned i = 0; i < cfg->slots; i++)
        self->slots[i].num = i;
    self->flow.job = self->cfg.job;
    self->flow.node = cfg->node;
    self->flow.inc = cfg->inc;
    self->flow.to = DZ_MESH_TO_SCHEDULER;
    dz_flow_open(&self->flow);
    session_crowd(self, cfg->nodes);
    rank_knows(self, cfg->known, cfg->known_count);
    self->cfg.known = NULL; /* the caller's */
    return self;
}

void
vassal_destroy(struct vassal **self_p)
{
    struct vassal *self = dz_move(*self_p);
    if (!self)
        return;
    backs_clear(self);
    for (unsigned i = 0; i < self->cfg.slots; i++)
        free(self->slots[i].held);
    dz_flow_fini(&self->flow);
    dz_arena_fini(&self->arena);
    dz_buf_fini(&self->frame);
    dz_buf_fini(&self->items);
    dz_buf_fini(&self->stop_reason);
    free(self->fx);
    free(self->slots);
    free(self->records);
    free(self->backs);
    free(self->ranking.peers);
    free((void *) (uintptr_t) self->cfg.contact.ptr);
    free((void *) (uintptr_t) self->cfg.job.ptr);
    free(self);
}

/* ------------------------------------------------------------------ effects */

struct vassal_effect *
vassal_effect(struct vassal *self, enum vassal_effect_kind kind)
{
    GROW(self->fx, self->fx_count, self->fx_cap);
    struct vassal_effect *fx = &self->fx[self->fx_count++];
    *fx = (struct vassal_effect){ .kind = kind };
    return fx;
}

void
vassal_note(struct vassal *self, unsigned severity, const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    (void) vsnprintf(text, sizeof(text), fmt, args); /* cut off if need be */
    va_end(args);
    struct vassal_effect *fx = vassal_effect(self, VASSAL_FX_NOTE);
    fx->as.note.severity = severity;
    fx->as.note.text = dz_arena_copy(&self->arena, dz_str(text));
}

void
vassal_wake(struct vassal *self, dz_us at)
{
    if (at < self->wake_at)
        self->wake_at = at;
}

bool
member_turn(struct vassal *self, enum member_turn turn)
{
    int next = member_state_after(self->state, turn);
    if (next < 0)
        return false;
    self->state = (enum member_state) next;
    return true;
}

void
vassal_finish(struct vassal *self, bool is_sealed, dz_us now)
{
    self->end.is_sealed = is_sealed;
    if (!is_sealed)
        self->end.pending = self->pending;
    self->is_bye_due = self->scheduler != 0;
    rank_end(self, now);
    vassal_effect(self, VASSAL_FX_DONE)->as.done = self->end;
}

/* ------------------------------------------------------------------ events */

static void
on_manifest(struct vassal *self, const struct vassal_event *event, dz_us now)
{
    if (!member_turn(self, MEMBER_TURN_COLLECTED))
        return; /* it was stopped before */
    self->total = event->as.manifest.total;
    self->manifest_digest = event->as.manifest.digest;
    if (event->as.manifest.seen_n > self->seen_n)
        self->seen_n = event->as.manifest.seen_n;
    if (self->slot_count > self->total)
        self->slot_count = self->total;
    self->own = event->as.manifest.own;
    session_crowd(self, event->as.manifest.nodes);
    rank_collected(self, now);
    slots_start(self);
}

static void
on_stop(struct vassal *self, const struct vassal_event *event, dz_us now)
{
    int how = event->as.stop.how ? 1 : 0;
    if (how <= self->stop_how || self->state == MEMBER_EXITED)
        return;
    self->stop_how = how;
    self->is_stop_due = true;
    dz_buf_clear(&self->stop_reason);
    dz_buf_add(&self->stop_reason, event->as.stop.reason.ptr, event->as.stop.reason.len);
    slots_end(self, how + 1);
    if (self->state == MEMBER_NEW && member_turn(self, MEMBER_TURN_LEAVE))
        vassal_finish(self, false, now);
}

static void
on_leave(struct vassal *self, dz_us now)
{
    if (!member_turn(self, MEMBER_TURN_LEAVE))
        return;
    rank_leave(self, now);
    self->left_at = now;
    slots_end(self, 1);
    if (self->state == MEMBER_EXITED)
        vassal_finish(self, false, now);
    else
        vassal_wake(self, now + LEAVE_KILL_US);
}

static struct vslot *
slot_at(struct vassal *self, unsigned num)
{
    dz_assert(num < self->cfg.slots);
    return &self->slots[num];
}

static void
handle_slot(struct vassal *self, const struct vassal_event *event, dz_us now)
{
    switch ((int) event->kind) {
    case VASSAL_EV_SLOT_UP: slot_came_up(self, slot_at(self, event->as.slot.slot), NULL, 0); break;
    case VASSAL_EV_ATTACHED:
        slot_came_up(self, slot_at(self, event->as.attached.slot), event->as.attached.held,
                     event->as.attached.count);
        break;
    case VASSAL_EV_SLOT_ASKS: slot_asks(self, slot_at(self, event->as.slot.slot), now); break;
    case VASSAL_EV_SLOT_DOWN:
        (void) slot_at(self, event->as.down.slot);
        slot_went_down(self, event);
        break;
    case VASSAL_EV_RESULT:
        (void) slot_at(self, event->as.result.slot);
        slot_reported(self, &event->as.result);
        break;
    case VASSAL_EV_UNPUT:
        slot_unput(self, slot_at(self, event->as.back.slot), event->as.back.grants,
                   event->as.back.count);
        break;
    case VASSAL_EV_ABSENT:
        slot_lacks(self, slot_at(self, event->as.back.slot), event->as.back.grants,
                   event->as.back.count);
        break;
    default: dz_assert(!"an event that exists");
    }
}

static void
on_tick(struct vassal *self, dz_us now)
{
    if (now < self->wake_at)
        return;
    self->wake_at = INT64_MAX;
    session_tick(self, now);
    rank_tick(self, now);
    if (self->state != MEMBER_NEW && self->state != MEMBER_EXITED)
        slots_tick(self, now);
    if (self->state != MEMBER_LEAVING)
        return;
    if (now - self->left_at >= LEAVE_MAX_US) {
        (void) member_turn(self, MEMBER_TURN_EMPTY); /* as if: the spool keeps what is not told */
        vassal_finish(self, false, now);
    } else if (now - self->left_at >= LEAVE_KILL_US) {
        slots_end(self, 2);
        vassal_wake(self, self->left_at + LEAVE_MAX_US);
    } else {
        vassal_wake(self, self->left_at + LEAVE_KILL_US);
    }
}

static void
handle(struct vassal *self, const struct vassal_event *event, dz_us now)
{
    switch (event->kind) {
    case VASSAL_EV_TICK: on_tick(self, now); break;
    case VASSAL_EV_MANIFEST: on_manifest(self, event, now); break;
    case VASSAL_EV_MESSAGE: session_hear(self, event->as.message, now); break;
    case VASSAL_EV_JOURNALED: outbox_journaled(self, event->as.journaled.record); break;
    case VASSAL_EV_RESTORED:
        dz_assert(self->state == MEMBER_NEW);
        outbox_restore(self, event->as.restored.record, &event->as.restored.outcome);
        break;
    case VASSAL_EV_STOP: on_stop(self, event, now); break;
    case VASSAL_EV_LEAVE: on_leave(self, now); break;
    case VASSAL_EV_JOIN: rank_join(self, now); break;
    case VASSAL_EV_ANSWER: rank_answer(self, event, now); break;
    case VASSAL_EV_GONE: rank_gone(self, event->as.gone.node, event->as.gone.inc, now); break;
    case VASSAL_EV_DEPOSED: rank_deposed(self, &event->as.deposed, now); break;
    default: handle_slot(self, event, now);
    }
}

/* Nothing runs here any more, and everything that ran is in the ledger. */
static void
settle(struct vassal *self, dz_us now)
{
    if (self->living > 0 || (self->unacked > 0 && !DZ_BROKEN(DRAIN_EMPTY)))
        return;
    if (self->state == MEMBER_DRAINING && member_turn(self, MEMBER_TURN_EMPTY))
        self->is_drained_due = true;
    else if (self->state == MEMBER_LEAVING && member_turn(self, MEMBER_TURN_EMPTY))
        vassal_finish(self, false, now);
}

/* Silence that is our own (the process was stopped) says nothing of others. */
static void
forgive_own_absence(struct vassal *self, dz_us now)
{
    dz_us since = self->wake_at > self->stepped_at ? self->wake_at : self->stepped_at;
    dz_us away = now - since;
    self->stepped_at = now;
    if (since == INT64_MAX || away < FROZEN_BEATS * self->hb_us)
        return;
    self->heard_at += away;
    self->ranking.holder_at += away;
    self->ranking.asked_at += away;
    self->ranking.cut_off_at += away;
    self->ranking.since += away;
}

void
vassal_step(struct vassal *self, const struct vassal_event *event, dz_us now,
            struct vassal_effects *out)
{
    dz_arena_clear(&self->arena);
    self->fx_count = 0;
    forgive_own_absence(self, now);
    handle(self, event, now);
    settle(self, now);
    flush_all(self, now);
    *out = (struct vassal_effects){ self->fx, self->fx_count };
}

dz_us
vassal_next(const struct vassal *self)
{
    return self->wake_at;
}

enum vassal_slot_state
vassal_slot_state(const struct vassal *self, unsigned slot)
{
    dz_assert(slot < self->cfg.slots);
    return self->slots[slot].state;
}

const char *
vassal_rank_text(const struct vassal *self)
{
    return rank_name(self->ranking.rank);
}

const char *
vassal_state_text(const struct vassal *self)
{
    return member_state_name(self->state);
}

void
vassal_check(const struct vassal *self)
{
    unsigned living = 0;
    for (unsigned i = 0; i < self->cfg.slots; i++) {
        const struct vslot *slot = &self->slots[i];
        bool has_process = slot->state != VASSAL_SLOT_ABSENT && slot->state != VASSAL_SLOT_LOST;
        living += has_process;
        dz_assert(slot->fed <= slot->held_count && slot->held_count <= VASSAL_QUEUE_MAX);
        dz_assert(slot->state != VASSAL_SLOT_LOST || slot->held_count == 0);
        dz_assert(!slot->is_asking || has_process);
    }
    dz_assert(living == self->living);
    dz_assert(self->told <= self->record_count && self->old <= self->record_count);
    for (size_t i = 1; i < self->record_count; i++)
        dz_assert(self->records[self->record_first + i - 1].number <
                  self->records[self->record_first + i].number);
    size_t unacked = 0, pending = 0;
    for (size_t i = 0; i < self->record_count; i++) {
        const struct record *record = &self->records[self->record_first + i];
        bool is_fresh_copy = record->state == RECORD_WRITING && record->outcome.copied_in > 0;
        unacked += record->state < RECORD_ACKED && !is_fresh_copy;
        pending += !record->is_stored;
    }
    dz_assert(unacked == self->unacked && pending == self->pending);
    dz_assert(self->state != MEMBER_DRAINED || self->unacked == 0);
}
