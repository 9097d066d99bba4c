/* agent.c - made, started, ended; and what the controller says. */
#include "vassal/io/agent.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/str.h"
#include "vassal/io/inside.h"

enum { EXIT_ABORTED = 1 }; /* the agent's own */

static void stop_loop(struct agent *self, int exit_code);

/* ------------------------------------------------------------------ end of a wake */

static void
commit(struct agent *self)
{
    struct dz_err err;
    enum spool_state state = self->spool ? spool_commit(self->spool, &err) : SPOOL_LOST;
    if (state != self->spool_state && self->spool) {
        self->spool_state = state;
        if (state == SPOOL_FULL)
            tell_note(self, 1, "results wait in memory: %s", err.text);
        else if (state == SPOOL_LOST)
            tell_note(self, 2, "results are not journaled any more: %s", err.text);
        else
            tell_note(self, 0, "results are journaled again");
    }
    if (self->to_journal == self->journaled)
        return;
    self->journaled = self->to_journal;
    struct vassal_event event = { .kind = VASSAL_EV_JOURNALED,
                                  .as.journaled.record = self->journaled };
    agent_event(self, &event);
}

void
agent_turn(void *arg)
{
    struct agent *self = arg;
    if (self->state == AGENT_NEW || self->state == AGENT_OVER)
        return;
    commit(self);
    chan_flush(&self->controller);
    chan_flush(&self->kin.seed);
    chan_flush(&self->kin.zygote);
    for (unsigned i = 0; i < self->seat_count; i++) {
        seat_release(&self->seats[i]);
        chan_flush(&self->seats[i].chan);
    }
    watch_arm_core(self);
    watch_arm_progress(self);
}

/* ------------------------------------------------------------------ ending */

static void
stop_loop(struct agent *self, int exit_code)
{
    self->exit_code = exit_code;
    self->state = AGENT_OVER;
    dz_loop_stop(self->loop);
}

/* The controller has shown everything. */
static void
finish(struct agent *self, int exit_code)
{
    if (self->state == AGENT_SETTLING)
        return;
    if (self->job) {
        self->up.end(self->up.arg, &self->done, self->deselected + self->manifest.left_out,
                     exit_code, self->stop_reason ? self->stop_reason : "");
        spool_close(&self->spool);
        spool_remove(self->home, self->tag); /* the job is sealed: nobody will read it */
    }
    if (!self->is_anew)
        kin_kill_all(self);
    self->state = AGENT_SETTLING;
    if (!self->job || self->up.settle(self->up.arg))
        stop_loop(self, 0);
}

void
agent_settled(struct agent *self, uint64_t pending, const char *path, const char *why)
{
    if (self->state != AGENT_SETTLING)
        return;
    if (*path)
        tell_settled(self, pending, path, why);
    chan_flush(&self->controller);
    stop_loop(self, 0);
}

void
agent_waits(struct agent *self)
{
    tell_alive(self);
    chan_flush(&self->controller);
}

void
agent_rename(struct agent *self, const struct uplink_job *job)
{
    if (self->state < AGENT_DONE)
        tell_job(self, job);
}

/* Nobody is left to run for. */
static void
abort_run(struct agent *self)
{
    log_info("agent.abort", "state=%d why=%s", (int) self->state, "the controller is gone");
    kin_kill_all(self);
    if (self->job) {
        self->up.flush(self->up.arg);
        spool_close(&self->spool);
        spool_remove(self->home, self->tag); /* nobody takes this job up again */
    }
    stop_loop(self, EXIT_ABORTED);
}

static bool
is_controller_gone(const struct agent *self)
{
    struct pollfd polled = { .fd = self->controller.watch.fd, .events = 0 };
    return polled.fd < 0 || (poll(&polled, 1, 0) > 0 && (polled.revents & (POLLHUP | POLLERR)));
}

void
agent_terminate(struct agent *self)
{
    if (self->state == AGENT_OVER)
        return;
    if (is_controller_gone(self) || self->state == AGENT_NEW)
        abort_run(self);
    else
        log_info("agent.term_ignored", "state=%d", (int) self->state);
}

/* ------------------------------------------------------------------ starting */

static void
take_settings(struct agent *self, const struct dz_msg_start *start)
{
    self->inc = start->incarnation + 1;
    self->is_heir = start->job.len > 0 || start->after.len > 0;
    self->is_in_order = start->flags & DZ_START_IN_ORDER;
    self->follow = dz_slice_dup(start->follow);
    self->seat_count = (unsigned) (start->workers > 0 ? start->workers : 1);
    if (self->is_in_order)
        self->seat_count = 1;
    self->timeout_us = start->timeout_ms < INT64_MAX / 1000 ? (dz_us) start->timeout_ms * 1000 : 0;
    self->strikes = start->strikes > 0 ? (unsigned) start->strikes : 1;
    self->seats = dz_alloc0(self->seat_count, sizeof(*self->seats));
    self->seat_inputs = dz_alloc0(self->seat_count, sizeof(*self->seat_inputs));
    for (unsigned i = 0; i < self->seat_count; i++)
        seat_init(&self->seats[i], self, i);
}

static void
open_spool(struct agent *self)
{
    DZ_AUTO(dz_free) char *note = NULL;
    struct dz_err err;
    spool_sweep(self->home);
    enum dz_rc rc = spool_open(self->home, self->tag, self->inc, &self->spool, &note, &err);
    if (rc != DZ_OK)
        tell_note(self, 1, "results are not journaled: %s", err.text);
    if (note)
        tell_note(self, 1, "%s", note);
}

static void
open_core(struct agent *self)
{
    const struct uplink_job *place = &self->place;
    struct vassal_cfg cfg = {
        .job = dz_str(self->job),
        .node = place->node,
        .inc = self->inc,
        .slots = self->seat_count,
        .rendezvous = place->is_meeting ? VASSAL_MEETS : VASSAL_ALONE,
        .shard_index = place->shard_index,
        .shard_total = place->shard_total,
        .contact = place->contact,
        .known = place->known,
        .known_count = place->known_count,
        .nodes = place->nodes,
    };
    self->core = vassal_new(&cfg);
}

static void
begin_collecting(struct agent *self, uint64_t flags)
{
    self->state = AGENT_COLLECTING;
    if (self->is_heir) {
        self->is_waiting_births = true;
        dz_loop_set(self->loop, &self->rebirth, dz_clock_us() + REBIRTH_US);
    } else if (flags & DZ_START_SOLO) {
        kin_go_solo(self);
    } else {
        kin_ask_zygote(self);
    }
}

/* Without a store nothing can be counted: say so, and end. */
static void
refuse_start(struct agent *self, enum dz_rc rc, const char *why)
{
    self->state = AGENT_COLLECTING;
    agent_fail(self, rc == DZ_REFUSED || rc == DZ_VERSION ? AGENT_EXIT_MISTAKE : AGENT_EXIT_BROKEN,
               why);
}

static void
start(struct agent *self, const struct dz_msg_start *msg)
{
    if (self->state != AGENT_NEW)
        return;
    take_settings(self, msg);
    struct uplink_job job = { 0 };
    struct dz_err err;
    watch_init(self);
    enum dz_rc rc = self->up.begin(self->up.arg, msg, &job, &err);
    if (rc != DZ_OK) {
        refuse_start(self, rc, err.text);
        return;
    }
    self->job = dz_strdup(job.ulid);
    self->tag = dz_strdup(job.tag);
    self->home = dz_strdup(job.home);
    self->place = job;
    struct dz_slice notes = dz_str(job.note ? job.note : ""), line;
    while (dz_line_next(&notes, &line))
        agent_note(self, 1, line);
    tell_job(self, &job);
    if (job.how)
        tell_note(self, 0, "%s", job.how);
    log_info("agent.start", "job=%s inc=%llu workers=%u", job.ulid, (unsigned long long) self->inc,
             self->seat_count);
    open_core(self);
    if (msg->job.len > 0)
        revive_inherit(self);
    open_spool(self);
    if (kin_listen(self, &err) != DZ_OK) {
        refuse_start(self, DZ_IO, err.text);
        return;
    }
    if (self->place.is_meeting &&
        !self->place.is_late) /* that one joins if tests are left for it */
        agent_event(self, &(struct vassal_event){ .kind = VASSAL_EV_JOIN });
    begin_collecting(self, msg->flags);
    chan_flush(&self->controller);
}

/* ------------------------------------------------------------------ the controller */

static void
on_msg(void *arg, const struct dz_msg *msg)
{
    struct agent *self = arg;
    if (self->state == AGENT_NEW && msg->id != DZ_MSG_start)
        return; /* everything begins with `start` */
    switch ((int) msg->id) {
    case DZ_MSG_start: start(self, &msg->as.start); return;
    case DZ_MSG_stop:
        if (msg->as.stop.leaves && self->place.is_meeting && self->state == AGENT_RUNNING)
            agent_leave(self, (int) msg->as.stop.how, msg->as.stop.reason);
        else
            agent_stop(self, (int) msg->as.stop.how, msg->as.stop.reason);
        return;
    case DZ_MSG_relay: kin_relay_in(self, &msg->as.relay); return;
    case DZ_MSG_bye: finish(self, (int) msg->as.bye.exit_code); return;
    case DZ_MSG_alive: return; /* it asks for channels that it passes on by itself */
    default: self->refused++;
    }
}

static void
on_gone(void *arg, const char *why)
{
    struct agent *self = arg;
    log_debug("controller.gone", "why=%s", why);
    if (self->state == AGENT_OVER)
        return;
    if (self->state != AGENT_DONE && self->state != AGENT_SETTLING)
        abort_run(self);
    else {
        self->is_anew = false; /* there is nobody to start another */
        finish(self, (int) self->done.exit_code);
    }
    if (self->state == AGENT_SETTLING) /* nobody waits for us; what is not sent stays where it is */
        stop_loop(self, 0);
}

static const struct chan_ops controller_ops = { .on_msg = on_msg, .on_gone = on_gone };

/* ------------------------------------------------------------------ life */

enum dz_rc
agent_new(const struct agent_cfg *cfg, struct agent **self_out, struct dz_err *err)
{
    DZ_AUTO(agent_destroy) struct agent *self = dz_alloc0(1, sizeof(*self));
    self->loop = cfg->loop;
    self->up = cfg->uplink;
    dz_oom_init(&self->oom);
    chan_init(&self->controller);
    self->rebirth = (struct dz_timer){ .fn = agent_on_rebirth, .arg = self };
    kin_init(self, cfg->seed_fd);
    enum dz_rc rc =
        chan_open(&self->controller, self->loop, cfg->controller_fd, &controller_ops, self, err);
    if (rc != DZ_OK)
        return rc;
    dz_loop_on_turn(self->loop, agent_turn, self);
    *self_out = dz_move(self);
    return DZ_OK;
}

static void
unset_timers(struct agent *self)
{
    struct dz_timer *const timers[] = { &self->tick,     &self->core_timer, &self->alive,
                                        &self->progress, &self->output,     &self->sched_log,
                                        &self->rebirth,  &self->wind_down };
    for (size_t i = 0; i < DZ_LEN(timers); i++)
        dz_loop_unset(self->loop, timers[i]);
}

void
agent_destroy(struct agent **self_p)
{
    struct agent *self = dz_move(*self_p);
    if (!self)
        return;
    unset_timers(self);
    dz_loop_on_turn(self->loop, NULL, NULL);
    for (unsigned i = 0; i < self->seat_count; i++) {
        seat_fini(&self->seats[i]);
        dz_buf_fini(&self->seat_inputs[i]);
    }
    free(self->seats);
    free(self->seat_inputs);
    kin_fini(self);
    chan_close(&self->controller);
    revive_fini(self);
    catalog_fini(&self->manifest);
    cargo_fini(&self->cargo);
    spool_close(&self->spool);
    vassal_destroy(&self->core);
    dz_oom_fini(&self->oom);
    dz_buf_fini(&self->inputs);
    free(self->job);
    free(self->tag);
    free(self->home);
    free(self->follow);
    free(self->pending);
    free(self->stop_reason);
    free(self);
}

int
agent_exit_code(const struct agent *self)
{
    return self->exit_code;
}

struct cargo_item *
agent_item(struct agent *self, uint64_t inc, uint64_t exec)
{
    return cargo_find(&self->cargo, inc, exec);
}

void
agent_each_left(const struct agent *self, cargo_fn *fn, void *arg)
{
    cargo_each(&self->cargo, fn, arg);
}

void
agent_persist_epoch(struct agent *self, uint64_t n)
{
    spool_put_epoch(self->spool, n);
    commit(self);
}
