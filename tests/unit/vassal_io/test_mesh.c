/* test_mesh.c - several nodes' connections, over TCP and over sockets of the host. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/files.h"
#include "shared/net/contact.h"
#include "shared/net/hub.h"
#include "shared/wire/frame.h"
#include "tests/unit/unit.h"
#include "vassal/io/mesh.h"

enum { PATIENCE_US = 20000000, INC = 7, NODES = 3 };

struct node {
    struct mesh *mesh;
    struct dz_keys keys;
    uint64_t number;
    unsigned frames, gone, ways;
    uint64_t from, last_seq, gone_node;
    char way[128];
};

struct fixture {
    char top[64];
    struct dz_loop *loop;
    struct dz_gate *gate;
    struct node nodes[NODES];
};

static void
on_frame(void *arg, struct dz_slice frame)
{
    struct node *node = arg;
    struct dz_msg_mesh envelope;
    assert_ok(dz_mesh_open(frame, &envelope));
    node->frames++;
    node->from = envelope.node;
    node->last_seq = envelope.seq;
}

static void
on_gone(void *arg, uint64_t number, uint64_t inc)
{
    struct node *node = arg;
    assert_int_equal(inc, INC);
    node->gone++;
    node->gone_node = number;
}

static void
on_way(void *arg, uint64_t number, const char *endpoint)
{
    struct node *node = arg;
    assert_int_not_equal(number, node->number);
    node->ways++;
    (void) snprintf(node->way, sizeof(node->way), "%s", endpoint);
}

static void
open_node(struct fixture *f, unsigned i, bool is_tcp)
{
    struct node *node = &f->nodes[i];
    char name[32], ipc[128];
    assert_ok(dz_keys_make(&node->keys, NULL));
    node->number = dz_key_node(&node->keys.public);
    (void) snprintf(name, sizeof(name), "inproc://node%u", i);
    (void) snprintf(ipc, sizeof(ipc), "ipc://%s/node%u.sock", f->top, i);
    struct mesh_cfg cfg = {
        .loop = f->loop,
        .node = node->number,
        .inc = INC,
        .name = name,
        .keys = &node->keys,
        .gate = f->gate,
        .ipc = is_tcp ? NULL : ipc,
        .ops = { .frame = on_frame, .gone = on_gone, .way = on_way, .arg = node },
    };
    struct dz_err err = { "" };
    assert_ok(mesh_new(&cfg, &node->mesh, &err));
}

static int
setup(void **state)
{
    struct fixture *f = dz_alloc0(1, sizeof(*f));
    (void) snprintf(f->top, sizeof(f->top), "/tmp/dz-mesh-XXXXXX");
    assert_non_null(mkdtemp(f->top));
    assert_ok(dz_loop_new(&f->loop, NULL));
    assert_ok(dz_gate_new(f->loop, &f->gate, NULL));
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < NODES; i++)
        mesh_destroy(&f->nodes[i].mesh);
    dz_gate_destroy(&f->gate);
    dz_loop_destroy(&f->loop);
    dz_remove_tree(f->top);
    free(f);
    return 0;
}

/* A frame whose envelope says that it is from `from`. */
static void
send_numbered(struct node *node, uint64_t from, uint64_t to, uint64_t seq)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf frame = { 0 };
    struct dz_msg_mesh envelope = { .job = dz_str("job"), .node = from, .inc = INC, .seq = seq };
    dz_mesh_seal(&envelope, &frame);
    mesh_send(node->mesh, to, 0, dz_buf_slice(&frame));
}

static void
send_as(struct node *node, uint64_t from, uint64_t to)
{
    send_numbered(node, from, to, 0);
}

static void
meet(struct node *node, const struct node *other)
{
    assert_ok(mesh_meet(node->mesh, other->number, INC, mesh_contact(other->mesh)));
}

/* As the cores do: say it again until it is heard. */
static void
send_until(struct fixture *f, struct node *node, uint64_t to, const unsigned *counter)
{
    dz_us end = dz_clock_us() + PATIENCE_US;
    unsigned before = *counter;
    while (*counter == before && dz_clock_us() < end) {
        send_as(node, node->number, to);
        assert_ok(dz_loop_once(f->loop, 20, NULL));
    }
    assert_int_not_equal(*counter, before);
}

static void
two_nodes_speak(struct fixture *f, bool is_tcp)
{
    open_node(f, 0, is_tcp);
    open_node(f, 1, is_tcp);
    struct node *a = &f->nodes[0], *b = &f->nodes[1];
    meet(b, a); /* b lets a in */
    meet(a, b);
    send_until(f, a, b->number, &b->frames);
    assert_int_equal(b->from, a->number);
    assert_int_equal(a->ways, 1);
    send_until(f, b, a->number, &a->frames); /* back over the same connection */
    assert_int_equal(a->from, b->number);
    assert_int_equal(b->ways, 0);
}

static void
nodes_of_two_hosts_speak_over_tcp(void **state)
{
    struct fixture *f = *state;
    two_nodes_speak(f, true);
    assert_true(strncmp(f->nodes[0].way, "tcp://", 6) == 0);
}

static void
nodes_of_one_host_speak_over_a_socket_in_their_room(void **state)
{
    struct fixture *f = *state;
    two_nodes_speak(f, false);
    assert_true(strncmp(f->nodes[0].way, "ipc://", 6) == 0);
}

static void
what_is_said_while_a_node_is_dialled_goes_when_it_is_reached(void **state)
{
    struct fixture *f = *state;
    open_node(f, 0, false);
    open_node(f, 1, false);
    struct node *a = &f->nodes[0], *b = &f->nodes[1];
    meet(a, b);
    meet(b, a);
    send_numbered(a, a->number, b->number, 1);
    send_numbered(a, a->number, b->number, 2);
    dz_us end = dz_clock_us() + PATIENCE_US;
    while (b->frames == 0 && dz_clock_us() < end)
        assert_ok(dz_loop_once(f->loop, 20, NULL));
    assert_int_equal(b->frames, 1);
    assert_int_equal(b->last_seq, 2);
}

static void
a_frame_from_here_to_here_arrives(void **state)
{
    struct fixture *f = *state;
    open_node(f, 0, true);
    send_until(f, &f->nodes[0], f->nodes[0].number, &f->nodes[0].frames);
}

static void
a_node_that_was_not_introduced_is_not_let_in(void **state)
{
    struct fixture *f = *state;
    open_node(f, 0, true);
    open_node(f, 1, true);
    struct node *a = &f->nodes[0], *b = &f->nodes[1];
    meet(a, b); /* but b does not know a */
    dz_us end = dz_clock_us() + PATIENCE_US;
    while (dz_gate_refused(f->gate) == 0 && dz_clock_us() < end) {
        send_as(a, a->number, b->number);
        assert_ok(dz_loop_once(f->loop, 20, NULL));
    }
    assert_int_not_equal(dz_gate_refused(f->gate), 0);
    assert_int_equal(b->frames, 0);
    meet(b, a);
    send_until(f, a, b->number, &b->frames);
}

static bool
know_everybody(void *arg, const struct dz_key *key)
{
    (void) key;
    (*(unsigned *) arg)++;
    return true;
}

static void
the_gate_asks_who_a_stranger_is(void **state)
{
    struct fixture *f = *state;
    open_node(f, 0, true);
    open_node(f, 1, true);
    unsigned asked = 0;
    dz_gate_on_stranger(f->gate, know_everybody, &asked);
    meet(&f->nodes[0], &f->nodes[1]);
    send_until(f, &f->nodes[0], f->nodes[1].number, &f->nodes[1].frames);
    assert_int_equal(asked, 1);
    /* and it can be answered, although nobody said how it is reached */
    send_until(f, &f->nodes[1], f->nodes[0].number, &f->nodes[0].frames);
    dz_gate_on_stranger(f->gate, NULL, NULL);
}

static void
a_process_that_ends_is_told(void **state)
{
    struct fixture *f = *state;
    open_node(f, 0, true);
    open_node(f, 1, true);
    struct node *a = &f->nodes[0], *b = &f->nodes[1];
    meet(a, b);
    meet(b, a);
    send_until(f, a, b->number, &b->frames);
    mesh_destroy(&b->mesh);
    dz_us end = dz_clock_us() + PATIENCE_US;
    while (a->gone == 0 && dz_clock_us() < end)
        assert_ok(dz_loop_once(f->loop, 100, NULL));
    assert_int_equal(a->gone, 1);
    assert_int_equal(a->gone_node, b->number);
}

/* The side that was dialled has no link; it finds out when it has something to say. */
static void
the_death_of_one_who_came_to_us_is_told_too(void **state)
{
    struct fixture *f = *state;
    open_node(f, 0, true);
    open_node(f, 1, true);
    struct node *a = &f->nodes[0], *b = &f->nodes[1];
    meet(a, b);
    meet(b, a);
    send_until(f, a, b->number, &b->frames);
    mesh_destroy(&a->mesh);
    send_until(f, b, a->number, &b->gone);
    assert_int_equal(b->gone_node, a->number);
}

static void
a_frame_under_another_s_name_is_dropped(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < NODES; i++)
        open_node(f, i, true);
    struct node *a = &f->nodes[0], *b = &f->nodes[1], *c = &f->nodes[2];
    meet(a, b);
    meet(b, a);
    meet(b, c);
    send_until(f, a, b->number, &b->frames); /* more may be on their way */
    dz_us end = dz_clock_us() + PATIENCE_US;
    while ((b->last_seq == 0 || mesh_impostors(b->mesh) == 0) && dz_clock_us() < end) {
        send_numbered(a, c->number, b->number,
                      1); /* both may be lost with a connection that is one too many */
        send_numbered(a, a->number, b->number, 2); /* in order behind it */
        assert_ok(dz_loop_once(f->loop, 20, NULL));
    }
    assert_int_equal(b->last_seq, 2);
    assert_int_equal(b->from, a->number);
    assert_int_not_equal(mesh_impostors(b->mesh), 0);
}

static void
a_contact_that_is_not_that_node_s_is_refused(void **state)
{
    struct fixture *f = *state;
    open_node(f, 0, true);
    open_node(f, 1, true);
    struct node *a = &f->nodes[0], *b = &f->nodes[1];
    assert_int_equal(mesh_meet(a->mesh, b->number + 1, INC, mesh_contact(b->mesh)), DZ_CORRUPT);
    assert_int_equal(mesh_meet(a->mesh, b->number, INC, dz_str("what?")), DZ_CORRUPT);
    assert_ok(mesh_meet(a->mesh, a->number, INC, dz_str("myself")));
}

/* ------------------------------------------------------------------ the detour */

/* What one node says around arrives at the other at once. */
struct detour {
    struct node *from, *to;
    unsigned frames;
    bool is_shut;
};

static void
say_around(void *arg, uint64_t number, struct dz_slice frame)
{
    struct detour *self = arg;
    assert_int_equal(number, self->to->number);
    self->frames++;
    if (!self->is_shut)
        mesh_hear(self->to->mesh, self->from->number, frame);
}

static void
meet_at(struct fixture *f, struct node *node, const struct node *other, const char *name)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf contact = { 0 };
    DZ_AUTO(dz_strs_fini) struct dz_strs endpoints = { 0 };
    char endpoint[128];
    (void) snprintf(endpoint, sizeof(endpoint), "ipc://%s/%s", f->top, name);
    dz_strs_add(&endpoints, dz_str(endpoint));
    dz_contact_write(&other->keys.public, &endpoints, &contact);
    assert_ok(mesh_meet(node->mesh, other->number, INC, dz_buf_slice(&contact)));
}

/* Two nodes with detours in both directions, of which neither finds the other at the place that it
 * was told. */
static void
open_cut_off(struct fixture *f, struct detour *there, struct detour *back)
{
    open_node(f, 0, false);
    open_node(f, 1, false);
    struct node *a = &f->nodes[0], *b = &f->nodes[1];
    meet_at(f, a, b, "nobody");
    meet_at(f, b, a, "nobody");
    *there = (struct detour){ .from = a, .to = b };
    *back = (struct detour){ .from = b, .to = a };
    mesh_set_detour(a->mesh, say_around, there);
    mesh_set_detour(b->mesh, say_around, back);
}

static void
who_is_not_reached_directly_is_spoken_to_around(void **state)
{
    struct fixture *f = *state;
    struct detour there, back;
    open_cut_off(f, &there, &back);
    struct node *a = &f->nodes[0], *b = &f->nodes[1];
    send_until(f, a, b->number, &b->frames);
    assert_string_equal(mesh_way(a->mesh, b->number), MESH_WAY_DETOUR);
    assert_string_equal(a->way, MESH_WAY_DETOUR);
    unsigned before = a->frames;
    send_as(b, b->number, a->number); /* who heard so answers so, without waiting */
    assert_int_equal(a->frames, before + 1);
    mesh_destroy(&b->mesh); /* one of whom nothing was heard directly may live */
    there.is_shut = true;
    dz_us end = dz_clock_us() + MESH_THERE_US + MESH_RETRY_US;
    while (dz_clock_us() < end) {
        send_as(a, a->number, b->number);
        assert_ok(dz_loop_once(f->loop, 20, NULL));
    }
    assert_int_equal(a->gone, 0);
}

static void
the_detour_tells_of_a_death_behind_it(void **state)
{
    struct fixture *f = *state;
    struct detour there, back;
    open_cut_off(f, &there, &back);
    struct node *a = &f->nodes[0], *b = &f->nodes[1];
    mesh_leave(a->mesh, b->number); /* nothing was said to it: it may be near */
    assert_int_equal(a->gone, 0);
    send_until(f, a, b->number, &b->frames);
    mesh_leave(a->mesh, b->number);
    assert_int_equal(a->gone, 1);
    assert_int_equal(a->gone_node, b->number);
    meet(a, b);
    while (strncmp(a->way, "ipc://", 6) != 0)
        send_until(f, a, b->number, &a->ways);
    mesh_leave(a->mesh, b->number); /* its own connection would break */
    assert_int_equal(a->gone, 1);
}

static void
the_detour_is_left_when_a_direct_way_is_found(void **state)
{
    struct fixture *f = *state;
    struct detour there, back;
    open_cut_off(f, &there, &back);
    struct node *a = &f->nodes[0], *b = &f->nodes[1];
    send_until(f, a, b->number, &b->frames);
    send_as(b, b->number, a->number);
    meet(a, b); /* where it is now */
    send_until(f, a, b->number, &a->ways);
    while (strncmp(a->way, "ipc://", 6) != 0)
        send_until(f, a, b->number, &a->ways);
    there.frames = back.frames = 0;
    send_until(f, a, b->number, &b->frames);
    assert_string_equal(b->way, MESH_WAY_CALLED);
    send_until(f, b, a->number, &a->frames);
    assert_int_equal(there.frames + back.frames, 0);
}

static void
a_direct_way_that_says_nothing_is_doubted(void **state)
{
    struct fixture *f = *state;
    open_node(f, 0, false);
    open_node(f, 1, false);
    struct node *a = &f->nodes[0], *b = &f->nodes[1];
    struct detour there = { .from = a, .to = b };
    mesh_set_detour(a->mesh, say_around, &there);
    meet(a, b);
    meet(b, a);
    send_until(f, a, b->number, &b->frames);
    assert_int_equal(there.frames, 0);
    send_until(f, a, b->number, &there.frames); /* b never answers */
    unsigned ways = a->ways;
    send_until(f, b, a->number, &a->frames);
    there.frames = 0;
    send_as(a, a->number, b->number);
    assert_int_equal(there.frames, 0);
    assert_int_equal(a->ways, ways); /* that it is slow is not told */
}

static void
a_frame_under_another_s_name_is_dropped_around_too(void **state)
{
    struct fixture *f = *state;
    struct detour there, back;
    open_cut_off(f, &there, &back);
    open_node(f, 2, false);
    struct node *a = &f->nodes[0], *b = &f->nodes[1];
    send_until(f, a, b->number, &b->frames);
    unsigned before = b->frames;
    send_as(a, f->nodes[2].number, b->number);
    assert_int_equal(b->frames, before);
    assert_int_equal(mesh_impostors(b->mesh), 1);
    mesh_shut_out(b->mesh, a->number);
    send_as(a, a->number, b->number);
    assert_int_equal(b->frames, before);
}

#define mesh_test(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
    dz_net_setup();
    const struct CMUnitTest tests[] = {
        mesh_test(nodes_of_two_hosts_speak_over_tcp),
        mesh_test(nodes_of_one_host_speak_over_a_socket_in_their_room),
        mesh_test(what_is_said_while_a_node_is_dialled_goes_when_it_is_reached),
        mesh_test(a_frame_from_here_to_here_arrives),
        mesh_test(a_node_that_was_not_introduced_is_not_let_in),
        mesh_test(the_gate_asks_who_a_stranger_is),
        mesh_test(a_process_that_ends_is_told),
        mesh_test(the_death_of_one_who_came_to_us_is_told_too),
        mesh_test(a_frame_under_another_s_name_is_dropped),
        mesh_test(a_contact_that_is_not_that_node_s_is_refused),
        mesh_test(who_is_not_reached_directly_is_spoken_to_around),
        mesh_test(the_detour_tells_of_a_death_behind_it),
        mesh_test(the_detour_is_left_when_a_direct_way_is_found),
        mesh_test(a_direct_way_that_says_nothing_is_doubted),
        mesh_test(a_frame_under_another_s_name_is_dropped_around_too),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    dz_net_teardown();
    return failed;
}
