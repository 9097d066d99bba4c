/* test_settings.c - daemon.yaml: what it may say, and how it is told that it may not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/settings.h"
#include "tests/unit/unit.h"

static char home[64], file[128];

static int
set_up(void **state)
{
    (void) state;
    (void) snprintf(home, sizeof(home), "/tmp/dz-set-XXXXXX");
    if (!mkdtemp(home))
        return 1;
    (void) snprintf(file, sizeof(file), "%s/local.env", home);
    int rc = mkdir(file, 0700);
    (void) snprintf(file, sizeof(file), "%s/local.env/daemon.yaml", home);
    return rc;
}

static int
tear_down(void **state)
{
    (void) state;
    char dir[128];
    (void) unlink(file);
    (void) snprintf(dir, sizeof(dir), "%s/local.env", home);
    return rmdir(dir) + rmdir(home);
}

static enum dz_rc
load(const char *text, struct settings *out, struct dz_err *err)
{
    FILE *to = fopen(file, "w");
    assert_non_null(to);
    assert_true(fputs(text, to) >= 0);
    assert_int_equal(fclose(to), 0);
    return settings_load(home, out, err);
}

static void
without_a_file_all_is_default(void **state)
{
    (void) state;
    struct settings s;
    struct dz_err err;
    char expected[128];
    assert_ok(settings_load(home, &s, &err));
    assert_int_equal(s.port, 29111);
    assert_int_equal(s.listen.count, 2);
    assert_string_equal(s.listen.items[0], "127.0.0.1");
    assert_string_equal(s.listen.items[1], "::1");
    assert_false(s.listens_on_bridge);
    (void) snprintf(expected, sizeof(expected), "%s/local.env/tokens", home);
    assert_string_equal(s.tokens, expected);
    settings_fini(&s);
}

static void
what_the_file_says_holds(void **state)
{
    (void) state;
    struct settings s;
    struct dz_err err;
    char expected[128];
    assert_ok(load("port: 0\nlisten: [10.0.0.7]\nretention: {days: 7, max_size: 1GiB}\n"
                   "tls: {cert: c.pem, key: /k.pem}\nlisten_on_docker_bridge: true\n"
                   "public_url: https://dagz.acme.example\n",
                   &s, &err));
    assert_int_equal(s.port, 0);
    assert_int_equal(s.listen.count, 1);
    assert_int_equal(s.retention_days, 7);
    assert_int_equal(s.retention_bytes, 1 << 30);
    assert_true(s.listens_on_bridge);
    (void) snprintf(expected, sizeof(expected), "%s/local.env/c.pem", home);
    assert_string_equal(s.tls_cert, expected);
    assert_string_equal(s.tls_key, "/k.pem");
    settings_fini(&s);
}

static void
a_refusal_names_the_place_and_the_nearest_key(void **state)
{
    (void) state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        { "prt: 1\n", "daemon.yaml:1:1: unknown key 'prt'; did you mean 'port'?" },
        { "port: 1\nretention: {day: 3}\n", "daemon.yaml:2:13: unknown key 'retention.day'" },
        { "port: 65536\n", "daemon.yaml:1:7:" },
        { "port: [1]\n", "daemon.yaml:1:7: 'port' must be a single value" },
        { "storage: postgresql://db/dagz\n", "daemon.yaml:1:10: 'storage' must be lmdb: 'p" },
        { "blobs: s3://b/p\n", "daemon.yaml:1:8: 'blobs' must be local: 's3" },
        { "port: 1\ntls: {cert: x}\n", "daemon.yaml:2:13: 'tls.cert' needs 'tls.key' beside it" },
        { "tls:\n  key: x\n", "daemon.yaml:2:8: 'tls.key' needs 'tls.cert' beside it" },
        { "data_dir: ''\n", "daemon.yaml:1:11: 'data_dir' must be a path such as" },
        { "tokens: ~root/t\n", "daemon.yaml:1:9: 'tokens' must be a path such as" },
        { "retention: {max_size: 1}\n",
          "daemon.yaml:1:23: 'retention.max_size' must be from 16 MiB to 1099511627776 MiB" },
        { "public_url: dagz.acme.example\n",
          "daemon.yaml:1:13: 'public_url' must be a URL such as" },
    };
    for (size_t i = 0; i < DZ_LEN(cases); i++) {
        struct settings s;
        struct dz_err err;
        assert_int_equal(load(cases[i].text, &s, &err), DZ_CORRUPT);
        if (!strstr(err.text, cases[i].says))
            fail_msg("%s", err.text);
    }
}

static void
a_value_is_found_again_when_it_does_not_do(void **state)
{
    (void) state;
    struct settings s;
    struct dz_err err;
    char expected[256];
    assert_ok(load("tls: {cert: c, key: k}\nlisten:\n- 127.0.0.1\n-   '::1'\n", &s, &err));
    assert_true(settings_has(&s, "tls.key"));
    assert_false(settings_has(&s, "port"));

    (void) snprintf(err.text, sizeof(err.text), "it is no key");
    assert_int_equal(settings_blame(&s, "tls.key", DZ_REFUSED, &err), DZ_REFUSED);
    (void) snprintf(expected, sizeof(expected), "%s:1:21: it is no key", file);
    assert_string_equal(err.text, expected);
    (void) snprintf(err.text, sizeof(err.text), "it is far");
    assert_int_equal(settings_blame_listen(&s, 1, DZ_IO, &err), DZ_IO);
    (void) snprintf(expected, sizeof(expected), "%s:4:5: it is far", file);
    assert_string_equal(err.text, expected);
    (void) snprintf(err.text, sizeof(err.text), "it is taken");
    assert_int_equal(settings_blame(&s, "port", DZ_EXISTS, &err), DZ_EXISTS);
    assert_string_equal(err.text, "it is taken (the default: 'port' is not set in daemon.yaml)");
    settings_fini(&s);

    assert_ok(load("listen: []\n", &s, &err));
    (void) snprintf(err.text, sizeof(err.text), "it is absent");
    assert_int_equal(settings_blame_listen(&s, 1, DZ_IO, &err), DZ_IO);
    (void) snprintf(expected, sizeof(expected), "%s:1:9: it is absent", file);
    assert_string_equal(err.text, expected);
    settings_fini(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_a_file_all_is_default, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_the_file_says_holds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_value_is_found_again_when_it_does_not_do, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_refusal_names_the_place_and_the_nearest_key, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
