/* test_route.c - from method and path to a row of the table, or to a problem that helps. */
#include <string.h>

#include "store/http/route.h"
#include "tests/unit/unit.h"

static struct http_call *
ask(const char *method, const char *target)
{
    struct http_call *call = dz_alloc0(1, sizeof(*call));
    call->status = 200;
    bool is_found = route_find(call, method, target);
    assert_int_equal(is_found, call->status == 200);
    return call;
}

static void
drop(struct http_call *call)
{
    dz_buf_fini(&call->out);
    dz_buf_fini(&call->link);
    dz_buf_fini(&call->allow);
    dz_arena_fini(&call->arena);
    dz_free(&call);
}

static void
names_in_a_path_are_decoded_one_segment_each(void **state)
{
    (void) state;
    struct http_call *call =
        ask("GET", "/api/v1/jobs/latest/tests/a%2Fb.py%3A%3Atest%5B%C3%A9+%25%5D?project=x%20y+z");
    assert_int_equal(call->status, 200);
    assert_string_equal(call->route->path, "/api/v1/jobs/{job}/tests/{test}");
    assert_string_equal(call->params[0], "latest");
    assert_string_equal(call->params[1], "a/b.py::test[\xc3\xa9+%]");
    assert_string_equal(http_arg(call, "project"), "x y z");
    assert_null(http_arg(call, "limit"));
    drop(call);
}

static void
an_argument_may_come_several_times(void **state)
{
    (void) state;
    struct http_call *call = ask("GET", "/api/v1/jobs/j1/tests?q=outcome:failed&q=a%26b&limit=");
    assert_int_equal(call->arg_count, 3);
    assert_string_equal(call->args[0].value, "outcome:failed");
    assert_string_equal(call->args[1].value, "a&b");
    assert_string_equal(call->args[2].value, "");
    drop(call);
}

static void
head_is_answered_where_get_is(void **state)
{
    (void) state;
    struct http_call *call = ask("HEAD", "/healthz");
    assert_int_equal(call->status, 200);
    drop(call);
}

static void
refusals_say_what_would_have_been_right(void **state)
{
    (void) state;
    static const struct {
        const char *method, *target;
        int status;
        const char *says;
    } cases[] = {
        { "GET", "/api/v1/jobz", 404, "did you mean /api/v1/jobs?" },
        { "GET", "/nothing/like/it/at/all", 404, "openapi.json" },
        { "GET", "/api/v1/jobs/", 404, "there is no" },
        { "GET", "/api/v1/jobs//tests", 404, "there is no" },
        { "POST", "/healthz", 405, "is for GET" },
        { "GET", "/api/v1/jobs?limt=1", 400, "did you mean 'limit'?" },
        { "GET", "/healthz?x", 400, "knows no argument 'x'" },
        { "GET", "/api/v1/jobs?limit=%zz", 400, "not decodable" },
        { "GET", "/api/v1/jobs?limit=%00", 400, "not decodable" },
        { "GET", "/api/v1/jobs/%00/tests", 404, "there is no" },
        { "GET", "/api/v1/jobs/%4/tests", 404, "there is no" },
        { "GET", "", 404, "there is no" },
        { "GET", "*", 404, "there is no" },
    };
    for (size_t i = 0; i < DZ_LEN(cases); i++) {
        struct http_call *call = ask(cases[i].method, cases[i].target);
        dz_buf_add(&call->out, "", 1);
        if (call->status != cases[i].status || !strstr((char *) call->out.data, cases[i].says))
            fail_msg("%s %s: %d %s", cases[i].method, cases[i].target, call->status,
                     (char *) call->out.data);
        drop(call);
    }
}

static void
a_number_outside_of_its_bounds_is_refused(void **state)
{
    (void) state;
    static const char *const bad[] = { "0", "11", "-1", "1x", "", "99999999999999999999", " 1" };
    uint64_t number;
    for (size_t i = 0; i < DZ_LEN(bad); i++) {
        struct http_call *call = ask("GET", "/api/v1/jobs");
        call->args[0] = (struct http_pair){ "limit", bad[i] };
        call->arg_count = 1;
        assert_false(http_arg_number(call, "limit", 1, 10, 5, &number));
        assert_int_equal(call->status, 400);
        drop(call);
    }
    struct http_call *call = ask("GET", "/api/v1/jobs?limit=10");
    assert_true(http_arg_number(call, "limit", 1, 10, 5, &number));
    assert_int_equal(number, 10);
    assert_true(http_arg_number(call, "before", 1, 10, 5, &number));
    assert_int_equal(number, 5);
    drop(call);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_in_a_path_are_decoded_one_segment_each),
        cmocka_unit_test(an_argument_may_come_several_times),
        cmocka_unit_test(head_is_answered_where_get_is),
        cmocka_unit_test(refusals_say_what_would_have_been_right),
        cmocka_unit_test(a_number_outside_of_its_bounds_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
