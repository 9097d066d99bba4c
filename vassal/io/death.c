/* death.c - the end of a worker: why it ended, what that means for the test that ran, and whether
 * another one takes its place. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "vassal/io/inside.h"

/* Answer a fork that the core waits for. */
static void
tell_down(struct seat *self, enum dz_cause cause, bool is_lost)
{
    self->is_wanted = false;
    struct vassal_event event = {
        .kind = VASSAL_EV_SLOT_DOWN,
        .as.down = { .slot = self->num, .cause = cause, .is_lost = is_lost },
    };
    agent_event(self->agent, &event);
}

void
seat_kill(struct seat *self, enum dz_cause cause, const char *why)
{
    if (self->state == SEAT_NONE && self->is_wanted && self->agent->has_manifest)
        tell_down(self, cause, false); /* it waits for a zygote */
    if (self->state == SEAT_NONE || self->state == SEAT_DEAD)
        return;
    if (!self->has_cause) {
        self->has_cause = true;
        self->cause = cause;
        (void) snprintf(self->why, sizeof(self->why), "%s", why);
    }
    if (self->pid > 1)
        dz_group_signal(self->pid, SIGKILL);
    if (self->pidfd >= 0)
        (void) dz_pidfd_signal(self->pidfd, SIGKILL); /* it may have left its group */
}

static enum dz_cause
cause_of(struct seat *self, int64_t status)
{
    struct kin *kin = &self->agent->kin;
    uint64_t oom = dz_oom_count(&self->agent->oom);
    bool has_oom = oom != kin->oom;
    kin->oom = oom;
    if (self->has_cause)
        return self->cause;
    if (status < 0 || kin_is_parent_gone(self->agent, self))
        return DZ_CAUSE_ZYGOTE;
    if (!WIFSIGNALED((int) status))
        return DZ_CAUSE_EXITED;
    return WTERMSIG((int) status) == SIGKILL && has_oom ? DZ_CAUSE_OOM : DZ_CAUSE_SIGNAL;
}

/* The first line of a verdict's text. */
static void
headline_of(const struct seat *self, enum dz_cause cause, int64_t status, char out[256])
{
    char space[32];
    if (self->has_cause)
        (void) snprintf(out, 256, "%s", self->why);
    else if (cause == DZ_CAUSE_EXITED)
        (void) snprintf(out, 256, "the test ended the process with exit code %d",
                        WEXITSTATUS((int) status));
    else if (cause == DZ_CAUSE_OOM)
        (void) snprintf(out, 256, "killed by the kernel, out of memory");
    else if (self->signal != 0)
        (void) snprintf(out, 256, "killed by %s", dz_signal_name((int) self->signal, space));
    else
        (void) snprintf(out, 256, "%s", dz_cause_text(cause));
}

/* Which test was running when it died, if any, and since when. */
static void
fill_ran(struct seat *self, struct vassal_event *event)
{
    uint64_t running = atomic_load(&self->shm->running);
    uint64_t exec = atomic_load(&self->shm->exec);
    struct given *given =
        running != 0 ? seat_find_given(self, (uint32_t) running - 1, (uint32_t) (running >> 32))
                     : NULL;
    bool is_blamed = self->is_refused && self->given_len > 0;
    if (is_blamed)
        given = &self->given[0];
    if (!given || (exec <= self->last_exec && !is_blamed))
        return;
    dz_us now = dz_clock_us();
    int64_t started = atomic_load(&self->shm->started_us);
    bool is_plausible = started > 0 && started <= now;
    event->as.down.has_ran = true;
    event->as.down.ran = (struct dz_grant){ .test = given->test, .attempt = given->attempt };
    event->as.down.exec = self->life << 32 | ((self->last_exec + 1) & UINT32_MAX);
    event->as.down.start_us = is_plausible ? started : now;
    event->as.down.elapsed_us = is_plausible ? now - started : 0;
    event->as.down.line = is_blamed ? 0 : atomic_load(&self->shm->line);
    self->elapsed_us = event->as.down.elapsed_us;
    struct given ran = *given;
    seat_store_output(self, atomic_load(&self->shm->log_len), ran.test, ran.attempt,
                      event->as.down.start_us, now);
    seat_end_output(self, ran.test);
}

static bool
is_too_barren(struct seat *self)
{
    self->barren++;
    if (self->barren < BARREN_MAX)
        return false;
    tell_note(self->agent, 2, "worker gw%u ended %u times without a result: it is not replaced",
              self->num, self->barren);
    return true;
}

/* A process that ended before the core heard of it. */
static void
unborn_died(struct seat *self)
{
    struct agent *agent = self->agent;
    bool is_stopped = self->has_cause && self->cause == DZ_CAUSE_STOPPED;
    seat_clear(self);
    if (agent->state >= AGENT_ENDING || !self->is_wanted)
        return;
    if (is_stopped && agent->has_manifest)
        tell_down(self, DZ_CAUSE_STOPPED, false);
    else if (!is_too_barren(self) && kin_can_fork(agent))
        kin_ask_worker(agent, self);
    else
        seat_cannot_fork(self);
}

/* A worker that dies in the teardown of a wider fixture has reported its test's call: that stays
 * counted, as failed, and then nothing ran. */
static void
count_partial(struct seat *self, struct vassal_event *down)
{
    struct agent *agent = self->agent;
    enum dz_cause cause = down->as.down.cause;
    bool is_strike = cause == DZ_CAUSE_SIGNAL || cause == DZ_CAUSE_EXITED || cause == DZ_CAUSE_OOM;
    if (!down->as.down.has_ran || !is_strike || self->is_refused ||
        self->partial_exec != self->last_exec + 1 ||
        atomic_load(&self->shm->phase) != DZ_PHASE_TEARDOWN)
        return;
    struct vassal_event event = {
        .kind = VASSAL_EV_RESULT,
        .as.result = { .what = down->as.down.ran,
                       .result = DZ_RESULT_FAILED,
                       .slot = self->num,
                       .exec = down->as.down.exec,
                       .start_us = down->as.down.start_us,
                       .teardown_us = down->as.down.elapsed_us,
                       .line = down->as.down.line },
    };
    self->cause = cause;
    agent->made_up = self;
    agent->blob = dz_buf_slice(&self->partial);
    agent->text = dz_buf_slice(&self->detail);
    agent_event(agent, &event);
    agent->made_up = NULL;
    agent->blob = agent->text = (struct dz_slice){ 0 };
    down->as.down.has_ran = false;
}

/* "sleep 7 (pid 1), cat (pid 2)" of one name a line. */
static void
log_end(struct seat *self, const char *headline, struct dz_slice leftovers)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf names = { 0 };
    if (leftovers.len > 0)
        dz_buf_addf(&names, "; left behind: %.*s", (int) leftovers.len,
                    (const char *) leftovers.ptr);
    for (size_t i = 0; i < names.len; i++) {
        if (names.data[i] == '\n')
            names.data[i] = i + 1 < names.len ? ',' : ' ';
    }
    agent_log(self->agent, "worker jw%u (process %d) ended: %s%.*s", self->num, (int) self->pid,
              headline, (int) names.len, (const char *) names.data);
}

static void
report_down(struct seat *self, enum dz_cause cause, int64_t status, struct dz_slice leftovers)
{
    struct agent *agent = self->agent;
    char headline[256];
    headline_of(self, cause, status, headline);
    struct vassal_event event = { .kind = VASSAL_EV_SLOT_DOWN,
                                  .as.down = { .slot = self->num, .cause = cause } };
    fill_ran(self, &event);
    bool has_ran = event.as.down.has_ran;
    if (has_ran) {
        seat_gather_detail(self, headline);
        count_partial(self, &event);
    }
    bool is_end = cause == DZ_CAUSE_FINISHED || cause == DZ_CAUSE_STOPPED;
    event.as.down.is_lost = (!is_end && !has_ran && is_too_barren(self)) || !kin_can_fork(agent);
    log_end(self, headline, leftovers);
    self->is_wanted = false;
    agent_event(agent, &event);
    tell_worker_down(self, (uint32_t) (status < 0 ? 0 : status), cause, !self->is_wanted,
                     leftovers);
}

void
seat_died(struct seat *self, int64_t status, struct dz_slice leftovers)
{
    struct agent *agent = self->agent;
    bool was_up = self->is_up;
    self->state = SEAT_DEAD;
    seat_drain(self);
    enum dz_cause cause = cause_of(self, status);
    if (status >= 0 && WIFSIGNALED((int) status))
        self->signal = (uint32_t) WTERMSIG((int) status);
    else
        self->signal = 0;
    if (self->pid > 1)
        dz_group_signal(self->pid, SIGKILL); /* whom the test left behind */
    if (was_up) {
        report_down(self, cause, status, leftovers);
        bool is_wanted = self->is_wanted;
        seat_release(self);
        seat_clear(self);
        if (is_wanted)
            kin_ask_worker(agent, self);
    } else {
        unborn_died(self);
    }
    kin_child_gone(agent);
}

void
seat_cannot_fork(struct seat *self)
{
    self->state = SEAT_NONE;
    self->is_wanted = false;
    if (self->agent->has_manifest)
        tell_down(self, DZ_CAUSE_ZYGOTE, true);
    else
        agent_begin_run(self->agent); /* it asks whether others are still collecting */
}
