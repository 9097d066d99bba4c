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

uint64_t
kin_new_life(struct agent *agent)
{
    return (agent->inc & 0xff) << 24 | (++agent->lives & 0xffffff);
}

/* ------------------------------------------------------------------ asking */

static void
ask(const struct agent *agent, struct chan *chan, enum dz_fork_kind kind, unsigned num,
    uint64_t token)
{
    bool will_collect = kind != DZ_FORK_WORKER;
    struct dz_msg_fork fork = { .kind = kind, .num = num, .token = token };
    if (will_collect)
        fork.budgets = agent->place.budgets;
    chan_put(chan, &(struct dz_msg){ .id = DZ_MSG_fork, .as.fork = fork });
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
    ask(agent, &kin->seed, DZ_FORK_ZYGOTE, 0, kin->zygote_life);
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
    ask(agent, is_seeds_turn(agent) ? &kin->seed : &kin->zygote,
        agent->is_solo ? DZ_FORK_SOLO : DZ_FORK_WORKER, seat->num, seat->life);
    agent_log(agent, "fork worker jw%u", seat->num);
}

void
kin_ask_wanted(struct agent *agent)
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
    kin_ask_wanted(agent);
}

void
kin_quit(struct agent *agent)
{
    struct kin *kin = &agent->kin;
    kin->is_leaving = true;
    chan_put(&kin->zygote, &(struct dz_msg){ .id = DZ_MSG_quit });
    chan_flush(&kin->zygote);
}

/* ------------------------------------------------------------------ deaths */

static void
seed_hung_up(void *arg, const char *why)
{
    struct agent *agent = arg;
    struct kin *kin = &agent->kin;
    log_debug("seed.gone", "child=%d why=%s", (int) kin->seed_pid, why);
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

static const struct chan_ops seed_ops = { .on_msg = kin_seed_said, .on_gone = seed_hung_up };

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
void
kin_zygote_over(struct agent *agent)
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
    kin_zygote_over(agent);
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
        kin_zygote_over(agent);
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

static bool
is_stopped_for_good(pid_t pid, dz_us *since, dz_us now)
{
    if (pid <= 1 || !dz_proc_is_stopped(pid)) {
        *since = 0;
        return false;
    }
    *since = *since ? *since : now;
    return now - *since > STOPPED_MAX_US;
}

/* A controller that is stopped is the user's wish, and so is Ctrl-Z, which stops us too: then
 * everybody waits. */
void
kin_check_stopped(struct agent *agent, dz_us now)
{
    struct kin *kin = &agent->kin;
    bool were_we_away = now - agent->last_alive > 3 * (dz_us) ALIVE_US;
    if (!were_we_away && now - kin->stop_checked_at < STOP_CHECK_US)
        return;
    kin->stop_checked_at = now;
    if (were_we_away || dz_proc_is_stopped(getppid())) {
        kin->zygote_stopped_at = kin->seed_stopped_at = 0;
        return;
    }
    if (is_stopped_for_good(kin->zygote_pid, &kin->zygote_stopped_at, now)) {
        tell_note(agent, 1, "the zygote was stopped for %d s: it is killed",
                  STOPPED_MAX_US / 1000000);
        kin_kill_zygote(agent);
    }
    if (!kin->is_seed_gone && is_stopped_for_good(kin->seed_pid, &kin->seed_stopped_at, now)) {
        tell_note(agent, 1, "the seed was stopped for %d s: it is killed",
                  STOPPED_MAX_US / 1000000);
        kill_seed(agent);
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
