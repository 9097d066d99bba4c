/* Descriptors: whole writes, ends, and descriptors that travel. */
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/buf.h"
#include "shared/base/fd.h"
#include "tests/unit/unit.h"

static void
descriptors_travel_with_the_first_byte(void **state)
{
    (void) state;
    int ends[2], got[2] = { -1, -1 };
    size_t count = 0, sent = 0;
    DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    const int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    const int both[] = { zero, ends[0] };
    assert_ok(dz_fd_send(ends[0], dz_str("born"), both, 2, &sent, NULL));
    assert_int_equal(sent, 4);
    assert_ok(dz_fd_recv(ends[1], &bytes, 100, got, 2, &count, NULL));
    assert_int_equal(count, 2);
    assert_true(dz_slice_eq(dz_buf_slice(&bytes), dz_str("born")));
    assert_int_equal(fcntl(got[0], F_GETFD), FD_CLOEXEC);
    uint8_t byte = 1;
    assert_int_equal(read(got[0], &byte, 1), 1);
    assert_int_equal(byte, 0);
    const int all[] = { zero, ends[0], ends[1], got[0], got[1] };
    for (size_t i = 0; i < DZ_LEN(all); i++)
        assert_int_equal(close(all[i]), 0);
}

static void
more_descriptors_than_wanted_are_closed_and_said(void **state)
{
    (void) state;
    int ends[2], got[1] = { -1 };
    size_t count = 0, sent = 0;
    struct dz_err err;
    DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    DZ_AUTO(dz_fd_close) int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_ok(dz_fd_send(ends[0], dz_str("x"), ends, 2, &sent, NULL));
    assert_int_equal(dz_fd_recv(ends[1], &bytes, 100, got, 1, &count, &err), DZ_LIMIT);
    assert_int_equal(got[0], -1);
    assert_int_equal(fcntl(next + 1, F_GETFD), -1); /* where the first one had been put */
    dz_fd_close(&ends[0]);
    dz_fd_close(&ends[1]);
}

static void
nothing_yet_is_told_from_the_end(void **state)
{
    (void) state;
    int ends[2];
    size_t count = 0, sent = 0;
    DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(dz_fd_recv(ends[1], &bytes, 100, NULL, 0, &count, NULL), DZ_AGAIN);
    dz_fd_close(&ends[0]);
    assert_int_equal(dz_fd_recv(ends[1], &bytes, 100, NULL, 0, &count, NULL), DZ_CLOSED);
    assert_int_equal(dz_fd_send(ends[1], dz_str("x"), NULL, 0, &sent, NULL), DZ_CLOSED);
    dz_fd_close(&ends[1]);
}

static void
a_full_socket_says_again(void **state)
{
    (void) state;
    int ends[2];
    size_t sent = 0;
    static const uint8_t piece[65536];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    enum dz_rc rc = DZ_OK;
    for (int i = 0; i < 1000 && rc == DZ_OK; i++)
        rc = dz_fd_send(ends[0], (struct dz_slice){ piece, sizeof(piece) }, NULL, 0, &sent, NULL);
    assert_int_equal(rc, DZ_AGAIN);
    dz_fd_close(&ends[0]);
    dz_fd_close(&ends[1]);
}

static void
a_file_is_read_whole_or_refused(void **state)
{
    (void) state;
    struct dz_err err;
    DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
    assert_int_equal(dz_fd_read_file("/no/such/file", 10, &bytes, &err), DZ_ABSENT);
    assert_string_equal(err.text, "'/no/such/file' does not exist");
    assert_int_equal(dz_fd_read_file("/dev/zero", 100000, &bytes, &err), DZ_LIMIT);
    assert_string_equal(err.text, "'/dev/zero' is longer than 100000 bytes");
    dz_buf_clear(&bytes);
    assert_ok(dz_fd_read_file("/proc/self/comm", 100, &bytes, &err));
    assert_true(bytes.len > 0);
}

static void
closing_keeps_errno_and_forgets_the_number(void **state)
{
    (void) state;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    dz_fd_close(&fd);
    assert_int_equal(fd, -1);
    dz_fd_close(&fd);
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_ok(dz_fd_nonblock(ends[0], true, NULL));
    assert_true(fcntl(ends[0], F_GETFL) & O_NONBLOCK);
    assert_ok(dz_fd_cloexec(ends[0], false, NULL));
    assert_int_equal(fcntl(ends[0], F_GETFD), 0);
    dz_fd_close(&ends[0]);
    dz_fd_close(&ends[1]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptors_travel_with_the_first_byte),
        cmocka_unit_test(more_descriptors_than_wanted_are_closed_and_said),
        cmocka_unit_test(nothing_yet_is_told_from_the_end),
        cmocka_unit_test(a_full_socket_says_again),
        cmocka_unit_test(a_file_is_read_whole_or_refused),
        cmocka_unit_test(closing_keeps_errno_and_forgets_the_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
