/* One message between nodes: sealed, and opened by somebody who trusts nothing. */
#include "shared/wire/frame.h"
#include "tests/unit/unit.h"

static void
seal_a_heartbeat(struct dz_buf *out)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf body = { 0 };
    dz_msg_encode(&(struct dz_msg){ .id = DZ_MSG_wake, .as.wake.count = 5 }, &body);
    struct dz_msg_mesh envelope = {
        .job = dz_str("01ARZ3NDEKTSV4RRFFQ69G5FAV"), .seq = 7, .ack = 6, .body = dz_buf_slice(&body)
    };
    dz_mesh_seal(&envelope, out);
}

static void
what_was_sealed_is_opened(void **state)
{
    (void) state;
    DZ_AUTO(dz_buf_fini) struct dz_buf sent = { 0 };
    struct dz_msg_mesh got;
    struct dz_msg inner;
    seal_a_heartbeat(&sent);
    assert_int_equal(sent.data[0], 'D');
    assert_int_equal(sent.data[1], 'Z');
    assert_int_equal(sent.data[3], DZ_MSG_wake);
    assert_ok(dz_mesh_open(dz_buf_slice(&sent), &got));
    assert_int_equal(got.seq, 7);
    assert_int_equal(got.ack, 6);
    assert_true(dz_slice_eq(got.job, dz_str("01ARZ3NDEKTSV4RRFFQ69G5FAV")));
    assert_ok(dz_msg_decode(got.body, &inner));
    assert_int_equal(inner.as.wake.count, 5);
}

static void
no_flipped_bit_is_believed(void **state)
{
    (void) state;
    DZ_AUTO(dz_buf_fini) struct dz_buf sent = { 0 };
    struct dz_msg_mesh got;
    seal_a_heartbeat(&sent);
    for (size_t bit = 0; bit < sent.len * 8; bit++) {
        sent.data[bit / 8] ^= (uint8_t) (1U << (bit % 8));
        assert_int_not_equal(dz_mesh_open(dz_buf_slice(&sent), &got), DZ_OK);
        sent.data[bit / 8] ^= (uint8_t) (1U << (bit % 8));
    }
    assert_ok(dz_mesh_open(dz_buf_slice(&sent), &got));
}

static void
no_cut_off_frame_is_believed(void **state)
{
    (void) state;
    DZ_AUTO(dz_buf_fini) struct dz_buf sent = { 0 };
    struct dz_msg_mesh got;
    seal_a_heartbeat(&sent);
    for (size_t len = 0; len < sent.len; len++)
        assert_int_equal(dz_mesh_open((struct dz_slice){ sent.data, len }, &got), DZ_CORRUPT);
}

static void
another_version_is_told_from_damage(void **state)
{
    (void) state;
    DZ_AUTO(dz_buf_fini) struct dz_buf sent = { 0 };
    struct dz_msg_mesh got;
    seal_a_heartbeat(&sent);
    sent.data[2] = 2;
    assert_int_equal(dz_mesh_open(dz_buf_slice(&sent), &got), DZ_VERSION);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_sealed_is_opened),
        cmocka_unit_test(no_flipped_bit_is_believed),
        cmocka_unit_test(no_cut_off_frame_is_believed),
        cmocka_unit_test(another_version_is_told_from_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
