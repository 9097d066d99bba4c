/* joining.c - a node says HELLO: is it let in, and a session with it begins.
 *
 * One session is one conversation with one incarnation of a node.  It begins when we answer HELLO
 * with LEAD, and whatever the node held is then told anew by its STATE; until that arrives we
 * keep believing what the session before said.  A node that was given up and speaks again gets a
 * new session, since its tests have gone elsewhere in the meantime. */
#include <stdlib.h>
#include <string.h>

#include "coord/core/inside.h"
#include "shared/wire/pace.h"

enum {
    YIELD_US = 2 * 1000 * 1000, /* others that have collected wait so long */
    HELLOS_OF_ONE = 6,          /* in that time, of each of a crowd; of few nodes twice as many */
};

void
node_lead(struct coord *self, struct node *node, dz_us now)
{
    struct dz_msg msg = { .id = DZ_MSG_mesh_lead,
                          .as.mesh_lead = { .hb_ms = (uint64_t) node->beat_us / 1000,
                                            .dead_ms = (uint64_t) node->dead_us / 1000 } };
    bool is_asking = node->is_odd && !node->has_own;
    msg.as.mesh_lead.flags = (self->cfg.has_store ? DZ_LEAD_KEEPS : 0u) |
                             (self->cfg.is_blind ? DZ_LEAD_BLIND : 0u) |
                             (is_asking ? DZ_LEAD_ASKS : 0u);
    node->led_at = now;
    node_whisper(self, node, &msg, now);
}

/* It seems not to have heard that; but LEAD may still be on its way, where many come in at once. */
void
node_lead_again(struct coord *self, struct node *node, dz_us now)
{
    if (now - node->led_at >= dz_pace_ack_us(coord_crowd(self), node->beat_us) / 2)
        node_lead(self, node, now);
}

void
node_open_session(struct coord *self, struct node *node, uint64_t inc, dz_us now)
{
    node_turn(self, node, NODE_TURN_GREET);
    if (node->inc != 0 && node->inc != inc)
        copies_orphan(self, node); /* of a life whose end nobody saw */
    node->inc = inc;
    node->sessions++;
    node->flow.job = self->cfg.job;
    node->flow.epoch = self->epoch;
    node->flow.node = self->cfg.node;
    node->flow.inc = self->cfg.inc;
    node->flow.peer_inc = inc;
    node->flow.session = node->sessions;
    dz_flow_open(&node->flow);
    node->rack_count = 0; /* what was to be said to the session before */
    node->results_due = 0;
    node->stored = node->stored_said = 0;
    if (!node->has_own)
        node->own_count = 0; /* it tells all of it again */
    node->drain_said = -1;
    node->is_state_begun = node->is_seal_said = node->is_blocked = false;
    node->heard_at = now;
    node_pace(self, node);
    dz_flow_bear(&node->flow, dz_pace_ack_us(coord_crowd(self), node->beat_us));
    node_lead(self, node, now);
}

static void
add_slots(struct coord *self, struct node *node, uint32_t count)
{
    if (count <= node->slot_count)
        return;
    node->slots = dz_realloc(node->slots, count, sizeof(struct slot *));
    for (uint32_t num = node->slot_count; num < count; num++) {
        struct slot *slot = dz_alloc0(1, sizeof(*slot));
        slot->node = node;
        slot->num = num;
        slot->ahead_us = slot_ahead_us(self);
        slot->number = (uint32_t) self->slot_count;
        GROW(self->slots, self->slot_count, self->slot_cap);
        self->slots[self->slot_count++] = slot;
        node->slots[num] = slot;
    }
    node->slot_count = count;
}

static void
refuse(struct coord *self, const struct dz_msg_mesh *from, enum dz_mesh_err code, const char *text)
{
    struct dz_msg msg = { .id = DZ_MSG_mesh_err,
                          .as.mesh_err = { .code = code, .text = dz_str(text) } };
    whisper_to_stranger(self, from, &msg);
}

void
node_redirect(struct coord *self, const struct dz_msg_mesh *from)
{
    struct dz_msg msg = { .id = DZ_MSG_mesh_nack,
                          .as.mesh_nack = { self->epoch.n, self->epoch.node, self->epoch.inc } };
    whisper_to_stranger(self, from, &msg);
}

/* This node still collects, and others could run tests meanwhile: one of them shall schedule. */
static void
yield(struct coord *self, const struct dz_msg_mesh *to, dz_us now)
{
    struct dz_msg msg = { .id = DZ_MSG_mesh_nack };
    whisper_to_stranger(self, to, &msg);
    self->outranked_by = (struct dz_epoch){ 0 };
    (void) coord_turn(self, TURN_OUTRANKED, now);
}

/* Before we have a manifest. */
static void
keep_waiting(struct coord *self, const struct dz_msg_mesh *from, dz_us now)
{
    bool is_other = from->node != self->cfg.node;
    if (is_other && self->awaiting++ == 0)
        self->awaited_since = now;
    /* One of a crowd on the same machine may collect late because of the others. */
    dz_us patience = YIELD_US + dz_pace_crowd_us(self->awaiting / HELLOS_OF_ONE);
    if (is_other && now - self->awaited_since >= patience)
        yield(self, from, now);
    else
        node_redirect(self, from); /* and that it is alive */
}

/* What it said of itself; its manifest may be another one than that of its earlier life. */
static void
know(struct coord *self, struct node *node, uint64_t inc, const struct dz_msg_mesh_hello *hello,
     bool is_odd)
{
    free(node->contact);
    node->contact = NULL;
    node->contact_len = hello->contact.len;
    if (hello->contact.len > 0) {
        node->contact = dz_realloc(NULL, hello->contact.len, 1);
        memcpy(node->contact, hello->contact.ptr, hello->contact.len);
    }
    if (is_odd == node->is_odd && (!is_odd || (hello->digest == node->digest && inc == node->inc)))
        return;
    node_forget(self, node); /* in numbers that mean something else from now on */
    node->digest = hello->digest;
    node->is_odd = is_odd;
    node->has_own = false;
    node->own_count = 0;
    self->odd_count += is_odd;
}

void
node_hello(struct coord *self, const struct dz_msg_mesh *from,
           const struct dz_msg_mesh_hello *hello, dz_us now)
{
    bool is_stranger = self->cfg.shard_total > 1 && from->node != self->cfg.node;
    if (hello->seen_n > self->epoch.n && !is_stranger) {
        self->outranked_by = (struct dz_epoch){ .n = hello->seen_n };
        (void) coord_turn(self, TURN_OUTRANKED, now);
        return;
    }
    if (self->phase < PHASE_LEADING)
        return; /* it asks again */
    if (is_stranger) {
        node_redirect(self, from);
        return;
    }
    if (!self->has_manifest) {
        keep_waiting(self, from, now);
        return;
    }
    struct node *node = node_find(self, from->node);
    bool is_odd = hello->digest != self->manifest_digest || hello->total != self->base;
    if (is_odd && !tests_are_listed(self))
        return; /* it asks again, and the driver will have answered */
    if (is_odd && hello->total + self->total >= COORD_TESTS_MAX) {
        refuse(self, from, DZ_MESH_ERR_LIMIT, "with this node's tests the job would have too many");
        return;
    }
    if (!node && self->phase == PHASE_PARTING) {
        refuse(self, from, DZ_MESH_ERR_SEALED, "the job has ended");
        return;
    }
    if (!node && self->node_count == COORD_NODES_MAX) {
        refuse(self, from, DZ_MESH_ERR_FULL, "the job has as many nodes as it can have");
        return;
    }
    if (!node)
        node = node_add(self, from->node);
    if (from->inc < node->inc || (from->inc == node->inc && node->state == NODE_LEFT))
        return; /* late news of an earlier life */
    add_slots(self, node, (uint32_t) hello->slots);
    know(self, node, from->inc, hello, is_odd);
    node->heard_at = now;
    if (from->inc == node->inc && node->state != NODE_SILENT)
        node_lead_again(self, node, now);
    else
        node_open_session(self, node, from->inc, now);
}
