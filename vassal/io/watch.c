/* watch.c - what happens because time passes. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "vassal/io/inside.h"

/* ------------------------------------------------------------------ the running test */

/* Before the teardown a worker asks what comes next, and our answer may take longer than any test: that
 * time is not its test's.  Once it is answered, time counts again, whether it was awake to hear or not. */
static bool
waits_for_us(const struct seat *seat)
{
    struct dz_shm *shm = seat->shm;
    return atomic_load(&shm->waiting) != 0 && dz_queue_len(shm) == 0 &&
           atomic_load(&shm->more) == DZ_MORE_ASK;
}

/* started_us is the worker's claim; it counts from when it can be true.  A test that is first seen
 * waiting was in time, whatever a former agent let it wait. */
static void
observe(struct seat *seat, dz_us now)
{
    uint64_t running = atomic_load(&seat->shm->running);
    uint64_t exec = atomic_load(&seat->shm->exec);
    if (running == seat->seen_running && exec == seat->seen_exec) {
        seat->waited_us += waits_for_us(seat) ? now - seat->agent->last_tick : 0;
        return;
    }
    int64_t started = atomic_load(&seat->shm->started_us);
    bool is_plausible = started >= seat->agent->last_tick && started <= now;
    seat->seen_running = running;
    seat->seen_exec = exec;
    seat->seen_us = is_plausible ? started : now;
    seat->waited_us = waits_for_us(seat) ? now - seat->seen_us : 0;
    seat->stacks_at = 0;
    seat->log_test = 0;
    seat->is_named = false;
    seat->agent->is_dirty = true;
}

static int64_t
stacks_len(const struct seat *seat)
{
    struct stat info;
    return fstat(seat->crash, &info) == 0 ? (int64_t) info.st_size : 0;
}

static void
ask_for_stacks(struct seat *seat, dz_us now)
{
    seat->stacks_at = seat->crash_grew_at = now;
    seat->crash_len = stacks_len(seat);
    (void) dz_pidfd_signal(seat->pidfd, SIGRTMIN + STACKS_SIGNAL_OFFSET);
    agent_log(seat->agent, "a test in jw%u is above its limit: its stacks are taken", seat->num);
}

static void
kill_overdue(struct seat *seat)
{
    char why[96];
    (void) snprintf(why, sizeof(why), "above its limit of %.3f s",
                    (double) seat->agent->timeout_us / 1e6);
    seat_kill(seat, DZ_CAUSE_TIMEOUT, why);
}

void
watch_overdue(struct seat *seat)
{
    seat->is_refused = true;
    kill_overdue(seat);
}

/* First the stacks, then, when no more of them come, the end. */
static void
enforce_limit(struct seat *seat, dz_us now)
{
    struct agent *agent = seat->agent;
    if (agent->timeout_us == 0 || seat->seen_running == 0)
        return;
    if (now - seat->seen_us - seat->waited_us < agent->timeout_us)
        return;
    if (seat->stacks_at == 0) {
        ask_for_stacks(seat, now);
        return;
    }
    int64_t len = stacks_len(seat);
    if (len > seat->crash_len) {
        seat->crash_len = len;
        seat->crash_grew_at = now;
    }
    bool is_quiet =
        seat->crash_grew_at > seat->stacks_at && now - seat->crash_grew_at > STACKS_QUIET_US;
    if (!is_quiet && now - seat->stacks_at < STACKS_PATIENCE_US)
        return;
    kill_overdue(seat);
}

static void
look_at(struct seat *seat, dz_us now)
{
    struct agent *agent = seat->agent;
    if (seat->state == SEAT_LIVE) {
        seat_drain(seat);
        if (seat->state != SEAT_LIVE)
            return;
        observe(seat, now);
        enforce_limit(seat, now);
    }
    /* short tests are drained by the worker itself */
    if (seat->state != SEAT_LIVE || seat->seen_running == 0 || now - seat->seen_us > TICK_US)
        seat_drain_output(seat);
    if (seat->state == SEAT_DEAD && now - seat->dead_at > FORK_PATIENCE_US)
        seat_died(seat, -1, (struct dz_slice){ 0 });
    else if (seat->gone_at != 0 && seat->state != SEAT_DEAD &&
             now - seat->gone_at > EOF_PATIENCE_US && agent->state < AGENT_DONE)
        seat_kill(seat, DZ_CAUSE_SIGNAL, "killed by dagz: it closed its channel and lived on");
}

/* This process itself stood still (Ctrl-Z, a container that is paused): that is not the tests' time. */
static void
was_away(struct agent *agent, dz_us now)
{
    dz_us away = now - agent->last_tick;
    for (unsigned i = 0; i < agent->seat_count; i++) {
        struct seat *seat = &agent->seats[i];
        seat->seen_us = seat->seen_us + away < now ? seat->seen_us + away : now;
    }
    agent->last_tick = now; /* nor does one that began meanwhile count from then */
}

static void
on_tick(void *arg)
{
    struct agent *agent = arg;
    dz_us now = dz_clock_us();
    bool is_running = false;
    if (now - agent->last_tick > AWAY_US)
        was_away(agent, now);
    for (unsigned i = 0; i < agent->seat_count; i++) {
        if (seat_has_process(&agent->seats[i]))
            look_at(&agent->seats[i], now);
        is_running |= agent->seats[i].seen_running != 0;
    }
    if (is_running && !agent->output.is_listed)
        dz_loop_set(agent->loop, &agent->output, now + OUTPUT_US);
    agent->calm = is_running ? 0 : agent->calm < CALM_MAX ? agent->calm + 1 : CALM_MAX;
    kin_check(agent, now);
    agent->last_tick = now;
    watch_arm_tick(agent);
}

/* Nobody is on the way out: whatever happens next is said, and only patience of many seconds can run out.
 * A thousand agents on a machine that look after nothing ten times a second would keep it busy. */
static bool
is_quiet(const struct agent *agent)
{
    bool is_at_work = agent->state == AGENT_COLLECTING || agent->state == AGENT_RUNNING;
    if (!is_at_work || agent->kin.is_zygote_ended)
        return false;
    for (unsigned i = 0; i < agent->seat_count; i++)
        if (agent->seats[i].state == SEAT_DEAD || agent->seats[i].gone_at != 0)
            return false;
    return true;
}

void
watch_arm_tick(struct agent *agent)
{
    bool is_busy = false;
    for (unsigned i = 0; i < agent->seat_count && !is_busy; i++)
        is_busy = agent->seats[i].state == SEAT_LIVE && agent->seats[i].given_len > 0;
    dz_us idle_us = is_quiet(agent) ? QUIET_TICK_US : IDLE_TICK_US;
    dz_us pause = is_busy ? TICK_US << agent->calm : idle_us;
    dz_us at = dz_clock_us() + pause;
    if (agent->tick.is_listed && at >= agent->tick.at)
        return;
    agent->tick.early = pause > TICK_US ? pause / 2 : 0;
    dz_loop_set(agent->loop, &agent->tick, at);
}

/* ------------------------------------------------------------------ the core's clock */

static void
on_core_time(void *arg)
{
    agent_event(arg, &(struct vassal_event){ .kind = VASSAL_EV_TICK });
}

void
watch_arm_core(struct agent *agent)
{
    dz_us at = agent->core ? vassal_next(agent->core) : INT64_MAX;
    if (at == INT64_MAX)
        dz_loop_unset(agent->loop, &agent->core_timer);
    else
        dz_loop_set(agent->loop, &agent->core_timer, at > 0 ? at : 1);
}

/* ------------------------------------------------------------------ heartbeat and progress */

/* What a running test printed since the last look; one that is silent for a second is named, so that
 * whoever reads the log sees what runs.  True: something was logged. */
static bool
log_running(struct seat *seat, dz_us now)
{
    uint64_t end = atomic_load(&seat->shm->log_len);
    if (seat->state != SEAT_LIVE || seat->seen_running == 0 || now - seat->seen_us < OUTPUT_US)
        return false;
    bool is_silent = seat->log_test == 0 && !seat->is_named && now - seat->seen_us > ALIVE_US;
    struct given *given = seat_find_given(seat, (uint32_t) seat->seen_running - 1,
                                          (uint32_t) (seat->seen_running >> 32));
    if (!given || (end <= seat->log_at && !is_silent))
        return false;
    seat->is_named = true;
    if (end > seat->log_at)
        seat_store_output(seat, end, given->test, given->attempt, seat->seen_us, now);
    else
        seat_name_running(seat, given->test, given->attempt, seat->seen_us);
    return true;
}

static void
on_output(void *arg)
{
    struct agent *agent = arg;
    dz_us now = dz_clock_us(), pause = OUTPUT_US;
    bool has_news = false, is_running = false;
    for (unsigned i = 0; i < agent->seat_count; i++) {
        if (agent->seats[i].shm && seat_has_process(&agent->seats[i]))
            has_news |= log_running(&agent->seats[i], now);
        is_running |= agent->seats[i].seen_running != 0;
    }
    if (has_news && agent->job) {
        agent->up.flush(agent->up.arg);
        dz_us cost = dz_clock_us() - now;
        pause = cost * OUTPUT_SHARE > OUTPUT_US ? cost * OUTPUT_SHARE : OUTPUT_US;
    }
    if (is_running) /* else the tick that sees one run begins again */
        dz_loop_set(agent->loop, &agent->output, dz_clock_us() + pause);
}

static void
on_alive(void *arg)
{
    struct agent *agent = arg;
    dz_us now = dz_clock_us();
    tell_alive(agent);
    kin_check_stopped(agent, now);
    agent->last_alive = now;
    if (agent->job)
        agent->up.flush_soon(agent->up.arg);
    dz_loop_set(agent->loop, &agent->alive, now + ALIVE_US);
}

static void
on_progress(void *arg)
{
    struct agent *agent = arg;
    if (agent->is_dirty && agent->state == AGENT_RUNNING && chan_backlog(&agent->controller) == 0)
        tell_progress(agent);
}

void
watch_arm_progress(struct agent *agent)
{
    if (agent->is_dirty && !agent->progress.is_listed)
        dz_loop_set(agent->loop, &agent->progress, dz_clock_us() + PROGRESS_US);
}

static void
on_sched_log(void *arg)
{
    struct agent *agent = arg;
    dz_loop_set(agent->loop, &agent->sched_log, dz_clock_us() + SCHED_LOG_US);
    if (agent->state != AGENT_RUNNING)
        return;
    char line[512];
    int len = 0;
    for (unsigned i = 0; i < agent->seat_count && len < (int) sizeof(line) - 32; i++)
        len += snprintf(line + len, sizeof(line) - (size_t) len, " jw%u=%u", i,
                        agent->seats[i].given_len);
    struct uplink_progress progress = { 0 };
    agent->up.progress(agent->up.arg, &progress);
    agent_log(agent, "progress: %llu of %llu done, unfinished=%llu; granted%s",
              (unsigned long long) progress.done, (unsigned long long) progress.total,
              (unsigned long long) (progress.total - progress.done), line);
}

static void
on_wind_down(void *arg)
{
    struct agent *agent = arg;
    tell_note(agent, 1, "the zygote did not end: it was killed");
    kin_kill_all(agent);
    agent_kin_ended(agent);
}

void
watch_init(struct agent *agent)
{
    agent->tick = (struct dz_timer){ .fn = on_tick, .arg = agent };
    agent->core_timer = (struct dz_timer){ .fn = on_core_time, .arg = agent };
    agent->alive = (struct dz_timer){ .fn = on_alive, .arg = agent, .early = ALIVE_US / 4 };
    agent->progress =
        (struct dz_timer){ .fn = on_progress, .arg = agent, .early = PROGRESS_US / 2 };
    agent->output = (struct dz_timer){ .fn = on_output, .arg = agent };
    agent->sched_log = (struct dz_timer){ .fn = on_sched_log, .arg = agent };
    agent->wind_down = (struct dz_timer){ .fn = on_wind_down, .arg = agent };
    dz_us now = agent->last_alive = dz_clock_us();
    dz_loop_set(agent->loop, &agent->tick, now + IDLE_TICK_US);
    dz_loop_set(agent->loop, &agent->alive, now + ALIVE_US);
    dz_loop_set(agent->loop, &agent->sched_log, now + SCHED_LOG_US);
}
