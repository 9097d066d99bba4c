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

/* ------------------------------------------------------------------ sorting */

/* The sorted half from begin to middle and the one from there to end become one.  spare: for the first. */
static void
merge(const struct roll_entry *entries, uint32_t *begin, uint32_t *middle, const uint32_t *end,
      uint32_t *spare)
{
    size_t count = (size_t) (middle - begin);
    memcpy(spare, begin, count * sizeof(*spare));
    const uint32_t *left = spare, *left_end = spare + count, *right = middle;
    while (left < left_end) {
        bool is_right = right < end && dz_slice_cmp(entries[*right].id, entries[*left].id) < 0;
        *begin++ = is_right ? *right++ : *left++;
    }
}

/* Collecting goes through files in the order of their names, so most of it is sorted as it comes: of two
 * halves in order only their ends are compared.  Equal ones stay in the order of collection. */
static uint32_t *
sort(const struct roll_entry *entries, uint32_t total)
{
    uint32_t *by_id = dz_alloc0(total + 1, sizeof(*by_id));
    DZ_AUTO(dz_free) uint32_t *spare = dz_alloc0(total + 1, sizeof(*spare));
    for (uint32_t i = 0; i < total; i++)
        by_id[i] = i;
    for (size_t width = 1; width < total; width *= 2) {
        for (size_t at = 0; at + width < total; at += 2 * width) {
            uint32_t *middle = by_id + at + width;
            size_t rest = total - at;
            if (dz_slice_cmp(entries[middle[-1]].id, entries[*middle].id) > 0)
                merge(entries, by_id + at, middle,
                      by_id + at + (rest < 2 * width ? rest : 2 * width), spare);
        }
    }
    return by_id;
}

/* ------------------------------------------------------------------ the union */

static uint32_t
total_of(struct roll *const *rolls, size_t count)
{
    uint32_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += rolls[i]->count;
    return total;
}

/* One after another. */
static struct roll_entry *
gather(struct roll *const *rolls, size_t count, uint32_t total)
{
    struct roll_entry *all = dz_alloc0(total + 1, sizeof(*all)), *at = all;
    for (size_t i = 0; i < count; i++) {
        if (rolls[i]->count > 0)
            memcpy(at, rolls[i]->entries, rolls[i]->count * sizeof(*at));
        at += rolls[i]->count;
    }
    return all;
}

/* Keep the first of equal names, unless it is left out; returns how many stay.  place[order] is where
 * each went. */
static uint32_t
choose(const struct roll_entry *entries, uint32_t *by_id, uint32_t total,
       const struct catalog_filter *filter, uint32_t *place, uint32_t *left_out)
{
    uint32_t kept = 0, at = CATALOG_NO_TEST;
    struct dz_slice last = { 0 };
    for (uint32_t i = 0; i < total; i++) {
        uint32_t order = by_id[i];
        struct dz_slice id = entries[order].id;
        bool is_repeat = i > 0 && dz_slice_eq(last, id);
        bool is_out = !is_repeat && filter && filter->is_left_out(filter->arg, id);
        if (!is_repeat)
            at = is_out ? CATALOG_NO_TEST : kept;
        if (!is_repeat && !is_out)
            by_id[kept++] = order;
        *left_out += is_out;
        place[order] = at;
        last = id;
    }
    return kept;
}

/* What was not kept left holes in the numbering: close them, so that it is a permutation. */
static void
rank_orders(uint32_t *orders, uint32_t count, uint32_t total)
{
    if (count == total)
        return;
    uint32_t *rank = dz_alloc0(total + 1, sizeof(*rank));
    for (uint32_t i = 0; i < count; i++)
        rank[orders[i]] = 1;
    uint32_t before = 0;
    for (uint32_t i = 0; i < total; i++) {
        uint32_t is_kept = rank[i];
        rank[i] = before;
        before += is_kept;
    }
    for (uint32_t i = 0; i < count; i++)
        orders[i] = rank[orders[i]];
    dz_free(&rank);
}

static void
set_group(struct catalog *self, uint32_t test, struct dz_slice group)
{
    if (!self->groups)
        self->groups = dz_alloc0(self->count, sizeof(*self->groups));
    self->groups[test] = group;
}

/* sole: the one roll there is; its text is not copied. */
static void
take_texts(struct catalog *self, const struct roll_entry *entries, const uint32_t *by_id,
           struct roll *sole)
{
    DZ_AUTO(dz_free) uint64_t *hashes = dz_alloc0(self->count + 1, sizeof(*hashes));
    for (uint32_t i = 0; i < self->count; i++) {
        const struct roll_entry *entry = &entries[by_id[i]];
        self->ids[i] = sole ? entry->id : dz_arena_copy(&self->text, entry->id);
        if (entry->group.len > 0)
            set_group(self, i, sole ? entry->group : dz_arena_copy(&self->text, entry->group));
        hashes[i] = dz_hash64(entry->id);
    }
    if (sole) {
        self->text = sole->text;
        sole->text = (struct dz_arena){ 0 };
    }
    self->digest =
        dz_hash64((struct dz_slice){ (const uint8_t *) hashes, self->count * sizeof(*hashes) });
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

void
catalog_build(struct catalog *self, struct roll *const *rolls, size_t count,
              const struct catalog_filter *filter)
{
    struct roll *sole = count == 1 ? rolls[0] : NULL;
    uint32_t total = total_of(rolls, count);
    DZ_AUTO(dz_free) struct roll_entry *all = sole ? NULL : gather(rolls, count, total);
    const struct roll_entry *entries = sole ? sole->entries : all;
    DZ_AUTO(dz_free) uint32_t *place = dz_alloc0(total + 1, sizeof(*place));
    uint32_t *by_id = sort(entries, total);
    *self = (struct catalog){ .order = by_id };
    self->count = choose(entries, by_id, total, filter, place, &self->left_out);
    self->ids = dz_alloc0(self->count + 1, sizeof(*self->ids));
    take_texts(self, entries, by_id, sole);
    rank_orders(by_id, self->count, total);
    const uint32_t *from = place;
    for (size_t i = 0; i < count; i++) {
        (void) set_places(self, rolls[i], from); /* what it lacks was left out */
        from += rolls[i]->count;
    }
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
