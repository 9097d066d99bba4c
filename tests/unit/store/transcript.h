/* transcript.h - all that readers can learn of a job, as one text: two that are equal say the same. */
#ifndef DZ_TESTS_UNIT_STORE_TRANSCRIPT_H
#define DZ_TESTS_UNIT_STORE_TRANSCRIPT_H

#include <inttypes.h>
#include <stdlib.h>

#include "shared/base/buf.h"
#include "store/store.h"
#include "tests/unit/unit.h"

static inline void
say_row(void *arg, const struct store_result *row)
{
    dz_buf_addf(arg, "  %u.%u by %" PRIu64 "/%" PRIu64 "/%" PRIu64 " %d word %d at %" PRId64 "\n",
                row->test, row->attempt, row->node, row->inc, row->exec, (int) row->result,
                (int) row->word, row->start_us);
}

static inline void
say_tests(struct store *store, const char *ulid, struct dz_buf *out)
{
    struct dz_err err = { "" };
    struct store_view *view = NULL;
    if (store_view_load(store, ulid, &view, &err) != DZ_OK)
        fail_msg("%s", err.text);
    for (uint32_t i = 0; i < store_view_count(view); i++) {
        struct store_test t;
        char *text = NULL;
        size_t len = 0;
        store_view_test(view, i, &t);
        dz_buf_addf(out, "%.*s %d %u/%u jw%u %" PRId64 "+%" PRId64 " line %u\n", (int) t.id.len,
                    (const char *) t.id.ptr, (int) t.verdict, t.attempts, t.executions, t.worker,
                    t.start_us, t.call_us, t.line);
        store_view_executions(view, i, say_row, out);
        enum dz_rc rc = store_view_text(view, i, &text, &len, &err);
        assert_true(rc == DZ_OK || rc == DZ_ABSENT);
        if (rc == DZ_OK)
            dz_buf_addf(out, "  %zu bytes: %.40s\n", len, text);
        free(text);
    }
    store_view_destroy(&view);
}

static inline void
say_log(const struct store_log *log, struct dz_buf *out)
{
    dz_buf_addf(out, "%" PRId64 "-%" PRId64 " node %" PRIu64 " jw%u.t%u test %u.%u kind %d: ",
                log->first_us, log->last_us, log->node, log->worker, log->thread, log->test,
                log->attempt, (int) log->kind);
    dz_buf_add(out, log->text.ptr, log->text.len);
    dz_buf_addf(out, "\n");
}

static inline void
say_logs(struct store *store, const char *ulid, const struct store_log_filter *filter,
         struct dz_buf *out)
{
    struct dz_err err = { "" };
    struct store_logs *logs = NULL;
    struct store_log log;
    enum dz_rc rc = store_logs_open(store, ulid, filter, &logs, &err);
    if (rc != DZ_OK)
        fail_msg("%s", err.text);
    dz_buf_addf(out, "%u records of logs\n", store_logs_pending(logs));
    while ((rc = store_logs_next(logs, &log, &err)) == DZ_OK)
        say_log(&log, out);
    if (rc != DZ_ABSENT)
        fail_msg("%s", err.text);
    store_logs_close(&logs);
}

static inline void
say_spans(struct store *store, const char *ulid, const struct store_span_filter *filter,
          struct dz_buf *out)
{
    struct dz_err err = { "" };
    struct store_spans *spans = NULL;
    struct store_span s;
    enum dz_rc rc = store_spans_open(store, ulid, filter, &spans, &err);
    if (rc != DZ_OK)
        fail_msg("%s", err.text);
    while ((rc = store_spans_next(spans, &s, &err)) == DZ_OK)
        dz_buf_addf(out,
                    "span %" PRIu64 "/%" PRIu64 " in %" PRIu64 " %" PRId64 "-%" PRId64
                    " jw%u test %u %d %.*s:%.*s\n",
                    s.scope, s.id, s.parent, s.start_us, s.end_us, s.worker, s.test, (int) s.result,
                    (int) s.type.len, (const char *) s.type.ptr, (int) s.name.len,
                    (const char *) s.name.ptr);
    if (rc != DZ_ABSENT)
        fail_msg("%s", err.text);
    store_spans_close(&spans);
}

/* Caller owns. */
static inline char *
transcript(struct store *store, const char *ulid)
{
    struct dz_buf out = { 0 };
    struct store_log_filter all = { .worker = -1, .thread = -1 };
    struct store_span_filter spans = { .worker = -1 };
    say_tests(store, ulid, &out);
    say_logs(store, ulid, &all, &out);
    say_spans(store, ulid, &spans, &out);
    dz_buf_add(&out, "", 1);
    return (char *) out.data;
}

#endif
