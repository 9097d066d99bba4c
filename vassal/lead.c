/* lead.c - this node among others: to schedule or to stop it, to ask who does, frames in and out. */
#include <inttypes.h>

#include "shared/base/clock.h"
#include "shared/wire/frame.h"
#include "vassal/host.h"

/* A coordinator that stepped down may be what calls us; the loop ends it in its next turn. */
void
host_reap(void *arg)
{
    struct host *self = arg;
    coordinator_destroy(&self->past);
}

/* ------------------------------------------------------------------ leading */

/* The tests, and what was counted before, once both the tests and the scheduler are there. */
enum dz_rc
host_brief(struct host *self, struct dz_err *err)
{
    if (!self->coordinator || !self->manifest)
        return DZ_OK;
    enum dz_rc rc =
        store_job_put_manifest(self->job, self->manifest->ids, self->manifest->count, err);
    if (rc != DZ_OK)
        return rc;
    DZ_AUTO(dz_free) struct coord_row *rows = NULL;
    size_t row_count = 0;
    rc = host_rows(self, &rows, &row_count, err);
    if (rc == DZ_OK)
        coordinator_manifest(self->coordinator, self->tests, self->manifest->count,
                             self->manifest->digest, rows, row_count);
    return rc;
}

static void
retire(struct host *self)
{
    if (!self->coordinator)
        return;
    coordinator_destroy(&self->past); /* an older one, which nothing calls */
    self->past = dz_move(self->coordinator);
    dz_loop_set(self->loop, &self->reap, dz_clock_us());
}

static void
lead(struct host *self, const struct vassal_effect *effect)
{
    retire(self);
    self->has_led = true;
    struct coord_cfg cfg = self->coord_cfg;
    cfg.nodes_expected = effect->as.lead.expected;
    cfg.shard_index = effect->as.lead.shard_index;
    cfg.shard_total = effect->as.lead.shard_total;
    struct coordinator_host host = host_for_coordinator(self);
    self->coordinator = coordinator_new(self->loop, &cfg, &host);
    coordinator_start(self->coordinator, effect->as.lead.n - 1);
    struct dz_err err;
    if (host_brief(self, &err) != DZ_OK)
        agent_note(self->agent, 2, dz_str(err.text));
}

void
host_deposed(void *arg, struct dz_epoch epoch)
{
    struct host *self = arg;
    self->has_led = false; /* who deposed it seals the job */
    retire(self);
    struct vassal_event event = { .kind = VASSAL_EV_DEPOSED, .as.deposed = epoch };
    agent_event(self->agent, &event);
}

static void
ask(struct host *self, const struct vassal_effect *effect)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf contact = { 0 };
    struct vassal_event event = { .kind = VASSAL_EV_ANSWER,
                                  .as.answer.number = effect->as.ask.number };
    peers_ask(&self->peers, &effect->as.ask.ask, &event.as.answer.reply, &contact);
    event.as.answer.contact = dz_buf_slice(&contact);
    agent_event(self->agent, &event);
}

void
host_want(void *arg, const struct vassal_effect *effect)
{
    struct host *self = arg;
    switch ((int) effect->kind) {
    case VASSAL_FX_LEAD: lead(self, effect); return;
    case VASSAL_FX_ABDICATE:
        if (self->coordinator)
            coordinator_outrank(self->coordinator, effect->as.abdicate);
        return;
    case VASSAL_FX_ASK: ask(self, effect); return;
    case VASSAL_FX_RANK: host_tell_rank(self, effect); return;
    case VASSAL_FX_MEET:
        peers_meet(&self->peers, effect->as.meet.node, effect->as.meet.inc,
                   effect->as.meet.contact);
        return;
    default: return; /* the agent's own */
    }
}

/* ------------------------------------------------------------------ frames */

/* One for a scheduler that does not run here is for the core, which knows who does. */
static void
on_frame(void *arg, struct dz_slice frame)
{
    struct host *self = arg;
    struct dz_msg_mesh envelope;
    bool is_for_scheduler = dz_mesh_open(frame, &envelope) == DZ_OK &&
                            envelope.to == DZ_MESH_TO_SCHEDULER && self->coordinator;
    if (is_for_scheduler)
        coordinator_receive(self->coordinator, frame);
    else
        agent_event(self->agent,
                    &(struct vassal_event){ .kind = VASSAL_EV_MESSAGE, .as.message = frame });
}

static void
on_gone(void *arg, uint64_t node, uint64_t inc)
{
    struct host *self = arg;
    agent_log(self->agent, "the process of node %016" PRIx64 " is gone", node);
    if (self->coordinator)
        coordinator_gone(self->coordinator, node, inc);
    struct vassal_event event = { .kind = VASSAL_EV_GONE, .as.gone = { .node = node, .inc = inc } };
    agent_event(self->agent, &event);
}

static void
on_way(void *arg, uint64_t node, const char *endpoint)
{
    struct host *self = arg;
    agent_log(self->agent, "node %016" PRIx64 " is reached at %s", node, endpoint);
    host_tell_way(self, node, endpoint);
}

void
host_send(void *arg, uint64_t node, uint64_t inc, struct dz_slice frame)
{
    struct host *self = arg;
    peers_send(&self->peers, node, inc, frame);
}

struct mesh_ops
host_mesh_ops(struct host *self)
{
    return (struct mesh_ops){ .frame = on_frame, .gone = on_gone, .way = on_way, .arg = self };
}
