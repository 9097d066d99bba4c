/* remote_logs.c - a job's log from a server, page by page, and what is written while we follow.
 *
 * A job's log grows by parts that have numbers.  A round gives the records of some of them in the order
 * of time: its first answer says how far the log goes, its other pages are of no more than that, and
 * the next round begins there.  So nothing is left out, and nothing comes twice.
 *
 * What a test printed long before it failed is chosen only when it has failed.  So with only_failed
 * a round begins at the start when verdicts have changed, and what was given is known by its place. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/map.h"
#include "zb/remote.h"

enum { PAGE = 1000 };

struct remote_logs {
    struct source_logs base;
    struct remote *remote; /* borrowed */
    char ulid[STORE_ULID_LEN + 1];
    struct doc_logs_ask ask;            /* strings are the caller's, see doc.h */
    bool is_followed, is_over, has_all; /* has_all: the page was the last, for now */
    json_t **lines;                     /* owned, each owned; the page */
    size_t count, cap, at;
    int64_t offset;
    int64_t from, to;              /* the parts of this round; to -1: not known yet */
    json_t *given;                 /* owned; the last one, valid until the next call */
    struct dz_map seen;            /* places that were given, with only_failed */
    uint32_t verdicts[DZ_RESULTS]; /* as they were before this round */
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
    dz_map_fini(&self->seen);
    free(self);
}

static bool
was_given(struct remote_logs *self, const json_t *line)
{
    struct doc_log log;
    remote_read_log(line, &log);
    return dz_map_put(&self->seen, log.place, self) != NULL;
}

static void
take_line(void *arg, json_t *line)
{
    struct remote_logs *self = arg;
    self->offset++;
    if (self->is_followed && self->ask.only_failed && was_given(self, line))
        return;
    if (self->count == self->cap) {
        self->cap = self->cap ? 2 * self->cap : PAGE;
        self->lines = dz_realloc(self->lines, self->cap, sizeof(json_t *));
    }
    self->lines[self->count++] = json_incref(line);
}

static void
page_path(const struct remote_logs *self, struct dz_buf *path)
{
    dz_buf_addf(path, "/jobs/%s/logs?limit=%d", self->ulid, PAGE);
    remote_value(path, "worker", self->ask.worker);
    remote_value(path, "thread", self->ask.thread);
    remote_value(path, "test", self->ask.test);
    if (self->ask.only_failed)
        remote_number(path, "failed", 1);
    if (self->ask.since_us > 0)
        remote_number(path, "since", self->ask.since_us);
    if (self->ask.until_us > 0)
        remote_number(path, "until", self->ask.until_us);
    if (self->from > 0)
        remote_number(path, "from", self->from);
    if (self->to > 0)
        remote_number(path, "to", self->to);
    remote_number(path, "offset", self->offset);
}

/* The next page of this round, from `offset` on. */
static enum dz_rc
next_page(struct remote_logs *self, struct dz_err *err)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf path = { 0 }, body = { 0 };
    int64_t before = self->offset, place = -1;
    forget_page(self);
    page_path(self, &path);
    enum dz_rc rc = remote_get_part(self->remote, &path, &body, &place, err);
    if (rc == DZ_OK && place < 0 && self->is_followed)
        return dz_fail(err, DZ_VERSION, "%s is of an older dagz: its logs cannot be followed",
                       self->remote->url);
    if (rc == DZ_OK)
        rc = remote_lines(self->remote, &body, "zb.logs/1", take_line, self, err);
    self->to = self->to < 0 ? place : self->to;
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

/* All pages were read: the next round. */
static enum dz_rc
begin_anew(struct remote_logs *self, struct dz_err *err)
{
    struct store_job_info info;
    struct source *source = &self->remote->base;
    enum dz_rc rc = source->ops->info(source, self->ulid, &info, err);
    if (rc != DZ_OK)
        return rc;
    bool is_same = memcmp(self->verdicts, info.verdicts, sizeof(self->verdicts)) == 0;
    memcpy(self->verdicts, info.verdicts, sizeof(self->verdicts));
    self->is_over = info.state != STORE_RUNNING;
    store_job_info_fini(&info);
    self->from = self->ask.only_failed && !is_same ? 0 : self->to;
    self->to = -1;
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
    self->to = -1;
    (void) snprintf(self->ulid, sizeof(self->ulid), "%s", ulid);
    (void) snprintf(self->remote->watched, sizeof(self->remote->watched), "%s", ulid);
    enum dz_rc rc = next_page(self, err); /* what is asked wrongly is told now */
    if (rc == DZ_OK)
        *out = &self->base;
    else
        logs_close(&self->base);
    return rc;
}
