#include "shared/base/heap.h"

#include <stdlib.h>

enum { CAP_FIRST = 16 };

static bool
is_before(const struct dz_heap_item *a, const struct dz_heap_item *b)
{
    return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

void
dz_heap_fini(struct dz_heap *self)
{
    free(self->items);
    *self = (struct dz_heap){ 0 };
}

void
dz_heap_push(struct dz_heap *self, int64_t at, void *value)
{
    if (self->len == self->cap) {
        self->cap = self->cap ? self->cap * 2 : CAP_FIRST;
        self->items = dz_realloc(self->items, self->cap, sizeof(*self->items));
    }
    struct dz_heap_item item = { at, self->seq++, value };
    size_t hole = self->len++;
    while (hole > 0 && is_before(&item, &self->items[(hole - 1) / 2])) {
        self->items[hole] = self->items[(hole - 1) / 2];
        hole = (hole - 1) / 2;
    }
    self->items[hole] = item;
}

bool
dz_heap_peek(const struct dz_heap *self, int64_t *at_out)
{
    if (self->len == 0)
        return false;
    *at_out = self->items[0].at;
    return true;
}

/* The lesser child of `hole` if it comes before `item`, else `hole`. */
static size_t
step_down(const struct dz_heap *self, size_t hole, const struct dz_heap_item *item)
{
    size_t child = hole * 2 + 1;
    if (child >= self->len)
        return hole;
    if (child + 1 < self->len && is_before(&self->items[child + 1], &self->items[child]))
        child++;
    return is_before(&self->items[child], item) ? child : hole;
}

bool
dz_heap_pop(struct dz_heap *self, int64_t *at_out, void **value_out)
{
    if (self->len == 0)
        return false;
    *at_out = self->items[0].at;
    *value_out = self->items[0].value;
    struct dz_heap_item last = self->items[--self->len];
    size_t hole = 0;
    for (size_t next = step_down(self, hole, &last); next != hole;
         next = step_down(self, hole, &last)) {
        self->items[hole] = self->items[next];
        hole = next;
    }
    if (self->len > 0)
        self->items[hole] = last;
    return true;
}
