/* ring.c - what workers say through shared memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/digest.h"
#include "shared/base/log.h"
#include "vassal/io/inside.h"

void
seat_refuse(struct seat *self, const char *what)
{
    struct agent *agent = self->agent;
    agent->refused++;
    if (self->has_cause)
        return;
    char why[128];
    (void) snprintf(why, sizeof(why), "killed by dagz: %s (a test wrote into memory of dagz?)",
                    what);
    self->is_refused = true;
    tell_note(agent, 1, "worker gw%u: %s", self->num, what);
    seat_kill(self, DZ_CAUSE_SIGNAL, why);
}

/* ------------------------------------------------------------------ frames */

static bool
is_sound(const struct seat *self, const struct dz_msg_result *result)
{
    return result->result > DZ_RESULT_NONE && result->result < DZ_RESULTS &&
           result->exec == self->last_exec + 1 && result->exec <= UINT32_MAX &&
           result->log_first <= result->log_end;
}

/* What was printed since the last result: first between the tests, then by this one. */
static void
store_output(struct seat *self, const struct dz_msg_result *result, uint32_t test)
{
    uint64_t len = atomic_load(&self->shm->log_len);
    if (self->log_at >= len || result->log_end > len)
        return;
    dz_us start = (dz_us) result->start_us;
    dz_us end =
        start + (dz_us) ((result->setup_us + result->call_us + result->teardown_us) & INT64_MAX);
    seat_store_output(self, result->log_first, UPLINK_NO_TEST, 0, start, start);
    seat_store_output(self, result->log_end, test, (uint32_t) result->attempt, start,
                      end > start ? end : start);
}

static void
take_result(struct seat *self, const struct dz_msg_result *result)
{
    struct agent *agent = self->agent;
    if (self->is_reborn && result->exec <= self->last_exec)
        return; /* in the spool of an earlier agent */
    struct given *given =
        seat_find_given(self, (uint32_t) result->test, (uint32_t) result->attempt);
    if (self->stacks_at != 0) { /* asked for its stacks, it went on: too late is too late */
        watch_overdue(self);
        return;
    }
    if (!given || !is_sound(self, result)) {
        seat_refuse(self, "it reported a test that it was not given");
        return;
    }
    uint32_t test = given->test;
    seat_drop_given(self, given);
    self->last_exec = result->exec;
    self->barren = 0;
    store_output(self, result, test);
    seat_end_output(self, test);
    agent->blob = result->blob;
    agent->text = result->text;
    struct vassal_event event = {
        .kind = VASSAL_EV_RESULT,
        .as.result = { .what = { .test = test, .attempt = (uint32_t) result->attempt },
                       .result = (uint32_t) result->result,
                       .slot = self->num,
                       .exec = self->life << 32 | result->exec,
                       .digest = dz_hash64(result->blob),
                       .start_us = (dz_us) result->start_us,
                       .setup_us = (dz_us) result->setup_us,
                       .call_us = (dz_us) result->call_us,
                       .teardown_us = (dz_us) result->teardown_us,
                       .line = (uint32_t) result->line },
    };
    agent_event(agent, &event);
    agent->blob = agent->text = (struct dz_slice){ 0 };
}

static void
take_leaving(struct seat *self, const struct dz_msg_leaving *leaving)
{
    if (self->has_cause)
        return;
    bool is_known = leaving->why == DZ_CAUSE_FINISHED || leaving->why == DZ_CAUSE_RECYCLED ||
                    leaving->why == DZ_CAUSE_STOPPED || leaving->why == DZ_CAUSE_FATAL;
    if (!is_known) {
        seat_refuse(self, "it left for a reason that no worker has");
        return;
    }
    self->has_cause = true;
    self->cause = (enum dz_cause) leaving->why;
    /* its own -x or --maxfail was reached, or a test ended pytest: that ends the job */
    if (self->cause == DZ_CAUSE_STOPPED || self->cause == DZ_CAUSE_FATAL)
        agent_stop(self->agent, 0, leaving->reason);
    (void) snprintf(self->why, sizeof(self->why), "%.*s%s%.*s", 60, dz_cause_text(self->cause),
                    leaving->reason.len > 0 ? ": " : "",
                    (int) (leaving->reason.len < 60 ? leaving->reason.len : 60),
                    leaving->reason.len > 0 ? (const char *) leaving->reason.ptr : "");
}

/* The reports so far, before a teardown that may end wider fixtures. */
static void
take_partial(struct seat *self, const struct dz_msg_partial *partial)
{
    self->partial_exec = partial->exec;
    dz_buf_clear(&self->partial);
    dz_buf_add(&self->partial, partial->blob.ptr, partial->blob.len);
}

static void
take_frame(struct seat *self, const struct dz_msg *msg)
{
    if (self->is_refused)
        return; /* it is being killed, and what it says now is not believed */
    switch ((int) msg->id) {
    case DZ_MSG_result: take_result(self, &msg->as.result); return;
    case DZ_MSG_partial: take_partial(self, &msg->as.partial); return;
    case DZ_MSG_leaving: take_leaving(self, &msg->as.leaving); return;
    case DZ_MSG_relay:
        self->has_relay = true;
        tell_relay(self->agent, DZ_ROLE_WORKER, self->num, msg->as.relay.body);
        return;
    default: seat_refuse(self, "its ring holds a message that is not a worker's");
    }
}

/* ------------------------------------------------------------------ bytes */

/* False: the rest cannot be read. */
static bool
take_frames(struct seat *self)
{
    size_t at = 0;
    bool is_good = true;
    while (is_good) {
        struct dz_slice rest = { self->in.data + at, self->in.len - at };
        struct dz_slice frame;
        struct dz_msg msg;
        size_t used = 0;
        enum dz_rc rc = rest.len > 0 ? dz_frame_take(rest, &frame, &used) : DZ_AGAIN;
        if (rc == DZ_AGAIN)
            break;
        is_good = rc == DZ_OK && dz_msg_decode(frame, &msg) == DZ_OK;
        if (is_good) {
            take_frame(self, &msg);
            at += used;
        }
    }
    dz_buf_drop(&self->in, at);
    self->ring_done += at;
    return is_good;
}

/* A frame that is longer than the ring must leave it in pieces: keep them for a successor. */
static void
keep_partial(struct seat *self)
{
    self->ring_free = self->ring_done;
    if (self->in.len <= DZ_RING_SIZE / 2)
        return;
    self->ring_free = self->ring_pos;
    if (self->kept == 0 || self->kept_pos <= self->ring_done) { /* of this frame nothing is kept */
        self->kept = 0;
        self->kept_pos = self->ring_done;
    }
    size_t skip = (size_t) (self->kept_pos - self->ring_done);
    struct dz_slice news = { self->in.data + skip, self->in.len - skip };
    spool_put_partial(self->agent->spool, self->life, self->kept++, self->kept_pos, news);
    self->kept_pos = self->ring_pos;
}

/* The controller, or the scheduler, is behind: let the workers wait rather than our memory grow. */
static bool
is_choked(const struct seat *self)
{
    const struct agent *agent = self->agent;
    return self->state == SEAT_LIVE &&
           (chan_backlog(&agent->controller) > CHOKE || agent->cargo.bytes > HELD_MAX);
}

void
seat_drain(struct seat *self)
{
    bool is_mute = !self->is_up || !self->shm || self->in.len > FRAME_MAX;
    if (is_mute || is_choked(self))
        return;
    uint64_t before = self->ring_pos;
    if (dz_ring_read(self->shm, &self->ring_pos, &self->in) != DZ_OK) {
        seat_refuse(self, "its ring is damaged");
        return;
    }
    if (self->ring_pos == before)
        return;
    if (!take_frames(self)) {
        seat_refuse(self, "its ring holds bytes that are no message");
        dz_buf_clear(&self->in);
        self->ring_done = self->ring_pos;
    }
    keep_partial(self);
    self->is_ring_dirty = true;
}

void
seat_release(struct seat *self)
{
    bool is_held = self->has_relay && chan_backlog(&self->agent->controller) > 0;
    if (!self->is_ring_dirty || !self->shm || is_held)
        return;
    self->is_ring_dirty = self->has_relay = false;
    dz_ring_commit(self->shm, self->ring_free);
    if (atomic_exchange(&self->shm->ring_full, 0) != 0)
        seat_wake(self);
}
