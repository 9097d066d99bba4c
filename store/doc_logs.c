/* doc_logs.c - a job's log, chosen by names: workers, threads, tests. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/str.h"
#include "store/doc.h"

enum { CHOOSE_SHARE = 10 }; /* looking at verdicts takes at most one part in so many of the time */

struct doc_logs {
    struct store *store; /* borrowed */
    char ulid[STORE_ULID_LEN + 1];
    struct doc_logs_ask ask;
    struct store_view *view;   /* owned */
    struct store_logs *reader; /* owned */
    struct store_logs *late;   /* owned; what tests printed before they were wanted, or NULL */
    uint8_t *wanted, *more;    /* owned; one bit a test, or NULL; more: those that `late` is of */
    int node;                  /* -1: any */
    bool is_view_new;          /* since the last refresh */
    dz_us choose_at;           /* when verdicts may be looked at again */
    struct store_log_filter filter;
};

/* ---- workers ---- */

/* How many a node has, of which no more is known than that it ran some; node -1: the most of any. */
static uint32_t
worker_count(const struct doc_job *job, int node)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < job->nodes->node_count; i++)
        if ((node < 0 || (uint32_t) node == i) && job->nodes->nodes[i].workers > most)
            most = job->nodes->nodes[i].workers;
    return most > 0 ? most : job->info.workers;
}

bool
doc_job_has_worker(const struct doc_job *job, const char *name)
{
    int node, worker, thread;
    if (!doc_worker_read(name, &node, &worker, &thread) || worker < 0)
        return true;
    for (size_t i = 0; i < job->lane_count; i++) {
        int its_node, its_worker;
        bool is_named = doc_worker_read(job->lanes[i].worker, &its_node, &its_worker, &thread);
        bool is_there = node < 0 || node == (its_node < 0 ? 0 : its_node);
        if (is_named && is_there && worker == its_worker)
            return true;
    }
    bool has_node = node <= 0 || (uint32_t) node < job->nodes->node_count;
    return has_node && (uint32_t) worker < worker_count(job, node);
}

static enum dz_rc
choose_worker(struct doc_logs *self, struct dz_err *err)
{
    int node, worker, thread;
    const char *name = self->ask.worker;
    if (name && !doc_worker_read(name, &self->node, &self->filter.worker, &self->filter.thread))
        return dz_fail(err, DZ_REFUSED, "'%.60s' is not a worker such as jw0 (or 'agent')", name);
    name = self->ask.thread;
    if (!name)
        return DZ_OK;
    if (!doc_worker_read(name, &node, &worker, &thread) || thread < 0)
        return dz_fail(err, DZ_REFUSED, "'%.60s' is not a thread such as jw0.t12", name);
    self->node = node;
    self->filter.worker = worker;
    self->filter.thread = thread;
    return DZ_OK;
}

/* ---- tests ---- */

static bool
has_bit(const uint8_t *bits, uint32_t count, uint32_t test)
{
    return test < count && bits[test / 8] >> test % 8 & 1;
}

/* Tests that are wanted now and were not before; those stay, whatever became of them. */
static enum dz_rc
choose_tests(struct doc_logs *self, bool *has_more_out, struct dz_err *err)
{
    uint32_t count = store_view_count(self->view), found = 0, before = self->filter.test_count;
    *has_more_out = false;
    if (!self->ask.test && !self->ask.only_failed)
        return DZ_OK;
    DZ_AUTO(dz_free) uint8_t *wanted = dz_alloc0(count / 8 + 1, 1);
    DZ_AUTO(dz_free) uint8_t *more = dz_alloc0(count / 8 + 1, 1);
    for (uint32_t i = 0; i < count; i++) {
        struct store_test test;
        uint8_t bit = (uint8_t) (1 << i % 8);
        store_view_test(self->view, i, &test);
        if (self->ask.test && !dz_id_is_below(test.id, self->ask.test))
            continue;
        found++;
        bool was_wanted = has_bit(self->wanted, before, i);
        bool is_new = !was_wanted && (!self->ask.only_failed || dz_result_is_bad(test.verdict));
        wanted[i / 8] |= was_wanted || is_new ? bit : 0;
        more[i / 8] |= is_new ? bit : 0;
        *has_more_out |= is_new;
    }
    if (self->ask.test && found == 0)
        return dz_fail(err, DZ_ABSENT, "the job has no test '%.200s'", self->ask.test);
    free(self->wanted);
    free(self->more);
    self->wanted = dz_move(wanted);
    self->more = dz_move(more);
    self->filter.tests = self->wanted;
    self->filter.test_count = count;
    return DZ_OK;
}

/* ---- reading ---- */

enum dz_rc
doc_logs_open(struct store *store, const char *ulid, const struct doc_logs_ask *ask,
              struct doc_logs **out, struct dz_err *err)
{
    DZ_AUTO(doc_logs_close) struct doc_logs *self = dz_alloc0(1, sizeof(*self));
    bool unused;
    self->store = store;
    self->ask = *ask;
    self->node = -1;
    self->filter = (struct store_log_filter){
        .since_us = ask->since_us,
        .worker = -1,
        .thread = -1,
        .from = ask->from,
        .until = ask->until,
    };
    (void) snprintf(self->ulid, sizeof(self->ulid), "%s", ulid);
    enum dz_rc rc = choose_worker(self, err);
    if (rc == DZ_OK)
        rc = store_view_load(store, ulid, &self->view, err);
    if (rc == DZ_OK)
        rc = choose_tests(self, &unused, err);
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
    store_logs_close(&self->late);
    store_view_destroy(&self->view);
    free(self->wanted);
    free(self->more);
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

/* What came late is of an earlier time than what comes next. */
static enum dz_rc
next_record(struct doc_logs *self, struct store_log *out, struct dz_err *err)
{
    if (self->late) {
        enum dz_rc rc = store_logs_next(self->late, out, err);
        if (rc != DZ_ABSENT)
            return rc;
        store_logs_close(&self->late);
    }
    return store_logs_next(self->reader, out, err);
}

enum dz_rc
doc_logs_next(struct doc_logs *self, struct doc_log *out, struct dz_err *err)
{
    struct store_log log;
    for (;;) {
        enum dz_rc rc = next_record(self, &log, err);
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

/* ---- more of it ---- */

/* Verdicts come while we follow.  To read them all takes its time in a large job, so most of the
 * time nobody does. */
static enum dz_rc
choose_again(struct doc_logs *self, bool is_last, struct dz_err *err)
{
    bool has_more = false;
    dz_us began = dz_clock_us();
    uint32_t until = store_logs_until(self->reader);
    if (!self->ask.only_failed || (!is_last && began < self->choose_at))
        return DZ_OK;
    enum dz_rc rc = renew_view(self, err);
    if (rc == DZ_OK)
        rc = choose_tests(self, &has_more, err);
    if (rc != DZ_OK)
        return rc;
    store_logs_choose(self->reader, self->filter.tests, self->filter.test_count);
    dz_us now = dz_clock_us();
    self->choose_at = now + CHOOSE_SHARE * (now - began);
    if (!has_more || until <= self->ask.from)
        return DZ_OK;
    struct store_log_filter past = self->filter;
    past.tests = self->more;
    past.until = until;
    return store_logs_open(self->store, self->ulid, &past, &self->late, err);
}

/* Tests may become known only while we follow. */
static enum dz_rc
refresh_view(struct doc_logs *self, struct dz_err *err)
{
    return store_view_count(self->view) > 0 ? DZ_OK : renew_view(self, err);
}

enum dz_rc
doc_logs_refresh(struct doc_logs *self, bool is_last, struct dz_err *err)
{
    enum dz_rc rc = choose_again(self, is_last, err);
    if (rc == DZ_OK)
        rc = store_logs_refresh(self->reader, err);
    self->is_view_new = false;
    if (rc == DZ_OK && store_logs_pending(self->reader) > 0)
        rc = refresh_view(self, err);
    return rc;
}

uint32_t
doc_logs_until(const struct doc_logs *self)
{
    return store_logs_until(self->reader);
}
