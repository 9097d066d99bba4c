#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/conf/conf.h"
#include "tests/unit/unit.h"

struct settings {
    char *uri, *timezone;
    bool is_on;
    uint64_t port, size;
    double share;
    struct dz_conf_strs ignore;
    struct dz_conf_map resources;
};

static const struct dz_conf_key KEYS[] = {
    { "project.uri", DZ_CONF_STR, offsetof(struct settings, uri), 0, 0, NULL, NULL },
    { "project.timezone", DZ_CONF_STR, offsetof(struct settings, timezone), 0, 0, NULL, NULL },
    { "is_on", DZ_CONF_BOOL, offsetof(struct settings, is_on), 0, 0, NULL, NULL },
    { "port", DZ_CONF_U64, offsetof(struct settings, port), 1, 65535, NULL, NULL },
    { "retention.max_size", DZ_CONF_BYTES, offsetof(struct settings, size), 0, 0, NULL, NULL },
    { "selection.audit_share", DZ_CONF_REAL, offsetof(struct settings, share), 0, 1, NULL, NULL },
    { "selection.ignore", DZ_CONF_STRS, offsetof(struct settings, ignore), 0, 0, NULL, NULL },
    { "resources", DZ_CONF_MAP, offsetof(struct settings, resources), 1, 1000000, NULL, NULL },
};

static enum dz_rc
parse(const char *text, struct settings *out, struct dz_err *err)
{
    return dz_conf_parse("c.yaml", dz_str(text), KEYS, DZ_LEN(KEYS), out, err);
}

static void
done(struct settings *s)
{
    dz_conf_fini(KEYS, DZ_LEN(KEYS), s);
}

static void
a_file_fills_the_struct(void **state)
{
    (void) state;
    struct settings s = { .port = 29111 };
    struct dz_err err;
    assert_ok(parse("# a comment\n"
                    "project:\n"
                    "  uri: git@github.com:acme/shop.git//services/api\n"
                    "  timezone: \"Europe/Berlin\"\n"
                    "is_on: yes\n"
                    "retention: {max_size: 20GiB}\n"
                    "selection:\n"
                    "  audit_share: 0.01\n"
                    "  ignore:\n"
                    "    - '*.md'\n"
                    "    - docs/\n"
                    "resources: {gpu: 2, db: 1}\n",
                    &s, &err));
    assert_string_equal(s.uri, "git@github.com:acme/shop.git//services/api");
    assert_string_equal(s.timezone, "Europe/Berlin");
    assert_true(s.is_on);
    assert_int_equal(s.port, 29111); /* not mentioned */
    assert_int_equal(s.size, UINT64_C(21474836480));
    assert_true(s.share > 0.0099 && s.share < 0.0101);
    assert_int_equal(s.ignore.count, 2);
    assert_string_equal(s.ignore.items[1], "docs/");
    assert_int_equal(s.resources.count, 2);
    assert_string_equal(s.resources.items[0].name, "gpu");
    assert_int_equal(s.resources.items[0].value, 2);
    done(&s);
}

static void
an_empty_file_and_an_empty_section_say_nothing(void **state)
{
    static const char *const texts[] = { "", "\n", "# only this\n", "---\n", "project:\n" };
    (void) state;
    for (size_t i = 0; i < DZ_LEN(texts); i++) {
        struct settings s = { .port = 1 };
        struct dz_err err;
        assert_ok(parse(texts[i], &s, &err));
        assert_int_equal(s.port, 1);
        assert_null(s.uri);
        done(&s);
    }
}

static void
every_complaint_gives_line_and_column_and_the_thing(void **state)
{
    static const struct {
        const char *text, *complaint;
    } cases[] = {
        { "project:\n  ulr: x\n",
          "c.yaml:2:3: unknown key 'project.ulr'; did you mean 'project.uri'?" },
        { "proect:\n  uri: x\n", "c.yaml:1:1: unknown key 'proect'; did you mean 'project'?" },
        { "zzzzzzzz: 1\n", "c.yaml:1:1: unknown key 'zzzzzzzz'" },
        { "port: 0\n", "c.yaml:1:7: 'port' must be from 1 to 65535" },
        { "port: 70000\n", "c.yaml:1:7: 'port' must be from 1 to 65535" },
        { "port: -1\n", "c.yaml:1:7: 'port' must be a whole number, not '-1'" },
        { "port: 12x\n", "c.yaml:1:7: 'port' must be a whole number, not '12x'" },
        { "port: 99999999999999999999\n",
          "c.yaml:1:7: 'port' must be a whole number, not '99999999999999999999'" },
        { "port:\n", "c.yaml:1:6: 'port' has no value" },
        { "port: [1]\n", "c.yaml:1:7: 'port' must be a single value" },
        { "is_on: maybe\n", "c.yaml:1:8: 'is_on' must be true or false, not 'maybe'" },
        { "retention: {max_size: 3 parsecs}\n", "c.yaml:1:23: 'retention.max_size' must be a size "
                                                "such as 512MiB or 20GiB, not '3 parsecs'" },
        { "selection: {audit_share: nan}\n",
          "c.yaml:1:26: 'selection.audit_share' must be a number, not 'nan'" },
        { "selection: {ignore: a}\n", "c.yaml:1:21: 'selection.ignore' must be a list: [a, b]" },
        { "resources: {gpu: many}\n",
          "c.yaml:1:18: 'resources.gpu' must be a whole number, not 'many'" },
        { "resources: {gpu: 1, gpu: 2}\n", "c.yaml:1:21: 'resources.gpu' is there twice" },
        { "port: 1\nport: 2\n", "c.yaml:2:1: 'port' is there twice" },
        { "project: {}\nproject: {}\n", "c.yaml:2:1: 'project' is there twice" },
        { "project: x\n", "c.yaml:1:10: 'project' must be a map of settings" },
        { "[1, 2]\n", "c.yaml:1:1: 'the file' must be a map of settings" },
        { "port: *x\n", "c.yaml:1:7: aliases (*name) are not supported here" },
        { "port: !!int 3\n", "c.yaml:1:7: tags (tag:yaml.org,2002:int) are not supported here" },
        { "project: {uri: \"a\\0b\"}\n", "c.yaml:1:16: 'project.uri' holds a NUL character" },
        { "port: 1\n---\nport: 2\n", "c.yaml:2:1: a second document in one file" },
        { "project:\n\turi: x\n", "c.yaml:2:1: found character that cannot start any token" },
        { "port: 1\n\xff\n", "c.yaml:2:1: invalid leading UTF-8 octet" },
    };
    (void) state;
    for (size_t i = 0; i < DZ_LEN(cases); i++) {
        struct settings s = { .port = 7 };
        struct dz_err err = { "" };
        assert_int_equal(parse(cases[i].text, &s, &err), DZ_CORRUPT);
        assert_string_equal(err.text, cases[i].complaint);
        assert_int_equal(s.port, 7);
        done(&s);
    }
}

static void
a_refused_file_changes_nothing(void **state)
{
    (void) state;
    struct settings s = { .uri = dz_strdup("kept"), .port = 7 };
    struct dz_err err;
    assert_int_equal(parse("project: {uri: new}\nport: 9\nbad: 1\n", &s, &err), DZ_CORRUPT);
    assert_string_equal(s.uri, "kept");
    assert_int_equal(s.port, 7);
    assert_ok(parse("project: {uri: new}\n", &s, &err));
    assert_string_equal(s.uri, "new");
    done(&s);
}

static void
sizes_are_read_with_their_units(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {
        { "retention: {max_size: 7}", 7 },         { "retention: {max_size: 2kB}", 2000 },
        { "retention: {max_size: 1.5KiB}", 1536 }, { "retention: {max_size: 3 MiB}", 3145728 },
        { "retention: {max_size: 0}", 0 },
    };
    (void) state;
    for (size_t i = 0; i < DZ_LEN(cases); i++) {
        struct settings s = { 0 };
        struct dz_err err;
        assert_ok(parse(cases[i].text, &s, &err));
        assert_int_equal(s.size, cases[i].bytes);
        done(&s);
    }
}

static void
of_a_long_path_the_end_is_told(void **state)
{
    (void) state;
    char name[301];
    struct dz_err err;
    struct settings s = { 0 };
    memset(name, 'd', 300);
    memcpy(name + 286, "/x/config.yaml", 15);
    assert_int_equal(dz_conf_parse(name, dz_str("bad: 1\n"), KEYS, DZ_LEN(KEYS), &s, &err),
                     DZ_CORRUPT);
    assert_memory_equal(err.text, "...ddd", 6);
    assert_non_null(strstr(err.text, "/x/config.yaml:1:1: unknown key 'bad'"));
}

static void
a_file_that_is_not_there_is_absent(void **state)
{
    (void) state;
    struct settings s = { 0 };
    struct dz_err err;
    assert_int_equal(dz_conf_load("/nonexistent/c.yaml", KEYS, DZ_LEN(KEYS), &s, NULL, &err),
                     DZ_ABSENT);
}

static void
what_is_quoted_reads_back_as_it_was(void **state)
{
    static const char *const texts[] = {
        "git@github.com:acme/shop.git//services/api",
        "yes",
        "",
        "12",
        "a: b",
        "x #y",
        "-",
        "a:",
        "say \"hi\" \\ there",
        "new\nline",
        "*star",
        "file://host/dir with space",
        "caf\xc3\xa9",
    };
    (void) state;
    for (size_t i = 0; i < DZ_LEN(texts); i++) {
        struct settings s = { 0 };
        struct dz_err err;
        char file[256];
        DZ_AUTO(dz_free) char *quoted = dz_conf_quote(texts[i]);
        (void) snprintf(file, sizeof(file), "project:\n  uri: %s\n", quoted);
        assert_ok(parse(file, &s, &err));
        assert_string_equal(s.uri, texts[i]);
        done(&s);
    }
    DZ_AUTO(dz_free) char *plain = dz_conf_quote(texts[0]);
    assert_string_equal(plain, texts[0]);
}

static void
the_nearest_word_is_found_only_when_it_is_near(void **state)
{
    static const char *const words[] = { "jobs", "job", "logs", "tests", "version" };
    (void) state;
    assert_string_equal(dz_nearest("jbos", words, DZ_LEN(words)), "jobs");
    assert_string_equal(dz_nearest("TEST", words, DZ_LEN(words)), "tests");
    assert_string_equal(dz_nearest("verison", words, DZ_LEN(words)), "version");
    assert_string_equal(dz_nearest("jo", words, DZ_LEN(words)), "job");
    assert_null(dz_nearest("coverage", words, DZ_LEN(words)));
    assert_null(dz_nearest("", words, DZ_LEN(words)));
}

static void
a_long_complaint_stays_whole_when_its_place_is_put_before_it(void **state)
{
    (void) state;
    struct dz_err err;
    char path[300], what[220];
    memset(path, 'p', sizeof(path) - 1);
    memset(what, 'w', sizeof(what) - 1);
    path[sizeof(path) - 1] = what[sizeof(what) - 1] = '\0';
    (void) snprintf(err.text, sizeof(err.text), "%.190s", what);
    dz_conf_blame(path, (struct dz_conf_mark){ 1000000, 1000000 }, &err);
    const char *place = strstr(err.text, "p:1000000:1000000: w");
    assert_non_null(place);
    assert_int_equal(strlen(strchr(err.text, 'w')), 190);
    assert_memory_equal(err.text, "...ppp", 6);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_fills_the_struct),
        cmocka_unit_test(an_empty_file_and_an_empty_section_say_nothing),
        cmocka_unit_test(every_complaint_gives_line_and_column_and_the_thing),
        cmocka_unit_test(a_refused_file_changes_nothing),
        cmocka_unit_test(sizes_are_read_with_their_units),
        cmocka_unit_test(of_a_long_path_the_end_is_told),
        cmocka_unit_test(a_long_complaint_stays_whole_when_its_place_is_put_before_it),
        cmocka_unit_test(a_file_that_is_not_there_is_absent),
        cmocka_unit_test(what_is_quoted_reads_back_as_it_was),
        cmocka_unit_test(the_nearest_word_is_found_only_when_it_is_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
