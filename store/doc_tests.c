/* doc_tests.c - the tests of a job that a query wants, in order; and what was meant by a name that
 * no test has. */
#include <stdlib.h>
#include <string.h>

#include "store/doc.h"

/* ---- choosing ---- */

static int
by_key(const void *a, const void *b, void *arg)
{
    const int64_t *keys = arg;
    uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;
    if (keys[x] != keys[y])
        return keys[x] < keys[y] ? -1 : 1;
    return x < y ? -1 : x > y;
}

static int64_t
key_of(const struct store_test *test, enum doc_order order)
{
    if (order == DOC_BY_START)
        return test->start_us;
    return -(test->setup_us + test->call_us + test->teardown_us);
}

void
doc_tests(struct store_view *view, const struct doc_tests_ask *ask, doc_test_fn *fn, void *arg,
          struct doc_tests_sum *sum_out)
{
    uint32_t all = store_view_count(view), count = 0;
    DZ_AUTO(dz_free) uint32_t *found = dz_alloc0((size_t) all + 1, sizeof(*found));
    DZ_AUTO(dz_free) int64_t *keys = dz_alloc0((size_t) all + 1, sizeof(*keys));
    for (uint32_t i = 0; i < all; i++) {
        struct store_test test;
        store_view_test(view, i, &test);
        if (!query_fits(ask->query, &test))
            continue;
        found[count++] = i;
        keys[i] = key_of(&test, ask->order);
    }
    if (ask->order != DOC_BY_ID)
        qsort_r(found, count, sizeof(*found), by_key, keys);
    uint32_t from = ask->offset < count ? ask->offset : count;
    uint32_t to = ask->limit && ask->limit < count - from ? from + ask->limit : count;
    *sum_out = (struct doc_tests_sum){ .all = all, .found = count, .shown = to - from };
    for (uint32_t i = from; i < to; i++) {
        struct doc_test test;
        doc_test_of(view, found[i], &test);
        bool tells_why = dz_result_is_bad(test.outcome) && count <= ask->reasons_max;
        if (ask->wants_text || tells_why)
            doc_test_read_text(view, found[i], &test);
        fn(arg, &test);
        doc_test_fini(&test);
    }
}

/* ---- nearest ones ---- */

enum { NAME_MAX_LEN = 512, SLIPS_MAX = 24 };

/* Letters that must be changed, added or left out to make one of the other: at most `most`, or
 * more than that.  Only a band along the diagonal is looked at. */
static size_t
slips(struct dz_slice a, struct dz_slice b, size_t most)
{
    size_t row[NAME_MAX_LEN + 1];
    if (a.len > NAME_MAX_LEN || b.len > NAME_MAX_LEN)
        return most + 1;
    for (size_t k = 0; k <= b.len; k++)
        row[k] = k;
    for (size_t i = 1; i <= a.len; i++) {
        size_t low = i > most ? i - most : 1, high = i + most < b.len ? i + most : b.len;
        size_t before = row[low - 1], best = most + 1;
        row[low - 1] = low == 1 ? i : most + 1;
        for (size_t k = low; k <= high; k++) {
            size_t above = k == i + most ? most + 1 : row[k];
            size_t cost = before + (a.ptr[i - 1] != b.ptr[k - 1]);
            cost = above + 1 < cost ? above + 1 : cost;
            cost = row[k - 1] + 1 < cost ? row[k - 1] + 1 : cost;
            before = row[k];
            row[k] = cost;
            best = cost < best ? cost : best;
        }
        if (best > most)
            return most + 1;
    }
    return row[b.len];
}

/* What both begin and end with costs nothing and is most of it. */
static size_t
distance(struct dz_slice a, struct dz_slice b, size_t most)
{
    size_t more = a.len > b.len ? a.len - b.len : b.len - a.len;
    if (more > most)
        return most + 1;
    while (a.len > 0 && b.len > 0 && a.ptr[0] == b.ptr[0]) {
        a = (struct dz_slice){ a.ptr + 1, a.len - 1 };
        b = (struct dz_slice){ b.ptr + 1, b.len - 1 };
    }
    while (a.len > 0 && b.len > 0 && a.ptr[a.len - 1] == b.ptr[b.len - 1]) {
        a.len--;
        b.len--;
    }
    return slips(a, b, most);
}

struct near {
    struct dz_slice *ids;
    size_t slips[DOC_NEAR_MAX];
    size_t max, count, all;
};

static void
note_near(struct near *self, struct dz_slice id, size_t cost)
{
    size_t at = self->count;
    self->all++;
    while (at > 0 && self->slips[at - 1] > cost)
        at--;
    if (at == self->max)
        return;
    self->count += self->count < self->max;
    for (size_t i = self->count - 1; i > at; i--) {
        self->slips[i] = self->slips[i - 1];
        self->ids[i] = self->ids[i - 1];
    }
    self->slips[at] = cost;
    self->ids[at] = id;
}

/* "test_b" of "a.py::TestA::test_b[1]": a name without a file is meant to be such a one. */
static struct dz_slice
function_of(struct dz_slice id)
{
    const uint8_t *bracket = memchr(id.ptr, '[', id.len);
    size_t end = bracket ? (size_t) (bracket - id.ptr) : id.len, begin = end;
    while (begin > 0 && id.ptr[begin - 1] != ':')
        begin--;
    return (struct dz_slice){ id.ptr + begin, end - begin };
}

/* Those that contain it, or, with `most`, those that have at most so many slips. */
static void
each_test(const struct store_view *view, struct near *near, struct dz_slice wanted, size_t most)
{
    uint32_t all = store_view_count(view);
    bool is_function = !memmem(wanted.ptr, wanted.len, "::", 2);
    for (uint32_t i = 0; i < all; i++) {
        struct store_test test;
        store_view_test(view, i, &test);
        size_t cost = 0;
        if (most > 0)
            cost = distance(test.id, wanted, most);
        if (cost > most && is_function)
            cost = distance(function_of(test.id), wanted, most);
        if (most == 0 && !memmem(test.id.ptr, test.id.len, wanted.ptr, wanted.len))
            continue;
        if (cost <= most)
            note_near(near, test.id, cost);
    }
}

size_t
doc_near(const struct store_view *view, const char *name, size_t max,
         struct dz_slice near_out[DOC_NEAR_MAX], size_t *all_out)
{
    struct near near = { .ids = near_out, .max = max < DOC_NEAR_MAX ? max : DOC_NEAR_MAX };
    struct dz_slice wanted = dz_str(name);
    size_t most = wanted.len / 4 + 1 < SLIPS_MAX ? wanted.len / 4 + 1 : SLIPS_MAX;
    each_test(view, &near, wanted, 0);
    if (near.count == 0)
        each_test(view, &near, wanted, most);
    *all_out = near.all;
    return near.count;
}
