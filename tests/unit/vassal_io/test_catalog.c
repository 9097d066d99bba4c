/* test_catalog.c - the tests of a node: the union of what was collected, without what others have run. */
#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"
#include "vassal/io/catalog.h"

enum { PART = 7 };

static void
add_part(struct roll *roll, const char *const *ids, const char *const *groups, size_t first,
         size_t count)
{
    struct dz_msg_manifest part = { .first = first };
    DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
    struct dz_err err;
    for (size_t i = first; i < first + count; i++) {
        struct dz_item_entry entry = { .id = dz_str(ids[i]) };
        if (groups)
            entry.group = dz_str(groups[i]);
        dz_entry_add(&part.entries, &bytes, &entry);
    }
    part.entries.items = dz_buf_slice(&bytes);
    assert_int_equal(roll_add(roll, &part, &err), DZ_OK);
}

static struct roll *
collected_with(const char *const *ids, const char *const *groups, size_t count)
{
    struct roll *roll = roll_new();
    for (size_t first = 0; first < count; first += PART)
        add_part(roll, ids, groups, first, count - first < PART ? count - first : PART);
    return roll;
}

static struct roll *
collected(const char *const *ids, size_t count)
{
    return collected_with(ids, NULL, count);
}

static void
expect_order(const struct catalog *catalog, const uint32_t *expected, size_t size)
{
    DZ_AUTO(dz_free) uint32_t *order = catalog_order(catalog);
    assert_memory_equal(order, expected, size);
}

static bool
begins_with_k(void *arg, struct dz_slice id)
{
    (*(unsigned *) arg)++;
    return id.ptr[0] == 'k';
}

static void
tests_that_are_left_out_have_no_number_and_the_others_have_all(void **state)
{
    static const char *const first[] = { "m2", "k1", "m1", "k2" }, *const second[] = { "k1", "m3" };
    struct roll *rolls[] = { collected(first, 4), collected(second, 2) };
    struct catalog catalog;
    unsigned asked = 0;
    struct catalog_filter filter = { begins_with_k, &asked };
    (void) state;
    catalog_build(&catalog, rolls, 2, &filter);
    assert_int_equal(catalog.count, 3);
    assert_int_equal(catalog.left_out, 2);
    assert_int_equal(asked, 5); /* each name once */
    for (uint32_t i = 0; i < 3; i++)
        assert_memory_equal(catalog_id(&catalog, i).ptr, i == 0 ? "m1" : i == 1 ? "m2" : "m3", 2);
    const uint32_t order[] = { 1, 0, 2 }, numbers[] = { 1, CATALOG_NO_TEST, 0, CATALOG_NO_TEST },
                   more[] = { CATALOG_NO_TEST, 2 }, locals[] = { 2, 0, CATALOG_NO_TEST };
    expect_order(&catalog, order, sizeof(order));
    assert_memory_equal(rolls[0]->to_node, numbers, sizeof(numbers));
    assert_memory_equal(rolls[1]->to_node, more, sizeof(more));
    assert_memory_equal(rolls[0]->to_local, locals, sizeof(locals));
    catalog_fini(&catalog);
    roll_drop(&rolls[0]);
    roll_drop(&rolls[1]);
}

static void
all_may_be_left_out(void **state)
{
    static const char *const ids[] = { "k1", "k2" };
    struct roll *roll = collected(ids, 2);
    struct catalog catalog;
    unsigned asked = 0;
    struct catalog_filter filter = { begins_with_k, &asked };
    (void) state;
    catalog_build(&catalog, &roll, 1, &filter);
    assert_int_equal(catalog.count, 0);
    assert_int_equal(catalog.left_out, 2);
    catalog_fini(&catalog);
    roll_drop(&roll);
}

/* Numbers are places among all ids by their bytes, whatever the order of collection, and lead there and back. */
static void
expect_sorted(const char *const *ids, size_t count)
{
    struct roll *roll = collected(ids, count);
    struct catalog catalog;
    catalog_build(&catalog, &roll, 1, NULL);
    assert_int_equal(catalog.count, count);
    DZ_AUTO(dz_free) uint32_t *order = catalog_order(&catalog);
    for (uint32_t i = 0; i < count; i++) {
        struct dz_slice id = catalog_id(&catalog, i);
        assert_true(i == 0 || dz_slice_cmp(catalog_id(&catalog, i - 1), id) < 0);
        assert_true(dz_slice_eq(id, dz_str(ids[order[i]])));
        assert_int_equal(catalog_group(&catalog, i).len, 0);
        assert_int_equal(roll->to_local[i], order[i]);
        assert_int_equal(roll->to_node[order[i]], i);
    }
    catalog_fini(&catalog);
    roll_drop(&roll);
}

static void
tests_are_sorted_by_their_bytes(void **state)
{
    enum { MOST = 300 };
    static char names[MOST][16];
    const char *ids[MOST];
    (void) state;
    for (size_t count = 1; count <= MOST; count = count < 20 ? count + 1 : count + 93) {
        for (size_t step = 1; step < 7;
             step++) { /* sorted, in runs, against the order, and in none */
            for (size_t i = 0; i < count; i++) {
                size_t k = step == 6   ? i * 7919 % 10007
                           : step == 5 ? count - i
                                       : i % step * 1000 + i / step;
                (void) snprintf(names[i], sizeof(names[i]), "t%zu::x", k);
                ids[i] = names[i];
            }
            expect_sorted(ids, count);
        }
    }
}

static void
a_name_that_comes_twice_is_the_first_one(void **state)
{
    static const char *const ids[] = { "b", "a", "b", "c", "a" };
    struct roll *roll = collected(ids, 5);
    struct catalog catalog;
    (void) state;
    catalog_build(&catalog, &roll, 1, NULL);
    const uint32_t order[] = { 1, 0, 2 }, locals[] = { 1, 0, 3 },
                   numbers[] = { 1, 0, CATALOG_NO_TEST, 2, CATALOG_NO_TEST };
    assert_int_equal(catalog.count, 3);
    expect_order(&catalog, order, sizeof(order));
    assert_memory_equal(roll->to_local, locals, sizeof(locals));
    assert_memory_equal(roll->to_node, numbers, sizeof(numbers));
    catalog_fini(&catalog);
    roll_drop(&roll);
}

static void
groups_stay_with_their_tests(void **state)
{
    static const char *const ids[] = { "c", "a", "d", "b" }, *const others[] = { "e", "a" },
                             *const groups[] = { "", "x", "x", "y" }, *const plain[] = { "", "" };
    (void) state;
    for (size_t count = 1; count <= 2; count++) {
        struct roll *rolls[] = { collected_with(ids, groups, 4), collected_with(others, plain, 2) };
        struct catalog catalog;
        catalog_build(&catalog, rolls, count, NULL);
        static const char *const expected[] = { "x", "y", "", "x", "" };
        assert_int_equal(catalog.count, 3 + count);
        for (uint32_t i = 0; i < catalog.count; i++)
            assert_true(dz_slice_eq(catalog_group(&catalog, i), dz_str(expected[i])));
        catalog_fini(&catalog);
        roll_drop(&rolls[0]);
        roll_drop(&rolls[1]);
    }
}

/* Whoever has the same tests has the same digest, in whatever order and from however many processes they came. */
static void
a_digest_is_of_the_tests_and_of_nothing_else(void **state)
{
    static const char *const one[] = { "a", "b", "c" }, *const other[] = { "c", "a", "b" },
                             *const half[] = { "b", "a", "b" }, *const more[] = { "c", "a" },
                             *const out[] = { "k", "c", "a", "b" },
                             *const not [] = { "a", "b", "d" };
    const struct {
        struct roll *rolls[2];
        size_t count;
        bool is_same;
    } cases[] = {
        { { collected(other, 3) }, 1, true },
        { { collected(half, 3), collected(more, 2) }, 2, true },
        { { collected(out, 4) }, 1, true },
        { { collected(not, 3) }, 1, false },
        { { collected(one, 2) }, 1, false },
    };
    struct roll *roll = collected(one, 3);
    struct catalog first, catalog;
    unsigned asked = 0;
    (void) state;
    catalog_build(&first, &roll, 1, NULL);
    for (size_t i = 0; i < DZ_LEN(cases); i++) {
        struct catalog_filter filter = { begins_with_k, &asked };
        catalog_build(&catalog, cases[i].rolls, cases[i].count, &filter);
        assert_int_equal(catalog.digest == first.digest, cases[i].is_same);
        catalog_fini(&catalog);
        for (size_t r = 0; r < cases[i].count; r++)
            roll_drop(&(struct roll *){ cases[i].rolls[r] });
    }
    catalog_fini(&first);
    roll_drop(&roll);
}

/* Adds one test to it. */
static enum dz_rc
add_like(struct roll *roll, uint64_t same, const char *rest)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
    struct dz_msg_manifest part = { .first = roll->count };
    struct dz_item_entry entry = { .id = dz_str(rest), .same = same };
    struct dz_err err;
    dz_entry_add(&part.entries, &bytes, &entry);
    part.entries.items = dz_buf_slice(&bytes);
    return roll_add(roll, &part, &err);
}

static void
a_name_may_begin_as_the_one_before(void **state)
{
    (void) state;
    DZ_AUTO(roll_drop) struct roll *roll = roll_new();
    assert_int_equal(add_like(roll, 1, "a"), DZ_CORRUPT);
    assert_int_equal(add_like(roll, 0, ""), DZ_CORRUPT);
    assert_ok(add_like(roll, 0, "t.py::b"));
    assert_ok(add_like(roll, 6, "c"));
    assert_ok(add_like(roll, 7, "[1]"));
    assert_ok(add_like(roll, 6, "a"));
    assert_int_equal(add_like(roll, 8, "x"), DZ_CORRUPT);
    static const char *const ids[] = { "t.py::a", "t.py::b", "t.py::c", "t.py::c[1]" };
    struct catalog catalog;
    catalog_build(&catalog, &roll, 1, NULL);
    assert_int_equal(catalog.count, DZ_LEN(ids));
    for (uint32_t i = 0; i < DZ_LEN(ids); i++)
        assert_true(dz_slice_eq(catalog_id(&catalog, i), dz_str(ids[i])));
    catalog_fini(&catalog);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tests_that_are_left_out_have_no_number_and_the_others_have_all),
        cmocka_unit_test(all_may_be_left_out),
        cmocka_unit_test(tests_are_sorted_by_their_bytes),
        cmocka_unit_test(a_name_that_comes_twice_is_the_first_one),
        cmocka_unit_test(groups_stay_with_their_tests),
        cmocka_unit_test(a_name_may_begin_as_the_one_before),
        cmocka_unit_test(a_digest_is_of_the_tests_and_of_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
