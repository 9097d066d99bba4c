/* The bounded reader, against bytes written by hand from the msgpack specification. */
#include "shared/wire/cursor.h"
#include "tests/unit/unit.h"

#define OVER(...) \
    dz_cursor_over((struct dz_slice){ (const uint8_t[]){ __VA_ARGS__ }, \
                                      sizeof((const uint8_t[]){ __VA_ARGS__ }) })

#define assert_reads_u64(value, ...) \
    do { \
        struct dz_cursor in = OVER(__VA_ARGS__); \
        assert_int_equal(dz_cursor_u64(&in, UINT64_MAX), (value)); \
        assert_true(dz_cursor_at_end(&in)); \
    } while (0)

#define assert_reads_i64(value, ...) \
    do { \
        struct dz_cursor in = OVER(__VA_ARGS__); \
        assert_true(dz_cursor_i64(&in, INT64_MAX) == (value)); \
        assert_true(dz_cursor_at_end(&in)); \
    } while (0)

static void
unsigned_numbers_of_every_width_are_read(void **state)
{
    (void) state;
    assert_reads_u64(0, 0x00);
    assert_reads_u64(127, 0x7f);
    assert_reads_u64(200, 0xcc, 200);
    assert_reads_u64(0x1234, 0xcd, 0x12, 0x34);
    assert_reads_u64(0x12345678, 0xce, 0x12, 0x34, 0x56, 0x78);
    assert_reads_u64(UINT64_MAX, 0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff);
    assert_reads_u64(5, 0xd1, 0x00, 0x05); /* signed tag, no sign */
}

static void
signed_numbers_of_every_width_are_read(void **state)
{
    (void) state;
    assert_reads_i64(-1, 0xff);
    assert_reads_i64(-32, 0xe0);
    assert_reads_i64(-128, 0xd0, 0x80);
    assert_reads_i64(-2, 0xd1, 0xff, 0xfe);
    assert_reads_i64(-65536, 0xd2, 0xff, 0xff, 0x00, 0x00);
    assert_reads_i64(-INT64_MAX, 0xd3, 0x80, 0, 0, 0, 0, 0, 0, 1);
    assert_reads_i64(300, 0xcd, 0x01, 0x2c);
}

static void
a_number_above_its_limit_is_bad(void **state)
{
    (void) state;
    struct dz_cursor in = OVER(0xcc, 201);
    assert_int_equal(dz_cursor_u64(&in, 200), 0);
    assert_false(dz_cursor_ok(&in));
    struct dz_cursor negative = OVER(0xd0, 0x80);
    assert_int_equal(dz_cursor_i64(&negative, 127), 0);
    assert_false(dz_cursor_ok(&negative));
    struct dz_cursor least = OVER(0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0);
    assert_true(dz_cursor_i64(&least, INT64_MAX) == 0); /* its magnitude does not fit */
    assert_false(dz_cursor_ok(&least));
    struct dz_cursor minus = OVER(0xff);
    assert_int_equal(dz_cursor_u64(&minus, UINT64_MAX), 0);
    assert_false(dz_cursor_ok(&minus));
}

static void
a_string_is_a_slice_of_the_input(void **state)
{
    (void) state;
    const uint8_t bytes[] = { 0xa2, 'h', 'i', 0xd9, 1, '!' };
    struct dz_cursor in = dz_cursor_over((struct dz_slice){ bytes, sizeof(bytes) });
    struct dz_slice first = dz_cursor_str(&in, 2);
    assert_ptr_equal(first.ptr, bytes + 1);
    assert_int_equal(first.len, 2);
    assert_true(dz_slice_eq(dz_cursor_str(&in, 1), dz_str("!")));
    assert_true(dz_cursor_at_end(&in));
}

static void
a_claimed_length_beyond_the_bytes_is_bad(void **state)
{
    (void) state;
    struct dz_cursor str = OVER(0xdb, 0xff, 0xff, 0xff, 0xff, 'x');
    assert_int_equal(dz_cursor_str(&str, UINT64_MAX).len, 0);
    assert_false(dz_cursor_ok(&str));
    struct dz_cursor bin = OVER(0xc4, 2, 'x');
    assert_int_equal(dz_cursor_bin(&bin, 2).len, 0);
    assert_false(dz_cursor_ok(&bin));
    struct dz_cursor cut = OVER(0xcd, 0x12);
    assert_int_equal(dz_cursor_u64(&cut, UINT64_MAX), 0);
    assert_false(dz_cursor_ok(&cut));
}

static void
str_and_bin_are_not_taken_for_each_other(void **state)
{
    (void) state;
    struct dz_cursor str = OVER(0xc4, 1, 'x');
    (void) dz_cursor_str(&str, 9);
    assert_false(dz_cursor_ok(&str));
    struct dz_cursor bin = OVER(0xa1, 'x');
    (void) dz_cursor_bin(&bin, 9);
    assert_false(dz_cursor_ok(&bin));
}

static void
after_a_bad_read_everything_is_empty(void **state)
{
    (void) state;
    struct dz_cursor in = OVER(0xc0, 0x05, 0x05);
    assert_int_equal(dz_cursor_u64(&in, 9), 0);
    assert_int_equal(dz_cursor_u64(&in, 9), 0);
    assert_int_equal(dz_cursor_str(&in, 9).len, 0);
    assert_int_equal(dz_cursor_array(&in, 9), 0);
    assert_false(dz_cursor_ok(&in));
}

static void
an_array_that_claims_more_than_its_limit_is_bad(void **state)
{
    (void) state;
    struct dz_cursor wide = OVER(0xdd, 0xff, 0xff, 0xff, 0xff);
    assert_int_equal(dz_cursor_array(&wide, 4096), 0);
    assert_false(dz_cursor_ok(&wide));
    struct dz_cursor fits = OVER(0xdc, 0x10, 0x00);
    assert_int_equal(dz_cursor_array(&fits, 4096), 4096);
    assert_true(dz_cursor_ok(&fits));
}

static void
values_of_every_kind_are_passed_over(void **state)
{
    (void) state;
    struct dz_cursor in = OVER(
        0xc0, 0xc2, 0xc3, 0x01, 0xff, 0xca, 1, 2, 3, 4, 0xcb, 1, 2, 3, 4, 5, 6, 7, 8, /* scalars */
        0xcc, 1, 0xcd, 1, 2, 0xd0, 1, 0xd3, 1, 2, 3, 4, 5, 6, 7, 8,                   /* numbers */
        0xa1, 'x', 0xd9, 1, 'x', 0xc4, 1, 'x', 0xd4, 7, 1, 0xc7, 2, 7, 1, 2,          /* bytes */
        0x92, 0x91, 0x01, 0x81, 0xa1, 'k', 0x90, 0xde, 0, 1, 0x01, 0xdc, 0, 1, 0xc0,  /* nested */
        0x2a);
    dz_cursor_skip(&in, 7 + 4 + 5 + 2);
    assert_int_equal(dz_cursor_u64(&in, 42), 42);
    assert_true(dz_cursor_at_end(&in));
}

static void
skipping_ends_where_the_bytes_end_however_much_is_claimed(void **state)
{
    (void) state;
    struct dz_cursor in = OVER(0xdf, 0xff, 0xff, 0xff, 0xff, 0xdf, 0xff, 0xff, 0xff, 0xff, 0x01);
    dz_cursor_skip(&in, UINT32_MAX);
    assert_false(dz_cursor_ok(&in));
    struct dz_cursor never = OVER(0xc1);
    dz_cursor_skip(&never, 1);
    assert_false(dz_cursor_ok(&never));
}

static void
nothing_can_be_read_from_nothing(void **state)
{
    (void) state;
    struct dz_cursor in = dz_cursor_over((struct dz_slice){ 0 });
    assert_true(dz_cursor_at_end(&in));
    assert_int_equal(dz_cursor_u64(&in, 1), 0);
    assert_false(dz_cursor_ok(&in));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unsigned_numbers_of_every_width_are_read),
        cmocka_unit_test(signed_numbers_of_every_width_are_read),
        cmocka_unit_test(a_number_above_its_limit_is_bad),
        cmocka_unit_test(a_string_is_a_slice_of_the_input),
        cmocka_unit_test(a_claimed_length_beyond_the_bytes_is_bad),
        cmocka_unit_test(str_and_bin_are_not_taken_for_each_other),
        cmocka_unit_test(after_a_bad_read_everything_is_empty),
        cmocka_unit_test(an_array_that_claims_more_than_its_limit_is_bad),
        cmocka_unit_test(values_of_every_kind_are_passed_over),
        cmocka_unit_test(skipping_ends_where_the_bytes_end_however_much_is_claimed),
        cmocka_unit_test(nothing_can_be_read_from_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
