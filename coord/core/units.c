#include "coord/core/units.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/digest.h"

/* ------------------------------------------------------------------ names */

static struct dz_slice
until(struct dz_slice id, size_t len)
{
    return (struct dz_slice){ id.ptr, len };
}

/* Where "::" begins, searched from `from`; id.len: nowhere. */
static size_t
find_colons(struct dz_slice id, size_t from)
{
    for (size_t i = from; i + 1 < id.len; i++)
        if (id.ptr[i] == ':' && id.ptr[i + 1] == ':')
            return i;
    return id.len;
}

static struct dz_slice
module_of(struct dz_slice id)
{
    return until(id, find_colons(id, 0));
}

/* "a.py::C" of "a.py::C::test[x::y]": a parameter's text is not structure. */
static struct dz_slice
scope_of(struct dz_slice id)
{
    size_t end = find_colons(id, 0);
    size_t next = end;
    while (next < id.len) {
        end = next;
        next = find_colons(id, end + 2);
        const uint8_t *bracket = memchr(id.ptr + end, '[', next - end);
        if (bracket)
            break;
    }
    return until(id, end);
}

/* ------------------------------------------------------------------ names to numbers */

struct names {
    struct dz_slice *slots; /* owned; open addressing, a power of two, borrowed bytes */
    uint32_t *numbers;      /* owned */
    size_t mask;
    uint32_t count;
};

static void
names_init(struct names *self, size_t most)
{
    size_t size = 16;
    while (size < most * 2)
        size *= 2;
    self->slots = dz_alloc0(size, sizeof(*self->slots));
    self->numbers = dz_alloc0(size, sizeof(*self->numbers));
    self->mask = size - 1;
    self->count = 0;
}

static void
names_fini(struct names *self)
{
    free(self->slots);
    free(self->numbers);
}

static uint32_t
number_of(struct names *self, struct dz_slice name)
{
    size_t at = dz_hash64(name) & self->mask;
    while (self->slots[at].ptr && !dz_slice_eq(self->slots[at], name))
        at = (at + 1) & self->mask;
    if (!self->slots[at].ptr) {
        self->slots[at] = name;
        self->numbers[at] = self->count++;
    }
    return self->numbers[at];
}

/* ------------------------------------------------------------------ cutting */

struct cutter {
    const struct coord_test *tests; /* borrowed */
    size_t count;
    enum coord_placement placement;
    uint32_t *by_order; /* owned: collection position -> test */
    uint32_t *unit_of;  /* owned: test -> unit in order of appearance */
    struct unit *units; /* owned by who takes it */
    size_t unit_count;
};

/* What ties this test to others; false: nothing does. */
static bool
tie_of(const struct cutter *self, const struct coord_test *test, struct dz_slice *tie_out)
{
    if (test->group.len)
        *tie_out = test->group;
    else if (self->placement == COORD_PLACE_FILE)
        *tie_out = module_of(test->id);
    else if (self->placement == COORD_PLACE_SCOPE)
        *tie_out = scope_of(test->id);
    else
        return false;
    return true;
}

static uint32_t
add_unit(struct cutter *self, bool is_tied)
{
    self->units[self->unit_count] =
        (struct unit){ .is_tied = is_tied, .owner = UNIT_NONE, .avoid = UNIT_NONE };
    return (uint32_t) self->unit_count++;
}

static void
assign_units(struct cutter *self)
{
    struct names ties;
    names_init(&ties, self->count);
    uint32_t *unit_of_tie = dz_alloc0(self->count + 1, sizeof(*unit_of_tie));
    struct dz_slice module = { 0 };
    uint32_t run = UNIT_NONE;
    for (size_t i = 0; i < self->count; i++) {
        uint32_t test = self->by_order[i];
        struct dz_slice tie;
        if (tie_of(self, &self->tests[test], &tie)) {
            uint32_t known = ties.count;
            uint32_t number = number_of(&ties, tie);
            if (number == known)
                unit_of_tie[number] = add_unit(self, true);
            self->unit_of[test] = unit_of_tie[number];
        } else {
            struct dz_slice here = module_of(self->tests[test].id);
            if (run == UNIT_NONE || !dz_slice_eq(here, module))
                run = add_unit(self, false);
            module = here;
            self->unit_of[test] = run;
        }
        self->units[self->unit_of[test]].hi++; /* a length, until place_units() */
    }
    free(unit_of_tie);
    names_fini(&ties);
}

/* Lengths become positions, and tests get theirs. */
static void
place_units(struct cutter *self, struct units *out)
{
    uint32_t at = 0;
    for (size_t u = 0; u < self->unit_count; u++) {
        struct unit *unit = &self->units[u];
        uint32_t len = unit->hi;
        unit->lo = unit->hi = unit->next = at;
        unit->free = len;
        at += len;
    }
    for (size_t i = 0; i < self->count; i++) {
        uint32_t test = self->by_order[i];
        struct unit *unit = &self->units[self->unit_of[test]];
        out->seq[unit->hi] = test;
        out->pos[test] = unit->hi++;
    }
}

/* ------------------------------------------------------------------ durations */

/* Sum of what is known in a unit, spread over its tests without history. */
static void
sum_unit(struct units *self, const struct coord_test *tests, const struct unit *unit,
         uint64_t project_mean)
{
    uint64_t known = 0;
    uint64_t known_us = 0;
    for (uint32_t p = unit->lo; p < unit->hi; p++) {
        known += tests[self->seq[p]].est_us > 0;
        known_us += tests[self->seq[p]].est_us;
    }
    uint64_t mean = known ? known_us / known : project_mean;
    for (uint32_t p = unit->lo; p < unit->hi; p++) {
        uint64_t est = tests[self->seq[p]].est_us;
        self->sum[p + 1] = self->sum[p] + (est ? est : mean ? mean : 1);
    }
}

static void
sum_durations(struct units *self, const struct coord_test *tests)
{
    uint64_t known = 0;
    uint64_t known_us = 0;
    for (size_t i = 0; i < self->count; i++) {
        known += tests[i].est_us > 0;
        known_us += tests[i].est_us;
    }
    self->is_blind = known == 0;
    uint64_t mean = known ? known_us / known : UNKNOWN_US;
    for (size_t u = 0; u < self->unit_count; u++) {
        struct unit *unit = &self->list[u];
        sum_unit(self, tests, unit, mean);
        uint64_t longest = unit->is_tied ? self->sum[unit->hi] - self->sum[unit->lo] : 0;
        for (uint32_t p = unit->lo; p < unit->hi; p++) {
            uint64_t weight = self->sum[p + 1] - self->sum[p];
            longest = weight > longest ? weight : longest;
        }
        unit->longest = longest < UINT32_MAX ? (uint32_t) longest : UINT32_MAX;
    }
}

static void
cut_blocks(struct units *self, const struct coord_test *tests)
{
    struct dz_slice before = { 0 };
    struct block *block = NULL;
    self->blocks = dz_alloc0(self->count + 1, sizeof(*self->blocks));
    for (uint32_t u = 0; u < self->unit_count; u++) {
        for (uint32_t p = self->list[u].lo; p < self->list[u].hi; p++) {
            struct dz_slice id = tests[self->seq[p]].id;
            struct dz_slice here = scope_of(id);
            if (p == self->list[u].lo || !dz_slice_eq(here, before)) {
                block = &self->blocks[self->block_count++];
                *block = (struct block){ .lo = p,
                                         .unit = u,
                                         .is_class = here.len > module_of(id).len,
                                         .visitor = UNIT_NONE };
            }
            block->hi = p + 1;
            self->block_of[p] = (uint32_t) self->block_count - 1;
            before = here;
        }
    }
    self->blocks = dz_realloc(self->blocks, self->block_count + 1, sizeof(*self->blocks));
}

struct weight {
    uint64_t us;
    uint32_t unit;
};

/* What can run in few places only is begun first. */
static bool
is_first(const struct units *self, const struct coord_test *tests, uint32_t u)
{
    struct dz_slice tie = tests[self->seq[self->list[u].lo]].group;
    return tie.len > 0 && tie.ptr[0] == '!';
}

static int
heavier_first(const void *a_, const void *b_)
{
    const struct weight *a = a_;
    const struct weight *b = b_;
    if (a->us != b->us)
        return a->us > b->us ? -1 : 1;
    return a->unit < b->unit ? -1 : 1;
}

static void
sort_longest_first(struct units *self)
{
    struct weight *weights = dz_alloc0(self->unit_count + 1, sizeof(*weights));
    for (uint32_t u = 0; u < self->unit_count; u++)
        weights[u] =
            (struct weight){ self->sum[self->list[u].hi] - self->sum[self->list[u].lo], u };
    qsort(weights, self->unit_count, sizeof(*weights), heavier_first);
    for (size_t i = 0; i < self->unit_count; i++)
        self->order[i] = weights[i].unit;
    free(weights);
}

static void
begin_with(struct units *self, const struct coord_test *tests)
{
    size_t firsts = 0;
    for (size_t i = 0; i < self->unit_count; i++) {
        uint32_t u = self->order[i];
        if (!is_first(self, tests, u))
            continue;
        memmove(self->order + firsts + 1, self->order + firsts,
                (i - firsts) * sizeof(*self->order));
        self->order[firsts++] = u;
    }
}

void
units_init(struct units *self, const struct coord_test *tests, size_t count,
           enum coord_placement placement, bool keep_order)
{
    *self = (struct units){
        .count = count,
        .seq = dz_alloc0(count + 1, sizeof(*self->seq)),
        .pos = dz_alloc0(count + 1, sizeof(*self->pos)),
        .sum = dz_alloc0(count + 1, sizeof(*self->sum)),
        .block_of = dz_alloc0(count + 1, sizeof(*self->block_of)),
    };
    struct cutter cutter = {
        .tests = tests,
        .count = count,
        .placement = placement,
        .by_order = dz_alloc0(count + 1, sizeof(uint32_t)),
        .unit_of = dz_alloc0(count + 1, sizeof(uint32_t)),
        .units = dz_alloc0(count + 1, sizeof(struct unit)),
    };
    for (size_t i = 0; i < count; i++) {
        dz_assert(tests[i].order < count);
        cutter.by_order[tests[i].order] = (uint32_t) i;
    }
    assign_units(&cutter);
    place_units(&cutter, self);
    self->unit_count = cutter.unit_count;
    self->list = dz_realloc(dz_move(cutter.units), cutter.unit_count + 1, sizeof(struct unit));
    free(cutter.by_order);
    free(cutter.unit_of);
    self->order = dz_alloc0(self->unit_count + 1, sizeof(*self->order));
    for (uint32_t u = 0; u < self->unit_count; u++)
        self->order[u] = u;
    sum_durations(self, tests);
    cut_blocks(self, tests);
    if (!keep_order && !self->is_blind)
        sort_longest_first(self);
    begin_with(self, tests);
}

void
units_fini(struct units *self)
{
    free(self->seq);
    free(self->pos);
    free(self->sum);
    free(self->block_of);
    free(self->blocks);
    free(self->list);
    free(self->order);
    *self = (struct units){ 0 };
}
