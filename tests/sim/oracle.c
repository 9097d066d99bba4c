/* oracle.c - what must be true, judged from outside of the cores. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/wire/frame.h"
#include "tests/sim/world.h"

enum {
    WAIT_MAX_US = 5 * 1000 * 1000, /* others may have tests to give up for so long */
    SETTLED_US = 1000 * 1000,
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

/* A scheduler speaks only under a number that is on its disk, and calls nothing counted that the
 * ledger does not have. */
void
oracle_coord_sends(struct world *self, struct dz_slice frame)
{
    struct dz_msg_mesh from;
    struct dz_msg body;
    if (!open_frame(frame, &from, &body)) {
        world_break(self, "the scheduler sends what nobody can read");
        return;
    }
    char who[48];
    (void) snprintf(who, sizeof(who), "scheduler to inc %" PRIu64, from.to_inc);
    show(self, who, &from, &body);
    if (from.epoch_n > self->nodes[0].disk_n)
        world_break(self, "epoch %" PRIu64 " is used before it is on disk", from.epoch_n);
    if (body.id != DZ_MSG_mesh_rack)
        return;
    struct dz_item_rack item;
    uint64_t words = 0;
    for (struct dz_list list = body.as.mesh_rack.racks; dz_rack_next(&list, &item);)
        words += item.word == DZ_WORD_COUNTED;
    if (words > self->ledger.count)
        world_break(self, "the scheduler says that more is counted than the ledger holds");
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
    if (from.to_inc != node->inc || from.epoch_n < node->obeyed_n) {
        for (size_t i = 0; i < fx->count; i++)
            if (fx->items[i].kind != VASSAL_FX_SEND)
                world_break(self, "node %u obeys %s of epoch %" PRIu64 ", its own is %" PRIu64, n,
                            dz_msg_name(body.id), from.epoch_n, node->obeyed_n);
    } else if (body.id == DZ_MSG_mesh_lead && from.epoch_n > node->obeyed_n) {
        node->obeyed_n = from.epoch_n;
    }
}

static const struct row *
row_of(const struct world *self, uint64_t exec)
{
    for (size_t i = 0; i < self->ledger.count; i++)
        if (self->ledger.rows[i].exec == exec)
            return &self->ledger.rows[i];
    return NULL;
}

/* Where nothing goes wrong, a worker is told what comes next, at the latest when no other worker
 * has anything left that it could take. */
void
oracle_worker_waited(struct world *self, uint32_t n, dz_us waited)
{
    if (self->opt.is_fault_free && waited > WAIT_MAX_US)
        world_break(self, "a worker of node %u waited %" PRId64 " us for an answer", n, waited);
}

/* What was executed here and read by the agent is in its spool or in the ledger; at the regular
 * end, the scheduler's word on each of them was heard. */
void
oracle_vassal_leaves(struct world *self, uint32_t n, bool is_sealed)
{
    const struct node *node = &self->nodes[n];
    for (size_t r = 0; r < node->spool_len; r++)
        if (is_sealed && !node->spool[r].is_known)
            world_break(self, "node %u leaves, and record %" PRIu64 " was never acknowledged", n,
                        node->spool[r].record);
    for (uint32_t s = 0; s < self->opt.slots; s++) {
        const struct worker *worker = &node->workers[s];
        for (size_t i = 0; i < worker->ring_len; i++) {
            bool is_spooled = row_of(self, worker->ring[i].exec) != NULL;
            for (size_t r = 0; r < node->spool_len && !is_spooled; r++)
                is_spooled = node->spool[r].outcome.exec == worker->ring[i].exec;
            if (!is_spooled && !self->is_stopped && self->leaves == 0)
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

static void
check_ledger(struct world *self)
{
    const struct ledger *ledger = &self->ledger;
    uint8_t *counted = dz_alloc0(self->opt.tests + 1, 1);
    for (size_t i = 0; i < ledger->count; i++) {
        check_row(self, &ledger->rows[i]);
        if (ledger->rows[i].word == DZ_WORD_COUNTED && counted[ledger->rows[i].test]++)
            world_break(self, "test %u is counted twice", ledger->rows[i].test);
    }
    bool may_miss = self->is_stopped || self->opt.absent > 0 || self->account.not_run > 0;
    for (uint32_t t = 0; t < self->opt.tests && !may_miss; t++)
        if (!counted[t])
            world_break(self, "test %u is not counted", t);
    free(counted);
}

static void
check_account(struct world *self)
{
    const struct coord_account *it = &self->account;
    if (it->collected == 0 && self->opt.tests > 0)
        return; /* ended by finding a ledger that was sealed before */
    if (!it->agrees || it->counted != ledger_count(&self->ledger) ||
        it->counted + it->not_run != it->collected || it->digest != ledger_digest(&self->ledger))
        world_break(self, "the account does not agree with the ledger");
    bool may_miss = self->is_stopped || self->opt.absent > 0;
    if (it->not_run > 0 && !may_miss)
        world_break(self, "%" PRIu64 " tests were not run, and nobody had stopped the job",
                    it->not_run);
    if (!self->nodes[0].has_left)
        world_break(self, "the scheduler ended before its own node");
}

/* One kill of a worker re-executes nothing that had finished, one of an agent two tests per worker
 * at most.  Silence (a lost, frozen or cut-off node) costs what its slots held. */
static void
check_waste(struct world *self)
{
    uint64_t finished = 0;
    for (size_t i = 0; i < self->exec_count; i++)
        finished += self->execs[i].end == EXEC_FINISHED;
    uint64_t needed = ledger_count(&self->ledger);
    uint64_t bound = needed + self->lost_results +
                     (self->opt.nodes > 1 ? self->kills_agent * self->opt.slots * 2 : 0);
    bool has_silence = (self->opt.nodes > 1 && self->kills_agent > 0) ||
                       self->kills_node + self->freezes + self->leaves > 0 || self->opt.loss > 0 ||
                       self->opt.delay_us > 40000;
    if (has_silence)
        bound += (uint64_t) (2 + self->kills_node + self->freezes + self->leaves) * 4 *
                 self->opt.nodes * self->opt.slots * 64;
    if (finished > bound)
        world_break(self, "%" PRIu64 " executions finished for %" PRIu64 " tests", finished,
                    needed);
    if (self->opt.is_fault_free && self->exec_count != self->opt.tests)
        world_break(self, "without a fault, %zu executions for %u tests", self->exec_count,
                    self->opt.tests);
}

static dz_us
later_of(dz_us a, dz_us b)
{
    return a > b ? a : b;
}

static dz_us
well_since(const struct node *node)
{
    return later_of(node->started_at, node->frozen_until);
}

/* Who was there, and well, for a while has ended with the job. */
static void
check_left_behind(struct world *self)
{
    for (uint32_t n = 0; n < self->opt.nodes; n++) {
        const struct node *node = &self->nodes[n];
        dz_us since = later_of(self->heal_at, well_since(node));
        since = later_of(since, well_since(&self->nodes[0])); /* the scheduler's, too */
        bool is_well = node->vassal && self->is_healed &&
                       self->now - since > SETTLED_US + 3 * self->opt.delay_us;
        if (is_well && !node->has_left)
            world_break(self, "node %u (%s) is left behind", n, vassal_state_text(node->vassal));
    }
}

void
oracle_end(struct world *self)
{
    check_left_behind(self);
    check_ledger(self);
    check_account(self);
    check_waste(self);
}
