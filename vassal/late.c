/* late.c - a node that comes when its job has ended, or still collects then.
 *
 * Whoever is late to a job meets others who are at a place of their own, which is named by that job (peers.h).  There
 * is no job yet: the node collects, the lists of those that have ended are read, and only tests that none of them has
 * make one.  A list that cannot be read is as if it was empty: more work, and no test is dropped. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/digest.h"
#include "shared/base/log.h"
#include "store/sync.h"
#include "vassal/host.h"

enum {
    TRIES = 8, /* what a node tells of its end may arrive before its list of tests */
    AGAIN_US = 500 * 1000,
};

static void look(void *arg);

void
host_late_init(struct host *self)
{
    self->late.again = (struct dz_timer){ .fn = look, .arg = self };
}

void
host_late_fini(struct host *self)
{
    dz_loop_unset(self->loop, &self->late.again);
    takeover_destroy(&self->late.list);
    dz_map_fini(&self->late.known);
    dz_buf_fini(&self->late.why);
    dz_buf_fini(&self->late.start);
}

enum dz_rc
host_late_add(struct host *self, const char *ulid, struct dz_err *err)
{
    struct host_late *late = &self->late;
    if (late->count == LATE_JOBS_MAX)
        return dz_fail(err, DZ_REFUSED,
                       "more than %d jobs have ended under this key, one after another",
                       LATE_JOBS_MAX);
    (void) snprintf(late->jobs[late->count++], sizeof(late->jobs[0]), "%s", ulid);
    return DZ_OK;
}

enum dz_rc
host_late_read(struct host *self, struct dz_slice after, struct dz_err *err)
{
    enum dz_rc rc = DZ_OK;
    size_t at = 0;
    for (; rc == DZ_OK && at + DZ_ULID_LEN <= after.len; at += DZ_ULID_LEN + 1) {
        char ulid[DZ_ULID_LEN + 1] = "";
        memcpy(ulid, after.ptr + at, DZ_ULID_LEN);
        rc = host_late_add(self, ulid, err);
    }
    return rc;
}

/* A job that this node has scheduled is its own to seal. */
bool
host_late_anew(void *arg, struct dz_buf *after)
{
    const struct host *self = arg;
    const struct host_late *late = &self->late;
    if (self->has_led || !self->peers.is_meeting || late->count == LATE_JOBS_MAX)
        return false;
    for (unsigned i = 0; i < late->count; i++)
        dz_buf_addf(after, "%s ", late->jobs[i]);
    dz_buf_addf(after, "%s", self->peers.job);
    return true;
}

void
host_late_keep(struct host *self, const struct dz_msg_start *start, const struct naming *name)
{
    struct dz_msg msg = { .id = DZ_MSG_start, .as.start = *start };
    msg.as.start.uri = dz_str(name->uri);
    msg.as.start.timezone = dz_str(name->timezone);
    msg.as.start.profile = dz_str(name->profile);
    msg.as.start.commit = dz_str(name->commit);
    msg.as.start.secret = (struct dz_slice){ 0 };
    self->late.is_dirty = name->is_dirty;
    dz_msg_encode(&msg, &self->late.start);
}

bool
host_is_for_nothing(const struct host *self)
{
    return self->late.count > 0 && !self->late.is_begun;
}

/* ------------------------------------------------------------------ what the others have run */

static void
know(void *arg, struct dz_slice id)
{
    struct host_late *late = arg;
    (void) dz_map_put(&late->known, dz_hash64(id), late);
}

static bool
is_known(void *arg, struct dz_slice id)
{
    const struct host_late *late = arg;
    return dz_map_get(&late->known, dz_hash64(id)) != NULL;
}

static void
go_on(struct host *self, const struct dz_buf *page, const char *why)
{
    struct host_late *late = &self->late;
    bool is_told = false;
    struct dz_err err;
    if (page && store_rows_list(dz_buf_slice(page), know, late, &is_told, &err) != DZ_OK)
        why = err.text;
    if (!is_told && ++late->tries < TRIES) {
        dz_loop_set(self->loop, &late->again, dz_clock_us() + AGAIN_US);
        return;
    }
    if (!is_told && late->why.len == 0)
        dz_buf_addf(&late->why, "%s: %s", late->jobs[late->at], why);
    late->tries = 0;
    late->is_over = ++late->at == late->count;
    if (late->is_over)
        agent_compared(self->agent);
    else
        look(self);
}

static void
on_list(void *arg)
{
    struct host *self = arg;
    size_t count = 0;
    struct takeover *list = dz_move(self->late.list);
    const struct dz_buf *pages = takeover_pages(list, &count);
    bool is_good = takeover_is_good(list);
    go_on(self, is_good && count > 0 ? pages : NULL,
          is_good ? "its tests are not told" : "the store does not answer");
    takeover_destroy(&list);
}

static void
look_here(struct host *self)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf page = { 0 };
    struct dz_err err = { .text = "its tests are not told" };
    enum dz_rc rc = store_list_page(self->store, self->late.jobs[self->late.at], &page, &err);
    go_on(self, rc == DZ_OK ? &page : NULL, err.text);
}

static void
look(void *arg)
{
    struct host *self = arg;
    struct host_late *late = &self->late;
    struct takeover_cfg cfg = { .loop = self->loop,
                                .url = self->url,
                                .uri = self->uri,
                                .ulid = late->jobs[late->at],
                                .wants_list = true,
                                .on_end = on_list,
                                .arg = self };
    struct dz_err err;
    if (!self->url)
        look_here(self);
    else if (takeover_new(&cfg, &late->list, &err) != DZ_OK)
        go_on(self, NULL, err.text);
}

bool
host_late_compare(void *arg, struct catalog_filter *out)
{
    struct host *self = arg;
    struct host_late *late = &self->late;
    if (!late->is_over && !late->list && !late->again.is_listed)
        dz_loop_set(self->loop, &late->again, dz_clock_us());
    *out = (struct catalog_filter){ .is_left_out = is_known, .arg = late };
    return late->is_over;
}

/* ------------------------------------------------------------------ what is left */

static void
add_jobs(const struct host_late *late, struct dz_buf *text)
{
    dz_buf_addf(text, late->count == 1 ? "job" : "jobs");
    for (unsigned i = 0; i < late->count; i++)
        dz_buf_addf(text, "%s %s", i > 0 ? "," : "", late->jobs[i]);
}

static void
say_what_is_left(struct host *self, const struct catalog *manifest)
{
    struct host_late *late = &self->late;
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    uint32_t total = manifest->count + manifest->left_out;
    if (late->why.len > 0)
        dz_buf_addf(&text, "what has ended cannot be compared (%.*s): ", (int) late->why.len,
                    (const char *) late->why.data);
    if (manifest->count == 0)
        dz_buf_addf(&text, "all of the %" PRIu32 " tests collected here are in ", total);
    else
        dz_buf_addf(&text, "%" PRIu32 " of %" PRIu32 " tests collected here are not %s in ",
                    manifest->count, total, late->why.len > 0 ? "known to be" : "to be found");
    add_jobs(late, &text);
    dz_buf_addf(&text, manifest->count == 0 ? ": nothing is left to run"
                                            : ": they run now, as a job of their own");
    agent_note(self->agent, late->why.len > 0, dz_buf_slice(&text));
}

static enum dz_rc
begin(struct host *self, struct dz_err *err)
{
    struct dz_msg msg;
    enum dz_rc rc = dz_msg_decode(dz_buf_slice(&self->late.start), &msg);
    if (rc != DZ_OK)
        return dz_fail(err, rc, "what the job begins with is damaged");
    const struct dz_msg_start *start = &msg.as.start;
    DZ_AUTO(dz_free) char *uri = dz_slice_dup(start->uri);
    DZ_AUTO(dz_free) char *timezone = dz_slice_dup(start->timezone);
    DZ_AUTO(dz_free) char *profile = dz_slice_dup(start->profile);
    DZ_AUTO(dz_free) char *commit = dz_slice_dup(start->commit);
    struct naming name = { uri, timezone, profile, commit, self->late.is_dirty };
    rc = host_begin_job(self, start, &name, err);
    if (rc == DZ_OK)
        host_rename(self, self->peers.job, self->upload ? "" : store_job_short(self->job));
    return rc;
}

enum dz_rc
host_late_begin(struct host *self, const struct catalog *manifest, struct dz_err *err)
{
    struct host_late *late = &self->late;
    enum dz_rc rc = DZ_OK;
    say_what_is_left(self, manifest);
    late->is_begun = self->job != NULL || manifest->count > 0;
    if (manifest->count > 0 && !self->job)
        rc = begin(self, err);
    else if (!self->job)
        host_rename(self, late->jobs[late->count - 1], "");
    if (rc == DZ_OK)
        host_flush(self);
    return rc;
}
