/* plan_back.c - what comes back to the plan: given back, struck, let go. */
#include "coord/core/plan_inside.h"

/* ------------------------------------------------------------------ what comes back */

static void
return_loose(struct plan *self, uint32_t pos, bool is_first)
{
    struct loose_part *last = self->loose_count ? &self->loose[self->loose_count - 1] : NULL;
    if (last && last->avoid == PLAN_NO_SLOT && last->part.lo == pos + 1 &&
        last->is_first == is_first) {
        last->part.lo = pos;
        return;
    }
    plan_loosen(self, (struct part){ pos, pos + 1 }, PLAN_NO_SLOT);
    self->loose[self->loose_count - 1].is_first = is_first;
    self->has_first |= is_first;
}

/* False: it is of no tied unit. */
static bool
return_tied(struct plan *self, uint32_t pos)
{
    uint32_t u = units_block(&self->units, pos)->unit;
    struct unit *unit = &self->units.list[u];
    if (!unit->is_tied)
        return false;
    unit->next = pos < unit->next ? pos : unit->next;
    if (unit->owner != UNIT_NONE && !plan_pos_may(self, unit->owner, pos))
        plan_unbind(self, u);
    plan_make_ready(self, u);
    return true;
}

static bool
adjoins(const struct plan *self, uint32_t slot, uint32_t pos)
{
    const struct part *part = &self->slots[slot].part;
    return slot < self->slot_count && self->slots[slot].is_open && part->hi > 0 &&
           pos + 1 == part->lo;
}

void
plan_return(struct plan *self, uint32_t slot, const uint32_t *tests, size_t count,
            enum plan_back how)
{
    for (size_t i = count; i-- > 0;) { /* the last first: each then adjoins the one before */
        uint32_t pos = self->units.pos[tests[i]];
        uint64_t weight = plan_weight(self, tests[i]);
        if (!plan_set_free(self, tests[i]))
            continue;
        if (slot < self->slot_count)
            self->slots[slot].out -=
                weight < self->slots[slot].out ? weight : self->slots[slot].out;
        if (return_tied(self, pos))
            continue;
        if (how == PLAN_KEPT && adjoins(self, slot, pos))
            plan_work_on(self, slot, (struct part){ pos, self->slots[slot].part.hi });
        else
            return_loose(self, pos, how == PLAN_FIRST);
    }
}

void
plan_give(struct plan *self, uint32_t test)
{
    uint32_t pos = self->units.pos[test];
    if (plan_set_free(self, test) && !return_tied(self, pos))
        return_loose(self, pos, false);
}

void
plan_return_struck(struct plan *self, uint32_t test, uint32_t avoid)
{
    if (!plan_set_free(self, test) || return_tied(self, self->units.pos[test]))
        return;
    GROW(self->struck, self->struck_count, self->struck_cap);
    self->struck[self->struck_count++] = (struct struck){ test, avoid };
}

void
plan_return_absent(struct plan *self, uint32_t test, uint32_t avoid)
{
    uint32_t pos = self->units.pos[test];
    uint32_t u = units_block(&self->units, pos)->unit;
    struct unit *unit = &self->units.list[u];
    if (!plan_set_free(self, test))
        return;
    if (!unit->is_tied) {
        plan_loosen(self, (struct part){ pos, pos + 1 }, avoid);
        return;
    }
    unit->avoid = avoid;
    if (unit->owner == avoid)
        plan_unbind(self, u);
    (void) return_tied(self, pos);
}

/* ------------------------------------------------------------------ letting go */

bool
plan_let_go(struct plan *self, uint32_t slot, const uint32_t *queue, size_t count, size_t *stay_out)
{
    const struct part *part = &self->slots[slot].part;
    uint32_t block = self->units.block_of[self->units.pos[queue[0]]];
    uint64_t rest = 0;
    size_t stay = 1;
    uint32_t from = part->lo;
    *stay_out = count;
    for (size_t i = 1; i < count; i++)
        if (plan_is_tied(self, queue[i]))
            return false;
    for (; stay < count && self->units.block_of[self->units.pos[queue[stay]]] == block; stay++)
        rest += plan_weight(self, queue[stay]);
    for (; stay == count && from < part->hi && self->units.block_of[from] == block; from++)
        rest += plan_weight(self, self->units.seq[from]);
    bool is_short = self->units.blocks[block].is_class &&
                    (double) rest * plan_pace(self, slot) < (double) plan_split_us(self, slot);
    if (!is_short) {
        stay = 1;
        from = part->lo;
    }
    *stay_out = stay;
    if (from == part->hi)
        return false;
    plan_drop_part(self, slot, from);
    return true;
}

bool
plan_let_all_go(struct plan *self, uint32_t slot, const uint32_t *queue, size_t count,
                size_t *stay_out)
{
    const struct part *part = &self->slots[slot].part;
    *stay_out = count;
    while (*stay_out > 1 && !plan_is_tied(self, queue[*stay_out - 1]))
        --*stay_out;
    if (part->lo == part->hi || plan_is_tied(self, self->units.seq[part->lo]))
        return false;
    plan_drop_part(self, slot, part->lo);
    return true;
}
