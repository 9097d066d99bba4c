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
    struct dz_slice id, group;
    uint32_t order; /* position in all rolls, one after another */
};

static int
compare_ids(struct dz_slice a, struct dz_slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int difference = len > 0 ? memcmp(a.ptr, b.ptr, len) : 0;
    return difference ? difference : (a.len > b.len) - (a.len < b.len);
}

static int
by_id(const void *left, const void *right)
{
    const struct named *a = left, *b = right;
    int difference = compare_ids(a->id, b->id);
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
            all[at] = (struct named){ .id = rolls[i]->entries[k].id,
                                      .group = rolls[i]->entries[k].group,
                                      .order = at };
    }
    *total_out = total;
    return all;
}

/* Keep the first of equal names; returns how many stay.  place[order] is where each went. */
static uint32_t
drop_repeats(struct named *all, uint32_t total, uint32_t *place)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < total; i++) {
        struct named one = all[i];
        if (kept == 0 || !dz_slice_eq(all[kept - 1].id, one.id))
            all[kept++] = one;
        place[one.order] = kept - 1;
    }
    return kept;
}

/* Repeats left holes in the numbering: close them, so that it is a permutation. */
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

static void
copy_texts(struct catalog *self, const struct named *all)
{
    uint64_t *hashes = dz_alloc0(self->count ? self->count : 1, sizeof(*hashes));
    for (uint32_t i = 0; i < self->count; i++) {
        self->ids[i] = dz_arena_copy(&self->text, all[i].id);
        self->groups[i] = dz_arena_copy(&self->text, all[i].group);
        hashes[i] = dz_hash64(all[i].id);
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
catalog_build(struct catalog *self, struct roll *const *rolls, size_t count)
{
    uint32_t total = 0;
    struct named *all = gather(rolls, count, &total);
    qsort(all, total, sizeof(*all), by_id);
    uint32_t *place = dz_alloc0(total ? total : 1, sizeof(*place));
    size_catalog(self, drop_repeats(all, total, place));
    rank_orders(self, all, total);
    copy_texts(self, all);
    const uint32_t *from = place;
    for (size_t i = 0; i < count; i++) {
        (void) set_places(self, rolls[i], from); /* they are part of it */
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
        int difference = compare_ids(self->ids[middle], id);
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
