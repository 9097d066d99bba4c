/* step.c - the core is told what happened and says what to do.
 *
 * Carrying out an effect may itself be an event (a test that could not be put into a queue), and
 * effects are the core's until its next step.  So such events wait in a line until the present
 * effects are through. */
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/wire/frame.h"
#include "vassal/io/inside.h"

struct later {
    struct later *next;
    struct vassal_event event;
    struct dz_grant grants[VASSAL_QUEUE_MAX];
    uint8_t contact[DZ_CONTACT_MAX];
};

/* Pointers of an event that waits must point into itself. */
static void
wait_in_line(struct agent *self, const struct vassal_event *event)
{
    struct later *later = dz_alloc0(1, sizeof(*later));
    later->event = *event;
    if (event->kind == VASSAL_EV_UNPUT || event->kind == VASSAL_EV_ABSENT) {
        dz_assert(event->as.back.count <= VASSAL_QUEUE_MAX);
        if (event->as.back.count > 0)
            memcpy(later->grants, event->as.back.grants,
                   event->as.back.count * sizeof(*later->grants));
        later->event.as.back.grants = later->grants;
    }
    if (event->kind == VASSAL_EV_ANSWER) {
        size_t len = event->as.answer.contact.len;
        dz_assert(len <= sizeof(later->contact));
        if (len > 0)
            memcpy(later->contact, event->as.answer.contact.ptr, len);
        later->event.as.answer.contact = (struct dz_slice){ later->contact, len };
    }
    if (self->later_last)
        self->later_last->next = later;
    else
        self->later_first = later;
    self->later_last = later;
}

static struct later *
take_from_line(struct agent *self)
{
    struct later *later = self->later_first;
    if (later) {
        self->later_first = later->next;
        if (!self->later_first)
            self->later_last = NULL;
    }
    return later;
}

/* ------------------------------------------------------------------ effects */

static void
send_to(struct agent *self, uint64_t node, uint64_t inc, struct dz_slice frame)
{
    if (dz_log_wants(DZ_LOG_DEBUG)) {
        struct dz_msg_mesh mesh;
        bool is_known = dz_mesh_open(frame, &mesh) == DZ_OK && mesh.body.len > 0;
        struct dz_msg msg;
        if (is_known && dz_msg_decode(mesh.body, &msg) == DZ_OK)
            log_debug("vassal.send", "msg=%s seq=%llu bytes=%zu", dz_msg_name(msg.id),
                      (unsigned long long) mesh.seq, frame.len);
    }
    self->up.send(self->up.arg, node, inc, frame);
}

static void
fork_seat(struct agent *self, unsigned num)
{
    struct seat *seat = &self->seats[num];
    if (self->state >= AGENT_ENDING)
        return; /* a run that ends without one begun: nobody is replaced */
    seat->is_wanted = true;
    if (seat->state == SEAT_NONE)
        kin_ask_worker(self, seat);
}

/* What belongs to the record: the worker's own words, or what its death left behind. */
static void
journal(struct agent *self, const struct vassal_effect *effect)
{
    struct dz_slice none = { 0 };
    if (effect->as.journal.outcome.origin != 0) { /* a copy of another node's facts */
        struct cargo_item *copy = cargo_add(&self->cargo, effect->as.journal.record, none, none);
        copy->outcome = effect->as.journal.outcome;
        copy->cause = effect->as.journal.cause;
        spool_put_record(self->spool, copy);
        self->to_journal = effect->as.journal.record;
        return;
    }
    struct seat *seat = &self->seats[effect->as.journal.outcome.slot];
    bool is_own = effect->as.journal.cause == DZ_CAUSE_FINISHED;
    struct cargo_item *item =
        cargo_add(&self->cargo, effect->as.journal.record, is_own ? self->blob : none,
                  is_own ? self->text : dz_buf_slice(&seat->detail));
    item->outcome = effect->as.journal.outcome;
    item->cause = effect->as.journal.cause;
    if (self->made_up)
        item->cause = self->made_up->cause;
    if (!is_own || self->made_up) {
        item->signal = seat->signal;
        item->elapsed_us = seat->elapsed_us;
    }
    spool_put_record(self->spool, item);
    self->to_journal = effect->as.journal.record;
}

static void
counted(struct agent *self, const struct vassal_effect *effect)
{
    enum dz_word word = effect->as.counted.word;
    struct cargo_item *item = cargo_get(&self->cargo, effect->as.counted.record);
    self->is_dirty = true;
    if (word == DZ_WORD_DUPLICATE)
        self->duplicates++;
    if (!item)
        return;
    if (word == DZ_WORD_COUNTED) {
        self->counted++;
        self->failed += dz_result_is_bad((enum dz_result) item->outcome.result);
    }
    /* strikes of before were told then; of an end of pytest itself its own words tell */
    bool is_news = item->record > self->restored && item->cause != DZ_CAUSE_FATAL;
    if (item->cause != DZ_CAUSE_FINISHED && (word == DZ_WORD_COUNTED || is_news))
        tell_verdict(self, item, word == DZ_WORD_COUNTED);
    else if (item->cause == DZ_CAUSE_FINISHED && word == DZ_WORD_COUNTED)
        tell_report(self, item);
    if (!self->is_leading)
        self->up.said(self->up.arg, item);
    item->is_counted = word == DZ_WORD_COUNTED;
    if (effect->as.counted.is_stored || !item->is_counted)
        cargo_drop(&self->cargo, effect->as.counted.record);
    else
        cargo_strip(&self->cargo, effect->as.counted.record);
}

/* Without a seal a node answers for what it has seen itself. */
static struct dz_account
own_account(const struct agent *self)
{
    return (struct dz_account){
        .collected = self->manifest.count,
        .counted = self->counted,
        .duplicates = self->duplicates,
        .nodes = 1,
        .workers = self->seat_count,
        .failed = self->failed,
        .agrees = true,
    };
}

static void
done(struct agent *self, const struct vassal_end *end)
{
    if (end->is_late && agent_begin_anew(self))
        return;
    struct dz_account account = end->is_sealed ? end->account : own_account(self);
    uint64_t of_them = account.counted < account.collected ? account.counted : account.collected;
    self->done = (struct dz_msg_done){
        .collected = account.collected,
        .run = account.counted - account.carried,
        .counted = account.counted,
        .duplicates = account.duplicates,
        .lost = account.agrees ? 0 : 1,
        .not_run = account.collected - of_them - account.elsewhere,
        .elsewhere = account.elsewhere,
        .carried = account.carried,
        .nodes = account.nodes,
        .workers = account.workers,
        .failed = account.failed,
        .digest = account.digest,
    };
    if (end->is_sealed)
        self->up.sealed(self->up.arg, end);
    if (end->is_shard)
        tell_note(self, 1, "only this slot's share was run, completeness not verified");
    /* who schedules answers for the whole job, the others for what ran on them */
    uint64_t failed = self->is_leading ? self->done.failed : self->failed;
    int exit_code = failed > 0 ? 1 : 0;
    if (end->is_late)
        exit_code = 0;
    else if (!end->is_sealed)
        exit_code = 3;
    else if (!account.agrees)
        exit_code = 16;
    agent_wind_down(self, exit_code);
}

static void
apply(struct agent *self, const struct vassal_effect *effect)
{
    switch (effect->kind) {
    case VASSAL_FX_SEND:
        send_to(self, effect->as.send.node, effect->as.send.inc, effect->as.send.frame);
        return;
    case VASSAL_FX_FORK: fork_seat(self, effect->as.slot.slot); return;
    case VASSAL_FX_FEED:
        seat_feed(&self->seats[effect->as.feed.slot], effect->as.feed.grants, effect->as.feed.count,
                  (uint32_t) effect->as.feed.more);
        return;
    case VASSAL_FX_UNPUT:
        seat_unput(&self->seats[effect->as.unput.slot], effect->as.unput.count);
        return;
    case VASSAL_FX_KILL:
        seat_kill(&self->seats[effect->as.slot.slot], DZ_CAUSE_STOPPED, "the run was stopped");
        return;
    case VASSAL_FX_JOURNAL: journal(self, effect); return;
    case VASSAL_FX_COUNTED: counted(self, effect); return;
    case VASSAL_FX_DONE: done(self, &effect->as.done); return;
    case VASSAL_FX_NOTE: agent_note(self, effect->as.note.severity, effect->as.note.text); return;
    case VASSAL_FX_RANK:
        tell_rank(self, effect);
        self->up.want(self->up.arg, effect);
        return;
    case VASSAL_FX_STORED: cargo_drop(&self->cargo, effect->as.stored); return;
    case VASSAL_FX_LEAD:
        self->is_leading = true;
        self->up.want(self->up.arg, effect);
        return;
    case VASSAL_FX_ASK:
    case VASSAL_FX_MEET:
    case VASSAL_FX_ABDICATE: self->up.want(self->up.arg, effect); return;
    }
}

/* ------------------------------------------------------------------ events */

static const char *
event_name(enum vassal_event_kind kind)
{
    static const char *const names[] = {
        [VASSAL_EV_TICK] = "tick",           [VASSAL_EV_MANIFEST] = "manifest",
        [VASSAL_EV_MESSAGE] = "message",     [VASSAL_EV_SLOT_UP] = "slot_up",
        [VASSAL_EV_ATTACHED] = "attached",   [VASSAL_EV_SLOT_ASKS] = "slot_asks",
        [VASSAL_EV_SLOT_DOWN] = "slot_down", [VASSAL_EV_RESULT] = "result",
        [VASSAL_EV_JOURNALED] = "journaled", [VASSAL_EV_RESTORED] = "restored",
        [VASSAL_EV_UNPUT] = "unput",         [VASSAL_EV_ABSENT] = "absent",
        [VASSAL_EV_STOP] = "stop",           [VASSAL_EV_LEAVE] = "leave",
        [VASSAL_EV_JOIN] = "join",           [VASSAL_EV_ANSWER] = "answer",
        [VASSAL_EV_GONE] = "gone",           [VASSAL_EV_DEPOSED] = "deposed",
    };
    return (size_t) kind < DZ_LEN(names) ? names[kind] : "?";
}

static void
step(struct agent *self, const struct vassal_event *event)
{
    struct vassal_effects effects = { 0 };
    if (event->kind == VASSAL_EV_DEPOSED)
        self->is_leading = false;
    vassal_step(self->core, event, dz_clock_us(), &effects);
    if (event->kind != VASSAL_EV_TICK && event->kind != VASSAL_EV_RESULT)
        log_debug("vassal.event", "kind=%s state=%s effects=%zu", event_name(event->kind),
                  vassal_state_text(self->core), effects.count);
    for (size_t i = 0; i < effects.count; i++)
        apply(self, &effects.items[i]);
}

void
agent_event(struct agent *self, const struct vassal_event *event)
{
    if (!self->core)
        return;
    if (self->is_stepping) {
        wait_in_line(self, event);
        return;
    }
    self->is_stepping = true;
    step(self, event);
    for (struct later *later = take_from_line(self); later; later = take_from_line(self)) {
        step(self, &later->event);
        free(later);
    }
    self->is_stepping = false;
}
