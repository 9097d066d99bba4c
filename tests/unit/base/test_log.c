/* The log: each line is one JSON object. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shared/base/buf.h"
#include "shared/base/fd.h"
#include "shared/base/log.h"
#include "tests/unit/unit.h"

static int file = -1;

static int
start(void **state)
{
    (void) state;
    file = memfd_create("log", MFD_CLOEXEC);
    dz_log_start(file, DZ_LOG_INFO);
    return 0;
}

static int
stop(void **state)
{
    (void) state;
    dz_log_start(-1, DZ_LOG_INFO);
    dz_fd_close(&file);
    return 0;
}

/* What follows time and pid, which differ. */
static void
assert_logged(const char *wanted)
{
    char text[1024] = { 0 };
    assert_true(pread(file, text, sizeof(text) - 1, 0) >= 0);
    const char *level = strstr(text, ",\"level\"");
    assert_non_null(level);
    assert_string_equal(level, wanted);
}

static void
pairs_become_members_and_numbers_stay_numbers(void **state)
{
    (void) state;
    log_warn("lease.expired", "job=%s slot=%d age_ms=%d version=%s", "j1", 3, -50, "1.0");
    assert_logged(",\"level\":\"warn\",\"event\":\"lease.expired\",\"job\":\"j1\",\"slot\":3,"
                  "\"age_ms\":-50,\"version\":\"1.0\"}\n");
}

static void
a_value_may_hold_spaces_and_anything_else(void **state)
{
    (void) state;
    log_info("x", "why=it \"fell\" over\n\xff path=/a b/c id=007");
    assert_logged(",\"level\":\"info\",\"event\":\"x\",\"why\":\"it \\\"fell\\\" over\\u000a"
                  "\xef\xbf\xbd\",\"path\":\"/a b/c\",\"id\":\"007\"}\n");
}

static void
words_that_are_no_pairs_are_kept(void **state)
{
    (void) state;
    log_error("x", "nothing but words");
    assert_logged(",\"level\":\"error\",\"event\":\"x\",\"text\":\"nothing but words\"}\n");
}

static void
what_is_below_the_level_is_not_said(void **state)
{
    (void) state;
    log_debug("x", "a=1");
    assert_int_equal(lseek(file, 0, SEEK_END), 0);
    assert_false(dz_log_wants(DZ_LOG_DEBUG));
}

static void
only_well_formed_utf8_passes(void **state)
{
    (void) state;
    DZ_AUTO(dz_buf_fini) struct dz_buf out = { 0 };
    dz_json_escape(&out, dz_str("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"));
    assert_true(dz_slice_eq(dz_buf_slice(&out), dz_str("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80")));
    const char *const bad[] = { "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82",
                                "\x80" };
    for (size_t i = 0; i < DZ_LEN(bad); i++) {
        dz_buf_clear(&out);
        dz_json_escape(&out, dz_str(bad[i]));
        assert_true(out.len >= 3 && memcmp(out.data, "\xef\xbf\xbd", 3) == 0);
    }
}

int
main(void)
{
#define FACT(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        FACT(pairs_become_members_and_numbers_stay_numbers),
        FACT(a_value_may_hold_spaces_and_anything_else),
        FACT(words_that_are_no_pairs_are_kept),
        FACT(what_is_below_the_level_is_not_said),
        FACT(only_well_formed_utf8_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
