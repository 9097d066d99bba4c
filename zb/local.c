/* local.c - facts from the store of this machine, read from its files. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/fd.h"
#include "zb/source.h"

enum {
    LOOK_MS = 250, /* between two looks when nothing tells that the file was written to */
    TWICE_MS = 5,  /* from a look because of that to the next */
};

struct local {
    struct source base;
    struct store *store; /* owned */
    int watch_fd;  /* tells when the store's file is written to; -1: not asked yet, or cannot */
    bool was_told; /* that the file was written to, before the last look */
};

static struct store *
store_of(struct source *self)
{
    return ((struct local *) (void *) self)->store;
}

static int64_t
now_us(void)
{
    return dz_clock_wall_ms() * 1000;
}

static void
local_close(struct source *base)
{
    struct local *self = (struct local *) (void *) base;
    store_close(&self->store);
    dz_fd_close(&self->watch_fd);
    free(self);
}

static bool
local_knows_project(struct source *self, const char *uri)
{
    return store_knows_project(store_of(self), uri);
}

static enum dz_rc
local_jobs(struct source *self, const char *uri, size_t limit, struct store_job_list *out,
           struct dz_err *err)
{
    return store_jobs(store_of(self), uri, limit, now_us(), out, err);
}

static enum dz_rc
local_find(struct source *self, const char *uri, const char *spec,
           char ulid_out[STORE_ULID_LEN + 1], struct dz_err *err)
{
    enum dz_rc rc = store_job_find(store_of(self), uri, spec, now_us(), ulid_out, err);
    return rc == DZ_REFUSED ? DZ_AGAIN : rc;
}

static enum dz_rc
local_find_by_commit(struct source *self, const char *uri, const char *commit,
                     char ulid_out[STORE_ULID_LEN + 1], struct dz_err *err)
{
    return store_job_of_commit(store_of(self), uri, commit, ulid_out, err);
}

static enum dz_rc
local_info(struct source *self, const char *ulid, struct store_job_info *out, struct dz_err *err)
{
    return store_job_info(store_of(self), ulid, now_us(), out, err);
}

static enum dz_rc
local_job(struct source *self, const char *ulid, size_t failures_max, struct doc_job *out,
          struct dz_err *err)
{
    return doc_job_read(store_of(self), ulid, now_us(), failures_max, out, err);
}

static enum dz_rc
local_tests(struct source *self, const char *ulid, char *const *words, size_t word_count,
            const struct doc_tests_ask *ask, doc_test_fn *fn, void *arg,
            struct doc_tests_sum *sum_out, struct dz_err *err)
{
    (void) words;
    (void) word_count;
    DZ_AUTO(store_view_destroy) struct store_view *view = NULL;
    enum dz_rc rc = store_view_load(store_of(self), ulid, &view, err);
    if (rc == DZ_OK)
        doc_tests(view, ask, fn, arg, sum_out);
    return rc;
}

static enum dz_rc
local_near(struct source *self, const char *ulid, const char *name, struct dz_buf *list_out,
           struct dz_err *err)
{
    struct dz_slice near[DOC_NEAR_MAX];
    size_t all = 0;
    DZ_AUTO(store_view_destroy) struct store_view *view = NULL;
    enum dz_rc rc = store_view_load(store_of(self), ulid, &view, err);
    if (rc != DZ_OK)
        return rc;
    size_t count = doc_near(view, name, DOC_NEAR_MAX, near, &all);
    for (size_t i = 0; i < count; i++) {
        dz_buf_add(list_out, near[i].ptr, near[i].len);
        dz_buf_add(list_out, "\n", 1);
    }
    return DZ_OK;
}

static enum dz_rc
local_spans(struct source *self, const char *ulid, const char *name, doc_span_fn *fn, void *arg,
            struct dz_err *err)
{
    return doc_spans(store_of(self), ulid, name, fn, arg, err);
}

/* ---- waiting ---- */

static int
watch(const struct store *store)
{
    char path[4096];
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    int len = snprintf(path, sizeof(path), "%s/data.mdb", store_dir(store));
    if (fd < 0 || len <= 0 || (size_t) len >= sizeof(path))
        return fd;
    (void) inotify_add_watch(fd, path, IN_MODIFY); /* else every LOOK_MS */
    return fd;
}

/* What the kernel says is only a hint: a file system that tells nothing is looked at a few times a
 * second.  And LMDB lets readers see a transaction a moment after it has written its last page, so who
 * was told looks twice. */
static void
local_pause(struct source *base, int wait_ms)
{
    struct local *self = (struct local *) (void *) base;
    char events[4096];
    bool is_new = self->watch_fd < 0;
    if (is_new)
        self->watch_fd = watch(self->store);
    if (is_new && self->watch_fd >= 0)
        return; /* what was written before we watched is looked at once more */
    struct pollfd poll_fd = { .fd = self->watch_fd, .events = POLLIN };
    int most_ms = self->was_told ? TWICE_MS : LOOK_MS;
    self->was_told = poll(&poll_fd, 1, wait_ms < most_ms ? wait_ms : most_ms) > 0;
    if (self->was_told)
        (void) !read(self->watch_fd, events, sizeof(events));
}

/* ---- logs ---- */

struct local_logs {
    struct source_logs base;
    struct store *store; /* borrowed */
    char ulid[STORE_ULID_LEN + 1];
    struct doc_logs *logs; /* owned */
    struct local *local;   /* borrowed */
    bool is_followed, is_over;
};

static void
local_logs_close(struct source_logs *base)
{
    struct local_logs *self = (struct local_logs *) (void *) base;
    doc_logs_close(&self->logs);
    free(self);
}

static bool
has_ended(const struct local_logs *self)
{
    struct store_job_info info;
    struct dz_err unused;
    if (store_job_info(self->store, self->ulid, now_us(), &info, &unused) != DZ_OK)
        return true;
    bool is_over = info.state != STORE_RUNNING;
    store_job_info_fini(&info);
    return is_over;
}

/* When the job has ended, look once more: its last records came before that. */
static enum dz_rc
local_logs_next(struct source_logs *base, int wait_ms, struct doc_log *out, struct dz_err *err)
{
    struct local_logs *self = (struct local_logs *) (void *) base;
    dz_ms until = dz_clock_ms() + wait_ms;
    for (;;) {
        enum dz_rc rc = doc_logs_next(self->logs, out, err);
        if (rc != DZ_ABSENT || !self->is_followed)
            return rc;
        bool was_over = self->is_over;
        self->is_over = was_over || has_ended(self);
        rc = doc_logs_refresh(self->logs, self->is_over, err);
        if (rc != DZ_OK)
            return rc;
        rc = doc_logs_next(self->logs, out, err);
        if (rc != DZ_ABSENT || was_over)
            return rc;
        dz_ms left = until - dz_clock_ms();
        if (left <= 0)
            return DZ_AGAIN;
        if (!self->is_over)
            local_pause(&self->local->base, (int) left);
    }
}

static enum dz_rc
local_logs_open(struct source *source, const char *ulid, const struct doc_logs_ask *ask,
                bool is_followed, struct source_logs **out, struct dz_err *err)
{
    static const struct source_logs_ops ops = { local_logs_close, local_logs_next };
    struct local_logs *self = dz_alloc0(1, sizeof(*self));
    self->base.ops = &ops;
    self->store = store_of(source);
    self->is_followed = is_followed;
    self->local = (struct local *) (void *) source;
    (void) snprintf(self->ulid, sizeof(self->ulid), "%s", ulid);
    enum dz_rc rc = doc_logs_open(self->store, ulid, ask, &self->logs, err);
    if (rc == DZ_OK)
        *out = &self->base;
    else
        local_logs_close(&self->base);
    return rc == DZ_REFUSED ? DZ_LIMIT : rc;
}

enum dz_rc
source_local(const char *home, struct source **out, struct dz_err *err)
{
    static const struct source_ops ops = {
        .close = local_close,
        .knows_project = local_knows_project,
        .jobs = local_jobs,
        .find = local_find,
        .find_by_commit = local_find_by_commit,
        .info = local_info,
        .job = local_job,
        .tests = local_tests,
        .near = local_near,
        .spans = local_spans,
        .logs_open = local_logs_open,
        .pause = local_pause,
    };
    struct store *store = NULL;
    enum dz_rc rc = store_open(home, STORE_READ, &store, NULL, err);
    if (rc != DZ_OK)
        return rc;
    struct local *self = dz_alloc0(1, sizeof(*self));
    self->base = (struct source){ .ops = &ops, .name = store_dir(store) };
    self->store = store;
    self->watch_fd = -1;
    *out = &self->base;
    return DZ_OK;
}
