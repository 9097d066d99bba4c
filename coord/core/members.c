/* members.c - who succeeds the scheduler: told to everybody, in the order in which they came. */
#include "coord/core/inside.h"

enum {
    NEWS_US = 20 * 1000,         /* changes within so long are told at once */
    COUNT_NEWS_US = 1000 * 1000, /* that only the number of nodes has changed can wait, */
    COUNT_NEWS_NODES = 256,      /* and for every so many nodes once more as long */
};

static bool
is_member(const struct node *node)
{
    return node->state == NODE_MEMBER || node->state == NODE_DRAINED;
}

static uint64_t
member_count(const struct coord *self)
{
    return self->in_state[NODE_MEMBER] + self->in_state[NODE_DRAINED];
}

void
members_flush(struct coord *self, dz_us now)
{
    if (self->phase >= PHASE_PARTING)
        return; /* who leaves now has no successor */
    bool has_count_news = member_count(self) != self->members_told;
    if (!self->are_members_new && !has_count_news)
        return;
    dz_us count_us = COUNT_NEWS_US * (dz_us) (1 + member_count(self) / COUNT_NEWS_NODES);
    dz_us due = self->members_at + (self->are_members_new ? NEWS_US : count_us);
    if (self->members_at > 0 && now < due) {
        coord_wake(self, due);
        return;
    }
    self->are_members_new = false;
    self->members_at = now;
    self->members_told = member_count(self);
    for (size_t i = 0; i < self->node_count; i++) {
        struct node *node = self->nodes[i];
        node->are_members_due = is_member(node);
        if (node->are_members_due)
            node_mark(self, node);
    }
}

void
members_say(struct coord *self, struct node *to, dz_us now)
{
    if (!to->are_members_due || !dz_flow_has_room(&to->flow))
        return;
    DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
    node_pace(self, to);
    struct dz_msg msg = { .id = DZ_MSG_mesh_members,
                          .as.mesh_members = { .count = member_count(self),
                                               .hb_ms = (uint64_t) to->beat_us / 1000,
                                               .dead_ms = (uint64_t) to->dead_us / 1000 } };
    struct dz_list *list = &msg.as.mesh_members.members;
    for (size_t i = 0; i < self->node_count && list->count < DZ_SUCCESSORS_MAX; i++) {
        const struct node *node = self->nodes[i];
        if (!is_member(node) || node->id == self->cfg.node || node->contact_len == 0)
            continue;
        struct dz_item_member item = { .node = node->id,
                                       .inc = node->inc,
                                       .contact = { node->contact, node->contact_len } };
        dz_member_add(list, &bytes, &item);
    }
    node_say(self, to, &msg, now);
    to->are_members_due = false;
}
