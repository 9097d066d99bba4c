#include "shared/base/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_MIN = 1 << 10, BLOCK_MAX = 64 << 10, ALIGNMENT = alignof(max_align_t) };

struct dz_arena_block {
    struct dz_arena_block *next; /* owned */
    size_t used;
    size_t size;
    alignas(max_align_t) uint8_t bytes[];
};

static struct dz_arena_block *
block_new(size_t size)
{
    struct dz_arena_block *block = dz_realloc(NULL, 1, sizeof(*block) + size);
    *block = (struct dz_arena_block){ .size = size };
    return block;
}

static void
free_chain(struct dz_arena_block *block)
{
    while (block) {
        struct dz_arena_block *next = block->next;
        free(block);
        block = next;
    }
}

void
dz_arena_fini(struct dz_arena *self)
{
    free_chain(self->first);
    *self = (struct dz_arena){ 0 };
}

void
dz_arena_clear(struct dz_arena *self)
{
    while (self->first && self->first->next) {
        struct dz_arena_block *block = self->first;
        self->first = block->next;
        free(block);
    }
    if (self->first && self->first->size > BLOCK_MAX)
        dz_arena_fini(self); /* one great step is no reason to keep its memory */
    else if (self->first)
        self->first->used = 0;
}

static size_t
next_size(const struct dz_arena *self, size_t need)
{
    size_t size = self->last ? self->last->size * 2 : BLOCK_MIN;
    size = size < BLOCK_MAX ? size : BLOCK_MAX;
    return need > size ? need : size;
}

void *
dz_arena_take(struct dz_arena *self, size_t count, size_t size)
{
    dz_assert(size == 0 || count <= SIZE_MAX / 2 / size);
    size_t need = (count * size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (!self->last || self->last->size - self->last->used < need) {
        struct dz_arena_block *block = block_new(next_size(self, need));
        if (self->last)
            self->last->next = block;
        else
            self->first = block;
        self->last = block;
    }
    void *taken = self->last->bytes + self->last->used;
    self->last->used += need;
    return taken;
}

struct dz_slice
dz_arena_copy(struct dz_arena *self, struct dz_slice bytes)
{
    uint8_t *copy = dz_arena_take(self, bytes.len, 1);
    if (bytes.len)
        memcpy(copy, bytes.ptr, bytes.len);
    return (struct dz_slice){ copy, bytes.len };
}
