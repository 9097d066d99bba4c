/* grants.c - what slots hold, and what they are given next.
 *
 * A slot is given about AHEAD_US worth of tests at a time, less when little is left, and is given
 * more when half of that is done: so workers do not wait, and few tests are stuck behind one that
 * takes long.  Those that are stuck are taken back when another slot has nothing (rescue.c).
 *
 * We hear of results late, by as much as spool, network and ledger take.  A slot that ran dry while
 * we believed that it had enough is given more from then on. */
#include <inttypes.h>
#include <string.h>

#include "coord/core/inside.h"

enum {
    AHEAD_US = 50 * 1000,      /* of tests in a slot's queue, to begin with, */
    AHEAD_MAX_US = 400 * 1000, /* and when news of its results are slow */
    LEAST_US = 2 * 1000,       /* a smaller batch costs more than it balances */
    ASSIGNS_MAX = 4,           /* in a row, to one slot */
    REFILL_MAX = 96, /* a slot that holds more is not refilled: messages would get small */
};

/* ------------------------------------------------------------------ the list of what it holds */

static dz_us
cost(const struct coord *self, const struct slot *slot, uint32_t test)
{
    return plan_cost_us(self->plan, slot->number, test);
}

static dz_us
held_us(const struct coord *self, const struct slot *slot)
{
    dz_us sum = 0;
    for (uint32_t i = slot->stale; i < slot->held_count; i++)
        sum += cost(self, slot, slot->held[i]);
    return sum;
}

/* Looked for often: slots to which an answer is owed, and those of which others may get something. */
static void
recount(struct coord *self, struct slot *slot)
{
    bool is_owed = slot->is_parked && slot->wants;
    bool may_give = slot->is_up && (slot->is_revoking || slot_live(slot) > 1);
    self->owed_count += is_owed;
    self->owed_count -= slot->is_owed;
    self->giver_count += may_give;
    self->giver_count -= slot->may_give;
    slot->is_owed = is_owed;
    slot->may_give = may_give;
}

static void
hold(struct coord *self, struct slot *slot, uint32_t test, dz_us now)
{
    dz_assert(slot->held_count < HELD_MAX);
    if (slot->held_count == 0)
        slot->moved_at = now;
    slot->is_bare = false;
    GROW(slot->held, slot->held_count, slot->held_cap);
    slot->held[slot->held_count++] = test;
    if (self->tests[test].holders < UINT8_MAX)
        self->tests[test].holders++;
    self->held_total++;
    uint32_t alone = self->tests[test].needs & NEED_ALONE ? 1 : 0;
    slot->node->held++;
    slot->node->alone_held += alone;
    slot->alone_held += alone;
    recount(self, slot);
}

void
slot_hold(struct coord *self, struct slot *slot, uint32_t test, dz_us now)
{
    for (uint32_t i = 0; i < slot->held_count; i++)
        if (slot->held[i] == test)
            return;
    if (slot->held_count == HELD_MAX)
        return; /* more than it can hold: it will report them all the same */
    if (!DZ_BROKEN(HELD_ONCE))
        plan_held(self->plan, slot->number, test);
    hold(self, slot, test, now);
}

static void
remove_at(struct coord *self, struct slot *slot, uint32_t at, dz_us now)
{
    uint32_t test = slot->held[at];
    slot->is_bare = false;
    slot->held_count--;
    slot->is_bereft = slot->is_bereft && slot->held_count > 0;
    slot->stale -= slot->stale > 0;
    memmove(slot->held + at, slot->held + at + 1, (slot->held_count - at) * sizeof(*slot->held));
    self->tests[test].holders--;
    self->held_total--;
    uint32_t alone = self->tests[test].needs & NEED_ALONE ? 1 : 0;
    slot->node->held--;
    slot->node->alone_held -= alone;
    slot->alone_held -= alone;
    recount(self, slot);
    if (at == 0)
        slot->moved_at = now;
    if (plan_drop(self->plan, slot->number, test) ||
        (self->has_needs && (slot->held_count == 0 || alone > 0)))
        slots_unpark(self); /* something may be alone now, or need not be any more */
}

bool
slot_drop(struct coord *self, struct slot *slot, uint32_t test, dz_us now)
{
    for (uint32_t i = 0; i < slot->held_count; i++) {
        if (slot->held[i] == test) {
            remove_at(self, slot, i, now);
            return true;
        }
    }
    return false;
}

static bool
is_nobodys(const struct coord *self, uint32_t test)
{
    return self->tests[test].state == TEST_OPEN && self->tests[test].holders == 0;
}

void
slot_drop_all(struct coord *self, struct slot *slot)
{
    while (slot->held_count > 0) {
        uint32_t test = slot->held[slot->held_count - 1];
        remove_at(self, slot, slot->held_count - 1, slot->moved_at);
        if (is_nobodys(self, test) && !DZ_BROKEN(DEAD_RETURN))
            plan_return(self->plan, slot->number, &test, 1, PLAN_FIRST);
    }
    slot->is_revoking = false;
    slot->revoke_due = slot->stale = 0;
    recount(self, slot);
    slots_unpark(self);
}

/* ------------------------------------------------------------------ what a slot says */

void
slot_mark(struct coord *self, struct slot *slot)
{
    if (slot->is_dirty)
        return;
    slot->is_dirty = true;
    GROW(self->dirty_slots, self->dirty_slot_count, self->dirty_slot_cap);
    self->dirty_slots[self->dirty_slot_count++] = slot;
}

static void
set_parked(struct coord *self, struct slot *slot, bool is_parked)
{
    if (slot->is_parked == is_parked)
        return;
    slot->is_parked = is_parked;
    if (is_parked)
        self->parked_count++;
    else
        self->parked_count--;
}

void
slot_up(struct coord *self, struct slot *slot)
{
    if (!slot->is_up) {
        self->up_count++;
        plan_open(self->plan, slot->number, slot->node->number);
    }
    slot->is_up = true;
    slot->wants = false;
    set_parked(self, slot, false);
    recount(self, slot);
    slot_mark(self, slot);
}

void
slot_wants(struct coord *self, struct slot *slot)
{
    slot_up(self, slot);
    slot->wants = true;
    slot->asked_at = self->stepped_at;
    /* Its queue is empty.  The last test that it took waits for what comes next. */
    slot->stale = slot->held_count > 0 ? slot->held_count - 1 : 0;
    recount(self, slot);
}

void
slot_lost(struct coord *self, struct slot *slot)
{
    if (slot->is_up) {
        self->up_count--;
        plan_close(self->plan, slot->number);
        slots_unpark(self);
    }
    slot->is_up = slot->wants = false;
    set_parked(self, slot, false);
    recount(self, slot);
}

/* A slot's worker collected other tests and lacks this one. */
static void
give_up_or_avoid(struct coord *self, struct slot *slot, uint32_t test)
{
    struct test *it = &self->tests[test];
    it->absents++;
    if (it->absents < ABSENT_MAX && it->absents <= 2 * self->up_count) {
        plan_return_absent(self->plan, test, slot->number);
        return;
    }
    it->state = TEST_ABSENT;
    self->absent++;
    coord_note(self, 1, "no worker could find test %" PRIu32 ", it is not run", test);
}

void
slot_back(struct coord *self, struct slot *slot, const struct dz_msg_mesh_back *back, dz_us now)
{
    uint32_t tests[HELD_MAX];
    size_t count = 0;
    struct dz_list list = back->grants;
    struct dz_item_grant grant;
    while (dz_grant_next(&list, &grant)) {
        uint32_t test = grant.attempt == 0 ? test_of(self, slot->node, grant.test) : NO_TEST;
        if (test == NO_TEST || !slot_drop(self, slot, test, now) || !is_nobodys(self, test))
            continue;
        if (back->why == DZ_BACK_ABSENT)
            give_up_or_avoid(self, slot, test);
        else
            tests[count++] = test;
    }
    if (back->why == DZ_BACK_REVOKED) {
        slot->is_revoking = false;
        slot->is_bare = back->grants.count == 0; /* all is begun: results are on their way */
    }
    slot->is_bereft = back->why == DZ_BACK_GIVEN && slot->held_count > 0;
    recount(self, slot);
    plan_return(self->plan, slot->number, tests, count,
                back->why == DZ_BACK_GIVEN ? PLAN_KEPT : PLAN_OPEN);
    slots_unpark(self);
    slot_mark(self, slot);
}

void
slots_unpark(struct coord *self)
{
    if (self->parked_count == 0 || plan_free(self->plan) == 0 || DZ_BROKEN(UNPARK))
        return;
    for (size_t i = 0; i < self->slot_count; i++)
        if (self->slots[i]->is_parked)
            slot_mark(self, self->slots[i]);
}

/* ------------------------------------------------------------------ giving */

/* It takes longer until it is given more where many ask. */
dz_us
slot_ahead_us(const struct coord *self)
{
    dz_us ahead = AHEAD_US + coord_news_us(self);
    return ahead < AHEAD_MAX_US ? ahead : AHEAD_MAX_US;
}

/* A slot's part of all that is not done, where those who have come but are not up yet have theirs. */
static dz_us
whole_share_us(const struct coord *self)
{
    size_t crowd = coord_crowd(self), slots = self->up_count > crowd ? self->up_count : crowd;
    size_t count = plan_free(self->plan);
    dz_us each = count ? plan_free_us(self->plan) / (dz_us) count : 0;
    return each * (dz_us) (count + self->held_total) / (dz_us) slots;
}

/* Towards the end, small batches let all slots end together.  Not where a slot's whole share is done before
 * it could be given more. */
static dz_us
target_us(const struct coord *self, const struct slot *slot)
{
    dz_us share = whole_share_us(self);
    if (share > coord_news_us(self))
        share = plan_free_us(self->plan) / (dz_us) self->up_count / 2;
    share = share > LEAST_US ? share : LEAST_US;
    return share < slot->ahead_us ? share : slot->ahead_us;
}

/* How much it has before it, as far as we know.  A worker that asks has nothing, whatever we have
 * not heard of yet. */
static dz_us
queued_us(struct coord *self, struct slot *slot)
{
    if (!slot->wants)
        return held_us(self, slot);
    if (slot->stale == 0)
        return 0;
    dz_us believed_us = (dz_us) slot->stale * cost(self, slot, slot->held[0]);
    if (believed_us >= slot->ahead_us / 4 && slot->ahead_us < AHEAD_MAX_US)
        slot->ahead_us *= 2;
    return 0;
}

/* Of what waits in the queue of a slot, may another one get something? */
static bool
may_get(const struct coord *self, const struct slot *idle, const struct slot *slot)
{
    if (!slot->may_give)
        return false;
    if (slot_live(slot) < 2)
        return true; /* it was asked for, and has not answered */
    uint32_t last = slot->held[slot->held_count - 1];
    return plan_may_run(self->plan, idle->number, last) &&
           (slot->is_revoking || !plan_is_tied(self->plan, last));
}

/* May a slot that has nothing get something yet?  Tests that nobody was given, or that wait behind
 * others in a queue, may still come to it, unless they are tied to their slot.  Until neither is
 * left its worker is not sent to tear down what its session made: it would be made twice. */
static bool
more_may_come(struct coord *self, const struct slot *idle)
{
    if (plan_has_for(self->plan, idle->number))
        return true;
    size_t left = self->giver_count;
    for (size_t i = 0; i < self->slot_count && left > 0; i++) {
        size_t at = (self->giver_at + i) % self->slot_count;
        left -= self->slots[at]->may_give;
        if (!may_get(self, idle, self->slots[at]))
            continue;
        self->giver_at = at;
        return true;
    }
    return false;
}

/* Of a crowd all may be over before each could be told that there is nothing for it. */
static bool
has_just_asked(const struct coord *self, const struct slot *slot)
{
    return self->stepped_at - slot->asked_at < coord_news_us(self);
}

/* Is it better to let this slot wait?  Not if all others of its node wait for what it runs. */
static bool
can_wait(struct coord *self, const struct slot *slot)
{
    return slot->alone_held == 0 && (has_just_asked(self, slot) || more_may_come(self, slot));
}

static void
say_assign(struct coord *self, struct slot *slot, const uint32_t *tests, size_t count, dz_us now)
{
    struct dz_buf *bytes = &self->items;
    dz_buf_clear(bytes);
    struct dz_msg msg = { .id = DZ_MSG_mesh_assign,
                          .as.mesh_assign = { .slot = slot->num,
                                              .follow = count > 0 && more_may_come(self, slot) } };
    for (size_t i = 0; i < count; i++) {
        struct dz_item_grant grant = { .test = local_of(self, slot->node, tests[i]) };
        dz_grant_add(&msg.as.mesh_assign.grants, bytes, &grant);
    }
    node_say(self, slot->node, &msg, now);
}

static size_t
room_in(const struct slot *slot)
{
    uint32_t live = slot_live(slot);
    if (live >= LIVE_MAX || slot->held_count >= HELD_MAX - LIVE_MAX)
        return 0;
    return LIVE_MAX - live;
}

/* One ASSIGN at most.  Returns what it is worth, 0: there is nothing. */
static dz_us
give_batch(struct coord *self, struct slot *slot, dz_us budget_us, dz_us now)
{
    uint32_t tests[DZ_GRANTS_MAX];
    size_t room = room_in(slot);
    size_t max = room < DZ_GRANTS_MAX ? room : DZ_GRANTS_MAX;
    size_t count =
        may_begin(self, slot) ? plan_take(self->plan, slot->number, budget_us, max, tests) : 0;
    dz_us worth_us = 0;
    if (plan_has_left(self->plan))
        slots_unpark(self);
    for (size_t i = 0; i < count; i++) {
        worth_us += cost(self, slot, tests[i]);
        hold(self, slot, tests[i], now);
    }
    if (count > 0 || (slot->wants && !can_wait(self, slot) && !DZ_BROKEN(ANSWER_WANT)))
        say_assign(self, slot, tests, count, now);
    return worth_us;
}

static void
give(struct coord *self, struct slot *slot, dz_us now)
{
    if (slot->is_bereft && slot->held_count > 0 && !slot->wants)
        return; /* it may be the first that it is given */
    dz_us target = target_us(self, slot);
    dz_us queued = queued_us(self, slot);
    bool is_dry = slot->wants || slot->held_count == 0;
    if (!is_dry && (slot_live(slot) > REFILL_MAX || queued >= target / 2))
        return;
    if (room_in(slot) == 0)
        return; /* results are on their way, then it is its turn again */
    dz_us given = give_batch(self, slot, target - queued, now);
    bool has_given = given > 0;
    for (int more = 1; given > 0 && more < ASSIGNS_MAX; more++) {
        queued += given;
        if (queued >= target || slot_live(slot) > REFILL_MAX ||
            !dz_flow_has_room(&slot->node->flow))
            break;
        slot->wants = false;
        recount(self, slot);
        given = give_batch(self, slot, target - queued, now);
    }
    set_parked(self, slot, !has_given && (is_dry || slot->is_parked));
    slot->wants = slot->wants && !has_given && can_wait(self, slot); /* the answer is owed */
    recount(self, slot);
    if (slot->is_parked)
        coord_wake(self, now + RESCUE_US);
}

static void
say_revoke(struct coord *self, struct slot *slot, dz_us now)
{
    struct dz_msg msg = { .id = DZ_MSG_mesh_revoke,
                          .as.mesh_revoke = { .slot = slot->num, .count = slot->revoke_due } };
    node_say(self, slot->node, &msg, now);
    slot->revoke_due = 0;
    slot->is_revoking = true;
    recount(self, slot);
}

static void
serve(struct coord *self, struct slot *slot, dz_us now)
{
    struct node *node = slot->node;
    if (self->phase != PHASE_SCHEDULING || !slot->is_up || node->state != NODE_MEMBER ||
        node->drain_said >= 0)
        return;
    if (!dz_flow_has_room(&node->flow)) {
        node->is_blocked = true;
        return;
    }
    if (slot->revoke_due > 0 && !slot->is_revoking)
        say_revoke(self, slot, now);
    else if (!slot->is_revoking)
        give(self, slot, now);
}

/* Slots to which an answer is owed can be told "nothing" as soon as nothing may come any more.  A crowd, which
 * is told later anyway, is not gone through at every step. */
static void
mark_settled(struct coord *self, dz_us now)
{
    size_t left = self->owed_count, begin = self->owed_at;
    if (left == 0 || (coord_news_us(self) > 0 && now - self->settled_at < RESCUE_US))
        return;
    self->settled_at = now;
    for (size_t i = 0; i < self->slot_count && left > 0; i++) {
        size_t at = (begin + i) % self->slot_count;
        struct slot *slot = self->slots[at];
        left -= slot->is_owed;
        if (!slot->is_owed)
            continue;
        self->owed_at = at;
        if (has_just_asked(self, slot))
            continue;
        if (!more_may_come(self, slot))
            slot_mark(self, slot);
        else if (self->odd_count == 0)
            return; /* what may come to one may come to all */
    }
}

void
slots_flush(struct coord *self, dz_us now)
{
    mark_settled(self, now);
    for (size_t i = 0; i < self->dirty_slot_count; i++) {
        struct slot *slot = self->dirty_slots[i];
        slot->is_dirty = false; /* serving one may mark others, or itself, again */
        serve(self, slot, now);
    }
    self->dirty_slot_count = 0;
}
