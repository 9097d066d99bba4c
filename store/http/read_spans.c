/* read_spans.c - a job's timed pieces in the order in which they began. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/http/read.h"
#include "store/jot.h"

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
    unsigned number;
    char rest;
    out->filter.worker = -1;
    if (!text)
        return true;
    if (strlen(text) < 8 && sscanf(text, "jw%5u%c", &number, &rest) == 1) {
        out->filter.worker = (int) number;
        return true;
    }
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
put_key(struct dz_buf *out, const char *name, uint64_t scope, uint64_t id)
{
    char hex[NUMBER];
    (void) snprintf(hex, sizeof(hex), "%016" PRIx64, store_span_key(scope, id));
    jot_text(out, name, hex);
}

static void
put_span(struct dz_buf *out, const struct store_view *view, const struct store_span *span)
{
    char worker[DOC_WORKER];
    jot_open(out, '{');
    jot_text(out, "schema", "zb.spans/1");
    put_key(out, "key", span->scope, span->id);
    if (span->parent)
        put_key(out, "parent", span->scope, span->parent);
    jot_slice(out, "type", span->type);
    jot_slice(out, "name", span->name);
    jot_time(out, "start", span->start_us);
    jot_time(out, "end", span->end_us);
    jot_text(out, "worker",
             doc_worker(worker, store_view_nodes(view), store_view_node(view, span->node),
                        span->worker));
    if (span->test < store_view_count(view)) {
        struct store_test test;
        store_view_test(view, span->test, &test);
        jot_slice(out, "test", test.id);
        jot_int(out, "attempt", span->attempt);
    }
    if (span->result != DZ_RESULT_NONE)
        jot_text(out, "outcome", doc_outcome(span->result));
    jot_close(out, '}');
    jot_end(out);
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
