/* test_far.c - hub and link over TCP: keys, the gate, several ways, a hub that dies. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/net/contact.h"
#include "shared/net/gate.h"
#include "shared/net/link.h"
#include "tests/unit/unit.h"

enum { PATIENCE_US = 20000000 };

struct side {
    unsigned bodies, events[DZ_LINK_REFUSED + 1];
    uint64_t from;
    char last[64];
};

struct fixture {
    struct dz_loop *loop;
    struct dz_gate *gate;
    struct dz_hub *hub;
    struct dz_keys hub_keys, keys;
    const char *endpoint; /* the hub's */
    struct side at_hub, at_link;
};

static void
keep(struct side *side, struct dz_slice body)
{
    side->bodies++;
    if (body.len < sizeof(side->last)) {
        memcpy(side->last, body.ptr, body.len);
        side->last[body.len] = '\0';
    }
}

static void
hear_at_hub(void *arg, uint64_t from, struct dz_slice body)
{
    struct fixture *f = arg;
    f->at_hub.from = from;
    keep(&f->at_hub, body);
}

static void
hear_at_link(void *arg, struct dz_slice body)
{
    keep(&((struct fixture *) arg)->at_link, body);
}

static void
on_event(void *arg, enum dz_link_event event)
{
    ((struct fixture *) arg)->at_link.events[event]++;
}

static void
open_hub(struct fixture *f)
{
    assert_ok(dz_hub_new(f->loop, "inproc://far", hear_at_hub, f, &f->hub, NULL));
    struct dz_err err;
    assert_ok(
        dz_hub_listen(f->hub, f->gate, &f->hub_keys, "tcp://127.0.0.1:*", &f->endpoint, &err));
}

static int
setup(void **state)
{
    struct fixture *f = dz_alloc0(1, sizeof(*f));
    assert_ok(dz_loop_new(&f->loop, NULL));
    assert_ok(dz_gate_new(f->loop, &f->gate, NULL));
    assert_ok(dz_keys_make(&f->hub_keys, NULL));
    assert_ok(dz_keys_make(&f->keys, NULL));
    open_hub(f);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;
    dz_hub_destroy(&f->hub);
    dz_gate_destroy(&f->gate);
    dz_loop_destroy(&f->loop);
    free(f);
    return 0;
}

static struct dz_link *
dial(struct fixture *f, const char *const *endpoints, size_t count)
{
    struct dz_link_cfg cfg = {
        .me = { .node = dz_key_node(&f->keys.public), .inc = 1 },
        .keys = &f->keys,
        .server = f->hub_keys.public,
        .endpoints = endpoints,
        .endpoint_count = count,
        .fn = hear_at_link,
        .event_fn = on_event,
        .arg = f,
    };
    return dz_link_dial(f->loop, &cfg);
}

/* Turn the loop until *counter reaches `wanted`. */
static void
await(struct fixture *f, const unsigned *counter, unsigned wanted)
{
    dz_us end = dz_clock_us() + PATIENCE_US;
    while (*counter < wanted && dz_clock_us() < end)
        assert_ok(dz_loop_once(f->loop, 100, NULL));
    assert_in_range(*counter, wanted, UINT32_MAX);
}

static void
a_member_is_let_in_and_known_by_its_key(void **state)
{
    struct fixture *f = *state;
    struct dz_peer peer = { .node = dz_key_node(&f->keys.public), .inc = 1 };
    assert_ok(dz_gate_admit(f->gate, &f->keys.public));
    assert_true(dz_gate_awaits(f->gate, peer.node));
    assert_int_equal(dz_hub_send(f->hub, peer, dz_str("too early")), DZ_ABSENT);
    const char *endpoints[] = { f->endpoint };
    struct dz_link *link = dial(f, endpoints, 1);
    assert_int_equal(dz_link_send(link, dz_str("too early")), DZ_AGAIN);
    await(f, &f->at_link.events[DZ_LINK_UP], 1);
    assert_false(dz_gate_awaits(f->gate, peer.node));
    assert_string_equal(dz_link_way(link), f->endpoint);
    assert_ok(dz_link_send(link, dz_str("hello")));
    await(f, &f->at_hub.bodies, 1);
    assert_string_equal(f->at_hub.last, "hello");
    assert_int_equal(f->at_hub.from, peer.node);
    assert_ok(dz_hub_send(f->hub, peer, dz_str("welcome")));
    await(f, &f->at_link.bodies, 1);
    assert_string_equal(f->at_link.last, "welcome");
    dz_link_destroy(&link);
}

static void
a_stranger_is_refused_until_it_is_admitted(void **state)
{
    struct fixture *f = *state;
    const char *endpoints[] = { f->endpoint };
    struct dz_link *link = dial(f, endpoints, 1);
    await(f, &f->at_link.events[DZ_LINK_REFUSED], 1);
    assert_int_equal(f->at_link.events[DZ_LINK_UP], 0);
    assert_int_equal(f->at_hub.bodies, 0);
    assert_in_range(dz_gate_refused(f->gate), 1, 100);
    assert_ok(dz_gate_admit(f->gate, &f->keys.public));
    await(f, &f->at_link.events[DZ_LINK_UP], 1);
    dz_link_destroy(&link);
}

static void
an_expelled_member_is_not_let_in_again(void **state)
{
    struct fixture *f = *state;
    assert_ok(dz_gate_admit(f->gate, &f->keys.public));
    dz_gate_expel(f->gate, &f->keys.public);
    const char *endpoints[] = { f->endpoint };
    struct dz_link *link = dial(f, endpoints, 1);
    await(f, &f->at_link.events[DZ_LINK_REFUSED], 1);
    dz_link_destroy(&link);
}

static void
a_hub_with_another_key_is_not_spoken_to(void **state)
{
    struct fixture *f = *state;
    assert_ok(dz_gate_admit(f->gate, &f->keys.public));
    struct dz_keys right = f->hub_keys;
    assert_ok(dz_keys_make(&f->hub_keys, NULL)); /* what the link expects */
    const char *endpoints[] = { f->endpoint };
    struct dz_link *link = dial(f, endpoints, 1);
    await(f, &f->at_link.events[DZ_LINK_FAILED], 1);
    assert_int_equal(f->at_link.events[DZ_LINK_UP], 0);
    dz_link_destroy(&link);
    f->hub_keys = right;
}

static void
the_ways_are_tried_until_one_leads_there(void **state)
{
    struct fixture *f = *state;
    assert_ok(dz_gate_admit(f->gate, &f->keys.public));
    const char *endpoints[] = { "tcp://127.0.0.1:1", "nonsense://", f->endpoint };
    struct dz_link *link = dial(f, endpoints, DZ_LEN(endpoints));
    await(f, &f->at_link.events[DZ_LINK_UP], 1);
    assert_string_equal(dz_link_way(link), f->endpoint);
    dz_link_destroy(&link);
}

/* A listener that never answers: the way fails by time. */
static int
mute_listener(char endpoint_out[64])
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(at);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *) &at, len), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *) &at, &len), 0);
    (void) snprintf(endpoint_out, 64, "tcp://127.0.0.1:%d", ntohs(at.sin_port));
    return fd;
}

static void
a_way_that_is_silent_is_given_up(void **state)
{
    struct fixture *f = *state;
    assert_ok(dz_gate_admit(f->gate, &f->keys.public));
    char mute[64];
    int fd = mute_listener(mute);
    const char *endpoints[] = { mute, f->endpoint };
    struct dz_link *link = dial(f, endpoints, 2);
    await(f, &f->at_link.events[DZ_LINK_UP], 1);
    assert_string_equal(dz_link_way(link), f->endpoint);
    dz_link_destroy(&link);
    (void) close(fd);
}

static void
a_hub_that_ends_is_noticed_and_found_again(void **state)
{
    struct fixture *f = *state;
    assert_ok(dz_gate_admit(f->gate, &f->keys.public));
    const char *endpoints[] = { f->endpoint };
    struct dz_link *link = dial(f, endpoints, 1);
    await(f, &f->at_link.events[DZ_LINK_UP], 1);
    DZ_AUTO(dz_free) char *old = dz_strdup(f->endpoint);
    dz_hub_destroy(&f->hub);
    await(f, &f->at_link.events[DZ_LINK_LOST], 1);
    assert_int_equal(dz_link_send(link, dz_str("x")), DZ_AGAIN);
    assert_ok(dz_hub_new(f->loop, "inproc://far", hear_at_hub, f, &f->hub, NULL));
    assert_ok(dz_hub_listen(f->hub, f->gate, &f->hub_keys, old, &f->endpoint, NULL));
    await(f, &f->at_link.events[DZ_LINK_UP], 2);
    dz_link_destroy(&link);
}

static void
a_link_that_ends_is_absent_at_the_hub(void **state)
{
    struct fixture *f = *state;
    assert_ok(dz_gate_admit(f->gate, &f->keys.public));
    const char *endpoints[] = { f->endpoint };
    struct dz_link *link = dial(f, endpoints, 1);
    await(f, &f->at_link.events[DZ_LINK_UP], 1);
    assert_ok(dz_link_send(link, dz_str("hello")));
    await(f, &f->at_hub.bodies, 1);
    dz_link_destroy(&link);
    struct dz_peer peer = { .node = f->at_hub.from, .inc = 1 };
    dz_us end = dz_clock_us() + PATIENCE_US;
    while (dz_hub_send(f->hub, peer, dz_str("are you there")) != DZ_ABSENT && dz_clock_us() < end)
        assert_ok(dz_loop_once(f->loop, 10, NULL));
    assert_int_equal(dz_hub_send(f->hub, peer, dz_str("are you there")), DZ_ABSENT);
}

static void
a_hub_that_nobody_comes_to_lets_the_process_sleep(void **state)
{
    struct fixture *f = *state;
    enum { SLEEP_MS = 250 };
    for (int i = 0; i < 10; i++) /* what binding left behind */
        assert_ok(dz_loop_once(f->loop, 1, NULL));
    dz_us begin = dz_clock_us();
    assert_ok(dz_loop_once(f->loop, SLEEP_MS, NULL));
    assert_true(dz_clock_us() - begin >= SLEEP_MS * 1000);
}

static void
a_hub_without_a_gate_does_not_bind(void **state)
{
    struct fixture *f = *state;
    DZ_AUTO(dz_hub_destroy) struct dz_hub *hub = NULL;
    assert_ok(dz_hub_new(f->loop, "inproc://other", hear_at_hub, f, &hub, NULL));
    const char *endpoint = NULL;
    struct dz_err err;
    assert_int_equal(dz_hub_listen(hub, NULL, &f->hub_keys, "tcp://127.0.0.1:*", &endpoint, &err),
                     DZ_REFUSED);
    assert_null(endpoint);
}

static void
a_frame_above_the_limit_cuts_only_its_sender(void **state)
{
    struct fixture *f = *state;
    assert_ok(dz_gate_admit(f->gate, &f->keys.public));
    const char *endpoints[] = { f->endpoint };
    struct dz_link *link = dial(f, endpoints, 1);
    await(f, &f->at_link.events[DZ_LINK_UP], 1);
    DZ_AUTO(dz_free) uint8_t *big = dz_alloc0(1, 1 << 20);
    assert_ok(dz_link_send(link, (struct dz_slice){ big, 1 << 20 }));
    await(f, &f->at_link.events[DZ_LINK_LOST], 1);
    assert_int_equal(f->at_hub.bodies, 0);
    await(f, &f->at_link.events[DZ_LINK_UP], 2);
    assert_ok(dz_link_send(link, dz_str("small")));
    await(f, &f->at_hub.bodies, 1);
    dz_link_destroy(&link);
}

static void
keys_survive_being_written_down(void **state)
{
    struct fixture *f = *state;
    char text[DZ_KEY_TEXT];
    dz_key_format(&f->keys.public, text);
    struct dz_key read;
    assert_ok(dz_key_parse(dz_str(text), &read));
    assert_memory_equal(&read, &f->keys.public, sizeof(read));
    assert_int_not_equal(dz_key_node(&read), dz_key_node(&f->hub_keys.public));
    text[5] = 'g';
    assert_int_equal(dz_key_parse(dz_str(text), &read), DZ_CORRUPT);
    assert_int_equal(dz_key_parse(dz_str("ab"), &read), DZ_CORRUPT);
}

static void
a_contact_is_read_as_it_was_written(void **state)
{
    struct fixture *f = *state;
    DZ_AUTO(dz_strs_fini) struct dz_strs endpoints = { 0 };
    dz_strs_add(&endpoints, dz_str("tcp://10.0.0.7:41237"));
    dz_strs_add(&endpoints, dz_str("ipc:///run/user/1000/dagz/a/b.sock"));
    DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
    dz_contact_write(&f->keys.public, &endpoints, &bytes);
    DZ_AUTO(dz_contact_fini) struct dz_contact read = { 0 };
    assert_ok(dz_contact_read(dz_buf_slice(&bytes), &read));
    assert_memory_equal(&read.key, &f->keys.public, sizeof(read.key));
    assert_int_equal(read.endpoints.len, 2);
    assert_string_equal(read.endpoints.items[1], endpoints.items[1]);
}

static void
a_contact_of_anything_else_is_refused(void **state)
{
    struct fixture *f = *state;
    struct dz_contact read = { 0 };
    static const char *const bad[] = { "inproc://gate", "tcp://a b", "tcp://a\x1b[2J", "" };
    for (size_t i = 0; i < DZ_LEN(bad); i++) {
        DZ_AUTO(dz_strs_fini) struct dz_strs endpoints = { 0 };
        dz_strs_add(&endpoints, dz_str(bad[i]));
        DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
        dz_contact_write(&f->keys.public, &endpoints, &bytes);
        assert_int_equal(dz_contact_read(dz_buf_slice(&bytes), &read), DZ_CORRUPT);
        bytes.data[0] = 2;
        assert_int_equal(dz_contact_read(dz_buf_slice(&bytes), &read), DZ_CORRUPT);
    }
    assert_int_equal(dz_contact_read(dz_str("\x01short"), &read), DZ_CORRUPT);
    assert_int_equal(read.endpoints.len, 0);
}

#define far_test(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
    dz_net_setup();
    const struct CMUnitTest tests[] = {
        far_test(a_member_is_let_in_and_known_by_its_key),
        far_test(a_stranger_is_refused_until_it_is_admitted),
        far_test(an_expelled_member_is_not_let_in_again),
        far_test(a_hub_with_another_key_is_not_spoken_to),
        far_test(the_ways_are_tried_until_one_leads_there),
        far_test(a_way_that_is_silent_is_given_up),
        far_test(a_hub_that_ends_is_noticed_and_found_again),
        far_test(a_link_that_ends_is_absent_at_the_hub),
        far_test(a_hub_that_nobody_comes_to_lets_the_process_sleep),
        far_test(a_hub_without_a_gate_does_not_bind),
        far_test(a_frame_above_the_limit_cuts_only_its_sender),
        far_test(a_contact_is_read_as_it_was_written),
        far_test(a_contact_of_anything_else_is_refused),
        far_test(keys_survive_being_written_down),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    dz_net_teardown();
    return failed;
}
