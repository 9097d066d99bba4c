/* seat.c - one worker: born, fed, dead.
 *
 * The seat mirrors what it put into the queue (`given`), because everything in shared memory is a
 * claim: a result, a running test or a queue that does not fit what was given is nonsense, and
 * its worker is killed. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/fd.h"
#include "shared/base/log.h"
#include "vassal/io/inside.h"

_Static_assert((int) VASSAL_MORE_ASK == (int) DZ_MORE_ASK &&
                   (int) VASSAL_MORE_NONE == (int) DZ_MORE_NONE &&
                   (int) VASSAL_MORE_END == (int) DZ_MORE_END,
               "the core's words are the mapping's");

void
seat_clear(struct seat *self)
{
    dz_loop_unwatch(self->agent->loop, &self->watch);
    chan_close(&self->chan);
    dz_shm_unmap(&self->shm);
    dz_fd_close(&self->pidfd);
    dz_fd_close(&self->pty);
    dz_fd_close(&self->log);
    dz_fd_close(&self->crash);
    roll_drop(&self->roll);
    dz_buf_clear(&self->in);
    dz_buf_clear(&self->detail);
    dz_buf_clear(&self->partial);
    self->partial_exec = 0;
    self->pid = 0;
    self->given_len = 0;
    self->ring_pos = self->ring_done = self->last_exec = self->log_at = self->log_test = 0;
    self->kept_pos = self->kept = 0;
    self->seen_running = self->seen_exec = 0;
    self->asked_at = self->gone_at = self->dead_at = self->stacks_at = 0;
    self->is_ring_dirty = self->has_relay = self->is_up = self->has_cause = false;
    self->is_refused = false;
    self->is_reborn = false;
    self->state = SEAT_NONE;
}

void
seat_init(struct seat *self, struct agent *agent, unsigned num)
{
    *self = (struct seat){
        .agent = agent, .num = num, .pidfd = -1, .watch.fd = -1, .pty = -1, .log = -1, .crash = -1
    };
    chan_init(&self->chan);
}

void
seat_fini(struct seat *self)
{
    seat_clear(self);
    dz_buf_fini(&self->in);
    dz_buf_fini(&self->detail);
    dz_buf_fini(&self->partial);
}

/* ------------------------------------------------------------------ words of its socket */

/* Its queue is empty and it sleeps, or it waits for room in the ring, or it has just met us. */
static void
on_wake(struct seat *self)
{
    seat_drain(self);
    if (self->state != SEAT_LIVE || atomic_load(&self->shm->waiting) == 0)
        return;
    if (dz_queue_len(self->shm) > 0 || atomic_load(&self->shm->more) != DZ_MORE_ASK) {
        seat_wake(self);
        return;
    }
    agent_event(self->agent,
                &(struct vassal_event){ .kind = VASSAL_EV_SLOT_ASKS, .as.slot.slot = self->num });
}

static void
on_msg(void *arg, const struct dz_msg *msg)
{
    struct seat *self = arg;
    struct agent *agent = self->agent;
    struct dz_err err;
    bool is_collecting = self->state == SEAT_COLLECTING;
    if (msg->id == DZ_MSG_wake) {
        on_wake(self);
    } else if (msg->id == DZ_MSG_relay) {
        tell_relay(agent, DZ_ROLE_WORKER, self->num, msg->as.relay.body);
    } else if (msg->id == DZ_MSG_manifest && is_collecting) {
        if (!agent->has_manifest)
            spool_put_roll(agent->spool, self->life, &msg->as.manifest);
        if (roll_add(self->roll, &msg->as.manifest, &err) != DZ_OK)
            seat_refuse(self, err.text);
    } else if (msg->id == DZ_MSG_ready && is_collecting) {
        kin_solo_ready(agent, self, &msg->as.ready);
    } else if (msg->id != DZ_MSG_manifest && msg->id != DZ_MSG_ready) {
        seat_refuse(self, "it sent a message that is not a worker's");
    }
}

/* It ends, most likely; seat_died() or, if it does not, the watch deals with it. */
static void
on_gone(void *arg, const char *why)
{
    struct seat *self = arg;
    log_debug("worker.gone", "num=%u child=%d why=%s", self->num, (int) self->pid, why);
    self->gone_at = dz_clock_us();
}

static const struct chan_ops ops = { .on_msg = on_msg, .on_gone = on_gone };

void
seat_wake(struct seat *self)
{
    chan_put(&self->chan, &(struct dz_msg){ .id = DZ_MSG_wake });
    chan_flush(&self->chan);
}

/* ------------------------------------------------------------------ birth */

static void
on_ended(void *arg, unsigned events)
{
    (void) events;
    struct seat *self = arg;
    dz_loop_unwatch(self->agent->loop, &self->watch);
    if (self->state == SEAT_DEAD)
        return;
    self->state = SEAT_DEAD;
    self->dead_at = dz_clock_us();
    if (kin_is_parent_gone(self->agent, self))
        seat_died(self, -1, (struct dz_slice){ 0 });
}

static enum dz_rc
adopt(struct seat *self, const int *fds, struct dz_err *err)
{
    struct agent *agent = self->agent;
    self->pty = fds[DZ_BORN_PTY];
    self->log = fds[DZ_BORN_LOG];
    self->crash = fds[DZ_BORN_CRASH];
    int shm = fds[DZ_BORN_SHM], sock = fds[DZ_BORN_SOCK];
    enum dz_rc rc = dz_shm_map(shm, &self->shm, err);
    dz_fd_close(&shm);
    enum dz_rc opened = chan_open(&self->chan, agent->loop, sock, &ops, self, err);
    rc = rc == DZ_OK ? opened : rc;
    if (rc == DZ_OK)
        rc = dz_fd_nonblock(self->pty, true, err);
    if (rc != DZ_OK)
        return rc;
    rc = dz_pidfd_open(self->pid, &self->pidfd, err);
    if (rc != DZ_OK)
        return rc == DZ_ABSENT ? DZ_OK : rc; /* it has ended by now: its parent tells how */
    self->watch =
        (struct dz_watch){ .fd = self->pidfd, .events = DZ_LOOP_READ, .fn = on_ended, .arg = self };
    rc = dz_loop_watch(agent->loop, &self->watch, err);
    if (rc != DZ_OK)
        self->watch.fd = -1;
    return rc;
}

static void
take_roll(struct seat *self, const struct legacy *legacy)
{
    struct agent *agent = self->agent;
    if (!self->is_solo)
        self->roll = agent->kin.roll ? roll_share(agent->kin.roll) : roll_new();
    else
        self->roll = legacy && legacy->roll ? roll_share(legacy->roll) : roll_new();
}

static void
come_up(struct seat *self)
{
    self->state = SEAT_LIVE;
    self->is_up = true;
    tell_worker_up(self);
    agent_event(self->agent,
                &(struct vassal_event){ .kind = VASSAL_EV_SLOT_UP, .as.slot.slot = self->num });
    watch_arm_tick(self->agent);
}

void
seat_born(struct seat *self, uint64_t life, pid_t pid, bool is_solo, const int *fds)
{
    struct agent *agent = self->agent;
    bool is_ours = self->state == SEAT_ASKED;
    bool is_to_die = is_ours && self->has_cause; /* killed before it was there */
    struct legacy *legacy = is_ours ? NULL : revive_find(agent, life);
    self->is_reborn = !is_ours;
    self->life = life;
    self->pid = pid;
    self->is_solo = is_solo;
    self->state = SEAT_COLLECTING;
    self->asked_at = 0;
    take_roll(self, legacy);
    struct dz_err err;
    if (adopt(self, fds, &err) != DZ_OK) {
        agent_log(agent, "worker jw%u cannot be used: %s", self->num, err.text);
        seat_kill(self, DZ_CAUSE_EXITED, err.text);
        return;
    }
    agent_log(agent, "worker jw%u is process %d", self->num, (int) pid);
    if (is_to_die) {
        seat_kill(self, DZ_CAUSE_STOPPED, "the run was stopped");
        return;
    }
    if (is_solo) {
        chan_put_frames(&self->chan, dz_buf_slice(&agent->inputs));
        chan_put_frames(&self->chan, dz_buf_slice(&agent->seat_inputs[self->num]));
    } else if (is_ours) {
        come_up(self);
    }
}

/* ------------------------------------------------------------------ an earlier agent's worker */

/* The k-th entry of the queue is the worker's k-th execution, so what it holds are the entries
 * from the last execution that was reported to the end. */
static bool
read_held(struct seat *self, struct dz_grant held[VASSAL_QUEUE_MAX], size_t *count_out)
{
    struct dz_shm *shm = self->shm;
    uint64_t word = atomic_load(&shm->queue);
    uint32_t end = (uint32_t) (word >> 32);
    uint32_t count = end - (uint32_t) self->last_exec;
    if (count > VASSAL_QUEUE_MAX)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t entry = atomic_load(&shm->slots[(self->last_exec + i) % DZ_QUEUE_CAP]);
        uint32_t local = (uint32_t) entry, attempt = (uint32_t) (entry >> 32);
        uint32_t test = local < self->roll->count ? self->roll->to_node[local] : CATALOG_NO_TEST;
        if (test == CATALOG_NO_TEST || attempt > UINT8_MAX)
            return false;
        held[i] = (struct dz_grant){ .test = test, .attempt = attempt };
        self->given[i] = (struct given){ .local = local, .attempt = attempt, .test = test };
    }
    self->given_len = count;
    *count_out = count;
    return true;
}

/* The last execution whose result left the ring, as far as spool or ring tell. */
static uint64_t
last_exec_of(struct seat *self, const struct legacy *legacy)
{
    if (legacy && legacy->last_exec > 0)
        return legacy->last_exec;
    DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
    uint64_t pos = self->ring_pos;
    struct dz_slice frame;
    struct dz_msg msg;
    size_t used = 0;
    if (dz_ring_read(self->shm, &pos, &bytes) == DZ_OK && bytes.len > 0 &&
        dz_frame_take(dz_buf_slice(&bytes), &frame, &used) == DZ_OK &&
        dz_msg_decode(frame, &msg) == DZ_OK && msg.id == DZ_MSG_result && msg.as.result.exec > 0)
        return msg.as.result.exec - 1;
    uint64_t exec = atomic_load(&self->shm->exec);
    return atomic_load(&self->shm->running) != 0 && exec > 0 ? exec - 1 : exec;
}

static void
attach(struct seat *self)
{
    struct agent *agent = self->agent;
    const struct legacy *legacy = revive_find(agent, self->life);
    self->ring_pos = atomic_load(&self->shm->ring_tail);
    if (legacy && legacy->partial_pos == self->ring_pos)
        dz_buf_add(&self->in, legacy->partial.data, legacy->partial.len);
    self->ring_done = self->ring_pos - self->in.len;
    self->last_exec = last_exec_of(self, legacy);
    self->log_at = atomic_load(&self->shm->log_len);
    struct dz_grant held[VASSAL_QUEUE_MAX];
    size_t count = 0;
    self->state = SEAT_LIVE;
    self->is_up = self->was_up = true;
    if (!read_held(self, held, &count)) {
        self->given_len = 0;
        count = 0;
        seat_refuse(self, "its queue is not what was given to it");
    }
    struct vassal_event event = {
        .kind = VASSAL_EV_ATTACHED,
        .as.attached = { .slot = self->num, .held = held, .count = count },
    };
    agent_event(agent, &event);
    agent_log(agent, "worker jw%u goes on with %zu tests", self->num, count);
    on_wake(self); /* it may have waited for us */
    watch_arm_tick(agent);
}

void
seat_present(struct seat *self)
{
    if (self->is_reborn)
        attach(self);
    else
        come_up(self);
}

/* ------------------------------------------------------------------ tests in, tests out */

struct given *
seat_find_given(struct seat *self, uint32_t local, uint32_t attempt)
{
    for (unsigned i = 0; i < self->given_len; i++) {
        if (self->given[i].local == local && self->given[i].attempt == attempt)
            return &self->given[i];
    }
    return NULL;
}

void
seat_drop_given(struct seat *self, struct given *given)
{
    size_t at = (size_t) (given - self->given);
    self->given_len--;
    memmove(given, given + 1, (self->given_len - at) * sizeof(*given));
}

/* False: the worker has no such test. */
static bool
put(struct seat *self, struct dz_grant grant)
{
    uint32_t local = grant.test < self->agent->manifest.count ? self->roll->to_local[grant.test]
                                                              : CATALOG_NO_TEST;
    if (local == CATALOG_NO_TEST)
        return false;
    dz_assert(self->given_len < VASSAL_QUEUE_MAX);
    self->given[self->given_len++] =
        (struct given){ .local = local, .attempt = grant.attempt, .test = grant.test };
    if (dz_queue_put(self->shm, local, grant.attempt) != DZ_OK)
        seat_refuse(self, "its queue is damaged");
    return true;
}

void
seat_feed(struct seat *self, const struct dz_grant *grants, size_t count, uint32_t more)
{
    struct dz_grant absent[VASSAL_QUEUE_MAX];
    size_t absent_count = 0;
    if (self->state != SEAT_LIVE) {
        log_debug("slot.feed_late", "num=%u tests=%zu", self->num, count);
        return; /* it has ended; SLOT_DOWN is on its way and takes them back */
    }
    for (size_t i = 0; i < count; i++) {
        if (!put(self, grants[i]) && absent_count < VASSAL_QUEUE_MAX)
            absent[absent_count++] = grants[i];
    }
    atomic_store(&self->shm->more, more);
    if (atomic_load(&self->shm->waiting) != 0)
        seat_wake(self);
    log_debug("slot.feed", "num=%u tests=%zu more=%u queue=%u", self->num, count, more,
              self->given_len);
    self->agent->calm = 0;
    watch_arm_tick(self->agent);
    if (absent_count == 0)
        return;
    struct vassal_event event = {
        .kind = VASSAL_EV_ABSENT,
        .as.back = { .slot = self->num, .grants = absent, .count = absent_count },
    };
    agent_event(self->agent, &event);
}

void
seat_unput(struct seat *self, size_t count)
{
    struct dz_grant back[VASSAL_QUEUE_MAX];
    size_t len = 0;
    while (self->state == SEAT_LIVE && len < count && len < VASSAL_QUEUE_MAX &&
           self->given_len > 0) {
        uint32_t local = 0, attempt = 0;
        if (dz_queue_unput(self->shm, &local, &attempt) != DZ_OK)
            break;
        struct given last = self->given[self->given_len - 1];
        if (last.local != local || last.attempt != attempt) {
            seat_refuse(self, "its queue is not what was given to it");
            break;
        }
        self->given_len--;
        back[len++] = (struct dz_grant){ .test = last.test, .attempt = last.attempt };
    }
    agent_log(self->agent, "take back %zu of %zu tests from jw%u", len, count, self->num);
    struct vassal_event event = {
        .kind = VASSAL_EV_UNPUT,
        .as.back = { .slot = self->num, .grants = back, .count = len },
    };
    agent_event(self->agent, &event);
}
