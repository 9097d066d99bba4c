/* plan_suite.h - a manifest written down: ids, optional groups, collection order as given. */
#ifndef DZ_TESTS_UNIT_COORD_PLAN_SUITE_H
#define DZ_TESTS_UNIT_COORD_PLAN_SUITE_H

#include <stdio.h>

#include "coord/core/plan.h"
#include "tests/unit/unit.h"

enum { MANY = 200, BATCH = 64 };

struct suite {
    struct coord_test tests[MANY];
    char ids[MANY][64];
    size_t count;
};

static inline void
add(struct suite *self, const char *id, uint32_t est_us)
{
    (void) snprintf(self->ids[self->count], sizeof(self->ids[0]), "%s", id);
    self->tests[self->count] = (struct coord_test){ .id = dz_str(self->ids[self->count]),
                                                    .order = (uint32_t) self->count,
                                                    .est_us = est_us };
    self->count++;
}

static inline void
add_module(struct suite *self, const char *module, unsigned count, uint32_t est_us)
{
    char id[64];
    for (unsigned i = 0; i < count; i++) {
        (void) snprintf(id, sizeof(id), "%s.py::test_%03u", module, i);
        add(self, id, est_us);
    }
}

static inline struct plan *
plan_of(const struct suite *suite, enum coord_placement placement, unsigned slots)
{
    struct plan *plan = plan_new(suite->tests, suite->count, placement, false);
    for (uint32_t s = 0; s < slots; s++)
        plan_open(plan, s, 0);
    return plan;
}

static inline uint32_t
take_one(struct plan *plan, uint32_t slot)
{
    uint32_t test = UINT32_MAX;
    size_t count = plan_take(plan, slot, 1, 1, &test);
    assert_true(count <= 1);
    return test;
}

/* `count` tests of a class that take 10 ms each. */
static inline void
add_class(struct suite *self, const char *name, unsigned count)
{
    char id[64];
    for (unsigned i = 0; i < count; i++) {
        (void) snprintf(id, sizeof(id), "%s::test_%03u", name, i);
        add(self, id, 10000);
    }
}

#endif
