/* test_catalog.c - the tests of a node: the union of what was collected, without what others have run. */
#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"
#include "vassal/io/catalog.h"

static struct roll *
collected(const char *const *ids, size_t count)
{
    struct dz_msg_manifest part = { 0 };
    DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
    struct dz_err err;
    for (size_t i = 0; i < count; i++)
        dz_entry_add(&part.entries, &bytes, &(struct dz_item_entry){ .id = dz_str(ids[i]) });
    part.entries.items = dz_buf_slice(&bytes);
    struct roll *roll = roll_new();
    assert_int_equal(roll_add(roll, &part, &err), DZ_OK);
    return roll;
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
        assert_memory_equal(catalog.ids[i].ptr, i == 0 ? "m1" : i == 1 ? "m2" : "m3", 2);
    const uint32_t order[] = { 1, 0, 2 }, numbers[] = { 1, CATALOG_NO_TEST, 0, CATALOG_NO_TEST },
                   more[] = { CATALOG_NO_TEST, 2 }, locals[] = { 2, 0, CATALOG_NO_TEST };
    assert_memory_equal(catalog.order, order, sizeof(order));
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
    assert_null(catalog.groups);
    for (uint32_t i = 0; i < count; i++) {
        struct dz_slice id = dz_str(ids[catalog.order[i]]);
        assert_true(i == 0 || dz_slice_cmp(catalog.ids[i - 1], catalog.ids[i]) < 0);
        assert_true(dz_slice_eq(catalog.ids[i], id));
        assert_int_equal(roll->to_local[i], catalog.order[i]);
        assert_int_equal(roll->to_node[catalog.order[i]], i);
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
        for (size_t step = 1; step < 6; step++) { /* sorted, in runs, and against the order */
            for (size_t i = 0; i < count; i++) {
                size_t k = step == 5 ? count - i : i % step * 1000 + i / step;
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
    assert_memory_equal(catalog.order, order, sizeof(order));
    assert_memory_equal(roll->to_local, locals, sizeof(locals));
    assert_memory_equal(roll->to_node, numbers, sizeof(numbers));
    catalog_fini(&catalog);
    roll_drop(&roll);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tests_that_are_left_out_have_no_number_and_the_others_have_all),
        cmocka_unit_test(all_may_be_left_out),
        cmocka_unit_test(tests_are_sorted_by_their_bytes),
        cmocka_unit_test(a_name_that_comes_twice_is_the_first_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
