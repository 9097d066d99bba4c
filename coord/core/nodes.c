/* nodes.c - who takes part, in which session, and what their messages do. */
#include <stdlib.h>
#include <string.h>

#include "coord/core/inside.h"
#include "shared/wire/frame.h"

/* ------------------------------------------------------------------ finding nodes */

static size_t
hash_of(uint64_t id)
{
    return (size_t) ((id * 0x9e3779b97f4a7c15) >> 20);
}

static void
index_put(struct coord *self, uint64_t id, uint32_t place)
{
    size_t at = hash_of(id) & self->node_index_mask;
    while (self->node_index[at])
        at = (at + 1) & self->node_index_mask;
    self->node_index[at] = place + 1;
}

static void
index_grow(struct coord *self)
{
    size_t size = self->node_index ? (self->node_index_mask + 1) * 2 : 16;
    free(self->node_index);
    self->node_index = dz_alloc0(size, sizeof(*self->node_index));
    self->node_index_mask = size - 1;
    for (size_t i = 0; i < self->node_count; i++)
        index_put(self, self->nodes[i]->id, (uint32_t) i);
}

struct node *
node_find(const struct coord *self, uint64_t id)
{
    if (!self->node_index)
        return NULL;
    for (size_t at = hash_of(id) & self->node_index_mask; self->node_index[at];
         at = (at + 1) & self->node_index_mask) {
        struct node *node = self->nodes[self->node_index[at] - 1];
        if (node->id == id)
            return node;
    }
    return NULL;
}

struct node *
node_add(struct coord *self, uint64_t id)
{
    if (!self->node_index || self->node_count * 2 > self->node_index_mask)
        index_grow(self);
    GROW(self->nodes, self->node_count, self->node_cap);
    struct node *node = dz_alloc0(1, sizeof(*node));
    node->id = id;
    node->number = (uint32_t) self->node_count;
    node->state = NODE_GREETED;
    self->in_state[NODE_GREETED]++;
    self->nodes[self->node_count] = node;
    index_put(self, id, (uint32_t) self->node_count++);
    return node;
}

void
nodes_fini(struct coord *self)
{
    for (size_t i = 0; i < self->node_count; i++) {
        struct node *node = self->nodes[i];
        for (uint32_t s = 0; s < node->slot_count; s++) {
            free(node->slots[s]->held);
            free(node->slots[s]);
        }
        dz_flow_fini(&node->flow);
        free(node->contact);
        free(node->own);
        free(node->by_test);
        free(node->slots);
        free(node->racks);
        free(node);
    }
    free(self->nodes);
    free(self->node_index);
    free(self->slots);
}

void
node_turn(struct coord *self, struct node *node, enum node_turn turn)
{
    int next = node_state_after(node->state, turn);
    dz_assert(next >= 0);
    self->in_state[node->state]--;
    self->in_state[next]++;
    bool was_member = node->state == NODE_MEMBER || node->state == NODE_DRAINED;
    bool is_member = next == NODE_MEMBER || next == NODE_DRAINED;
    node->are_members_due |= is_member && !was_member;
    if (was_member != is_member && (was_member || self->in_state[next] <= DZ_SUCCESSORS_MAX + 1))
        self->are_members_new = true;
    node->state = (enum node_state) next;
}

/* ------------------------------------------------------------------ leaving */

void
node_forget(struct coord *self, struct node *node)
{
    for (uint32_t s = 0; s < node->slot_count; s++) {
        slot_drop_all(self, node->slots[s]);
        slot_lost(self, node->slots[s]);
    }
}

static void
tell_of(struct coord *self, const struct node *node, const char *word, const char *why)
{
    struct coord_effect *fx = coord_effect(self, COORD_FX_NODE);
    fx->as.node.node = node->id;
    fx->as.node.inc = node->inc;
    fx->as.node.word = word;
    fx->as.node.why = why;
}

void
node_give_up(struct coord *self, struct node *node, const char *why)
{
    if (node->state == NODE_LEFT || node->state == NODE_SILENT)
        return;
    node_turn(self, node, NODE_TURN_SILENCE);
    tell_of(self, node, "lost", why);
    node_forget(self, node);
    copies_orphan(self, node);
}

/* ------------------------------------------------------------------ what a member says */

static struct slot *
slot_of(struct node *node, uint64_t num)
{
    return num < node->slot_count ? node->slots[num] : NULL;
}

static void
take_slots(struct coord *self, struct node *node, struct dz_list list)
{
    struct dz_item_slot item;
    while (dz_slot_next(&list, &item)) {
        struct slot *slot = slot_of(node, item.num);
        if (!slot)
            continue;
        switch (item.state) {
        case DZ_SLOT_UP: slot_up(self, slot); break;
        case DZ_SLOT_WANT: slot_wants(self, slot); break;
        case DZ_SLOT_LOST: slot_lost(self, slot); break;
        default: break; /* a newer peer's */
        }
    }
}

/* What it holds may have gone to somebody else while it was away.  It need not run twice what it
 * has not begun. */
static void
revoke_contested(struct slot *slot, const struct coord *self)
{
    for (uint32_t i = 1; i < slot->held_count; i++) {
        const struct test *test = &self->tests[slot->held[i]];
        if (test->state != TEST_OPEN || test->holders > 1)
            slot->revoke_due = slot->held_count - 1;
    }
}

static void
on_state(struct coord *self, struct node *node, const struct dz_msg *msg, dz_us now)
{
    const struct dz_msg_mesh_state *state = &msg->as.mesh_state;
    if (node->state != NODE_GREETED || (node->is_odd && !node->has_own))
        return;
    if (!node->is_state_begun)
        node_forget(self, node);
    node->is_state_begun = true;
    take_slots(self, node, state->slots);
    struct dz_list list = state->held;
    struct dz_item_held held;
    while (dz_held_next(&list, &held)) {
        struct slot *slot = slot_of(node, held.slot);
        uint32_t test = held.attempt == 0 ? test_of(self, node, held.test) : NO_TEST;
        if (slot && test != NO_TEST)
            slot_hold(self, slot, test, now);
    }
    if (!state->last)
        return;
    node->results_due = state->results;
    node_turn(self, node, NODE_TURN_TOLD);
    tell_of(self, node, "joined", "");
    node_mark(self, node);
    for (uint32_t s = 0; s < node->slot_count; s++) {
        revoke_contested(node->slots[s], self);
        slot_mark(self, node->slots[s]);
    }
}

static void
on_result(struct coord *self, struct node *node, const struct dz_msg *msg, dz_us now)
{
    facts_take(self, node, msg->as.mesh_result.outcomes, now);
}

static void
on_slots(struct coord *self, struct node *node, const struct dz_msg *msg, dz_us now)
{
    (void) now;
    take_slots(self, node, msg->as.mesh_slots.slots);
}

static void
on_back(struct coord *self, struct node *node, const struct dz_msg *msg, dz_us now)
{
    struct slot *slot = slot_of(node, msg->as.mesh_back.slot);
    if (slot)
        slot_back(self, slot, &msg->as.mesh_back, now);
}

static void
on_stop(struct coord *self, struct node *node, const struct dz_msg *msg, dz_us now)
{
    (void) node;
    (void) now;
    int how = (int) msg->as.mesh_stop.how;
    if (how <= self->stop_how)
        return;
    self->stop_how = how;
    for (size_t i = 0; i < self->node_count; i++)
        node_mark(self, self->nodes[i]);
}

static void
on_drained(struct coord *self, struct node *node, const struct dz_msg *msg, dz_us now)
{
    (void) msg;
    (void) now;
    if (node->state != NODE_MEMBER || node->drain_said < 0)
        return;
    node_turn(self, node, NODE_TURN_EMPTY);
    node_mark(self, node);
}

static void
on_bye(struct coord *self, struct node *node, const struct dz_msg *msg, dz_us now)
{
    (void) now;
    if (node_state_after(node->state, NODE_TURN_BYE) < 0)
        return;
    node_turn(self, node, NODE_TURN_BYE);
    node_forget(self, node);
    if (msg->as.mesh_bye.why == DZ_BYE_SEALED)
        return;
    copies_orphan(self, node);
    tell_of(self, node, "left", "it was told to");
}

static void
on_heartbeat(struct coord *self, struct node *node, const struct dz_msg *msg, dz_us now)
{
    (void) self;
    (void) node;
    (void) msg;
    (void) now;
}

static void
on_copied(struct coord *self, struct node *node, const struct dz_msg *msg, dz_us now)
{
    (void) now;
    copies_told(self, node, msg->as.mesh_copied.count);
}

typedef void handler_fn(struct coord *, struct node *, const struct dz_msg *, dz_us);

/* What a node may say inside of a session; everything else is not for us and ignored. */
static handler_fn *
handler_of(enum dz_msg_id id)
{
    switch ((int) id) {
    case DZ_MSG_mesh_state: return on_state;
    case DZ_MSG_mesh_result: return on_result;
    case DZ_MSG_mesh_slots: return on_slots;
    case DZ_MSG_mesh_back: return on_back;
    case DZ_MSG_mesh_stop: return on_stop;
    case DZ_MSG_mesh_drained: return on_drained;
    case DZ_MSG_mesh_bye: return on_bye;
    case DZ_MSG_mesh_hb: return on_heartbeat;
    case DZ_MSG_mesh_own: return on_own;
    case DZ_MSG_mesh_copied: return on_copied;
    default: return NULL;
    }
}

/* ------------------------------------------------------------------ taking in a frame */

/* Of another epoch, another life of it, or a session that is over. */
static void
on_misfit(struct coord *self, struct node *node, const struct dz_msg_mesh *from,
          const struct dz_msg *msg, dz_us now)
{
    if (!node)
        node_redirect(self, from); /* it will say HELLO */
    else if (from->inc == node->inc && msg->id == DZ_MSG_mesh_bye)
        on_bye(self, node, msg, now); /* the last word of that life, whatever session it was in */
    else if (from->inc == node->inc && node->state == NODE_SILENT) {
        node_open_session(self, node, from->inc, now);
    } else if (from->inc == node->inc && node->state == NODE_GREETED) {
        node_lead_again(self, node, now);
    }
}

static void
take_in(struct coord *self, struct node *node, const struct dz_msg_mesh *from,
        const struct dz_msg *msg, dz_us now)
{
    node->heard_at = now;
    bool is_fresh = dz_flow_hear(&node->flow, from, now);
    coord_wake(self, dz_flow_next(&node->flow));
    if (node->is_blocked && dz_flow_has_room(&node->flow)) {
        node->is_blocked = false;
        node_mark(self, node);
        for (uint32_t s = 0; s < node->slot_count; s++)
            slot_mark(self, node->slots[s]);
    }
    bool is_gone = node->state == NODE_LEFT; /* nothing but acks can follow BYE */
    handler_fn *handle = is_fresh && !is_gone ? handler_of(msg->id) : NULL;
    if (handle)
        handle(self, node, msg, now);
}

void
node_hear(struct coord *self, struct dz_slice frame, dz_us now)
{
    struct dz_msg_mesh from;
    struct dz_msg msg; /* of the body, if there is one */
    msg.id = DZ_MSG_mesh_hb;
    if (dz_mesh_open(frame, &from) != DZ_OK || !dz_slice_eq(from.job, self->cfg.job) ||
        from.node == 0 || from.inc == 0)
        return;
    if (from.body.len && dz_msg_decode(from.body, &msg) != DZ_OK)
        return;
    if (self->cfg.shard_total > 1 && from.node != self->cfg.node && msg.id != DZ_MSG_mesh_hello)
        return; /* a shard is nobody's business */
    struct dz_epoch epoch = { from.epoch_n, from.epoch_node, from.epoch_inc };
    if (dz_epoch_cmp(&epoch, &self->epoch) > 0) {
        self->outranked_by = epoch;
        (void) coord_turn(self, TURN_OUTRANKED, now);
        return;
    }
    struct node *node = node_find(self, from.node);
    if (msg.id == DZ_MSG_mesh_hello)
        node_hello(self, &from, &msg.as.mesh_hello, now);
    else if (self->phase < PHASE_LEADING)
        return;
    else if (node && (node->state != NODE_SILENT || DZ_BROKEN(GREET_ANEW)) &&
             dz_flow_fits(&node->flow, &from))
        take_in(self, node, &from, &msg, now);
    else
        on_misfit(self, node, &from, &msg, now);
}

/* ------------------------------------------------------------------ time */

/* What it said may lie unread among the rest: then it is not silent, and what it acknowledged is not
 * said again. */
static void
tick_one(struct coord *self, struct node *node, bool is_behind, dz_us now)
{
    if (node->state == NODE_SILENT || node->state == NODE_LEFT)
        return;
    /* This node's own vassal lives in the same process: it cannot be silent while we speak. */
    bool may_die = node->id != self->cfg.node;
    dz_us dead_us = coord_dead_us(self);
    dead_us = (node->dead_us > dead_us ? node->dead_us : dead_us) * (is_behind ? BEHIND_TIMES : 1);
    if (may_die && now - node->heard_at >= dead_us) {
        node_give_up(self, node, "it is silent");
        return;
    }
    node_resend(self, node, is_behind, now);
    if (may_die)
        coord_wake(self, node->heard_at + dead_us);
}

void
nodes_tick(struct coord *self, bool is_behind, dz_us now)
{
    for (size_t i = 0; i < self->node_count; i++)
        tick_one(self, self->nodes[i], is_behind, now);
}
