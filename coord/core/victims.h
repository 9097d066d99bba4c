/* victims.h - slots ordered by what is left of their units: a heap with positions.
 *
 * Keys only have to be upper bounds: what is left shrinks with every test that is taken, and is
 * looked at again when a slot comes to the top. */
#ifndef DZ_COORD_CORE_VICTIMS_H
#define DZ_COORD_CORE_VICTIMS_H

#include "shared/base/base.h"

struct victims {
    struct victim *heap; /* owned; the largest first */
    size_t count;
    uint32_t *place; /* owned: slot -> index in heap + 1, 0 not there */
    size_t slots;
};

struct victim {
    uint64_t left_us;
    uint32_t slot;
};

void victims_fini(struct victims *self);
void victims_reserve(struct victims *self, size_t slots);                /* numbers below it */
void victims_put(struct victims *self, uint32_t slot, uint64_t left_us); /* or change */
void victims_drop(struct victims *self, uint32_t slot);                  /* if it is there */
const struct victim *victims_top(const struct victims *self);            /* NULL: empty */

static inline bool
victims_has(const struct victims *self, uint32_t slot)
{
    return slot < self->slots && self->place[slot] != 0;
}

#endif
