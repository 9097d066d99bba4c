#include "vassal/host.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "store/care.h"
#include "store/project.h"

#define TIDY_EVERY_US INT64_C(3600000000)

enum { TIDY_MS = 200 };

enum { TREE_FDS = 8 };

void
host_init(struct host *self, struct dz_loop *loop)
{
    *self = (struct host){ .loop = loop, .spool = SPOOL_DIR_NONE };
    self->wall_offset_us = dz_clock_wall_ms() * 1000 - dz_clock_us();
}

void
host_fini(struct host *self)
{
    coordinator_destroy(&self->coordinator);
    host_close_store(self);
    free(self->logs.items);
    free(self->url);
    dz_buf_fini(&self->logs.text);
    free(self->memory.counted);
    free(self->home);
    free(self->note);
}

/* ------------------------------------------------------------------ begin */

/* What was said by the controller goes before what is found in the folder. */
static const char *
either(const char *said, const char *found)
{
    return *said ? said : found ? found : "";
}

static enum dz_rc
begin_job(struct host *self, const struct dz_msg_start *start, const struct project *project,
          struct dz_err *err)
{
    DZ_AUTO(dz_free) char *uri = dz_slice_dup(start->uri);
    DZ_AUTO(dz_free) char *timezone = dz_slice_dup(start->timezone);
    DZ_AUTO(dz_free) char *profile = dz_slice_dup(start->profile);
    DZ_AUTO(dz_free) char *commit = dz_slice_dup(start->commit);
    DZ_AUTO(dz_free) char *command = dz_slice_dup(start->command);
    DZ_AUTO(dz_free) char *versions = dz_slice_dup(start->versions);
    DZ_AUTO(dz_free) char *rootdir = dz_slice_dup(start->rootdir);
    struct store_begin begin = {
        .uri = either(uri, project->uri),
        .timezone = either(timezone, project->timezone),
        .profile = either(profile, project->profile),
        .commit = either(commit, project->commit),
        .command = command,
        .versions = versions,
        .rootdir = rootdir,
        .is_dirty = project->is_dirty,
        .workers = (uint32_t) start->workers,
        .node_total = 1,
        .now_us = dz_clock_us() + self->wall_offset_us,
        .ulid = host_new_ulid(self),
    };
    enum dz_rc rc = store_job_begin(self->store, &begin, &self->job, err);
    struct dz_err why;
    if (rc == DZ_OK && store_durations_load(self->store, begin.uri, begin.profile, &self->durations,
                                            &why) != DZ_OK)
        log_warn("store.durations", "why=%s", why.text);
    if (rc == DZ_OK)
        host_upload(self, begin.uri, begin.profile);
    return rc;
}

/* A mistake in the project's config (REFUSED) ends the run before there is a job. */
static enum dz_rc
new_job(struct host *self, const struct dz_msg_start *start, struct dz_err *err)
{
    struct project project = { 0 };
    DZ_AUTO(dz_free) char *rootdir = dz_slice_dup(start->rootdir);
    enum dz_rc rc = project_find(rootdir, true, &project, err);
    if (rc != DZ_OK)
        return rc == DZ_CORRUPT ? DZ_REFUSED : rc;
    if (project.warning)
        host_say(self, project.warning);
    rc = begin_job(self, start, &project, err);
    if (rc == DZ_FULL) { /* it could be opened, but takes nothing more */
        struct dz_err why = *err;
        rc = host_reopen_store(self, why.text, err);
        if (rc == DZ_OK)
            rc = begin_job(self, start, &project, err);
    }
    project_fini(&project);
    return rc;
}

static enum dz_rc
take_job(struct host *self, const struct dz_msg_start *start, struct dz_err *err)
{
    if (start->job.len == 0)
        return new_job(self, start, err);
    DZ_AUTO(dz_free) char *ulid = dz_slice_dup(start->job);
    self->is_taken_up = true;
    enum dz_rc rc = store_job_reopen(self->store, ulid, &self->job, err);
    if (rc == DZ_OK)
        host_upload(self, NULL, NULL);
    return rc;
}

static enum dz_rc
start_coordinator(struct host *self, const struct dz_msg_start *start, struct dz_err *err)
{
    struct coord_cfg cfg = {
        .job = dz_str(store_job_ulid(self->job)),
        .node = AGENT_NUMBER,
        .inc = start->incarnation + 1,
        .nodes_expected = 1,
        .strikes = (unsigned) start->strikes,
        .placement = coord_placement_of(start->placement),
        .keep_order = start->flags & (DZ_START_IN_ORDER | DZ_START_KEEP_ORDER),
    };
    struct coordinator_host host = host_for_coordinator(self);
    return coordinator_new(self->loop, AGENT_ENDPOINT, &cfg, &host, &self->coordinator, err);
}

static enum dz_rc
begin(void *arg, const struct dz_msg_start *start, struct uplink_job *out, struct dz_err *err)
{
    struct host *self = arg;
    enum dz_rc rc = host_open_store(self, start, err);
    if (rc == DZ_OK)
        rc = take_job(self, start, err);
    if (rc == DZ_OK)
        rc = start_coordinator(self, start, err);
    if (rc != DZ_OK)
        return rc;
    if (!self->upload) /* else the server numbers it */
        (void) snprintf(self->short_id, sizeof(self->short_id), "%s", store_job_short(self->job));
    *out = (struct uplink_job){ .ulid = store_job_ulid(self->job),
                                .short_id = self->short_id,
                                .store = host_where(self),
                                .home = self->home,
                                .note = self->note };
    return DZ_OK;
}

/* ------------------------------------------------------------------ manifest */

static void
estimate(struct host *self, struct catalog *manifest)
{
    if (!self->durations || store_durations_count(self->durations) == 0)
        return;
    for (uint32_t i = 0; i < manifest->count; i++) {
        double mean_us = 0, spread = 0;
        if (store_durations_get(self->durations, manifest->ids[i], &mean_us, &spread))
            manifest->est_us[i] = mean_us < UINT32_MAX ? (uint32_t) mean_us : UINT32_MAX;
    }
}

static enum dz_rc
take_manifest(void *arg, struct catalog *manifest, uint64_t seen_n, struct dz_err *err)
{
    struct host *self = arg;
    self->test_count = manifest->count;
    enum dz_rc rc = store_job_put_manifest(self->job, manifest->ids, manifest->count, err);
    if (rc != DZ_OK)
        return rc;
    estimate(self, manifest);
    DZ_AUTO(dz_free) struct coord_row *rows = NULL;
    size_t row_count = 0;
    rc = host_rows(self, &rows, &row_count, err);
    if (rc != DZ_OK)
        return rc;
    DZ_AUTO(dz_free) struct coord_test *tests = dz_alloc0(manifest->count + 1, sizeof(*tests));
    for (uint32_t i = 0; i < manifest->count; i++)
        tests[i] = (struct coord_test){ .id = manifest->ids[i],
                                        .group = manifest->groups[i],
                                        .order = manifest->order[i],
                                        .est_us = manifest->est_us[i] };
    coordinator_start(self->coordinator, seen_n, tests, manifest->count, manifest->digest, rows,
                      row_count);
    return DZ_OK;
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
    if (!self->store || now_us - store_tidied_us(self->store) < TIDY_EVERY_US)
        return;
    enum dz_rc rc = store_tidy(self->store, &work, &err);
    if (rc != DZ_OK && rc != DZ_AGAIN && rc != DZ_REFUSED)
        log_warn("store.tidy", "why=%s", err.text);
}

static void
end(void *arg, const struct dz_msg_done *done, uint32_t deselected, int exit_code,
    const char *reason)
{
    struct host *self = arg;
    host_flush(self);
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
                            .manifest = take_manifest,
                            .log = host_log,
                            .flush = host_flush,
                            .progress = progress,
                            .end = end,
                            .settle = host_settle };
}
