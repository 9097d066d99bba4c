/* test_catalog.c - the tests of a node: the union of what was collected, without what others have run. */
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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tests_that_are_left_out_have_no_number_and_the_others_have_all),
        cmocka_unit_test(all_may_be_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
