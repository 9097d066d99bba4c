/* plan_inside.h - the planner's parts; seen by plan.c and plan_cost.c only. */
#ifndef DZ_COORD_CORE_PLAN_INSIDE_H
#define DZ_COORD_CORE_PLAN_INSIDE_H

#include "coord/core/plan.h"
#include "coord/core/units.h"
#include "coord/core/victims.h"

struct part {
    uint32_t lo, hi; /* positions */
    bool is_tied;
};

struct loose_part {
    struct part part;
    uint32_t avoid; /* slot, or PLAN_NO_SLOT */
};

struct plan_slot {
    struct part part;
    dz_us recent_us; /* decayed mean of what its tests took, 0 none */
    bool is_open;
};

struct plan {
    struct units units;
    uint8_t *is_taken; /* owned; bit per test */
    size_t next_unit;
    struct loose_part *loose; /* owned; a stack */
    size_t loose_count, loose_cap;
    struct plan_slot *slots; /* owned */
    size_t slot_count, open_count;
    struct victims victims; /* open slots whose part others may cut */
    size_t free_count;
    size_t bound_count; /* positions left in tied parts that slots work on */
    uint64_t free_us;
    uint64_t seen_us, seen_count; /* of finished tests */
    plan_may_fn *may;             /* NULL: everything can be run everywhere */
    const void *may_arg;          /* borrowed */
    bool has_left;
};

/* ------------------------------------------------------------------ plan_cost.c */

uint64_t plan_known_us(const struct plan *self, uint32_t test);
uint64_t plan_part_us(const struct plan *self, const struct part *part);

#endif
