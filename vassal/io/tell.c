/* tell.c - words to the controller, and the lines of this agent in the store's log. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "vassal/io/inside.h"

enum { LINE_MAX_LEN = 1024, ID_SHOWN_MAX = 65535 };

static void
say(struct agent *agent, const struct dz_msg *msg)
{
    chan_put(&agent->controller, msg);
}

static struct dz_slice
shortened(struct dz_slice text, size_t limit)
{
    if (text.len > limit)
        text.len = limit;
    return text;
}

static struct dz_slice
id_of(const struct agent *agent, uint32_t test)
{
    struct dz_slice none = { 0 };
    return test < agent->manifest.count
               ? shortened(catalog_id(&agent->manifest, test), ID_SHOWN_MAX)
               : none;
}

void
tell_job(struct agent *agent, const struct uplink_job *job)
{
    say(agent, &(struct dz_msg){ .id = DZ_MSG_job,
                                 .as.job = { .id = dz_str(job->ulid),
                                             .short_id = dz_str(job->short_id),
                                             .store = dz_str(job->store),
                                             .workers = agent->seat_count,
                                             .home = dz_str(job->home) } });
}

void
tell_report(struct agent *agent, const struct cargo_item *item)
{
    say(agent, &(struct dz_msg){ .id = DZ_MSG_report,
                                 .as.report = { .test = item->outcome.what.test,
                                                .attempt = item->outcome.what.attempt,
                                                .exec = item->outcome.exec,
                                                .worker = item->outcome.slot,
                                                .result = item->outcome.result,
                                                .blob = cargo_blob(item) } });
}

void
tell_verdict(struct agent *agent, const struct cargo_item *item, bool is_counted)
{
    say(agent, &(struct dz_msg){ .id = DZ_MSG_verdict,
                                 .as.verdict = { .test = item->outcome.what.test,
                                                 .attempt = item->outcome.what.attempt,
                                                 .worker = item->outcome.slot,
                                                 .result = item->outcome.result,
                                                 .cause = item->cause,
                                                 .signal = item->signal,
                                                 .elapsed_ms = (uint64_t) item->elapsed_us / 1000,
                                                 .detail = cargo_text(item),
                                                 .counted = is_counted,
                                                 .id = id_of(agent, item->outcome.what.test),
                                                 .blob = cargo_blob(item) } });
}

void
tell_worker_up(struct seat *seat)
{
    struct agent *agent = seat->agent;
    say(agent, &(struct dz_msg){ .id = DZ_MSG_worker_up,
                                 .as.worker_up = { .num = seat->num,
                                                   .pid = (uint64_t) seat->pid,
                                                   .replaced = seat->was_up } });
    seat->was_up = true;
}

void
tell_worker_down(struct seat *seat, uint32_t status, enum dz_cause cause, bool is_last,
                 struct dz_slice leftovers)
{
    say(seat->agent,
        &(struct dz_msg){ .id = DZ_MSG_worker_down,
                          .as.worker_down = { .num = seat->num,
                                              .pid = (uint64_t) seat->pid,
                                              .status = status,
                                              .cause = cause,
                                              .last = is_last,
                                              .leftovers = shortened(leftovers, 65535) } });
}

/* ------------------------------------------------------------------ progress */

static void
add_running(struct seat *seat, dz_us now, struct dz_list *list, struct dz_buf *bytes)
{
    struct agent *agent = seat->agent;
    uint32_t local = (uint32_t) seat->seen_running - 1;
    struct given *given = seat->seen_running
                              ? seat_find_given(seat, local, (uint32_t) (seat->seen_running >> 32))
                              : NULL;
    if (!given)
        return;
    struct dz_item_running item = { .worker = seat->num,
                                    .test = given->test,
                                    .elapsed_ms = (uint64_t) (now - seat->seen_us) / 1000,
                                    .expected_ms =
                                        catalog_est_us(&agent->manifest, given->test) / 1000,
                                    .id = id_of(agent, given->test) };
    dz_running_add(list, bytes, &item);
}

void
tell_progress(struct agent *agent)
{
    struct uplink_progress progress = { .total = agent->manifest.count };
    agent->up.progress(agent->up.arg, &progress);
    DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
    struct dz_list list = { 0 };
    dz_us now = dz_clock_us();
    for (unsigned i = 0; i < agent->seat_count; i++) {
        if (agent->seats[i].state == SEAT_LIVE)
            add_running(&agent->seats[i], now, &list, &bytes);
    }
    list.items = dz_buf_slice(&bytes);
    say(agent, &(struct dz_msg){ .id = DZ_MSG_progress,
                                 .as.progress = { .done = progress.done,
                                                  .total = progress.total,
                                                  .failed = progress.failed,
                                                  .eta_ms = (uint64_t) progress.eta_us / 1000,
                                                  .running = list } });
    agent->is_dirty = false;
}

void
tell_output(struct seat *seat, uint32_t test, struct dz_slice text, uint64_t end)
{
    say(seat->agent, &(struct dz_msg){ .id = DZ_MSG_output,
                                       .as.output = { .worker = seat->num,
                                                      .source = seat->life,
                                                      .end = end,
                                                      .id = id_of(seat->agent, test),
                                                      .text = text } });
}

void
tell_alive(struct agent *agent)
{
    say(agent, &(struct dz_msg){ .id = DZ_MSG_alive, .as.alive.count = ++agent->alive_count });
}

void
tell_done(struct agent *agent)
{
    say(agent, &(struct dz_msg){ .id = DZ_MSG_done, .as.done = agent->done });
}

void
tell_left_out(struct agent *agent, uint32_t count)
{
    say(agent, &(struct dz_msg){ .id = DZ_MSG_left_out, .as.left_out.count = count });
}

void
tell_anew(struct agent *agent, struct dz_slice after)
{
    say(agent, &(struct dz_msg){ .id = DZ_MSG_anew, .as.anew.after = after });
}

void
tell_settled(struct agent *agent, uint64_t pending, const char *path, const char *why)
{
    say(agent, &(struct dz_msg){ .id = DZ_MSG_settled,
                                 .as.settled = { .pending = pending,
                                                 .path = shortened(dz_str(path), 4096),
                                                 .why = shortened(dz_str(why), 1024) } });
}

void
tell_relay(struct agent *agent, enum dz_role from, unsigned num, struct dz_slice body)
{
    say(agent,
        &(struct dz_msg){
            .id = DZ_MSG_relay,
            .as.relay = { .to = DZ_ROLE_CONTROLLER, .num = num, .from = from, .body = body } });
}

/* ------------------------------------------------------------------ lines */

static void
log_line(struct agent *agent, struct dz_slice text)
{
    if (!agent->job)
        return; /* there is no log yet */
    dz_us now = dz_clock_us();
    struct uplink_log line = { .first_us = now,
                               .last_us = now,
                               .worker = UPLINK_NO_WORKER,
                               .test = UPLINK_NO_TEST,
                               .text = text };
    agent->up.log(agent->up.arg, &line);
}

void
agent_log(struct agent *self, const char *fmt, ...)
{
    char text[LINE_MAX_LEN];
    va_list args;
    va_start(args, fmt);
    (void) vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    log_line(self, dz_str(text));
    log_debug("agent.line", "text=%s", text);
}

void
agent_note(struct agent *self, unsigned severity, struct dz_slice text)
{
    say(self,
        &(struct dz_msg){ .id = DZ_MSG_note,
                          .as.note = { .severity = severity, .text = shortened(text, 65535) } });
    log_line(self, text);
}

void
tell_note(struct agent *agent, unsigned severity, const char *fmt, ...)
{
    char text[LINE_MAX_LEN];
    va_list args;
    va_start(args, fmt);
    (void) vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    agent_note(agent, severity, dz_str(text));
}

/* What this node is among others has changed; a node that is alone need not say so. */
void
tell_rank(struct agent *agent, const struct vassal_effect *effect)
{
    log_info("vassal.rank", "rank=%s epoch=%llu why=%s", effect->as.rank.name,
             (unsigned long long) effect->as.rank.epoch.n, effect->as.rank.why);
    if (agent->place.is_meeting)
        agent_log(agent, "node %016llx is %s under epoch %llu: %s",
                  (unsigned long long) agent->place.node, effect->as.rank.name,
                  (unsigned long long) effect->as.rank.epoch.n, effect->as.rank.why);
}
