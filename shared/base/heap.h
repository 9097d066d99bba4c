/* heap.h - what is due first.  Equal times come out in the order in which they went in. */
#ifndef DZ_SHARED_BASE_HEAP_H
#define DZ_SHARED_BASE_HEAP_H

#include "shared/base/base.h"

struct dz_heap_item {
    int64_t at;
    uint64_t seq; /* set by the heap */
    void *value;  /* borrowed */
};

struct dz_heap {
    struct dz_heap_item *items; /* owned */
    size_t len;
    size_t cap;
    uint64_t seq;
};

void dz_heap_fini(struct dz_heap *self); /* DZ_AUTO-able */
void dz_heap_push(struct dz_heap *self, int64_t at, void *value);
/* False: empty. */
bool dz_heap_peek(const struct dz_heap *self, int64_t *at_out);
bool dz_heap_pop(struct dz_heap *self, int64_t *at_out, void **value_out);

#endif
