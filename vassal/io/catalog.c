#include "vassal/io/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/digest.h"

struct roll *
roll_new(void)
{
    struct roll *self = dz_alloc0(1, sizeof(*self));
    self->users = 1;
    return self;
}

struct roll *
roll_share(struct roll *self)
{
    self->users++;
    return self;
}

static void
forget_text(struct roll *self)
{
    dz_free(&self->entries);
    self->cap = 0;
    dz_arena_fini(&self->text);
}

void
roll_drop(struct roll **self_p)
{
    struct roll *self = dz_move(*self_p);
    if (!self || --self->users > 0)
        return;
    forget_text(self);
    dz_free(&self->to_node);
    dz_free(&self->to_local);
    free(self);
}

/* ------------------------------------------------------------------ taking in */

static void
begin_anew(struct roll *self)
{
    self->count = 0;
    dz_arena_clear(&self->text);
}

static void
append(struct roll *self, const struct dz_item_entry *entry)
{
    if (self->count == self->cap) {
        self->cap = self->cap ? 2 * self->cap : 1024;
        self->entries = dz_realloc(self->entries, self->cap, sizeof(*self->entries));
    }
    self->entries[self->count++] = (struct roll_entry){
        .id = dz_arena_copy(&self->text, entry->id),
        .group = dz_arena_copy(&self->text, entry->group),
    };
}

enum dz_rc
roll_add(struct roll *self, const struct dz_msg_manifest *part, struct dz_err *err)
{
    if (self->is_complete)
        return DZ_OK; /* said again to an agent that knows it */
    if (part->first == 0)
        begin_anew(self);
    if (part->first != self->count)
        return dz_fail(err, DZ_CORRUPT, "tests from %u to %llu of the collection are missing",
                       self->count, (unsigned long long) part->first);
    if (self->count + part->entries.count > CATALOG_MAX)
        return dz_fail(err, DZ_LIMIT, "more than %d tests were collected", CATALOG_MAX);
    struct dz_list rest = part->entries;
    struct dz_item_entry entry;
    while (dz_entry_next(&rest, &entry)) {
        if (entry.id.len == 0)
            return dz_fail(err, DZ_CORRUPT, "test %u has an empty name", self->count);
        append(self, &entry);
    }
    return DZ_OK;
}

/* ------------------------------------------------------------------ the union */

struct named {
    const struct roll_entry *entry; /* of its roll */
    uint64_t key;   /* the bytes after what all ids begin with: mostly they tell two apart */
    uint32_t order; /* position in all rolls, one after another */
};

static size_t
common_len(const struct named *all, uint32_t total)
{
    struct dz_slice first = total > 0 ? all[0].entry->id : (struct dz_slice){ 0 };
    size_t len = first.len;
    for (uint32_t i = 1; i < total; i++) {
        struct dz_slice id = all[i].entry->id;
        size_t at = 0, most = id.len < len ? id.len : len;
        while (at < most && id.ptr[at] == first.ptr[at])
            at++;
        len = at;
    }
    return len;
}

static void
set_keys(struct named *all, uint32_t total)
{
    size_t begin = common_len(all, total);
    for (uint32_t i = 0; i < total; i++) {
        struct dz_slice id = all[i].entry->id;
        for (size_t k = begin; k < begin + sizeof(all[i].key); k++)
            all[i].key = all[i].key << 8 | (k < id.len ? id.ptr[k] : 0u);
    }
}

static int
by_id(const void *left, const void *right)
{
    const struct named *a = left, *b = right;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    int difference = dz_slice_cmp(a->entry->id, b->entry->id);
    return difference ? difference : (a->order > b->order) - (a->order < b->order);
}

static struct named *
gather(struct roll *const *rolls, size_t count, uint32_t *total_out)
{
    uint32_t total = 0, at = 0;
    for (size_t i = 0; i < count; i++)
        total += rolls[i]->count;
    struct named *all = dz_alloc0(total ? total : 1, sizeof(*all));
    for (size_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < rolls[i]->count; k++, at++)
            all[at] = (struct named){ .entry = &rolls[i]->entries[k], .order = at };
    }
    *total_out = total;
    return all;
}

/* Keep the first of equal names, unless it is left out; returns how many stay.  place[order] is where
 * each went. */
static uint32_t
choose(struct named *all, uint32_t total, const struct catalog_filter *filter, uint32_t *place,
       uint32_t *left_out)
{
    uint32_t kept = 0, at = CATALOG_NO_TEST;
    struct dz_slice last = { 0 };
    for (uint32_t i = 0; i < total; i++) {
        struct named one = all[i];
        struct dz_slice id = one.entry->id;
        bool is_repeat = i > 0 && dz_slice_eq(last, id);
        bool is_out = !is_repeat && filter && filter->is_left_out(filter->arg, id);
        if (!is_repeat)
            at = is_out ? CATALOG_NO_TEST : kept;
        if (!is_repeat && !is_out)
            all[kept++] = one;
        *left_out += is_out;
        place[one.order] = at;
        last = id;
    }
    return kept;
}

/* What was not kept left holes in the numbering: close them, so that it is a permutation. */
static void
rank_orders(struct catalog *self, const struct named *all, uint32_t total)
{
    uint32_t *rank = dz_alloc0(total ? total : 1, sizeof(*rank));
    for (uint32_t i = 0; i < self->count; i++)
        rank[all[i].order] = 1;
    uint32_t before = 0;
    for (uint32_t i = 0; i < total; i++) {
        uint32_t is_kept = rank[i];
        rank[i] = before;
        before += is_kept;
    }
    for (uint32_t i = 0; i < self->count; i++)
        self->order[i] = rank[all[i].order];
    dz_free(&rank);
}

/* sole: the one roll there is; its text is not copied. */
static void
take_texts(struct catalog *self, const struct named *all, struct roll *sole)
{
    uint64_t *hashes = dz_alloc0(self->count ? self->count : 1, sizeof(*hashes));
    for (uint32_t i = 0; i < self->count; i++) {
        const struct roll_entry *entry = all[i].entry;
        self->ids[i] = sole ? entry->id : dz_arena_copy(&self->text, entry->id);
        self->groups[i] = sole ? entry->group : dz_arena_copy(&self->text, entry->group);
        hashes[i] = dz_hash64(entry->id);
    }
    if (sole) {
        self->text = sole->text;
        sole->text = (struct dz_arena){ 0 };
    }
    self->digest =
        dz_hash64((struct dz_slice){ (const uint8_t *) hashes, self->count * sizeof(*hashes) });
    dz_free(&hashes);
}

/* ------------------------------------------------------------------ mapping */

/* places: node numbers of the roll's tests.  Returns how many have none. */
static uint32_t
set_places(const struct catalog *self, struct roll *roll, const uint32_t *places)
{
    uint32_t strangers = 0;
    roll->to_node = dz_alloc0(roll->count ? roll->count : 1, sizeof(*roll->to_node));
    roll->to_local = dz_alloc0(self->count ? self->count : 1, sizeof(*roll->to_local));
    for (uint32_t i = 0; i < self->count; i++)
        roll->to_local[i] = CATALOG_NO_TEST;
    for (uint32_t i = 0; i < roll->count; i++) {
        uint32_t test = places[i];
        if (test != CATALOG_NO_TEST && roll->to_local[test] != CATALOG_NO_TEST)
            test = CATALOG_NO_TEST; /* the same name twice: only the first can be meant */
        roll->to_node[i] = test;
        if (test != CATALOG_NO_TEST)
            roll->to_local[test] = i;
        else
            strangers++;
    }
    forget_text(roll);
    return strangers;
}

static void
size_catalog(struct catalog *self, uint32_t count)
{
    size_t room = count ? count : 1;
    *self = (struct catalog){
        .ids = dz_alloc0(room, sizeof(*self->ids)),
        .groups = dz_alloc0(room, sizeof(*self->groups)),
        .order = dz_alloc0(room, sizeof(*self->order)),
        .est_us = dz_alloc0(room, sizeof(*self->est_us)),
        .count = count,
    };
}

void
catalog_build(struct catalog *self, struct roll *const *rolls, size_t count,
              const struct catalog_filter *filter)
{
    uint32_t total = 0, left_out = 0;
    struct named *all = gather(rolls, count, &total);
    set_keys(all, total);
    qsort(all, total, sizeof(*all), by_id);
    uint32_t *place = dz_alloc0(total ? total : 1, sizeof(*place));
    size_catalog(self, choose(all, total, filter, place, &left_out));
    self->left_out = left_out;
    rank_orders(self, all, total);
    take_texts(self, all, count == 1 ? rolls[0] : NULL);
    const uint32_t *from = place;
    for (size_t i = 0; i < count; i++) {
        (void) set_places(self, rolls[i], from); /* what it lacks was left out */
        from += rolls[i]->count;
    }
    dz_free(&place);
    dz_free(&all);
}

void
catalog_fini(struct catalog *self)
{
    dz_arena_fini(&self->text);
    dz_free(&self->ids);
    dz_free(&self->groups);
    dz_free(&self->order);
    dz_free(&self->est_us);
    *self = (struct catalog){ 0 };
}

static uint32_t
find(const struct catalog *self, struct dz_slice id)
{
    uint32_t low = 0, high = self->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int difference = dz_slice_cmp(self->ids[middle], id);
        if (difference == 0)
            return middle;
        if (difference < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return CATALOG_NO_TEST;
}

uint32_t
catalog_map(const struct catalog *self, struct roll *roll)
{
    uint32_t *places = dz_alloc0(roll->count ? roll->count : 1, sizeof(*places));
    for (uint32_t i = 0; i < roll->count; i++)
        places[i] = find(self, roll->entries[i].id);
    uint32_t strangers = set_places(self, roll, places);
    dz_free(&places);
    return strangers;
}
