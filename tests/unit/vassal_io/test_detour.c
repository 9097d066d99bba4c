/* test_detour.c - frames that do not reach a node directly go around. */
#include <stdio.h>
#include <string.h>

#include "shared/net/contact.h"
#include "shared/net/hub.h"
#include "tests/unit/vassal_io/mesh_lab.h"

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

/* What was found out while there was nothing to say yet need not be found out again. */
static void
who_was_dialled_in_vain_is_spoken_to_around_at_once(void **state)
{
    struct fixture *f = *state;
    struct detour there, back;
    open_cut_off(f, &there, &back);
    struct node *a = &f->nodes[0], *b = &f->nodes[1];
    mesh_reach(a->mesh, b->number);
    dz_us end = dz_clock_us() + MESH_RETRY_US / 2;
    while (dz_clock_us() < end)
        assert_ok(dz_loop_once(f->loop, 20, NULL));
    send_as(a, a->number, b->number);
    assert_int_equal(b->frames, 1);
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
    open_pair(f, false);
    struct node *a = &f->nodes[0], *b = &f->nodes[1];
    struct detour there = { .from = a, .to = b };
    mesh_set_detour(a->mesh, say_around, &there);
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
        mesh_test(who_is_not_reached_directly_is_spoken_to_around),
        mesh_test(who_was_dialled_in_vain_is_spoken_to_around_at_once),
        mesh_test(the_detour_tells_of_a_death_behind_it),
        mesh_test(the_detour_is_left_when_a_direct_way_is_found),
        mesh_test(a_direct_way_that_says_nothing_is_doubted),
        mesh_test(a_frame_under_another_s_name_is_dropped_around_too),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    dz_net_teardown();
    return failed;
}
