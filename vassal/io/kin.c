/* kin.c - seed and zygote.
 *
 * The seed forks zygotes (and solo workers), a zygote forks workers; each reaps its children and
 * tells.  An end is complete when the process has ended and its channel is read to the end, in
 * either order: what a zygote said last must not be lost. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/fd.h"
#include "shared/base/log.h"
#include "vassal/io/inside.h"

enum { TREE_BUDGET_MS = 2000 };

static void zygote_over(struct agent *agent);

uint64_t
kin_new_life(struct agent *agent)
{
    return (agent->inc & 0xff) << 24 | (++agent->lives & 0xffffff);
}

static bool
is_our_life(const struct agent *agent, uint64_t life)
{
    return life >> 24 == (agent->inc & 0xff);
}

/* ------------------------------------------------------------------ asking */

static void
ask(struct chan *chan, enum dz_fork_kind kind, unsigned num, uint64_t token)
{
    chan_put(chan, &(struct dz_msg){ .id = DZ_MSG_fork,
                                     .as.fork = { .kind = kind, .num = num, .token = token } });
}

void
kin_ask_zygote(struct agent *agent)
{
    struct kin *kin = &agent->kin;
    if (kin->is_seed_gone || kin->zygotes >= ZYGOTES_MAX) {
        agent_give_up(agent, kin->is_seed_gone
                                 ? "the seed process died: nothing can be forked any more"
                                 : "the zygote died again and again: the run stops here");
        return;
    }
    kin->zygotes++;
    kin->zygote_life = kin_new_life(agent);
    kin->zygote_asked_at = dz_clock_us();
    kin->is_leaving = false;
    ask(&kin->seed, DZ_FORK_ZYGOTE, 0, kin->zygote_life);
    agent_log(agent, "fork zygote, try %u", kin->zygotes);
}

/* Workers are forked from the seed, and not from a zygote. */
static bool
is_seeds_turn(const struct agent *agent)
{
    return agent->is_solo && !agent->kin.forks_solo;
}

/* One that may still come, or be replaced. */
bool
kin_can_fork(const struct agent *agent)
{
    const struct kin *kin = &agent->kin;
    if (is_seeds_turn(agent))
        return !kin->is_seed_gone;
    bool is_living = kin->zygote_pid != 0 && !kin->is_leaving;
    bool is_coming = kin->zygote_asked_at != 0 && !kin->is_seed_gone;
    bool will_come = !kin->is_seed_gone && kin->zygotes < ZYGOTES_MAX && !kin->is_leaving;
    return is_living || is_coming || will_come;
}

void
kin_ask_worker(struct agent *agent, struct seat *seat)
{
    struct kin *kin = &agent->kin;
    if (!kin_can_fork(agent)) {
        seat_cannot_fork(seat);
        return;
    }
    if (!is_seeds_turn(agent) && !kin->is_ready)
        return; /* the next zygote forks whoever is wanted */
    seat->life = kin_new_life(agent);
    seat->state = SEAT_ASKED;
    seat->asked_at = dz_clock_us();
    seat->has_cause = false;
    ask(is_seeds_turn(agent) ? &kin->seed : &kin->zygote,
        agent->is_solo ? DZ_FORK_SOLO : DZ_FORK_WORKER, seat->num, seat->life);
    agent_log(agent, "fork worker gw%u", seat->num);
}

static void
ask_wanted(struct agent *agent)
{
    for (unsigned i = 0; i < agent->seat_count; i++) {
        if (agent->seats[i].is_wanted && agent->seats[i].state == SEAT_NONE)
            kin_ask_worker(agent, &agent->seats[i]);
    }
}

void
kin_go_solo(struct agent *agent)
{
    agent->is_solo = true;
    agent_log(agent, "workers collect for themselves");
    for (unsigned i = 0; i < agent->seat_count; i++)
        agent->seats[i].is_wanted = true;
    ask_wanted(agent);
}

void
kin_quit(struct agent *agent)
{
    struct kin *kin = &agent->kin;
    kin->is_leaving = true;
    chan_put(&kin->zygote, &(struct dz_msg){ .id = DZ_MSG_quit });
    chan_flush(&kin->zygote);
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
keep_ready(struct agent *agent, uint64_t life, const struct dz_msg_ready *ready)
{
    struct dz_msg_ready kept = *ready;
    if (agent->has_manifest)
        kept.flags |= SPOOL_READY_LATE;
    spool_put_ready(agent->spool, life, &kept);
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
        ask_wanted(agent);
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
    keep_ready(agent, kin->zygote_life, ready);
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
    ask_wanted(agent);
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
    keep_ready(agent, seat->life, ready);
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
    zygote_over(agent);
}

static void zygote_said(void *arg, const struct dz_msg *msg);

static void
zygote_hung_up(void *arg, const char *why)
{
    struct agent *agent = arg;
    struct kin *kin = &agent->kin;
    log_debug("zygote.gone", "pid=%d why=%s", (int) kin->zygote_pid, why);
    if (!kin->is_leaving && kin->zygote_pidfd >= 0)
        (void) dz_pidfd_signal(kin->zygote_pidfd, SIGKILL); /* without a channel it is of no use */
    zygote_over(agent);
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
    log_debug("zygote.born", "pid=%d life=%llu", (int) born->pid, (unsigned long long) born->token);
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
        zygote_over(agent);
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

static void
seed_said(void *arg, const struct dz_msg *msg)
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

/* ------------------------------------------------------------------ deaths */

static void
seed_hung_up(void *arg, const char *why)
{
    struct agent *agent = arg;
    struct kin *kin = &agent->kin;
    log_debug("seed.gone", "pid=%d why=%s", (int) kin->seed_pid, why);
    kin->is_seed_gone = true;
    if (agent->state >= AGENT_ENDING) {
        kin->zygote_asked_at = 0;
        for (unsigned i = 0; i < agent->seat_count; i++) {
            if (agent->seats[i].state == SEAT_ASKED && is_seeds_turn(agent))
                agent->seats[i].state = SEAT_NONE;
        }
        agent_kin_ended(agent);
        return;
    }
    if (kin->zygote_asked_at != 0 || (kin->zygote_pid == 0 && !is_seeds_turn(agent))) {
        kin->zygote_asked_at = 0;
        agent_give_up(agent, "the seed process died: nothing can be forked any more");
        return;
    }
    tell_note(agent, 1, "the seed process died: workers that live go on, none can be replaced%s",
              is_seeds_turn(agent) ? "" : " once the zygote ends");
    for (unsigned i = 0; is_seeds_turn(agent) && i < agent->seat_count; i++) {
        struct seat *seat = &agent->seats[i];
        if (seat->state == SEAT_ASKED || (seat->state == SEAT_NONE && seat->is_wanted))
            seat_cannot_fork(seat);
    }
}

static const struct chan_ops seed_ops = { .on_msg = seed_said, .on_gone = seed_hung_up };

/* The seed's children live on when a zygote ends. */
static bool
is_seeds_child(const struct agent *agent, const struct seat *seat)
{
    if (seat->state == SEAT_ASKED)
        return is_seeds_turn(agent);
    return seat->is_solo && !agent->kin.forks_solo;
}

static bool
has_children_of_zygote(const struct agent *agent)
{
    for (unsigned i = 0; i < agent->seat_count; i++) {
        if (seat_has_process(&agent->seats[i]) && !is_seeds_child(agent, &agent->seats[i]))
            return true;
    }
    return false;
}

static void
forget_zygote(struct agent *agent)
{
    struct kin *kin = &agent->kin;
    dz_loop_unwatch(agent->loop, &kin->zygote_watch);
    dz_fd_close(&kin->zygote_pidfd);
    kin->zygote_pid = 0;
    kin->is_ready = false;
    roll_drop(&kin->roll);
}

static void
note_death(struct agent *agent)
{
    struct kin *kin = &agent->kin;
    char space[32];
    int status = (int) kin->zygote_status;
    const char *how = "for a reason that nobody told";
    if (kin->zygote_status >= 0 && WIFSIGNALED(status))
        how = dz_signal_name(WTERMSIG(status), space);
    else if (kin->zygote_status >= 0)
        how = "it ended by itself";
    tell_note(agent, 1, "the zygote died (%s); %s", how,
              kin->is_seed_gone || kin->zygotes >= ZYGOTES_MAX ? "it cannot be replaced"
                                                               : "a new one collects again");
}

/* Its workers die with it: nobody's fault. */
static void
end_children(struct agent *agent)
{
    for (unsigned i = 0; i < agent->seat_count; i++) {
        struct seat *seat = &agent->seats[i];
        if (is_seeds_child(agent, seat))
            continue; /* perhaps asked for while the zygote was on its way out */
        if (seat->state == SEAT_ASKED)
            seat->state = SEAT_NONE; /* still wanted: the next zygote is asked */
        else if (seat->state == SEAT_DEAD)
            seat_died(seat, -1, (struct dz_slice){ 0 });
        else if (seat_has_process(seat))
            seat_kill(seat, DZ_CAUSE_ZYGOTE, "its zygote died");
    }
}

/* Called at each sign of its end; acts when the last one is there: the process has ended, its
 * channel is read, and its workers are gone. */
static void
zygote_over(struct agent *agent)
{
    struct kin *kin = &agent->kin;
    if (kin->zygote_pid == 0 || !kin->is_zygote_ended || chan_is_open(&kin->zygote))
        return;
    bool is_expected_end = kin->is_leaving || agent->state >= AGENT_ENDING;
    kin->is_ready = false;
    end_children(agent);
    if (kin->zygote_pid == 0 || has_children_of_zygote(agent))
        return; /* the last of them comes here again */
    if (!is_expected_end)
        note_death(agent);
    forget_zygote(agent);
    if (agent->state >= AGENT_ENDING)
        agent_kin_ended(agent);
    else if (!is_expected_end)
        kin_ask_zygote(agent);
}

void
kin_child_gone(struct agent *agent)
{
    zygote_over(agent);
    if (agent->state == AGENT_ENDING)
        agent_kin_ended(agent);
}

bool
kin_is_parent_gone(const struct agent *agent, const struct seat *seat)
{
    const struct kin *kin = &agent->kin;
    if (is_seeds_child(agent, seat))
        return kin->is_seed_gone;
    return kin->zygote_pid == 0 || kin->is_zygote_ended || !chan_is_open(&kin->zygote);
}

void
kin_kill_zygote(struct agent *agent)
{
    if (agent->kin.zygote_pidfd >= 0)
        (void) dz_pidfd_signal(agent->kin.zygote_pidfd, SIGKILL);
}

static void
kill_seed(struct agent *agent)
{
    struct kin *kin = &agent->kin;
    if (kin->seed_pidfd >= 0)
        (void) dz_pidfd_signal(kin->seed_pidfd, SIGKILL);
    chan_close(&kin->seed);
    seed_hung_up(agent, "it did not answer");
}

void
kin_check(struct agent *agent, dz_us now)
{
    struct kin *kin = &agent->kin;
    if (kin->zygote_pid != 0 && kin->is_zygote_ended)
        zygote_over(agent);
    if (kin->zygote_asked_at != 0 && now - kin->zygote_asked_at > FORK_PATIENCE_US)
        kill_seed(agent);
    if (kin->resay_at != 0 && !kin->is_ready && now > kin->resay_at)
        kin_kill_zygote(agent);
    for (unsigned i = 0; i < agent->seat_count; i++) {
        struct seat *seat = &agent->seats[i];
        if (seat->state != SEAT_ASKED || now - seat->asked_at <= FORK_PATIENCE_US)
            continue;
        seat->asked_at = now;
        if (is_seeds_turn(agent))
            kill_seed(agent);
        else
            kin_kill_zygote(agent);
    }
}

/* ------------------------------------------------------------------ life */

void
kin_init(struct agent *agent, int seed_fd)
{
    struct kin *kin = &agent->kin;
    chan_init(&kin->seed);
    chan_init(&kin->zygote);
    kin->seed_pidfd = kin->zygote_pidfd = kin->zygote_watch.fd = kin->seed_watch.fd = -1;
    kin->seed_fd = seed_fd;
    kin->oom = dz_oom_count(&agent->oom);
}

enum dz_rc
kin_listen(struct agent *agent, struct dz_err *err)
{
    int fd = agent->kin.seed_fd;
    agent->kin.seed_fd = -1;
    return chan_open(&agent->kin.seed, agent->loop, fd, &seed_ops, agent, err);
}

void
kin_fini(struct agent *agent)
{
    struct kin *kin = &agent->kin;
    forget_zygote(agent);
    chan_close(&kin->zygote);
    chan_close(&kin->seed);
    dz_fd_close(&kin->seed_fd);
    dz_fd_close(&kin->seed_pidfd);
}

/* Groups first, then the zygote, then whatever came to the seed, which is subreaper and so has
 * them all; the seed last. */
void
kin_kill_all(struct agent *agent)
{
    struct kin *kin = &agent->kin;
    for (unsigned i = 0; i < agent->seat_count; i++) {
        if (seat_has_process(&agent->seats[i]))
            dz_group_signal(agent->seats[i].pid, SIGKILL);
    }
    if (kin->zygote_pid != 0 && kin->is_seed_gone)
        (void) dz_tree_kill(kin->zygote_pid, TREE_BUDGET_MS);
    kin_kill_zygote(agent);
    if (kin->seed_pid == 0 || kin->is_seed_gone)
        return;
    (void) dz_tree_kill(kin->seed_pid, TREE_BUDGET_MS);
    (void) dz_pidfd_signal(kin->seed_pidfd, SIGKILL);
}
