/* A node that comes when the others are nearly done. */
#include "tests/unit/coord/lab.h"

/* What node 2 collected: all that the others have, and one more, its last. */
static void
tell_own(struct lab *lab)
{
    static const char *const ids[] = { "a.py::t", "b.py::t", "c.py::t", "d.py::t",
                                       "e.py::t", "f.py::t", "z.py::t" };
    DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
    struct dz_msg msg = { .id = DZ_MSG_mesh_own, .as.mesh_own.last = 1 };
    for (size_t i = 0; i < DZ_LEN(ids); i++) {
        struct dz_item_own item = { .id = dz_str(ids[i]) };
        dz_own_add(&msg.as.mesh_own.tests, &bytes, &item);
    }
    say(lab, 2, &msg);
}

static void
hello_with_more(struct lab *lab)
{
    struct dz_flow outside = { .job = dz_str("J"), .node = 2, .inc = lab->flows[2].inc };
    struct dz_msg msg = { .id = DZ_MSG_mesh_hello,
                          .as.mesh_hello = {
                              .slots = SLOTS, .total = TOTAL + 1, .digest = DIGEST + 1 } };
    dz_flow_open(&outside);
    dz_flow_whisper(&outside, &msg, &lab->frame);
    dz_flow_fini(&outside);
    hear(lab);
}

static void
a_node_that_comes_while_others_drain_is_given_what_only_it_has(void **state)
{
    (void) state;
    DZ_AUTO(lab_fini) struct lab lab = lab_leading(3);
    join(&lab, 1);
    count_all(&lab);
    assert_string_equal(coord_state_text(lab.coord), "DRAINING");
    hello_with_more(&lab);
    assert_non_null(effect(&lab, COORD_FX_RETELL));
    manifest(&lab);
    hello_with_more(&lab);
    assert_non_null(told(&lab, DZ_MSG_mesh_lead, 0));
    tell_own(&lab);
    tell_state(&lab, 2, DZ_SLOT_UP, 0);
    assert_string_equal(coord_state_text(lab.coord), "SCHEDULING");
    const struct told *assign = told(&lab, DZ_MSG_mesh_assign, 0);
    assert_non_null(assign);
    assert_int_equal(assign->count, 1);
    assert_int_equal(assign->tests[0], TOTAL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_that_comes_while_others_drain_is_given_what_only_it_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
