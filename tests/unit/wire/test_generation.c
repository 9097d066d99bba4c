#include "shared/wire/generation.h"
#include "tests/unit/unit.h"

enum { JOB_A = 11, JOB_B = 22, JOB_C = 33 };

static const struct dz_slot_past two_slots[] = {
    { .index = 1, .ci_job = JOB_A, .end = DZ_SLOT_END_VERDICT },
    { .index = 2, .ci_job = JOB_B, .end = DZ_SLOT_END_LOST },
};

static struct dz_generation
generation(bool is_sealed, bool is_good)
{
    return (struct dz_generation){ .number = 0,
                                   .exists = true,
                                   .is_sealed = is_sealed,
                                   .is_good = is_good,
                                   .past = two_slots,
                                   .past_count = 2 };
}

static void
expect(const struct dz_generation *newest, struct dz_arrival who, enum dz_arrival_word word,
       uint32_t number)
{
    struct dz_arrival_reply reply = dz_generation_of(newest, &who);
    assert_int_equal(reply.word, word);
    assert_int_equal(reply.number, number);
}

static void
the_first_process_opens_the_first_generation(void **state)
{
    (void) state;
    struct dz_generation nothing = { 0 };
    expect(&nothing, (struct dz_arrival){ 1, JOB_A, 0 }, DZ_ARRIVAL_OPENS, 0);
    expect(&nothing, (struct dz_arrival){ DZ_NO_INDEX, JOB_A, 1 }, DZ_ARRIVAL_OPENS, 0);
}

static void
slots_join_until_the_seal_and_a_new_one_is_late_after_it(void **state)
{
    (void) state;
    struct dz_generation running = generation(false, false), good = generation(true, true);
    expect(&running, (struct dz_arrival){ 3, JOB_C, 0 }, DZ_ARRIVAL_JOINS, 0);
    expect(&good, (struct dz_arrival){ 3, JOB_C, 0 }, DZ_ARRIVAL_LATE, 0);
    struct dz_generation bad = generation(true, false);
    expect(&bad, (struct dz_arrival){ 3, JOB_C, 0 }, DZ_ARRIVAL_LATE, 0);
}

static void
a_retried_slot_is_a_new_incarnation_before_the_seal(void **state)
{
    (void) state;
    struct dz_generation running = generation(false, false);
    expect(&running, (struct dz_arrival){ 2, JOB_C, 0 }, DZ_ARRIVAL_RETURNS, 0);
    expect(&running, (struct dz_arrival){ 1, JOB_A, 0 }, DZ_ARRIVAL_RETURNS, 0);
}

static void
after_the_seal_a_lost_slot_is_late_if_all_passed_and_opens_the_next_if_not(void **state)
{
    (void) state;
    struct dz_generation good = generation(true, true), bad = generation(true, false);
    expect(&good, (struct dz_arrival){ 2, JOB_C, 0 }, DZ_ARRIVAL_LATE, 0);
    expect(&bad, (struct dz_arrival){ 2, JOB_C, 0 }, DZ_ARRIVAL_OPENS, 1);
}

static void
after_the_seal_a_slot_that_had_ended_opens_the_next(void **state)
{
    (void) state;
    struct dz_generation good = generation(true, true);
    expect(&good, (struct dz_arrival){ 1, JOB_C, 0 }, DZ_ARRIVAL_OPENS, 1);
}

static void
other_returning_slots_join_the_generation_that_one_has_opened(void **state)
{
    (void) state;
    static const struct dz_slot_past first[] = { { .index = 1, .ci_job = JOB_C } };
    struct dz_generation next = { .number = 1, .exists = true, .past = first, .past_count = 1 };
    expect(&next, (struct dz_arrival){ 2, JOB_B + 1, 0 }, DZ_ARRIVAL_JOINS, 1);
}

/* Slot 2 was in the first generation only, slot 1 was retried alone. */
static void
a_slot_of_an_earlier_generation_opens_the_next_if_the_newest_failed_and_is_late_if_not(void **state)
{
    (void) state;
    static const struct dz_slot_past first[] = {
        { .index = 1, .ci_job = JOB_A, .end = DZ_SLOT_END_VERDICT },
        { .index = 2, .ci_job = JOB_B, .end = DZ_SLOT_END_VERDICT },
    };
    static const struct dz_slot_past second[] = {
        { .index = 1, .ci_job = JOB_C, .end = DZ_SLOT_END_VERDICT },
    };
    struct dz_generation bad = { .number = 1,
                                 .exists = true,
                                 .is_sealed = true,
                                 .past = second,
                                 .past_count = 1,
                                 .earlier = first,
                                 .earlier_count = 2 };
    struct dz_generation good = bad;
    good.is_good = true;
    expect(&bad, (struct dz_arrival){ 2, JOB_C + 1, 0 }, DZ_ARRIVAL_OPENS, 2);
    expect(&good, (struct dz_arrival){ 2, JOB_C + 1, 0 }, DZ_ARRIVAL_LATE, 1);
    expect(&bad, (struct dz_arrival){ 2, JOB_B, 0 }, DZ_ARRIVAL_LATE, 1);
    expect(&bad, (struct dz_arrival){ 3, JOB_C + 1, 0 }, DZ_ARRIVAL_LATE, 1);
    expect(&good, (struct dz_arrival){ 1, JOB_C + 1, 0 }, DZ_ARRIVAL_OPENS, 2);
}

static void
where_the_ci_counts_attempts_they_are_the_generations(void **state)
{
    (void) state;
    struct dz_generation bad = generation(true, false), running = generation(false, false);
    expect(&bad, (struct dz_arrival){ 2, JOB_B, 2 }, DZ_ARRIVAL_OPENS, 1);
    expect(&bad, (struct dz_arrival){ 2, JOB_B, 1 }, DZ_ARRIVAL_LATE, 0);
    expect(&running, (struct dz_arrival){ 3, JOB_C, 1 }, DZ_ARRIVAL_JOINS, 0);
    expect(&running, (struct dz_arrival){ 2, JOB_B, 1 }, DZ_ARRIVAL_RETURNS, 0);
    struct dz_generation third = { .number = 2, .exists = true };
    expect(&third, (struct dz_arrival){ 2, JOB_B, 2 }, DZ_ARRIVAL_LATE, 1);
}

static void
a_failed_generation_is_rerun_in_part_and_a_good_one_in_full_unless_told(void **state)
{
    (void) state;
    enum dz_rerun mode;
    assert_true(dz_rerun_read(NULL, &mode) && mode == DZ_RERUN_AUTO);
    assert_true(dz_rerun_read("", &mode) && mode == DZ_RERUN_AUTO);
    assert_true(dz_rerun_read("failed", &mode) && mode == DZ_RERUN_FAILED);
    assert_true(dz_rerun_read("full", &mode) && mode == DZ_RERUN_FULL);
    assert_false(dz_rerun_read("Full", &mode));
    assert_false(dz_rerun_is_full(DZ_RERUN_AUTO, false));
    assert_true(dz_rerun_is_full(DZ_RERUN_AUTO, true));
    assert_false(dz_rerun_is_full(DZ_RERUN_FAILED, true));
    assert_true(dz_rerun_is_full(DZ_RERUN_FULL, false));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_process_opens_the_first_generation),
        cmocka_unit_test(slots_join_until_the_seal_and_a_new_one_is_late_after_it),
        cmocka_unit_test(a_retried_slot_is_a_new_incarnation_before_the_seal),
        cmocka_unit_test(
            after_the_seal_a_lost_slot_is_late_if_all_passed_and_opens_the_next_if_not),
        cmocka_unit_test(after_the_seal_a_slot_that_had_ended_opens_the_next),
        cmocka_unit_test(other_returning_slots_join_the_generation_that_one_has_opened),
        cmocka_unit_test(
            a_slot_of_an_earlier_generation_opens_the_next_if_the_newest_failed_and_is_late_if_not),
        cmocka_unit_test(where_the_ci_counts_attempts_they_are_the_generations),
        cmocka_unit_test(a_failed_generation_is_rerun_in_part_and_a_good_one_in_full_unless_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
