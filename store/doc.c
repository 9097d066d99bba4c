/* doc.c - jobs, tests and log records as people and scripts see them. */
#include "store/doc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/str.h"
#include "store/jot.h"

/* ---- words ---- */

const char *
doc_worker(char out[DOC_WORKER], uint32_t nodes, uint32_t node, uint32_t worker)
{
    if (worker == STORE_NO_WORKER)
        (void) snprintf(out, DOC_WORKER, "agent");
    else if (worker == STORE_EARLIER)
        (void) snprintf(out, DOC_WORKER, "earlier");
    else if (nodes > 1)
        (void) snprintf(out, DOC_WORKER, "n%u.jw%u", node, worker);
    else
        (void) snprintf(out, DOC_WORKER, "jw%u", worker);
    return out;
}

/* A word, then a number: "jw" and 12. */
static bool
read_named(const char **p, const char *word, int *out)
{
    size_t len = strlen(word);
    if (strncmp(*p, word, len) != 0)
        return false;
    *p += len;
    return dz_digits_next(p, out);
}

bool
doc_worker_read(const char *text, int *node, int *worker, int *thread)
{
    *node = *worker = *thread = -1;
    if (strcmp(text, "agent") == 0) {
        *worker = DOC_AGENT;
        return true;
    }
    if (*text == 'n' && !(read_named(&text, "n", node) && *text++ == '.'))
        return false;
    if (!read_named(&text, *text == 'g' ? "gw" : "jw", worker))
        return false;
    return !*text || (read_named(&text, ".t", thread) && !*text);
}

const char *
doc_outcome(enum dz_result result)
{
    return result == DZ_RESULT_NONE ? "not run" : dz_result_name(result);
}

const char *
doc_verdict(const struct store_job_info *job)
{
    if (job->state == STORE_RUNNING)
        return "running";
    if (job->state == STORE_BROKEN)
        return "broken off";
    if (job->state == STORE_INCOMPLETE)
        return "INCOMPLETE";
    if (job->is_ledger_wrong)
        return "wrong count";
    bool has_bad = job->verdicts[DZ_RESULT_FAILED] + job->verdicts[DZ_RESULT_CRASHED] +
                       job->verdicts[DZ_RESULT_TIMEOUT] >
                   0;
    switch (job->exit_code) {
    case 0: return has_bad ? "failed" : "passed";
    case 2:                     /* Ctrl-C */
    case 129:                   /* SIGHUP */
    case 143: return "stopped"; /* SIGTERM */
    case 5: return "no tests";
    default: return "failed";
    }
}

bool
doc_has_passed(const struct store_job_info *job)
{
    return job->state == STORE_SEALED && job->exit_code == 0;
}

struct dz_slice
doc_first_line(struct dz_slice text)
{
    while (text.len > 0 && (text.ptr[0] == '\n' || text.ptr[0] == '\r' || text.ptr[0] == ' '))
        text = (struct dz_slice){ text.ptr + 1, text.len - 1 };
    const uint8_t *end = text.len ? memchr(text.ptr, '\n', text.len) : NULL;
    if (end)
        text.len = (size_t) (end - text.ptr);
    while (text.len > 0 && text.ptr[text.len - 1] == '\r')
        text.len--;
    return text;
}

/* ---- tests ---- */

void
doc_test_of(const struct store_view *view, uint32_t test, struct doc_test *out)
{
    struct store_test it;
    store_view_test(view, test, &it);
    *out = (struct doc_test){
        .id = it.id,
        .outcome = it.verdict,
        .attempts = it.attempts,
        .runs = it.executions,
        .start_us = it.start_us,
        .setup_us = it.setup_us,
        .call_us = it.call_us,
        .teardown_us = it.teardown_us,
        .signal = it.signal,
        .line = it.line & DZ_LINE_MAX,
        .is_elsewhere = it.line & DZ_LINE_ELSEWHERE,
        .span = it.span,
    };
    if (it.executions > 0)
        (void) doc_worker(out->worker, store_view_nodes(view), it.node, it.worker);
}

/* See enum dz_line. */
static void
take_file(struct doc_test *self)
{
    char *end = self->text[0] == DZ_LINE_MARK ? strchr(self->text, '\n') : NULL;
    if (!end)
        return;
    size_t len = (size_t) (end - self->text);
    self->file = dz_slice_dup((struct dz_slice){ (uint8_t *) self->text + 1, len - 1 });
    self->text_len -= len + 1;
    memmove(self->text, end + 1, self->text_len + 1);
    if (self->text_len == 0)
        dz_free(&self->text);
}

void
doc_test_read_text(struct store_view *view, uint32_t test, struct doc_test *self)
{
    struct dz_err unused;
    if (store_view_text(view, test, &self->text, &self->text_len, &unused) != DZ_OK)
        self->text = NULL; /* most tests said nothing; one that is damaged is no reason to stop */
    else if (self->is_elsewhere)
        take_file(self);
}

uint32_t
doc_test_line(const struct doc_test *self)
{
    return self->file || !self->is_elsewhere ? self->line : 0;
}

void
doc_test_fini(struct doc_test *self)
{
    free(self->file);
    free(self->text);
    *self = (struct doc_test){ .text = NULL };
}

int64_t
doc_test_us(const struct doc_test *self)
{
    return self->setup_us + self->call_us + self->teardown_us;
}

static struct dz_slice
text_of(const struct doc_test *self)
{
    return (struct dz_slice){ (const uint8_t *) self->text, self->text_len };
}

void
doc_test_fields(struct dz_buf *out, const struct doc_test *self, bool is_whole_text)
{
    char key[DOC_KEY];
    jot_slice(out, "id", self->id);
    jot_text(out, "outcome", doc_outcome(self->outcome));
    jot_int(out, "attempts", self->attempts);
    jot_int(out, "runs", self->runs);
    if (self->runs > 0) {
        jot_text(out, "worker", self->worker);
        jot_time(out, "start", self->start_us);
        jot_int(out, "setup_us", self->setup_us);
        jot_int(out, "call_us", self->call_us);
        jot_int(out, "teardown_us", self->teardown_us);
    }
    if (self->span)
        jot_text(out, "span", doc_key(key, self->span));
    if (self->signal > 0)
        jot_int(out, "signal", self->signal);
    if (self->file)
        jot_text(out, "file", self->file);
    if (doc_test_line(self) > 0)
        jot_int(out, "line", doc_test_line(self));
    if (self->text && is_whole_text)
        jot_slice(out, "text", text_of(self));
    else if (self->text)
        jot_slice(out, "message", doc_first_line(text_of(self)));
}

void
doc_test_json(struct dz_buf *out, const struct doc_test *self, bool is_whole_text)
{
    jot_open(out, '{');
    jot_text(out, "schema", "zb.tests/1");
    doc_test_fields(out, self, is_whole_text);
    jot_close(out, '}');
    jot_end(out);
}

/* ---- logs ---- */

struct writer {
    const struct store_log *log;
    uint64_t span;
};

/* The last execution that began there before that. */
static void
note_writer(void *arg, const struct store_result *run)
{
    struct writer *self = arg;
    const struct store_log *log = self->log;
    if (run->node == log->node && run->worker == log->worker && run->attempt == log->attempt &&
        run->start_us <= log->last_us)
        self->span = store_run_key(run, STORE_WHOLE);
}

void
doc_log_of(const struct store_view *view, const struct store_log *log, struct doc_log *out)
{
    *out = (struct doc_log){
        .kind = log->kind,
        .first_us = log->first_us,
        .last_us = log->last_us,
        .thread = log->thread,
        .attempt = log->attempt,
        .text = log->text,
        .place = log->place,
    };
    (void) doc_worker(out->worker, store_view_nodes(view), store_view_node(view, log->node),
                      log->worker);
    if (log->test < store_view_count(view)) {
        struct store_test test;
        struct writer writer = { .log = log };
        store_view_test(view, log->test, &test);
        store_view_executions(view, log->test, note_writer, &writer);
        out->test = test.id;
        out->span = writer.span;
    }
}

void
doc_log_fields(struct dz_buf *out, const struct doc_log *self)
{
    char key[DOC_KEY], place[24];
    jot_time(out, "time", self->first_us);
    jot_time(out, "end", self->last_us);
    jot_text(out, "kind", self->kind == STORE_LOG_NOTE ? "note" : "output");
    jot_text(out, "worker", self->worker);
    if (self->thread > 0)
        jot_int(out, "thread", self->thread);
    if (self->test.ptr) {
        jot_slice(out, "test", self->test);
        jot_int(out, "attempt", self->attempt);
    }
    if (self->span)
        jot_text(out, "span", doc_key(key, self->span));
    (void) snprintf(place, sizeof(place), "%u.%u", (unsigned) (self->place >> 32),
                    (unsigned) (self->place & UINT32_MAX));
    jot_text(out, "place", place);
    jot_slice(out, "text", self->text);
}

void
doc_log_json(struct dz_buf *out, const struct doc_log *self)
{
    jot_open(out, '{');
    jot_text(out, "schema", "zb.logs/1");
    doc_log_fields(out, self);
    jot_close(out, '}');
    jot_end(out);
}
