#include <stdio.h>
#include <string.h>

#include "store/query.h"
#include "tests/unit/unit.h"

static const struct store_test SAMPLE = {
    .id = { (const uint8_t *) "tests/api/test_get.py::TestGet::test_slow[x]", 44 },
    .verdict = DZ_RESULT_CRASHED,
    .attempts = 1,
    .executions = 3,
    .worker = 4,
    .setup_us = 500000,
    .call_us = 1000000,
    .teardown_us = 500000, /* two seconds together */
};

static bool
fits(const char *word)
{
    struct dz_err err = { .text = "" };
    char *words[] = { (char *) word };
    DZ_AUTO(query_destroy) struct query *query = query_new(words, 1, &err);
    if (!query)
        fail_msg("%s: %s", word, err.text);
    return query_fits(query, &SAMPLE);
}

static void
terms_hold_or_do_not(void **state)
{
    static const char *const yes[] = {
        "slow",
        "SLOW",
        "not:fast",
        "outcome:failed",
        "outcome:crashed",
        "Outcome:OK,crashed",
        "not:outcome:ok",
        "duration:2s",
        "duration:=2000ms",
        "duration:>1.9",
        "duration:<=2s",
        "duration:>0.0001h",
        "module:api/test_get",
        "not:module:TestGet",
        "worker:jw4",
        "worker:n0.jw4",
        "worker:gw4",
        "worker:GW4",
        "worker:n0.gw4",
        "not:worker:agent",
        "module:./tests/api",
        "runs:>2",
        "runs:3",
        "::TestGet::",
        "test_slow[x]",
    };
    static const char *const no[] = {
        "fast",         "not:slow",      "outcome:ok",  "outcome:timeout", "duration:>2s",
        "duration:<2s", "duration:1s",   "module:slow", "worker:jw5",      "worker:n1.jw4",
        "runs:<3",      "worker:n1.gw4", "worker:gw5",  "worker:agent",    "worker:earlier",
    };
    (void) state;
    for (size_t i = 0; i < DZ_LEN(yes); i++)
        if (!fits(yes[i]))
            fail_msg("%s", yes[i]);
    for (size_t i = 0; i < DZ_LEN(no); i++)
        if (fits(no[i]))
            fail_msg("%s", no[i]);
}

static void
all_terms_must_hold(void **state)
{
    (void) state;
    struct dz_err err;
    char *words[] = { (char *) "slow", (char *) "outcome:failed", (char *) "runs:>1" };
    char *one_wrong[] = { (char *) "slow", (char *) "outcome:ok" };
    DZ_AUTO(query_destroy) struct query *all = query_new(words, 3, &err);
    DZ_AUTO(query_destroy) struct query *wrong = query_new(one_wrong, 2, &err);
    DZ_AUTO(query_destroy) struct query *none = query_new(NULL, 0, &err);
    assert_true(query_fits(all, &SAMPLE));
    assert_false(query_fits(wrong, &SAMPLE));
    assert_true(query_fits(none, &SAMPLE));
}

static void
a_test_that_never_ran_has_no_duration_and_no_worker(void **state)
{
    struct store_test idle = { .id = SAMPLE.id };
    struct dz_err err;
    (void) state;
    static const char *const words[] = { "duration:<1h", "worker:jw0" };
    for (size_t i = 0; i < DZ_LEN(words); i++) {
        char *list[] = { (char *) words[i] };
        DZ_AUTO(query_destroy) struct query *query = query_new(list, 1, &err);
        assert_false(query_fits(query, &idle));
    }
}

static void
what_cannot_be_understood_is_refused(void **state)
{
    static const char *const words[] = {
        "outcome:",    "outcome:nope", "duration:",           "duration:>",  "duration:>-1s",
        "duration:1x", "runs:>1s",     "color:red",           "worker:4",    "worker:w4",
        "worker:jw",   "worker:n1",    "worker:jw4.t1",       "worker:jw4x", "runs:1.5",
        "runs:<0",     "duration:<0s", "module:a.py::test_b", "worker:",
    };
    (void) state;
    for (size_t i = 0; i < DZ_LEN(words); i++) {
        struct dz_err err = { .text = "" };
        char *list[] = { (char *) words[i] };
        assert_null(query_new(list, 1, &err));
        assert_true(strlen(err.text) > 0);
    }
}

static void
only_words_with_a_known_key_are_terms(void **state)
{
    (void) state;
    assert_true(query_is_term("outcome:failed"));
    assert_true(query_is_term("not:runs:>1"));
    assert_false(query_is_term("latest"));
    assert_false(query_is_term("t.py::test"));
    assert_false(query_is_term("outcome"));
    assert_false(query_is_term(""));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(terms_hold_or_do_not),
        cmocka_unit_test(all_terms_must_hold),
        cmocka_unit_test(a_test_that_never_ran_has_no_duration_and_no_worker),
        cmocka_unit_test(what_cannot_be_understood_is_refused),
        cmocka_unit_test(only_words_with_a_known_key_are_terms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
