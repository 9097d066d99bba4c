/* session.c - which scheduler is obeyed, and the conversation with it.
 *
 * The greatest epoch that ever said LEAD is obeyed; commands of a lower one are answered with
 * NACK, so that a scheduler that was away learns that its time is over.  Whatever else arrives and
 * does not belong to the present session is ignored. */
#include "shared/wire/frame.h"
#include "vassal/core/inside.h"

enum {
    HB_US = 100 * 1000,
    DEAD_US = 1000 * 1000,
    /* Between two HELLOs while nobody answers; doubled each time. */
    HELLO_FIRST_US = 2 * 1000,
    HELLO_MOST_US = 200 * 1000,
    HELLO_SOON = 14, /* so many, then it is no longer a matter of moments */
    HELLO_RARE_US = 1600 * 1000,
    /* Of the patience with one whom a crowd asks, such a part comes to either. */
    HELLO_CROWD_FIRST = 16,
    HELLO_CROWD_MOST = 8,
    HB_MAX_MS = 60 * 1000, /* what is longer is no scheduler's word */
    DEAD_MAX_MS = 600 * 1000,
    STATE_HELD_MAX = 4096, /* of one part of STATE */
    STATE_PARTS_MAX = 1 + VASSAL_SLOTS_MAX * VASSAL_QUEUE_MAX / STATE_HELD_MAX,
    OWN_MAX = 2048, /* tests of one part of OWN, and bytes after which it is closed */
    OWN_BYTES = 128 * 1024,
};

bool
session_is_open(const struct vassal *self)
{
    return self->state >= MEMBER_SERVING && self->state <= MEMBER_LEAVING && self->scheduler != 0 &&
           !self->is_state_due;
}

/* ------------------------------------------------------------------ sending */

static void
send_to(struct vassal *self, uint64_t node, uint64_t inc)
{
    struct vassal_effect *fx = vassal_effect(self, VASSAL_FX_SEND);
    fx->as.send.node = node;
    fx->as.send.inc = inc;
    fx->as.send.frame = dz_arena_copy(&self->arena, dz_buf_slice(&self->frame));
    dz_buf_clear(&self->frame);
}

static void
send(struct vassal *self)
{
    send_to(self, self->scheduler, self->flow.peer_inc);
}

void
session_say(struct vassal *self, const struct dz_msg *msg, dz_us now)
{
    dz_flow_say(&self->flow, msg, now, &self->frame);
    send(self);
    self->spoke_at = now;
    vassal_wake(self, dz_flow_next(&self->flow));
}

static void
whisper(struct vassal *self, const struct dz_msg *msg, dz_us now)
{
    dz_flow_whisper(&self->flow, msg, &self->frame);
    send(self);
    self->spoke_at = now;
}

/* Outside of any session: to whoever may schedule, of whatever epoch. */
static void
say_to_anybody(struct vassal *self, const struct dz_msg *msg)
{
    uint64_t nodes[RANK_TARGETS_MAX];
    size_t count = rank_targets(self, nodes);
    for (size_t i = 0; i < count; i++) {
        struct dz_flow flow = { .job = self->cfg.job,
                                .node = self->cfg.node,
                                .inc = self->cfg.inc,
                                .to = DZ_MESH_TO_SCHEDULER };
        dz_flow_open(&flow);
        dz_flow_whisper(&flow, msg, &self->frame);
        dz_flow_fini(&flow);
        send_to(self, nodes[i], 0);
    }
}

void
session_hello(struct vassal *self, dz_us now)
{
    struct dz_msg msg = { .id = DZ_MSG_mesh_hello,
                          .as.mesh_hello = { .slots = self->slot_count,
                                             .total = self->total,
                                             .digest = self->manifest_digest,
                                             .seen_n = self->seen_n,
                                             .contact = self->cfg.contact } };
    say_to_anybody(self, &msg);
    dz_us crowd_us = dz_pace_crowd_us(self->nodes); /* all of them greet the same one at once */
    dz_us first = HELLO_FIRST_US + crowd_us / HELLO_CROWD_FIRST;
    dz_us most =
        self->hellos < HELLO_SOON ? HELLO_MOST_US + crowd_us / HELLO_CROWD_MOST : HELLO_RARE_US;
    self->hello_us = self->hellos++ ? self->hello_us * 2 : first;
    self->hello_us = self->hello_us < most ? self->hello_us : most;
    self->hello_at = now + self->hello_us;
    vassal_wake(self, self->hello_at);
}

/* ------------------------------------------------------------------ a session begins */

static void
forget_session(struct vassal *self, bool is_new_epoch, uint64_t flags)
{
    self->is_keeping = (flags & DZ_LEAD_KEEPS) != 0;
    outbox_open(self, is_new_epoch, (flags & DZ_LEAD_BLIND) != 0);
    self->is_state_due = true;
    self->is_stop_due = self->stop_how >= 0;
    self->is_drained_due = false;
    self->is_own_due = self->own.at && (flags & DZ_LEAD_ASKS) != 0;
    self->own_said = 0;
    backs_clear(self);
    for (unsigned i = 0; i < self->cfg.slots; i++) {
        self->slots[i].is_parked = false;
        self->slots[i].must_say = false;
    }
}

static bool
is_newer(const struct vassal *self, const struct dz_epoch *epoch, uint64_t session)
{
    int order = dz_epoch_cmp(epoch, &self->flow.epoch);
    return order > 0 || (order == 0 && session > self->flow.session);
}

static bool
is_led(struct vassal *self)
{
    bool is_draining = self->state == MEMBER_DRAINING || self->state == MEMBER_DRAINED;
    return (DZ_BROKEN(LED_ANEW) && is_draining) || member_turn(self, MEMBER_TURN_LED);
}

void
session_pace(struct vassal *self, uint64_t hb_ms, uint64_t dead_ms)
{
    if (hb_ms > 0 && hb_ms <= HB_MAX_MS)
        self->hb_us = (dz_us) hb_ms * 1000;
    if (dead_ms > 0 && dead_ms <= DEAD_MAX_MS)
        self->dead_us = (dz_us) dead_ms * 1000;
}

void
session_crowd(struct vassal *self, unsigned nodes)
{
    dz_us usual_us = self->cfg.hb_us ? self->cfg.hb_us : HB_US;
    if (nodes > 0)
        self->nodes = nodes;
    if (self->scheduler)
        return; /* it says itself */
    self->hb_us = dz_pace_beat_us(self->nodes, usual_us);
    self->dead_us = dz_pace_dead_us(self->hb_us, usual_us, DEAD_US);
}

static void
on_lead(struct vassal *self, const struct dz_msg_mesh *from, const struct dz_epoch *epoch,
        const struct dz_msg_mesh_lead *lead, dz_us now)
{
    bool is_new_epoch = dz_epoch_cmp(epoch, &self->flow.epoch) != 0;
    if ((from->to_inc != self->cfg.inc && !DZ_BROKEN(MY_LIFE)) ||
        (epoch->n < self->seen_n && !DZ_BROKEN(REFUSE_FENCED)) ||
        !is_newer(self, epoch, from->session) ||
        member_state_after(self->state, MEMBER_TURN_LED) < 0 ||
        !rank_admits(self, from, epoch, now) || !is_led(self))
        return;
    self->scheduler = from->node;
    self->seen_n = epoch->n;
    self->flow.epoch = *epoch;
    self->flow.peer_inc = from->inc;
    self->flow.session = from->session;
    dz_flow_open(&self->flow);
    self->heard_at = now;
    self->hellos = 0;
    session_pace(self, lead->hb_ms, lead->dead_ms);
    dz_flow_bear(&self->flow, dz_pace_ack_us(self->nodes, self->hb_us));
    forget_session(self, is_new_epoch, lead->flags);
    vassal_wake(self, now + self->hb_us);
}

/* ------------------------------------------------------------------ STATE */

struct state_part {
    struct dz_msg msg;
    struct dz_buf slots, held;
};

static void
say_part(struct vassal *self, struct state_part *part, bool is_last, dz_us now)
{
    part->msg.as.mesh_state.results = DZ_BROKEN(STATE_RESULTS) ? 0 : self->unacked;
    part->msg.as.mesh_state.last = is_last;
    session_say(self, &part->msg, now);
    dz_buf_clear(&part->slots);
    dz_buf_clear(&part->held);
    part->msg = (struct dz_msg){ .id = DZ_MSG_mesh_state };
}

static void
say_state(struct vassal *self, dz_us now)
{
    struct state_part part = { .msg = { .id = DZ_MSG_mesh_state } };
    for (unsigned i = 0; i < self->slot_count; i++) {
        struct vslot *slot = &self->slots[i];
        struct dz_item_slot item = { .num = slot->num, .state = slot_says(slot) };
        dz_slot_add(&part.msg.as.mesh_state.slots, &part.slots, &item);
        slot->must_say = false;
    }
    for (unsigned i = 0; i < self->slot_count; i++) {
        const struct vslot *slot = &self->slots[i];
        for (size_t h = 0; h < slot->held_count && !DZ_BROKEN(STATE_HELD); h++) {
            struct dz_item_held item = { slot->num, slot->held[h].test, slot->held[h].attempt };
            dz_held_add(&part.msg.as.mesh_state.held, &part.held, &item);
            if (part.msg.as.mesh_state.held.count == STATE_HELD_MAX)
                say_part(self, &part, false, now);
        }
    }
    say_part(self, &part, true, now);
    dz_buf_fini(&part.slots);
    dz_buf_fini(&part.held);
    self->is_state_due = false;
    outbox_announced(self);
}

/* Our list of tests is not the scheduler's.  In parts; as many as fit, the rest when acks came. */
static void
say_own(struct vassal *self, dz_us now)
{
    while (self->is_own_due && dz_flow_has_room(&self->flow)) {
        DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
        struct dz_msg msg = { .id = DZ_MSG_mesh_own, .as.mesh_own.first = self->own_said };
        struct dz_list *list = &msg.as.mesh_own.tests;
        while (self->own_said < self->total && list->count < OWN_MAX && bytes.len < OWN_BYTES) {
            struct dz_item_own item;
            self->own.at(self->own.arg, self->own_said, &item);
            dz_own_add(list, &bytes, &item);
            self->own_said++;
        }
        msg.as.mesh_own.last = self->own_said == self->total;
        self->is_own_due = self->own_said < self->total;
        session_say(self, &msg, now);
    }
}

/* ------------------------------------------------------------------ telling what is due */

/* What is said once, in this order with others: a message is made only when it is due. */
static void
say_once(struct vassal *self, bool *is_due, enum dz_msg_id id, dz_us now)
{
    if (!dz_flow_has_room(&self->flow))
        return;
    struct dz_msg msg = { .id = id };
    if (id == DZ_MSG_mesh_stop) {
        msg.as.mesh_stop.how = self->stop_how > 0;
        msg.as.mesh_stop.reason = dz_buf_slice(&self->stop_reason);
    } else if (id == DZ_MSG_mesh_drained) {
        msg.as.mesh_drained.records = self->last_record;
    } else {
        msg.as.mesh_bye.why = self->end.is_sealed ? DZ_BYE_SEALED : DZ_BYE_TERMINATED;
    }
    session_say(self, &msg, now);
    *is_due = false;
}

/* Among many, who asks for more waits for what is being written: both go together, and less is said. */
static bool
are_results_first(const struct vassal *self)
{
    return dz_pace_news_us(self->nodes) > 0 && outbox_is_writing(self);
}

void
flush_all(struct vassal *self, dz_us now)
{
    if (self->scheduler == 0 || self->state < MEMBER_SERVING)
        return;
    if (self->is_own_due)
        say_own(self, now);
    if (self->is_own_due)
        return; /* what follows is in numbers of that list */
    uint64_t room = DZ_FLOW_WINDOW - (self->flow.said - self->flow.acked);
    if (self->is_state_due && room >= STATE_PARTS_MAX && !outbox_is_writing_old(self))
        say_state(self, now);
    if (self->is_state_due)
        return;
    if (self->is_stop_due)
        say_once(self, &self->is_stop_due, DZ_MSG_mesh_stop, now);
    outbox_tell(self, now);
    copies_tell(self, now);
    backs_tell(self, now);
    if (dz_flow_has_room(&self->flow) && !are_results_first(self))
        slots_say(self, now);
    if (self->is_drained_due)
        say_once(self, &self->is_drained_due, DZ_MSG_mesh_drained, now);
    if (self->is_bye_due)
        say_once(self, &self->is_bye_due, DZ_MSG_mesh_bye, now);
}

/* ------------------------------------------------------------------ hearing */

static void
nack(struct vassal *self, const struct dz_msg_mesh *from)
{
    struct dz_flow flow = { .job = self->cfg.job,
                            .epoch = self->flow.epoch,
                            .node = self->cfg.node,
                            .inc = self->cfg.inc,
                            .peer_inc = from->inc,
                            .to = DZ_MESH_TO_SCHEDULER };
    struct dz_msg msg = { .id = DZ_MSG_mesh_nack,
                          .as.mesh_nack = { flow.epoch.n, flow.epoch.node, flow.epoch.inc } };
    dz_flow_open(&flow);
    dz_flow_whisper(&flow, &msg, &self->frame);
    dz_flow_fini(&flow);
    send_to(self, from->node, from->inc);
}

void
session_redirect(struct vassal *self, const struct dz_msg_mesh *from)
{
    const struct dz_epoch *holder = &self->ranking.holder;
    bool is_use = holder->n > 0 && holder->node != from->node && from->node != self->cfg.node;
    bool is_sure = self->ranking.rank == RANK_VASSAL || self->ranking.rank == RANK_LEAVING;
    if (!is_use || holder->node == self->cfg.node || !is_sure)
        return;
    struct dz_flow flow = { .job = self->cfg.job,
                            .epoch = *holder,
                            .node = self->cfg.node,
                            .inc = self->cfg.inc,
                            .peer_inc = from->inc };
    struct dz_msg msg = { .id = DZ_MSG_mesh_nack,
                          .as.mesh_nack = { holder->n, holder->node, holder->inc } };
    dz_flow_open(&flow);
    dz_flow_whisper(&flow, &msg, &self->frame);
    dz_flow_fini(&flow);
    send_to(self, from->node, from->inc);
}

static void
refused(struct vassal *self, const struct dz_msg_mesh_err *err, dz_us now)
{
    bool is_late = err->code == DZ_MESH_ERR_SEALED;
    if (!member_turn(self, MEMBER_TURN_REFUSED))
        return;
    slots_end(self, 1);
    self->end.is_late = is_late;
    vassal_note(self, is_late ? 0 : 2, "this node cannot take part: %.*s", (int) err->text.len,
                (const char *) err->text.ptr);
    vassal_finish(self, false, now);
}

/* Answers to what was said outside of a session. */
static void
on_stranger(struct vassal *self, const struct dz_msg_mesh *from, const struct dz_msg *msg,
            dz_us now)
{
    if (from->to_inc != self->cfg.inc)
        return;
    if (from->node == self->ranking.holder.node && from->epoch_node == from->node)
        self->ranking.holder_at = now; /* it leads, and is not ready yet */
    if (msg->id == DZ_MSG_mesh_nack) {
        struct dz_epoch epoch = { msg->as.mesh_nack.n, msg->as.mesh_nack.node,
                                  msg->as.mesh_nack.inc };
        if (epoch.n > 0 || from->node == self->ranking.holder.node)
            rank_hint(self, &epoch, now);
        if (self->state >= MEMBER_JOINING && self->state < MEMBER_EXITED && now >= self->hello_at)
            session_hello(self, now);
    } else if (msg->id == DZ_MSG_mesh_err && from->node == self->ranking.holder.node) {
        refused(self, &msg->as.mesh_err, now);
    }
}

static void
take_in(struct vassal *self, const struct dz_msg_mesh *from, const struct dz_msg *msg, dz_us now)
{
    self->heard_at = now;
    bool is_fresh = dz_flow_hear(&self->flow, from, now);
    vassal_wake(self, dz_flow_next(&self->flow));
    if (is_fresh)
        on_order(self, msg, now);
}

void
session_hear(struct vassal *self, struct dz_slice frame, dz_us now)
{
    struct dz_msg_mesh from;
    struct dz_msg msg; /* of the body, if there is one */
    msg.id = DZ_MSG_mesh_hb;
    if (dz_mesh_open(frame, &from) != DZ_OK || !dz_slice_eq(from.job, self->cfg.job) ||
        from.node == 0)
        return;
    if (from.body.len && dz_msg_decode(from.body, &msg) != DZ_OK)
        return;
    bool is_answer = msg.id == DZ_MSG_mesh_nack || msg.id == DZ_MSG_mesh_err; /* not answered */
    if (from.to == DZ_MESH_TO_SCHEDULER && !is_answer)
        session_redirect(self, &from);
    if (from.to == DZ_MESH_TO_SCHEDULER || self->state == MEMBER_NEW)
        return;
    struct dz_epoch epoch = { from.epoch_n, from.epoch_node, from.epoch_inc };
    bool is_stale = self->scheduler && dz_epoch_cmp(&epoch, &self->flow.epoch) < 0;
    if (is_stale && DZ_BROKEN(FENCE))
        on_order(self, &msg, now);
    else if (is_stale && !is_answer)
        nack(self, &from);
    else if (is_stale)
        return;
    else if (msg.id == DZ_MSG_mesh_lead && is_newer(self, &epoch, from.session))
        on_lead(self, &from, &epoch, &msg.as.mesh_lead, now);
    else if (self->scheduler && dz_flow_fits(&self->flow, &from))
        take_in(self, &from, &msg, now);
    else
        on_stranger(self, &from, &msg, now);
}

/* ------------------------------------------------------------------ time */

static void
talk_or_beat(struct vassal *self, dz_us now)
{
    unsigned nth = 0;
    while (dz_flow_resend(&self->flow, now, &nth, &self->frame)) {
        send(self);
        self->spoke_at = now;
    }
    if (dz_flow_owes_ack(&self->flow, now) || now - self->spoke_at >= self->hb_us) {
        struct dz_msg beat = { .id = DZ_MSG_mesh_hb,
                               .as.mesh_hb = { .count = ++self->heartbeats } };
        whisper(self, &beat, now);
    }
    vassal_wake(self, dz_flow_next(&self->flow));
    vassal_wake(self, self->spoke_at + self->hb_us);
}

void
session_tick(struct vassal *self, dz_us now)
{
    if (self->state == MEMBER_NEW)
        return;
    if (self->scheduler)
        talk_or_beat(self, now);
    bool is_cut_off = now - self->heard_at >= self->dead_us && !DZ_BROKEN(HELLO_AGAIN);
    if (self->state == MEMBER_EXITED || (rank_is_led(self) && !is_cut_off))
        return;
    if (now >= self->hello_at)
        session_hello(self, now);
    vassal_wake(self, self->hello_at);
}
