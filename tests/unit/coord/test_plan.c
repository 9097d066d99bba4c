/* Which test comes next, in which slot. */
#include "tests/unit/coord/plan_suite.h"

static void
every_test_is_given_once(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add_module(&suite, "a", 70, 100);
    add_module(&suite, "b", 3, 0);
    add_module(&suite, "c", 40, 5000);
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_LOAD, 3);
    uint8_t given[MANY] = { 0 };
    uint32_t tests[BATCH];
    size_t total = 0;
    for (uint32_t turn = 0; total < suite.count; turn++) {
        size_t count = plan_take(plan, turn % 3, 1000, BATCH, tests);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(given[tests[i]]++, 0);
        total += count;
        assert_true(turn < 10 * suite.count);
    }
    assert_int_equal(plan_free(plan), 0);
    assert_int_equal(take_one(plan, 0), UINT32_MAX);
}

static void
the_longest_module_goes_out_first(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add_module(&suite, "a", 3, 100);
    add_module(&suite, "b", 2, 90000);
    add_module(&suite, "c", 3, 1000);
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_LOAD, 2);
    assert_int_equal(take_one(plan, 0), 3); /* b's first */
    assert_int_equal(take_one(plan, 1), 5); /* c's first */
    assert_int_equal(take_one(plan, 1), 6);
    assert_int_equal(take_one(plan, 0), 4);
    assert_int_equal(take_one(plan, 0), 0); /* a's first */
}

static void
without_history_collection_order_is_kept(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add_module(&suite, "a", 1, 0);
    add_module(&suite, "b", 5, 0);
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_LOAD, 1);
    for (uint32_t t = 0; t < suite.count; t++)
        assert_int_equal(take_one(plan, 0), t);
}

static void
keep_order_is_stronger_than_durations(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add_module(&suite, "a", 1, 1);
    add_module(&suite, "b", 1, 1000000);
    DZ_AUTO(plan_destroy)
    struct plan *plan = plan_new(suite.tests, suite.count, COORD_PLACE_LOAD, true);
    plan_open(plan, 0, 0);
    assert_int_equal(take_one(plan, 0), 0);
    assert_int_equal(take_one(plan, 0), 1);
}

/* pytest moves tests of several modules next to each other when they share a parametrised session
 * fixture; each such run is a unit of its own. */
static void
a_module_that_collection_order_interleaves_is_several_units(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add(&suite, "a.py::t[1]", 0);
    add(&suite, "a.py::t[2]", 0);
    add(&suite, "b.py::t[1]", 0);
    add(&suite, "b.py::t[2]", 0);
    suite.tests[1].order = 2; /* a1 b1 a2 b2 */
    suite.tests[2].order = 1;
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_LOAD, 1);
    const uint32_t order[] = { 0, 2, 1, 3 };
    for (size_t i = 0; i < DZ_LEN(order); i++)
        assert_int_equal(take_one(plan, 0), order[i]);
}

static void
an_idle_slot_takes_half_of_the_largest_rest(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add_module(&suite, "a", 100, 10000);
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_LOAD, 2);
    assert_int_equal(take_one(plan, 0), 0);
    uint32_t stolen = take_one(plan, 1); /* of 1 .. 99 */
    assert_in_range(stolen, 49, 51);
    assert_int_equal(take_one(plan, 0), 1); /* the victim goes on where it was */
    assert_int_equal(take_one(plan, 1), stolen + 1);
}

static void
a_cut_prefers_the_beginning_of_a_class(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    char id[64];
    for (unsigned i = 0; i < 40; i++) {
        (void) snprintf(id, sizeof(id), "a.py::C%u::test_%02u", i / 17, i); /* opens at 17, 34 */
        add(&suite, id, 10000);
    }
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_LOAD, 2);
    assert_int_equal(take_one(plan, 0), 0);
    assert_int_equal(take_one(plan, 1), 17);
}

static void
a_short_rest_is_left_where_it_is(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add_module(&suite, "a", 10, 100); /* 900 us are left after the first */
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_LOAD, 2);
    assert_int_equal(take_one(plan, 0), 0);
    assert_int_equal(take_one(plan, 1), UINT32_MAX);
}

static void
a_file_stays_in_one_slot_under_loadfile(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add_module(&suite, "a", 50, 100000);
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_FILE, 2);
    assert_int_equal(take_one(plan, 0), 0);
    assert_int_equal(take_one(plan, 1), UINT32_MAX);
    size_t stay = 0;
    assert_false(plan_let_go(plan, 0, (uint32_t[]){ 0 }, 1, &stay));
}

/* A slot without work need not wait for tests that are tied to another one. */
static void
tests_of_a_tied_unit_are_bound_to_the_slot_that_works_on_it(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add_module(&suite, "a", 3, 100000);
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_FILE, 2);
    assert_true(plan_has_for(plan, 1));
    assert_int_equal(take_one(plan, 0), 0);
    assert_false(plan_has_for(plan, 1));
    assert_int_equal(plan_free(plan), 2);
    plan_close(plan, 0);
    assert_true(plan_has_for(plan, 1));
}

static void
a_group_is_one_unit_across_modules(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add(&suite, "a.py::t1", 1000);
    add(&suite, "a.py::t2", 1000);
    add(&suite, "b.py::t1", 1000);
    suite.tests[0].group = suite.tests[2].group = dz_str("db");
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_LOAD, 2);
    assert_int_equal(take_one(plan, 0), 0);
    assert_int_equal(take_one(plan, 1), 1);
    assert_int_equal(take_one(plan, 1), UINT32_MAX); /* b.py::t1 belongs to slot 0 */
    assert_int_equal(take_one(plan, 0), 2);
}

/* "::" inside of a parameter is not structure. */
static void
a_scope_ends_before_the_parameters(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add(&suite, "a.py::C::t[x::y]", 9000);
    add(&suite, "a.py::C::t[z]", 9000);
    add(&suite, "a.py::t", 9000);
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_SCOPE, 2);
    assert_int_equal(take_one(plan, 0), 0);
    assert_int_equal(take_one(plan, 1), 2);
    assert_int_equal(take_one(plan, 1), UINT32_MAX);
    assert_int_equal(take_one(plan, 0), 1);
}

static void
a_batch_is_counted_in_time(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add_module(&suite, "a", 100, 1000);
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_LOAD, 1);
    uint32_t tests[BATCH];
    assert_int_equal(plan_take(plan, 0, 5000, BATCH, tests), 5);
    assert_int_equal(plan_take(plan, 0, 0, BATCH, tests), 1); /* at least one */
    assert_int_equal(plan_take(plan, 0, 1000000, BATCH, tests), BATCH);
}

static void
what_comes_back_is_given_again(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add_module(&suite, "a", 6, 0);
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_LOAD, 2);
    uint32_t tests[BATCH];
    assert_int_equal(plan_take(plan, 0, INT64_MAX / 2, 4, tests), 4);
    plan_return(plan, 0, tests + 1, 3, PLAN_KEPT); /* 1 2 3: in front of 4 */
    assert_int_equal(plan_free(plan), 5);
    assert_int_equal(take_one(plan, 0), 1);
    plan_return(plan, 0, (uint32_t[]){ 1 }, 1, PLAN_OPEN); /* anybody's */
    assert_int_equal(take_one(plan, 1), 1);
    plan_return(plan, 0, (uint32_t[]){ 2 }, 1, PLAN_OPEN); /* it was not taken: nothing happens */
    assert_int_equal(plan_free(plan), 4);
}

static void
what_a_node_held_that_is_gone_goes_before_a_slots_own_rest(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add_module(&suite, "a", 6, 0); /* 0 to 5 */
    add_module(&suite, "b", 6, 0); /* 6 to 11 */
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_LOAD, 2);
    uint32_t tests[BATCH];
    assert_int_equal(plan_take(plan, 0, INT64_MAX / 2, 1, tests), 1);
    assert_int_equal(plan_take(plan, 1, INT64_MAX / 2, 3, tests), 3);
    assert_int_equal(tests[0], 6);
    plan_return(plan, 1, tests + 1, 2, PLAN_FIRST);
    plan_close(plan, 1);
    assert_int_equal(plan_take(plan, 0, INT64_MAX / 2, 2, tests), 2);
    assert_int_equal(tests[0], 7);
    assert_int_equal(tests[1], 8);
    size_t left = 0;
    while (plan_take(plan, 0, 0, 1, tests) == 1)
        left++;
    assert_int_equal(left, 5 + 3); /* what it left, and the rest of the other's */
}

static void
a_test_avoids_the_slot_that_it_killed(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add_module(&suite, "a", 1, 0);
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_LOAD, 2);
    assert_int_equal(take_one(plan, 0), 0);
    plan_return_struck(plan, 0, 0);
    assert_int_equal(take_one(plan, 0), UINT32_MAX);
    plan_close(plan, 1);
    assert_int_equal(take_one(plan, 0), 0); /* there is no other */
}

static void
a_closed_slots_unit_is_anybodys(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add_module(&suite, "a", 3, 100);
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_FILE, 2);
    assert_int_equal(take_one(plan, 0), 0);
    plan_close(plan, 0);
    assert_int_equal(take_one(plan, 1), 1);
}

static void
an_unknown_test_costs_what_its_module_costs(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add_module(&suite, "a", 2, 300);
    add(&suite, "a.py::test_new", 0);
    add(&suite, "b.py::test_new", 0);
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_LOAD, 1);
    assert_int_equal(plan_cost_us(plan, 0, 2), 300);
    assert_int_equal(plan_cost_us(plan, 0, 3), 300); /* the project's mean */
    assert_int_equal(plan_free_us(plan), 1200);
}

static void
without_history_the_slots_own_tests_tell_the_cost(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add_module(&suite, "a", 50, 0);
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_LOAD, 2);
    plan_observe(plan, 0, 0, 2000, 0);
    assert_int_equal(plan_cost_us(plan, 0, 7), 2000);
    assert_int_equal(plan_cost_us(plan, 1, 7), 2000); /* the mean of all */
    plan_observe(plan, 0, 1, 6000, 0);
    assert_int_equal(plan_cost_us(plan, 0, 7), 3000); /* a quarter of the way */
}

static void
xdists_words_name_placements(void **state)
{
    (void) state;
    assert_int_equal(coord_placement_of(dz_str("loadfile")), COORD_PLACE_FILE);
    assert_int_equal(coord_placement_of(dz_str("loadscope")), COORD_PLACE_SCOPE);
    assert_int_equal(coord_placement_of(dz_str("loadgroup")), COORD_PLACE_GROUP);
    assert_int_equal(coord_placement_of(dz_str("worksteal")), COORD_PLACE_LOAD);
    assert_int_equal(coord_placement_of(dz_str("")), COORD_PLACE_LOAD);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_test_is_given_once),
        cmocka_unit_test(the_longest_module_goes_out_first),
        cmocka_unit_test(without_history_collection_order_is_kept),
        cmocka_unit_test(keep_order_is_stronger_than_durations),
        cmocka_unit_test(a_module_that_collection_order_interleaves_is_several_units),
        cmocka_unit_test(an_idle_slot_takes_half_of_the_largest_rest),
        cmocka_unit_test(a_cut_prefers_the_beginning_of_a_class),
        cmocka_unit_test(a_short_rest_is_left_where_it_is),
        cmocka_unit_test(a_file_stays_in_one_slot_under_loadfile),
        cmocka_unit_test(tests_of_a_tied_unit_are_bound_to_the_slot_that_works_on_it),
        cmocka_unit_test(a_group_is_one_unit_across_modules),
        cmocka_unit_test(a_scope_ends_before_the_parameters),
        cmocka_unit_test(a_batch_is_counted_in_time),
        cmocka_unit_test(what_comes_back_is_given_again),
        cmocka_unit_test(what_a_node_held_that_is_gone_goes_before_a_slots_own_rest),
        cmocka_unit_test(a_test_avoids_the_slot_that_it_killed),
        cmocka_unit_test(a_closed_slots_unit_is_anybodys),
        cmocka_unit_test(an_unknown_test_costs_what_its_module_costs),
        cmocka_unit_test(without_history_the_slots_own_tests_tell_the_cost),
        cmocka_unit_test(xdists_words_name_placements),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
