/* test_retry.c - how long one waits who asks again. */
#include "shared/http/http.h"
#include "tests/unit/unit.h"

enum { DRAWS = 1000, FIRST_MS = 100, MOST_MS = 5000 };

struct range {
    dz_ms least, most;
};

static struct range
draw(unsigned tries)
{
    struct range seen = { .least = MOST_MS * 2 };
    for (int i = 0; i < DRAWS; i++) {
        dz_ms wait = dz_http_backoff(tries, FIRST_MS, MOST_MS);
        seen.least = wait < seen.least ? wait : seen.least;
        seen.most = wait > seen.most ? wait : seen.most;
    }
    return seen;
}

/* A thousand draws reach the outer tenths but once in 10^45 runs. */
static void
a_wait_is_anything_up_to_a_limit_that_doubles_until_it_is_the_greatest(void **state)
{
    (void) state;
    static const dz_ms limits[] = { 100, 200, 400, 800, 1600, 3200, 5000, 5000 };
    for (unsigned i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        struct range seen = draw(i + 1);
        assert_in_range(seen.least, 1, limits[i] / 10);
        assert_in_range(seen.most, limits[i] - limits[i] / 10, limits[i]);
    }
    assert_in_range(draw(1000000).most, MOST_MS / 2, MOST_MS);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wait_is_anything_up_to_a_limit_that_doubles_until_it_is_the_greatest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
