#include "vassal/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "store/care.h"
#include "store/project.h"

#define TIDY_EVERY_US INT64_C(3600000000)

enum { TIDY_MS = 200 };

enum { EXIT_SIGTERM = 128 + 15 };

void
host_init(struct host *self, struct dz_loop *loop)
{
    *self = (struct host){ .loop = loop, .spool = SPOOL_DIR_NONE };
    self->reap = (struct dz_timer){ .fn = host_reap, .arg = self };
    self->farewell = (struct dz_timer){ .fn = host_on_farewell, .arg = self };
    self->lines = (struct dz_timer){ .fn = host_flush, .arg = self };
    host_late_init(self);
    self->wall_offset_us = dz_clock_wall_ms() * 1000 - dz_clock_us();
}

void
host_fini(struct host *self)
{
    dz_loop_unset(self->loop, &self->reap);
    dz_loop_unset(self->loop, &self->farewell);
    dz_loop_unset(self->loop, &self->lines);
    takeover_destroy(&self->takeover);
    takeover_destroy(&self->earlier);
    host_late_fini(self);
    coordinator_destroy(&self->past);
    coordinator_destroy(&self->coordinator);
    peers_close(&self->peers);
    host_close_store(self);
    free(self->tests);
    free(self->logs.items);
    chronicle_fini(&self->chronicle);
    host_forget_texts(self);
    free(self->texts.items);
    host_numbers_fini(&self->numbers);
    free(self->url);
    free(self->uri);
    dz_buf_fini(&self->budgets);
    dz_buf_fini(&self->logs.text);
    free(self->memory.counted);
    free(self->home);
    free(self->note);
    free(self->unsent);
}

/* ------------------------------------------------------------------ begin */

/* What was said by the controller goes before what is found in the folder. */
static const char *
either(const char *said, const char *found)
{
    return *said ? said : found ? found : "";
}

/* Begin it, or, when another node of it was faster, take it up. */
static enum dz_rc
begin_job(struct host *self, const struct dz_msg_start *start, const struct naming *name,
          struct dz_err *err)
{
    DZ_AUTO(dz_free) char *command = dz_slice_dup(start->command);
    DZ_AUTO(dz_free) char *versions = dz_slice_dup(start->versions);
    DZ_AUTO(dz_free) char *rootdir = dz_slice_dup(start->rootdir);
    struct store_begin begin = {
        .uri = name->uri,
        .timezone = name->timezone,
        .profile = name->profile,
        .commit = name->commit,
        .command = command,
        .versions = versions,
        .rootdir = rootdir,
        .is_dirty = name->is_dirty,
        .workers = (uint32_t) start->workers,
        .node_total = self->peers.ci.total > 0 ? self->peers.ci.total : 1,
        .now_us = dz_clock_us() + self->wall_offset_us,
        .ulid = self->peers.job,
        .generation = self->peers.generation,
        .previous = self->peers.previous,
        .step = self->peers.step,
        .ci_job = peers_ci_job(&self->peers),
        .shard_index = self->peers.is_shard ? self->peers.ci.slot : 0,
        .shard_total = self->peers.is_shard ? self->peers.ci.total : 0,
    };
    enum dz_rc rc = store_job_begin(self->store, &begin, &self->job, err);
    if (rc == DZ_EXISTS)
        rc = store_job_reopen(self->store, self->peers.job, &self->job, err);
    struct dz_err why;
    struct store *known = self->keeps ? self->keeps : self->store;
    if (rc == DZ_OK &&
        store_durations_load(known, begin.uri, begin.profile, &self->durations, &why) != DZ_OK)
        log_warn("store.durations", "why=%s", why.text);
    if (rc == DZ_OK)
        host_upload(self, begin.uri, begin.profile);
    return rc;
}

static void
on_wait(void *arg)
{
    struct host *self = arg;
    agent_waits(self->agent);
}

static enum dz_rc
find_peers(struct host *self, const struct dz_msg_start *start, const struct naming *name,
           struct dz_err *err)
{
    char ulid[STORE_ULID_LEN + 1] = "";
    enum dz_rc rc = DZ_OK;
    if (start->job.len == STORE_ULID_LEN)
        memcpy(ulid, start->job.ptr, STORE_ULID_LEN);
    else
        rc = store_new_ulid(dz_clock_us() + self->wall_offset_us, ulid, err);
    if (rc != DZ_OK)
        return rc;
    struct peers_job job = { .uri = name->uri,
                             .profile = name->profile,
                             .commit = name->commit,
                             .ulid = ulid,
                             .url = self->url,
                             .has_answered = self->has_answered,
                             .is_shard = self->was_shard,
                             .folder = self->spool.path,
                             .on_wait = on_wait,
                             .arg = self };
    struct peers_ops ops = host_peers_ops(self);
    rc = host_late_read(self, start->after, err);
    if (rc != DZ_OK)
        return rc;
    if (self->late.count > 0)
        job.after = self->late.jobs[self->late.count - 1];
    rc = peers_open(&self->peers, self->loop, start, &job, &ops, err);
    while (rc == DZ_OK && self->peers.is_late) {
        rc = host_late_add(self, self->peers.job, err);
        if (rc != DZ_OK)
            break;
        peers_close(&self->peers);
        job.after = self->late.jobs[self->late.count - 1];
        rc = peers_open(&self->peers, self->loop, start, &job, &ops, err);
    }
    host_tag(self->peers.job, self->peers.node, self->tag);
    return rc;
}

/* What an earlier agent wrote is sent also when the job has ended meanwhile. */
static enum dz_rc
reopen_job(struct host *self, struct dz_err *err)
{
    enum dz_rc rc = store_job_reopen(self->store, self->peers.job, &self->job, err);
    self->late.is_begun = rc == DZ_OK;
    if (rc == DZ_OK)
        host_upload(self, NULL, NULL);
    else if (rc == DZ_ABSENT && self->late.count > 0)
        return DZ_OK; /* it had not begun */
    return rc;
}

enum dz_rc
host_begin_job(struct host *self, const struct dz_msg_start *start, const struct naming *name,
               struct dz_err *err)
{
    enum dz_rc rc = begin_job(self, start, name, err);
    if (rc != DZ_FULL)
        return rc;
    struct dz_err why = *err; /* it could be opened, but takes nothing more */
    rc = host_reopen_store(self, why.text, err);
    return rc == DZ_OK ? begin_job(self, start, name, err) : rc;
}

/* Others first: with them it is known which job this is. */
static enum dz_rc
open_job(struct host *self, const struct dz_msg_start *start, const struct naming *name,
         struct dz_err *err)
{
    enum dz_rc rc = host_find_server(self, start, err);
    if (rc == DZ_OK)
        rc = find_peers(self, start, name, err);
    bool is_heir = start->job.len > 0;
    self->is_apart |= self->peers.is_shard && !self->url;
    if (rc == DZ_OK)
        rc = host_open_store(self, err);
    if (rc != DZ_OK)
        return rc;
    if (self->url)
        peers_keep(&self->peers, self->spool.path);
    self->has_rows = is_heir || self->peers.is_meeting;
    if (self->late.count > 0)
        host_late_keep(self, start, name);
    if (is_heir)
        return reopen_job(self, err);
    return self->late.count > 0 ? DZ_OK : host_begin_job(self, start, name, err);
}

static void
keep_budgets(struct host *self, const struct dz_conf_map *resources)
{
    struct dz_list list = { 0 };
    dz_buf_clear(&self->budgets);
    for (size_t i = 0; i < resources->count; i++) {
        struct dz_item_budget item = { .name = dz_str(resources->items[i].name),
                                       .amount = resources->items[i].value };
        dz_budget_add(&list, &self->budgets, &item);
    }
    self->budget_count = list.count;
}

/* A mistake in the project's config ends the run before there is a job. */
static enum dz_rc
take_job(struct host *self, const struct dz_msg_start *start, struct dz_err *err)
{
    struct project project = { 0 };
    DZ_AUTO(dz_free) char *rootdir = dz_slice_dup(start->rootdir);
    DZ_AUTO(dz_free) char *uri = dz_slice_dup(start->uri);
    DZ_AUTO(dz_free) char *timezone = dz_slice_dup(start->timezone);
    DZ_AUTO(dz_free) char *profile = dz_slice_dup(start->profile);
    DZ_AUTO(dz_free) char *commit = dz_slice_dup(start->commit);
    enum dz_rc rc = project_find(rootdir, true, &project, err);
    if (rc != DZ_OK)
        return rc == DZ_CORRUPT ? DZ_REFUSED : rc;
    if (project.warning && start->job.len == 0)
        host_say(self, project.warning);
    struct naming name = { .uri = either(uri, project.uri),
                           .timezone = either(timezone, project.timezone),
                           .profile = either(profile, project.profile),
                           .commit = either(commit, project.commit),
                           .is_dirty = project.is_dirty };
    self->uri = dz_strdup(name.uri);
    keep_budgets(self, &project.resources);
    rc = open_job(self, start, &name, err);
    project_fini(&project);
    return rc;
}

static void
keep_settings(struct host *self, const struct dz_msg_start *start)
{
    self->coord_cfg = (struct coord_cfg){
        .job = dz_str(self->peers.job),
        .node = self->peers.node,
        .inc = self->peers.inc,
        .strikes = (unsigned) start->strikes,
        .placement = coord_placement_of(start->placement),
        .keep_order = start->flags & (DZ_START_IN_ORDER | DZ_START_KEEP_ORDER),
        .has_store = self->url && self->peers.is_meeting && self->peers.gate,
    };
}

static enum dz_rc
begin(void *arg, const struct dz_msg_start *start, struct uplink_job *out, struct dz_err *err)
{
    struct host *self = arg;
    enum dz_rc rc = take_job(self, start, err);
    if (rc != DZ_OK)
        return rc;
    if (self->is_apart)
        host_announce(self);
    else if (self->job && !self->url) /* else the server numbers it */
        (void) snprintf(self->short_id, sizeof(self->short_id), "%s", store_job_short(self->job));
    keep_settings(self, start);
    if (self->peers.how.len > 0)
        dz_buf_add(&self->peers.how, "", 1); /* as a string */
    host_tell_arrived(self, start);
    *out = (struct uplink_job){ .ulid = self->peers.job,
                                .tag = self->tag,
                                .short_id = self->short_id,
                                .store = host_where(self),
                                .home = self->home,
                                .note = self->note,
                                .how = (const char *) self->peers.how.data,
                                .node = self->peers.node,
                                .is_meeting = self->peers.is_meeting,
                                .is_late = self->late.count > 0,
                                .shard_index = self->peers.ci.slot,
                                .shard_total = self->peers.ci.total,
                                .contact = mesh_contact(self->peers.mesh),
                                .nodes = peers_count(&self->peers),
                                .budgets = { .items = dz_buf_slice(&self->budgets),
                                             .count = self->budget_count } };
    for (size_t i = 0; i < self->peers.known.count; i++)
        self->known[i] = self->peers.known.items[i].node;
    out->known = self->known;
    out->known_count = start->job.len > 0 ? self->peers.known.count : 0;
    return DZ_OK;
}

void
host_rename(struct host *self, const char *ulid, const char *short_id)
{
    (void) snprintf(self->short_id, sizeof(self->short_id), "%s", short_id);
    struct uplink_job job = {
        .ulid = ulid, .short_id = self->short_id, .store = host_where(self), .home = self->home
    };
    agent_rename(self->agent, &job);
}

/* ------------------------------------------------------------------ manifest */

static void
estimate(struct host *self, struct catalog *manifest)
{
    if (!self->durations || store_durations_count(self->durations) == 0)
        return;
    manifest->est_us = dz_alloc0(manifest->count + 1, sizeof(*manifest->est_us));
    for (uint32_t i = 0; i < manifest->count; i++) {
        double mean_us = 0, spread = 0;
        if (store_durations_get(self->durations, catalog_id(manifest, i), &mean_us, &spread))
            manifest->est_us[i] = mean_us < UINT32_MAX ? (uint32_t) mean_us : UINT32_MAX;
    }
}

static enum dz_rc
take_manifest(void *arg, struct catalog *manifest, struct dz_err *err)
{
    struct host *self = arg;
    self->test_count = manifest->count;
    self->manifest = manifest;
    if (self->late.count > 0) {
        enum dz_rc rc = host_late_begin(self, manifest, err);
        if (rc != DZ_OK || !self->job)
            return rc;
    }
    estimate(self, manifest);
    return host_brief(self, err);
}

/* ------------------------------------------------------------------ progress, end */

static void
progress(void *arg, struct uplink_progress *out)
{
    struct host *self = arg;
    if (!self->coordinator)
        return;
    struct coord_progress now = { 0 };
    coordinator_progress(self->coordinator, &now);
    *out = (struct uplink_progress){
        .total = now.total, .done = now.done, .failed = now.failed, .eta_us = now.eta_us
    };
}

/* Without a daemon, runs look after the store: now and then, and not for long. */
static void
keep_small(struct host *self, int64_t now_us)
{
    struct store_tidy work = { .now_us = now_us, .budget_ms = TIDY_MS };
    struct dz_err err;
    struct store *store = self->keeps ? self->keeps : self->store;
    if (!store || now_us - store_tidied_us(store) < TIDY_EVERY_US)
        return;
    enum dz_rc rc = store_tidy(store, &work, &err);
    if (rc != DZ_OK && rc != DZ_AGAIN && rc != DZ_REFUSED)
        log_warn("store.tidy", "why=%s", err.text);
}

/* The mesh's digest is in the scheduler's numbers. If that is what the store has counted, the store's
 * own number for it is meant. */
static uint64_t
digest_for_store(struct host *self, const struct store_seal *seal)
{
    uint64_t counted = 0, digest = 0;
    struct store_ledger ledger;
    struct dz_err err;
    bool is_it = self->job && self->numbers.is_known && !self->numbers.is_same &&
                 host_account(self, &counted, &digest, &err) == DZ_OK &&
                 store_job_ledger(self->job, &ledger, &err) == DZ_OK && counted == seal->counted &&
                 digest == seal->digest;
    return is_it ? ledger.digest : seal->digest;
}

struct store_seal
host_witness(const struct host *self, const struct dz_account *account)
{
    return (struct store_seal){
        .collected = (uint32_t) account->collected,
        .not_run = (uint32_t) account->not_run,
        .counted = (uint32_t) account->counted,
        .duplicates = (uint32_t) account->duplicates,
        .nodes = (uint32_t) account->nodes,
        .workers = (uint32_t) account->workers,
        .exit_code = account->failed > 0 || account->not_run > 0,
        .now_us = dz_clock_us() + self->wall_offset_us,
    };
}

/* The scheduler may not live to seal the job: what this node was told of the end goes with its records. */
static void
sealed(void *arg, const struct vassal_end *end)
{
    struct host *self = arg;
    struct dz_err err;
    struct store_seal seal = host_witness(self, &end->account);
    if (!self->url || !self->job || self->has_led || !end->account.agrees || end->is_shard)
        return;
    if (store_job_witness(self->job, &seal, &err) != DZ_OK)
        log_warn("store.witness", "why=%s", err.text);
}

static void
end(void *arg, const struct dz_msg_done *done, uint32_t deselected, int exit_code,
    const char *reason)
{
    struct host *self = arg;
    if (self->coordinator)
        coordinator_close_ledger(self->coordinator);
    host_tell_ended(self, exit_code, reason);
    host_flush(self);
    host_keep_left(self);
    peers_ended(&self->peers,
                exit_code == EXIT_SIGTERM ? DZ_SLOT_END_TERMINATED : DZ_SLOT_END_VERDICT);
    if (self->peers.is_meeting && !self->has_led) {
        store_job_close(&self->job); /* who schedules seals it */
        return;
    }
    struct store_seal seal = {
        .collected = (uint32_t) done->collected,
        .deselected = deselected,
        .not_run = (uint32_t) done->not_run,
        .counted = (uint32_t) done->counted,
        .duplicates = (uint32_t) done->duplicates,
        .lost = (uint32_t) done->lost,
        .nodes = (uint32_t) done->nodes,
        .workers = (uint32_t) done->workers,
        .digest = done->digest,
        .exit_code = exit_code,
        .now_us = dz_clock_us() + self->wall_offset_us,
        .reason = reason,
    };
    struct dz_err err;
    seal.digest = digest_for_store(self, &seal);
    enum dz_rc rc = self->job ? store_job_seal(self->job, &seal, &err) : DZ_OK;
    if (rc != DZ_OK)
        log_warn("store.seal", "why=%s", err.text);
    else if (!self->url) /* a server keeps its own store small */
        keep_small(self, seal.now_us);
    store_job_close(&self->job);
}

struct uplink
host_uplink(struct host *self)
{
    return (struct uplink){ .arg = self,
                            .begin = begin,
                            .anew = host_late_anew,
                            .compare = host_late_compare,
                            .crowd = host_crowd,
                            .manifest = take_manifest,
                            .send = host_send,
                            .want = host_want,
                            .log = host_log,
                            .said = host_said,
                            .flush = host_flush,
                            .flush_soon = host_flush_soon,
                            .progress = progress,
                            .sealed = sealed,
                            .end = end,
                            .settle = host_settle };
}
