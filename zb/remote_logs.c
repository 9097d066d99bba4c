/* remote_logs.c - a job's log from a server, page by page, and what is written while we follow.
 *
 * Records come in order of time, and a late one may belong before one that we have.  So the last
 * seconds are asked for again each time, and what was given before is known by its hash. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/digest.h"
#include "zb/remote.h"

enum {
    PAGE = 1000,
    SEEN = 1 << 16, /* hashes that are kept, a power of two */
    AGAIN_US = 5000000,
};

struct remote_logs {
    struct source_logs base;
    struct remote *remote; /* borrowed */
    char ulid[STORE_ULID_LEN + 1];
    struct doc_logs_ask ask;            /* strings are the caller's, see doc.h */
    bool is_followed, is_over, has_all; /* has_all: the page was the last, for now */
    json_t **lines;                     /* owned, each owned; the page */
    size_t count, cap, at;
    int64_t since_us, offset;
    json_t *given;  /* owned; the last one, valid until the next call */
    uint64_t *seen; /* owned; SEEN of them, 0: free; a hash has one place, newer ones take it */
};

static void
forget_page(struct remote_logs *self)
{
    for (; self->at < self->count; self->at++)
        json_decref(self->lines[self->at]);
    self->at = self->count = 0;
}

static void
logs_close(struct source_logs *base)
{
    struct remote_logs *self = (struct remote_logs *) (void *) base;
    forget_page(self);
    json_decref(self->given);
    free(self->lines);
    free(self->seen);
    free(self);
}

static bool
was_given(struct remote_logs *self, json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT | JSON_SORT_KEYS);
    uint64_t hash = dz_hash64(dz_str(text ? text : "")) | 1;
    free(text);
    uint64_t *place = &self->seen[(hash >> 1) % SEEN];
    bool is_known = *place == hash;
    *place = hash;
    return is_known;
}

static void
take_line(void *arg, json_t *line)
{
    struct remote_logs *self = arg;
    self->offset++;
    if (self->is_followed && was_given(self, line))
        return;
    if (self->count == self->cap) {
        self->cap = self->cap ? 2 * self->cap : PAGE;
        self->lines = dz_realloc(self->lines, self->cap, sizeof(json_t *));
    }
    self->lines[self->count++] = json_incref(line);
}

/* The next page, from `offset` of those since `since_us`. */
static enum dz_rc
next_page(struct remote_logs *self, struct dz_err *err)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf path = { 0 }, body = { 0 };
    int64_t before = self->offset;
    forget_page(self);
    dz_buf_addf(&path, "/jobs/%s/logs?limit=%d", self->ulid, PAGE);
    remote_value(&path, "worker", self->ask.worker);
    remote_value(&path, "thread", self->ask.thread);
    remote_value(&path, "test", self->ask.test);
    if (self->ask.only_failed)
        remote_number(&path, "failed", 1);
    if (self->since_us > 0)
        remote_number(&path, "since", self->since_us);
    if (self->ask.until_us > 0)
        remote_number(&path, "until", self->ask.until_us);
    remote_number(&path, "offset", self->offset);
    enum dz_rc rc = remote_get(self->remote, &path, &body, err);
    if (rc == DZ_OK)
        rc = remote_lines(self->remote, &body, "zb.logs/1", take_line, self, err);
    self->has_all = self->offset == before;
    return rc;
}

static enum dz_rc
give(struct remote_logs *self, struct doc_log *out)
{
    json_decref(self->given);
    self->given = self->lines[self->at++];
    remote_read_log(self->given, out);
    return DZ_OK;
}

/* All pages were read: from now on those of the last seconds.  What a test printed long before it failed
 * is chosen only when it has failed, so then all are asked for again. */
static enum dz_rc
begin_anew(struct remote_logs *self, struct dz_err *err)
{
    struct store_job_info info;
    struct source *source = &self->remote->base;
    enum dz_rc rc = source->ops->info(source, self->ulid, &info, err);
    if (rc != DZ_OK)
        return rc;
    self->is_over = info.state != STORE_RUNNING;
    store_job_info_fini(&info);
    struct doc_log last = { .last_us = 0 };
    if (self->given)
        remote_read_log(self->given, &last);
    if (last.last_us - AGAIN_US > self->since_us && !self->ask.only_failed)
        self->since_us = last.last_us - AGAIN_US;
    self->offset = 0;
    self->has_all = false;
    return DZ_OK;
}

static enum dz_rc
logs_next(struct source_logs *base, int wait_ms, struct doc_log *out, struct dz_err *err)
{
    struct remote_logs *self = (struct remote_logs *) (void *) base;
    dz_ms until = dz_clock_ms() + wait_ms;
    for (;;) {
        if (self->at < self->count)
            return give(self, out);
        if (!self->has_all) {
            enum dz_rc rc = next_page(self, err);
            if (rc != DZ_OK)
                return rc;
            continue;
        }
        if (!self->is_followed || self->is_over)
            return DZ_ABSENT;
        dz_ms left = until - dz_clock_ms();
        if (left <= 0)
            return DZ_AGAIN;
        self->remote->base.ops->pause(&self->remote->base, (int) left);
        enum dz_rc rc = begin_anew(self, err);
        if (rc != DZ_OK)
            return rc;
    }
}

enum dz_rc
remote_logs_open(struct source *source, const char *ulid, const struct doc_logs_ask *ask,
                 bool is_followed, struct source_logs **out, struct dz_err *err)
{
    static const struct source_logs_ops ops = { logs_close, logs_next };
    struct remote_logs *self = dz_alloc0(1, sizeof(*self));
    self->base.ops = &ops;
    self->remote = (struct remote *) (void *) source;
    self->ask = *ask;
    self->is_followed = is_followed;
    self->since_us = ask->since_us;
    self->seen = dz_alloc0(SEEN, sizeof(*self->seen));
    (void) snprintf(self->ulid, sizeof(self->ulid), "%s", ulid);
    (void) snprintf(self->remote->watched, sizeof(self->remote->watched), "%s", ulid);
    enum dz_rc rc = next_page(self, err); /* what is asked wrongly is told now */
    if (rc == DZ_OK)
        *out = &self->base;
    else
        logs_close(&self->base);
    return rc;
}
