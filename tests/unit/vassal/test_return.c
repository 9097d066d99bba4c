/* An agent takes over from one that died, and the authority cannot be reached: who was known is asked. */
#include "shared/wire/flow.h"
#include "shared/wire/frame.h"
#include "tests/unit/unit.h"
#include "vassal/core/vassal.h"

enum { NODE = 2, PEER = 7, OTHER = 8, INC = 9, TOTAL = 5, TRIES = 400 };

static const uint64_t KNOWN[] = { PEER, OTHER };

struct lab {
    struct vassal *vassal;
    struct vassal_effects fx;
    dz_us now;
};

static void
give(struct lab *lab, const struct vassal_event *event)
{
    vassal_step(lab->vassal, event, lab->now, &lab->fx);
    vassal_check(lab->vassal);
}

static const struct vassal_effect *
effect(const struct lab *lab, enum vassal_effect_kind kind)
{
    for (size_t i = 0; i < lab->fx.count; i++)
        if (lab->fx.items[i].kind == kind)
            return &lab->fx.items[i];
    return NULL;
}

static void
start(struct lab *lab, size_t known)
{
    struct vassal_cfg cfg = { .job = dz_str("J"),
                              .node = NODE,
                              .inc = INC,
                              .slots = 1,
                              .rendezvous = VASSAL_MEETS,
                              .shard_total = 4,
                              .contact = dz_str("here"),
                              .known = KNOWN,
                              .known_count = known };
    *lab = (struct lab){ .vassal = vassal_new(&cfg), .now = 1000000 };
    give(lab, &(struct vassal_event){ .kind = VASSAL_EV_JOIN });
    give(lab, &(struct vassal_event){ .kind = VASSAL_EV_MANIFEST, .as.manifest = { TOTAL, 1, 0 } });
}

/* The store is asked again and again, and does not answer. */
static void
nobody_answers(struct lab *lab, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        lab->now += 50 * 1000;
        give(lab, &(struct vassal_event){ .kind = VASSAL_EV_TICK });
        if (effect(lab, VASSAL_FX_LEAD))
            return;
    }
}

static bool
says_to(struct lab *lab, uint64_t node, enum dz_msg_id id)
{
    for (size_t i = 0; i < lab->fx.count; i++) {
        const struct vassal_effect *fx = &lab->fx.items[i];
        struct dz_msg_mesh mesh;
        struct dz_msg msg;
        if (fx->kind == VASSAL_FX_SEND && fx->as.send.node == node &&
            dz_mesh_open(fx->as.send.frame, &mesh) == DZ_OK &&
            dz_msg_decode(mesh.body, &msg) == DZ_OK && msg.id == id)
            return true;
    }
    return false;
}

static void
hear(struct lab *lab, uint64_t from, enum dz_mesh_end to, const struct dz_epoch *epoch,
     const struct dz_msg *msg)
{
    struct dz_flow flow = { .job = dz_str("J"),
                            .epoch = *epoch,
                            .node = from,
                            .inc = 1,
                            .peer_inc = INC,
                            .session = 1,
                            .to = to };
    DZ_AUTO(dz_buf_fini) struct dz_buf frame = { 0 };
    dz_flow_open(&flow);
    dz_flow_whisper(&flow, msg, &frame);
    dz_flow_fini(&flow);
    give(lab,
         &(struct vassal_event){ .kind = VASSAL_EV_MESSAGE, .as.message = dz_buf_slice(&frame) });
}

static void
who_is_known_is_asked_who_schedules(void **state)
{
    (void) state;
    struct lab lab;
    start(&lab, DZ_LEN(KNOWN));
    assert_true(says_to(&lab, PEER, DZ_MSG_mesh_hello));
    assert_true(says_to(&lab, OTHER, DZ_MSG_mesh_hello));
    struct dz_epoch epoch = { 3, OTHER, 1 };
    struct dz_msg nack = { .id = DZ_MSG_mesh_nack, .as.mesh_nack = { 3, OTHER, 1 } };
    hear(&lab, PEER, DZ_MESH_TO_VASSAL, &epoch, &nack);
    assert_string_equal(vassal_rank_text(lab.vassal), "VASSAL");
    assert_true(says_to(&lab, OTHER, DZ_MSG_mesh_hello));
    vassal_destroy(&lab.vassal);
}

static void
one_that_schedules_leads_it_at_once(void **state)
{
    (void) state;
    struct lab lab;
    start(&lab, DZ_LEN(KNOWN));
    struct dz_epoch epoch = { 3, PEER, 1 };
    struct dz_msg lead = { .id = DZ_MSG_mesh_lead,
                           .as.mesh_lead = { .hb_ms = 100, .dead_ms = 1000 } };
    hear(&lab, PEER, DZ_MESH_TO_VASSAL, &epoch, &lead);
    assert_string_equal(vassal_rank_text(lab.vassal), "VASSAL");
    assert_true(says_to(&lab, PEER, DZ_MSG_mesh_state));
    vassal_destroy(&lab.vassal);
}

static void
it_does_not_go_its_own_way_but_succeeds_if_all_are_gone(void **state)
{
    (void) state;
    struct lab lab;
    start(&lab, DZ_LEN(KNOWN));
    nobody_answers(&lab, TRIES);
    const struct vassal_effect *fx = effect(&lab, VASSAL_FX_LEAD);
    assert_non_null(fx);
    assert_int_equal(fx->as.lead.shard_total, 0);
    assert_string_equal(vassal_rank_text(lab.vassal), "LEADING");
    vassal_destroy(&lab.vassal);
}

static void
one_that_knew_nobody_runs_its_share(void **state)
{
    (void) state;
    struct lab lab;
    start(&lab, 0);
    nobody_answers(&lab, TRIES);
    const struct vassal_effect *fx = effect(&lab, VASSAL_FX_LEAD);
    assert_non_null(fx);
    assert_int_equal(fx->as.lead.shard_total, 4);
    vassal_destroy(&lab.vassal);
}

/* Nobody else could end it: it has not greeted its own node yet. */
static void
a_shard_told_to_leave_before_it_is_led_ends_its_scheduler(void **state)
{
    (void) state;
    struct lab lab;
    start(&lab, 0);
    nobody_answers(&lab, TRIES);
    assert_non_null(effect(&lab, VASSAL_FX_LEAD));
    give(&lab, &(struct vassal_event){ .kind = VASSAL_EV_LEAVE });
    assert_non_null(effect(&lab, VASSAL_FX_DONE));
    assert_non_null(effect(&lab, VASSAL_FX_ABDICATE));
    vassal_destroy(&lab.vassal);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_known_is_asked_who_schedules),
        cmocka_unit_test(one_that_schedules_leads_it_at_once),
        cmocka_unit_test(it_does_not_go_its_own_way_but_succeeds_if_all_are_gone),
        cmocka_unit_test(one_that_knew_nobody_runs_its_share),
        cmocka_unit_test(a_shard_told_to_leave_before_it_is_led_ends_its_scheduler),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
