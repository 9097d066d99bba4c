#include "shared/wire/model.h"
#include "tests/unit/unit.h"

static void
numbers_of_results_never_change(void **state)
{
    (void) state;
    assert_int_equal(DZ_RESULT_OK, 1);
    assert_int_equal(DZ_RESULT_CRASHED, 4);
    assert_int_equal(DZ_RESULT_REDUNDANT, 9);
    assert_string_equal(dz_result_name(DZ_RESULT_OK_FLAKY), "OK_FLAKY");
}

static void
only_failures_crashes_and_timeouts_turn_a_job_red(void **state)
{
    (void) state;
    for (int i = 0; i < DZ_RESULTS; i++) {
        bool is_red = i == DZ_RESULT_FAILED || i == DZ_RESULT_CRASHED || i == DZ_RESULT_TIMEOUT;
        assert_int_equal(dz_result_is_bad((enum dz_result) i), is_red);
    }
}

static void
a_number_from_elsewhere_has_a_text_too(void **state)
{
    (void) state;
    assert_string_equal(dz_result_name((enum dz_result) 31), "UNKNOWN");
    assert_non_null(dz_cause_text((enum dz_cause) 31));
    assert_string_equal(dz_cause_text(DZ_CAUSE_SIGNAL), "killed by a signal");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_results_never_change),
        cmocka_unit_test(only_failures_crashes_and_timeouts_turn_a_job_red),
        cmocka_unit_test(a_number_from_elsewhere_has_a_text_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
