#include "vassal/upload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "vassal/client.h"

enum {
    DURATIONS_MS = 10 * 1000,
    LEAST_PATIENCE_US = 500 * 1000, /* even for one that has not answered for long */
};

struct upload {
    struct dz_loop *loop; /* borrowed */
    char *url, *home;     /* owned */
    struct upload_ops ops;
    struct client client;
    struct push *push; /* owned */
    struct dz_timer push_timer, settle_timer;
    bool is_home, is_settling, is_named;
    dz_us began;
    uint64_t stored; /* results, as was told */
    /* folders of earlier runs, one after the other */
    char **old_paths; /* owned */
    size_t old_count, old_at;
    struct spool_dir old_dir;
    struct push *old; /* owned; NULL: none under way */
};

static void arm(void *arg);

/* ------------------------------------------------------------------ folders of earlier runs */

static bool
open_old(struct upload *self)
{
    struct dz_err err;
    while (self->old_at < self->old_count) {
        const char *path = self->old_paths[self->old_at++];
        if (spool_dir_open(path, STORE_READ, &self->old_dir, &err) != DZ_OK)
            continue; /* its run is not over */
        struct push_cfg cfg = { .http = self->client.http,
                                .url = self->url,
                                .store = self->old_dir.store,
                                .ulid = self->old_dir.ulid };
        if (strcmp(self->old_dir.to, self->url) == 0 && push_new(&cfg, &self->old, &err) == DZ_OK)
            return true;
        spool_dir_close(&self->old_dir);
    }
    return false;
}

static void
end_old(struct upload *self)
{
    bool is_done = self->old && push_state(self->old) == PUSH_DONE;
    if (is_done)
        log_info("upload.old_sent", "path=%s", self->old_dir.path);
    push_destroy(&self->old);
    if (is_done)
        spool_dir_remove(&self->old_dir);
    spool_dir_close(&self->old_dir);
}

/* Only beside a job of ours that has all that there is. */
static void
step_old(struct upload *self, dz_us now)
{
    if (self->is_settling || push_state(self->push) != PUSH_IDLE)
        return;
    if (self->old && push_state(self->old) >= PUSH_DONE)
        end_old(self);
    if (!self->old && !open_old(self))
        return;
    push_step(self->old, now);
}

/* ------------------------------------------------------------------ this run's job */

static void
settled(struct upload *self)
{
    self->is_settling = false;
    dz_loop_unset(self->loop, &self->settle_timer);
    self->ops.on_settled(self->ops.arg);
}

static void
on_settle_time(void *arg)
{
    settled(arg);
}

static void
name_job(struct upload *self)
{
    const struct store_receipt *receipt = push_receipt(self->push);
    if (self->is_named || !receipt)
        return;
    self->is_named = true;
    log_info("upload.begun", "url=%s short=%s after_us=%lld", self->url, receipt->short_id,
             (long long) (dz_clock_us() - self->began));
    self->ops.on_named(self->ops.arg, receipt->short_id);
}

static void
tell_stored(struct upload *self)
{
    uint64_t rows = upload_stored(self);
    if (rows <= self->stored)
        return;
    self->stored = rows;
    self->ops.on_stored(self->ops.arg, rows);
}

/* Whatever happened: do what is due, and see when to look again. */
static void
arm(void *arg)
{
    struct upload *self = arg;
    if (!self->push)
        return;
    dz_us now = dz_clock_us();
    push_step(self->push, now);
    name_job(self);
    tell_stored(self);
    step_old(self, now);
    dz_us at = push_at(self->push), old_at = self->old ? push_at(self->old) : 0;
    if (old_at != 0 && push_state(self->push) == PUSH_IDLE && (at == 0 || old_at < at))
        at = old_at;
    if (at == 0)
        dz_loop_unset(self->loop, &self->push_timer);
    else
        dz_loop_set(self->loop, &self->push_timer, at);
    bool is_vain = self->is_home && push_is_alone(self->push) && !push_is_asking(self->push);
    if (self->is_settling && (push_state(self->push) >= PUSH_DONE || is_vain))
        dz_loop_set(self->loop, &self->settle_timer, now);
}

static void
on_durations(void *arg, const struct dz_http_answer *answer)
{
    struct upload *self = arg;
    struct store_durations *durations = NULL;
    struct dz_err err = { .text = "" };
    enum dz_rc rc = answer->status == 200
                        ? store_durations_read(answer->body, &durations, &err)
                        : dz_fail(&err, DZ_IO, "status %d %s", answer->status, answer->why);
    if (rc == DZ_OK)
        self->ops.on_durations(self->ops.arg, &durations);
    else
        log_debug("upload.durations", "why=%s", err.text);
    store_durations_destroy(&durations);
}

static void
ask_durations(struct upload *self, const char *uri, const char *profile)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf url = { 0 };
    struct dz_err err;
    dz_buf_addf(&url, "%s/api/v1/durations?project=", self->url);
    dz_url_add(&url, uri);
    dz_buf_addf(&url, "&profile=");
    dz_url_add(&url, profile);
    dz_buf_add(&url, "", 1);
    struct dz_http_ask ask = { .method = "GET",
                               .url = (const char *) url.data,
                               .answer_max = STORE_DURATIONS_MAX,
                               .timeout_ms = DURATIONS_MS,
                               .fn = on_durations,
                               .arg = self };
    if (dz_http_ask(self->client.http, &ask, &err) != DZ_OK)
        log_debug("upload.durations", "why=%s", err.text);
}

/* ------------------------------------------------------------------ life */

enum dz_rc
upload_new(const struct upload_cfg *cfg, struct upload **self_out, struct dz_err *err)
{
    DZ_AUTO(upload_destroy) struct upload *self = dz_alloc0(1, sizeof(*self));
    self->loop = cfg->loop;
    self->url = dz_strdup(cfg->url);
    self->home = dz_strdup(cfg->home);
    self->ops = *cfg->ops;
    self->is_home = cfg->is_home;
    self->old_dir = SPOOL_DIR_NONE;
    self->push_timer = (struct dz_timer){ .fn = arm, .arg = self };
    self->settle_timer = (struct dz_timer){ .fn = on_settle_time, .arg = self };
    enum dz_rc rc = client_open(&self->client, cfg->loop, arm, self, err);
    if (rc == DZ_OK)
        *self_out = dz_move(self);
    return rc;
}

void
upload_destroy(struct upload **self_p)
{
    struct upload *self = dz_move(*self_p);
    if (!self)
        return;
    end_old(self);
    push_destroy(&self->push);
    client_close(&self->client);
    dz_loop_unset(self->loop, &self->push_timer);
    dz_loop_unset(self->loop, &self->settle_timer);
    spool_dirs_free(self->old_paths, self->old_count);
    free(self->url);
    free(self->home);
    free(self);
}

enum dz_rc
upload_job(struct upload *self, struct store *store, const char *ulid, const char *uri,
           const char *profile, struct dz_err *err)
{
    DZ_AUTO(dz_free) char *parent = spool_dir_path(self->home, "");
    struct push_cfg cfg = {
        .http = self->client.http, .url = self->url, .store = store, .ulid = ulid, .is_live = true
    };
    self->began = dz_clock_us();
    enum dz_rc rc = push_new(&cfg, &self->push, err);
    if (rc != DZ_OK)
        return rc;
    self->old_count = spool_dirs(parent, &self->old_paths);
    if (uri)
        ask_durations(self, uri, profile);
    arm(self);
    return DZ_OK;
}

void
upload_poke(struct upload *self, enum push_news news)
{
    if (!self->push)
        return;
    push_poke(self->push, news);
    dz_us at = push_at(self->push);
    if (at != 0 && (!self->push_timer.is_listed || at < self->push_timer.at))
        dz_loop_set(self->loop, &self->push_timer, at);
}

uint64_t
upload_stored(const struct upload *self)
{
    const struct store_receipt *receipt = push_receipt(self->push);
    return receipt ? receipt->at.count[STREAM_RESULTS] : 0;
}

void
upload_settle(struct upload *self, dz_us patience_us)
{
    dz_us now = dz_clock_us(), heard = push_heard(self->push);
    dz_us until = (heard > self->began ? heard : self->began) + patience_us;
    end_old(self);
    if (until < now + LEAST_PATIENCE_US)
        until = now + LEAST_PATIENCE_US;
    if (until > now + patience_us)
        until = now + patience_us;
    self->is_settling = true;
    dz_loop_set(self->loop, &self->settle_timer, until);
    push_leave(self->push);
    push_hurry(self->push);
    arm(self);
}

bool
upload_is_done(const struct upload *self)
{
    return push_state(self->push) == PUSH_DONE;
}

bool
upload_is_alone(const struct upload *self)
{
    return push_is_alone(self->push);
}

uint64_t
upload_pending(const struct upload *self)
{
    return push_pending(self->push);
}

const char *
upload_why(const struct upload *self)
{
    return push_why(self->push);
}
