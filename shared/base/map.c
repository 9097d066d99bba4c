/* map.c - linear probing, at most three quarters full.
 *
 * Removing shifts the entries behind the gap back instead of leaving a mark, so a map that is
 * filled and emptied for days stays as quick as a new one. */
#include "shared/base/map.h"

#include <stdlib.h>

#include "shared/base/digest.h"

enum { CAP_FIRST = 16 };

static bool
is_crowded(size_t len, size_t cap)
{
    return (len + 1) * 4 > cap * 3;
}

/* Does an entry whose place would be `home` have to stay behind `gap`, now being at `at`? */
static bool
may_fill(size_t gap, size_t home, size_t at, size_t mask)
{
    return ((at - home) & mask) >= ((at - gap) & mask);
}

/* ------------------------------------------------------------------ numbers */

/* Keys are often small and consecutive; spread them over all bits. */
static size_t
home_of(uint64_t key)
{
    key ^= key >> 33;
    key *= 0xff51afd7ed558ccdULL;
    key ^= key >> 33;
    return (size_t) key;
}

static struct dz_map_slot *
find(const struct dz_map *self, uint64_t key)
{
    size_t mask = self->cap - 1;
    size_t at = home_of(key) & mask;
    while (self->slots[at].value && self->slots[at].key != key)
        at = (at + 1) & mask;
    return &self->slots[at];
}

static void
grow(struct dz_map *self)
{
    struct dz_map old = *self;
    self->cap = old.cap ? old.cap * 2 : CAP_FIRST;
    self->slots = dz_alloc0(self->cap, sizeof(*self->slots));
    for (size_t i = 0; i < old.cap; i++) {
        if (old.slots[i].value)
            *find(self, old.slots[i].key) = old.slots[i];
    }
    free(old.slots);
}

void
dz_map_fini(struct dz_map *self)
{
    free(self->slots);
    *self = (struct dz_map){ 0 };
}

void *
dz_map_put(struct dz_map *self, uint64_t key, void *value)
{
    dz_assert(value);
    if (is_crowded(self->len, self->cap))
        grow(self);
    struct dz_map_slot *slot = find(self, key);
    void *before = slot->value;
    *slot = (struct dz_map_slot){ key, value };
    if (!before)
        self->len++;
    return before;
}

void *
dz_map_get(const struct dz_map *self, uint64_t key)
{
    return self->cap ? find(self, key)->value : NULL;
}

void *
dz_map_del(struct dz_map *self, uint64_t key)
{
    if (self->cap == 0)
        return NULL;
    struct dz_map_slot *found = find(self, key);
    void *before = found->value;
    if (!before)
        return NULL;
    size_t mask = self->cap - 1;
    size_t gap = (size_t) (found - self->slots);
    for (size_t at = (gap + 1) & mask; self->slots[at].value; at = (at + 1) & mask) {
        if (may_fill(gap, home_of(self->slots[at].key) & mask, at, mask)) {
            self->slots[gap] = self->slots[at];
            gap = at;
        }
    }
    self->slots[gap] = (struct dz_map_slot){ 0 };
    self->len--;
    return before;
}

bool
dz_map_next(const struct dz_map *self, size_t *at, uint64_t *key_out, void **value_out)
{
    for (; *at < self->cap; (*at)++) {
        const struct dz_map_slot *slot = &self->slots[*at];
        if (!slot->value)
            continue;
        *key_out = slot->key;
        *value_out = slot->value;
        (*at)++;
        return true;
    }
    return false;
}

/* ------------------------------------------------------------------ bytes */

static bool
is_key(const struct dz_dict_entry *entry, uint64_t hash, struct dz_slice key)
{
    struct dz_slice mine = { (const uint8_t *) entry->key, entry->key_len };
    return entry->hash == hash && dz_slice_eq(mine, key);
}

static struct dz_dict_entry *
find_bytes(const struct dz_dict *self, uint64_t hash, struct dz_slice key)
{
    size_t mask = self->cap - 1;
    size_t at = (size_t) hash & mask;
    while (self->entries[at].key && !is_key(&self->entries[at], hash, key))
        at = (at + 1) & mask;
    return &self->entries[at];
}

static void
grow_dict(struct dz_dict *self)
{
    struct dz_dict old = *self;
    self->cap = old.cap ? old.cap * 2 : CAP_FIRST;
    self->entries = dz_alloc0(self->cap, sizeof(*self->entries));
    for (size_t i = 0; i < old.cap; i++) {
        const struct dz_dict_entry *entry = &old.entries[i];
        if (entry->key) {
            struct dz_slice key = { (const uint8_t *) entry->key, entry->key_len };
            *find_bytes(self, entry->hash, key) = *entry;
        }
    }
    free(old.entries);
}

void
dz_dict_fini(struct dz_dict *self)
{
    for (size_t i = 0; i < self->cap; i++)
        free(self->entries[i].key);
    free(self->entries);
    *self = (struct dz_dict){ 0 };
}

void *
dz_dict_put(struct dz_dict *self, struct dz_slice key, void *value)
{
    dz_assert(value);
    if (is_crowded(self->len, self->cap))
        grow_dict(self);
    uint64_t hash = dz_hash64(key);
    struct dz_dict_entry *entry = find_bytes(self, hash, key);
    void *before = entry->value;
    if (!entry->key) {
        *entry = (struct dz_dict_entry){ dz_slice_dup(key), key.len, hash, NULL };
        self->len++;
    }
    entry->value = value;
    return before;
}

void *
dz_dict_get(const struct dz_dict *self, struct dz_slice key)
{
    return self->cap ? find_bytes(self, dz_hash64(key), key)->value : NULL;
}

void *
dz_dict_del(struct dz_dict *self, struct dz_slice key)
{
    if (self->cap == 0)
        return NULL;
    struct dz_dict_entry *found = find_bytes(self, dz_hash64(key), key);
    if (!found->key)
        return NULL;
    void *before = found->value;
    free(found->key);
    size_t mask = self->cap - 1;
    size_t gap = (size_t) (found - self->entries);
    for (size_t at = (gap + 1) & mask; self->entries[at].key; at = (at + 1) & mask) {
        if (may_fill(gap, (size_t) self->entries[at].hash & mask, at, mask)) {
            self->entries[gap] = self->entries[at];
            gap = at;
        }
    }
    self->entries[gap] = (struct dz_dict_entry){ 0 };
    self->len--;
    return before;
}

bool
dz_dict_next(const struct dz_dict *self, size_t *at, struct dz_slice *key_out, void **value_out)
{
    for (; *at < self->cap; (*at)++) {
        const struct dz_dict_entry *entry = &self->entries[*at];
        if (!entry->key)
            continue;
        *key_out = (struct dz_slice){ (const uint8_t *) entry->key, entry->key_len };
        *value_out = entry->value;
        (*at)++;
        return true;
    }
    return false;
}
