/* doc_job.c - one job on one page: counts, failures, the slowest tests, its workers. */
#include <stdlib.h>

#include "shared/wire/generation.h"
#include "store/doc.h"
#include "store/jot.h"

/* ---- reading ---- */

struct reading {
    struct doc_job *doc;
    size_t failures_max;
    uint32_t slowest[DOC_SLOWEST], slow_count;
    int64_t slowest_us[DOC_SLOWEST];
};

static void
note_slow(struct reading *self, uint32_t test, int64_t us)
{
    uint32_t at = self->slow_count < DOC_SLOWEST ? self->slow_count : DOC_SLOWEST - 1;
    if (self->slow_count == DOC_SLOWEST && us <= self->slowest_us[at])
        return;
    self->slow_count += self->slow_count < DOC_SLOWEST;
    for (; at > 0 && self->slowest_us[at - 1] < us; at--) {
        self->slowest[at] = self->slowest[at - 1];
        self->slowest_us[at] = self->slowest_us[at - 1];
    }
    self->slowest[at] = test;
    self->slowest_us[at] = us;
}

static void
note_run(void *arg, const struct store_result *run)
{
    struct doc_job *doc = arg;
    if (run->node == DZ_NODE_CARRIED) {
        doc->carried++;
        return;
    }
    uint32_t node = store_view_node(doc->view, run->node);
    size_t i = 0;
    doc->node_runs[node]++;
    while (i < doc->lane_count &&
           (doc->lanes[i].number != run->worker || doc->lanes[i].node != node))
        i++;
    if (i == DOC_WORKERS_MAX)
        return;
    if (i == doc->lane_count)
        doc->lanes[doc->lane_count++] = (struct doc_lane){ .node = node, .number = run->worker };
    struct doc_lane *lane = &doc->lanes[i];
    int64_t took_us = run->setup_us + run->call_us + run->teardown_us;
    if (lane->runs == 0 || run->start_us < lane->first_us)
        lane->first_us = run->start_us;
    if (lane->runs == 0 || run->start_us + took_us > lane->last_us)
        lane->last_us = run->start_us + took_us;
    lane->runs++;
    lane->busy_us += took_us;
}

/* With the first line of what it said: a thousand tracebacks would need much memory. */
static void
take(struct store_view *view, uint32_t test, struct doc_test *out)
{
    doc_test_of(view, test, out);
    doc_test_read_text(view, test, out);
    if (!out->text)
        return;
    struct dz_slice line =
        doc_first_line((struct dz_slice){ (uint8_t *) out->text, out->text_len });
    char *first = dz_slice_dup(line);
    free(out->text);
    out->text = first;
    out->text_len = line.len;
}

static void
note_failure(struct reading *self, uint32_t test)
{
    struct doc_job *doc = self->doc;
    if (doc->failure_count++ >= self->failures_max)
        return;
    struct doc_test *failure = &doc->failures[doc->failures_len++];
    take(doc->view, test, failure);
}

static int
by_worker(const void *a, const void *b)
{
    const struct doc_lane *x = a, *y = b;
    if (x->node != y->node)
        return x->node < y->node ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static void
count(struct reading *self)
{
    struct doc_job *doc = self->doc;
    uint32_t tests = store_view_count(doc->view), nodes = store_view_nodes(doc->view);
    /* which of them count as before is not kept */
    bool is_incomplete = doc->info.state == STORE_INCOMPLETE && doc->info.as_before == 0;
    doc->failures = dz_alloc0(self->failures_max + 1, sizeof(*doc->failures));
    doc->missing = dz_alloc0(self->failures_max + 1, sizeof(*doc->missing));
    doc->carried = doc->info.as_before;
    doc->lanes = dz_alloc0(DOC_WORKERS_MAX, sizeof(*doc->lanes));
    doc->nodes = store_view_chronicle(doc->view);
    doc->node_runs = dz_alloc0((size_t) nodes + 1, sizeof(*doc->node_runs));
    for (uint32_t i = 0; i < tests; i++) {
        struct store_test test;
        store_view_test(doc->view, i, &test);
        if (dz_result_is_bad(test.verdict))
            note_failure(self, i);
        if (is_incomplete && test.verdict == DZ_RESULT_NONE &&
            doc->missing_len < self->failures_max)
            doc->missing[doc->missing_len++] = test.id;
        if (test.executions == 0)
            continue;
        uint32_t carried = doc->carried;
        store_view_executions(doc->view, i, note_run, doc);
        if (doc->carried > carried)
            continue; /* it took that long in another generation */
        note_slow(self, i, test.setup_us + test.call_us + test.teardown_us);
    }
    for (size_t i = 0; i < self->slow_count; i++)
        take(doc->view, self->slowest[i], &doc->slowest[i]);
    doc->slowest_len = self->slow_count;
    qsort(doc->lanes, doc->lane_count, sizeof(*doc->lanes), by_worker);
    for (size_t i = 0; i < doc->lane_count; i++)
        (void) doc_worker(doc->lanes[i].worker, nodes, doc->lanes[i].node, doc->lanes[i].number);
}

enum dz_rc
doc_job_read(struct store *store, const char *ulid, int64_t now_us, size_t failures_max,
             struct doc_job *out, struct dz_err *err)
{
    struct doc_job doc = { .failures_len = 0 };
    enum dz_rc rc = store_job_info(store, ulid, now_us, &doc.info, err);
    if (rc != DZ_OK)
        return rc;
    rc = store_view_load(store, ulid, &doc.view, err);
    if (rc != DZ_OK) {
        doc_job_fini(&doc);
        return rc;
    }
    *out = doc;
    struct reading reading = { .doc = out, .failures_max = failures_max };
    count(&reading);
    return DZ_OK;
}

void
doc_job_fini(struct doc_job *self)
{
    for (size_t i = 0; i < self->failures_len; i++)
        doc_test_fini(&self->failures[i]);
    for (size_t i = 0; i < self->slowest_len; i++)
        doc_test_fini(&self->slowest[i]);
    free(self->failures);
    free(self->missing);
    free(self->lanes);
    free(self->node_runs);
    store_nodes_fini(&self->held_nodes);
    store_view_destroy(&self->view);
    if (self->release)
        self->release(self->held);
    store_job_info_fini(&self->info);
    *self = (struct doc_job){ .failures_len = 0 };
}

/* ---- JSON ---- */

void
doc_outcomes_json(struct dz_buf *out, const struct store_job_info *job)
{
    jot_key(out, "tests");
    jot_open(out, '{');
    for (unsigned i = DZ_RESULT_NONE + 1; i < DZ_RESULTS; i++)
        jot_int(out, dz_result_name((enum dz_result) i), job->verdicts[i]);
    jot_close(out, '}');
}

static void
numbers_json(struct dz_buf *out, const struct store_job_info *job)
{
    jot_int(out, "workers", job->workers);
    jot_int(out, "nodes", job->nodes);
    jot_int(out, "collected", job->collected);
    jot_int(out, "deselected", job->deselected);
    jot_int(out, "redundant", job->redundant);
    jot_int(out, "not_run", job->not_run);
    jot_int(out, "counted", job->counted);
    jot_int(out, "duplicates", job->duplicates);
    jot_int(out, "lost", job->lost);
    jot_bool(out, "ledger_wrong", job->is_ledger_wrong);
    jot_int(out, "shards", job->shards);
    jot_int(out, "shards_there", job->shards_there);
    jot_int(out, "as_before", job->as_before);
}

void
doc_info_fields(struct dz_buf *out, const struct store_job_info *job)
{
    static const char *const states[] = {
        [STORE_RUNNING] = "running",
        [STORE_SEALED] = "sealed",
        [STORE_BROKEN] = "broken",
        [STORE_INCOMPLETE] = "incomplete",
    };
    jot_text(out, "id", job->ulid);
    jot_text(out, "short_id", job->short_id);
    jot_text(out, "project", job->uri);
    jot_text(out, "state", states[job->state]);
    jot_text(out, "verdict", doc_verdict(job));
    if (job->exit_code >= 0)
        jot_int(out, "exit_code", job->exit_code);
    else
        jot_null(out, "exit_code");
    jot_time(out, "start", job->start_us);
    jot_time(out, "end", job->state == STORE_RUNNING ? 0 : job->end_us);
    jot_int(out, "duration_us", job->end_us - job->start_us);
    jot_text(out, "commit", job->commit);
    jot_bool(out, "dirty", job->is_dirty);
    jot_text(out, "profile", job->profile);
    jot_text(out, "command", job->command);
    jot_text(out, "versions", job->versions);
    jot_text(out, "rootdir", job->rootdir);
    jot_text(out, "host", job->host);
    jot_text(out, "timezone", job->timezone);
    jot_text(out, "reason", job->reason);
    jot_int(out, "generation", job->generation);
    if (*job->previous)
        jot_text(out, "previous", job->previous);
    else
        jot_null(out, "previous");
    numbers_json(out, job);
    doc_outcomes_json(out, job);
}

void
doc_jobs_json(struct dz_buf *out, const struct store_job_list *list)
{
    jot_open(out, '{');
    jot_text(out, "schema", "zb.jobs/1");
    jot_key(out, "jobs");
    jot_open(out, '[');
    for (size_t i = 0; i < list->count; i++) {
        jot_open(out, '{');
        doc_info_fields(out, &list->jobs[i]);
        jot_close(out, '}');
    }
    jot_close(out, ']');
    jot_close(out, '}');
    jot_end(out);
}

void
doc_brief_json(struct dz_buf *out, const struct doc_test *test)
{
    struct dz_slice text = { (const uint8_t *) test->text, test->text_len };
    char key[DOC_KEY];
    jot_open(out, '{');
    jot_slice(out, "id", test->id);
    jot_text(out, "outcome", doc_outcome(test->outcome));
    jot_int(out, "duration_us", doc_test_us(test));
    jot_text(out, "worker", test->worker);
    jot_int(out, "runs", test->runs);
    if (test->span)
        jot_text(out, "span", doc_key(key, test->span));
    if (test->text)
        jot_slice(out, "message", doc_first_line(text));
    jot_close(out, '}');
}

static void
briefs_json(struct dz_buf *out, const char *key, const struct doc_test *tests, size_t len)
{
    jot_key(out, key);
    jot_open(out, '[');
    for (size_t i = 0; i < len; i++)
        doc_brief_json(out, &tests[i]);
    jot_close(out, ']');
}

void
doc_job_json(struct dz_buf *out, const struct doc_job *self)
{
    jot_open(out, '{');
    jot_text(out, "schema", "zb.job/1");
    doc_info_fields(out, &self->info);
    jot_int(out, "carried", self->carried);
    jot_key(out, "missing");
    jot_open(out, '[');
    for (size_t i = 0; i < self->missing_len; i++)
        jot_slice(out, NULL, self->missing[i]);
    jot_close(out, ']');
    jot_int(out, "failure_count", self->failure_count);
    briefs_json(out, "failures", self->failures, self->failures_len);
    briefs_json(out, "slowest", self->slowest, self->slowest_len);
    jot_key(out, "by_worker");
    jot_open(out, '[');
    for (size_t i = 0; i < self->lane_count; i++) {
        const struct doc_lane *lane = &self->lanes[i];
        jot_open(out, '{');
        jot_text(out, "worker", lane->worker);
        jot_int(out, "runs", lane->runs);
        jot_int(out, "busy_us", lane->busy_us);
        jot_time(out, "first", lane->first_us);
        jot_time(out, "last", lane->last_us);
        jot_close(out, '}');
    }
    jot_close(out, ']');
    doc_nodes_json(out, self);
    jot_close(out, '}');
    jot_end(out);
}
