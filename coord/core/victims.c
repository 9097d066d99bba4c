#include "coord/core/victims.h"

#include <stdlib.h>

void
victims_fini(struct victims *self)
{
    free(self->heap);
    free(self->place);
    *self = (struct victims){ 0 };
}

void
victims_reserve(struct victims *self, size_t slots)
{
    if (slots <= self->slots)
        return;
    self->heap = dz_realloc(self->heap, slots, sizeof(*self->heap));
    self->place = dz_realloc(self->place, slots, sizeof(*self->place));
    for (size_t i = self->slots; i < slots; i++)
        self->place[i] = 0;
    self->slots = slots;
}

static void
set(struct victims *self, size_t at, struct victim victim)
{
    self->heap[at] = victim;
    self->place[victim.slot] = (uint32_t) at + 1;
}

static bool
is_before(const struct victim *a, const struct victim *b)
{
    return a->left_us != b->left_us ? a->left_us > b->left_us : a->slot < b->slot;
}

static void
sift_up(struct victims *self, size_t at, struct victim victim)
{
    while (at > 0 && is_before(&victim, &self->heap[(at - 1) / 2])) {
        set(self, at, self->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    set(self, at, victim);
}

static void
sift_down(struct victims *self, size_t at, struct victim victim)
{
    for (;;) {
        size_t child = at * 2 + 1;
        if (child + 1 < self->count && is_before(&self->heap[child + 1], &self->heap[child]))
            child++;
        if (child >= self->count || !is_before(&self->heap[child], &victim))
            break;
        set(self, at, self->heap[child]);
        at = child;
    }
    set(self, at, victim);
}

void
victims_put(struct victims *self, uint32_t slot, uint64_t left_us)
{
    dz_assert(slot < self->slots);
    struct victim victim = { left_us, slot };
    if (self->place[slot] == 0) {
        sift_up(self, self->count++, victim);
        return;
    }
    size_t at = self->place[slot] - 1;
    if (is_before(&victim, &self->heap[at]))
        sift_up(self, at, victim);
    else
        sift_down(self, at, victim);
}

void
victims_drop(struct victims *self, uint32_t slot)
{
    if (slot >= self->slots || self->place[slot] == 0)
        return;
    size_t at = self->place[slot] - 1;
    self->place[slot] = 0;
    struct victim moved = self->heap[--self->count];
    if (moved.slot == slot)
        return;
    if (at > 0 && is_before(&moved, &self->heap[(at - 1) / 2]))
        sift_up(self, at, moved);
    else
        sift_down(self, at, moved);
}

const struct victim *
victims_top(const struct victims *self)
{
    return self->count ? &self->heap[0] : NULL;
}
