/* test_mesh.c - hub and link within one process, as on a single node. */
#include <signal.h>
#include <string.h>

#include "shared/net/hub.h"
#include "shared/net/link.h"
#include "tests/unit/unit.h"

struct heard {
    unsigned count;
    char last[32];
    size_t len;
};

static void
hear(void *arg, struct dz_slice body)
{
    struct heard *heard = arg;
    heard->count++;
    heard->len = body.len;
    if (body.len < sizeof(heard->last)) {
        memcpy(heard->last, body.ptr, body.len);
        heard->last[body.len] = '\0';
    }
}

static void
hear_from(void *arg, uint64_t from, struct dz_slice body)
{
    assert_int_equal(from, 0); /* of this process */
    hear(arg, body);
}

static void
turn_until(struct dz_loop *loop, const struct heard *heard, unsigned count)
{
    for (int i = 0; i < 100 && heard->count < count; i++)
        assert_ok(dz_loop_once(loop, 100, NULL));
    assert_int_equal(heard->count, count);
}

static void
a_message_goes_to_the_hub_and_an_answer_to_the_node_that_asked(void **state)
{
    (void) state;
    struct dz_loop *loop = NULL;
    assert_ok(dz_loop_new(&loop, NULL));
    struct heard at_hub = { 0 }, at_one = { 0 }, at_two = { 0 };
    struct dz_hub *hub = NULL;
    struct dz_link *one = NULL, *two = NULL;
    assert_ok(dz_hub_new(loop, "inproc://test", hear_from, &at_hub, &hub, NULL));
    struct dz_peer names[] = { { .node = 1, .inc = 7 }, { .node = 2, .inc = 7 } };
    assert_ok(dz_link_new(loop, "inproc://test", names[0], hear, &at_one, &one, NULL));
    assert_ok(dz_link_new(loop, "inproc://test", names[1], hear, &at_two, &two, NULL));
    assert_ok(dz_link_send(one, dz_str("from one")));
    turn_until(loop, &at_hub, 1);
    assert_string_equal(at_hub.last, "from one");
    assert_ok(dz_link_send(two, dz_str("from two")));
    turn_until(loop, &at_hub, 2);
    assert_ok(dz_hub_send(hub, names[1], dz_str("to two")));
    turn_until(loop, &at_two, 1);
    assert_string_equal(at_two.last, "to two");
    assert_int_equal(at_one.count, 0);
    assert_int_equal(dz_hub_refused(hub), 0);
    dz_link_destroy(&one);
    dz_link_destroy(&two);
    dz_hub_destroy(&hub);
    dz_loop_destroy(&loop);
}

static void
a_message_for_nobody_is_refused_at_once(void **state)
{
    (void) state;
    struct dz_loop *loop = NULL;
    assert_ok(dz_loop_new(&loop, NULL));
    struct heard heard = { 0 };
    struct dz_hub *hub = NULL;
    assert_ok(dz_hub_new(loop, "inproc://empty", hear_from, &heard, &hub, NULL));
    struct dz_peer nobody = { .node = 3, .inc = 1 };
    assert_int_equal(dz_hub_send(hub, nobody, dz_str("hello")), DZ_ABSENT);
    dz_hub_destroy(&hub);
    dz_loop_destroy(&loop);
}

/* A crowd is heard in turns; in between it can be asked whether that was all. */
static void
what_one_wake_leaves_unread_is_known(void **state)
{
    (void) state;
    enum { CROWD = 300, ONE_WAKE = 256 };
    struct dz_loop *loop = NULL;
    assert_ok(dz_loop_new(&loop, NULL));
    struct heard at_hub = { 0 }, at_link = { 0 };
    struct dz_hub *hub = NULL;
    struct dz_link *link = NULL;
    assert_ok(dz_hub_new(loop, "inproc://crowd", hear_from, &at_hub, &hub, NULL));
    assert_ok(
        dz_link_new(loop, "inproc://crowd", (struct dz_peer){ 1, 7 }, hear, &at_link, &link, NULL));
    for (int i = 0; i < CROWD; i++)
        assert_ok(dz_link_send(link, dz_str("one of many")));
    assert_ok(dz_loop_once(loop, 100, NULL));
    assert_int_equal(at_hub.count, ONE_WAKE);
    assert_true(dz_loop_is_behind(loop));
    turn_until(loop, &at_hub, CROWD);
    assert_false(dz_loop_is_behind(loop));
    dz_link_destroy(&link);
    dz_hub_destroy(&hub);
    dz_loop_destroy(&loop);
}

static void
the_library_leaves_signals_alone(void **state)
{
    (void) state;
    struct sigaction action;
    assert_int_equal(sigaction(SIGINT, NULL, &action), 0);
    assert_ptr_equal(action.sa_handler, SIG_DFL);
    assert_int_equal(sigaction(SIGTERM, NULL, &action), 0);
    assert_ptr_equal(action.sa_handler, SIG_DFL);
}

int
main(void)
{
    dz_net_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_goes_to_the_hub_and_an_answer_to_the_node_that_asked),
        cmocka_unit_test(a_message_for_nobody_is_refused_at_once),
        cmocka_unit_test(what_one_wake_leaves_unread_is_known),
        cmocka_unit_test(the_library_leaves_signals_alone),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    dz_net_teardown();
    return failed;
}
