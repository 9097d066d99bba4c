/* cmd_tests.c - zb tests: one line for each test of a job that a query wants. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "zb/zb.h"

enum { WORDS_MAX = 64, SPAN_COLUMNS = 10, WORD_COLUMNS = 9, REASONS = 200 };

const struct argp_option cmd_tests_options[] = {
    { "sort", 's', "ORDER", 0, "id (default), duration (slowest first) or start", 0 },
    { "text", 'x', NULL, 0, "with what failures said: traceback, stacks", 0 },
    { "number", 'n', "N", 0, "at most N tests", 0 },
    { 0 },
};

enum order { ORDER_ID, ORDER_DURATION, ORDER_START };

struct tests {
    const char *spec; /* NULL: the latest */
    char *words[WORDS_MAX];
    size_t word_count;
    enum order order;
    bool wants_text;
    uint32_t limit;
    struct zb_query *query;  /* owned */
    struct store_view *view; /* owned */
    uint32_t *found;         /* owned */
    int64_t *keys;           /* owned; by test, what is sorted by */
    uint32_t count;
    char ulid[STORE_ULID_LEN + 1];
};

static error_t
parse_order(struct tests *self, const char *arg, const char *name)
{
    static const char *const orders[] = { "id", "duration", "start" };
    for (size_t i = 0; i < DZ_LEN(orders); i++) {
        if (strcmp(arg, orders[i]) == 0) {
            self->order = (enum order) i;
            return 0;
        }
    }
    (void) fprintf(stderr, "%s: --sort is id, duration or start, not '%s'\n", name, arg);
    return EINVAL;
}

static error_t
parse_word(struct tests *self, char *arg, const char *name)
{
    if (!self->spec && self->word_count == 0 && !zb_is_query_term(arg)) {
        self->spec = arg;
        return 0;
    }
    if (self->word_count == WORDS_MAX) {
        (void) fprintf(stderr, "%s: more than %d words\n", name, WORDS_MAX);
        return EINVAL;
    }
    self->words[self->word_count++] = arg;
    return 0;
}

static error_t
parse(int key, char *arg, struct argp_state *state)
{
    struct tests *self = state->input;
    char *end = NULL;
    switch (key) {
    case 's': return parse_order(self, arg, state->name);
    case 'x': self->wants_text = true; return 0;
    case ARGP_KEY_ARG: return parse_word(self, arg, state->name);
    case 'n':
        self->limit = (uint32_t) strtoul(arg, &end, 10);
        if (*arg >= '1' && *arg <= '9' && !*end)
            return 0;
        (void) fprintf(stderr, "%s: --number is a whole number from 1, not '%s'\n", state->name,
                       arg);
        return EINVAL;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* ---- finding ---- */

static int
by_key(const void *a, const void *b, void *arg)
{
    const int64_t *keys = arg;
    uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;
    if (keys[x] != keys[y])
        return keys[x] < keys[y] ? -1 : 1;
    return x < y ? -1 : x > y;
}

static void
find(struct tests *self)
{
    uint32_t all = store_view_count(self->view);
    self->found = dz_alloc0((size_t) all + 1, sizeof(*self->found));
    self->keys = dz_alloc0((size_t) all + 1, sizeof(*self->keys));
    for (uint32_t i = 0; i < all; i++) {
        struct store_test test;
        store_view_test(self->view, i, &test);
        if (!zb_query_fits(self->query, &test))
            continue;
        self->found[self->count++] = i;
        self->keys[i] = self->order == ORDER_START
                            ? test.start_us
                            : -(test.setup_us + test.call_us + test.teardown_us);
    }
    if (self->order != ORDER_ID)
        qsort_r(self->found, self->count, sizeof(*self->found), by_key, self->keys);
}

/* ---- printing ---- */

static void
print_text(struct zb *zb, struct tests *self, uint32_t index)
{
    char *text = NULL;
    size_t len = 0;
    struct dz_err unused;
    if (store_view_text(self->view, index, &text, &len, &unused) != DZ_OK)
        return;
    struct dz_slice rest = { (uint8_t *) text, len };
    if (!self->wants_text)
        rest = zb_first_line(rest);
    while (rest.len > 0) {
        const uint8_t *end = memchr(rest.ptr, '\n', rest.len);
        size_t line = end ? (size_t) (end - rest.ptr) : rest.len;
        zb_pad(zb, WORD_COLUMNS);
        (void) zb_text(zb, (struct dz_slice){ rest.ptr, line },
                       self->wants_text || !zb->width ? 0 : zb->width - WORD_COLUMNS);
        zb_put(zb, dz_str("\n"));
        line += end != NULL;
        rest = (struct dz_slice){ rest.ptr + line, rest.len - line };
    }
    free(text);
}

static void
print_test(struct zb *zb, struct tests *self, uint32_t index)
{
    char span[ZB_WORD] = "", worker[ZB_WORD] = "";
    struct store_test test;
    store_view_test(self->view, index, &test);
    const char *word = zb_result_word(test.verdict);
    if (test.executions > 0) {
        (void) zb_span(span, test.setup_us + test.call_us + test.teardown_us);
        (void) zb_worker(worker, store_view_nodes(self->view), test.node, test.worker);
    }
    bool is_narrow = zb->width > 0 && zb->width < 60;
    int worker_columns = is_narrow ? 0 : (int) strlen(worker) < 4 ? 4 : (int) strlen(worker);
    int used = WORD_COLUMNS + (is_narrow ? 0 : SPAN_COLUMNS + 2 + worker_columns + 2);
    zb_tint(zb, zb_result_tint(test.verdict));
    zb_say(zb, "%s", word);
    zb_tint(zb, ZB_PLAIN);
    zb_pad(zb, WORD_COLUMNS - (int) strlen(word));
    if (!is_narrow)
        zb_say(zb, "%*s  %-*s  ", SPAN_COLUMNS, span, worker_columns, worker);
    (void) zb_id(zb, test.id, zb->width ? zb->width - used : 0);
    zb_put(zb, dz_str("\n"));
    bool tells_why = dz_result_is_bad(test.verdict) && self->count <= REASONS;
    if (self->wants_text || tells_why)
        print_text(zb, self, index);
}

static void
print_json(struct zb *zb, struct tests *self, uint32_t index)
{
    char worker[ZB_WORD], *text = NULL;
    size_t len = 0;
    struct dz_err unused;
    struct store_test test;
    store_view_test(self->view, index, &test);
    zb_json_open(zb, '{');
    zb_json_text(zb, "schema", zb->command->schema);
    zb_json_slice(zb, "id", test.id);
    zb_json_text(zb, "outcome", zb_result_word(test.verdict));
    zb_json_int(zb, "attempts", test.attempts);
    zb_json_int(zb, "runs", test.executions);
    if (test.executions > 0) {
        zb_json_text(zb, "worker",
                     zb_worker(worker, store_view_nodes(self->view), test.node, test.worker));
        zb_json_time(zb, "start", test.start_us);
        zb_json_int(zb, "setup_us", test.setup_us);
        zb_json_int(zb, "call_us", test.call_us);
        zb_json_int(zb, "teardown_us", test.teardown_us);
    }
    if (test.signal > 0)
        zb_json_int(zb, "signal", test.signal);
    bool has_text = self->wants_text || dz_result_is_bad(test.verdict);
    if (has_text && store_view_text(self->view, index, &text, &len, &unused) == DZ_OK) {
        struct dz_slice whole = { (uint8_t *) text, len };
        zb_json_slice(zb, self->wants_text ? "text" : "message",
                      self->wants_text ? whole : zb_first_line(whole));
        free(text);
    }
    zb_json_close(zb, '}');
    zb_json_end(zb);
}

static void
say_empty(struct zb *zb, const struct tests *self)
{
    struct store_job_info info = { .state = STORE_SEALED };
    struct dz_err unused;
    if (store_job_info(zb->store, self->ulid, zb->now_us, &info, &unused) != DZ_OK)
        return;
    if (info.state == STORE_RUNNING)
        (void) fprintf(stderr, "job %s is still collecting its tests\n", info.short_id);
    else
        (void) fprintf(stderr, "job %s collected no tests\n", info.short_id);
    store_job_info_fini(&info);
}

static void
print(struct zb *zb, struct tests *self)
{
    uint32_t shown = self->limit && self->limit < self->count ? self->limit : self->count;
    for (uint32_t i = 0; i < shown; i++) {
        if (zb->is_json)
            print_json(zb, self, self->found[i]);
        else
            print_test(zb, self, self->found[i]);
    }
    uint32_t all = store_view_count(self->view);
    if (zb->is_json || !(zb->is_tty || self->count == 0))
        return;
    zb_flush(zb);
    if (all == 0)
        say_empty(zb, self);
    else if (shown < self->count)
        (void) fprintf(stderr, "%u of %u tests; %u are shown\n", self->count, all, shown);
    else
        (void) fprintf(stderr, "%u of %u tests\n", self->count, all);
}

/* ---- the command ---- */

static int
load(struct zb *zb, struct tests *self)
{
    struct dz_err err;
    self->query = zb_query_new(self->words, self->word_count, &err);
    if (!self->query)
        return zb_fail(zb, ZB_USAGE, "%s", err.text);
    int code = zb_open(zb);
    if (code == ZB_DONE)
        code = zb_find_job(zb, self->spec ? self->spec : "latest", self->ulid);
    if (code != ZB_DONE)
        return code;
    enum dz_rc rc = store_view_load(zb->store, self->ulid, &self->view, &err);
    return rc == DZ_OK ? ZB_DONE : zb_fail(zb, zb_exit_of(rc), "%s", err.text);
}

int
cmd_tests(struct zb *zb, int argc, char **argv)
{
    struct tests self = { .spec = NULL };
    bool is_over;
    int code = zb_parse(zb, argc, argv, parse, &self, &is_over);
    if (is_over)
        return code;
    code = load(zb, &self);
    if (code == ZB_DONE) {
        find(&self);
        print(zb, &self);
    }
    zb_query_destroy(&self.query);
    store_view_destroy(&self.view);
    free(self.found);
    free(self.keys);
    return code;
}
