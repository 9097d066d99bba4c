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
collection_fini(struct collection *self)
{
    dz_names_fini(&self->ids);
    dz_names_fini(&self->groups);
    dz_free(&self->group_of);
    *self = (struct collection){ 0 };
}

static void
forget_text(struct roll *self)
{
    collection_fini(&self->tests);
    sorter_fini(&self->sorter);
}

void
roll_drop(struct roll **self_p)
{
    struct roll *self = dz_move(*self_p);
    if (!self || --self->users > 0)
        return;
    forget_text(self);
    dz_free(&self->to_node);
    if (!self->is_sole)
        dz_free(&self->to_local);
    free(self);
}

/* ------------------------------------------------------------------ taking in */

static void
begin_anew(struct roll *self)
{
    self->count = 0;
    self->digest = 0;
    forget_text(self);
}

static void
reserve_group(struct collection *self, uint32_t place)
{
    if (place < self->group_cap)
        return;
    uint32_t before = self->group_cap;
    self->group_cap = 2 * place + 64;
    self->group_of = dz_realloc(self->group_of, self->group_cap, sizeof(*self->group_of));
    memset(self->group_of + before, 0, (self->group_cap - before) * sizeof(*self->group_of));
}

/* Those of one group often come one after another. */
static bool
put_group(struct collection *self, uint32_t place, struct dz_slice group)
{
    uint32_t last = self->groups.count;
    if (group.len == 0)
        return true;
    reserve_group(self, place);
    bool is_last = last > 0 && dz_slice_eq(dz_names_at(&self->groups, last - 1), group);
    if (!is_last && !dz_names_add(&self->groups, group))
        return false;
    self->group_of[place] = self->groups.count;
    return true;
}

static struct dz_slice
group_at(const struct collection *self, uint32_t place)
{
    uint32_t group = place < self->group_cap ? self->group_of[place] : 0;
    return group ? dz_names_at(&self->groups, group - 1) : (struct dz_slice){ 0 };
}

/* same: as in the message. */
static bool
append(struct roll *self, size_t same, struct dz_slice rest, struct dz_slice group)
{
    struct dz_names *ids = &self->tests.ids;
    if (!put_group(&self->tests, self->count, group) || !dz_names_add_like(ids, same, rest))
        return false;
    sorter_add(&self->sorter, ids);
    self->digest += dz_hash64(dz_names_at(ids, self->count));
    self->count++;
    return true;
}

static size_t
last_len(const struct roll *self)
{
    return self->count > 0 ? dz_names_at(&self->tests.ids, self->count - 1).len : 0;
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
        if (entry.same > last_len(self))
            return dz_fail(err, DZ_CORRUPT, "test %u begins as a name that is shorter",
                           self->count);
        if (entry.same + entry.id.len == 0)
            return dz_fail(err, DZ_CORRUPT, "test %u has an empty name", self->count);
        if (!append(self, entry.same, entry.id, entry.group))
            return dz_fail(err, DZ_LIMIT, "the names of the tests have more than 4 GiB together");
    }
    return DZ_OK;
}

/* ------------------------------------------------------------------ the union */

/* What all of them collected, one after another. */
static struct roll *
unite(struct roll *const *rolls, size_t count)
{
    struct roll *all = roll_new();
    for (size_t i = 0; i < count; i++) {
        for (uint32_t at = 0; at < rolls[i]->count; at++) {
            const struct collection *tests = &rolls[i]->tests;
            bool has_room = append(all, 0, dz_names_at(&tests->ids, at), group_at(tests, at));
            dz_assert(has_room);
        }
    }
    return all;
}

/* Keep the first of equal names, unless it is left out.  to_node: where each went. */
static void
choose(struct catalog *self, const struct catalog_filter *filter, uint32_t total, uint32_t *to_node)
{
    uint32_t at = CATALOG_NO_TEST;
    struct dz_slice last = { 0 };
    for (uint32_t i = 0; i < total; i++) {
        uint32_t place = self->places[i];
        struct dz_slice id = dz_names_at(&self->tests.ids, place);
        bool is_repeat = i > 0 && dz_slice_eq(last, id);
        bool is_out = !is_repeat && filter && filter->is_left_out(filter->arg, id);
        if (!is_repeat)
            at = is_out ? CATALOG_NO_TEST : self->count;
        if (is_repeat || is_out)
            self->digest -= dz_hash64(id);
        else
            self->places[self->count++] = place;
        self->left_out += is_out;
        to_node[place] = at;
        last = id;
    }
}

/* ------------------------------------------------------------------ mapping */

/* to_node: node numbers of the roll's tests, owned by it from now on.  Returns how many have none. */
static uint32_t
set_numbers(const struct catalog *self, struct roll *roll, uint32_t *to_node)
{
    uint32_t strangers = 0;
    roll->to_node = to_node;
    roll->to_local = dz_realloc(NULL, self->count + 1, sizeof(*roll->to_local));
    memset(roll->to_local, 0xff, (self->count + 1) * sizeof(*roll->to_local)); /* NO_TEST */
    for (uint32_t i = 0; i < roll->count; i++) {
        uint32_t test = to_node[i];
        /* of the same name twice only the first can be meant */
        if (test != CATALOG_NO_TEST && roll->to_local[test] == CATALOG_NO_TEST) {
            roll->to_local[test] = i;
        } else {
            to_node[i] = CATALOG_NO_TEST;
            strangers++;
        }
    }
    forget_text(roll);
    return strangers;
}

static uint32_t *
numbers_new(uint32_t count)
{
    return dz_realloc(NULL, count + 1, sizeof(uint32_t));
}

/* There is no other one: what it has more than once, or was left out, is nowhere among the places. */
static void
set_sole(const struct catalog *self, struct roll *roll, uint32_t *to_node)
{
    for (uint32_t i = 0; i < roll->count; i++)
        if (to_node[i] != CATALOG_NO_TEST && self->places[to_node[i]] != i)
            to_node[i] = CATALOG_NO_TEST;
    roll->to_node = to_node;
    roll->to_local = self->places;
    roll->is_sole = true;
    forget_text(roll);
}

/* What it lacks was left out. */
static void
set_part(const struct catalog *self, struct roll *roll, const uint32_t *to_node)
{
    uint32_t *own = numbers_new(roll->count);
    memcpy(own, to_node, roll->count * sizeof(*own));
    (void) set_numbers(self, roll, own);
}

void
catalog_build(struct catalog *self, struct roll *const *rolls, size_t count,
              const struct catalog_filter *filter)
{
    DZ_AUTO(roll_drop) struct roll *all = count == 1 ? roll_share(rolls[0]) : unite(rolls, count);
    uint32_t *to_node = numbers_new(all->count);
    sorter_end(&all->sorter, &all->tests.ids);
    *self = (struct catalog){ .tests = all->tests,
                              .places = dz_move(all->sorter.order),
                              .digest = all->digest };
    all->tests = (struct collection){ 0 };
    choose(self, filter, all->count, to_node);
    if (count == 1) {
        set_sole(self, all, to_node);
        return;
    }
    const uint32_t *from = to_node;
    for (size_t i = 0; i < count; i++) {
        set_part(self, rolls[i], from);
        from += rolls[i]->count;
    }
    dz_free(&to_node);
}

void
catalog_fini(struct catalog *self)
{
    collection_fini(&self->tests);
    dz_free(&self->places);
    dz_free(&self->est_us);
    *self = (struct catalog){ 0 };
}

struct dz_slice
catalog_group(const struct catalog *self, uint32_t test)
{
    return group_at(&self->tests, self->places[test]);
}

struct dz_slice *
catalog_ids(const struct catalog *self)
{
    struct dz_slice *ids = dz_realloc(NULL, self->count + 1, sizeof(*ids));
    for (uint32_t i = 0; i < self->count; i++)
        ids[i] = catalog_id(self, i);
    return ids;
}

/* What was not kept left holes in the numbering of places: they are closed. */
uint32_t *
catalog_order(const struct catalog *self)
{
    uint32_t total = self->tests.ids.count, before = 0;
    DZ_AUTO(dz_free) uint32_t *rank = dz_alloc0(total + 1, sizeof(*rank));
    uint32_t *order = numbers_new(self->count);
    for (uint32_t i = 0; i < self->count; i++)
        rank[self->places[i]] = 1;
    for (uint32_t i = 0; i < total; i++) {
        uint32_t is_kept = rank[i];
        rank[i] = before;
        before += is_kept;
    }
    for (uint32_t i = 0; i < self->count; i++)
        order[i] = rank[self->places[i]];
    return order;
}

static uint32_t
find(const struct catalog *self, struct dz_slice id)
{
    uint32_t low = 0, high = self->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int difference = dz_slice_cmp(catalog_id(self, middle), id);
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
    uint32_t *to_node = numbers_new(roll->count);
    for (uint32_t i = 0; i < roll->count; i++)
        to_node[i] = find(self, dz_names_at(&roll->tests.ids, i));
    return set_numbers(self, roll, to_node);
}
