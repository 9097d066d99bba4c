/* plan_find.c - where a slot that has nothing finds work.
 *
 * What a node held that is gone is first: a slot leaves its own part for it, but no class.
 * What came back is first: tests whose worker died, tied units, parts that were let go.  Then units that
 * nobody began.  Then the rest of another slot's unit is cut so that both end together, if what the
 * thief gets is worth more than what it must set up again.  A class is cut only if both ends are worth
 * setting it up; and a slot comes back to a class that it left only when there is nothing else. */
#include "coord/core/plan_inside.h"

enum {
    STEAL_MIN_US = 2000,      /* a shorter rest is not worth a message */
    SPLIT_MIN_US = 50 * 1000, /* a shorter rest of a class is neither cut off nor come back to */
    VISITS_MAX = 256,         /* of the latest, looked at */
    SLOW_SEARCH_MAX = 128,    /* units looked at for one that a slow slot should begin */
};

/* ------------------------------------------------------------------ classes and who ran them */

static bool
has_visited(const struct plan *self, uint32_t slot, uint32_t block)
{
    if (self->units.blocks[block].visitor == slot)
        return true;
    size_t count = self->visit_count < VISITS_MAX ? self->visit_count : VISITS_MAX;
    for (size_t i = self->visit_count - count; i < self->visit_count; i++)
        if (self->visits[i].block == block && self->visits[i].slot == slot)
            return true;
    return false;
}

void
plan_visit(struct plan *self, uint32_t slot, uint32_t block)
{
    struct block *it = &self->units.blocks[block];
    self->slots[slot].block = block;
    if (!it->is_class || has_visited(self, slot, block))
        return;
    if (it->visitor == UNIT_NONE) {
        it->visitor = slot;
        return;
    }
    GROW(self->visits, self->visit_count, self->visit_cap);
    self->visits[self->visit_count++] = (struct visit){ block, slot };
}

dz_us
plan_split_us(const struct plan *self, uint32_t slot)
{
    dz_us setup_us = plan_setup_us(self, slot);
    return setup_us > SPLIT_MIN_US ? setup_us : SPLIT_MIN_US;
}

/* Would a slot that begins here come back to a class that it has left? */
static bool
comes_back(const struct plan *self, uint32_t slot, uint32_t pos)
{
    uint32_t block = self->units.block_of[pos];
    return self->units.blocks[block].is_class && block != self->slots[slot].block &&
           has_visited(self, slot, block);
}

/* Is the next test of this slot's part of the class that it is in? */
static bool
is_inside_class(const struct plan *self, uint32_t slot)
{
    const struct plan_slot *at = &self->slots[slot];
    uint32_t next = at->tied != UNIT_NONE ? self->units.list[at->tied].next : at->part.lo;
    uint32_t end = at->tied != UNIT_NONE ? self->units.list[at->tied].hi : at->part.hi;
    return next < end && self->units.block_of[next] == at->block &&
           self->units.blocks[at->block].is_class;
}

/* ------------------------------------------------------------------ what came back */

bool
plan_take_struck(struct plan *self, uint32_t slot, uint32_t *test_out)
{
    if (self->struck_count == 0 || is_inside_class(self, slot))
        return false;
    for (size_t i = 0; i < self->struck_count; i++) {
        struct struck it = self->struck[i];
        uint32_t pos = self->units.pos[it.test];
        bool is_gone = !plan_is_free(self, it.test);
        if (!is_gone && (!plan_pos_may(self, slot, pos) ||
                         (it.avoid == slot && plan_has_other(self, slot, pos))))
            continue;
        self->struck[i--] = self->struck[--self->struck_count];
        if (is_gone)
            continue;
        *test_out = it.test;
        return true;
    }
    return false;
}

/* The first position of a part that this slot may run; its end: there is none. */
static uint32_t
first_for(const struct plan *self, uint32_t slot, uint32_t lo, uint32_t hi)
{
    uint32_t pos = lo;
    while (pos < hi && !(plan_is_free(self, self->units.seq[pos]) && plan_pos_may(self, slot, pos)))
        pos++;
    return pos;
}

static bool
find_ready(struct plan *self, uint32_t slot)
{
    for (size_t i = self->ready_count; i-- > 0;) {
        uint32_t u = self->ready[i];
        struct unit *unit = &self->units.list[u];
        bool is_gone = unit->free == 0;
        if (!is_gone) {
            uint32_t from = first_for(self, slot, unit->next, unit->hi);
            bool is_others = unit->owner != UNIT_NONE && unit->owner != slot;
            if (from == unit->hi && unit->owner == slot && !unit->is_leaving) {
                plan_unbind(self, u); /* what is left of it is for others */
                self->has_left = true;
            }
            if (from == unit->hi || is_others ||
                (unit->avoid == slot && plan_has_other(self, slot, from)))
                continue;
        }
        unit->is_ready = false;
        self->ready[i] = self->ready[--self->ready_count];
        if (is_gone)
            continue;
        plan_bind(self, u, slot);
        return true;
    }
    return false;
}

static void
take_loose(struct plan *self, uint32_t slot, size_t at, uint32_t from)
{
    struct loose_part found = self->loose[at];
    self->loose[at] = self->loose[--self->loose_count];
    plan_loosen(self, (struct part){ found.part.lo, from }, found.avoid);
    plan_work_on(self, slot, (struct part){ from, found.part.hi });
}

/* `other`: a place in the list that stays what it is. */
static void
forget_loose(struct plan *self, size_t at, size_t *other)
{
    self->loose_count--;
    if (*other == self->loose_count)
        *other = at;
    self->loose[at] = self->loose[self->loose_count];
}

/* is_last: there is nothing else for it. */
static bool
find_loose(struct plan *self, uint32_t slot, bool is_last)
{
    size_t best = SIZE_MAX;
    uint32_t best_from = 0;
    for (size_t i = self->loose_count; i-- > 0;) {
        const struct loose_part *it = &self->loose[i];
        uint32_t from = first_for(self, slot, it->part.lo, it->part.hi);
        if (from == it->part.hi) {
            if (!self->may) /* all of it is taken */
                forget_loose(self, i, &best);
            continue;
        }
        if (it->avoid == slot && plan_has_other(self, slot, from))
            continue;
        bool goes_on = self->units.block_of[from] == self->slots[slot].block;
        if (!goes_on && !is_last && comes_back(self, slot, from))
            continue;
        if (goes_on || best == SIZE_MAX) {
            best = i;
            best_from = from;
        }
        if (goes_on)
            break;
    }
    if (best == SIZE_MAX)
        return false;
    take_loose(self, slot, best, best_from);
    return true;
}

void
plan_turn_to_first(struct plan *self, uint32_t slot)
{
    if (!self->has_first || self->slots[slot].tied != UNIT_NONE || is_inside_class(self, slot))
        return;
    self->has_first = false;
    for (size_t i = 0; i < self->loose_count; i++) {
        const struct loose_part *it = &self->loose[i];
        if (!it->is_first)
            continue;
        uint32_t from = first_for(self, slot, it->part.lo, it->part.hi);
        self->has_first = true;
        if (from == it->part.hi)
            continue; /* not for this slot */
        plan_drop_part(self, slot, self->slots[slot].part.lo);
        take_loose(self, slot, i, from);
        return;
    }
}

/* ------------------------------------------------------------------ units that nobody began */

/* Would this slot, slower than others, end after all of them if it began this unit? */
static bool
is_too_long(const struct plan *self, uint32_t slot, const struct unit *unit)
{
    return (double) unit->longest * plan_pace(self, slot) > (double) plan_end_us(self);
}

/* Will a faster slot, busy now, have ended this unit's longest test before this one could? */
static bool
is_better_elsewhere(const struct plan *self, uint32_t slot, const struct unit *unit)
{
    double here = (double) unit->longest * plan_pace(self, slot);
    for (uint32_t s = 0; s < self->slot_count; s++) {
        const struct plan_slot *at = &self->slots[s];
        if (s == slot || !at->is_open || at->is_late || at->out == 0 ||
            !plan_pos_may(self, s, unit->lo))
            continue;
        uint64_t before = at->out + plan_part_weight(self, &at->part);
        if ((double) (before + unit->longest) * plan_pace(self, s) < here)
            return true;
    }
    return false;
}

static void
begin_unit(struct plan *self, uint32_t slot, uint32_t u)
{
    struct unit *unit = &self->units.list[u];
    unit->is_begun = true;
    if (unit->is_tied)
        plan_bind(self, u, slot);
    else
        plan_work_on(self, slot, (struct part){ unit->lo, unit->hi });
}

static bool
find_unit(struct plan *self, uint32_t slot)
{
    struct units *units = &self->units;
    while (self->next_unit < units->unit_count &&
           units->list[units->order[self->next_unit]].is_begun)
        self->next_unit++;
    if (self->next_unit == units->unit_count)
        return false;
    size_t at = self->next_unit;
    if (!units->is_blind && plan_is_slow(self, slot)) {
        size_t end = units->unit_count;
        if (end - at > SLOW_SEARCH_MAX)
            end = at + SLOW_SEARCH_MAX;
        while (at < end && (units->list[units->order[at]].is_begun ||
                            is_too_long(self, slot, &units->list[units->order[at]])))
            at++;
        if (at == end) {
            at = self->next_unit;
            if (is_better_elsewhere(self, slot, &units->list[units->order[at]]))
                return false;
        }
    }
    begin_unit(self, slot, units->order[at]);
    return true;
}

/* ------------------------------------------------------------------ stealing */

static double
time_between(const struct plan *self, uint32_t lo, uint32_t hi, double pace)
{
    return lo < hi ? (double) (self->units.sum[hi] - self->units.sum[lo]) * pace : 0;
}

/* Where the victim and the thief, who sets up again, would end at the same time. */
static uint32_t
balance(const struct plan *self, uint32_t victim, uint32_t thief)
{
    const struct plan_slot *from = &self->slots[victim];
    double slow = plan_pace(self, victim);
    double fast = plan_pace(self, thief);
    double all = (double) plan_part_weight(self, &from->part);
    double setup = (double) plan_setup_us(self, victim);
    double keeps = (all * fast + setup - (double) from->out * slow) / (slow + fast);
    uint64_t until = self->units.sum[from->part.lo] + (uint64_t) (keeps > 0 ? keeps : 0);
    uint32_t lo = from->part.lo;
    uint32_t hi = from->part.hi - 1; /* so the thief gets at least one test */
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (self->units.sum[mid] < until)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* Where the part may be cut, near `ideal`; part.hi: nowhere. */
static uint32_t
cut_at(const struct plan *self, uint32_t victim, uint32_t thief, uint32_t ideal)
{
    const struct part part = self->slots[victim].part;
    const struct block *block = units_block(&self->units, ideal);
    const uint64_t *sum = self->units.sum;
    uint32_t before = block->lo >= part.lo ? block->lo : part.hi;
    uint32_t after = block->hi < part.hi ? block->hi : part.hi;
    uint32_t edge = after;
    if (before < part.hi &&
        (after == part.hi || sum[ideal] - sum[before] <= sum[after] - sum[ideal]))
        edge = before;
    if (ideal == edge)
        return edge;
    uint32_t class_lo = block->lo > part.lo ? block->lo : part.lo;
    dz_us least = plan_split_us(self, victim);
    bool can_split =
        !block->is_class ||
        (!comes_back(self, thief, ideal) &&
         time_between(self, ideal, after, plan_pace(self, thief)) >= (double) least &&
         time_between(self, class_lo, ideal, plan_pace(self, victim)) >= (double) least);
    if (!can_split)
        return edge;
    uint64_t off = edge < ideal ? sum[ideal] - sum[edge] : sum[edge] - sum[ideal];
    bool is_near = edge < part.hi && off <= plan_part_weight(self, &part) / 4;
    return is_near ? edge : ideal;
}

/* False: nothing of this victim's part is worth stealing. */
static bool
steal_from(struct plan *self, uint32_t victim, uint32_t thief)
{
    struct part *rest = &self->slots[victim].part;
    uint32_t cut = cut_at(self, victim, thief, balance(self, victim, thief));
    if (cut == rest->lo && self->slots[victim].out == 0)
        return false; /* it would have nothing */
    double worth = time_between(self, cut, rest->hi, plan_pace(self, thief));
    dz_us setup_us = plan_setup_us(self, victim);
    if (worth <= (double) (setup_us > STEAL_MIN_US ? setup_us : STEAL_MIN_US))
        return false;
    struct part taken = { cut, rest->hi };
    rest->hi = cut;
    if (rest->lo == rest->hi)
        victims_drop(&self->victims, victim);
    else
        victims_put(&self->victims, victim, plan_left_us(self, victim));
    plan_work_on(self, thief, taken);
    return true;
}

static bool
steal(struct plan *self, uint32_t thief)
{
    for (;;) {
        const struct victim *top = victims_top(&self->victims);
        if (!top)
            return false;
        uint32_t slot = top->slot;
        const struct part *rest = &self->slots[slot].part;
        uint64_t left_us = plan_left_us(self, slot);
        if (rest->lo == rest->hi || slot == thief)
            victims_drop(&self->victims, slot);
        else if (left_us + left_us / 8 < top->left_us) /* an old figure: sort it in again */
            victims_put(&self->victims, slot, left_us);
        else if (steal_from(self, slot, thief))
            return true;
        else
            victims_drop(&self->victims, slot); /* until it takes the next of it */
    }
}

bool
plan_find(struct plan *self, uint32_t slot)
{
    return find_ready(self, slot) || find_loose(self, slot, false) || find_unit(self, slot) ||
           steal(self, slot) || find_loose(self, slot, true);
}
