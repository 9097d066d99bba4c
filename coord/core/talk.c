/* talk.c - what nodes are told, and when.
 *
 * What a node must still be told (words on its results, DRAIN, SEAL) is state of the node and not a
 * queue of messages, so a window that is full only delays it: nodes_flush() looks again when
 * acknowledgements came. */
#include <string.h>

#include "coord/core/inside.h"

enum { RACKS_MAX = 1024 /* of one message */ };

static void
send(struct coord *self, uint64_t node, uint64_t inc)
{
    struct coord_effect *fx = coord_effect(self, COORD_FX_SEND);
    fx->as.send.node = node;
    fx->as.send.inc = inc;
    fx->as.send.frame = dz_arena_copy(&self->arena, dz_buf_slice(&self->frame));
    dz_buf_clear(&self->frame);
}

void
node_say(struct coord *self, struct node *node, const struct dz_msg *msg, dz_us now)
{
    dz_flow_say(&node->flow, msg, now, &self->frame);
    send(self, node->id, node->inc);
    node->spoke_at = now;
    coord_wake(self, dz_flow_next(&node->flow));
}

/* What it is told of how often each says that it lives goes until it is told anew: it may hear late of
 * how many they are by now. */
void
node_pace(const struct coord *self, struct node *node)
{
    node->beat_us = coord_beat_us(self);
    node->dead_us = coord_dead_us(self);
}

void
node_whisper(struct coord *self, struct node *node, const struct dz_msg *msg, dz_us now)
{
    dz_flow_whisper(&node->flow, msg, &self->frame);
    send(self, node->id, node->inc);
    node->spoke_at = now;
    coord_wake(self, now + node->beat_us);
}

void
whisper_to_stranger(struct coord *self, const struct dz_msg_mesh *from, const struct dz_msg *msg)
{
    struct dz_flow flow = { .job = self->cfg.job,
                            .epoch = self->epoch,
                            .node = self->cfg.node,
                            .inc = self->cfg.inc,
                            .peer_inc = from->inc };
    dz_flow_open(&flow);
    dz_flow_whisper(&flow, msg, &self->frame);
    dz_flow_fini(&flow);
    send(self, from->node, from->inc);
}

void
node_resend(struct coord *self, struct node *node, bool is_behind, dz_us now)
{
    unsigned nth = 0;
    while (!is_behind && dz_flow_resend(&node->flow, now, &nth, &self->frame)) {
        send(self, node->id, node->inc);
        node->spoke_at = now;
    }
    if (dz_flow_owes_ack(&node->flow, now) || now - node->spoke_at >= node->beat_us) {
        struct dz_msg beat = { .id = DZ_MSG_mesh_hb,
                               .as.mesh_hb = { .count = ++self->heartbeats } };
        node_whisper(self, node, &beat, now);
    }
    coord_wake(self, dz_flow_next(&node->flow));
    coord_wake(self, node->spoke_at + node->beat_us);
}

void
node_mark(struct coord *self, struct node *node)
{
    if (node->is_dirty)
        return;
    node->is_dirty = true;
    GROW(self->dirty_nodes, self->dirty_node_count, self->dirty_node_cap);
    self->dirty_nodes[self->dirty_node_count++] = node;
}

void
node_rack(struct coord *self, struct node *node, uint64_t record, enum dz_word word)
{
    GROW(node->racks, node->rack_count, node->rack_cap);
    node->racks[node->rack_count++] = (struct rack){ record, word };
    node_mark(self, node);
}

static void
say_racks(struct coord *self, struct node *node, dz_us now)
{
    size_t done = 0;
    while (done < node->rack_count && dz_flow_has_room(&node->flow)) {
        struct dz_buf *bytes = &self->items;
        dz_buf_clear(bytes);
        struct dz_msg msg = { .id = DZ_MSG_mesh_rack };
        for (; done < node->rack_count && msg.as.mesh_rack.racks.count < RACKS_MAX; done++) {
            struct dz_item_rack item = { node->racks[done].record, node->racks[done].word };
            dz_rack_add(&msg.as.mesh_rack.racks, bytes, &item);
        }
        node_say(self, node, &msg, now);
    }
    if (done == 0)
        return; /* and perhaps there is no array yet */
    memmove(node->racks, node->racks + done, (node->rack_count - done) * sizeof(*node->racks));
    node->rack_count -= done;
}

static void
say_stored(struct coord *self, struct node *node, dz_us now)
{
    if (node->stored <= node->stored_said || node->rack_count > 0 || !dz_flow_has_room(&node->flow))
        return;
    struct dz_msg msg = { .id = DZ_MSG_mesh_stored, .as.mesh_stored = { node->stored } };
    node_say(self, node, &msg, now);
    node->stored_said = node->stored;
}

static void
say_drain(struct coord *self, struct node *node, dz_us now)
{
    int how = self->stop_how + 1; /* 0: everything is counted */
    if (self->phase < PHASE_DRAINING || self->phase > PHASE_PARTING || node->drain_said >= how ||
        !dz_flow_has_room(&node->flow))
        return;
    struct dz_msg msg = { .id = DZ_MSG_mesh_drain, .as.mesh_drain = { .how = (uint64_t) how } };
    node_say(self, node, &msg, now);
    node->drain_said = how;
}

static void
say_seal(struct coord *self, struct node *node, dz_us now)
{
    if (self->phase != PHASE_PARTING || node->state != NODE_DRAINED || node->is_seal_said ||
        !dz_flow_has_room(&node->flow))
        return;
    struct dz_account account;
    coord_account_fill(self, &account);
    struct dz_msg msg = { .id = DZ_MSG_mesh_seal,
                          .as.mesh_seal = { .collected = account.collected,
                                            .counted = account.counted,
                                            .duplicates = account.duplicates,
                                            .not_run = account.not_run,
                                            .failed = account.failed,
                                            .nodes = account.nodes,
                                            .workers = account.workers,
                                            .digest = account.digest,
                                            .agrees = account.agrees,
                                            .elsewhere = account.elsewhere,
                                            .carried = account.carried,
                                            .stored = self->is_stored } };
    node_say(self, node, &msg, now);
    node->is_seal_said = true;
}

void
nodes_flush(struct coord *self, dz_us now)
{
    for (size_t i = 0; i < self->dirty_node_count; i++) {
        struct node *node = self->dirty_nodes[i];
        node->is_dirty = false;
        if (node->state != NODE_MEMBER && node->state != NODE_DRAINED)
            continue;
        say_racks(self, node, now);
        say_stored(self, node, now);
        members_say(self, node, now);
        say_drain(self, node, now);
        say_seal(self, node, now);
        node->is_blocked = node->is_blocked || !dz_flow_has_room(&node->flow);
    }
    self->dirty_node_count = 0;
}
