/* test_mesh.c - several nodes' connections, over TCP and over sockets of the host. */
#include <string.h>

#include "shared/net/hub.h"
#include "tests/unit/vassal_io/mesh_lab.h"

static void
two_nodes_speak(struct fixture *f, bool is_tcp)
{
    open_pair(f, is_tcp);
    struct node *a = &f->nodes[0], *b = &f->nodes[1];
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
    open_pair(f, false);
    struct node *a = &f->nodes[0], *b = &f->nodes[1];
    send_numbered(a, a->number, b->number, 1);
    send_numbered(a, a->number, b->number, 2);
    wait_for(f, &b->frames);
    assert_int_equal(b->frames, 1);
    assert_int_equal(b->last_seq, 2);
}

static void
a_node_is_dialled_before_there_is_something_to_say(void **state)
{
    struct fixture *f = *state;
    open_pair(f, false);
    struct node *a = &f->nodes[0], *b = &f->nodes[1];
    mesh_reach(a->mesh, b->number);
    wait_for(f, &a->ways);
    send_until(f, a, b->number, &b->frames);
    mesh_reach(b->mesh, a->number); /* it came to us */
    send_until(f, b, a->number, &a->frames);
    assert_int_equal(a->ways + b->ways, 1);
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
    open_pair(f, true);
    struct node *a = &f->nodes[0], *b = &f->nodes[1];
    send_until(f, a, b->number, &b->frames);
    mesh_destroy(&b->mesh);
    wait_for(f, &a->gone);
    assert_int_equal(a->gone, 1);
    assert_int_equal(a->gone_node, b->number);
}

/* The side that was dialled has no link; it finds out when it has something to say. */
static void
the_death_of_one_who_came_to_us_is_told_too(void **state)
{
    struct fixture *f = *state;
    open_pair(f, true);
    struct node *a = &f->nodes[0], *b = &f->nodes[1];
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

#define mesh_test(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
    dz_net_setup();
    const struct CMUnitTest tests[] = {
        mesh_test(nodes_of_two_hosts_speak_over_tcp),
        mesh_test(nodes_of_one_host_speak_over_a_socket_in_their_room),
        mesh_test(what_is_said_while_a_node_is_dialled_goes_when_it_is_reached),
        mesh_test(a_node_is_dialled_before_there_is_something_to_say),
        mesh_test(a_frame_from_here_to_here_arrives),
        mesh_test(a_node_that_was_not_introduced_is_not_let_in),
        mesh_test(the_gate_asks_who_a_stranger_is),
        mesh_test(a_process_that_ends_is_told),
        mesh_test(the_death_of_one_who_came_to_us_is_told_too),
        mesh_test(a_frame_under_another_s_name_is_dropped),
        mesh_test(a_contact_that_is_not_that_node_s_is_refused),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    dz_net_teardown();
    return failed;
}
