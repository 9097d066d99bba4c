/* plan_cost.c - what tests are believed to take, and what they took. */
#include "coord/core/plan_inside.h"

enum {
    UNKNOWN_US = 10000, /* what a test is believed to take before any was seen */
    RECENT_WEIGHT = 4,  /* a slot's recent mean moves by 1/4 with each test */
};

static dz_us
mean_us(const struct plan *self)
{
    if (self->seen_count == 0)
        return UNKNOWN_US;
    uint64_t mean = self->seen_us / self->seen_count;
    return mean ? (dz_us) mean : 1;
}

uint64_t
plan_known_us(const struct plan *self, uint32_t test)
{
    uint32_t pos = self->units.pos[test];
    return self->units.sum[pos + 1] - self->units.sum[pos];
}

dz_us
plan_cost_us(const struct plan *self, uint32_t slot, uint32_t test)
{
    if (!self->units.is_blind)
        return (dz_us) plan_known_us(self, test);
    dz_us recent = slot < self->slot_count ? self->slots[slot].recent_us : 0;
    return recent ? recent : mean_us(self);
}

uint64_t
plan_part_us(const struct plan *self, const struct part *part)
{
    if (self->units.is_blind)
        return (uint64_t) (part->hi - part->lo) * (uint64_t) mean_us(self);
    return self->units.sum[part->hi] - self->units.sum[part->lo];
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

dz_us
plan_free_us(const struct plan *self)
{
    if (self->units.is_blind)
        return (dz_us) self->free_count * mean_us(self);
    return (dz_us) self->free_us;
}

void
plan_observe(struct plan *self, uint32_t slot, dz_us took_us)
{
    if (slot >= self->slot_count)
        return;
    struct plan_slot *at = &self->slots[slot];
    at->recent_us =
        at->recent_us ? at->recent_us + (took_us - at->recent_us) / RECENT_WEIGHT : took_us;
    if (at->recent_us < 1)
        at->recent_us = 1;
    self->seen_us += (uint64_t) took_us;
    self->seen_count++;
}
