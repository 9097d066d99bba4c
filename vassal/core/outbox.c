/* outbox.c - results that the scheduler has not acknowledged, and tests that go back to it.
 *
 *   WRITING --journaled--> HELD --told--> ... --RACK--> DONE
 *
 * A record is told only when it is HELD: a vassal that dies after telling must find it in its
 * spool.  A new session tells all of them again, from the first. */
#include <stdlib.h>
#include <string.h>

#include "vassal/core/inside.h"

static struct record *
nth(const struct vassal *self, size_t n)
{
    return &self->records[self->record_first + n];
}

static struct record *
push(struct vassal *self)
{
    if (self->record_first > 0 && self->record_first + self->record_count == self->record_cap) {
        memmove(self->records, self->records + self->record_first,
                self->record_count * sizeof(*self->records));
        self->record_first = 0;
    }
    GROW(self->records, self->record_first + self->record_count, self->record_cap);
    return nth(self, self->record_count++);
}

void
outbox_add(struct vassal *self, const struct vassal_outcome *outcome, enum dz_cause cause)
{
    struct record *record = push(self);
    *record = (struct record){ .number = ++self->last_record, .outcome = *outcome };
    record->state = DZ_BROKEN(JOURNAL_FIRST) ? RECORD_HELD : RECORD_WRITING;
    record->outcome.inc = self->cfg.inc;
    struct vassal_effect *fx = vassal_effect(self, VASSAL_FX_JOURNAL);
    fx->as.journal.record = record->number;
    fx->as.journal.cause = cause;
    fx->as.journal.outcome = record->outcome;
}

void
outbox_restore(struct vassal *self, uint64_t number, const struct vassal_outcome *outcome)
{
    dz_assert(number > self->last_record);
    self->last_record = number;
    *push(self) = (struct record){ .number = number, .state = RECORD_HELD, .outcome = *outcome };
}

/* Where the first record is whose number is not below `number`. */
static size_t
find(const struct vassal *self, uint64_t number)
{
    size_t lo = 0;
    size_t hi = self->record_count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (nth(self, mid)->number < number)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

void
outbox_journaled(struct vassal *self, uint64_t number)
{
    size_t end = find(self, number + 1);
    while (end > 0 && nth(self, end - 1)->state == RECORD_WRITING)
        nth(self, --end)->state = RECORD_HELD;
}

static void
drop_done(struct vassal *self)
{
    while (self->record_count > 0 && nth(self, 0)->state == RECORD_DONE) {
        self->record_first++;
        self->record_count--;
        self->told -= self->told > 0;
        self->old -= self->old > 0;
    }
    if (self->record_count == 0)
        self->record_first = 0;
}

void
outbox_rack(struct vassal *self, uint64_t number, enum dz_word word)
{
    size_t at = find(self, number);
    if (at == self->record_count || nth(self, at)->number != number ||
        nth(self, at)->state != RECORD_HELD)
        return;
    struct record *record = nth(self, at);
    record->state = RECORD_DONE;
    struct vassal_effect *fx = vassal_effect(self, VASSAL_FX_COUNTED);
    fx->as.counted.record = number;
    fx->as.counted.word = word;
    fx->as.counted.outcome = record->outcome;
    drop_done(self);
}

/* Only a scheduler that is new can grant what we have a result of. */
bool
outbox_has(const struct vassal *self, uint32_t test)
{
    for (size_t i = 0; i < self->old; i++)
        if (nth(self, i)->state == RECORD_HELD && nth(self, i)->outcome.what.test == test &&
            nth(self, i)->outcome.result != DZ_RESULT_CRASHED)
            return true;
    return false;
}

/* ------------------------------------------------------------------ telling */

static void
add_item(struct dz_list *list, struct dz_buf *bytes, const struct record *record)
{
    const struct vassal_outcome *it = &record->outcome;
    struct dz_item_outcome item = {
        .test = it->what.test,
        .attempt = it->what.attempt,
        .exec = it->exec,
        .result = it->result,
        .slot = it->slot,
        .start_us = (uint64_t) it->start_us,
        .setup_us = (uint64_t) it->setup_us,
        .call_us = (uint64_t) it->call_us,
        .teardown_us = (uint64_t) it->teardown_us,
        .digest = it->digest,
        .inc = it->inc,
        .record = record->number,
    };
    dz_outcome_add(list, bytes, &item);
}

void
outbox_tell(struct vassal *self, dz_us now)
{
    while (self->told < self->record_count && dz_flow_has_room(&self->flow)) {
        DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
        struct dz_msg msg = { .id = DZ_MSG_mesh_result };
        struct dz_list *list = &msg.as.mesh_result.outcomes;
        while (self->told < self->record_count && list->count < DZ_GRANTS_MAX) {
            const struct record *record = nth(self, self->told);
            if (record->state == RECORD_WRITING)
                break;
            if (record->state == RECORD_HELD)
                add_item(list, &bytes, record);
            self->told++;
        }
        if (list->count == 0)
            return;
        session_say(self, &msg, now);
        for (size_t i = 0; DZ_BROKEN(KEEP_TILL_RACK) && i < self->told; i++)
            nth(self, i)->state = RECORD_DONE;
        drop_done(self);
    }
}

/* ------------------------------------------------------------------ tests that go back */

void
back_add(struct vassal *self, unsigned slot, enum dz_back why, const struct dz_grant *grants,
         size_t count)
{
    if (!session_is_open(self))
        return; /* STATE will tell who holds what */
    GROW(self->backs, self->back_count, self->back_cap);
    struct back *back = &self->backs[self->back_count++];
    *back = (struct back){ .slot = slot, .why = why, .count = count };
    back->grants = dz_realloc(NULL, count + 1, sizeof(*grants));
    if (count > 0)
        memcpy(back->grants, grants, count * sizeof(*grants));
}

void
backs_clear(struct vassal *self)
{
    for (size_t i = 0; i < self->back_count; i++)
        free(self->backs[i].grants);
    self->back_count = 0;
}

static void
tell_back(struct vassal *self, const struct back *back, dz_us now)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
    struct dz_msg msg = { .id = DZ_MSG_mesh_back,
                          .as.mesh_back = { .slot = back->slot, .why = back->why } };
    for (size_t i = 0; i < back->count; i++) {
        struct dz_item_grant item = { back->grants[i].test, back->grants[i].attempt };
        dz_grant_add(&msg.as.mesh_back.grants, &bytes, &item);
    }
    session_say(self, &msg, now);
}

void
backs_tell(struct vassal *self, dz_us now)
{
    size_t done = 0;
    while (done < self->back_count && dz_flow_has_room(&self->flow)) {
        tell_back(self, &self->backs[done], now);
        free(self->backs[done++].grants);
    }
    if (done == 0)
        return; /* and perhaps there is no array yet */
    if (done == 0)
        return;
    memmove(self->backs, self->backs + done, (self->back_count - done) * sizeof(*self->backs));
    self->back_count -= done;
}
