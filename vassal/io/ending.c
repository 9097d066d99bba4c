/* ending.c - how a run ends here: all is done, it is stopped, it cannot go on, or this node leaves. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "vassal/io/inside.h"

enum { PENDING_NAMES = 20 };

static void
name_pending(struct agent *self)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf names = { 0 };
    unsigned count = 0;
    for (unsigned i = 0; i < self->seat_count && count < PENDING_NAMES; i++) {
        struct seat *seat = &self->seats[i];
        if (seat->given_len == 0 || seat->given[0].test >= self->manifest.count)
            continue;
        struct dz_slice id = catalog_id(&self->manifest, seat->given[0].test);
        if (names.len + id.len + 1 < 4096)
            dz_buf_addf(&names, "%.*s\n", (int) id.len, (const char *) id.ptr);
        count++;
    }
    free(self->pending);
    self->pending = dz_slice_dup(dz_buf_slice(&names));
    self->done.pending = dz_str(self->pending);
}

void
agent_wind_down(struct agent *self, int exit_code)
{
    if (self->state >= AGENT_ENDING)
        return;
    self->state = AGENT_ENDING;
    self->done.exit_code = (uint64_t) exit_code;
    name_pending(self);
    kin_quit(self);
    dz_loop_set(self->loop, &self->wind_down, dz_clock_us() + WIND_DOWN_US);
    agent_kin_ended(self);
}

bool
agent_begin_anew(struct agent *self)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf after = { 0 };
    bool has_run = self->counted > 0 || self->restored > 0 || self->to_journal > 0;
    if (has_run || self->state >= AGENT_ENDING || self->stop_reason ||
        !self->up.anew(self->up.arg, &after))
        return false;
    self->done = (struct dz_msg_done){ .nodes = 1, .workers = self->seat_count };
    self->stop_reason = dz_strdup("the job had ended before this node could join it");
    self->is_anew = true;
    self->state = AGENT_DONE;
    tell_anew(self, dz_buf_slice(&after));
    return true;
}

/* Somebody has something to say yet, or is about to.  A zygote that closed its channel at its end has
 * not: giving its memory back takes a while, and the controller need not wait for that. */
static bool
is_more_to_come(const struct agent *self)
{
    const struct kin *kin = &self->kin;
    for (unsigned i = 0; i < self->seat_count; i++) {
        if (self->seats[i].state != SEAT_NONE)
            return true;
    }
    return kin->zygote_asked_at != 0 ||
           (kin->zygote_pid != 0 && (!kin->is_leaving || chan_is_open(&kin->zygote)));
}

void
agent_kin_ended(struct agent *self)
{
    if (self->state != AGENT_ENDING || is_more_to_come(self))
        return;
    dz_loop_unset(self->loop, &self->wind_down);
    if (self->kin.seed_pid != 0 && !self->kin.is_seed_gone)
        (void) dz_tree_kill(self->kin.seed_pid, /* whom tests left behind */
                            self->kin.zygote_pid != 0 ? 0 : SEED_END_US / 1000);
    chan_put(&self->kin.seed, &(struct dz_msg){ .id = DZ_MSG_quit });
    self->state = AGENT_DONE;
    tell_done(self);
}

void
agent_fail(struct agent *self, int exit_code, const char *text)
{
    if (self->state >= AGENT_ENDING)
        return;
    tell_note(self, 2, "%s", text);
    free(self->stop_reason);
    self->stop_reason = dz_strdup(text);
    uint64_t total = self->manifest.count;
    self->done = (struct dz_msg_done){ .collected = total,
                                       .run = self->counted,
                                       .counted = self->counted,
                                       .duplicates = self->duplicates,
                                       .not_run = total > self->counted ? total - self->counted : 0,
                                       .nodes = 1,
                                       .workers = self->seat_count,
                                       .failed = self->failed };
    for (unsigned i = 0; i < self->seat_count; i++)
        seat_kill(&self->seats[i], DZ_CAUSE_STOPPED, text);
    kin_kill_zygote(self);
    agent_wind_down(self, exit_code);
}

void
agent_give_up(struct agent *self, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    (void) vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    agent_fail(self, AGENT_EXIT_BROKEN, text);
}

void
agent_stop(struct agent *self, int how, struct dz_slice reason)
{
    agent_log(self, "stop, how=%d: %.*s", how, (int) (reason.len < 200 ? reason.len : 200),
              (const char *) reason.ptr);
    if (!self->stop_reason)
        self->stop_reason = dz_slice_dup(reason);
    if (self->state == AGENT_RUNNING) {
        struct vassal_event event = { .kind = VASSAL_EV_STOP,
                                      .as.stop = { .how = how, .reason = reason } };
        agent_event(self, &event);
        return;
    }
    if (self->state < AGENT_RUNNING) {
        self->done = (struct dz_msg_done){ .nodes = 1, .workers = self->seat_count };
        for (unsigned i = 0; i < self->seat_count; i++)
            seat_kill(&self->seats[i], DZ_CAUSE_STOPPED, "the run was stopped");
    }
    if (self->state < AGENT_RUNNING || how == 1)
        kin_kill_zygote(self);
    agent_wind_down(self, 2);
}

void
agent_leave(struct agent *self, int how, struct dz_slice reason)
{
    if (!self->stop_reason) {
        self->stop_reason = dz_slice_dup(reason);
        agent_log(self, "leaving the job: %.*s", (int) (reason.len < 200 ? reason.len : 200),
                  (const char *) reason.ptr);
        agent_event(self, &(struct vassal_event){ .kind = VASSAL_EV_LEAVE });
    }
    for (unsigned i = 0; how == 1 && i < self->seat_count; i++)
        seat_kill(&self->seats[i], DZ_CAUSE_STOPPED, "this node leaves the job");
}
