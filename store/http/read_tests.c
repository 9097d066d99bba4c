/* read_tests.c - a job's tests: those that a query wants, and one with all its executions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/http/read.h"
#include "store/jot.h"

enum { TESTS = 1000, TESTS_MAX = 10000, TEXTS_MAX = 1000, TERMS_MAX = 48, NUMBER = 24 };

/* ---- many ---- */

struct list {
    struct http_call *call;
    struct query *query; /* owned */
    struct doc_tests_ask ask;
    bool is_whole_text;
    uint32_t written;
};

static bool
read_query(struct list *self)
{
    struct http_call *call = self->call;
    char *terms[TERMS_MAX];
    size_t count = 0;
    struct dz_err err;
    for (size_t i = 0; i < call->arg_count && count < TERMS_MAX; i++)
        if (strcmp(call->args[i].name, "q") == 0)
            terms[count++] = (char *) call->args[i].value; /* only read */
    self->query = query_new(terms, count, &err);
    if (!self->query)
        http_problem(call, 400, "%s", err.text);
    return self->query != NULL;
}

static bool
read_order(struct list *self)
{
    static const char *const names[] = { "id", "duration", "start" };
    const char *text = http_arg(self->call, "sort");
    for (size_t i = 0; i < DZ_LEN(names); i++) {
        if (text && strcmp(text, names[i]) != 0)
            continue;
        self->ask.order = text ? (enum doc_order) i : DOC_BY_ID;
        return true;
    }
    http_problem(self->call, 400, "sort is id, duration or start, not '%.64s'", text);
    return false;
}

static bool
read_ask(struct list *self)
{
    struct http_call *call = self->call;
    uint64_t limit, offset, text;
    if (!http_arg_number(call, "text", 0, 1, 0, &text) ||
        !http_arg_number(call, "limit", 1, text ? TEXTS_MAX : TESTS_MAX, TESTS, &limit) ||
        !http_arg_number(call, "offset", 0, STORE_TESTS_MAX, 0, &offset))
        return false;
    self->is_whole_text = text;
    self->ask.limit = (uint32_t) limit;
    self->ask.offset = (uint32_t) offset;
    self->ask.wants_text = text;
    self->ask.reasons_max = TEXTS_MAX;
    return read_order(self) && read_query(self);
}

static void
add(void *arg, const struct doc_test *test)
{
    struct list *self = arg;
    if (self->call->out.len >= HTTP_ANSWER_MAX)
        return;
    doc_test_json(&self->call->out, test, self->is_whole_text);
    self->written++;
}

static void
write_list(struct list *self, struct store_view *view)
{
    char next[NUMBER];
    struct doc_tests_sum sum;
    self->ask.query = self->query;
    doc_tests(view, &self->ask, add, self, &sum);
    uint32_t end = self->ask.offset + self->written;
    (void) snprintf(next, sizeof(next), "%u", end);
    if (self->written > 0 && end < sum.found)
        read_next(self->call, "offset", next);
    self->call->type = "application/x-ndjson";
    self->call->has_counts = true;
    self->call->all = sum.all;
    self->call->found = sum.found;
}

void
http_get_tests(struct http_call *call)
{
    char ulid[STORE_ULID_LEN + 1];
    struct dz_err err;
    struct list self = { .call = call };
    if (read_ask(&self) && read_job(call, ulid)) {
        struct store_view *view = NULL;
        enum dz_rc rc = store_view_load(call->store, ulid, &view, &err);
        if (rc == DZ_OK)
            write_list(&self, view);
        else
            http_problem_rc(call, rc, &err);
        store_view_destroy(&view);
    }
    query_destroy(&self.query);
}

/* ---- one ---- */

struct executions {
    struct dz_buf *out;
    const struct store_view *view;
};

static void
add_execution(void *arg, const struct store_result *row)
{
    static const char *const words[] = {
        [DZ_WORD_COUNTED] = "counted",
        [DZ_WORD_DUPLICATE] = "duplicate",
        [DZ_WORD_STRIKE] = "strike",
    };
    struct executions *self = arg;
    struct dz_buf *out = self->out;
    char worker[DOC_WORKER], key[DOC_KEY];
    jot_open(out, '{');
    jot_int(out, "attempt", row->attempt);
    jot_text(out, "outcome", doc_outcome(row->result));
    jot_text(out, "counts_as", row->word < DZ_LEN(words) ? words[row->word] : "unknown");
    jot_text(out, "worker",
             doc_worker(worker, store_view_nodes(self->view),
                        store_view_node(self->view, row->node), row->worker));
    jot_time(out, "start", row->start_us);
    jot_int(out, "setup_us", row->setup_us);
    jot_int(out, "call_us", row->call_us);
    jot_int(out, "teardown_us", row->teardown_us);
    jot_text(out, "span", doc_key(key, store_run_key(row, STORE_WHOLE)));
    if (row->signal > 0)
        jot_int(out, "signal", row->signal);
    if (row->cause != DZ_CAUSE_FINISHED)
        jot_text(out, "cause", dz_cause_text(row->cause));
    jot_close(out, '}');
}

/* A node id, or "@12": its number in the job. */
static uint32_t
find_test(const struct store_view *view, const char *name)
{
    char *end = NULL;
    if (name[0] != '@')
        return store_view_find(view, dz_str(name));
    unsigned long number = strtoul(name + 1, &end, 10);
    bool is_number = name[1] >= '0' && name[1] <= '9' && !*end;
    return is_number && number < store_view_count(view) ? (uint32_t) number : STORE_NO_TEST;
}

static void
write_test(struct http_call *call, struct store_view *view, uint32_t index)
{
    struct doc_test test;
    struct dz_buf *out = &call->out;
    struct executions executions = { out, view };
    doc_test_of(view, index, &test);
    doc_test_read_text(view, index, &test);
    jot_open(out, '{');
    jot_text(out, "schema", "zb.test/1");
    jot_int(out, "number", index);
    jot_slice(out, "id", test.id);
    jot_text(out, "outcome", doc_outcome(test.outcome));
    jot_int(out, "attempts", test.attempts);
    jot_key(out, "executions");
    jot_open(out, '[');
    store_view_executions(view, index, add_execution, &executions);
    jot_close(out, ']');
    if (test.text)
        jot_slice(out, "text", (struct dz_slice){ (const uint8_t *) test.text, test.text_len });
    jot_close(out, '}');
    jot_end(out);
    doc_test_fini(&test);
}

void
http_get_test(struct http_call *call)
{
    char ulid[STORE_ULID_LEN + 1];
    struct dz_err err;
    struct store_view *view = NULL;
    if (!read_job(call, ulid))
        return;
    enum dz_rc rc = store_view_load(call->store, ulid, &view, &err);
    uint32_t index = rc == DZ_OK ? find_test(view, call->params[1]) : STORE_NO_TEST;
    if (rc != DZ_OK)
        http_problem_rc(call, rc, &err);
    else if (index == STORE_NO_TEST)
        http_problem(call, 404, "the job has no test '%.300s'", call->params[1]);
    else
        write_test(call, view, index);
    store_view_destroy(&view);
}

/* ---- those that may have been meant ---- */

void
http_get_near(struct http_call *call)
{
    char ulid[STORE_ULID_LEN + 1];
    struct dz_err err;
    struct dz_slice near[DOC_NEAR_MAX];
    size_t all = 0;
    struct store_view *view = NULL;
    const char *name = http_arg(call, "name");
    if (!name || !*name) {
        http_problem(call, 400, "say which: ?name=");
        return;
    }
    if (!read_job(call, ulid))
        return;
    enum dz_rc rc = store_view_load(call->store, ulid, &view, &err);
    if (rc != DZ_OK) {
        http_problem_rc(call, rc, &err);
        return;
    }
    size_t count = doc_near(view, name, DOC_NEAR_MAX, near, &all);
    jot_open(&call->out, '{');
    jot_text(&call->out, "schema", "zb.near/1");
    jot_int(&call->out, "all", (int64_t) all);
    jot_key(&call->out, "tests");
    jot_open(&call->out, '[');
    for (size_t i = 0; i < count; i++)
        jot_slice(&call->out, NULL, near[i]);
    jot_close(&call->out, ']');
    jot_close(&call->out, '}');
    jot_end(&call->out);
    store_view_destroy(&view);
}
