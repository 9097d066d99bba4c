/* lead.c - this node among others: to schedule or to stop it, to ask who does, frames in and out. */
#include <inttypes.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
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

/* A store whose disk is full takes no list of tests, and so no results either. */
enum dz_rc
host_put_tests(struct host *self, struct dz_err *err)
{
    if (self->memory.counted)
        return DZ_OK;
    DZ_AUTO(dz_free) struct dz_slice *ids = catalog_ids(self->manifest);
    enum dz_rc rc = store_job_put_manifest(self->job, ids, self->manifest->count, err);
    if (rc != DZ_FULL)
        return rc == DZ_EXISTS ? DZ_OK : rc; /* others came first, or it has grown */
    host_forgo_store(self, err->text);
    return DZ_OK;
}

unsigned
host_crowd(void *arg)
{
    struct host *self = arg;
    if (self->peers.room)
        room_count_again(self->peers.room); /* a store says it with each answer */
    return peers_count(&self->peers);
}

/* Most nodes never schedule, and need no list for it. */
static void
list_tests(struct host *self)
{
    const struct catalog *manifest = self->manifest;
    if (self->tests)
        return; /* it has led before */
    DZ_AUTO(dz_free) uint32_t *order = catalog_order(manifest);
    self->tests = dz_alloc0(manifest->count + 1, sizeof(*self->tests));
    for (uint32_t i = 0; i < manifest->count; i++)
        self->tests[i] = (struct coord_test){ .id = catalog_id(manifest, i),
                                              .group = catalog_group(manifest, i),
                                              .order = order[i],
                                              .est_us = catalog_est_us(manifest, i) };
}

static enum dz_rc
brief(struct host *self, struct dz_err *err)
{
    DZ_AUTO(host_rest_fini) struct host_rest rest = { .count = 0 };
    enum dz_rc rc = host_put_tests(self, err);
    if (rc != DZ_OK)
        return rc;
    DZ_AUTO(dz_free) struct coord_row *rows = NULL;
    size_t row_count = 0;
    struct dz_err why;
    if (self->takeover && takeover_put(self->takeover, self->job, &why) != DZ_OK)
        agent_note(self->agent, 1, dz_str(why.text));
    takeover_destroy(&self->takeover);
    rc = host_learn_tests(self, &rest, err);
    if (rc != DZ_OK)
        return rc;
    self->brought = rest.count;
    self->test_count = self->manifest->count + rest.count;
    host_carry(self);
    rc = host_rows(self, &rows, &row_count, err);
    list_tests(self);
    struct coordinator_tests tests = { .tests = self->tests,
                                       .count = self->manifest->count,
                                       .digest = self->manifest->digest,
                                       .others = rest.ids,
                                       .other_count = rest.count,
                                       .rows = rows,
                                       .row_count = row_count,
                                       .nodes = host_crowd(self) };
    if (rc == DZ_OK && self->leading.as.lead.shard_total <= 1)
        host_tell_plan(self, rows, row_count);
    if (rc == DZ_OK)
        coordinator_manifest(self->coordinator, &tests);
    if (rc == DZ_OK && self->upload)
        coordinator_stored(self->coordinator, upload_stored(self->upload));
    return rc;
}

/* The tests, and what was counted before, once all of it and the scheduler are there. */
enum dz_rc
host_brief(struct host *self, struct dz_err *err)
{
    bool is_reading = (self->takeover && !takeover_is_over(self->takeover)) ||
                      (self->earlier && !takeover_is_over(self->earlier));
    if (!self->coordinator || !self->manifest || is_reading)
        return DZ_OK;
    return brief(self, err);
}

static void
retire(struct host *self)
{
    self->is_about_to_lead = false;
    if (!self->coordinator)
        return;
    coordinator_destroy(&self->past); /* an older one, which nothing calls */
    self->past = dz_move(self->coordinator);
    dz_loop_set(self->loop, &self->reap, dz_clock_us());
}

static void
begin_to_lead(struct host *self)
{
    const struct vassal_effect *effect = &self->leading;
    struct coord_cfg cfg = self->coord_cfg;
    self->is_about_to_lead = false;
    cfg.nodes_expected = effect->as.lead.expected;
    cfg.shard_index = effect->as.lead.shard_index;
    cfg.shard_total = effect->as.lead.shard_total;
    cfg.is_blind = cfg.has_store && (!self->takeover || (takeover_is_over(self->takeover) &&
                                                         !takeover_is_good(self->takeover)));
    struct coordinator_host host = host_for_coordinator(self);
    self->coordinator = coordinator_new(self->loop, &cfg, &host);
    coordinator_start(self->coordinator, effect->as.lead.n - 1);
    struct dz_err err;
    if (host_brief(self, &err) != DZ_OK)
        agent_note(self->agent, 2, dz_str(err.text));
}

/* The store's ledger is here, or will not be. */
static void
on_taken_over(void *arg)
{
    struct host *self = arg;
    struct dz_err err;
    bool is_asking = self->takeover && !takeover_is_over(self->takeover);
    if (self->is_about_to_lead && !is_asking)
        begin_to_lead(self);
    else if (host_brief(self, &err) != DZ_OK)
        agent_note(self->agent, 2, dz_str(err.text));
}

/* wants_list: its tests are not this job's. */
static void
read_ledger(struct host *self, const char *ulid, bool wants_list, struct takeover **out)
{
    struct takeover_cfg cfg = { .loop = self->loop,
                                .url = self->url,
                                .uri = self->uri,
                                .ulid = ulid,
                                .wants_list = wants_list,
                                .on_end = on_taken_over,
                                .arg = self };
    struct dz_err err;
    if (takeover_new(&cfg, out, &err) != DZ_OK)
        log_warn("takeover.new", "why=%s", err.text);
}

/* With its tests in hand it reads the ledger first, which takes a moment: who leads blind has all
 * told again.  Before that others hear of it as soon as may be. */
static void
lead(struct host *self, const struct vassal_effect *effect)
{
    struct dz_err err;
    if (effect->as.lead.shard_total > 1 && self->job &&
        store_job_be_shard(self->job, effect->as.lead.shard_index, effect->as.lead.shard_total,
                           &err) != DZ_OK)
        log_warn("store.shard", "why=%s", err.text);
    retire(self);
    self->has_led = true;
    self->leading = *effect;
    takeover_destroy(&self->takeover);
    takeover_destroy(&self->earlier);
    if (self->coord_cfg.has_store && !effect->as.lead.is_blind)
        read_ledger(self, self->peers.job, false, &self->takeover);
    if (self->url && host_carries(self))
        read_ledger(self, self->peers.previous, true, &self->earlier);
    self->is_about_to_lead =
        self->takeover && !takeover_is_over(self->takeover) && self->manifest != NULL;
    if (!self->is_about_to_lead)
        begin_to_lead(self);
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
on_answer(void *arg, uint64_t number, const struct dz_lease_reply *reply, struct dz_slice contact)
{
    struct host *self = arg;
    struct vassal_event event = {
        .kind = VASSAL_EV_ANSWER,
        .as.answer = { .number = number,
                       .reply = *reply,
                       .contact = contact,
                       .nodes = peers_count(&self->peers) },
    };
    agent_event(self->agent, &event);
}

static void
say(struct host *self, unsigned severity, const struct dz_buf *text)
{
    agent_note(self->agent, severity, dz_buf_slice(text));
}

static void
add_way(struct dz_buf *text, const char *way)
{
    if (strcmp(way, MESH_WAY_DETOUR) == 0)
        dz_buf_addf(text, "reached through the store: no direct connection can be made");
    else if (*way && strcmp(way, MESH_WAY_CALLED) != 0)
        dz_buf_addf(text, "reached at %s", way);
    else
        dz_buf_addf(text, "it came to this one");
}

/* The scheduler is reached in another way than was said. */
static void
say_way(struct host *self, const char *way)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    dz_buf_addf(&text, "node %016" PRIx64 ", which schedules, from now on: ", self->told.node);
    add_way(&text, way);
    say(self, 0, &text);
}

/* Who schedules, and how it is reached: for somebody who reads the log of one CI slot. */
static void
say_who_leads(struct host *self, const struct dz_epoch *epoch)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    bool is_us = epoch->node == self->peers.node, is_first = self->told.n == 0;
    bool is_same = self->told.node == epoch->node && !self->is_lost_told;
    if (is_same)
        return;
    self->told = *epoch;
    self->is_lost_told = false;
    self->is_detour_told = strcmp(mesh_way(self->peers.mesh, epoch->node), MESH_WAY_DETOUR) == 0;
    if (is_us) {
        dz_buf_addf(&text, "this node schedules the job%s", is_first ? "" : " from now on");
    } else {
        const char *way = mesh_way(self->peers.mesh, epoch->node);
        dz_buf_addf(&text, "node %016" PRIx64 " schedules the job%s, ", epoch->node,
                    is_first ? "" : " from now on");
        add_way(&text, way);
    }
    say(self, 0, &text);
}

static void
say_rank(struct host *self, const struct vassal_effect *effect)
{
    static const char lost[] = "lost the scheduler (%s): what runs here goes on, and a node that "
                               "lives takes over";
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    const char *name = effect->as.rank.name;
    if (!self->peers.gate || !self->peers.is_meeting)
        return; /* there is nobody else */
    if (strcmp(name, "LEADING") == 0 ||
        (strcmp(name, "VASSAL") == 0 && strcmp(effect->as.rank.why, VASSAL_WHY_LED) == 0)) {
        say_who_leads(self, &effect->as.rank.epoch);
    } else if (strcmp(effect->as.rank.why, VASSAL_WHY_YIELDS) == 0) {
        agent_note(self->agent, 0,
                   dz_str("this node still collects: one that has collected "
                          "schedules the job from now on"));
    } else if (strcmp(name, "CANDIDATE") == 0 && self->told.n > 0 && !self->is_lost_told) {
        self->is_lost_told = true;
        dz_buf_addf(&text, lost, effect->as.rank.why);
        say(self, 1, &text);
    }
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
        else
            self->has_led = false; /* it was about to: the job is another's to seal */
        self->is_about_to_lead = false;
        return;
    case VASSAL_FX_ASK:
        peers_ask(&self->peers, effect->as.ask.number, &effect->as.ask.ask,
                  effect->as.ask.patience_us);
        return;
    case VASSAL_FX_RANK:
        host_tell_rank(self, effect);
        say_rank(self, effect);
        return;
    case VASSAL_FX_MEET:
        peers_meet(&self->peers, effect->as.meet.node, effect->as.meet.inc, effect->as.meet.contact,
                   effect->as.meet.is_due);
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
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    add_way(&text, endpoint);
    agent_log(self->agent, "node %016" PRIx64 ": %.*s", node, (int) text.len,
              (const char *) text.data);
    host_tell_way(self, node, endpoint);
    bool is_detour = strcmp(endpoint, MESH_WAY_DETOUR) == 0;
    if (self->told.n > 0 && self->told.node == node && !self->is_lost_told &&
        is_detour != self->is_detour_told)
        say_way(self, endpoint);
    self->is_detour_told = self->told.node == node ? is_detour : self->is_detour_told;
}

void
host_send(void *arg, uint64_t node, uint64_t inc, struct dz_slice frame)
{
    struct host *self = arg;
    peers_send(&self->peers, node, inc, frame);
}

struct peers_ops
host_peers_ops(struct host *self)
{
    return (struct peers_ops){
        .mesh = { .frame = on_frame, .gone = on_gone, .way = on_way, .arg = self },
        .answer = on_answer,
        .idle = host_on_idle,
        .arg = self,
    };
}
