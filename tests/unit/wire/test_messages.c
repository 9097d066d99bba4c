/* Messages to bytes and back. */
#include "shared/wire/schema.h"
#include "shared/wire/wire.h"
#include "tests/unit/unit.h"

#define BYTES(...) \
    ((struct dz_slice){ (const uint8_t[]){ __VA_ARGS__ }, \
                        sizeof((const uint8_t[]){ __VA_ARGS__ }) })

static void
a_message_is_an_array_that_begins_with_its_id(void **state)
{
    (void) state;
    DZ_AUTO(dz_buf_fini) struct dz_buf out = { 0 };
    struct dz_msg msg = { .id = DZ_MSG_stop, .as.stop = { .how = 1, .reason = dz_str("no") } };
    dz_msg_encode(&msg, &out);
    assert_true(dz_slice_eq(dz_buf_slice(&out), BYTES(0x94, 65, 1, 0xa2, 'n', 'o', 0)));
}

static void
what_was_encoded_is_decoded(void **state)
{
    (void) state;
    DZ_AUTO(dz_buf_fini) struct dz_buf out = { 0 };
    struct dz_msg msg = { .id = DZ_MSG_result,
                          .as.result = { .test = 16777215,
                                         .attempt = 2,
                                         .exec = UINT64_MAX,
                                         .result = 3,
                                         .start_us = INT64_MAX,
                                         .log_end = 70000,
                                         .blob = dz_str("a\xff\x00") } };
    dz_msg_encode(&msg, &out);
    struct dz_msg got;
    assert_ok(dz_msg_decode(dz_buf_slice(&out), &got));
    assert_int_equal(got.id, DZ_MSG_result);
    assert_int_equal(got.as.result.test, 16777215);
    assert_int_equal(got.as.result.attempt, 2);
    assert_true(got.as.result.exec == UINT64_MAX);
    assert_int_equal(got.as.result.start_us, INT64_MAX);
    assert_int_equal(got.as.result.log_end, 70000);
    assert_true(dz_slice_eq(got.as.result.blob, dz_str("a\xff\x00")));
}

static void
a_list_is_walked_without_an_error_path(void **state)
{
    (void) state;
    DZ_AUTO(dz_buf_fini) struct dz_buf items = { 0 };
    DZ_AUTO(dz_buf_fini) struct dz_buf out = { 0 };
    struct dz_msg msg = { .id = DZ_MSG_manifest, .as.manifest.first = 9 };
    for (uint64_t i = 0; i < 20; i++) {
        struct dz_item_entry entry = { .id = dz_str("t.py::test"),
                                       .group = dz_str(""),
                                       .flags = i };
        dz_entry_add(&msg.as.manifest.entries, &items, &entry);
    }
    dz_msg_encode(&msg, &out);
    struct dz_msg got;
    assert_ok(dz_msg_decode(dz_buf_slice(&out), &got));
    assert_int_equal(got.as.manifest.entries.count, 20);
    struct dz_list rest = got.as.manifest.entries;
    struct dz_item_entry entry;
    for (uint64_t i = 0; i < 20; i++) {
        assert_true(dz_entry_next(&rest, &entry));
        assert_int_equal(entry.flags, i);
        assert_true(dz_slice_eq(entry.id, dz_str("t.py::test")));
    }
    assert_false(dz_entry_next(&rest, &entry));
}

static void
fields_that_we_do_not_know_are_skipped(void **state)
{
    (void) state;
    struct dz_msg msg;
    /* quit(how=1) with a map and a string behind it; an entry with a fifth field */
    assert_ok(dz_msg_decode(BYTES(0x94, 85, 1, 0x81, 0x01, 0x02, 0xa1, 'x'), &msg));
    assert_int_equal(msg.as.quit.how, 1);
    assert_ok(dz_msg_decode(
        BYTES(0x93, 83, 0, 0x92, 0x95, 0xa1, 'a', 0xa0, 1, 0, 0xc0, 0x94, 0xa1, 'b', 0xa0, 2, 0),
        &msg));
    struct dz_item_entry entry;
    assert_true(dz_entry_next(&msg.as.manifest.entries, &entry));
    assert_true(dz_entry_next(&msg.as.manifest.entries, &entry));
    assert_true(dz_slice_eq(entry.id, dz_str("b")));
}

static void
a_frame_that_breaks_the_schema_is_corrupt(void **state)
{
    (void) state;
    struct dz_msg msg;
    const struct dz_slice bad[] = {
        BYTES(0xc0),                                   /* no array */
        BYTES(0x90),                                   /* no id */
        BYTES(0x92, 0x3f, 1),                          /* an id that nobody has */
        BYTES(0x91, 85),                               /* a field is missing */
        BYTES(0x92, 85, 2),                            /* above its limit */
        BYTES(0x92, 85, 0xa1, 'x'),                    /* another kind */
        BYTES(0x92, 85, 1, 0),                         /* bytes behind the array */
        BYTES(0x93, 85, 1),                            /* an unknown field that is not there */
        BYTES(0x93, 83, 0, 0x91, 0x92, 0xa0, 0xa0),    /* an item with a field missing */
        BYTES(0x93, 83, 0, 0x92, 0x93, 0xa0, 0xa0, 0), /* an item missing */
        BYTES(0x93, 83, 0, 0xdd, 0xff, 0xff, 0xff, 0xff),
        { NULL, 0 },
    };
    for (size_t i = 0; i < DZ_LEN(bad); i++) {
        if (dz_msg_decode(bad[i], &msg) != DZ_CORRUPT)
            fail_msg("frame %zu was taken", i);
    }
}

static void
frames_are_taken_off_a_stream_one_by_one(void **state)
{
    (void) state;
    DZ_AUTO(dz_buf_fini) struct dz_buf out = { 0 };
    struct dz_slice frame = { 0 };
    struct dz_msg got;
    size_t used = 0;
    dz_msg_encode_framed(&(struct dz_msg){ .id = DZ_MSG_wake, .as.wake.count = 1 }, &out);
    dz_msg_encode_framed(&(struct dz_msg){ .id = DZ_MSG_wake, .as.wake.count = 2 }, &out);
    for (uint64_t i = 1; i <= 2; i++) {
        assert_ok(dz_frame_take(dz_buf_slice(&out), &frame, &used));
        assert_ok(dz_msg_decode(frame, &got));
        assert_int_equal(got.as.wake.count, i);
        dz_buf_drop(&out, used);
    }
    assert_int_equal(out.len, 0);
}

static void
half_a_frame_waits_and_a_frame_too_long_is_refused(void **state)
{
    (void) state;
    struct dz_slice frame = { 0 };
    size_t used = 0;
    assert_int_equal(dz_frame_take(BYTES(3, 0, 0), &frame, &used), DZ_AGAIN);
    assert_int_equal(dz_frame_take(BYTES(3, 0, 0, 0, 1, 2), &frame, &used), DZ_AGAIN);
    assert_ok(dz_frame_take(BYTES(3, 0, 0, 0, 1, 2, 3, 4), &frame, &used));
    assert_int_equal(frame.len, 3);
    assert_int_equal(used, 7);
    assert_int_equal(dz_frame_take(BYTES(1, 0, 0, 4), &frame, &used), DZ_CORRUPT); /* 64 Mi + 1 */
    assert_int_equal(dz_frame_take(BYTES(0, 0, 0, 4), &frame, &used), DZ_AGAIN);
}

static void
the_schema_as_data_names_fields_in_the_order_of_the_frame(void **state)
{
    (void) state;
    const struct dz_schema_msg *stop = dz_schema_by_name("stop");
    assert_non_null(stop);
    assert_ptr_equal(stop, dz_schema_by_id(65));
    assert_int_equal(stop->field_count, 3);
    assert_string_equal(stop->fields[0].name, "how");
    assert_int_equal(stop->fields[0].kind, 'u');
    assert_int_equal(stop->fields[0].limit, 1);
    assert_string_equal(stop->fields[1].name, "reason");
    assert_int_equal(stop->fields[1].kind, 's');
    assert_string_equal(stop->fields[2].name, "leaves");

    const struct dz_schema_msg *manifest = dz_schema_by_id(83);
    assert_int_equal(manifest->fields[1].kind, 'l');
    assert_string_equal(manifest->fields[1].item, "entry");
    assert_int_equal(manifest->fields[1].item_field_count, 4);
    assert_string_equal(manifest->fields[1].item_fields[2].name, "flags");
    assert_null(dz_schema_by_id(63));
    assert_null(dz_schema_by_name("no_such"));
}

static void
every_message_has_its_name(void **state)
{
    (void) state;
    size_t count = 0;
    const struct dz_schema_msg *all = dz_schema(&count);
    assert_true(count > 20);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(dz_msg_name(all[i].id), all[i].name);
    assert_string_equal(dz_msg_name((enum dz_msg_id) 63), "unknown");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_an_array_that_begins_with_its_id),
        cmocka_unit_test(what_was_encoded_is_decoded),
        cmocka_unit_test(a_list_is_walked_without_an_error_path),
        cmocka_unit_test(fields_that_we_do_not_know_are_skipped),
        cmocka_unit_test(a_frame_that_breaks_the_schema_is_corrupt),
        cmocka_unit_test(frames_are_taken_off_a_stream_one_by_one),
        cmocka_unit_test(half_a_frame_waits_and_a_frame_too_long_is_refused),
        cmocka_unit_test(the_schema_as_data_names_fields_in_the_order_of_the_frame),
        cmocka_unit_test(every_message_has_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
