/* plan.c - free tests, and the parts of units that slots work on.
 *
 * The set of free tests is `is_taken`, a bit for each.  Parts (ranges of positions) only say where
 * to look: a slot's own, the units not begun, and `loose` ones that came back.  A test that is free
 * lies in at least one of them; one that lies in two is given once, since taking tests the bit.
 * Tests of a tied unit that was begun are found by way of the unit: it is the `tied` one of its owner,
 * or `ready`, or has none that is free.  An owner that cannot run the rest is `leaving` as long as it
 * holds tests of it: two slots would run what is tied at once. */
#include "coord/core/plan.h"

#include <stdlib.h>
#include <string.h>

#include "coord/core/plan_inside.h"
#include "shared/base/mutant.h"

struct plan *
plan_new(const struct coord_test *tests, size_t count, enum coord_placement placement,
         bool keep_order)
{
    struct plan *self = dz_alloc0(1, sizeof(*self));
    units_init(&self->units, tests, count, placement, keep_order);
    self->is_taken = dz_alloc0(count / 8 + 1, 1);
    self->free_count = count;
    self->free_weight = self->units.sum[count];
    plan_cost_init(self);
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
    void *const owned[] = { self->is_taken, self->ready, self->loose, self->struck,
                            self->visits,   self->slots, self->nodes };
    for (size_t i = 0; i < DZ_LEN(owned); i++)
        free(owned[i]);
    free(self);
}

/* ------------------------------------------------------------------ the set of free tests */

static void
disown(struct unit *unit)
{
    unit->owner = UNIT_NONE;
    unit->is_leaving = false;
    unit->held = 0;
}

/* A tied unit has one free test more or less. */
static void
count_tied(struct plan *self, uint32_t test, bool is_more)
{
    struct unit *unit = units_unit(&self->units, self->units.pos[test]);
    if (!unit->is_tied)
        return;
    unit->free += is_more ? 1 : UINT32_MAX; /* modulo 2^32, and so on */
    if (unit->owner != UNIT_NONE && !self->slots[unit->owner].is_open)
        disown(unit); /* it had run all of it, and is gone */
    if (unit->owner == UNIT_NONE)
        return;
    self->bound_count += is_more ? 1 : SIZE_MAX;
    if (!unit->is_leaving)
        self->slots[unit->owner].own_free += is_more ? 1 : SIZE_MAX;
}

static bool
take(struct plan *self, uint32_t test)
{
    if (bit_is_set(self->is_taken, test)) {
        if (!DZ_BROKEN(TAKE_ONCE))
            return false;
        return true;
    }
    bit_set(self->is_taken, test);
    self->free_count--;
    self->free_weight -= plan_weight(self, test);
    count_tied(self, test, false);
    return true;
}

bool
plan_set_free(struct plan *self, uint32_t test)
{
    if (!bit_is_set(self->is_taken, test))
        return false;
    bit_clear(self->is_taken, test);
    self->free_count++;
    self->free_weight += plan_weight(self, test);
    count_tied(self, test, true);
    return true;
}

void
plan_skip(struct plan *self, uint32_t test)
{
    (void) take(self, test); /* false: it was taken before */
}

/* ------------------------------------------------------------------ slots and parts */

static void
reserve(struct plan *self, uint32_t slot, uint32_t node)
{
    if (slot >= self->slot_count) {
        size_t count = self->slot_count * 2 > slot ? self->slot_count * 2 : slot + 1;
        self->slots = dz_realloc(self->slots, count, sizeof(*self->slots));
        for (size_t s = self->slot_count; s < count; s++)
            self->slots[s] = (struct plan_slot){ .tied = UNIT_NONE,
                                                 .block = UNIT_NONE,
                                                 .setup_block = UNIT_NONE };
        self->slot_count = count;
        victims_reserve(&self->victims, count);
    }
    if (node >= self->node_count) {
        size_t count = self->node_count * 2 > node ? self->node_count * 2 : node + 1;
        self->nodes = dz_realloc(self->nodes, count, sizeof(*self->nodes));
        memset(self->nodes + self->node_count, 0,
               (count - self->node_count) * sizeof(*self->nodes));
        self->node_count = count;
    }
}

void
plan_open(struct plan *self, uint32_t slot, uint32_t node)
{
    reserve(self, slot, node);
    struct plan_slot *at = &self->slots[slot];
    self->open_count += !at->is_open;
    at->is_open = true;
    at->node = node;
}

void
plan_loosen(struct plan *self, struct part part, uint32_t avoid)
{
    if (part.lo == part.hi)
        return;
    GROW(self->loose, self->loose_count, self->loose_cap);
    self->loose[self->loose_count++] = (struct loose_part){ part, avoid, false };
}

void
plan_bind(struct plan *self, uint32_t u, uint32_t slot)
{
    struct unit *unit = &self->units.list[u];
    if (unit->owner == UNIT_NONE)
        self->bound_count += unit->free;
    if (unit->owner == UNIT_NONE || unit->is_leaving)
        self->slots[slot].own_free += unit->free;
    unit->is_leaving = false;
    unit->owner = slot;
    unit->avoid = UNIT_NONE;
    self->slots[slot].tied = u;
}

void
plan_make_ready(struct plan *self, uint32_t u)
{
    struct unit *unit = &self->units.list[u];
    bool is_worked_on = unit->owner != UNIT_NONE && self->slots[unit->owner].tied == u;
    if (unit->free == 0 || unit->is_ready || !unit->is_begun || is_worked_on)
        return;
    unit->is_ready = true;
    GROW(self->ready, self->ready_count, self->ready_cap);
    self->ready[self->ready_count++] = u;
}

void
plan_held(struct plan *self, uint32_t slot, uint32_t test)
{
    uint32_t u = units_block(&self->units, self->units.pos[test])->unit;
    struct unit *unit = &self->units.list[u];
    plan_skip(self, test);
    if (!unit->is_tied || slot >= self->slot_count || !self->slots[slot].is_open)
        return;
    if (unit->owner == UNIT_NONE) {
        uint32_t before = self->slots[slot].tied;
        unit->is_begun = true;
        plan_bind(self, u, slot);
        if (before != UNIT_NONE)
            plan_make_ready(self, before);
    }
    unit->held += unit->owner == slot;
}

bool
plan_drop(struct plan *self, uint32_t slot, uint32_t test)
{
    uint32_t u = units_block(&self->units, self->units.pos[test])->unit;
    struct unit *unit = &self->units.list[u];
    if (!unit->is_tied || unit->owner != slot || unit->held == 0)
        return false;
    unit->held--;
    if (!unit->is_leaving || unit->held > 0)
        return false;
    plan_unbind(self, u);
    return true;
}

void
plan_unbind(struct plan *self, uint32_t u)
{
    struct unit *unit = &self->units.list[u];
    if (unit->owner == UNIT_NONE)
        return;
    struct plan_slot *at = &self->slots[unit->owner];
    if (!unit->is_leaving)
        at->own_free -= unit->free;
    if (at->tied == u)
        at->tied = UNIT_NONE;
    unit->is_leaving = at->is_open && unit->held > 0;
    if (!unit->is_leaving) {
        self->bound_count -= unit->free;
        disown(unit);
    }
    plan_make_ready(self, u);
}

void
plan_drop_part(struct plan *self, uint32_t slot, uint32_t from)
{
    struct part *part = &self->slots[slot].part;
    plan_loosen(self, (struct part){ from, part->hi }, PLAN_NO_SLOT);
    part->hi = from;
    if (part->lo == part->hi)
        victims_drop(&self->victims, slot);
}

void
plan_close(struct plan *self, uint32_t slot)
{
    if (slot >= self->slot_count || !self->slots[slot].is_open)
        return;
    struct plan_slot *at = &self->slots[slot];
    plan_drop_part(self, slot, at->part.lo);
    at->is_open = at->has_begun = false;
    if (at->tied != UNIT_NONE)
        plan_unbind(self, at->tied);
    at->tied = UNIT_NONE;
    for (size_t i = 0; i < self->ready_count; i++)
        if (self->units.list[self->ready[i]].owner == slot)
            plan_unbind(self, self->ready[i]);
    at->block = at->setup_block = UNIT_NONE;
    at->out = 0;
    self->open_count--;
}

void
plan_work_on(struct plan *self, uint32_t slot, struct part part)
{
    self->slots[slot].part = part;
    victims_put(&self->victims, slot, plan_left_us(self, slot));
}

/* ------------------------------------------------------------------ who may run what */

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

bool
plan_may_run(const struct plan *self, uint32_t slot, uint32_t test)
{
    return !self->may || self->may(self->may_arg, slot, test);
}

bool
plan_pos_may(const struct plan *self, uint32_t slot, uint32_t pos)
{
    return plan_may_run(self, slot, self->units.seq[pos]);
}

bool
plan_has_other(const struct plan *self, uint32_t slot, uint32_t pos)
{
    if (!self->may)
        return self->open_count > 1;
    for (uint32_t s = 0; s < self->slot_count; s++)
        if (s != slot && self->slots[s].is_open && plan_pos_may(self, s, pos))
            return true;
    return false;
}

bool
plan_is_tied(const struct plan *self, uint32_t test)
{
    return units_is_tied(&self->units, test);
}

bool
plan_is_free(const struct plan *self, uint32_t test)
{
    return !bit_is_set(self->is_taken, test);
}

size_t
plan_free(const struct plan *self)
{
    return self->free_count;
}

/* Is it of a tied unit that another slot owns, or that this one leaves? */
static bool
is_bound(const struct plan *self, uint32_t slot, uint32_t test)
{
    const struct block *block = units_block(&self->units, self->units.pos[test]);
    const struct unit *unit = &self->units.list[block->unit];
    return unit->owner != UNIT_NONE && (unit->owner != slot || unit->is_leaving);
}

bool
plan_has_for(const struct plan *self, uint32_t slot)
{
    size_t others = self->bound_count - (size_t) self->slots[slot].own_free;
    if (self->free_count <= others || !self->may)
        return self->free_count > others;
    for (uint32_t test = 0; test < self->units.count; test++)
        if (plan_is_free(self, test) && plan_may_run(self, slot, test) &&
            !is_bound(self, slot, test))
            return true;
    return false;
}

/* ------------------------------------------------------------------ taking */

/* It lies in a part of a slot that cannot run it: for somebody else. */
static void
leave(struct plan *self, uint32_t pos)
{
    struct loose_part *last = self->loose_count ? &self->loose[self->loose_count - 1] : NULL;
    self->has_left = true;
    if (last && last->avoid == PLAN_NO_SLOT && last->part.hi == pos)
        last->part.hi++;
    else
        plan_loosen(self, (struct part){ pos, pos + 1 }, PLAN_NO_SLOT);
}

static bool
take_of_part(struct plan *self, uint32_t slot, uint32_t *test_out)
{
    struct part *part = &self->slots[slot].part;
    while (part->lo < part->hi) {
        uint32_t pos = part->lo++;
        *test_out = self->units.seq[pos];
        if (plan_is_free(self, *test_out) && !plan_pos_may(self, slot, pos))
            leave(self, pos);
        else if (take(self, *test_out))
            return true;
    }
    return false;
}

static bool
take_of_tied(struct plan *self, uint32_t slot, uint32_t *test_out)
{
    uint32_t u = self->slots[slot].tied;
    if (u == UNIT_NONE)
        return false;
    struct unit *unit = &self->units.list[u];
    uint32_t left = unit->hi; /* the first that it may not run */
    for (uint32_t pos = unit->next; pos < unit->hi; pos++) {
        *test_out = self->units.seq[pos];
        if (!plan_is_free(self, *test_out) && !DZ_BROKEN(TAKE_ONCE))
            continue;
        if (!plan_pos_may(self, slot, pos)) {
            left = left < pos ? left : pos;
            continue;
        }
        unit->next = left < pos + 1 ? left : pos + 1;
        return take(self, *test_out);
    }
    unit->next = left;
    self->slots[slot].tied = UNIT_NONE;
    if (unit->free > 0) { /* somebody else can */
        self->has_left = true;
        plan_unbind(self, u);
    }
    return false;
}

static bool
take_next(struct plan *self, uint32_t slot, uint32_t *test_out)
{
    do {
        if (take_of_tied(self, slot, test_out) || take_of_part(self, slot, test_out))
            return true;
    } while (plan_find(self, slot));
    return false;
}

static dz_us
note_taken(struct plan *self, uint32_t slot, uint32_t test)
{
    uint32_t block = self->units.block_of[self->units.pos[test]];
    struct plan_slot *at = &self->slots[slot];
    if (at->block != block)
        plan_visit(self, slot, block);
    struct unit *unit = units_unit(&self->units, self->units.pos[test]);
    unit->held += unit->is_tied && unit->owner == slot;
    at->out += plan_weight(self, test);
    return plan_cost_us(self, slot, test);
}

size_t
plan_take(struct plan *self, uint32_t slot, dz_us budget_us, size_t max, uint32_t *tests_out)
{
    dz_assert(slot < self->slot_count && self->slots[slot].is_open);
    size_t count = 0;
    dz_us cost = 0;
    self->slots[slot].is_late = false;
    if (max > 0 && self->free_count > 0 && plan_take_struck(self, slot, tests_out) &&
        take(self, tests_out[0])) {
        (void) note_taken(self, slot, tests_out[0]);
        return 1;
    }
    if (max > 0)
        plan_turn_to_first(self, slot);
    while (count < max && (count == 0 || cost < budget_us) && self->free_count > 0) {
        if (!take_next(self, slot, &tests_out[count]))
            break;
        cost += note_taken(self, slot, tests_out[count]);
        count++;
    }
    const struct part *part = &self->slots[slot].part;
    if (part->lo < part->hi && !victims_has(&self->victims, slot))
        victims_put(&self->victims, slot, plan_left_us(self, slot));
    return count;
}
