/* units.h - the manifest cut into units of work. */
#ifndef DZ_COORD_CORE_UNITS_H
#define DZ_COORD_CORE_UNITS_H

#include "coord/core/coord.h"
#include "shared/base/base.h"

struct unit {
    uint32_t lo, hi; /* positions in units.seq */
    bool is_tied;    /* must stay in one slot */
};

struct units {
    size_t count;      /* tests */
    uint32_t *seq;     /* position -> test: units one after another, collection order inside */
    uint32_t *pos;     /* test -> position */
    uint64_t *sum;     /* [count + 1] expected us of all positions before; all 0 if is_blind */
    uint8_t *opens;    /* bit per position: its class is not that of the position before */
    uint8_t *tied;     /* bit per position: of a tied unit */
    struct unit *list; /* in the order in which they should be given out */
    size_t unit_count;
    bool is_blind; /* no test has a known duration */
};

void units_init(struct units *self, const struct coord_test *tests, size_t count,
                enum coord_placement placement, bool keep_order);
void units_fini(struct units *self);

static inline bool
bit_is_set(const uint8_t *bits, size_t at)
{
    return bits[at / 8] >> (at % 8) & 1;
}

static inline void
bit_set(uint8_t *bits, size_t at)
{
    bits[at / 8] = (uint8_t) (bits[at / 8] | 1u << (at % 8));
}

static inline void
bit_clear(uint8_t *bits, size_t at)
{
    bits[at / 8] = (uint8_t) (bits[at / 8] & ~(1u << (at % 8)));
}

#endif
