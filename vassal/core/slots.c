/* slots.c - workers of this node, and what each of them was given.
 *
 * `held` mirrors the queue in shared memory: what was granted and has no result, running first.
 * Its first `fed` entries were handed to the worker, the others wait for one to come up.
 *
 * A worker that finds its queue empty is told in time what to do (enum vassal_more), because it
 * cannot end its running test before it knows which one is next:
 *   ASK   more is to be expected.  It wakes us, we ask the scheduler (WANT), the answer feeds it.
 *   NONE  nothing follows.  It tears everything down, reports, and sleeps without a word: that its
 *         last result arrived tells that it is idle.
 *   END   nothing will ever follow. */
#include <stdlib.h>
#include <string.h>

#include "vassal/core/inside.h"

enum {
    FAILS_MAX = 8,                /* workers in a row that die before they have run anything */
    ANSWER_US = 30 * 1000 * 1000, /* a worker does not wait longer for the scheduler: NONE */
    KILL_HOW = 2,                 /* of DRAIN */
};

void
slot_turn(struct vassal *self, struct vslot *slot, enum slot_turn turn)
{
    int next = slot_state_after(slot->state, turn);
    dz_assert(next >= 0);
    bool was_living = slot->state != VASSAL_SLOT_ABSENT && slot->state != VASSAL_SLOT_LOST;
    bool is_living = next != VASSAL_SLOT_ABSENT && next != VASSAL_SLOT_LOST;
    self->living += is_living;
    self->living -= was_living;
    slot->state = (enum vassal_slot_state) next;
}

static bool
has_worker(const struct vslot *slot)
{
    return slot->state == VASSAL_SLOT_IDLE || slot->state == VASSAL_SLOT_BUSY;
}

/* Does this node still take tests? */
static bool
is_open(const struct vassal *self)
{
    return self->stop_how < 0 && (self->state == MEMBER_SERVING || self->state == MEMBER_JOINING);
}

/* Before the manifest is known nobody is sent away. */
static bool
may_work(const struct vassal *self, const struct vslot *slot)
{
    return self->state == MEMBER_NEW || (is_open(self) && slot->num < self->slot_count);
}

/* ------------------------------------------------------------------ the list */

static void
remove_held(struct vslot *slot, size_t at)
{
    slot->held_count--;
    memmove(slot->held + at, slot->held + at + 1, (slot->held_count - at) * sizeof(*slot->held));
    if (at < slot->fed)
        slot->fed--;
}

/* held_count: not there. */
static size_t
find_held(const struct vslot *slot, struct dz_grant what)
{
    size_t at = 0;
    while (at < slot->held_count &&
           (slot->held[at].test != what.test || slot->held[at].attempt != what.attempt))
        at++;
    return at;
}

static bool
take_held(struct vslot *slot, struct dz_grant what)
{
    size_t at = find_held(slot, what);
    if (at == slot->held_count)
        return false;
    remove_held(slot, at);
    return true;
}

static void
add_held(struct vslot *slot, struct dz_grant what)
{
    GROW(slot->held, slot->held_count, slot->held_cap);
    slot->held[slot->held_count++] = what;
}

/* ------------------------------------------------------------------ telling the worker */

static const struct dz_grant *
copy_unfed(struct vassal *self, const struct vslot *slot, size_t count)
{
    struct dz_grant *copy = dz_arena_take(&self->arena, count, sizeof(*copy));
    if (count > 0)
        memcpy(copy, slot->held + slot->fed, count * sizeof(*copy));
    return copy;
}

/* Hand over what it was not given yet, and what to expect after it. */
static void
feed(struct vassal *self, struct vslot *slot, enum vassal_more more)
{
    size_t count = slot->held_count - slot->fed;
    struct vassal_effect *fx = vassal_effect(self, VASSAL_FX_FEED);
    fx->as.feed.slot = slot->num;
    fx->as.feed.more = more;
    fx->as.feed.count = count;
    fx->as.feed.grants = copy_unfed(self, slot, count);
    slot->fed = slot->held_count;
    slot->more = more;
    slot->is_asking = false;
    if (more == VASSAL_MORE_END)
        slot_turn(self, slot, SLOT_TURN_END);
    else if (count > 0)
        slot_turn(self, slot, SLOT_TURN_FEED);
}

static void
fork_slot(struct vassal *self, struct vslot *slot)
{
    slot_turn(self, slot, SLOT_TURN_FORK);
    vassal_effect(self, VASSAL_FX_FORK)->as.slot.slot = slot->num;
}

void
slots_start(struct vassal *self)
{
    for (unsigned i = 0; i < self->cfg.slots; i++) {
        struct vslot *slot = &self->slots[i];
        if (has_worker(slot) && i >= self->slot_count)
            feed(self, slot, VASSAL_MORE_END);
        else if (slot->state == VASSAL_SLOT_ABSENT && i < self->slot_count)
            fork_slot(self, slot);
    }
}

/* The scheduler must know that this slot has nothing to do. */
static void
want(struct vslot *slot)
{
    slot->is_parked = false;
    slot->must_say = true;
}

/* ------------------------------------------------------------------ what the driver says */

/* What the queue of a worker of our former life still holds.  Once the scheduler has our STATE it
 * believes that nobody has those tests, so what has not begun is taken out of the queue. */
static void
take_over(struct vassal *self, struct vslot *slot, const struct dz_grant *held, size_t count)
{
    dz_assert(count <= VASSAL_QUEUE_MAX);
    if (count == 0)
        return;
    struct dz_grant unfed[VASSAL_QUEUE_MAX];
    size_t unfed_count = slot->held_count; /* granted while no worker was known */
    if (unfed_count > 0)
        memcpy(unfed, slot->held, unfed_count * sizeof(*unfed));
    slot->held_count = 0;
    for (size_t i = 0; i < count; i++)
        add_held(slot, held[i]);
    slot->fed = count;
    slot_turn(self, slot, SLOT_TURN_FEED);
    if (session_is_open(self) && count > 1)
        slot_revoke(self, slot, count - 1);
    for (size_t i = 0; i < unfed_count; i++)
        if (find_held(slot, unfed[i]) == slot->held_count)
            add_held(slot, unfed[i]);
}

void
slot_came_up(struct vassal *self, struct vslot *slot, const struct dz_grant *held, size_t count)
{
    if (slot->state != VASSAL_SLOT_FORKING && slot->state != VASSAL_SLOT_ABSENT)
        return; /* one that came although it was given up */
    slot_turn(self, slot, SLOT_TURN_UP);
    slot->is_working = false;
    slot->more = VASSAL_MORE_ASK;
    take_over(self, slot, held, count);
    if (!may_work(self, slot))
        feed(self, slot, VASSAL_MORE_END);
    else if (slot->held_count > slot->fed)
        feed(self, slot, VASSAL_MORE_ASK);
}

void
slot_asks(struct vassal *self, struct vslot *slot, dz_us now)
{
    if (!has_worker(slot))
        return;
    if (slot->held_count == 0 && slot->state == VASSAL_SLOT_BUSY)
        slot_turn(self, slot, SLOT_TURN_DRY);
    if (!may_work(self, slot)) {
        feed(self, slot, VASSAL_MORE_END);
        return;
    }
    slot->is_asking = true;
    slot->asked_at = now;
    vassal_wake(self, now + ANSWER_US);
    want(slot);
}

void
slot_reported(struct vassal *self, const struct vassal_outcome *outcome)
{
    struct vslot *slot = &self->slots[outcome->slot];
    /* A test may have written into the mapping.  Before the manifest the driver vouches for it. */
    if (self->state != MEMBER_NEW && outcome->what.test >= self->total)
        return;
    (void) take_held(slot, outcome->what); /* not held: it was run all the same */
    slot->is_working = true;
    slot->fails = 0;
    outbox_add(self, outcome, DZ_CAUSE_FINISHED);
    if (slot->held_count > 0 || slot->state != VASSAL_SLOT_BUSY)
        return;
    if (slot->more == VASSAL_MORE_NONE) {
        slot_turn(self, slot, SLOT_TURN_DRY);
        if (!slot->is_parked)
            want(slot);
    }
}

static bool
is_strike(enum dz_cause cause)
{
    return cause == DZ_CAUSE_SIGNAL || cause == DZ_CAUSE_EXITED || cause == DZ_CAUSE_OOM ||
           cause == DZ_CAUSE_FATAL;
}

/* The test that ran gets a record of its own: its worker cannot report it. */
static void
record_death(struct vassal *self, struct vslot *slot, const struct vassal_event *event)
{
    bool is_timeout = event->as.down.cause == DZ_CAUSE_TIMEOUT;
    if (!event->as.down.has_ran || !(is_timeout || is_strike(event->as.down.cause)) ||
        !take_held(slot, event->as.down.ran))
        return;
    struct vassal_outcome outcome = {
        .what = event->as.down.ran,
        .result = is_timeout ? DZ_RESULT_TIMEOUT : DZ_RESULT_CRASHED,
        .slot = slot->num,
        .exec = event->as.down.exec,
        .start_us = event->as.down.start_us,
        .call_us = event->as.down.elapsed_us,
        .line = event->as.down.line,
    };
    slot->is_working = true; /* it did something: the test is to blame, not the slot */
    outbox_add(self, &outcome, event->as.down.cause);
}

/* A slot whose workers never get as far as a test is of no use, whoever kills them. */
static void
count_failure(struct vassal *self, struct vslot *slot, enum dz_cause cause)
{
    bool is_innocent = cause == DZ_CAUSE_ZYGOTE || cause == DZ_CAUSE_AGENT ||
                       cause == DZ_CAUSE_STOPPED || cause == DZ_CAUSE_RECYCLED ||
                       slot->state == VASSAL_SLOT_LEAVING;
    if (slot->is_working)
        slot->fails = 0;
    else if (!is_innocent)
        slot->fails++;
    if (slot->fails == FAILS_MAX)
        vassal_note(self, 2, "worker %u ended %d times before it ran a test (%s): it is given up",
                    slot->num, FAILS_MAX, dz_cause_text(cause));
}

void
slot_went_down(struct vassal *self, const struct vassal_event *event)
{
    struct vslot *slot = &self->slots[event->as.down.slot];
    if (slot->state == VASSAL_SLOT_LOST)
        return;
    record_death(self, slot, event);
    count_failure(self, slot, event->as.down.cause);
    bool is_lost = event->as.down.is_lost || slot->fails >= FAILS_MAX;
    size_t gone = is_lost || !is_open(self) ? slot->held_count : slot->fed;
    if (gone > 0 && !DZ_BROKEN(GIVE_BACK))
        back_add(self, slot->num, DZ_BACK_GIVEN, slot->held, gone);
    slot->held_count -= gone;
    if (slot->held_count > 0)
        memmove(slot->held, slot->held + gone, slot->held_count * sizeof(*slot->held));
    slot->fed = 0;
    slot->is_asking = slot->is_working = false;
    slot_turn(self, slot, is_lost ? SLOT_TURN_LOSE : SLOT_TURN_DOWN);
    slot->must_say = slot->must_say || is_lost;
    if (!is_lost && may_work(self, slot) && (slot->held_count > 0 || !slot->is_parked)) {
        fork_slot(self, slot);
        slot->must_say = true;
    }
}

/* ------------------------------------------------------------------ what the scheduler says */

void
slot_grant(struct vassal *self, struct vslot *slot, const struct dz_grant *grants, size_t count,
           bool does_follow)
{
    struct dz_grant refused[DZ_GRANTS_MAX];
    size_t refused_count = 0;
    for (size_t i = 0; i < count; i++) {
        bool is_usable = is_open(self) && slot->state != VASSAL_SLOT_LOST &&
                         slot->held_count < VASSAL_QUEUE_MAX && grants[i].test < self->total;
        if (!is_usable || outbox_has(self, grants[i].test))
            refused[refused_count++] = grants[i];
        else if (find_held(slot, grants[i]) == slot->held_count)
            add_held(slot, grants[i]);
    }
    if (refused_count > 0)
        back_add(self, slot->num, DZ_BACK_GIVEN, refused, refused_count);
    if (slot->held_count == slot->fed) {
        if (slot->is_asking)
            want(slot); /* the answer was of no use */
        return;
    }
    slot->is_parked = false;
    if (has_worker(slot))
        feed(self, slot, does_follow ? VASSAL_MORE_ASK : VASSAL_MORE_NONE);
    else if (slot->state == VASSAL_SLOT_ABSENT)
        fork_slot(self, slot);
}

void
slot_nothing(struct vassal *self, struct vslot *slot)
{
    slot->is_parked = true;
    if (has_worker(slot) && is_open(self) && slot->more != VASSAL_MORE_NONE)
        feed(self, slot, VASSAL_MORE_NONE);
    slot->is_asking = false;
}

void
slot_revoke(struct vassal *self, struct vslot *slot, size_t count)
{
    if (has_worker(slot) && slot->fed > 0) {
        struct vassal_effect *fx = vassal_effect(self, VASSAL_FX_UNPUT);
        fx->as.unput.slot = slot->num;
        fx->as.unput.count = count;
        slot->unputs++;
        return;
    }
    size_t keep = slot->held_count > count ? slot->held_count - count : 0;
    if (keep < slot->fed)
        keep = slot->fed;
    const struct dz_grant *unfed = slot->held_count > keep ? slot->held + keep : NULL;
    back_add(self, slot->num, DZ_BACK_REVOKED, unfed, slot->held_count - keep);
    slot->held_count = keep;
}

void
slot_unput(struct vassal *self, struct vslot *slot, const struct dz_grant *grants, size_t count)
{
    struct dz_grant back[VASSAL_QUEUE_MAX];
    size_t back_count = 0;
    dz_assert(slot->unputs > 0 && count <= VASSAL_QUEUE_MAX);
    slot->unputs--;
    for (size_t i = count; i-- > 0;) /* given last first; told in queue order */
        if (take_held(slot, grants[i]))
            back[back_count++] = grants[i];
    if (!DZ_BROKEN(ANSWER_REVOKE))
        back_add(self, slot->num, DZ_BACK_REVOKED, back, back_count);
}

void
slot_lacks(struct vassal *self, struct vslot *slot, const struct dz_grant *grants, size_t count)
{
    struct dz_grant back[VASSAL_QUEUE_MAX];
    size_t back_count = 0;
    for (size_t i = 0; i < count && back_count < VASSAL_QUEUE_MAX; i++)
        if (take_held(slot, grants[i]))
            back[back_count++] = grants[i];
    if (back_count > 0)
        back_add(self, slot->num, DZ_BACK_ABSENT, back, back_count);
    if (slot->is_asking)
        want(slot);
}

static void
end_slot(struct vassal *self, struct vslot *slot, int how)
{
    bool has_one = has_worker(slot) || slot->state == VASSAL_SLOT_LEAVING;
    if (how > 0 && slot->held_count > 0)
        slot_revoke(self, slot, slot->held_count);
    if (has_worker(slot))
        feed(self, slot, VASSAL_MORE_END);
    if (how >= KILL_HOW && has_one)
        vassal_effect(self, VASSAL_FX_KILL)->as.slot.slot = slot->num;
}

void
slots_end(struct vassal *self, int how)
{
    for (unsigned i = 0; i < self->cfg.slots; i++)
        end_slot(self, &self->slots[i], how);
}

/* ------------------------------------------------------------------ time, and telling */

void
slots_tick(struct vassal *self, dz_us now)
{
    for (unsigned i = 0; i < self->cfg.slots; i++) {
        struct vslot *slot = &self->slots[i];
        if (!slot->is_asking || !has_worker(slot))
            continue;
        if (now - slot->asked_at < ANSWER_US)
            vassal_wake(self, slot->asked_at + ANSWER_US);
        else if (slot->more != VASSAL_MORE_NONE)
            feed(self, slot, VASSAL_MORE_NONE);
    }
}

enum dz_slot_say
slot_says(const struct vslot *slot)
{
    if (slot->state == VASSAL_SLOT_LOST)
        return DZ_SLOT_LOST;
    bool is_idle = has_worker(slot) && slot->held_count == 0 && !slot->is_parked;
    return slot->is_asking || is_idle ? DZ_SLOT_WANT : DZ_SLOT_UP;
}

void
slots_say(struct vassal *self, dz_us now)
{
    unsigned first = 0;
    while (first < self->slot_count && !self->slots[first].must_say)
        first++;
    if (first == self->slot_count)
        return;
    struct dz_buf *bytes = &self->items;
    dz_buf_clear(bytes);
    struct dz_msg msg = { .id = DZ_MSG_mesh_slots };
    for (unsigned i = first; i < self->slot_count; i++) {
        struct vslot *slot = &self->slots[i];
        if (!slot->must_say)
            continue;
        slot->must_say = false;
        struct dz_item_slot item = { .num = slot->num, .state = slot_says(slot) };
        dz_slot_add(&msg.as.mesh_slots.slots, bytes, &item);
    }
    session_say(self, &msg, now);
}
