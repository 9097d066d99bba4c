/* plan_inside.h - the planner's parts; seen by plan*.c only. */
#ifndef DZ_COORD_CORE_PLAN_INSIDE_H
#define DZ_COORD_CORE_PLAN_INSIDE_H

#include "coord/core/grow.h"
#include "coord/core/plan.h"
#include "coord/core/units.h"
#include "coord/core/victims.h"

/* Positions of an untied unit. */
struct part {
    uint32_t lo, hi;
};

struct loose_part {
    struct part part;
    uint32_t avoid; /* slot, or PLAN_NO_SLOT */
    bool is_first;  /* a slot leaves its own part for it */
};

struct struck {
    uint32_t test, avoid;
};

/* What tests took against what they weigh. */
struct pace {
    double spent, weight; /* decayed sums */
};

struct plan_slot {
    struct part part; /* of an untied unit; it works on this or on `tied` */
    uint32_t tied;    /* unit, or UNIT_NONE */
    uint32_t block;   /* of the last test that it was given, or UNIT_NONE */
    uint32_t node;
    uint64_t out;    /* weight of what it was given and has not finished */
    size_t own_free; /* free tests of tied units that it owns */
    struct pace pace;
    dz_us recent_us;      /* decayed mean of what its tests took, 0 none */
    uint32_t setup_block; /* whose setup these are; UNIT_NONE: nothing was finished yet */
    dz_us first_setup_us, least_setup_us;
    bool is_open, has_begun;
    bool is_late; /* its test takes longer than it should */
};

/* A class that several slots ran tests of; block.visitor is the first of them. */
struct visit {
    uint32_t block, slot;
};

struct plan {
    struct units units;
    uint8_t *is_taken; /* owned; bit per test */
    size_t next_unit;  /* in units.order: all before are begun */
    uint32_t *ready; /* owned; tied units that were begun, have free tests, and are not worked on */
    size_t ready_count, ready_cap;
    struct loose_part *loose; /* owned; a stack */
    size_t loose_count, loose_cap;
    struct struck *struck; /* owned */
    size_t struck_count, struck_cap;
    struct visit *visits; /* owned */
    size_t visit_count, visit_cap;
    struct plan_slot *slots; /* owned */
    size_t slot_count, open_count;
    struct pace *nodes; /* owned */
    size_t node_count;
    struct victims victims; /* open slots whose part others may cut */
    size_t free_count;
    size_t bound_count;                       /* free tests of tied units that somebody owns */
    uint64_t free_weight;                     /* of free tests */
    uint64_t out_weight;                      /* of all slots */
    struct pace pace;                         /* of all */
    double fastest;                           /* pace of the fastest slot, looked at now and then */
    uint64_t seen_us, seen_count, fastest_at; /* of finished tests */
    plan_may_fn *may;                         /* NULL: everything can be run everywhere */
    const void *may_arg;                      /* borrowed */
    bool has_left;
    bool has_first; /* among the loose parts some may be first */
};

/* ------------------------------------------------------------------ plan_cost.c */

void plan_cost_init(struct plan *self);
uint64_t plan_weight(const struct plan *self, uint32_t test);
uint64_t plan_part_weight(const struct plan *self, const struct part *part);
uint64_t plan_left_us(const struct plan *self, uint32_t slot); /* with what it was given */
double plan_pace(const struct plan *self, uint32_t slot);      /* microseconds for each of weight */
bool plan_is_slow(const struct plan *self, uint32_t slot);
dz_us plan_setup_us(const struct plan *self, uint32_t slot); /* once more, elsewhere */
dz_us plan_end_us(const struct plan *self); /* from now until all is done, at best */

/* ------------------------------------------------------------------ plan.c */

bool plan_pos_may(const struct plan *self, uint32_t slot, uint32_t pos);
bool plan_has_other(const struct plan *self, uint32_t slot, uint32_t pos); /* that could run it */
bool plan_set_free(struct plan *self, uint32_t test);                      /* false: it is free */
void plan_make_ready(struct plan *self,
                     uint32_t unit); /* if it has free tests and no slot is at it */
void plan_drop_part(struct plan *self, uint32_t slot, uint32_t from); /* anybody's from there on */
void plan_loosen(struct plan *self, struct part part, uint32_t avoid);
void plan_bind(struct plan *self, uint32_t unit, uint32_t slot);
void plan_unbind(struct plan *self, uint32_t unit);
void plan_work_on(struct plan *self, uint32_t slot, struct part part);

/* ------------------------------------------------------------------ plan_find.c */

/* Give the slot, which has no part and no tied unit, one of them. */
bool plan_find(struct plan *self, uint32_t slot);
bool plan_take_struck(struct plan *self, uint32_t slot, uint32_t *test_out);
void plan_turn_to_first(struct plan *self, uint32_t slot); /* if there is what is first */
void plan_visit(struct plan *self, uint32_t slot, uint32_t block);
/* The shortest rest of a class for which it may be set up in a second slot. */
dz_us plan_split_us(const struct plan *self, uint32_t slot);

#endif
