/* birth.c - who was born, what they collected, and what seed and zygote say. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/fd.h"
#include "shared/base/log.h"
#include "vassal/io/inside.h"

static bool
is_our_life(const struct agent *agent, uint64_t life)
{
    return life >> 24 == (agent->inc & 0xff);
}

/* ------------------------------------------------------------------ ready */

bool
kin_is_collecting(const struct agent *agent)
{
    for (unsigned i = 0; i < agent->seat_count; i++) {
        enum seat_state state = agent->seats[i].state;
        if (state == SEAT_ASKED || (state == SEAT_COLLECTING && !agent->seats[i].roll->is_complete))
            return true;
    }
    return false;
}

/* What the node's manifest was made of is told from what came later. */
static void
keep_ready(struct agent *agent, uint64_t life, const struct dz_msg_ready *ready, bool is_patient)
{
    struct dz_msg_ready kept = *ready;
    if (agent->has_manifest)
        kept.flags |= SPOOL_READY_LATE;
    spool_put_ready(agent->spool, life, &kept, is_patient);
}

static void
no_go(struct agent *agent, const struct dz_msg_ready *ready)
{
    agent->kin.is_leaving = true; /* it goes through pytest's end by itself */
    agent->done = (struct dz_msg_done){
        .collected = ready->total, .not_run = ready->total, .nodes = 1, .workers = agent->seat_count
    };
    for (unsigned i = 0; i < agent->seat_count; i++)
        seat_kill(&agent->seats[i], DZ_CAUSE_STOPPED, "nothing is to be run");
    agent_wind_down(agent, 0);
}

static void
map_and_go_on(struct agent *agent, struct roll *roll)
{
    uint32_t strangers = catalog_map(&agent->manifest, roll);
    if (strangers > 0)
        tell_note(agent, 1, "%u tests that were collected later were not there at first: not run",
                  strangers);
}

/* A zygote that has not collected: its workers will. */
static void
fork_collectors(struct agent *agent)
{
    struct kin *kin = &agent->kin;
    kin->forks_solo = agent->is_solo = kin->is_ready = true;
    kin->resay_at = 0;
    if (agent->is_waiting_births)
        dz_loop_set(agent->loop, &agent->rebirth, dz_clock_us() + REBIRTH_US / 4);
    else if (agent->has_manifest)
        kin_ask_wanted(agent);
    else
        kin_go_solo(agent);
}

void
kin_zygote_ready(struct agent *agent, const struct dz_msg_ready *ready)
{
    struct kin *kin = &agent->kin;
    if (agent->state >= AGENT_ENDING || kin->is_ready || !kin->roll)
        return;
    if (ready->flags & DZ_READY_READS_ID) {
        kin_quit(agent);
        kin_go_solo(agent);
        return;
    }
    if (ready->go && (ready->flags & DZ_READY_FORK_SOLO)) {
        fork_collectors(agent);
        return;
    }
    agent->deselected = (uint32_t) ready->deselected;
    if (!ready->go) {
        no_go(agent, ready);
        return;
    }
    keep_ready(agent, kin->zygote_life, ready, true);
    kin->resay_at = 0;
    kin->roll->is_complete = true;
    kin->is_ready = true;
    if (agent->is_waiting_births) { /* its workers are named next */
        dz_loop_set(agent->loop, &agent->rebirth, dz_clock_us() + REBIRTH_US / 4);
        return;
    }
    if (!agent->has_manifest) {
        agent_begin_run(agent);
        return;
    }
    map_and_go_on(agent, kin->roll);
    kin_ask_wanted(agent);
}

void
kin_solo_ready(struct agent *agent, struct seat *seat, const struct dz_msg_ready *ready)
{
    if (agent->state >= AGENT_ENDING || seat->state != SEAT_COLLECTING || seat->roll->is_complete)
        return;
    if (!ready->go && !agent->has_manifest) {
        agent->deselected = (uint32_t) ready->deselected;
        no_go(agent, ready);
        return;
    }
    if (!ready->go) {
        seat_kill(seat, DZ_CAUSE_FATAL, "it could not collect what others did");
        return;
    }
    agent->deselected = (uint32_t) ready->deselected;
    keep_ready(agent, seat->life, ready, false); /* it may be in a long test */
    seat->roll->is_complete = true;
    if (agent->has_manifest) {
        map_and_go_on(agent, seat->roll);
        seat_present(seat);
    } else if (!kin_is_collecting(agent)) {
        agent_begin_run(agent);
    }
}

/* ------------------------------------------------------------------ births */

void
kin_relay_in(struct agent *agent, const struct dz_msg_relay *relay)
{
    struct dz_msg msg = { .id = DZ_MSG_relay, .as.relay = *relay };
    msg.as.relay.from = DZ_ROLE_CONTROLLER;
    if (relay->to == DZ_ROLE_ZYGOTE) {
        dz_msg_encode_framed(&msg, &agent->inputs);
        chan_put(&agent->kin.zygote, &msg);
        for (unsigned i = 0; i < agent->seat_count; i++) {
            if (agent->seats[i].is_solo)
                chan_put(&agent->seats[i].chan, &msg);
        }
    } else if (relay->to == DZ_ROLE_WORKER && relay->num < agent->seat_count) {
        if (agent->is_solo)
            dz_msg_encode_framed(&msg, &agent->seat_inputs[relay->num]);
        chan_put(&agent->seats[relay->num].chan, &msg);
    }
}

static void
on_zygote_ended(void *arg, unsigned events)
{
    (void) events;
    struct agent *agent = arg;
    dz_loop_unwatch(agent->loop, &agent->kin.zygote_watch);
    agent->kin.is_zygote_ended = true;
    kin_zygote_over(agent);
}

static void zygote_said(void *arg, const struct dz_msg *msg);

static void
zygote_hung_up(void *arg, const char *why)
{
    struct agent *agent = arg;
    struct kin *kin = &agent->kin;
    log_debug("zygote.gone", "child=%d why=%s", (int) kin->zygote_pid, why);
    if (!kin->is_leaving && kin->zygote_pidfd >= 0)
        (void) dz_pidfd_signal(kin->zygote_pidfd, SIGKILL); /* without a channel it is of no use */
    kin_zygote_over(agent);
    agent_kin_ended(agent);
}

static const struct chan_ops zygote_ops = { .on_msg = zygote_said, .on_gone = zygote_hung_up };

static void
learn_seed(struct agent *agent, pid_t child)
{
    struct kin *kin = &agent->kin;
    pid_t parent = dz_proc_parent(child);
    if (kin->seed_pid != 0 || parent <= 1 || parent == getppid())
        return;
    if (dz_pidfd_open(parent, &kin->seed_pidfd, NULL) == DZ_OK)
        kin->seed_pid = parent;
}

/* A zygote that an earlier agent asked for.  Where the spool does not know its collection it says
 * that again, or, if it was in the midst of it, ends for want of a channel. */
static bool
adopt_zygote(struct agent *agent, uint64_t life)
{
    struct kin *kin = &agent->kin;
    struct legacy *legacy = revive_find(agent, life);
    bool is_known = legacy && legacy->is_ready;
    if (!agent->is_waiting_births)
        return false;
    kin->zygote_life = life;
    kin->roll = is_known ? roll_share(legacy->roll) : roll_new();
    kin->is_ready = is_known;
    kin->zygotes++;
    kin->resay_at = is_known ? 0 : dz_clock_us() + FORK_PATIENCE_US;
    if (is_known) {
        agent->deselected = legacy->deselected;
        dz_loop_set(agent->loop, &agent->rebirth, dz_clock_us() + REBIRTH_US / 4);
    }
    return true;
}

/* It may have ended by now, and what it said is in its channel all the same. */
static void
watch_zygote(struct agent *agent, pid_t pid)
{
    struct kin *kin = &agent->kin;
    kin->zygote_pid = pid;
    kin->zygote_status = -1;
    kin->is_zygote_ended = dz_pidfd_open(pid, &kin->zygote_pidfd, NULL) != DZ_OK;
    if (kin->is_zygote_ended)
        return;
    kin->zygote_watch = (struct dz_watch){
        .fd = kin->zygote_pidfd, .events = DZ_LOOP_READ, .fn = on_zygote_ended, .arg = agent
    };
    if (dz_loop_watch(agent->loop, &kin->zygote_watch, NULL) != DZ_OK)
        kin->zygote_watch.fd = -1; /* its parent tells as well */
}

static void
zygote_born(struct agent *agent, const struct dz_msg_born *born)
{
    struct kin *kin = &agent->kin;
    int channel = -1;
    if (!chan_take_fds(&kin->seed, &channel, 1))
        return;
    bool is_free = kin->zygote_pid == 0 && born->pid > 1;
    bool is_asked = is_free && kin->zygote_asked_at != 0 && born->token == kin->zygote_life;
    if (is_asked)
        kin->roll = roll_new();
    else if (!is_free || !adopt_zygote(agent, born->token)) {
        dz_fd_close(&channel); /* without one it ends */
        return;
    }
    kin->zygote_asked_at = 0;
    learn_seed(agent, (pid_t) born->pid);
    watch_zygote(agent, (pid_t) born->pid);
    if (chan_open(&kin->zygote, agent->loop, channel, &zygote_ops, agent, NULL) != DZ_OK)
        zygote_hung_up(agent, "its channel cannot be watched");
    chan_put_frames(&kin->zygote, dz_buf_slice(&agent->inputs));
    if (agent->state >= AGENT_ENDING)
        kin_kill_zygote(agent); /* it comes too late */
    log_debug("zygote.born", "child=%d life=%llu", (int) born->pid,
              (unsigned long long) born->token);
}

/* Only a seat that waits for this very process takes it; or one that has none, from a process
 * that an earlier agent asked for. */
static bool
is_expected(const struct agent *agent, const struct seat *seat, uint64_t life)
{
    if (seat->state == SEAT_ASKED)
        return seat->life == life;
    return seat->state == SEAT_NONE && agent->is_waiting_births && !is_our_life(agent, life);
}

static void
worker_born(struct agent *agent, struct chan *parent, const struct dz_msg_born *born)
{
    int fds[DZ_BORN_FDS];
    bool is_solo = born->kind == DZ_FORK_SOLO;
    if (!chan_take_fds(parent, fds, DZ_BORN_FDS))
        return; /* its death will be told as that of a stranger */
    struct seat *seat = born->num < agent->seat_count ? &agent->seats[born->num] : NULL;
    if (!seat || born->pid <= 1 || !is_expected(agent, seat, born->token)) {
        for (size_t i = 0; i < DZ_BORN_FDS; i++)
            dz_fd_close(&fds[i]);
        if (born->pid > 1)
            dz_group_signal((pid_t) born->pid, SIGKILL);
        return;
    }
    if (is_solo && parent == &agent->kin.seed)
        learn_seed(agent, (pid_t) born->pid);
    seat_born(seat, born->token, (pid_t) born->pid, is_solo, fds);
}

static struct seat *
seat_of_pid(struct agent *agent, uint64_t pid)
{
    for (unsigned i = 0; i < agent->seat_count; i++) {
        if (seat_has_process(&agent->seats[i]) && (uint64_t) agent->seats[i].pid == pid)
            return &agent->seats[i];
    }
    return NULL;
}

static void
child_died(struct agent *agent, const struct dz_msg_died *died)
{
    struct seat *seat = seat_of_pid(agent, died->pid);
    if (seat)
        seat_died(seat, (int64_t) died->status, died->leftovers);
    else if ((uint64_t) agent->kin.zygote_pid == died->pid && died->pid != 0) {
        agent->kin.is_zygote_ended = true;
        agent->kin.zygote_status = (int64_t) died->status;
        kin_zygote_over(agent);
    }
}

/* ------------------------------------------------------------------ what they say */

static void
zygote_said(void *arg, const struct dz_msg *msg)
{
    struct agent *agent = arg;
    struct kin *kin = &agent->kin;
    struct dz_err err;
    switch ((int) msg->id) {
    case DZ_MSG_relay: tell_relay(agent, DZ_ROLE_ZYGOTE, 0, msg->as.relay.body); return;
    case DZ_MSG_manifest:
        if (kin->is_ready)
            return;
        spool_put_roll(agent->spool, kin->zygote_life, &msg->as.manifest);
        if (roll_add(kin->roll, &msg->as.manifest, &err) != DZ_OK)
            agent_give_up(agent, "the collection cannot be used: %s", err.text);
        return;
    case DZ_MSG_ready: kin_zygote_ready(agent, &msg->as.ready); return;
    case DZ_MSG_born:
        if (msg->as.born.kind != DZ_FORK_ZYGOTE)
            worker_born(agent, &kin->zygote, &msg->as.born);
        return;
    case DZ_MSG_died: child_died(agent, &msg->as.died); return;
    default: agent->refused++;
    }
}

void
kin_seed_said(void *arg, const struct dz_msg *msg)
{
    struct agent *agent = arg;
    agent->kin.seed_asked_at = 0;
    switch ((int) msg->id) {
    case DZ_MSG_born:
        if (msg->as.born.kind == DZ_FORK_ZYGOTE)
            zygote_born(agent, &msg->as.born);
        else if (msg->as.born.kind == DZ_FORK_SOLO) {
            agent->is_solo = true;
            worker_born(agent, &agent->kin.seed, &msg->as.born);
        }
        return;
    case DZ_MSG_died: child_died(agent, &msg->as.died); return;
    default: agent->refused++;
    }
}
