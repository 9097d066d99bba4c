/* What the planner keeps together: classes, groups; and what slots of different speed get. */
#include "tests/unit/coord/plan_suite.h"

static void
a_class_is_not_cut_for_a_short_rest(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add_class(&suite, "a.py::C", 9); /* after one test 80 ms are left: 40 for each */
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_LOAD, 2);
    assert_int_equal(take_one(plan, 0), 0);
    assert_int_equal(take_one(plan, 1), UINT32_MAX);
}

static void
a_long_class_is_cut(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add_class(&suite, "a.py::C", 30);
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_LOAD, 2);
    assert_int_equal(take_one(plan, 0), 0);
    assert_in_range(take_one(plan, 1), 14, 16);
}

/* But what a node held that is gone is first where no class is left for it. */
static void
a_class_is_not_left_for_what_came_back(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add_class(&suite, "a.py::C", 3);
    add_class(&suite, "b.py::D", 3);
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_LOAD, 2);
    assert_int_equal(take_one(plan, 0), 0);
    assert_int_equal(take_one(plan, 1), 3);
    plan_return(plan, 1, (uint32_t[]){ 3 }, 1, PLAN_FIRST);
    plan_close(plan, 1);
    for (uint32_t t = 1; t < 6; t++)
        assert_int_equal(take_one(plan, 0), t);
}

/* Its first test needed 200 ms more than the next one: so would the thief. */
static void
a_class_is_not_cut_for_less_than_its_setup(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add_class(&suite, "a.py::B", 1);
    add_class(&suite, "a.py::C", 30);
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_LOAD, 2);
    for (uint32_t t = 0; t < 3; t++) {
        assert_int_equal(take_one(plan, 0), t);
        plan_observe(plan, 0, t, 10000, t == 1 ? 200000 : 0);
    }
    assert_int_equal(take_one(plan, 1), UINT32_MAX);
}

/* A test of a class hangs: its class waits if its rest is short, the next one does not. */
static void
what_waits_behind_a_slow_test_stays_if_it_is_a_short_rest_of_its_class(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add_class(&suite, "a.py::C", 5);
    add_class(&suite, "a.py::D", 5);
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_LOAD, 2);
    uint32_t queue[BATCH];
    size_t stay = 0;
    assert_int_equal(plan_take(plan, 0, INT64_MAX / 2, 4, queue), 4);
    assert_true(plan_let_go(plan, 0, queue, 4, &stay));
    assert_int_equal(stay, 4);
    assert_int_equal(take_one(plan, 1), 5); /* not 4, of C */
    assert_int_equal(take_one(plan, 0), 4);
}

static void
a_long_rest_of_a_class_does_not_wait(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add_class(&suite, "a.py::C", 20);
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_LOAD, 2);
    uint32_t queue[BATCH];
    size_t stay = 0;
    assert_int_equal(plan_take(plan, 0, INT64_MAX / 2, 4, queue), 4);
    assert_true(plan_let_go(plan, 0, queue, 4, &stay));
    assert_int_equal(stay, 1);
    assert_int_equal(take_one(plan, 1), 4);
}

/* Slot 0 left C; it begins F before it comes back to what is left of C. */
static void
a_slot_comes_back_to_a_class_last(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add_class(&suite, "a.py::C", 20);
    add_class(&suite, "b.py::E", 1);
    add_class(&suite, "c.py::F", 1);
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_LOAD, 1);
    uint32_t queue[BATCH];
    assert_int_equal(plan_take(plan, 0, INT64_MAX / 2, 20, queue), 20);
    assert_int_equal(take_one(plan, 0), 20); /* E */
    plan_return(plan, 0, queue + 1, 19, PLAN_OPEN);
    assert_int_equal(take_one(plan, 0), 21); /* F */
    assert_int_equal(take_one(plan, 0), 1);
}

static void
a_struck_test_goes_first_and_alone(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add_module(&suite, "a", 20, 1000);
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_LOAD, 2);
    uint32_t tests[BATCH];
    assert_int_equal(plan_take(plan, 0, 3000, BATCH, tests), 3);
    assert_int_equal(take_one(plan, 1) < 20, true);
    plan_return_struck(plan, 0, 0);
    assert_int_equal(plan_take(plan, 1, 3000, BATCH, tests), 1);
    assert_int_equal(tests[0], 0);
    assert_int_equal(plan_take(plan, 1, 3000, BATCH, tests), 3);
}

static void
a_struck_test_does_not_tear_another_slots_class_apart(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add_module(&suite, "a", 1, 90000);
    add_class(&suite, "b.py::C", 3);
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_LOAD, 2);
    assert_int_equal(take_one(plan, 0), 0);
    assert_int_equal(take_one(plan, 1), 1);
    plan_return_struck(plan, 0, 0);
    assert_int_equal(take_one(plan, 1), 2);
    assert_int_equal(take_one(plan, 1), 3);
    assert_int_equal(take_one(plan, 1), 0);
}

/* The worker died with a test of a group: no other slot runs it while this one has the others. */
static void
a_group_stays_together_when_its_worker_dies(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add_module(&suite, "a", 6, 9000);
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_FILE, 3);
    uint32_t tests[BATCH];
    assert_int_equal(plan_take(plan, 0, INT64_MAX / 2, 3, tests), 3);
    plan_return(plan, 0, tests + 1, 2, PLAN_KEPT);
    plan_close(plan, 0);
    assert_int_equal(take_one(plan, 1), 1);
    plan_return_struck(plan, 0, 0);
    assert_int_equal(take_one(plan, 2), UINT32_MAX);
    assert_int_equal(take_one(plan, 1), 0);
    assert_int_equal(take_one(plan, 1), 2);
}

static bool
all_but_two_in_the_first(const void *arg, uint32_t slot, uint32_t test)
{
    (void) arg;
    return slot != 0 || test != 2;
}

/* Another slot runs what this one cannot, but not while it runs others of the group. */
static void
the_rest_of_a_group_waits_for_the_slot_that_lacks_it(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add_module(&suite, "a", 4, 9000);
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_FILE, 2);
    plan_restrict(plan, all_but_two_in_the_first, NULL);
    uint32_t tests[BATCH];
    assert_int_equal(plan_take(plan, 0, INT64_MAX / 2, BATCH, tests), 3);
    assert_int_equal(take_one(plan, 1), UINT32_MAX);
    assert_false(plan_has_for(plan, 0)); /* or each would wait for the other */
    assert_false(plan_has_for(plan, 1));
    assert_false(plan_drop(plan, 0, tests[0]));
    assert_false(plan_drop(plan, 0, tests[1]));
    assert_int_equal(take_one(plan, 1), UINT32_MAX);
    assert_true(plan_drop(plan, 0, tests[2]));
    assert_true(plan_has_for(plan, 1));
    assert_int_equal(take_one(plan, 1), 2);
}

/* Its worker collected other tests, which nobody knew before. */
static void
the_rest_of_a_group_waits_for_the_slot_that_could_not_find_it(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add_module(&suite, "a", 2, 9000);
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_FILE, 2);
    uint32_t tests[BATCH];
    assert_int_equal(plan_take(plan, 0, INT64_MAX / 2, BATCH, tests), 2);
    assert_false(plan_drop(plan, 0, 1));
    plan_return_absent(plan, 1, 0);
    assert_int_equal(take_one(plan, 1), UINT32_MAX);
    assert_false(plan_has_for(plan, 0));
    assert_true(plan_drop(plan, 0, 0));
    assert_int_equal(take_one(plan, 1), 1);
}

/* As when all is planned again, and as when the slot is lost. */
static void
what_a_slot_holds_of_a_group_counts_until_it_is_lost(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add_module(&suite, "a", 4, 9000);
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_FILE, 2);
    plan_restrict(plan, all_but_two_in_the_first, NULL);
    plan_held(plan, 0, 0);
    plan_held(plan, 0, 1);
    uint32_t tests[BATCH];
    assert_int_equal(plan_take(plan, 0, INT64_MAX / 2, BATCH, tests), 1);
    assert_int_equal(tests[0], 3);
    assert_false(plan_drop(plan, 0, 3));
    assert_int_equal(take_one(plan, 1), UINT32_MAX);
    plan_close(plan, 0);
    assert_int_equal(take_one(plan, 1), 2);
}

/* Half as fast: it gets a third. */
static void
a_slow_thief_takes_less(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add_module(&suite, "a", 2, 200000);
    add_module(&suite, "b", 2, 200000);
    add_module(&suite, "c", 190, 10000);
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_LOAD, 0);
    plan_open(plan, 0, 0);
    plan_open(plan, 1, 1);
    for (uint32_t t = 0; t < 40; t++) {
        plan_observe(plan, 0, 0, 200000, 0);
        plan_observe(plan, 1, 2, 400000, 0);
    }
    assert_int_equal(take_one(plan, 0), 4);
    plan_skip(plan, 0);
    plan_skip(plan, 1);
    plan_skip(plan, 2);
    plan_skip(plan, 3);
    assert_in_range(take_one(plan, 1), 4 + 120, 4 + 134);
}

/* The last long test is worth waiting for the fast slot, as long as that is not late. */
static void
a_slow_slot_leaves_the_last_long_test_to_a_fast_one(void **state)
{
    (void) state;
    struct suite suite = { 0 };
    add_module(&suite, "a", 1, 1000000);
    add_module(&suite, "b", 1, 900000);
    DZ_AUTO(plan_destroy) struct plan *plan = plan_of(&suite, COORD_PLACE_LOAD, 0);
    plan_open(plan, 0, 0);
    plan_open(plan, 1, 1);
    for (uint32_t t = 0; t < 40; t++) {
        plan_observe(plan, 0, 0, 1000000, 0);
        plan_observe(plan, 1, 0, 4000000, 0);
    }
    assert_int_equal(take_one(plan, 0), 0);
    assert_int_equal(take_one(plan, 1), UINT32_MAX); /* 1.9 s there, 3.6 s here */
    plan_late(plan, 0);
    assert_int_equal(take_one(plan, 1), 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_class_is_not_cut_for_a_short_rest),
        cmocka_unit_test(a_long_class_is_cut),
        cmocka_unit_test(a_class_is_not_left_for_what_came_back),
        cmocka_unit_test(a_class_is_not_cut_for_less_than_its_setup),
        cmocka_unit_test(what_waits_behind_a_slow_test_stays_if_it_is_a_short_rest_of_its_class),
        cmocka_unit_test(a_long_rest_of_a_class_does_not_wait),
        cmocka_unit_test(a_slot_comes_back_to_a_class_last),
        cmocka_unit_test(a_struck_test_goes_first_and_alone),
        cmocka_unit_test(a_struck_test_does_not_tear_another_slots_class_apart),
        cmocka_unit_test(a_group_stays_together_when_its_worker_dies),
        cmocka_unit_test(the_rest_of_a_group_waits_for_the_slot_that_lacks_it),
        cmocka_unit_test(the_rest_of_a_group_waits_for_the_slot_that_could_not_find_it),
        cmocka_unit_test(what_a_slot_holds_of_a_group_counts_until_it_is_lost),
        cmocka_unit_test(a_slow_thief_takes_less),
        cmocka_unit_test(a_slow_slot_leaves_the_last_long_test_to_a_fast_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
