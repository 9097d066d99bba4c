/* The small things: errors, bytes, strings, order, names and sums. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/buf.h"
#include "shared/base/clock.h"
#include "shared/base/digest.h"
#include "shared/base/heap.h"
#include "shared/base/str.h"
#include "shared/base/ulid.h"
#include "tests/unit/unit.h"

static void
a_failure_is_one_line(void **state)
{
    (void) state;
    struct dz_err err;
    assert_int_equal(dz_fail(&err, DZ_LIMIT, "file '%s' is long", "a\nb"), DZ_LIMIT);
    assert_string_equal(err.text, "file 'a b' is long");
    assert_int_equal(dz_fail(NULL, DZ_ABSENT, "nobody reads this"), DZ_ABSENT);
}

static void
the_systems_reason_survives_a_long_name(void **state)
{
    (void) state;
    struct dz_err err;
    char name[400];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    errno = ENOENT;
    assert_int_equal(dz_fail_errno(&err, "open '%s'", name), DZ_IO);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    assert_non_null(strstr(err.text, ": No such file or directory"));
    errno = EACCES;
    assert_int_equal(dz_fail_errno(&err, "open 'x'"), DZ_IO);
    assert_string_equal(err.text, "open 'x': Permission denied");
}

static void
every_code_has_a_text(void **state)
{
    (void) state;
    assert_string_equal(dz_rc_text(DZ_OK), "ok");
    assert_string_equal(dz_rc_text(DZ_CLOSED), "the other end is gone");
}

static void
what_is_moved_is_left_behind_as_null(void **state)
{
    (void) state;
    char *text = dz_strdup("text");
    DZ_AUTO(dz_free) char *taken = dz_move(text);
    assert_null(text);
    assert_string_equal(taken, "text");
}

static void
a_buffer_grows_and_drops_from_the_front(void **state)
{
    (void) state;
    DZ_AUTO(dz_buf_fini) struct dz_buf buf = { 0 };
    for (int i = 0; i < 1000; i++)
        dz_buf_addf(&buf, "%04d", i);
    assert_int_equal(buf.len, 4000);
    dz_buf_drop(&buf, 3996);
    assert_true(dz_slice_eq(dz_buf_slice(&buf), dz_str("0999")));
    dz_buf_add(&buf, NULL, 0);
    dz_buf_clear(&buf);
    assert_int_equal(buf.len, 0);
}

static void
what_is_due_first_comes_first_and_equals_keep_their_order(void **state)
{
    (void) state;
    DZ_AUTO(dz_heap_fini) struct dz_heap heap = { 0 };
    char names[] = "abcdef";
    const int64_t at[] = { 5, 1, 5, 3, 1, 5 };
    for (size_t i = 0; i < DZ_LEN(at); i++)
        dz_heap_push(&heap, at[i], &names[i]);
    const char wanted[] = "bedacf";
    int64_t due = 0;
    void *value = NULL;
    for (size_t i = 0; i < DZ_LEN(at); i++) {
        assert_true(dz_heap_pop(&heap, &due, &value));
        assert_int_equal(*(char *) value, wanted[i]);
    }
    assert_false(dz_heap_pop(&heap, &due, &value));
    assert_false(dz_heap_peek(&heap, &due));
}

static void
a_thousand_deadlines_come_out_sorted(void **state)
{
    (void) state;
    DZ_AUTO(dz_heap_fini) struct dz_heap heap = { 0 };
    int64_t last = INT64_MIN, due = 0;
    void *value = NULL;
    for (int64_t i = 0; i < 1000; i++)
        dz_heap_push(&heap, i * 7919 % 1000, NULL);
    for (int i = 0; i < 1000; i++) {
        assert_true(dz_heap_pop(&heap, &due, &value));
        assert_true(due >= last);
        last = due;
    }
}

static void
a_list_of_strings_owns_them_and_ends_with_null(void **state)
{
    (void) state;
    DZ_AUTO(dz_strs_fini) struct dz_strs list = { 0 };
    for (int i = 20; i > 0; i--) {
        char text[16];
        (void) snprintf(text, sizeof(text), "n%02d", i);
        dz_strs_add(&list, dz_str(text));
    }
    dz_strs_sort(&list);
    assert_string_equal(list.items[0], "n01");
    assert_string_equal(list.items[19], "n20");
    assert_null(list.items[20]);
    assert_true(dz_strs_has(&list, dz_str("n07")));
    assert_false(dz_strs_has(&list, dz_str("n0")));
}

static void
lines_are_taken_with_or_without_a_last_newline(void **state)
{
    (void) state;
    struct dz_slice rest = dz_str("one\n\nthree"), line = { 0 };
    assert_true(dz_line_next(&rest, &line));
    assert_true(dz_slice_eq(line, dz_str("one")));
    assert_true(dz_line_next(&rest, &line));
    assert_int_equal(line.len, 0);
    assert_true(dz_line_next(&rest, &line));
    assert_true(dz_slice_eq(line, dz_str("three")));
    assert_false(dz_line_next(&rest, &line));
    assert_true(dz_starts_with(dz_str("DAGZ_HOME"), dz_str("DAGZ_")));
    assert_false(dz_starts_with(dz_str("DA"), dz_str("DAGZ_")));
}

static void
a_name_means_what_is_below_it_and_a_folder_may_have_its_slash(void **state)
{
    (void) state;
    struct dz_slice id = dz_str("tests/api/test_get.py::TestGet::test_found[1]");
    static const char *const above[] = { "tests",
                                         "tests/",
                                         "tests/api",
                                         "tests/api/",
                                         "tests/api/test_get.py",
                                         "tests/api/test_get.py::TestGet",
                                         "tests/api/test_get.py::TestGet::test_found",
                                         "tests/api/test_get.py::TestGet::test_found[1]" };
    for (size_t i = 0; i < sizeof(above) / sizeof(above[0]); i++)
        assert_true(dz_id_is_below(id, above[i]));
    static const char *const beside[] = { "test", "tests/ap", "api/", "tests/api/test_get.py/",
                                          "tests/api/test_get.py::TestGet::test_f" };
    for (size_t i = 0; i < sizeof(beside) / sizeof(beside[0]); i++)
        assert_false(dz_id_is_below(id, beside[i]));
}

/* 1469918176385 ms is 01ARYZ6S41 by the published specification of ULID. */
static void
a_ulid_begins_with_its_time(void **state)
{
    (void) state;
    const uint8_t chance[DZ_ULID_CHANCE] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1 };
    char text[DZ_ULID_LEN + 1];
    int64_t wall_ms = 0;
    dz_ulid_make(1469918176385, chance, text);
    assert_string_equal(text, "01ARYZ6S41ZZZZZZZZ00000001");
    assert_true(dz_ulid_read(dz_str(text), &wall_ms));
    assert_int_equal(wall_ms, 1469918176385);
    assert_false(dz_ulid_read(dz_str("01ARYZ6S41ZZZZZZZZ0000000"), NULL));
    assert_false(dz_ulid_read(dz_str("01ARYZ6S41ZZZZZZZZ0000000U"), NULL));
    assert_false(dz_ulid_read(dz_str("81ARYZ6S41ZZZZZZZZ00000001"), NULL));
}

/* Check values from RFC 3720 (iSCSI), appendix B.4, and the catalogue's "123456789". */
static void
crc32c_has_the_published_values(void **state)
{
    (void) state;
    uint8_t bytes[32] = { 0 };
    struct dz_slice all = { bytes, sizeof(bytes) };
    assert_int_equal(dz_crc32c(0, dz_str("123456789")), 0xe3069283);
    assert_int_equal(dz_crc32c(0, all), 0x8a9136aa);
    memset(bytes, 0xff, sizeof(bytes));
    assert_int_equal(dz_crc32c(0, all), 0x62a8ab43);
    for (uint8_t i = 0; i < 32; i++)
        bytes[i] = i;
    assert_int_equal(dz_crc32c(0, all), 0x46dd794e);
    uint32_t part = dz_crc32c(0, (struct dz_slice){ bytes, 13 });
    assert_int_equal(dz_crc32c(part, (struct dz_slice){ bytes + 13, 19 }), 0x46dd794e);
}

static void
hashes_are_the_published_xxh3(void **state)
{
    (void) state;
    assert_true(dz_hash64(dz_str("")) == 0x2d06800538d394c2ULL);
}

static void
the_monotonic_clock_does_not_go_back(void **state)
{
    (void) state;
    dz_us before = dz_clock_us();
    assert_true(dz_clock_us() >= before);
    assert_true(dz_clock_wall_ms() > 1600000000000);
}

static void
a_part_of_a_url_is_percent_encoded(void **state)
{
    (void) state;
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    dz_url_add(&text, "aZ09-._~ /?&\xc3\xa9%");
    assert_true(dz_slice_eq(dz_buf_slice(&text), dz_str("aZ09-._~%20%2F%3F%26%C3%A9%25")));
}

static void
slices_are_ordered_by_their_bytes(void **state)
{
    (void) state;
    static const char *const in_order[] = { "", "a", "a\x01", "ab", "b", "\xc3\xa4" };
    for (size_t i = 0; i < DZ_LEN(in_order); i++) {
        for (size_t k = 0; k < DZ_LEN(in_order); k++) {
            int order = dz_slice_cmp(dz_str(in_order[i]), dz_str(in_order[k]));
            assert_int_equal((order > 0) - (order < 0), (i > k) - (i < k));
        }
    }
    assert_int_equal(dz_slice_cmp((struct dz_slice){ 0 }, dz_str("")), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_is_one_line),
        cmocka_unit_test(slices_are_ordered_by_their_bytes),
        cmocka_unit_test(the_systems_reason_survives_a_long_name),
        cmocka_unit_test(every_code_has_a_text),
        cmocka_unit_test(what_is_moved_is_left_behind_as_null),
        cmocka_unit_test(a_buffer_grows_and_drops_from_the_front),
        cmocka_unit_test(a_part_of_a_url_is_percent_encoded),
        cmocka_unit_test(what_is_due_first_comes_first_and_equals_keep_their_order),
        cmocka_unit_test(a_thousand_deadlines_come_out_sorted),
        cmocka_unit_test(a_list_of_strings_owns_them_and_ends_with_null),
        cmocka_unit_test(lines_are_taken_with_or_without_a_last_newline),
        cmocka_unit_test(a_name_means_what_is_below_it_and_a_folder_may_have_its_slash),
        cmocka_unit_test(a_ulid_begins_with_its_time),
        cmocka_unit_test(crc32c_has_the_published_values),
        cmocka_unit_test(hashes_are_the_published_xxh3),
        cmocka_unit_test(the_monotonic_clock_does_not_go_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
