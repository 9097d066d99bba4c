/* lab.h - a node under a scheduler that says exactly what the test wants. */
#ifndef DZ_TESTS_UNIT_VASSAL_LAB_H
#define DZ_TESTS_UNIT_VASSAL_LAB_H

#include "shared/wire/flow.h"
#include "shared/wire/frame.h"
#include "tests/unit/unit.h"
#include "vassal/core/vassal.h"

enum { TOTAL = 100, DIGEST = 5, SLOTS = 2, SAID_MAX = 64, FX_MAX = 64 };

struct lab {
    struct vassal *vassal; /* owned */
    dz_us now;
    struct dz_flow flow; /* the scheduler's end */
    struct dz_buf frame;
    enum dz_msg_id said[SAID_MAX]; /* by the node, in the last step */
    struct dz_msg last;            /* its last body; borrows from the last step */
    size_t said_count;
    struct vassal_effect fx[FX_MAX]; /* of the last step, without SEND */
    size_t fx_count;
};

static inline void
note_said(struct lab *lab, struct dz_slice frame)
{
    struct dz_msg_mesh from;
    assert_ok(dz_mesh_open(frame, &from));
    if (dz_flow_fits(&lab->flow, &from))
        (void) dz_flow_hear(&lab->flow, &from, lab->now);
    if (from.body.len == 0)
        return;
    assert_ok(dz_msg_decode(from.body, &lab->last));
    assert_true(lab->said_count < SAID_MAX);
    lab->said[lab->said_count++] = lab->last.id;
}

static inline void
give(struct lab *lab, const struct vassal_event *event)
{
    struct vassal_effects fx;
    lab->said_count = lab->fx_count = 0;
    vassal_step(lab->vassal, event, lab->now, &fx);
    vassal_check(lab->vassal);
    for (size_t i = 0; i < fx.count; i++) {
        if (fx.items[i].kind == VASSAL_FX_SEND)
            note_said(lab, fx.items[i].as.send.frame);
        else
            lab->fx[lab->fx_count++] = fx.items[i];
    }
}

static inline bool
has_said(const struct lab *lab, enum dz_msg_id id)
{
    for (size_t i = 0; i < lab->said_count; i++)
        if (lab->said[i] == id)
            return true;
    return false;
}

/* The nth effect of a kind; NULL: there are not so many. */
static inline const struct vassal_effect *
effect(const struct lab *lab, enum vassal_effect_kind kind, unsigned nth)
{
    for (size_t i = 0; i < lab->fx_count; i++)
        if (lab->fx[i].kind == kind && nth-- == 0)
            return &lab->fx[i];
    return NULL;
}

static inline void
hear(struct lab *lab)
{
    give(lab, &(struct vassal_event){ .kind = VASSAL_EV_MESSAGE,
                                      .as.message = dz_buf_slice(&lab->frame) });
    dz_buf_clear(&lab->frame);
}

static inline void
order(struct lab *lab, const struct dz_msg *msg)
{
    dz_flow_say(&lab->flow, msg, lab->now, &lab->frame);
    hear(lab);
}

static inline void
lead(struct lab *lab, uint64_t n, uint64_t session)
{
    lab->flow.epoch = (struct dz_epoch){ n, 1, 1 };
    lab->flow.session = session;
    dz_flow_open(&lab->flow);
    struct dz_msg msg = { .id = DZ_MSG_mesh_lead,
                          .as.mesh_lead = { .hb_ms = 100, .dead_ms = 1000 } };
    dz_flow_whisper(&lab->flow, &msg, &lab->frame);
    hear(lab);
}

static inline void
assign(struct lab *lab, unsigned slot, uint32_t first, unsigned count, bool does_follow)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
    struct dz_msg msg = { .id = DZ_MSG_mesh_assign,
                          .as.mesh_assign = { .slot = slot, .follow = does_follow } };
    for (uint32_t i = 0; i < count; i++) {
        struct dz_item_grant grant = { .test = first + i };
        dz_grant_add(&msg.as.mesh_assign.grants, &bytes, &grant);
    }
    order(lab, &msg);
}

static inline void
rack(struct lab *lab, uint64_t record, enum dz_word word)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
    struct dz_msg msg = { .id = DZ_MSG_mesh_rack };
    struct dz_item_rack item = { record, word };
    dz_rack_add(&msg.as.mesh_rack.racks, &bytes, &item);
    order(lab, &msg);
}

static inline void
slot_event(struct lab *lab, enum vassal_event_kind kind, unsigned slot)
{
    give(lab, &(struct vassal_event){ .kind = kind, .as.slot.slot = slot });
}

static inline void
report(struct lab *lab, unsigned slot, uint32_t test, uint64_t exec)
{
    give(lab, &(struct vassal_event){
                  .kind = VASSAL_EV_RESULT,
                  .as.result = {
                      .what = { test, 0 }, .result = DZ_RESULT_OK, .slot = slot, .exec = exec } });
}

static inline void
journaled(struct lab *lab, uint64_t record)
{
    give(lab, &(struct vassal_event){ .kind = VASSAL_EV_JOURNALED, .as.journaled.record = record });
}

static inline void
down(struct lab *lab, unsigned slot, enum dz_cause cause, uint32_t ran)
{
    give(lab, &(struct vassal_event){ .kind = VASSAL_EV_SLOT_DOWN,
                                      .as.down = { .slot = slot,
                                                   .cause = cause,
                                                   .has_ran = ran < TOTAL,
                                                   .ran = { ran, 0 },
                                                   .exec = 77 } });
}

/* A node that serves, with both workers up. */
static inline struct lab
lab_new(void)
{
    struct lab lab = { .now = 1000000 };
    struct vassal_cfg cfg = { .job = dz_str("J"), .node = 2, .inc = 9, .slots = SLOTS };
    lab.vassal = vassal_new(&cfg);
    lab.flow = (struct dz_flow){ .job = dz_str("J"), .node = 1, .inc = 1, .peer_inc = 9 };
    give(&lab,
         &(struct vassal_event){ .kind = VASSAL_EV_MANIFEST, .as.manifest = { TOTAL, DIGEST, 0 } });
    assert_true(has_said(&lab, DZ_MSG_mesh_hello));
    assert_non_null(effect(&lab, VASSAL_FX_FORK, SLOTS - 1));
    lead(&lab, 1, 1);
    assert_true(has_said(&lab, DZ_MSG_mesh_state));
    for (unsigned s = 0; s < SLOTS; s++)
        slot_event(&lab, VASSAL_EV_SLOT_UP, s);
    return lab;
}

static inline void
lab_fini(struct lab *lab)
{
    vassal_destroy(&lab->vassal);
    dz_flow_fini(&lab->flow);
    dz_buf_fini(&lab->frame);
}

static inline void
answer(struct lab *lab, enum dz_lease_word word, struct dz_epoch epoch)
{
    uint64_t number = effect(lab, VASSAL_FX_ASK, 0)->as.ask.number;
    struct vassal_event event = { .kind = VASSAL_EV_ANSWER,
                                  .as.answer = { number, { word, epoch, 0, 0 }, { 0 } } };
    give(lab, &event);
}

/* Node 2, in its ninth life, which asks the authority; its scheduler will be node 1.  nodes: have come, 0: that
 * is not known. */
static inline struct lab
lab_in_crowd(unsigned nodes)
{
    struct vassal_cfg cfg = { .job = dz_str("J"),
                              .node = 2,
                              .inc = 9,
                              .slots = 1,
                              .rendezvous = VASSAL_MEETS,
                              .nodes = nodes };
    struct lab lab = { .now = 1000000,
                       .vassal = vassal_new(&cfg),
                       .flow = { .job = dz_str("J"), .node = 1, .inc = 1, .peer_inc = 9 } };
    give(&lab, &(struct vassal_event){ .kind = VASSAL_EV_JOIN });
    return lab;
}

static inline struct lab
lab_meeting(void)
{
    return lab_in_crowd(0);
}

/* It was told that node 1 schedules, and has collected. */
static inline struct lab
lab_following(void)
{
    struct lab lab = lab_meeting();
    answer(&lab, DZ_LEASE_HELD, (struct dz_epoch){ 1, 1, 1 });
    give(&lab, &(struct vassal_event){ .kind = VASSAL_EV_MANIFEST, .as.manifest = { 1, DIGEST } });
    return lab;
}

#endif
