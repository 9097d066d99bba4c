/* plan.c - free tests, and the parts of units that slots work on.
 *
 * The set of free tests is `is_taken`, a bit for each.  Parts (ranges of positions) only say where
 * to look: a slot's own, the units not begun, and `loose` ones that came back.  A test that is free
 * lies in at least one part; one that lies in two is given once, since taking tests the bit. */
#include "coord/core/plan.h"

#include <stdlib.h>
#include <string.h>

#include "coord/core/plan_inside.h"
#include "shared/base/mutant.h"

enum {
    STEAL_MIN_US = 2000,    /* a shorter rest is not worth setting fixtures up a second time */
    CLASS_SEARCH_MAX = 256, /* positions looked at for a class boundary near the cut */
};

struct plan *
plan_new(const struct coord_test *tests, size_t count, enum coord_placement placement,
         bool keep_order)
{
    struct plan *self = dz_alloc0(1, sizeof(*self));
    units_init(&self->units, tests, count, placement, keep_order);
    self->is_taken = dz_alloc0(count / 8 + 1, 1);
    self->free_count = count;
    self->free_us = self->units.sum[count];
    return self;
}

void
plan_destroy(struct plan **self_p)
{
    struct plan *self = dz_move(*self_p);
    if (!self)
        return;
    units_fini(&self->units);
    victims_fini(&self->victims);
    free(self->is_taken);
    free(self->loose);
    free(self->slots);
    free(self);
}

/* ------------------------------------------------------------------ the set of free tests */

static bool
take(struct plan *self, uint32_t test)
{
    if (bit_is_set(self->is_taken, test) && !DZ_BROKEN(TAKE_ONCE))
        return false;
    bit_set(self->is_taken, test);
    self->free_count--;
    self->free_us -= plan_known_us(self, test);
    return true;
}

static bool
give(struct plan *self, uint32_t test)
{
    if (!bit_is_set(self->is_taken, test))
        return false;
    bit_clear(self->is_taken, test);
    self->free_count++;
    self->free_us += plan_known_us(self, test);
    return true;
}

void
plan_skip(struct plan *self, uint32_t test)
{
    (void) take(self, test); /* false: it was taken before */
}

/* ------------------------------------------------------------------ slots and parts */

void
plan_open(struct plan *self, uint32_t slot)
{
    if (slot >= self->slot_count) {
        size_t count = self->slot_count * 2 > slot ? self->slot_count * 2 : slot + 1;
        self->slots = dz_realloc(self->slots, count, sizeof(*self->slots));
        memset(self->slots + self->slot_count, 0,
               (count - self->slot_count) * sizeof(*self->slots));
        self->slot_count = count;
        victims_reserve(&self->victims, count);
    }
    self->open_count += !self->slots[slot].is_open;
    self->slots[slot].is_open = true;
}

static void
loosen(struct plan *self, struct part part, uint32_t avoid)
{
    if (part.lo == part.hi)
        return;
    if (self->loose_count == self->loose_cap) {
        self->loose_cap = self->loose_cap ? self->loose_cap * 2 : 16;
        self->loose = dz_realloc(self->loose, self->loose_cap, sizeof(*self->loose));
    }
    self->loose[self->loose_count++] = (struct loose_part){ part, avoid };
}

static size_t
bound_in(const struct part *part)
{
    return part->is_tied ? part->hi - part->lo : 0;
}

static void
drop_part(struct plan *self, uint32_t slot)
{
    struct plan_slot *at = &self->slots[slot];
    self->bound_count -= bound_in(&at->part);
    loosen(self, at->part, PLAN_NO_SLOT);
    at->part.lo = at->part.hi;
    victims_drop(&self->victims, slot);
}

bool
plan_let_go(struct plan *self, uint32_t slot)
{
    const struct part *part = &self->slots[slot].part;
    if (part->is_tied || part->lo == part->hi)
        return false;
    drop_part(self, slot);
    return true;
}

bool
plan_is_tied(const struct plan *self, uint32_t test)
{
    return bit_is_set(self->units.tied, self->units.pos[test]);
}

void
plan_close(struct plan *self, uint32_t slot)
{
    if (slot >= self->slot_count || !self->slots[slot].is_open)
        return;
    drop_part(self, slot);
    self->slots[slot].is_open = false;
    self->open_count--;
}

static void
work_on(struct plan *self, uint32_t slot, struct part part)
{
    self->bound_count -= bound_in(&self->slots[slot].part);
    self->bound_count += bound_in(&part);
    self->slots[slot].part = part;
    if (part.is_tied)
        victims_drop(&self->victims, slot);
    else
        victims_put(&self->victims, slot, plan_part_us(self, &part));
}

/* ------------------------------------------------------------------ where a slot finds work */

void
plan_restrict(struct plan *self, plan_may_fn *may, const void *arg)
{
    self->may = may;
    self->may_arg = arg;
}

bool
plan_has_left(struct plan *self)
{
    bool has_left = self->has_left;
    self->has_left = false;
    return has_left;
}

static bool
may_run(const struct plan *self, uint32_t slot, uint32_t pos)
{
    return !self->may || self->may(self->may_arg, slot, self->units.seq[pos]);
}

/* The first position of a part that this slot may run; its end: there is none. */
static uint32_t
first_for(const struct plan *self, uint32_t slot, const struct part *part)
{
    uint32_t pos = part->lo;
    while (self->may && pos < part->hi &&
           !(plan_is_free(self, self->units.seq[pos]) && may_run(self, slot, pos)))
        pos++;
    return pos;
}

/* Is there another slot that could run it? */
static bool
has_other(const struct plan *self, uint32_t slot, uint32_t pos)
{
    if (!self->may)
        return self->open_count > 1;
    for (uint32_t s = 0; s < self->slot_count; s++)
        if (s != slot && self->slots[s].is_open && may_run(self, s, pos))
            return true;
    return false;
}

static bool
find_loose(struct plan *self, uint32_t slot)
{
    for (size_t i = self->loose_count; i-- > 0;) {
        struct loose_part found = self->loose[i];
        uint32_t from = first_for(self, slot, &found.part);
        if (from == found.part.hi || (found.avoid == slot && has_other(self, slot, from)))
            continue;
        self->loose[i] = self->loose[--self->loose_count];
        loosen(self, (struct part){ found.part.lo, from, found.part.is_tied }, found.avoid);
        found.part.lo = from;
        work_on(self, slot, found.part);
        return true;
    }
    return false;
}

static bool
find_unit(struct plan *self, uint32_t slot)
{
    if (self->next_unit == self->units.unit_count)
        return false;
    const struct unit *unit = &self->units.list[self->next_unit++];
    work_on(self, slot, (struct part){ unit->lo, unit->hi, unit->is_tied });
    return true;
}

/* The position where half of the expected time lies behind. */
static uint32_t
middle_of(const struct plan *self, const struct part *part)
{
    if (self->units.is_blind)
        return part->lo + (part->hi - part->lo) / 2;
    const uint64_t *sum = self->units.sum;
    uint64_t half = sum[part->lo] + (sum[part->hi] - sum[part->lo]) / 2;
    uint32_t lo = part->lo;
    uint32_t hi = part->hi - 1; /* so the thief gets at least one test */
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (sum[mid] < half)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* A class that begins within a quarter of the part around `cut`, or `cut` itself. */
static uint32_t
at_class(const struct plan *self, const struct part *part, uint32_t cut)
{
    uint32_t reach = (part->hi - part->lo) / 4;
    if (reach > CLASS_SEARCH_MAX)
        reach = CLASS_SEARCH_MAX;
    for (uint32_t off = 0; off <= reach; off++) {
        if (cut + off < part->hi && bit_is_set(self->units.opens, cut + off))
            return cut + off;
        if (cut >= part->lo + off && cut - off > part->lo &&
            bit_is_set(self->units.opens, cut - off))
            return cut - off;
    }
    return cut;
}

static bool
steal(struct plan *self, uint32_t thief)
{
    for (;;) {
        const struct victim *top = victims_top(&self->victims);
        if (!top || top->left_us < STEAL_MIN_US)
            return false;
        uint32_t slot = top->slot;
        struct part *rest = &self->slots[slot].part;
        uint64_t left_us = plan_part_us(self, rest);
        if (rest->lo == rest->hi || slot == thief) {
            victims_drop(&self->victims, slot);
            continue;
        }
        if (left_us < top->left_us) { /* an old figure: sort it in again */
            victims_put(&self->victims, slot, left_us);
            continue;
        }
        uint32_t cut = at_class(self, rest, middle_of(self, rest));
        struct part taken = { cut, rest->hi, false };
        rest->hi = cut;
        victims_put(&self->victims, slot, plan_part_us(self, rest));
        work_on(self, thief, taken);
        return true;
    }
}

/* It lies in a part of a slot that cannot run it: for somebody else. */
static void
leave(struct plan *self, uint32_t pos)
{
    struct loose_part *last = self->loose_count ? &self->loose[self->loose_count - 1] : NULL;
    bool is_tied = bit_is_set(self->units.tied, pos);
    self->has_left = true;
    if (last && last->avoid == PLAN_NO_SLOT && last->part.is_tied == is_tied &&
        last->part.hi == pos)
        last->part.hi++;
    else
        loosen(self, (struct part){ pos, pos + 1, is_tied }, PLAN_NO_SLOT);
}

static bool
find_work(struct plan *self, uint32_t slot)
{
    return find_loose(self, slot) || find_unit(self, slot) || steal(self, slot);
}

static bool
take_next(struct plan *self, uint32_t slot, uint32_t *test_out)
{
    do {
        struct part *part = &self->slots[slot].part;
        while (part->lo < part->hi) {
            uint32_t pos = part->lo++;
            *test_out = self->units.seq[pos];
            self->bound_count -= part->is_tied;
            if (plan_is_free(self, *test_out) && !may_run(self, slot, pos))
                leave(self, pos);
            else if (take(self, *test_out))
                return true;
        }
    } while (find_work(self, slot));
    return false;
}

size_t
plan_take(struct plan *self, uint32_t slot, dz_us budget_us, size_t max, uint32_t *tests_out)
{
    dz_assert(slot < self->slot_count && self->slots[slot].is_open);
    size_t count = 0;
    dz_us cost = 0;
    while (count < max && (count == 0 || cost < budget_us) && self->free_count > 0) {
        if (!take_next(self, slot, &tests_out[count]))
            break;
        cost += plan_cost_us(self, slot, tests_out[count]);
        count++;
    }
    return count;
}

bool
plan_may_run(const struct plan *self, uint32_t slot, uint32_t test)
{
    return !self->may || self->may(self->may_arg, slot, test);
}

/* Does another slot work on the tied unit that it belongs to? */
static bool
is_bound(const struct plan *self, uint32_t slot, uint32_t pos)
{
    for (uint32_t s = 0; s < self->slot_count && bit_is_set(self->units.tied, pos); s++) {
        const struct part *part = &self->slots[s].part;
        if (s != slot && part->is_tied && part->lo <= pos && pos < part->hi)
            return true;
    }
    return false;
}

bool
plan_has_for(const struct plan *self, uint32_t slot)
{
    if (self->free_count <= self->bound_count || !self->may)
        return self->free_count > self->bound_count;
    for (uint32_t test = 0; test < self->units.count; test++)
        if (plan_is_free(self, test) && plan_may_run(self, slot, test) &&
            !is_bound(self, slot, self->units.pos[test]))
            return true;
    return false;
}

/* ------------------------------------------------------------------ what comes back */

static bool
adjoins(const struct plan *self, uint32_t slot, uint32_t pos)
{
    const struct part *part = &self->slots[slot].part;
    return part->hi > 0 && pos + 1 == part->lo &&
           part->is_tied == bit_is_set(self->units.tied, pos);
}

static void
return_loose(struct plan *self, uint32_t pos)
{
    bool is_tied = bit_is_set(self->units.tied, pos);
    struct loose_part *last = self->loose_count ? &self->loose[self->loose_count - 1] : NULL;
    if (last && last->avoid == PLAN_NO_SLOT && last->part.is_tied == is_tied &&
        last->part.lo == pos + 1)
        last->part.lo = pos;
    else
        loosen(self, (struct part){ pos, pos + 1, is_tied }, PLAN_NO_SLOT);
}

void
plan_return(struct plan *self, uint32_t slot, const uint32_t *tests, size_t count, bool is_kept)
{
    for (size_t i = count; i-- > 0;) { /* the last first: each then adjoins the one before */
        uint32_t pos = self->units.pos[tests[i]];
        if (!give(self, tests[i]))
            continue;
        if (is_kept && slot < self->slot_count && self->slots[slot].is_open &&
            adjoins(self, slot, pos)) {
            struct part part = self->slots[slot].part;
            part.lo = pos;
            work_on(self, slot, part);
        } else {
            return_loose(self, pos);
        }
    }
}

void
plan_give(struct plan *self, uint32_t test)
{
    if (give(self, test))
        return_loose(self, self->units.pos[test]);
}

void
plan_return_avoiding(struct plan *self, uint32_t test, uint32_t avoid)
{
    uint32_t pos = self->units.pos[test];
    if (give(self, test))
        loosen(self, (struct part){ pos, pos + 1, bit_is_set(self->units.tied, pos) }, avoid);
}
