/* judge.c - what must be true of a history that is over: the account, and what it cost. */
#include <inttypes.h>
#include <stdlib.h>

#include "shared/wire/meeting.h"
#include "tests/sim/world.h"

static const struct {
    const char *text;
    dz_us most_us;
} measures[MEASURES] = {
    [MEASURE_RESUMED_DEAD] = { "a scheduler's process dies: the next one gives out tests",
                               900 * 1000 }, /* a broken rule would make it 1 s */
    [MEASURE_RESUMED_STOPPED] = { "a scheduler is stopped: the next one gives out tests",
                                  3000 * 1000 },
    [MEASURE_FREED_DEAD] = { "a vassal's process dies: its tests are free", 300 * 1000 },
    [MEASURE_FREED_STOPPED] = { "a vassal is stopped: its tests are free", 1500 * 1000 },
    /* others may have work of their own before */
    [MEASURE_MOVED_DEAD] = { "a vassal's process dies: another node gets a test of its",
                             INT64_MAX },
    [MEASURE_MOVED_STOPPED] = { "a vassal is stopped: another node gets a test of its", INT64_MAX },
    [MEASURE_BACK] = { "a vassal that was stopped and given up goes on: it is led again",
                       400 * 1000 },
};

const char *
measure_text(enum measure measure)
{
    return measures[measure].text;
}

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
    if (!node->has_left || !node->end.is_sealed || node->end.account.not_run > 0)
        return false;
    bool is_own = false;
    for (uint32_t t = 0; t < node->own_total; t++)
        is_own = is_own || node->own[t] == test;
    if (!node->end.is_shard)
        return is_own;
    unsigned shard = dz_shard_of(self->tests[test].id, self->opt.nodes);
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
        bool has_part = node->has_left && node->end.is_sealed;
        ended += has_part;
        if (has_part && node->end.account.not_run > 0 && !may_miss)
            world_break(self,
                        "node %u: %" PRIu64 " tests were not run, and nobody had stopped the job",
                        n, node->end.account.not_run);
    }
    if (ended == 0 && !self->is_stopped && !self->store.is_sealed && self->leaves == 0)
        world_break(self, "everybody has left, and nobody has sealed the job");
}

/* Where nothing goes wrong but one process, the others run nothing twice: the next scheduler waits
 * for what they hold and have finished.  (It waits for so many nodes, and knows not which: one that
 * goes on in that moment may stand for one that has not come yet.) */
static void
check_survivors(struct world *self)
{
    dz_us next_at = self->lone_at + self->took_us[MEASURE_RESUMED_STOPPED];
    if (self->lone_until > 0 && self->lone_until < next_at)
        return;
    uint8_t *runs = dz_alloc0(self->opt.tests + 1, 1);
    for (size_t i = 0; i < self->exec_count && self->lone_at > 0; i++) {
        const struct exec *exec = &self->execs[i];
        bool is_survivor = exec->node != self->lone_node && exec->end == EXEC_FINISHED;
        if (is_survivor && runs[exec->test]++)
            world_break(self, "test %u was run twice by nodes that nothing happened to",
                        exec->test);
    }
    free(runs);
}

static void
check_latency(struct world *self)
{
    for (int m = 0; m < MEASURES; m++)
        if (self->took_us[m] - patience_among(&self->opt) > measures[m].most_us)
            world_break(self, "%" PRId64 " us, %s", self->took_us[m], measures[m].text);
}

void
judge(struct world *self)
{
    check_ledger(self);
    check_complete(self);
    waste_judge(self);
    check_latency(self);
    if (self->opt.lone != LONE_NONE && self->opt.late_us <= 1000) /* all are known to all */
        check_survivors(self);
}
