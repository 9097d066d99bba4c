/* read_spans.c - a job's timed pieces: in the order in which they began, or one with what is below it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/http/read.h"

enum { SPANS = 1000, SPANS_MAX = 10000, NUMBER = 24 };

struct ask {
    struct store_span_filter filter;
    uint8_t *tests; /* owned; of the filter */
    uint64_t limit, offset;
};

static bool
read_worker(struct http_call *call, struct ask *out)
{
    const char *text = http_arg(call, "worker");
    int node, thread;
    out->filter.worker = -1;
    if (!text)
        return true;
    if (doc_worker_read(text, &node, &out->filter.worker, &thread) && node < 0 && thread < 0 &&
        out->filter.worker >= 0)
        return true;
    http_problem(call, 400, "'%.64s' is not a worker such as jw0", text);
    return false;
}

static bool
read_ask(struct http_call *call, struct ask *out)
{
    uint64_t since, until;
    if (!http_arg_number(call, "since", 0, INT64_MAX, 0, &since) ||
        !http_arg_number(call, "until", 0, INT64_MAX, 0, &until) ||
        !http_arg_number(call, "limit", 1, SPANS_MAX, SPANS, &out->limit) ||
        !http_arg_number(call, "offset", 0, UINT32_MAX, 0, &out->offset))
        return false;
    out->filter.since_us = (int64_t) since;
    out->filter.until_us = (int64_t) until;
    return read_worker(call, out);
}

/* false: answered. */
static bool
choose_test(struct http_call *call, const struct store_view *view, struct ask *ask)
{
    const char *name = http_arg(call, "test");
    if (!name)
        return true;
    uint32_t test = store_view_find(view, dz_str(name));
    if (test == STORE_NO_TEST) {
        http_problem(call, 404, "the job has no test '%.300s'", name);
        return false;
    }
    ask->filter.test_count = store_view_count(view);
    ask->tests = dz_alloc0(ask->filter.test_count / 8 + 1, 1);
    ask->tests[test / 8] = (uint8_t) (1 << test % 8);
    ask->filter.tests = ask->tests;
    return true;
}

static void
put_span(struct dz_buf *out, const struct store_view *view, const struct store_span *recorded)
{
    struct doc_span span;
    doc_span_of(view, recorded, &span);
    doc_span_json(out, &span);
}

static enum dz_rc
write_page(struct http_call *call, const char *ulid, const struct ask *ask,
           const struct store_view *view, struct dz_err *err)
{
    char next[NUMBER];
    struct store_span span;
    struct store_spans *spans = NULL;
    uint64_t at = 0, end = ask->offset + ask->limit;
    enum dz_rc rc = store_spans_open(call->store, ulid, &ask->filter, &spans, err);
    if (rc != DZ_OK)
        return rc;
    rc = store_spans_next(spans, &span, err);
    for (; rc == DZ_OK && at < ask->offset; at++)
        rc = store_spans_next(spans, &span, err);
    for (; rc == DZ_OK && at < end && call->out.len < HTTP_ANSWER_MAX; at++) {
        put_span(&call->out, view, &span);
        rc = store_spans_next(spans, &span, err);
    }
    (void) snprintf(next, sizeof(next), "%" PRIu64, at);
    if (rc == DZ_OK)
        read_next(call, "offset", next);
    store_spans_close(&spans);
    return rc == DZ_ABSENT ? DZ_OK : rc;
}

void
http_get_spans(struct http_call *call)
{
    char ulid[STORE_ULID_LEN + 1];
    struct ask ask = { .limit = 0 };
    struct dz_err err;
    struct store_view *view = NULL;
    if (!read_ask(call, &ask) || !read_job(call, ulid))
        return;
    enum dz_rc rc = store_view_load(call->store, ulid, &view, &err);
    call->type = "application/x-ndjson";
    if (rc == DZ_OK && choose_test(call, view, &ask))
        rc = write_page(call, ulid, &ask, view, &err);
    if (rc != DZ_OK)
        http_problem_rc(call, rc, &err);
    store_view_destroy(&view);
    free(ask.tests);
}

/* ---- one, and all below it ---- */

struct subtree {
    struct http_call *call;
    uint64_t at, from, until;
    bool has_more;
};

static void
put_below(void *arg, const struct doc_span *span)
{
    struct subtree *self = arg;
    bool is_wanted = self->at >= self->from && self->at < self->until;
    if (is_wanted && self->call->out.len < HTTP_ANSWER_MAX) {
        doc_span_json(&self->call->out, span);
        self->at++;
    } else if (self->at < self->from) {
        self->at++;
    } else {
        self->until = self->at; /* the answer is full */
        self->has_more = true;
    }
}

void
http_get_span(struct http_call *call)
{
    char ulid[STORE_ULID_LEN + 1], next[NUMBER];
    struct dz_err err;
    uint64_t limit = 0;
    struct subtree self = { .call = call };
    if (!http_arg_number(call, "limit", 1, SPANS_MAX, SPANS, &limit) ||
        !http_arg_number(call, "offset", 0, UINT32_MAX, 0, &self.from) || !read_job(call, ulid))
        return;
    self.until = self.from + limit;
    call->type = "application/x-ndjson";
    enum dz_rc rc = doc_spans(call->store, ulid, call->params[1], put_below, &self, &err);
    (void) snprintf(next, sizeof(next), "%" PRIu64, self.at);
    if (rc == DZ_LIMIT)
        http_problem(call, 400, "%s", err.text);
    else if (rc != DZ_OK)
        http_problem_rc(call, rc, &err);
    else if (self.has_more)
        read_next(call, "offset", next);
}
