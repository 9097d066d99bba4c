/* cmd_tests.c - zb tests: one line for each test of a job that a query wants. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "zb/zb.h"

enum {
    WORDS_MAX = 64,
    SPAN_COLUMNS = 10,
    WORD_COLUMNS = 9,
    KEY_COLUMNS = 8,
    REASONS = 200,
    NARROW = 60
};

const struct argp_option cmd_tests_options[] = {
    { "sort", 's', "ORDER", 0, "id (default), duration (slowest first) or start", 0 },
    { "text", 'x', NULL, 0, "with what failures said: traceback, stacks", 0 },
    { "spans", 'S', NULL, 0, "with the ids of their spans, for zb span-logs", 0 },
    { "number", 'n', "N", 0, "at most N tests", 0 },
    { 0 },
};

struct tests {
    char *spec; /* NULL: the latest */
    char *words[WORDS_MAX];
    size_t word_count;
    bool has_spans;
    struct doc_tests_ask ask;
    struct doc_tests_sum sum;
    struct zb *zb;
    char ulid[STORE_ULID_LEN + 1];
};

static error_t
parse_order(struct tests *self, const char *arg, const char *name)
{
    static const char *const orders[] = { "id", "duration", "start" };
    for (size_t i = 0; i < DZ_LEN(orders); i++) {
        if (strcmp(arg, orders[i]) == 0) {
            self->ask.order = (enum doc_order) i;
            return 0;
        }
    }
    (void) fprintf(stderr, "%s: --sort is id, duration or start, not '%s'\n", name, arg);
    return EINVAL;
}

static error_t
parse_word(struct tests *self, char *arg, const char *name)
{
    if (!self->spec && self->word_count == 0 && !query_is_term(arg)) {
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
    case 'x': self->ask.wants_text = true; return 0;
    case 'S': self->has_spans = true; return 0;
    case ARGP_KEY_ARG: return parse_word(self, arg, state->name);
    case 'n':
        self->ask.limit = (uint32_t) strtoul(arg, &end, 10);
        if (*arg >= '1' && *arg <= '9' && !*end)
            return 0;
        (void) fprintf(stderr, "%s: --number is a whole number from 1, not '%s'\n", state->name,
                       arg);
        return EINVAL;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* ---- printing ---- */

static void
print_text(struct zb *zb, const struct doc_test *test, bool is_whole)
{
    struct dz_slice rest = { (const uint8_t *) test->text, test->text_len };
    if (!is_whole)
        rest = doc_first_line(rest);
    while (rest.len > 0) {
        const uint8_t *end = memchr(rest.ptr, '\n', rest.len);
        size_t line = end ? (size_t) (end - rest.ptr) : rest.len;
        zb_pad(zb, WORD_COLUMNS);
        (void) zb_text(zb, (struct dz_slice){ rest.ptr, line },
                       is_whole || !zb->width ? 0 : zb->width - WORD_COLUMNS);
        zb_put(zb, dz_str("\n"));
        line += end != NULL;
        rest = (struct dz_slice){ rest.ptr + line, rest.len - line };
    }
}

static void
print_test(struct zb *zb, const struct doc_test *test, bool has_span)
{
    char span[ZB_WORD] = "", key[DOC_KEY] = "";
    const char *word = doc_outcome(test->outcome);
    if (test->runs > 0)
        (void) zb_span(span, doc_test_us(test));
    bool is_narrow = zb->width > 0 && zb->width < NARROW;
    int worker_columns = is_narrow ? 0 : (int) strlen(test->worker);
    worker_columns = worker_columns < 4 && !is_narrow ? 4 : worker_columns;
    int used = WORD_COLUMNS + (is_narrow ? 0 : SPAN_COLUMNS + 2 + worker_columns + 2);
    used += has_span ? KEY_COLUMNS + 2 : 0;
    zb_tint(zb, zb_result_tint(test->outcome));
    zb_put(zb, dz_str(word));
    zb_tint(zb, ZB_PLAIN);
    zb_pad(zb, WORD_COLUMNS - (int) strlen(word));
    if (!is_narrow) {
        zb_pad(zb, SPAN_COLUMNS - (int) strlen(span));
        zb_put(zb, dz_str(span));
        zb_pad(zb, 2);
        zb_put(zb, dz_str(test->worker));
        zb_pad(zb, worker_columns - (int) strlen(test->worker) + 2);
    }
    if (has_span && test->span)
        (void) doc_key(key, test->span);
    if (has_span)
        zb_say(zb, "%-*.*s  ", KEY_COLUMNS, KEY_COLUMNS, key);
    (void) zb_id(zb, test->id, zb->width ? zb->width - used : 0);
    zb_put(zb, dz_str("\n"));
}

static void
print(void *arg, const struct doc_test *test)
{
    const struct tests *self = arg;
    if (self->zb->is_json) {
        doc_test_json(&self->zb->out, test, self->ask.wants_text);
        zb_spill(self->zb);
        return;
    }
    print_test(self->zb, test, self->has_spans);
    if (test->text)
        print_text(self->zb, test, self->ask.wants_text);
}

static void
say_empty(struct zb *zb, const struct tests *self)
{
    struct store_job_info info = { .state = STORE_SEALED };
    struct dz_err unused;
    if (zb->source->ops->info(zb->source, self->ulid, &info, &unused) != DZ_OK)
        return;
    if (info.state == STORE_RUNNING)
        (void) fprintf(stderr, "job %s is still collecting its tests\n", info.short_id);
    else
        (void) fprintf(stderr, "job %s collected no tests\n", info.short_id);
    store_job_info_fini(&info);
}

static void
say_counts(struct zb *zb, const struct tests *self)
{
    const struct doc_tests_sum *sum = &self->sum;
    if (zb->is_json || !(zb->is_tty || sum->found == 0))
        return;
    zb_flush(zb);
    if (sum->all == 0)
        say_empty(zb, self);
    else if (sum->shown < sum->found)
        (void) fprintf(stderr, "%u of %u tests; %u are shown\n", sum->found, sum->all, sum->shown);
    else
        (void) fprintf(stderr, "%u of %u tests\n", sum->found, sum->all);
    if (sum->all > 0 && sum->found == 0 && self->word_count == 1 && !query_is_term(self->words[0]))
        zb_suggest_tests(zb, self->ulid, self->words[0]);
}

/* ---- the command ---- */

/* A word that no job is called by may be what somebody looks for in the ids of tests. */
static int
find_job(struct zb *zb, struct tests *self)
{
    int code = zb_find_job(zb, self->spec ? self->spec : "latest", self->ulid);
    bool is_text = self->spec && strpbrk(self->spec, "_/.[:");
    if (code != ZB_ABSENT || !is_text)
        return code;
    struct dz_err err;
    DZ_AUTO(query_destroy) struct query *query = query_new(&self->spec, 1, &err);
    if (query)
        (void) fprintf(stderr, "  did you mean zb tests latest '%s'?\n", self->spec);
    else
        (void) fprintf(stderr, "  and %s\n", err.text);
    return code;
}

static int
run(struct zb *zb, struct tests *self)
{
    struct dz_err err;
    DZ_AUTO(query_destroy) struct query *query = query_new(self->words, self->word_count, &err);
    if (!query)
        return zb_fail(zb, ZB_USAGE, "%s", err.text);
    int code = zb_open(zb);
    if (code == ZB_DONE)
        code = find_job(zb, self);
    if (code != ZB_DONE)
        return code;
    self->zb = zb;
    self->ask.query = query;
    self->ask.reasons_max = zb->is_json ? UINT32_MAX : REASONS;
    enum dz_rc rc = zb->source->ops->tests(zb->source, self->ulid, self->words, self->word_count,
                                           &self->ask, print, self, &self->sum, &err);
    if (rc != DZ_OK)
        return zb_fail(zb, zb_exit_of(rc), "%s", err.text);
    say_counts(zb, self);
    return ZB_DONE;
}

int
cmd_tests(struct zb *zb, int argc, char **argv)
{
    struct tests self = { .spec = NULL };
    bool is_over;
    int code = zb_parse(zb, argc, argv, parse, &self, &is_over);
    return is_over ? code : run(zb, &self);
}
