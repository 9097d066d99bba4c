/* waste.c - what may run more than once.
 *
 * A test is executed once, and once more for each time that the scheduler had a reason not to know
 * of it.  There are five such reasons, and each excuses exactly the tests that it concerns:
 *
 *   lost     it gives a node up, or that leaves: what ran, waited or was on its way there, and what had
 *            been finished there and is not in the scheduler's ledger;
 *   session  a node begins another session without having been given up (its agent was replaced): the
 *            same, since what it held is free until its STATE and its results are there;
 *   ready    it begins to give out tests: the same, of every node that has not told it its STATE;
 *   fenced   it goes on although one with a greater epoch gives out tests: what it still gives out;
 *   restore  the store forgot results. */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/world.h"

enum { UNTOLD_US = 1800 * 1000 }; /* results that were announced are not waited for any longer */

static bool
is_member(const struct world *self, uint32_t n, uint32_t x)
{
    const char *state = coord_node_text(self->nodes[n].coord, x + 1);
    return strcmp(state, "MEMBER") == 0 || strcmp(state, "DRAINED") == 0;
}

/* It lies in the ring of a worker that lives, or in the spool.  What is stored is told only to a scheduler
 * that cannot read the store; a copy that was taken since it leads, from another one, is not told to it. */
static bool
has_result(const struct world *self, uint32_t x, uint64_t exec, const struct node *scheduler)
{
    const struct node *node = &self->nodes[x];
    for (size_t i = 0; i < node->spool_len; i++) {
        const struct spooled *it = &node->spool[i];
        bool is_old = it->outcome.origin == 0 || it->at < scheduler->led_at;
        if (it->outcome.exec == exec && is_old && (scheduler->is_blind || !it->is_stored))
            return true;
    }
    for (uint32_t s = 0; s < self->opt.slots; s++)
        for (size_t i = 0; i < node->workers[s].ring_len; i++)
            if (node->workers[s].ring[i].exec == exec)
                return true;
    return false;
}

/* Some member of this scheduler will tell it. */
static bool
is_told(const struct world *self, uint32_t n, uint64_t exec)
{
    for (uint32_t m = 0; m < self->opt.nodes; m++)
        if (is_member(self, n, m) && has_result(self, m, exec, &self->nodes[n]))
            return true;
    return false;
}

/* What a node holds, by what it does and by what it was given. */
static void
add_held(const struct world *self, uint32_t x, uint8_t *tests)
{
    const struct node *node = &self->nodes[x];
    for (uint32_t s = 0; s < self->opt.slots; s++) {
        const struct worker *worker = &node->workers[s];
        if (worker->has_next)
            tests[node_test(self, x, worker->next)] = 1;
        for (size_t i = 0; i < worker->queue_len; i++)
            tests[node_test(self, x, worker->queue[i])] = 1;
    }
    for (uint32_t t = 0; t < self->opt.tests; t++)
        if (self->grants[t].is_given && self->grants[t].to == x)
            tests[t] = 1;
}

/* What ran or runs on node x (or on any, NODES_MAX), and nobody will tell. */
static void
add_begun(const struct world *self, uint32_t n, uint32_t x, uint8_t *tests)
{
    for (size_t i = 0; i < self->exec_count; i++) {
        const struct exec *exec = &self->execs[i];
        if (exec->node != x && x != NODES_MAX)
            continue;
        if (exec->end == EXEC_FINISHED
                ? !is_told(self, n, i)
                : exec->end == EXEC_RUNNING && !is_member(self, n, exec->node))
            tests[exec->test] = 1;
    }
}

/* What is counted, as this scheduler knows, is given to nobody. */
static void
excuse(struct world *self, uint32_t n, uint8_t *tests)
{
    for (uint32_t t = 0; t < self->opt.tests; t++)
        self->excused[t] += tests[t] && !self->nodes[n].knows[t];
    free(tests);
}

static uint8_t *
no_tests(const struct world *self)
{
    return dz_alloc0(self->opt.tests + 1, 1);
}

void
waste_lost(struct world *self, uint32_t n, uint32_t x)
{
    self->nodes[n].sessions[x] = 0;
    if (!self->nodes[n].was_ready)
        return; /* it will be looked at then */
    uint8_t *tests = no_tests(self);
    add_held(self, x, tests);
    add_begun(self, n, x, tests);
    excuse(self, n, tests);
}

void
waste_session(struct world *self, uint32_t n, uint32_t x, uint64_t session)
{
    uint64_t before = self->nodes[n].sessions[x];
    if (before > 0 && session > before)
        waste_lost(self, n, x);
    self->nodes[n].sessions[x] = session;
}

void
waste_ready(struct world *self, uint32_t n)
{
    const struct dz_epoch epoch = { self->nodes[n].lead_n, self->nodes[n].id, self->nodes[n].inc };
    self->nodes[n].was_ready = true;
    uint8_t *tests = no_tests(self);
    bool is_untold = self->now - self->nodes[n].led_at >= UNTOLD_US;
    for (uint32_t x = 0; x < self->opt.nodes; x++)
        if (!is_member(self, n, x))
            add_held(self, x, tests);
    add_begun(self, n, NODES_MAX, tests);
    for (size_t i = 0; i < self->exec_count && is_untold; i++)
        if (self->execs[i].end == EXEC_FINISHED)
            tests[self->execs[i].test] = 1;
    excuse(self, n, tests);
    if (dz_epoch_cmp(&epoch, &self->ready) > 0)
        self->ready = epoch;
}

void
waste_grants(struct world *self, uint32_t to, const struct dz_epoch *epoch, struct dz_list grants)
{
    struct dz_item_grant item;
    while (dz_grant_next(&grants, &item)) {
        uint32_t test = node_test(self, to, (uint32_t) item.test);
        struct granted *last = &self->grants[test];
        bool is_repeat = last->is_given && last->to == to && dz_epoch_cmp(&last->by, epoch) == 0;
        if (!is_repeat && dz_epoch_cmp(epoch, &self->ready) < 0)
            self->excused[test]++;
        *last = (struct granted){ .is_given = true, .to = to, .by = *epoch };
    }
}

void
waste_restored(struct world *self, const struct ledger *before)
{
    for (uint32_t t = 0; t < self->opt.tests; t++)
        self->excused[t] += before->counted[t] >= 0 && self->store.counted[t] < 0;
}

void
waste_judge(struct world *self)
{
    uint64_t *finished = dz_alloc0(self->opt.tests + 1, sizeof(*finished));
    for (size_t i = 0; i < self->exec_count; i++)
        finished[self->execs[i].test] += self->execs[i].end == EXEC_FINISHED;
    for (uint32_t t = 0; t < self->opt.tests; t++) {
        uint64_t extra = finished[t] > 1 ? finished[t] - 1 : 0;
        self->wasted += extra;
        self->excuses += self->excused[t];
        if (extra > self->excused[t])
            world_break(self, "test %u was finished %u times, and %u are excused", t,
                        (unsigned) finished[t], self->excused[t] + 1);
    }
    free(finished);
    if (self->opt.is_fault_free && self->exec_count != ledger_count(&self->store))
        world_break(self, "without a fault, %zu executions for %u tests", self->exec_count,
                    (unsigned) ledger_count(&self->store));
}
