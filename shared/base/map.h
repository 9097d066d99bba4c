/* map.h - a hash map from 64-bit keys, and one from bytes, to pointers.
 *
 * Open addressing: one allocation, no node per entry.  Value types: embed, *_fini().
 * Ownership  Values are borrowed: a map never frees them.  A dict copies its keys.
 * Iteration  In no order that means anything; adding or removing ends it. */
#ifndef DZ_SHARED_BASE_MAP_H
#define DZ_SHARED_BASE_MAP_H

#include "shared/base/base.h"

struct dz_map_slot {
    uint64_t key;
    void *value; /* NULL: free */
};

struct dz_map {
    struct dz_map_slot *slots; /* owned */
    size_t cap;                /* 0 or a power of two */
    size_t len;
};

void dz_map_fini(struct dz_map *self); /* DZ_AUTO-able */
/* Set, and give back what was there or NULL.  `value` is not NULL. */
void *dz_map_put(struct dz_map *self, uint64_t key, void *value);
void *dz_map_get(const struct dz_map *self, uint64_t key); /* NULL: absent */
void *dz_map_del(struct dz_map *self, uint64_t key);       /* what was there or NULL */
/* Start with *at = 0; false at the end. */
bool dz_map_next(const struct dz_map *self, size_t *at, uint64_t *key_out, void **value_out);

struct dz_dict_entry {
    char *key; /* owned, NUL-terminated after key_len bytes; NULL: free */
    size_t key_len;
    uint64_t hash;
    void *value;
};

struct dz_dict {
    struct dz_dict_entry *entries; /* owned */
    size_t cap;
    size_t len;
};

void dz_dict_fini(struct dz_dict *self); /* DZ_AUTO-able */
void *dz_dict_put(struct dz_dict *self, struct dz_slice key, void *value);
void *dz_dict_get(const struct dz_dict *self, struct dz_slice key);
void *dz_dict_del(struct dz_dict *self, struct dz_slice key);
bool dz_dict_next(const struct dz_dict *self, size_t *at, struct dz_slice *key_out,
                  void **value_out);

#endif
