#include "vassal/io/sorter.h"

#include <stdlib.h>
#include <string.h>

enum { SORTER_FIRST = 64 };

void
sorter_fini(struct sorter *self)
{
    free(self->order);
    *self = (struct sorter){ 0 };
}

static int
compare(const struct dz_names *names, uint32_t a, uint32_t b)
{
    return dz_slice_cmp(dz_names_at(names, a), dz_names_at(names, b));
}

static bool
is_less(const struct dz_names *names, uint32_t a, uint32_t b)
{
    return compare(names, a, b) < 0;
}

/* ------------------------------------------------------------------ merging */

/* Where in a sorted run `number` belongs: behind those that are equal, or before them. */
static uint32_t *
place_of(const struct dz_names *names, uint32_t *begin, uint32_t *end, uint32_t number,
         bool is_behind)
{
    while (begin < end) {
        uint32_t *middle = begin + (end - begin) / 2;
        int order = compare(names, *middle, number);
        if (order < 0 || (order == 0 && is_behind))
            begin = middle + 1;
        else
            end = middle;
    }
    return begin;
}

/* Of two runs, begin to middle and middle to end, the first is out of the way. */
static void
merge_up(const struct dz_names *names, uint32_t *to, const uint32_t *left, size_t count,
         const uint32_t *right, const uint32_t *end)
{
    const uint32_t *left_end = left + count;
    while (left < left_end) {
        bool is_right = right < end && is_less(names, *right, *left);
        *to++ = is_right ? *right++ : *left++;
    }
}

/* The second is; from the end on. */
static void
merge_down(const struct dz_names *names, uint32_t *to, const uint32_t *begin, const uint32_t *left,
           const uint32_t *right, size_t count)
{
    while (count > 0) {
        bool is_left = left > begin && is_less(names, right[count - 1], left[-1]);
        *--to = is_left ? *--left : right[--count];
    }
}

/* Two runs, begin to middle and middle to end, become one.  What is in its place already is not looked at. */
static void
merge(const struct dz_names *names, uint32_t *begin, uint32_t *middle, uint32_t *end)
{
    begin = place_of(names, begin, middle, *middle, true);
    if (begin == middle)
        return;
    end = place_of(names, middle, end, middle[-1], false);
    size_t left = (size_t) (middle - begin), right = (size_t) (end - middle);
    size_t less = left < right ? left : right;
    DZ_AUTO(dz_free) uint32_t *spare = dz_realloc(NULL, less, sizeof(*spare));
    memcpy(spare, left < right ? begin : middle, less * sizeof(*spare));
    if (left < right)
        merge_up(names, begin, spare, left, middle, end);
    else
        merge_down(names, end, begin, middle, spare, right);
}

/* The last two runs, the last of which ends at `end`. */
static void
merge_last(struct sorter *self, const struct dz_names *names, uint32_t end)
{
    uint32_t middle = self->begins[--self->runs], begin = self->begins[self->runs - 1];
    merge(names, self->order + begin, self->order + middle, self->order + end);
}

/* ------------------------------------------------------------------ runs */

static void
begin_run(struct sorter *self, const struct dz_names *names)
{
    uint32_t end = self->count;
    while (self->runs >= 2) {
        uint32_t last = self->begins[self->runs - 1], before = self->begins[self->runs - 2];
        if ((last - before) / 2 > end - last)
            break;
        merge_last(self, names, end);
    }
    dz_assert(self->runs < SORTER_RUNS);
    self->begins[self->runs++] = end;
}

void
sorter_add(struct sorter *self, const struct dz_names *names)
{
    uint32_t number = self->count;
    if (number == 0 || is_less(names, number, number - 1))
        begin_run(self, names);
    if (number == self->cap) {
        self->cap = self->cap ? 2 * self->cap : SORTER_FIRST;
        self->order = dz_realloc(self->order, self->cap, sizeof(*self->order));
    }
    self->order[self->count++] = number;
}

void
sorter_end(struct sorter *self, const struct dz_names *names)
{
    while (self->runs >= 2)
        merge_last(self, names, self->count);
}
