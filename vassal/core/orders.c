/* orders.c - what the scheduler of this session told, in order and once. */
#include "vassal/core/inside.h"

static struct vslot *
slot_of(struct vassal *self, uint64_t num)
{
    return num < self->slot_count ? &self->slots[num] : NULL;
}

static void
on_assign(struct vassal *self, const struct dz_msg *msg, dz_us now)
{
    (void) now;
    const struct dz_msg_mesh_assign *assign = &msg->as.mesh_assign;
    struct vslot *slot = slot_of(self, assign->slot);
    if (!slot)
        return;
    struct dz_grant grants[DZ_GRANTS_MAX];
    size_t count = 0;
    struct dz_list list = assign->grants;
    struct dz_item_grant item;
    while (dz_grant_next(&list, &item))
        grants[count++] = (struct dz_grant){ (uint32_t) item.test, (uint32_t) item.attempt };
    if (count > 0)
        slot_grant(self, slot, grants, count, assign->follow != 0);
    else
        slot_nothing(self, slot);
}

static void
on_rack(struct vassal *self, const struct dz_msg *msg, dz_us now)
{
    (void) now;
    struct dz_list list = msg->as.mesh_rack.racks;
    struct dz_item_rack item;
    while (dz_rack_next(&list, &item))
        outbox_rack(self, item.record, (enum dz_word) item.word);
}

static void
on_revoke(struct vassal *self, const struct dz_msg *msg, dz_us now)
{
    (void) now;
    struct vslot *slot = slot_of(self, msg->as.mesh_revoke.slot);
    if (slot)
        slot_revoke(self, slot, msg->as.mesh_revoke.count);
}

static void
on_drain(struct vassal *self, const struct dz_msg *msg, dz_us now)
{
    (void) now;
    int how = (int) msg->as.mesh_drain.how;
    if (how - 1 > self->stop_how)
        self->stop_how = how - 1;
    if (member_turn(self, MEMBER_TURN_DRAIN))
        slots_end(self, how);
}

static void
on_seal(struct vassal *self, const struct dz_msg *msg, dz_us now)
{
    (void) now;
    const struct dz_msg_mesh_seal *seal = &msg->as.mesh_seal;
    if (!member_turn(self, MEMBER_TURN_SEAL))
        return;
    self->end = (struct vassal_end){
        .account = {
            .collected = seal->collected,
            .counted = seal->counted,
            .duplicates = seal->duplicates,
            .not_run = seal->not_run,
            .failed = seal->failed,
            .nodes = seal->nodes,
            .workers = seal->workers,
            .digest = seal->digest,
            .agrees = seal->agrees != 0,
            .elsewhere = seal->elsewhere,
            .carried = seal->carried < seal->counted ? seal->carried : seal->counted,
        },
        .is_shard = self->ranking.rank == RANK_SHARD,
        .pending = seal->stored ? 0 : self->pending,
    };
    vassal_finish(self, true, now);
}

/* The scheduler itself says that it is not any more. */
static void
on_nack(struct vassal *self, const struct dz_msg_mesh_nack *nack, dz_us now)
{
    struct dz_epoch epoch = { nack->n, nack->node, nack->inc };
    rank_hint(self, &epoch, now);
}

void
on_order(struct vassal *self, const struct dz_msg *msg, dz_us now)
{
    switch ((int) msg->id) {
    case DZ_MSG_mesh_assign: on_assign(self, msg, now); break;
    case DZ_MSG_mesh_rack: on_rack(self, msg, now); break;
    case DZ_MSG_mesh_revoke: on_revoke(self, msg, now); break;
    case DZ_MSG_mesh_drain: on_drain(self, msg, now); break;
    case DZ_MSG_mesh_seal: on_seal(self, msg, now); break;
    case DZ_MSG_mesh_members: rank_members(self, &msg->as.mesh_members); break;
    case DZ_MSG_mesh_copy: outbox_copy(self, msg->as.mesh_copy.outcomes); break;
    case DZ_MSG_mesh_stored: outbox_stored(self, msg->as.mesh_stored.record); break;
    case DZ_MSG_mesh_nack: on_nack(self, &msg->as.mesh_nack, now); break;
    default: break; /* HB, and what a newer peer may say */
    }
}
