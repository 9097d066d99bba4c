/* plan_cost.c - what tests are believed to take, and what they took.
 *
 * A test has a weight: its expected duration.  A slot has a pace: what its tests took against what they
 * weigh, drawn towards its node's, which is drawn towards the pace of all.  A test should take weight
 * times pace.  Where no duration is known all weigh the same, and a slot's last tests tell what its
 * next ones take. */
#include "coord/core/plan_inside.h"

enum {
    RECENT_WEIGHT = 4,               /* a slot's recent mean moves by 1/4 with each test */
    BELIEF_US = 100 * 1000,          /* of tests, before a slot's own pace counts for half */
    MEMORY_US = 20 * 1000 * 1000,    /* of tests, then the past counts for half */
    ENTRY_MAX_US = 60 * 1000 * 1000, /* one test tells no more than this about a pace */
};

static const double SLOW = 1.25; /* as many times the fastest pace is slow */
static const double PACE_MIN = 0.02, PACE_MAX = 50;

void
plan_cost_init(struct plan *self)
{
    self->fastest = PACE_MAX;
}

static dz_us
mean_us(const struct plan *self)
{
    if (self->seen_count == 0)
        return UNKNOWN_US;
    uint64_t mean = self->seen_us / self->seen_count;
    return mean ? (dz_us) mean : 1;
}

uint64_t
plan_weight(const struct plan *self, uint32_t test)
{
    uint32_t pos = self->units.pos[test];
    return self->units.sum[pos + 1] - self->units.sum[pos];
}

uint64_t
plan_part_weight(const struct plan *self, const struct part *part)
{
    return self->units.sum[part->hi] - self->units.sum[part->lo];
}

/* ------------------------------------------------------------------ paces */

static double
pace_of(const struct pace *it, double belief)
{
    double pace = (it->spent + belief * BELIEF_US) / (it->weight + BELIEF_US);
    return pace < PACE_MIN ? PACE_MIN : pace > PACE_MAX ? PACE_MAX : pace;
}

static double
pace_of_all(const struct plan *self)
{
    return self->units.is_blind ? (double) mean_us(self) / UNKNOWN_US : pace_of(&self->pace, 1);
}

double
plan_pace(const struct plan *self, uint32_t slot)
{
    if (slot >= self->slot_count)
        return pace_of_all(self);
    const struct plan_slot *at = &self->slots[slot];
    return pace_of(&at->pace, pace_of(&self->nodes[at->node], pace_of_all(self)));
}

static void
learn(struct pace *it, double spent, double weight)
{
    it->spent += spent;
    it->weight += weight;
    if (it->weight > MEMORY_US) {
        it->spent /= 2;
        it->weight /= 2;
    }
}

static void
find_fastest(struct plan *self)
{
    double fastest = PACE_MAX;
    for (uint32_t s = 0; s < self->slot_count; s++) {
        double pace = self->slots[s].is_open ? plan_pace(self, s) : PACE_MAX;
        fastest = pace < fastest ? pace : fastest;
    }
    self->fastest = fastest;
    self->fastest_at = self->seen_count + self->open_count + 16;
}

bool
plan_is_slow(const struct plan *self, uint32_t slot)
{
    return plan_pace(self, slot) > SLOW * self->fastest;
}

void
plan_observe(struct plan *self, uint32_t slot, uint32_t test, dz_us took_us, dz_us setup_us)
{
    if (slot >= self->slot_count)
        return;
    struct plan_slot *at = &self->slots[slot];
    uint64_t weight = plan_weight(self, test);
    at->out -= weight < at->out ? weight : at->out;
    at->is_late = false;
    at->recent_us =
        at->recent_us ? at->recent_us + (took_us - at->recent_us) / RECENT_WEIGHT : took_us;
    if (at->recent_us < 1)
        at->recent_us = 1;
    double spent = took_us < ENTRY_MAX_US ? (double) took_us : (double) ENTRY_MAX_US;
    learn(&at->pace, spent, (double) weight);
    learn(&self->nodes[at->node], spent, (double) weight);
    learn(&self->pace, spent, (double) weight);
    uint32_t block = self->units.block_of[self->units.pos[test]];
    if (!at->has_begun ||
        block != at->setup_block) { /* its first test made the session's fixtures */
        at->first_setup_us = at->least_setup_us = at->has_begun ? setup_us : 0;
        at->setup_block = block;
        at->has_begun = true;
    } else if (setup_us < at->least_setup_us) {
        at->least_setup_us = setup_us;
    }
    self->seen_us += (uint64_t) took_us;
    self->seen_count++;
    if (self->seen_count >= self->fastest_at)
        find_fastest(self);
}

void
plan_late(struct plan *self, uint32_t slot)
{
    self->slots[slot].is_late = true;
}

/* What the first test of this class or module needed more than a later one. */
dz_us
plan_setup_us(const struct plan *self, uint32_t slot)
{
    const struct plan_slot *at = &self->slots[slot];
    return at->first_setup_us - at->least_setup_us;
}

/* ------------------------------------------------------------------ time */

dz_us
plan_cost_us(const struct plan *self, uint32_t slot, uint32_t test)
{
    if (self->units.is_blind) {
        dz_us recent = slot < self->slot_count ? self->slots[slot].recent_us : 0;
        return recent ? recent : mean_us(self);
    }
    dz_us cost = (dz_us) ((double) plan_weight(self, test) * plan_pace(self, slot));
    return cost > 0 ? cost : 1;
}

uint64_t
plan_left_us(const struct plan *self, uint32_t slot)
{
    const struct plan_slot *at = &self->slots[slot];
    uint64_t weight = at->out + plan_part_weight(self, &at->part);
    return (uint64_t) ((double) weight * plan_pace(self, slot));
}

dz_us
plan_free_us(const struct plan *self)
{
    return (dz_us) ((double) self->free_weight * pace_of_all(self));
}

dz_us
plan_end_us(const struct plan *self)
{
    double work = (double) (self->free_weight + self->out_weight) * pace_of_all(self);
    return (dz_us) (work / (double) (self->open_count ? self->open_count : 1));
}
