/* peers.c - the order in which nodes succeed a scheduler, as it told. */
#include "vassal/core/inside.h"

enum {
    SUCCEED_US = 300 * 1000,        /* the authority is given so long before successors decide */
    SUCCEED_STEP_US = 250 * 1000,   /* one place in the order of succession */
    STRANGERS = 8,                  /* those who are not in the order spread over so many places */
    JOIN_PATIENCE_US = 1500 * 1000, /* of one try; two of them, then it goes on without */
    PATIENCE_US = 500 * 1000,
};

dz_us
rank_patience_us(const struct vassal *self)
{
    dz_us usual_us = self->ranking.rank == RANK_JOINING ? JOIN_PATIENCE_US : PATIENCE_US;
    return usual_us + dz_pace_crowd_us(self->nodes);
}

bool
rank_may_hear(const struct vassal *self)
{
    return self->state != MEMBER_NEW && self->state != MEMBER_EXITED;
}

/* Its place among them is not known: it comes last. */
void
rank_knows(struct vassal *self, const uint64_t *nodes, size_t count)
{
    struct ranking *it = &self->ranking;
    if (count == 0)
        return;
    it->peers = dz_alloc0(DZ_SUCCESSORS_MAX, sizeof(*it->peers));
    it->members = count + 1;
    for (size_t i = 0; i < count && it->peer_count < DZ_SUCCESSORS_MAX; i++)
        if (nodes[i] != self->cfg.node)
            it->peers[it->peer_count++] = (struct peer){ .node = nodes[i] };
}

void
rank_members(struct vassal *self, const struct dz_msg_mesh_members *members)
{
    struct ranking *it = &self->ranking;
    it->members = members->count;
    session_pace(self, members->hb_ms, members->dead_ms);
    if (!it->peers)
        it->peers = dz_alloc0(DZ_SUCCESSORS_MAX, sizeof(*it->peers));
    it->peer_count = 0;
    struct dz_list list = members->members;
    struct dz_item_member item;
    while (it->peer_count < DZ_SUCCESSORS_MAX && dz_member_next(&list, &item)) {
        it->peers[it->peer_count++] = (struct peer){ .node = item.node, .inc = item.inc };
        if (item.node == self->cfg.node || item.contact.len == 0)
            continue;
        struct vassal_effect *fx = vassal_effect(self, VASSAL_FX_MEET);
        fx->as.meet.node = item.node;
        fx->as.meet.inc = item.inc;
        fx->as.meet.contact = dz_arena_copy(&self->arena, item.contact);
    }
}

size_t
rank_targets(const struct vassal *self, uint64_t *nodes_out)
{
    const struct ranking *it = &self->ranking;
    size_t count = 0;
    if (it->holder.n > 0)
        nodes_out[count++] = it->holder.node;
    bool is_looking = it->rank == RANK_CANDIDATE || it->rank == RANK_JOINING;
    for (size_t i = 0; is_looking && i < it->peer_count; i++) {
        const struct peer *peer = &it->peers[i];
        if (peer->node != self->cfg.node && peer->node != it->holder.node && !peer->is_gone)
            nodes_out[count++] = peer->node;
    }
    return count;
}

/* How long this node waits for those who come before it. */
dz_us
rank_wait_us(const struct vassal *self)
{
    const struct ranking *it = &self->ranking;
    dz_us place = 0;
    for (size_t i = 0; i < it->peer_count; i++) {
        if (it->peers[i].node == self->cfg.node)
            return SUCCEED_US + place * SUCCEED_STEP_US;
        place += !it->peers[i].is_gone && it->peers[i].node != it->holder.node;
    }
    place += 1 + (dz_us) (self->cfg.node % STRANGERS);
    return SUCCEED_US + place * SUCCEED_STEP_US;
}

/* The authority names who schedules, and how it is reached. */
void
rank_meet(struct vassal *self, const struct vassal_event *event)
{
    const struct dz_epoch *who = &event->as.answer.reply.epoch;
    if (event->as.answer.contact.len == 0 || who->node == self->cfg.node)
        return;
    struct vassal_effect *fx = vassal_effect(self, VASSAL_FX_MEET);
    fx->as.meet.node = who->node;
    fx->as.meet.inc = who->inc;
    fx->as.meet.contact = dz_arena_copy(&self->arena, event->as.answer.contact);
    fx->as.meet.is_due = true;
}

bool
rank_is_led(const struct vassal *self)
{
    const struct dz_epoch *holder = &self->ranking.holder;
    return self->scheduler == holder->node && self->flow.epoch.n == holder->n;
}
