/* outbox.c - results that the scheduler has not acknowledged, and tests that go back to it.
 *
 * A record is told only when it is HELD: a vassal that dies after telling must find it in its
 * spool.  A new session tells all of them again, from the first; one of a new epoch also those that
 * only the scheduler before had acknowledged.
 *
 * Copies are results of other nodes that the scheduler wants to be kept here.  It knows them, so
 * they are told only to the next one. */
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
    record->outcome.origin = 0;
    self->unacked++;
    self->pending++;
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
    nth(self, self->record_count - 1)->outcome.copied_in = 0;
    self->unacked++;
    self->pending++;
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
    size_t first = end;
    while (first > 0 && nth(self, first - 1)->state == RECORD_WRITING)
        first--;
    for (; first < end; first++) {
        struct record *record = nth(self, first);
        bool is_known =
            record->outcome.copied_in > 0 && record->outcome.copied_in >= self->epoch_began;
        record->state = is_known ? RECORD_ACKED : RECORD_HELD;
        self->unacked += !is_known && record->outcome.copied_in > 0;
        self->copies_kept += is_known && record->outcome.copied_in == self->sessions;
    }
}

/* The store has it. */
static void
give_up_copy(struct vassal *self, struct record *record)
{
    record->is_stored = true;
    self->pending--;
    vassal_effect(self, VASSAL_FX_STORED)->as.stored = record->number;
}

static void
drop_done(struct vassal *self)
{
    while (self->record_count > 0 && nth(self, 0)->state == RECORD_DONE && !self->is_keeping) {
        self->record_first++;
        self->record_count--;
        self->told -= self->told > 0;
        self->old -= self->old > 0;
        self->stored_to -= self->stored_to > 0;
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
    bool is_stored = record->is_stored || !self->is_keeping || DZ_BROKEN(STORED_ONLY);
    record->state = is_stored ? RECORD_DONE : RECORD_ACKED;
    self->unacked--;
    if (record->is_counted || record->outcome.origin != 0) {
        if (is_stored && !record->is_stored)
            give_up_copy(self, record);
    } else {
        struct vassal_effect *fx = vassal_effect(self, VASSAL_FX_COUNTED);
        fx->as.counted.record = number;
        fx->as.counted.word = word;
        fx->as.counted.is_stored = is_stored;
        fx->as.counted.outcome = record->outcome;
        record->is_counted = true;
        self->pending -= is_stored;
        record->is_stored = is_stored;
    }
    drop_done(self);
}

/* Nobody needs what is below it any more, as far as this scheduler was told of it. */
void
outbox_stored(struct vassal *self, uint64_t number)
{
    size_t end = find(self, number + 1);
    for (size_t at = self->stored_to; at < end; at++) {
        struct record *record = nth(self, at);
        if (record->state != RECORD_ACKED || record->is_stored || record->outcome.origin != 0)
            continue;
        record->state = RECORD_DONE;
        give_up_copy(self, record);
    }
    if (end > self->stored_to)
        self->stored_to = end;
}

void
outbox_open(struct vassal *self, bool is_new_epoch, bool is_blind)
{
    if (DZ_BROKEN(TELL_AGAIN))
        return;
    self->told = self->stored_to = 0;
    self->old = self->record_count;
    self->copies_kept = self->copied = 0;
    self->sessions++;
    if (is_new_epoch)
        self->epoch_began = self->sessions;
    for (size_t i = 0; i < self->record_count && is_new_epoch; i++) {
        struct record *record = nth(self, i);
        bool is_due = record->state == RECORD_ACKED ? !DZ_BROKEN(ACK_KEEPS)
                                                    : record->state == RECORD_DONE && is_blind;
        if (!is_due)
            continue;
        record->state = RECORD_HELD;
        self->unacked++;
    }
}

/* Any of the first so many?  They are written in their order. */
static bool
is_writing(const struct vassal *self, size_t count)
{
    return count > 0 && nth(self, count - 1)->state == RECORD_WRITING;
}

bool
outbox_is_writing_old(const struct vassal *self)
{
    return is_writing(self, self->old);
}

bool
outbox_is_writing(const struct vassal *self)
{
    return is_writing(self, self->record_count);
}

void
outbox_announced(struct vassal *self)
{
    self->old = self->record_count;
}

/* Only a scheduler that has not heard them yet can grant what we have a result of. */
bool
outbox_has(const struct vassal *self, uint32_t test)
{
    for (size_t i = 0; i < self->old && !DZ_BROKEN(HAS_RESULT); i++)
        if (nth(self, i)->state <= RECORD_HELD && nth(self, i)->outcome.what.test == test &&
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
        .origin = it->origin,
        .line = it->line,
    };
    dz_outcome_add(list, bytes, &item);
}

void
outbox_tell(struct vassal *self, dz_us now)
{
    while (self->told < self->record_count && dz_flow_has_room(&self->flow)) {
        struct dz_buf *bytes = &self->items;
        dz_buf_clear(bytes);
        struct dz_msg msg = { .id = DZ_MSG_mesh_result };
        struct dz_list *list = &msg.as.mesh_result.outcomes;
        while (self->told < self->record_count && list->count < DZ_GRANTS_MAX) {
            const struct record *record = nth(self, self->told);
            if (record->state == RECORD_WRITING)
                break;
            if (record->state == RECORD_HELD)
                add_item(list, bytes, record);
            self->told++;
        }
        if (list->count == 0)
            return;
        session_say(self, &msg, now);
        for (size_t i = 0; DZ_BROKEN(KEEP_TILL_RACK) && i < self->told; i++) {
            self->unacked -= nth(self, i)->state < RECORD_ACKED;
            nth(self, i)->state = RECORD_DONE;
        }
        drop_done(self);
    }
}

/* ------------------------------------------------------------------ copies */

void
outbox_copy(struct vassal *self, struct dz_list outcomes)
{
    struct dz_item_outcome item;
    while (dz_outcome_next(&outcomes, &item)) {
        struct record *record = push(self);
        *record = (struct record){ .number = ++self->last_record };
        record->outcome = (struct vassal_outcome){
            .what = { (uint32_t) item.test, (uint32_t) item.attempt },
            .result = (uint32_t) item.result,
            .slot = (uint32_t) item.slot,
            .exec = item.exec,
            .inc = item.inc,
            .origin = item.origin ? item.origin : self->scheduler,
            .copied_in = self->sessions,
            .digest = item.digest,
            .start_us = (dz_us) item.start_us,
            .setup_us = (dz_us) item.setup_us,
            .call_us = (dz_us) item.call_us,
            .teardown_us = (dz_us) item.teardown_us,
            .line = (uint32_t) item.line,
        };
        self->pending++;
        struct vassal_effect *fx = vassal_effect(self, VASSAL_FX_JOURNAL);
        fx->as.journal.record = record->number;
        fx->as.journal.cause = DZ_CAUSE_FINISHED;
        fx->as.journal.outcome = record->outcome;
    }
}

/* They were journaled in the order in which they came. */
void
copies_tell(struct vassal *self, dz_us now)
{
    if (self->copied == self->copies_kept || !dz_flow_has_room(&self->flow))
        return;
    struct dz_msg msg = { .id = DZ_MSG_mesh_copied,
                          .as.mesh_copied = { .count = self->copies_kept } };
    session_say(self, &msg, now);
    self->copied = self->copies_kept;
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
    struct dz_buf *bytes = &self->items;
    dz_buf_clear(bytes);
    struct dz_msg msg = { .id = DZ_MSG_mesh_back,
                          .as.mesh_back = { .slot = back->slot, .why = back->why } };
    for (size_t i = 0; i < back->count; i++) {
        struct dz_item_grant item = { back->grants[i].test, back->grants[i].attempt };
        dz_grant_add(&msg.as.mesh_back.grants, bytes, &item);
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
    memmove(self->backs, self->backs + done, (self->back_count - done) * sizeof(*self->backs));
    self->back_count -= done;
}
