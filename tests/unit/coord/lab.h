/* lab.h - a scheduler among nodes that say exactly what the test wants. */
#ifndef DZ_TESTS_UNIT_COORD_LAB_H
#define DZ_TESTS_UNIT_COORD_LAB_H

#include "coord/core/coord.h"
#include "shared/wire/flow.h"
#include "shared/wire/frame.h"
#include "shared/wire/model.h"
#include "tests/unit/unit.h"

enum { TOTAL = 6, DIGEST = 5, SLOTS = 2, NODES = 2, FX_MAX = 64, ORDERS_MAX = 64 };

/* What a node was told, in its order. */
struct told {
    enum dz_msg_id id;
    uint64_t slot, follow, how, count;
    uint32_t tests[DZ_GRANTS_MAX];
    enum dz_word word;
};

struct lab {
    struct coord *coord; /* owned */
    dz_us now;
    uint32_t total;                  /* tests that a node has */
    struct dz_flow flows[NODES + 1]; /* the nodes' ends, by node id */
    struct dz_buf frame;
    struct told told[ORDERS_MAX]; /* of the last step, whoever was told */
    size_t told_count;
    struct coord_effect fx[FX_MAX]; /* of the last step, without SEND */
    size_t fx_count;
};

static inline void
note_assign(struct told *told, const struct dz_msg_mesh_assign *assign)
{
    struct dz_list list = assign->grants;
    struct dz_item_grant grant;
    told->slot = assign->slot;
    told->follow = assign->follow;
    while (dz_grant_next(&list, &grant))
        told->tests[told->count++] = (uint32_t) grant.test;
}

static inline void
note_told(struct lab *lab, uint64_t node, struct dz_slice frame)
{
    struct dz_msg_mesh from;
    struct dz_msg msg;
    struct dz_flow *flow = &lab->flows[node];
    assert_ok(dz_mesh_open(frame, &from));
    if (from.body.len == 0)
        return;
    assert_ok(dz_msg_decode(from.body, &msg));
    if (msg.id == DZ_MSG_mesh_lead) {
        flow->epoch = (struct dz_epoch){ from.epoch_n, from.epoch_node, from.epoch_inc };
        flow->session = from.session;
        flow->peer_inc = from.inc;
        dz_flow_open(flow);
    } else if (!dz_flow_fits(flow, &from) || !dz_flow_hear(flow, &from, lab->now)) {
        return;
    }
    assert_true(lab->told_count < ORDERS_MAX);
    struct told *told = &lab->told[lab->told_count++];
    *told = (struct told){ .id = msg.id };
    if (msg.id == DZ_MSG_mesh_assign)
        note_assign(told, &msg.as.mesh_assign);
    if (msg.id == DZ_MSG_mesh_drain)
        told->how = msg.as.mesh_drain.how;
    if (msg.id == DZ_MSG_mesh_revoke) {
        told->slot = msg.as.mesh_revoke.slot;
        told->count = msg.as.mesh_revoke.count;
    }
    struct dz_item_rack rack;
    if (msg.id == DZ_MSG_mesh_rack && dz_rack_next(&msg.as.mesh_rack.racks, &rack))
        told->word = (enum dz_word) rack.word;
}

static inline void
give(struct lab *lab, const struct coord_event *event)
{
    struct coord_effects fx;
    lab->told_count = lab->fx_count = 0;
    coord_step(lab->coord, event, lab->now, &fx);
    coord_check(lab->coord);
    for (size_t i = 0; i < fx.count; i++) {
        if (fx.items[i].kind == COORD_FX_SEND)
            note_told(lab, fx.items[i].as.send.node, fx.items[i].as.send.frame);
        else
            lab->fx[lab->fx_count++] = fx.items[i];
    }
}

static inline const struct coord_effect *
effect(const struct lab *lab, enum coord_effect_kind kind)
{
    for (size_t i = 0; i < lab->fx_count; i++)
        if (lab->fx[i].kind == kind)
            return &lab->fx[i];
    return NULL;
}

/* NULL: nobody was told such a thing. */
static inline const struct told *
told(const struct lab *lab, enum dz_msg_id id, unsigned nth)
{
    for (size_t i = 0; i < lab->told_count; i++)
        if (lab->told[i].id == id && nth-- == 0)
            return &lab->told[i];
    return NULL;
}

static inline void
hear(struct lab *lab)
{
    give(lab, &(struct coord_event){ .kind = COORD_EV_MESSAGE,
                                     .as.message = dz_buf_slice(&lab->frame) });
    dz_buf_clear(&lab->frame);
}

static inline void
say(struct lab *lab, uint64_t node, const struct dz_msg *msg)
{
    dz_flow_say(&lab->flows[node], msg, lab->now, &lab->frame);
    hear(lab);
}

static inline void
hello(struct lab *lab, uint64_t node, uint64_t digest)
{
    struct dz_flow outside = { .job = dz_str("J"), .node = node, .inc = lab->flows[node].inc };
    struct dz_msg msg = { .id = DZ_MSG_mesh_hello,
                          .as.mesh_hello = {
                              .slots = SLOTS, .total = lab->total, .digest = digest } };
    dz_flow_open(&outside);
    dz_flow_whisper(&outside, &msg, &lab->frame);
    dz_flow_fini(&outside);
    hear(lab);
}

static inline void
say_slots(struct lab *lab, uint64_t node, enum dz_slot_say what, struct dz_msg *msg,
          struct dz_list *list)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
    for (unsigned s = 0; s < SLOTS; s++) {
        struct dz_item_slot item = { s, what };
        dz_slot_add(list, &bytes, &item);
    }
    say(lab, node, msg);
}

static inline void
tell_slots(struct lab *lab, uint64_t node, enum dz_slot_say what)
{
    struct dz_msg msg = { .id = DZ_MSG_mesh_slots };
    say_slots(lab, node, what, &msg, &msg.as.mesh_slots.slots);
}

/* results: announced, to be told. */
static inline void
tell_state(struct lab *lab, uint64_t node, enum dz_slot_say what, uint64_t results)
{
    struct dz_msg msg = { .id = DZ_MSG_mesh_state,
                          .as.mesh_state = { .results = results, .last = 1 } };
    say_slots(lab, node, what, &msg, &msg.as.mesh_state.slots);
}

static inline void
join(struct lab *lab, uint64_t node)
{
    hello(lab, node, DIGEST);
    tell_state(lab, node, DZ_SLOT_UP, 0);
}

static inline void
report_of(struct lab *lab, uint64_t node, unsigned slot, uint32_t test, enum dz_result result,
          uint64_t exec)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
    struct dz_msg msg = { .id = DZ_MSG_mesh_result };
    struct dz_item_outcome item = { .test = test,
                                    .exec = exec,
                                    .result = result,
                                    .slot = slot,
                                    .call_us = 1000,
                                    .inc = lab->flows[node].inc,
                                    .record = exec };
    dz_outcome_add(&msg.as.mesh_result.outcomes, &bytes, &item);
    say(lab, node, &msg);
}

static inline void
report(struct lab *lab, uint64_t node, uint32_t test, enum dz_result result, uint64_t exec)
{
    report_of(lab, node, 0, test, result, exec);
}

static inline void
counted(struct lab *lab, uint64_t batch, enum dz_word word)
{
    const struct coord_answer answer = { .word = word };
    give(lab, &(struct coord_event){ .kind = COORD_EV_COUNTED, .as.counted = { batch, &answer } });
}

/* One module per test, all unknown: each slot is given them one after another.  nodes: have come to the job. */
static inline void
manifest_in_crowd(struct lab *lab, unsigned nodes)
{
    static const char *const ids[TOTAL] = { "a.py::t", "b.py::t", "c.py::t",
                                            "d.py::t", "e.py::t", "f.py::t" };
    struct coord_test tests[TOTAL];
    for (uint32_t t = 0; t < TOTAL; t++)
        tests[t] = (struct coord_test){ .id = dz_str(ids[t]), .order = t };
    give(lab, &(struct coord_event){ .kind = COORD_EV_MANIFEST,
                                     .as.manifest = { tests, TOTAL, DIGEST, nodes } });
}

static inline void
manifest(struct lab *lab)
{
    manifest_in_crowd(lab, 0);
}

/* It leads, and its own node still collects. */
static inline struct lab
lab_without_manifest(unsigned strikes, uint64_t seen_n)
{
    struct lab lab = { .now = 1000000, .total = TOTAL };
    struct coord_cfg cfg = { .job = dz_str("J"), .node = 1, .inc = 1, .strikes = strikes };
    for (uint64_t n = 1; n <= NODES; n++)
        lab.flows[n] = (struct dz_flow){ .job = dz_str("J"), .node = n, .inc = 9 };
    lab.coord = coord_new(&cfg);
    give(&lab, &(struct coord_event){ .kind = COORD_EV_START, .as.start.seen_n = seen_n });
    assert_int_equal(effect(&lab, COORD_FX_PERSIST)->as.persist.n, seen_n + 1);
    return lab;
}

static inline struct lab
lab_new_after(unsigned strikes, uint64_t seen_n)
{
    struct lab lab = lab_without_manifest(strikes, seen_n);
    manifest(&lab);
    return lab;
}

static inline struct lab
lab_new(unsigned strikes)
{
    return lab_new_after(strikes, 0);
}

static inline struct lab
lab_leading(unsigned strikes)
{
    struct lab lab = lab_new(strikes);
    give(&lab, &(struct coord_event){ .kind = COORD_EV_PERSISTED });
    return lab;
}

static inline void
lab_fini(struct lab *lab)
{
    coord_destroy(&lab->coord);
    for (unsigned n = 1; n <= NODES; n++)
        dz_flow_fini(&lab->flows[n]);
    dz_buf_fini(&lab->frame);
}

static inline void
count_all(struct lab *lab)
{
    for (uint32_t t = 0; t < TOTAL; t++) {
        report(lab, 1, t, t == 0 ? DZ_RESULT_FAILED : DZ_RESULT_OK, t + 1);
        counted(lab, t + 1, DZ_WORD_COUNTED);
    }
}

#endif
