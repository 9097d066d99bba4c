/* arena.h - memory that lives until the next clear: for what one step of a core gives out.
 *
 * Addresses never move, so slices into it may be handed on while it grows.  A value type: embed
 * it, dz_arena_fini() it.  It never asserts on sizes: the caller has checked them. */
#ifndef DZ_SHARED_BASE_ARENA_H
#define DZ_SHARED_BASE_ARENA_H

#include "shared/base/base.h"

struct dz_arena_block;

struct dz_arena {
    struct dz_arena_block *first; /* owned */
    struct dz_arena_block *last;  /* the one that is being filled */
};

void dz_arena_fini(struct dz_arena *self);  /* frees and zeroes; DZ_AUTO-able */
void dz_arena_clear(struct dz_arena *self); /* keeps the last block, if it is small */

/* `count` objects of `size` bytes, aligned for any of them, not zeroed. */
void *dz_arena_take(struct dz_arena *self, size_t count, size_t size);
struct dz_slice dz_arena_copy(struct dz_arena *self, struct dz_slice bytes);

#endif
