/* test_conns.c - who has to go, and when; time is ours. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "store/http/conns.h"
#include "tests/unit/unit.h"

static const struct conn_limits LIMITS = {
    .total = 3,
    .per_address = 2,
    .streams = 1,
    .head_ms = 10000,
    .idle_ms = 30000,
    .body_rate = 1024,
    .rate = 10,
};

static int peers[64];

/* A connected socket; the other end stays in `peers`. */
static int
make_socket(void)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_true(pair[0] < 64);
    peers[pair[0]] = pair[1];
    return pair[0];
}

static void
close_socket(int fd)
{
    (void) close(fd);
    (void) close(peers[fd]);
}

static bool
is_shut(int fd)
{
    struct pollfd end = { .fd = peers[fd], .events = POLLIN | POLLRDHUP };
    return poll(&end, 1, 0) == 1;
}

static struct sockaddr *
address(const char *text)
{
    static struct sockaddr_in out;
    out = (struct sockaddr_in){ .sin_family = AF_INET };
    assert_int_equal(inet_pton(AF_INET, text, &out.sin_addr), 1);
    return (struct sockaddr *) &out;
}

static void
a_head_has_an_absolute_deadline(void **state)
{
    (void) state;
    struct conns *conns = conns_new(&LIMITS);
    int fd = make_socket();
    assert_true(conns_admit(conns, fd, address("10.0.0.1"), false, 0));
    assert_int_equal(conns_sweep(conns, 9999), 0);
    assert_false(is_shut(fd));
    assert_int_equal(conns_sweep(conns, 10000), 1);
    assert_true(is_shut(fd));
    assert_int_equal(conns_sweep(conns, 20000), 0); /* once is enough */
    close_socket(fd);
    conns_destroy(&conns);
}

static void
a_body_has_a_least_rate_after_a_grace(void **state)
{
    (void) state;
    struct conns *conns = conns_new(&LIMITS);
    int fd = make_socket();
    assert_true(conns_admit(conns, fd, address("10.0.0.1"), false, 0));
    struct conn *conn = conns_of(conns, fd);
    assert_true(conn_move(conns, conn, CONN_BODY, 0, 1000));
    assert_int_equal(conns_sweep(conns, 6000), 0);
    conn_progress(conns, conn, 2048);
    assert_int_equal(conns_sweep(conns, 8000), 0); /* 2 s behind the grace: 2048 bytes will do */
    assert_int_equal(conns_sweep(conns, 8100), 1);
    close_socket(fd);
    conns_destroy(&conns);
}

static void
work_of_ours_has_no_deadline_and_the_next_head_has_one(void **state)
{
    (void) state;
    struct conns *conns = conns_new(&LIMITS);
    int fd = make_socket();
    assert_true(conns_admit(conns, fd, address("10.0.0.1"), false, 0));
    struct conn *conn = conns_of(conns, fd);
    assert_true(conn_move(conns, conn, CONN_WORK, 0, 0));
    assert_int_equal(conns_sweep(conns, 1000000), 0);
    assert_true(conn_move(conns, conn, CONN_ANSWER, 1024000, 1000000));
    assert_int_equal(conns_sweep(conns, 1000000 + 60000 + 999999), 0);
    assert_true(conn_move(conns, conn, CONN_HEAD, 0, 2000000));
    assert_int_equal(conns_sweep(conns, 2029999), 0);
    assert_int_equal(conns_sweep(conns, 2030000), 1);
    close_socket(fd);
    conns_destroy(&conns);
}

static void
one_address_has_only_so_many_places(void **state)
{
    (void) state;
    struct conns *conns = conns_new(&LIMITS);
    int fds[4];
    for (size_t i = 0; i < DZ_LEN(fds); i++)
        fds[i] = make_socket();
    assert_true(conns_admit(conns, fds[0], address("10.0.0.1"), false, 0));
    assert_true(conns_admit(conns, fds[1], address("10.0.0.1"), false, 0));
    assert_false(conns_admit(conns, fds[2], address("10.0.0.1"), false, 0));
    assert_true(conns_admit(conns, fds[2], address("10.0.0.2"), false, 0));
    conns_forget(conns, fds[2]);
    conns_forget(conns, fds[0]);
    assert_true(conns_admit(conns, fds[0], address("10.0.0.1"), false, 0));
    for (size_t i = 0; i < DZ_LEN(fds); i++)
        close_socket(fds[i]);
    conns_destroy(&conns);
}

static void
the_oldest_that_asks_nothing_makes_room(void **state)
{
    (void) state;
    struct conns *conns = conns_new(&LIMITS);
    int fds[5];
    for (size_t i = 0; i < DZ_LEN(fds); i++)
        fds[i] = make_socket();
    for (size_t i = 0; i < 3; i++)
        assert_true(conns_admit(conns, fds[i], address("127.0.0.1"), true, (dz_ms) i));
    assert_true(conn_move(conns, conns_of(conns, fds[0]), CONN_WORK, 0, 3));
    assert_false(conns_admit(conns, fds[3], address("127.0.0.1"), true, 500)); /* too early */
    assert_true(conns_admit(conns, fds[3], address("127.0.0.1"), true, 2000));
    assert_false(is_shut(fds[0]));
    assert_true(is_shut(fds[1]));
    assert_false(is_shut(fds[2]));
    for (size_t i = 0; i < DZ_LEN(fds); i++)
        close_socket(fds[i]);
    conns_destroy(&conns);
}

static void
streams_are_counted(void **state)
{
    (void) state;
    struct conns *conns = conns_new(&LIMITS);
    int a = make_socket(), b = make_socket();
    assert_true(conns_admit(conns, a, address("10.0.0.1"), false, 0));
    assert_true(conns_admit(conns, b, address("10.0.0.1"), false, 0));
    assert_true(conn_move(conns, conns_of(conns, a), CONN_STREAM, 0, 0));
    assert_false(conn_move(conns, conns_of(conns, b), CONN_STREAM, 0, 0));
    conns_forget(conns, a);
    assert_true(conn_move(conns, conns_of(conns, b), CONN_STREAM, 0, 0));
    close_socket(a);
    close_socket(b);
    conns_destroy(&conns);
}

static void
requests_of_one_far_address_have_a_rate(void **state)
{
    (void) state;
    struct conns *conns = conns_new(&LIMITS);
    uint32_t retry_s = 0;
    int far = make_socket(), near = make_socket();
    assert_true(conns_admit(conns, far, address("10.0.0.1"), false, 0));
    assert_true(conns_admit(conns, near, address("127.0.0.1"), true, 0));
    for (int i = 0; i < 20; i++) /* a burst of two seconds' worth */
        assert_true(conn_may_ask(conns, conns_of(conns, far), 0, &retry_s));
    assert_false(conn_may_ask(conns, conns_of(conns, far), 0, &retry_s));
    assert_int_equal(retry_s, 1);
    assert_true(conn_may_ask(conns, conns_of(conns, far), 100, &retry_s));
    assert_false(conn_may_ask(conns, conns_of(conns, far), 100, &retry_s));
    conn_give_back(conns, conns_of(conns, far));
    assert_true(conn_may_ask(conns, conns_of(conns, far), 100, &retry_s));
    assert_false(conn_may_ask(conns, conns_of(conns, far), 100, &retry_s));
    for (int i = 0; i < 1000; i++)
        assert_true(conn_may_ask(conns, conns_of(conns, near), 0, &retry_s));
    close_socket(far);
    close_socket(near);
    conns_destroy(&conns);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_has_an_absolute_deadline),
        cmocka_unit_test(a_body_has_a_least_rate_after_a_grace),
        cmocka_unit_test(work_of_ours_has_no_deadline_and_the_next_head_has_one),
        cmocka_unit_test(one_address_has_only_so_many_places),
        cmocka_unit_test(the_oldest_that_asks_nothing_makes_room),
        cmocka_unit_test(streams_are_counted),
        cmocka_unit_test(requests_of_one_far_address_have_a_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
