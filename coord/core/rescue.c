/* rescue.c - tests that wait behind one that takes long, while another slot has nothing. */
#include "coord/core/inside.h"

enum {
    STUCK_US = 20 * 1000,      /* a test that takes so much longer than expected holds others up */
    TOGETHER_US = 1000 * 1000, /* what belongs together is split when it would wait so long */
};

/* Until the test that this slot runs should end. */
static dz_us
left_us(const struct coord *self, const struct slot *slot, dz_us now)
{
    return plan_cost_us(self->plan, slot->number, slot->held[slot->stale]) - (now - slot->moved_at);
}

/* Has the test that this slot runs taken longer than it should?  News of its end take longer where many speak. */
static bool
is_late(const struct coord *self, dz_us left)
{
    return left < -(STUCK_US + coord_news_us(self));
}

/* How long what waits in this slot's queue will still wait. */
static dz_us
wait_us(const struct coord *self, const struct slot *slot, dz_us now)
{
    dz_us left = left_us(self, slot, now);
    if (left >= STUCK_US)
        return left;
    if (!is_late(self, left))
        return 0;
    return -left; /* nobody knows; the longer it took, the longer it may */
}

/* Returns to how many slots that have nothing it may bring something.  A crowd's are many: each revoke is one more
 * message among all the others, so a slot is not asked where what another one gives back is enough. */
static size_t
free_what_waits(struct coord *self, struct slot *slot, dz_us now)
{
    if (slot->is_revoking || !slot->is_up || slot_live(slot) == 0 || wait_us(self, slot, now) == 0)
        return 0;
    size_t stay = slot_live(slot);
    bool has_freed =
        plan_let_go(self->plan, slot->number, slot->held + slot->stale, slot_live(slot), &stay);
    if (wait_us(self, slot, now) >= TOGETHER_US)
        has_freed |= plan_let_all_go(self->plan, slot->number, slot->held + slot->stale,
                                     slot_live(slot), &stay);
    slot->revoke_due = slot->is_bare ? 0 : slot_live(slot) - (uint32_t) stay;
    if (slot->revoke_due > 0)
        slot_mark(self, slot);
    if (slot->revoke_due > 0 && coord_news_us(self) > 0)
        return slot->revoke_due;
    return has_freed || slot->revoke_due > 0;
}

/* Slots that have nothing, but for those of a crowd to which what was asked for already may come. */
static size_t
unfed(const struct coord *self)
{
    size_t idle = self->parked_count;
    if (coord_news_us(self) == 0)
        return idle;
    for (size_t i = 0; i < self->slot_count; i++) {
        size_t due = self->slots[i]->is_revoking ? slot_live(self->slots[i]) : 0;
        idle -= due < idle ? due : idle;
    }
    return idle;
}

/* Of a crowd, what looks late may have ended, and the news lie unread.  They are read first, if that does not
 * take too long. */
static bool
should_read_first(const struct coord *self, bool is_behind, dz_us now)
{
    return is_behind && now - self->rescued_at < BEHIND_TIMES * coord_news_us(self);
}

void
slots_rescue(struct coord *self, bool is_behind, dz_us now)
{
    bool is_any = self->phase == PHASE_SCHEDULING && self->parked_count > 0;
    if (is_any && should_read_first(self, is_behind, now)) {
        coord_wake(self, now + RESCUE_US);
        return;
    }
    self->rescued_at = now;
    if (!is_any)
        return;
    size_t idle = unfed(self);
    for (size_t i = 0; i < self->slot_count; i++) {
        struct slot *slot = self->slots[i];
        if (slot->is_up && (slot_live(slot) == 0 || is_late(self, left_us(self, slot, now))))
            plan_late(self->plan, slot->number);
        size_t fed = idle > 0 ? free_what_waits(self, slot, now) : 0;
        idle -= fed < idle ? fed : idle;
    }
    slots_unpark(self);
    coord_wake(self, now + RESCUE_US);
}
