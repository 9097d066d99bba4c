/* oracle.c - what must be true, judged from outside of the cores. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/wire/frame.h"
#include "tests/sim/world.h"

enum {
    WAIT_MAX_US = 5 * 1000 * 1000, /* others may have tests to give up for so long */
    AHEAD_US =
        2 * 400 * 1000, /* of tests that a worker may have before it: it goes on without us */
    UNNOTICED_US = 2000 * 1000,  /* the loss of a node may be unknown for so long */
    RESUME_MAX_US = 1000 * 1000, /* a scheduler's process is killed: the next one gives out tests */
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

static struct node *
node_of_inc(struct world *self, uint64_t inc)
{
    for (uint32_t n = 0; n < self->opt.nodes; n++)
        if (self->nodes[n].inc == inc)
            return &self->nodes[n];
    return NULL;
}

static bool
is_same_result(struct node *teller, const struct dz_item_rack *a, const struct dz_item_rack *b)
{
    if (a->record == b->record)
        return true;
    const struct spooled *one = teller ? spool_of(teller, a->record) : NULL;
    const struct spooled *other = teller ? spool_of(teller, b->record) : NULL;
    return one && other && one->outcome.exec == other->outcome.exec;
}

/* How many results count, as it says.  One may be there twice: told twice, or also as a copy. */
static uint64_t
results_said_to_count(struct node *teller, struct dz_list racks)
{
    struct dz_item_rack item, before;
    uint64_t count = 0;
    for (struct dz_list rest = racks; dz_rack_next(&rest, &item);) {
        bool is_new = item.word == DZ_WORD_COUNTED;
        struct dz_list seen = racks;
        for (uint32_t left = racks.count - rest.count - 1; is_new && left > 0; left--) {
            (void) dz_rack_next(&seen, &before);
            is_new = before.word != item.word || !is_same_result(teller, &before, &item);
        }
        count += is_new;
    }
    return count;
}

/* A scheduler speaks only under a number that is on its disk, and calls nothing counted that its
 * ledger does not have. */
void
oracle_coord_sends(struct world *self, uint32_t n, struct dz_slice frame)
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
    /* With tests, or "nothing": maybe all that the others have not begun is in their hands. */
    if (body.id == DZ_MSG_mesh_assign && self->killed_at > 0 && self->resumed_us == 0)
        self->resumed_us = self->now - self->killed_at;
    if (body.id != DZ_MSG_mesh_rack)
        return;
    struct dz_list racks = body.as.mesh_rack.racks;
    size_t rows = self->store.count + node->ledger.count;
    if (racks.count > rows && results_said_to_count(node_of_inc(self, from.to_inc), racks) > rows)
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
    bool is_unknown = self->lost_at > 0 && self->now - self->lost_at < UNNOTICED_US;
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
    struct node *node = &self->nodes[n];
    struct dz_msg_mesh from;
    struct dz_msg body;
    if (!open_frame(frame, &from, &body))
        return;
    struct dz_epoch epoch = { from.epoch_n, from.epoch_node, from.epoch_inc };
    bool is_outside = body.id == DZ_MSG_mesh_nack || body.id == DZ_MSG_mesh_err;
    if (from.to == DZ_MESH_TO_SCHEDULER || is_outside)
        return;
    if (from.to_inc != node->inc || dz_epoch_cmp(&epoch, &node->obeyed) < 0) {
        for (size_t i = 0; i < fx->count; i++)
            if (fx->items[i].kind != VASSAL_FX_SEND)
                world_break(self, "node %u obeys %s of epoch %" PRIu64 ", its own is %" PRIu64, n,
                            dz_msg_name(body.id), from.epoch_n, node->obeyed.n);
        return;
    }
    bool is_answered = false; /* a LEAD that is taken is answered with STATE or OWN */
    for (size_t i = 0; i < fx->count; i++)
        is_answered = is_answered || fx->items[i].kind == VASSAL_FX_SEND;
    if (body.id == DZ_MSG_mesh_lead && is_answered)
        node->obeyed = epoch;
}

/* What a spool gives up is in the store, or (which was restored from an older copy) it can be sent
 * there again. */
void
oracle_stored(struct world *self, uint32_t n, uint64_t exec)
{
    if (ledger_find(&self->store, exec) || self->store.is_sealed)
        return; /* after the seal it would be history */
    for (uint32_t m = 0; m < self->opt.nodes && self->has_backup; m++)
        if (ledger_find(&self->nodes[m].ledger, exec))
            return;
    world_break(self, "node %u gives up execution %" PRIu64 ", which the store does not have", n,
                exec);
}

/* Where nothing goes wrong, a worker is told what comes next, at the latest when no other worker
 * has anything left that it could take. */
void
oracle_worker_waited(struct world *self, uint32_t n, dz_us waited)
{
    if (self->opt.is_fault_free && waited > WAIT_MAX_US)
        world_break(self, "a worker of node %u waited %" PRId64 " us for an answer", n, waited);
}

/* What was executed here is in its spool or in the store; at the regular end, the scheduler's word on
 * each of them was heard. */
void
oracle_vassal_leaves(struct world *self, uint32_t n)
{
    const struct node *node = &self->nodes[n];
    for (size_t r = 0; r < node->spool_len; r++)
        if (node->account.is_sealed && !node->spool[r].is_known &&
            node->spool[r].outcome.origin == 0)
            world_break(self, "node %u leaves, and record %" PRIu64 " was never acknowledged", n,
                        node->spool[r].record);
    for (uint32_t s = 0; s < self->opt.slots; s++) {
        const struct worker *worker = &node->workers[s];
        for (size_t i = 0; i < worker->ring_len; i++) {
            bool is_safe = ledger_find(&self->store, worker->ring[i].exec) != NULL;
            for (size_t r = 0; r < node->spool_len && !is_safe; r++)
                is_safe = node->spool[r].outcome.exec == worker->ring[i].exec;
            if (!is_safe && !self->is_stopped && self->leaves == 0 && !node->account.is_late)
                world_break(self, "node %u leaves, and execution %" PRIu64 " is nowhere", n,
                            worker->ring[i].exec);
        }
    }
}

/* ------------------------------------------------------------------ at the end */

static unsigned
deaths_of(const struct world *self, uint32_t test)
{
    unsigned deaths = 0;
    for (size_t i = 0; i < self->exec_count; i++)
        deaths += self->execs[i].test == test && self->execs[i].end == EXEC_KILLED &&
                  !self->execs[i].is_timeout;
    return deaths;
}

static void
check_row(struct world *self, const struct row *row)
{
    if (row->exec >= self->exec_count || self->execs[row->exec].test != row->test) {
        world_break(self, "test %u: an execution is counted that never was", row->test);
        return;
    }
    const struct exec *exec = &self->execs[row->exec];
    bool is_true = row->result == DZ_RESULT_CRASHED ? exec->end == EXEC_KILLED && !exec->is_timeout
                   : row->result == DZ_RESULT_TIMEOUT ? exec->is_timeout
                                                      : exec->end == EXEC_FINISHED;
    if (!is_true)
        world_break(self, "test %u is counted as %s, which is not what happened", row->test,
                    dz_result_name((enum dz_result) row->result));
    if (row->result == DZ_RESULT_CRASHED && row->word == DZ_WORD_COUNTED &&
        deaths_of(self, row->test) < self->opt.strikes)
        world_break(self, "test %u is counted CRASHED after %u deaths", row->test,
                    deaths_of(self, row->test));
}

/* Has this node, or the job that it took part in, answered for the test? */
static bool
is_answered_for(const struct world *self, const struct node *node, uint32_t test)
{
    if (!node->has_left || !node->account.is_sealed || node->account.not_run > 0)
        return false;
    bool is_own = false;
    for (uint32_t t = 0; t < node->own_total; t++)
        is_own = is_own || node->own[t] == test;
    if (!node->account.is_shard)
        return is_own;
    unsigned shard = coord_shard_of(self->tests[test].id, self->opt.nodes);
    return is_own && shard == (unsigned) (node - self->nodes);
}

static void
check_ledger(struct world *self)
{
    const struct ledger *ledger = &self->store;
    uint8_t *counted = dz_alloc0(self->opt.tests + 1, 1);
    for (size_t i = 0; i < ledger->count; i++) {
        check_row(self, &ledger->rows[i]);
        if (ledger->rows[i].word == DZ_WORD_COUNTED && counted[ledger->rows[i].test]++)
            world_break(self, "test %u is counted twice", ledger->rows[i].test);
    }
    for (uint32_t t = 0; t < self->opt.tests; t++)
        for (uint32_t n = 0; n < self->opt.nodes && !counted[t]; n++)
            if (is_answered_for(self, &self->nodes[n], t))
                world_break(self, "test %u is not counted, and node %u believes that it is", t, n);
    free(counted);
}

/* Nobody but a stop, a node that alone had the test, or the loss of all who could run it, leaves a
 * test uncounted. */
static void
check_complete(struct world *self)
{
    bool may_miss = self->is_stopped || self->opt.absent > 0 || self->opt.odd_nodes > 0;
    unsigned ended = 0;
    for (uint32_t n = 0; n < self->opt.nodes; n++) {
        const struct node *node = &self->nodes[n];
        bool has_part = node->has_left && node->account.is_sealed;
        ended += has_part;
        if (has_part && node->account.not_run > 0 && !may_miss)
            world_break(self,
                        "node %u: %" PRIu64 " tests were not run, and nobody had stopped the job",
                        n, node->account.not_run);
    }
    if (ended == 0 && !self->is_stopped && !self->store.is_sealed && self->leaves == 0)
        world_break(self, "everybody has left, and nobody has sealed the job");
}

/* One kill of a worker re-executes nothing that had finished; one of a process what its slots held.
 * Silence (a lost, frozen or cut-off node) costs what was running, and a second scheduler at most
 * all of it for each time that there were two. */
static uint64_t
waste_allowed(const struct world *self)
{
    const struct options *opt = &self->opt;
    uint64_t queued = 3 + (opt->mean_us < 1000 ? 128 : (uint64_t) (AHEAD_US / opt->mean_us));
    uint64_t allowed = self->lost_results + self->kills_agent * opt->slots * queued;
    bool has_silence = self->kills_node + self->freezes + self->leaves + opt->cuts > 0 ||
                       opt->loss > 0 || opt->delay_us > 40000 || !opt->has_resets;
    if (has_silence)
        allowed += (uint64_t) (2 + self->kills_agent + self->kills_node + self->freezes +
                               self->leaves + opt->cuts) *
                   4 * opt->nodes * opt->slots * 64;
    bool may_split = opt->mode == MODE_STORE && (opt->store_faults > 0 || opt->is_store_late ||
                                                 opt->is_store_away || opt->restores > 0);
    if (may_split || has_silence)
        allowed += (uint64_t) opt->tests * (self->leads + 1);
    return allowed;
}

static void
check_waste(struct world *self)
{
    uint64_t finished = 0;
    for (size_t i = 0; i < self->exec_count; i++)
        finished += self->execs[i].end == EXEC_FINISHED;
    uint64_t needed = ledger_count(&self->store);
    uint64_t bound = needed + waste_allowed(self);
    if (finished > bound)
        world_break(
            self, "%" PRIu64 " executions finished for %" PRIu64 " tests, %" PRIu64 " are allowed",
            finished, needed, bound);
    if (self->opt.is_fault_free && self->exec_count != needed)
        world_break(self, "without a fault, %zu executions for %" PRIu64 " tests", self->exec_count,
                    needed);
}

/* Where nothing goes wrong but one scheduler's death, the others run nothing twice: the next one waits
 * for what they hold and have finished. */
static void
check_survivors(struct world *self)
{
    uint8_t *runs = dz_alloc0(self->opt.tests + 1, 1);
    for (size_t i = 0; i < self->exec_count && self->killed_at > 0; i++) {
        const struct exec *exec = &self->execs[i];
        bool is_survivor = self->nodes[exec->node].life == 1 && exec->end == EXEC_FINISHED;
        if (is_survivor && runs[exec->test]++)
            world_break(self, "test %u was run twice by nodes that nothing happened to",
                        exec->test);
    }
    free(runs);
}

static void
check_latency(struct world *self)
{
    if (self->resumed_us > RESUME_MAX_US)
        world_break(self, "%" PRId64 " us from the death of the scheduler to the next test",
                    self->resumed_us);
}

void
oracle_end(struct world *self)
{
    check_ledger(self);
    check_complete(self);
    check_waste(self);
    check_latency(self);
    if (self->opt.is_kill_only)
        check_survivors(self);
}
