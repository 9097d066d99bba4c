/* test_url.c - which store is meant. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/conf/url.h"
#include "tests/unit/unit.h"

static char home[64];

static int
set_up(void **state)
{
    (void) state;
    char local[96];
    (void) snprintf(home, sizeof(home), "/tmp/dz-url-XXXXXX");
    if (!mkdtemp(home))
        return 1;
    (void) snprintf(local, sizeof(local), "%s/local.env", home);
    return mkdir(local, 0700) + unsetenv("DAGZ_URL");
}

static int
tear_down(void **state)
{
    (void) state;
    char local[96];
    dz_url_withdraw(home);
    (void) snprintf(local, sizeof(local), "%s/local.env", home);
    return rmdir(local) + rmdir(home) + unsetenv("DAGZ_URL");
}

static void
option_comes_before_environment_before_home_before_default(void **state)
{
    (void) state;
    struct dz_err err;
    struct dz_url url;
    assert_ok(dz_url_find(NULL, home, &url, &err));
    assert_string_equal(url.text, "http://localhost:29111");
    assert_int_equal(url.from, DZ_URL_DEFAULT);
    assert_false(url.is_home);

    assert_ok(dz_url_announce(home, "http://127.0.0.1:4711", &err));
    assert_ok(dz_url_find("", home, &url, &err));
    assert_string_equal(url.text, "http://127.0.0.1:4711");
    assert_int_equal(url.from, DZ_URL_HOME);
    assert_true(url.is_home);

    assert_int_equal(setenv("DAGZ_URL", "https://dagz.acme.example/", 1), 0);
    assert_ok(dz_url_find(NULL, home, &url, &err));
    assert_string_equal(url.text, "https://dagz.acme.example");
    assert_int_equal(url.from, DZ_URL_ENV);
    assert_false(url.is_home);

    assert_ok(dz_url_find("http://127.0.0.1:4711/", home, &url, &err));
    assert_int_equal(url.from, DZ_URL_OPTION);
    assert_true(url.is_home);
}

static void
a_url_is_taken_apart(void **state)
{
    (void) state;
    struct dz_err err;
    struct dz_url url;
    assert_ok(dz_url_parse("x", "https://dagz.acme.example", &url, &err));
    assert_string_equal(url.host, "dagz.acme.example");
    assert_int_equal(url.port, 443);
    assert_true(url.is_tls);
    assert_ok(dz_url_parse("x", "http://[::1]:29111/team/", &url, &err));
    assert_string_equal(url.host, "::1");
    assert_int_equal(url.port, 29111);
    assert_string_equal(url.text, "http://[::1]:29111/team");
}

static void
what_is_no_url_is_named(void **state)
{
    (void) state;
    static const char *const bad[] = {
        "localhost:29111", "ftp://x",     "http://",        "http://:80",  "http://x:0",
        "http://x:65536",  "http://x:",   "http://x:1y",    "http://[::1", "http://x y",
        "http://x/?a=b",   "http://u@x/", "http://x/a\"b/", "http:///x",   "http://x\n",
    };
    struct dz_err err;
    struct dz_url url;
    for (size_t i = 0; i < DZ_LEN(bad); i++) {
        assert_int_equal(dz_url_parse("DAGZ_URL", bad[i], &url, &err), DZ_CORRUPT);
        assert_non_null(strstr(err.text, "DAGZ_URL: '"));
    }
    assert_int_equal(dz_url_find("nonsense", home, &url, &err), DZ_CORRUPT);
    assert_non_null(strstr(err.text, "--url: 'nonsense'"));
}

static void
a_damaged_announcement_counts_as_none(void **state)
{
    (void) state;
    struct dz_err err;
    struct dz_url url;
    assert_ok(dz_url_announce(home, "\x01\x02 no url", &err));
    assert_ok(dz_url_find(NULL, home, &url, &err));
    assert_int_equal(url.from, DZ_URL_DEFAULT);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(option_comes_before_environment_before_home_before_default,
                                        set_up, tear_down),
        cmocka_unit_test(a_url_is_taken_apart),
        cmocka_unit_test_setup_teardown(what_is_no_url_is_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_announcement_counts_as_none, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
