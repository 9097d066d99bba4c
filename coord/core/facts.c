/* facts.c - results: from a vassal's claim to a row of the ledger and a word back.
 *
 * Nothing is believed to be counted before the ledger said so, and no vassal is told so earlier.
 * Which execution counts is the ledger's decision; here only strikes are counted, since a
 * worker's death is no result until it has happened often enough. */
#include <stdlib.h>
#include <string.h>

#include "coord/core/inside.h"
#include "shared/wire/generation.h"

/* ------------------------------------------------------------------ strikes */

static bool
strike_is_known(const struct coord *self, uint32_t test, const struct strike *it)
{
    unsigned left = self->tests[test].strikes;
    for (size_t i = self->strike_count; i-- > 0 && left > 0;) {
        const struct strike *known = &self->strikes[i];
        if (known->test != test)
            continue;
        left--;
        if (known->node == it->node && known->inc == it->inc && known->exec == it->exec)
            return true;
    }
    return false;
}

/* True: it was the last one allowed, the test counts as CRASHED. */
static bool
add_strike(struct coord *self, uint32_t test, const struct strike *strike)
{
    struct test *it = &self->tests[test];
    if (it->strikes == UINT8_MAX)
        return true;
    GROW(self->strikes, self->strike_count, self->strike_cap);
    self->strikes[self->strike_count++] = *strike;
    it->strikes++;
    return it->strikes >= self->cfg.strikes || DZ_BROKEN(STRIKES);
}

/* ------------------------------------------------------------------ asking the ledger */

static struct asked *
ask(struct coord *self)
{
    if (self->asked_first > 0 && self->asked_first + self->asked_count == self->asked_cap) {
        memmove(self->asked, self->asked + self->asked_first,
                self->asked_count * sizeof(*self->asked));
        self->asked_first = 0;
    }
    GROW(self->asked, self->asked_count, self->asked_cap);
    return &self->asked[self->asked_first + self->asked_count++];
}

static void
push_batch(struct coord *self, uint32_t len)
{
    if (self->batch_first > 0 && self->batch_first + self->batch_count == self->batch_cap) {
        memmove(self->batch_len, self->batch_len + self->batch_first,
                self->batch_count * sizeof(*self->batch_len));
        self->batch_first = 0;
    }
    GROW(self->batch_len, self->batch_count, self->batch_cap);
    self->batch_len[self->batch_first + self->batch_count++] = len;
    self->batches++;
}

/* What the slot ran is not held by it any more; its next test runs since now. */
static void
finish_in_slot(struct coord *self, struct node *node, const struct dz_item_outcome *item, dz_us now)
{
    if (item->origin != 0 || item->inc != node->inc || item->slot >= node->slot_count)
        return;
    struct slot *slot = node->slots[item->slot];
    if (!slot_drop(self, slot, (uint32_t) item->test, now))
        return;
    uint64_t took = item->setup_us / 2 + item->call_us / 2 + item->teardown_us / 2;
    plan_observe(self->plan, slot->number, (uint32_t) item->test,
                 (dz_us) (took < INT32_MAX ? took * 2 : INT32_MAX),
                 (dz_us) (item->setup_us < INT32_MAX ? item->setup_us : INT32_MAX));
    slot_mark(self, slot);
}

/* Is this a death that does not count (yet)?  The test is then granted again. */
static uint64_t
origin_of(const struct node *node, const struct dz_item_outcome *item)
{
    return item->origin ? item->origin : node->id;
}

static bool
is_strike(struct coord *self, struct node *node, const struct dz_item_outcome *item)
{
    if (item->result != DZ_RESULT_CRASHED)
        return false;
    uint32_t test = (uint32_t) item->test;
    struct test *it = &self->tests[test];
    struct strike strike = { test, origin_of(node, item), item->inc, item->exec };
    bool is_last = (DZ_BROKEN(STRIKE_ONCE) || !strike_is_known(self, test, &strike)) &&
                   add_strike(self, test, &strike);
    if (is_last && it->state == TEST_OPEN)
        return false;
    if (it->state == TEST_OPEN && it->holders == 0 && !DZ_BROKEN(STRIKE_AGAIN)) {
        plan_return_struck(self->plan, test,
                           item->origin == 0 && item->slot < node->slot_count
                               ? node->slots[item->slot]->number
                               : PLAN_NO_SLOT);
        slots_unpark(self);
    }
    return true;
}

static void
fill_record(struct coord_record *out, const struct node *node, const struct dz_item_outcome *item)
{
    *out = (struct coord_record){
        .what = { (uint32_t) item->test, (uint32_t) item->attempt },
        .result = (uint32_t) item->result,
        .slot = (uint32_t) item->slot,
        .node = origin_of(node, item),
        .inc = item->inc,
        .exec = item->exec,
        .digest = item->digest,
        .start_us = (dz_us) item->start_us,
        .setup_us = (dz_us) item->setup_us,
        .call_us = (dz_us) item->call_us,
        .teardown_us = (dz_us) item->teardown_us,
        .line = (uint32_t) item->line,
    };
}

static bool
is_sane(const struct coord *self, const struct dz_item_outcome *item)
{
    return item->test < self->total && item->attempt == 0 && item->result < DZ_RESULTS &&
           item->result != DZ_RESULT_NONE;
}

static void
take_one(struct coord *self, struct node *node, const struct dz_item_outcome *item,
         struct coord_record *record)
{
    fill_record(record, node, item);
    record->is_history = is_strike(self, node, item);
    struct test *test = &self->tests[item->test];
    if (!record->is_history && test->state == TEST_ABSENT)
        self->absent--; /* somebody could run it after all */
    if (!record->is_history && (test->state == TEST_OPEN || test->state == TEST_ABSENT)) {
        test->state = TEST_PENDING;
        plan_skip(self->plan, (uint32_t) item->test);
    }
    if (DZ_BROKEN(COUNT_FIRST))
        node_rack(self, node, item->record, DZ_WORD_COUNTED);
    *ask(self) = (struct asked){ .teller = node,
                                 .teller_inc = node->inc,
                                 .record = item->record,
                                 .test = (uint32_t) item->test,
                                 .result = (uint32_t) item->result,
                                 .is_history = record->is_history };
}

void
facts_take(struct coord *self, struct node *node, struct dz_list outcomes, dz_us now)
{
    if (self->phase == PHASE_SEALING)
        return; /* the ledger is closing, maybe without them: unanswered, their nodes keep them */
    struct coord_record *records = dz_arena_take(&self->arena, outcomes.count, sizeof(*records));
    uint32_t count = 0;
    uint64_t greatest = 0;
    bool is_open = self->phase < PHASE_SEALING;
    struct dz_item_outcome item;
    while (dz_outcome_next(&outcomes, &item)) {
        bool is_announced = node->results_due > 0; /* with STATE: older than any grant of ours */
        node->results_due -= is_announced;
        item.test = item.attempt == 0 ? test_of(self, node, item.test) : NO_TEST;
        if (!is_open || !is_sane(self, &item)) { /* history that no ledger takes any more */
            node_rack(self, node, item.record, DZ_WORD_DUPLICATE);
            continue;
        }
        if (!is_announced)
            finish_in_slot(self, node, &item, now);
        take_one(self, node, &item, &records[count++]);
        greatest = item.record > greatest ? item.record : greatest;
    }
    if (count == 0)
        return;
    push_batch(self, count);
    copies_keep(self, node, records, count, greatest);
    struct coord_effect *fx = coord_effect(self, COORD_FX_COUNT);
    fx->as.count.batch = self->batches;
    fx->as.count.records = records;
    fx->as.count.count = count;
}

/* ------------------------------------------------------------------ the answer */

static void
uncount(struct coord *self, uint32_t test)
{
    uint32_t result = self->tests[test].result;
    self->counted--;
    self->failed -= dz_result_is_bad((enum dz_result) result);
    self->ledger_digest -= dz_ledger_mix(test, 0, result);
}

/* is_final: the ledger names the row that counts, whatever was believed before. */
static void
count_test(struct coord *self, uint32_t test, uint32_t result, bool is_final)
{
    struct test *it = &self->tests[test];
    if (it->state == TEST_COUNTED && !is_final)
        return;
    if (it->state == TEST_COUNTED && !DZ_BROKEN(COUNT_ONCE))
        uncount(self, test);
    self->absent -= it->state == TEST_ABSENT;
    self->elsewhere -= it->state == TEST_ELSEWHERE;
    it->state = TEST_COUNTED;
    it->result = (uint8_t) result;
    plan_skip(self->plan, test);
    self->counted++;
    self->failed += dz_result_is_bad((enum dz_result) result);
    self->ledger_digest += dz_ledger_mix(test, 0, result);
}

static void
take_answer(struct coord *self, const struct asked *asked, const struct coord_answer *answer)
{
    if (answer->counts > 0 && answer->counts < DZ_RESULTS)
        count_test(self, asked->test, answer->counts, true);
    else if (!asked->is_history)
        count_test(self, asked->test, asked->result, false);
    self->duplicates += answer->word == DZ_WORD_DUPLICATE && !answer->is_repeat;
    if (asked->teller->inc == asked->teller_inc)
        node_rack(self, asked->teller, asked->record, answer->word);
}

void
facts_answered(struct coord *self, uint64_t batch, const struct coord_answer *answers)
{
    dz_assert(self->batch_count > 0 && batch == self->batches - self->batch_count + 1);
    uint32_t len = self->batch_len[self->batch_first++];
    self->batch_count--;
    for (uint32_t i = 0; i < len; i++)
        take_answer(self, &self->asked[self->asked_first + i], &answers[i]);
    self->asked_first += len;
    self->asked_count -= len;
    if (self->asked_count == 0)
        self->asked_first = 0;
    if (self->batch_count == 0)
        self->batch_first = 0;
}

void
facts_load(struct coord *self, const struct coord_row *rows, size_t count)
{
    if (self->phase == PHASE_SEALING && !self->is_recounted)
        self->duplicates = 0; /* all of them are told again */
    self->is_recounted = self->phase == PHASE_SEALING;
    for (size_t i = 0; i < count; i++) {
        const struct coord_row *row = &rows[i];
        dz_assert(row->what.test < self->total && row->what.attempt == 0);
        struct strike strike = { row->what.test, row->node, row->inc, row->exec };
        bool is_carried = row->is_counted && row->node == DZ_NODE_CARRIED;
        self->carried += is_carried && self->tests[row->what.test].state != TEST_COUNTED;
        if (row->is_counted)
            count_test(self, row->what.test, row->result, true);
        else if (row->result != DZ_RESULT_CRASHED)
            self->duplicates++;
        else if (!strike_is_known(self, row->what.test, &strike))
            (void) add_strike(self, row->what.test, &strike); /* one of them may be the last */
    }
}
