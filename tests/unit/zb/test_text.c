#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"
#include "zb/table.h"
#include "zb/zb.h"

static void
said(struct zb *zb, const char *expected)
{
    dz_buf_add(&zb->out, "", 1);
    assert_string_equal((char *) zb->out.data, expected);
    dz_buf_clear(&zb->out);
}

static void
text_is_cut_at_its_end_and_ids_at_their_beginning(void **state)
{
    struct zb zb = { .color = "never" };
    (void) state;
    assert_int_equal(zb_text(&zb, dz_str("abcdefghij"), 10), 10);
    said(&zb, "abcdefghij");
    assert_int_equal(zb_text(&zb, dz_str("abcdefghijk"), 10), 10);
    said(&zb, "abcdefg...");
    assert_int_equal(zb_id(&zb, dz_str("abcdefghijk"), 10), 10);
    said(&zb, "...efghijk");
    (void) zb_id(&zb, dz_str("abcdefghijk"), 0);
    said(&zb, "abcdefghijk");
    (void) zb_text(&zb, dz_str("abcdef"), 2);
    said(&zb, "ab");
    dz_buf_fini(&zb.out);
}

static void
wide_characters_count_for_what_they_take(void **state)
{
    struct zb zb = { .color = "never" };
    (void) state;
    assert_int_equal(zb_columns(dz_str("caf\xc3\xa9")), 4);
    assert_int_equal(zb_columns(dz_str("\xe6\xbc\xa2\xe5\xad\x97")), 4); /* two Chinese ones */
    assert_int_equal(zb_text(&zb, dz_str("\xe6\xbc\xa2\xe5\xad\x97"), 4), 4);
    said(&zb, "\xe6\xbc\xa2\xe5\xad\x97");
    assert_int_equal(zb_text(&zb, dz_str("\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2"), 5), 5);
    said(&zb, "\xe6\xbc\xa2...");
    dz_buf_fini(&zb.out);
}

static void
nothing_in_a_name_reaches_the_terminal_as_a_command(void **state)
{
    struct zb zb = { .color = "never" };
    (void) state;
    (void) zb_text(&zb, dz_str("a\x1b[2Jb\nc\x7f\xff"), 0);
    said(&zb, "a?[2Jb?c??");
    dz_buf_fini(&zb.out);
}

static void
spans_of_time_read_well_at_every_size(void **state)
{
    static const struct {
        int64_t us;
        const char *text;
    } cases[] = {
        { 0, "0.0 ms" },          { 1234, "1.2 ms" },         { 45678, "46 ms" },
        { 9949, "9.9 ms" },       { 9950, "10 ms" },          { 100, "0.1 ms" },
        { 999400, "999 ms" },     { 999600, "1.00 s" },       { 100000, "100 ms" },
        { 10000, "10 ms" },       { 50, "0.1 ms" },           { 49, "0.0 ms" },
        { 1000000, "1.00 s" },    { 1500000, "1.50 s" },      { 12340000, "12.3 s" },
        { 65000000, "1 m 05 s" }, { 3725000000, "1 h 02 m" }, { -5, "?" },
    };
    char out[ZB_WORD];
    (void) state;
    for (size_t i = 0; i < DZ_LEN(cases); i++)
        assert_string_equal(zb_span(out, cases[i].us), cases[i].text);
}

static void
moments_are_told_from_today(void **state)
{
    static const int64_t noon = INT64_C(1795262400000000), day = INT64_C(86400000000);
    char out[ZB_WORD];
    (void) state;
    DZ_AUTO(zone_destroy) struct zone *utc = zone_new("UTC");
    assert_string_equal(zb_when(out, utc, noon, noon), "today 12:00");
    assert_string_equal(zb_when(out, utc, noon - day, noon), "yesterday 12:00");
    assert_string_equal(zb_when(out, utc, noon - 2 * day, noon), "19 Nov 12:00");
    assert_string_equal(zb_when(out, utc, noon - 400 * day, noon), "2025-10-17");
}

static void
a_table_drops_what_matters_least_before_it_cuts(void **state)
{
    static const struct zb_column columns[] = { { "name", 0, 0, false, false },
                                                { "words", 0, 6, false, false },
                                                { "n", 1, 0, true, false } };
    static const struct {
        int width;
        const char *expected;
    } cases[] = {
        { 0, "name  words            n\nx     long enough to  12\n" },
        { 18, "name  words      n\nx     long ...  12\n" },
        { 16, "name  words    n\nx     lon...  12\n" },
        { 12, "name  words\nx     lon...\n" },
    };
    (void) state;
    for (size_t i = 0; i < DZ_LEN(cases); i++) {
        struct zb zb = { .color = "never", .width = cases[i].width };
        struct zb_table table = { .columns = columns, .column_count = DZ_LEN(columns) };
        zb_table_add(&table, ZB_PLAIN, "x");
        zb_table_add(&table, ZB_PLAIN, "long enough to");
        zb_table_add(&table, ZB_PLAIN, "%d", 12);
        zb_table_print(&table, &zb, 0);
        said(&zb, cases[i].expected);
        dz_buf_fini(&zb.out);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_cut_at_its_end_and_ids_at_their_beginning),
        cmocka_unit_test(wide_characters_count_for_what_they_take),
        cmocka_unit_test(nothing_in_a_name_reaches_the_terminal_as_a_command),
        cmocka_unit_test(spans_of_time_read_well_at_every_size),
        cmocka_unit_test(moments_are_told_from_today),
        cmocka_unit_test(a_table_drops_what_matters_least_before_it_cuts),
    };
    (void) setlocale(LC_CTYPE, "C.UTF-8"); /* NOLINT(concurrency-mt-unsafe): one thread */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
