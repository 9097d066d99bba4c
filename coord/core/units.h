/* units.h - the manifest cut into units of work. */
#ifndef DZ_COORD_CORE_UNITS_H
#define DZ_COORD_CORE_UNITS_H

#include "coord/core/coord.h"
#include "shared/base/base.h"

/* Tests of one class, or of one module outside of classes, that lie next to each other. */
struct block {
    uint32_t lo, hi; /* positions in units.seq */
    uint32_t unit;
    bool is_class;
    uint32_t visitor; /* the planner's: the first slot that ran a test of it, or UNIT_NONE */
};

struct unit {
    uint32_t lo, hi;  /* positions in units.seq */
    bool is_tied;     /* must stay in one slot */
    bool is_begun;    /* the planner's from here on: somebody was given of it */
    bool is_ready;    /* is_tied: in plan.ready */
    bool is_leaving;  /* is_tied: its owner gives it up with the last test that it holds of it */
    uint32_t owner;   /* is_tied: the slot that has it, or UNIT_NONE */
    uint32_t avoid;   /* is_tied: a slot that should not have it, or UNIT_NONE */
    uint32_t next;    /* is_tied: no free test lies before it */
    uint32_t free;    /* is_tied: tests */
    uint32_t held;    /* is_tied: tests of it that its owner holds */
    uint32_t longest; /* weight of what cannot be cut: its longest test, all of it if it is tied */
};

enum { UNIT_NONE = UINT32_MAX };

/* What a test weighs: its expected duration in microseconds, or the same for all where none is known. */
struct units {
    size_t count;         /* tests */
    uint32_t *seq;        /* position -> test: units one after another, collection order inside */
    uint32_t *pos;        /* test -> position */
    uint64_t *sum;        /* [count + 1] weight of all positions before */
    uint32_t *block_of;   /* position -> block */
    struct block *blocks; /* in the order of positions */
    size_t block_count;
    struct unit *list; /* in the order of positions */
    uint32_t *order;   /* units in the order in which they should be given out */
    size_t unit_count;
    bool is_blind; /* no test has a known duration */
};

enum { UNKNOWN_US = 10000 /* what a test is believed to take where nothing is known */ };

void units_init(struct units *self, const struct coord_test *tests, size_t count,
                enum coord_placement placement, bool keep_order);
void units_fini(struct units *self);

static inline const struct block *
units_block(const struct units *self, uint32_t pos)
{
    return &self->blocks[self->block_of[pos]];
}

static inline struct unit *
units_unit(struct units *self, uint32_t pos)
{
    return &self->list[units_block(self, pos)->unit];
}

static inline bool
units_is_tied(const struct units *self, uint32_t test)
{
    return self->list[units_block(self, self->pos[test])->unit].is_tied;
}

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
