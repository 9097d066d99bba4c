/* oracle.c - what must be true, judged from outside of the cores. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/wire/frame.h"
#include "shared/wire/meeting.h"
#include "tests/sim/world.h"

enum {
    WAIT_MAX_US = 5 * 1000 * 1000, /* others may have tests to give up for so long */
    UNNOTICED_US = 2000 * 1000,    /* the loss of a node may be unknown for so long */
    SPLIT_MAX_US = 1300 * 1000,    /* one whose lease is another's goes on for so long at most */
};

static bool
open_frame(struct dz_slice frame, struct dz_msg_mesh *from, struct dz_msg *body)
{
    *body = (struct dz_msg){ .id = DZ_MSG_mesh_hb };
    return dz_mesh_open(frame, from) == DZ_OK &&
           (from->body.len == 0 || dz_msg_decode(from->body, body) == DZ_OK);
}

/* ------------------------------------------------------------------ at every message */

static void
show(const struct world *self, const char *who, const struct dz_msg_mesh *from,
     const struct dz_msg *body)
{
    if (self->is_loud)
        printf("%10.3f    %s: %s, epoch %" PRIu64 " session %" PRIu64 " seq %" PRIu64
               " ack %" PRIu64 "\n",
               (double) self->now / 1000, who, dz_msg_name(body->id), from->epoch_n, from->session,
               from->seq, from->ack);
}

static bool
is_same_result(struct node *teller, const struct dz_item_rack *a, const struct dz_item_rack *b)
{
    if (a->record == b->record)
        return true;
    const struct spooled *one = spool_of(teller, a->record);
    const struct spooled *other = spool_of(teller, b->record);
    return one && other && one->outcome.exec == other->outcome.exec;
}

/* How many results count, as it says.  One may be there twice: told twice, or also as a copy.  What its
 * teller's disk does not have any more may be either. */
static uint64_t
results_said_to_count(struct node *teller, struct dz_list racks)
{
    struct dz_item_rack item, before;
    uint64_t count = 0;
    for (struct dz_list rest = racks; dz_rack_next(&rest, &item);) {
        bool is_new = item.word == DZ_WORD_COUNTED && spool_of(teller, item.record) != NULL;
        struct dz_list seen = racks;
        for (uint32_t left = racks.count - rest.count - 1; is_new && left > 0; left--) {
            (void) dz_rack_next(&seen, &before);
            is_new = before.word != item.word || !is_same_result(teller, &before, &item);
        }
        count += is_new;
    }
    return count;
}

static dz_us
later_of(dz_us a, dz_us b)
{
    return a > b ? a : b;
}

/* Since when this scheduler could know that another one has the lease. */
static dz_us
split_since(const struct world *self, uint32_t n)
{
    dz_us cut = later_of(later_of(self->store_down_until, self->store_slow_until),
                         self->store_cut_until[n]);
    if (self->is_healed && cut > self->heal_at)
        cut = self->heal_at;
    const struct node *node = &self->nodes[n];
    return later_of(later_of(self->granted_at, node->led_at), later_of(node->frozen_until, cut));
}

/* A shard gives out its own share.  A scheduler whose lease went to another one hears of it. */
static void
check_grants(struct world *self, uint32_t n, const struct dz_msg_mesh *from, struct dz_list grants)
{
    const struct node *node = &self->nodes[n];
    struct dz_item_grant item;
    dz_us split_us = self->now - split_since(self, n);
    dz_us most_us = SPLIT_MAX_US + patience_among(&self->opt);
    if (grants.count > 0 && node->shard_total < 2 && split_us > most_us &&
        self->lease.epoch.n > from->epoch_n && store_is_reachable(self, n))
        world_break(self, "scheduler %u goes on for %" PRId64 " us after another has the lease", n,
                    split_us);
    while (node->shard_total > 1 && dz_grant_next(&grants, &item))
        if (item.test < node->own_total &&
            dz_shard_of(node->own_ids[item.test], node->shard_total) != node->shard_index)
            world_break(self, "shard %u runs test %u of another one", node->shard_index,
                        node->own[item.test]);
}

static void
took(struct world *self, enum measure measure, dz_us since)
{
    if (self->took_us[measure] == 0)
        self->took_us[measure] = self->now > since ? self->now - since : 1;
}

/* After the lone fault. */
static void
measure_assign(struct world *self, uint32_t to, const struct dz_msg_mesh *from,
               struct dz_list grants)
{
    enum lone lone = self->lone_at > 0 ? self->opt.lone : LONE_NONE;
    struct dz_item_grant item;
    /* With tests, or "nothing": maybe all that the others have not begun is in their hands. */
    if (lone == LONE_SCHEDULER_DIES)
        took(self, MEASURE_RESUMED_DEAD, self->lone_at);
    if (lone == LONE_SCHEDULER_STOPS && from->epoch_n > self->lone_n)
        took(self, MEASURE_RESUMED_STOPPED, self->lone_at);
    if ((lone != LONE_VASSAL_DIES && lone != LONE_VASSAL_STOPS) || to == self->lone_node)
        return;
    while (dz_grant_next(&grants, &item))
        if (self->lone_tests[node_test(self, to, (uint32_t) item.test)])
            took(self, lone == LONE_VASSAL_DIES ? MEASURE_MOVED_DEAD : MEASURE_MOVED_STOPPED,
                 self->lone_at);
}

void
oracle_loses(struct world *self, uint32_t n, uint64_t node)
{
    waste_lost(self, n, (uint32_t) node - 1);
    bool dies = self->opt.lone == LONE_VASSAL_DIES;
    if (self->lone_at > 0 && node == self->lone_node + 1 &&
        (dies || self->opt.lone == LONE_VASSAL_STOPS))
        took(self, dies ? MEASURE_FREED_DEAD : MEASURE_FREED_STOPPED, self->lone_at);
}

/* A scheduler speaks only under a number that is on its disk, and calls nothing counted that its
 * ledger does not have. */
void
oracle_coord_sends(struct world *self, uint32_t n, uint32_t to, struct dz_slice frame)
{
    struct dz_msg_mesh from;
    struct dz_msg body;
    struct node *node = &self->nodes[n];
    if (!open_frame(frame, &from, &body)) {
        world_break(self, "the scheduler sends what nobody can read");
        return;
    }
    char who[64];
    (void) snprintf(who, sizeof(who), "scheduler %u to inc %" PRIu64, n, from.to_inc);
    show(self, who, &from, &body);
    if (from.epoch_n > node->disk_n)
        world_break(self, "epoch %" PRIu64 " is used before it is on disk", from.epoch_n);
    struct dz_epoch epoch = { from.epoch_n, from.epoch_node, from.epoch_inc };
    if (body.id == DZ_MSG_mesh_lead)
        waste_session(self, n, to, from.session);
    if (body.id == DZ_MSG_mesh_assign) {
        waste_grants(self, to, &epoch, body.as.mesh_assign.grants);
        check_grants(self, n, &from, body.as.mesh_assign.grants);
        measure_assign(self, to, &from, body.as.mesh_assign.grants);
    }
    if (body.id != DZ_MSG_mesh_rack)
        return;
    struct dz_list racks = body.as.mesh_rack.racks;
    size_t rows = self->store.count + node->ledger.count;
    if (racks.count > rows && results_said_to_count(&self->nodes[to], racks) > rows)
        world_break(self, "the scheduler says that more is counted than the ledger holds");
}

static bool
is_in_spool(const struct node *node, uint64_t exec)
{
    for (size_t i = 0; i < node->spool_len; i++)
        if (node->spool[i].outcome.exec == exec && node->spool[i].is_durable)
            return true;
    return false;
}

static bool
has_other_member(const struct world *self, uint32_t n)
{
    for (uint32_t m = 0; m < self->opt.nodes; m++) {
        const char *state = coord_node_text(self->nodes[n].coord, m + 1);
        if (m != n && (strcmp(state, "MEMBER") == 0 || strcmp(state, "DRAINED") == 0))
            return true;
    }
    return false;
}

/* Before the seal, what only this node's disk has lies on another member's as well. */
void
oracle_coord_seals(struct world *self, uint32_t n)
{
    const struct node *node = &self->nodes[n];
    dz_us since = later_of(self->lost_at, node->frozen_until);
    bool is_unknown = self->lost_at > 0 && self->now - since < UNNOTICED_US;
    if (self->opt.mode != MODE_STORE || self->opt.odd_nodes > 0 || is_unknown ||
        self->opt.restores > 0 || !has_other_member(self, n))
        return;
    for (size_t i = 0; i < node->ledger.count; i++) {
        const struct row *row = &node->ledger.rows[i];
        bool is_safe = row->word != DZ_WORD_COUNTED || row->coord_life != node->coord_life ||
                       ledger_find(&self->store, row->exec) != NULL;
        for (uint32_t m = 0; m < self->opt.nodes && !is_safe; m++)
            is_safe = m != n && is_in_spool(&self->nodes[m], row->exec);
        if (!is_safe)
            world_break(self, "node %u seals, and execution %" PRIu64 " has a single copy", n,
                        row->exec);
    }
}

/* In one life of a node the greatest number that it knows does not become less. */
static void
says_number(struct world *self, uint32_t n, uint64_t *before, uint64_t number)
{
    if (number < *before)
        world_break(self, "node %u knew of epoch %" PRIu64 " and forgot it: %" PRIu64, n, *before,
                    number);
    *before = number;
}

void
oracle_vassal_asks(struct world *self, uint32_t n, const struct dz_lease_ask *ask)
{
    if (ask->kind == DZ_LEASE_CLAIM || ask->kind == DZ_LEASE_WHO)
        says_number(self, n, &self->nodes[n].asked_n, ask->me.n);
}

/* It obeys whom it tells what it holds. */
static void
obeys(struct world *self, uint32_t n, const struct dz_msg_mesh *from)
{
    struct node *node = &self->nodes[n];
    struct dz_epoch epoch = { from->epoch_n, from->epoch_node, from->epoch_inc };
    bool is_back = n == self->lone_node && self->lone_until > 0 && self->now >= self->lone_until;
    if (is_back)
        took(self, MEASURE_BACK, self->lone_until);
    if (dz_epoch_cmp(&epoch, &node->obeyed) == 0)
        return; /* it is said again, or another session */
    node->obeyed = epoch;
    bool is_over = epoch.node == node->id && !node->coord;
    bool is_past =
        is_over || dz_epoch_cmp(&epoch, &node->followed) != 0; /* its STATE had to wait */
    if (from->epoch_n < node->said_then && !is_past)
        world_break(self, "node %u is led by epoch %" PRIu64 " and knew of %" PRIu64, n,
                    from->epoch_n, node->said_then);
}

/* Journal before you tell. */
void
oracle_vassal_sends(struct world *self, uint32_t n, struct dz_slice frame)
{
    struct dz_msg_mesh from;
    struct dz_msg body;
    if (!open_frame(frame, &from, &body)) {
        world_break(self, "node %u sends what nobody can read", n);
        return;
    }
    char who[48];
    (void) snprintf(who, sizeof(who), "node %u", n);
    show(self, who, &from, &body);
    if (body.id == DZ_MSG_mesh_hello)
        says_number(self, n, &self->nodes[n].said_n, body.as.mesh_hello.seen_n);
    if (body.id == DZ_MSG_mesh_state || body.id == DZ_MSG_mesh_own)
        obeys(self, n, &from);
    if (body.id != DZ_MSG_mesh_result)
        return;
    const struct node *node = &self->nodes[n];
    struct dz_item_outcome item;
    for (struct dz_list list = body.as.mesh_result.outcomes; dz_outcome_next(&list, &item);) {
        bool is_safe = false;
        for (size_t i = 0; i < node->spool_len; i++)
            is_safe =
                is_safe || (node->spool[i].record == item.record && node->spool[i].is_durable &&
                            node->spool[i].outcome.exec == item.exec);
        if (!is_safe)
            world_break(self, "node %u tells record %" PRIu64 " before it is journaled", n,
                        item.record);
    }
}

/* No command of a lower epoch has an effect. */
void
oracle_vassal_obeys(struct world *self, uint32_t n, struct dz_slice frame,
                    const struct vassal_effects *fx)
{
    const struct node *node = &self->nodes[n];
    struct dz_msg_mesh from;
    struct dz_msg body;
    if (!open_frame(frame, &from, &body))
        return;
    struct dz_epoch epoch = { from.epoch_n, from.epoch_node, from.epoch_inc };
    bool is_outside = body.id == DZ_MSG_mesh_nack || body.id == DZ_MSG_mesh_err;
    if (from.to == DZ_MESH_TO_SCHEDULER || is_outside)
        return;
    if (from.to_inc == node->inc && dz_epoch_cmp(&epoch, &node->obeyed) >= 0)
        return;
    for (size_t i = 0; i < fx->count; i++)
        if (fx->items[i].kind != VASSAL_FX_SEND)
            world_break(self, "node %u obeys %s of epoch %" PRIu64 ", its own is %" PRIu64, n,
                        dz_msg_name(body.id), from.epoch_n, node->obeyed.n);
}

/* A number is granted once. */
void
oracle_granted(struct world *self, const struct dz_lease_ask *ask,
               const struct dz_lease_reply *reply)
{
    if (reply->word != DZ_LEASE_GRANTED)
        return;
    if (ask->kind == DZ_LEASE_CLAIM && reply->epoch.n <= self->granted_n)
        world_break(self, "epoch %" PRIu64 " is granted again", reply->epoch.n);
    if (reply->epoch.n > self->granted_n)
        self->granted_at = self->now;
    self->granted_n = reply->epoch.n;
}

/* What a spool gives up is in the store, or was before the store was restored from an older copy. */
void
oracle_stored(struct world *self, uint32_t n, uint64_t exec)
{
    if (ledger_find(&self->store, exec) || self->store.is_sealed || self->execs[exec].was_stored)
        return; /* after the seal it would be history */
    world_break(self, "node %u gives up execution %" PRIu64 ", which the store does not have", n,
                exec);
}

/* Where nothing goes wrong, a worker is told what comes next, at the latest when no other worker
 * has anything left that it could take.  What must be alone waits for what runs beside it. */
void
oracle_worker_waited(struct world *self, uint32_t n, dz_us waited)
{
    dz_us most_us =
        WAIT_MAX_US + (self->opt.has_needs ? self->longest_us : 0) + patience_among(&self->opt);
    if (self->opt.is_fault_free && waited > most_us)
        world_break(self, "a worker of node %u waited %" PRId64 " us for an answer", n, waited);
}

/* What was executed here is in its spool or in the store; at the regular end, the scheduler's word on
 * each of them was heard. */
void
oracle_vassal_leaves(struct world *self, uint32_t n)
{
    const struct node *node = &self->nodes[n];
    for (size_t r = 0; r < node->spool_len; r++)
        if (node->end.is_sealed && !node->spool[r].is_known && node->spool[r].outcome.origin == 0)
            world_break(self, "node %u leaves, and record %" PRIu64 " was never acknowledged", n,
                        node->spool[r].record);
    for (uint32_t s = 0; s < self->opt.slots; s++) {
        const struct worker *worker = &node->workers[s];
        for (size_t i = 0; i < worker->ring_len; i++) {
            bool is_safe = ledger_find(&self->store, worker->ring[i].exec) != NULL;
            for (size_t r = 0; r < node->spool_len && !is_safe; r++)
                is_safe = node->spool[r].outcome.exec == worker->ring[i].exec;
            if (!is_safe && !self->is_stopped && self->leaves == 0 && !node->end.is_late)
                world_break(self, "node %u leaves, and execution %" PRIu64 " is nowhere", n,
                            worker->ring[i].exec);
        }
    }
}

/* ------------------------------------------------------------------ at every test */

static bool
has_need(const struct world *self, uint32_t test, uint8_t need)
{
    struct dz_slice tie = self->tests[test].group;
    for (size_t i = 1; tie.len > 0 && tie.ptr[0] == '!' && tie.ptr[i] != ':'; i++)
        if (tie.ptr[i] == need)
            return true;
    return false;
}

static bool
is_running(const struct worker *worker)
{
    return worker->state == WORKER_CALL || worker->state == WORKER_NEXT;
}

/* What a node has a result of, which nobody acknowledged, is not run there again. */
void
oracle_feeds(struct world *self, uint32_t n, uint32_t local)
{
    const struct node *node = &self->nodes[n];
    for (size_t i = 0; i < node->spool_len; i++) {
        const struct spooled *it = &node->spool[i];
        if (it->outcome.what.test == local && it->outcome.origin == 0 && !it->is_known &&
            it->outcome.result != DZ_RESULT_CRASHED)
            world_break(self, "node %u is to run test %u again, which it has a result of", n,
                        node->own[local]);
    }
}

/* What must be alone on its node is.  Where nothing goes wrong, what is tied runs in one worker. */
void
oracle_begins(struct world *self, uint32_t n, uint32_t s, uint32_t test)
{
    if (has_need(self, test, 'm') && s != 0)
        world_break(self, "test %u of the main worker runs in slot %u", test, s);
    struct dz_slice tie = self->tests[test].group;
    for (uint32_t m = 0; m < self->opt.nodes; m++) {
        for (uint32_t other = 0; other < self->opt.slots; other++) {
            const struct worker *worker = &self->nodes[m].workers[other];
            if (!is_running(worker) || (m == n && other == s))
                continue;
            uint32_t runs = node_test(self, m, worker->running);
            if (m == n && (has_need(self, test, 'x') || has_need(self, runs, 'x')))
                world_break(self, "node %u runs tests %u and %u, and one of them must be alone", n,
                            test, runs);
            if (self->opt.is_fault_free && tie.len > 0 && dz_slice_eq(tie, self->tests[runs].group))
                world_break(self, "tests %u and %u are tied and run at once", test, runs);
        }
    }
}
