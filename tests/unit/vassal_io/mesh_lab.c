#include "tests/unit/vassal_io/mesh_lab.h"

#include <stdio.h>
#include <stdlib.h>

#include "shared/base/files.h"
#include "shared/wire/frame.h"

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

void
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

int
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

int
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

void
send_numbered(struct node *node, uint64_t from, uint64_t to, uint64_t seq)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf frame = { 0 };
    struct dz_msg_mesh envelope = { .job = dz_str("job"), .node = from, .inc = INC, .seq = seq };
    dz_mesh_seal(&envelope, &frame);
    mesh_send(node->mesh, to, 0, dz_buf_slice(&frame));
}

void
send_as(struct node *node, uint64_t from, uint64_t to)
{
    send_numbered(node, from, to, 0);
}

void
meet(struct node *node, const struct node *other)
{
    assert_ok(mesh_meet(node->mesh, other->number, INC, mesh_contact(other->mesh)));
}

void
open_pair(struct fixture *f, bool is_tcp)
{
    open_node(f, 0, is_tcp);
    open_node(f, 1, is_tcp);
    meet(&f->nodes[0], &f->nodes[1]);
    meet(&f->nodes[1], &f->nodes[0]);
}

void
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

void
wait_for(struct fixture *f, const unsigned *counter)
{
    dz_us end = dz_clock_us() + PATIENCE_US;
    while (*counter == 0 && dz_clock_us() < end)
        assert_ok(dz_loop_once(f->loop, 20, NULL));
    assert_int_not_equal(*counter, 0);
}
