/* doc_logs.c - a job's log, chosen by names: workers, threads, tests. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/str.h"
#include "store/doc.h"

struct doc_logs {
    struct store *store; /* borrowed */
    char ulid[STORE_ULID_LEN + 1];
    struct doc_logs_ask ask;
    struct store_view *view;   /* owned */
    struct store_logs *reader; /* owned */
    uint8_t *wanted;           /* owned; one bit a test, or NULL */
    int node;                  /* -1: any */
    bool is_view_new;          /* since the last refresh */
    struct store_log_filter filter;
};

/* ---- workers ---- */

/* A number of at most nine digits; moves *p behind it. */
static bool
read_digits(const char **p, int *out)
{
    int number = 0, count = 0;
    for (; isdigit((unsigned char) **p) && count < 9; ++*p, count++)
        number = number * 10 + (**p - '0');
    *out = number;
    return count > 0;
}

/* A word, then a number: "jw" and 12. */
static bool
read_named(const char **p, const char *word, int *out)
{
    size_t len = strlen(word);
    if (strncmp(*p, word, len) != 0)
        return false;
    *p += len;
    return read_digits(p, out);
}

/* "jw0", "n2.jw0", "jw0.t12", "agent"; the numbers that are not said are -1. */
static bool
read_worker(const char *text, int *node, int *worker, int *thread)
{
    *node = *worker = *thread = -1;
    if (strcmp(text, "agent") == 0) {
        *worker = -2;
        return true;
    }
    if (*text == 'n' && !(read_named(&text, "n", node) && *text++ == '.'))
        return false;
    if (!read_named(&text, "jw", worker))
        return false;
    return !*text || (read_named(&text, ".t", thread) && !*text);
}

static enum dz_rc
choose_worker(struct doc_logs *self, struct dz_err *err)
{
    int node, worker, thread;
    const char *name = self->ask.worker;
    if (name && !read_worker(name, &self->node, &self->filter.worker, &self->filter.thread))
        return dz_fail(err, DZ_REFUSED, "'%.60s' is not a worker such as jw0 (or 'agent')", name);
    name = self->ask.thread;
    if (!name)
        return DZ_OK;
    if (!read_worker(name, &node, &worker, &thread) || thread < 0)
        return dz_fail(err, DZ_REFUSED, "'%.60s' is not a thread such as jw0.t12", name);
    self->node = node;
    self->filter.worker = worker;
    self->filter.thread = thread;
    return DZ_OK;
}

/* ---- tests ---- */

static enum dz_rc
choose_tests(struct doc_logs *self, struct dz_err *err)
{
    uint32_t count = store_view_count(self->view), found = 0;
    if (!self->ask.test && !self->ask.only_failed)
        return DZ_OK;
    self->wanted = dz_alloc0(count / 8 + 1, 1);
    for (uint32_t i = 0; i < count; i++) {
        struct store_test test;
        store_view_test(self->view, i, &test);
        if (self->ask.test && !dz_id_is_below(test.id, self->ask.test))
            continue;
        found++;
        if (!self->ask.only_failed || dz_result_is_bad(test.verdict))
            self->wanted[i / 8] |= (uint8_t) (1 << i % 8);
    }
    self->filter.tests = self->wanted;
    self->filter.test_count = count;
    if (self->ask.test && found == 0)
        return dz_fail(err, DZ_ABSENT, "the job has no test '%.200s'", self->ask.test);
    return DZ_OK;
}

/* ---- reading ---- */

enum dz_rc
doc_logs_open(struct store *store, const char *ulid, const struct doc_logs_ask *ask,
              struct doc_logs **out, struct dz_err *err)
{
    DZ_AUTO(doc_logs_close) struct doc_logs *self = dz_alloc0(1, sizeof(*self));
    self->store = store;
    self->ask = *ask;
    self->node = -1;
    self->filter =
        (struct store_log_filter){ .since_us = ask->since_us, .worker = -1, .thread = -1 };
    (void) snprintf(self->ulid, sizeof(self->ulid), "%s", ulid);
    enum dz_rc rc = choose_worker(self, err);
    if (rc == DZ_OK)
        rc = store_view_load(store, ulid, &self->view, err);
    if (rc == DZ_OK)
        rc = choose_tests(self, err);
    if (rc == DZ_OK)
        rc = store_logs_open(store, ulid, &self->filter, &self->reader, err);
    if (rc == DZ_OK)
        *out = dz_move(self);
    return rc;
}

void
doc_logs_close(struct doc_logs **self_p)
{
    struct doc_logs *self = dz_move(*self_p);
    if (!self)
        return;
    store_logs_close(&self->reader);
    store_view_destroy(&self->view);
    free(self->wanted);
    free(self);
}

static enum dz_rc
renew_view(struct doc_logs *self, struct dz_err *err)
{
    struct store_view *view = NULL;
    enum dz_rc rc = store_view_load(self->store, self->ulid, &view, err);
    if (rc != DZ_OK)
        return rc;
    store_view_destroy(&self->view);
    self->view = view;
    return DZ_OK;
}

/* A node may arrive while we follow. */
static enum dz_rc
meet_node(struct doc_logs *self, uint64_t node, struct dz_err *err)
{
    if (self->is_view_new || store_view_node(self->view, node) < store_view_nodes(self->view))
        return DZ_OK;
    self->is_view_new = true; /* of a job without a chronicle it may still not be known */
    return renew_view(self, err);
}

static bool
is_wanted(const struct doc_logs *self, const struct store_log *log)
{
    if (self->ask.until_us && log->first_us > self->ask.until_us)
        return false;
    return self->node < 0 || store_view_node(self->view, log->node) == (uint32_t) self->node;
}

enum dz_rc
doc_logs_next(struct doc_logs *self, struct doc_log *out, struct dz_err *err)
{
    struct store_log log;
    for (;;) {
        enum dz_rc rc = store_logs_next(self->reader, &log, err);
        if (rc == DZ_OK)
            rc = meet_node(self, log.node, err);
        if (rc != DZ_OK)
            return rc;
        if (!is_wanted(self, &log))
            continue;
        doc_log_of(self->view, &log, out);
        return DZ_OK;
    }
}

/* Tests may become known only while we follow. */
static enum dz_rc
refresh_view(struct doc_logs *self, struct dz_err *err)
{
    return store_view_count(self->view) > 0 ? DZ_OK : renew_view(self, err);
}

enum dz_rc
doc_logs_refresh(struct doc_logs *self, struct dz_err *err)
{
    enum dz_rc rc = store_logs_refresh(self->reader, err);
    self->is_view_new = false;
    if (rc == DZ_OK && store_logs_pending(self->reader) > 0)
        rc = refresh_view(self, err);
    return rc;
}
