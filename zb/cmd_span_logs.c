/* cmd_span_logs.c - zb span-logs: one timed piece of a job, what is below it, what was printed in it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "zb/logs.h"
#include "zb/zb.h"

enum {
    ROWS_MAX = 1000, /* of the tree, as text */
    DEPTH_MAX = 1000,
    INDENT = 2,
    INDENTS = 12, /* levels that are indented */
    SPAN_COLUMNS = 10,
    WORD_COLUMNS = 8,
    KEY_COLUMNS = 8, /* digits of a key that are shown: enough within one job */
    NARROW = 60,
};

const struct argp_option cmd_span_logs_options[] = {
    { "depth", 'd', "N", 0, "only N levels below the span", 0 },
    { "raw", 'r', NULL, 0, "only what was printed, the bytes as they came", 0 },
    { 0 },
};

struct span_logs {
    struct zb *zb;
    const char *words[2]; /* [JOB] SPAN */
    size_t word_count;
    int depth; /* that are printed */
    bool is_raw;

    char ulid[STORE_ULID_LEN + 1];
    struct store_job_info info; /* owned */
    struct zone *zone;          /* owned */
    struct doc_span top;        /* its texts are not kept */
    char *test;                 /* owned; NULL: of none */
    size_t seen, rows, left;    /* spans, those printed, those left out for there are too many */
};

static error_t
parse(int key, char *arg, struct argp_state *state)
{
    struct span_logs *self = state->input;
    char *end = NULL;
    long number = 0;
    switch (key) {
    case 'r': self->is_raw = true; return 0;
    case 'd':
        number = strtol(arg, &end, 10);
        if (*arg >= '0' && *arg <= '9' && !*end && number <= DEPTH_MAX) {
            self->depth = (int) number;
            return 0;
        }
        (void) fprintf(stderr, "%s: --depth is a whole number from 0 to %d, not '%s'\n",
                       state->name, DEPTH_MAX, arg);
        return EINVAL;
    case ARGP_KEY_ARG:
        if (self->word_count == DZ_LEN(self->words))
            return zb_parse_nothing(key, arg, state);
        self->words[self->word_count++] = arg;
        return 0;
    case ARGP_KEY_END:
        if (self->word_count > 0)
            return 0;
        (void) fprintf(stderr, "%s: of which span? zb span-logs [JOB] SPAN\n", state->name);
        return EINVAL;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* ---- the tree ---- */

static void
print_row(struct zb *zb, const struct doc_span *span)
{
    char took[ZB_WORD], key[DOC_KEY];
    const char *word = span->outcome == DZ_RESULT_NONE ? "" : doc_outcome(span->outcome);
    bool is_wide = zb->width == 0 || zb->width >= NARROW;
    int indent = INDENT * (span->depth < INDENTS ? span->depth : INDENTS);
    int used = SPAN_COLUMNS + 2 + WORD_COLUMNS + 2 + (is_wide ? KEY_COLUMNS + 2 : 0) + indent +
               (int) span->type.len + 1;
    zb_say(zb, "%*s  ", SPAN_COLUMNS, zb_span(took, span->end_us - span->start_us));
    zb_tint(zb, zb_result_tint(span->outcome));
    zb_say(zb, "%-*s", WORD_COLUMNS, word);
    zb_tint(zb, ZB_PLAIN);
    if (is_wide) {
        zb_tint(zb, ZB_DIM);
        zb_say(zb, "  %.*s", KEY_COLUMNS, doc_key(key, span->key));
        zb_tint(zb, ZB_PLAIN);
    }
    zb_pad(zb, 2 + indent);
    (void) zb_text(zb, span->type, 0);
    int room = zb->width == 0 ? 0 : zb->width > used ? zb->width - used : 1;
    if (span->name.len > 0)
        zb_put(zb, dz_str(" "));
    if (dz_slice_eq(span->name, span->test))
        (void) zb_id(zb, span->name, room);
    else
        (void) zb_text(zb, span->name, room);
    zb_put(zb, dz_str("\n"));
}

static void
note_span(void *arg, const struct doc_span *span)
{
    struct span_logs *self = arg;
    struct zb *zb = self->zb;
    if (self->seen++ == 0) {
        self->top = *span;
        self->test = span->test.ptr ? dz_slice_dup(span->test) : NULL;
    }
    if (self->is_raw || (self->depth >= 0 && span->depth > self->depth))
        return;
    if (zb->is_json) {
        jot_open(&zb->out, '{');
        jot_text(&zb->out, "schema", "zb.span-logs/1");
        jot_key(&zb->out, "span");
        jot_open(&zb->out, '{');
        doc_span_fields(&zb->out, span);
        jot_close(&zb->out, '}');
        jot_close(&zb->out, '}');
        jot_end(&zb->out);
        zb_spill(zb);
    } else if (self->rows < ROWS_MAX) {
        self->rows++;
        print_row(zb, span);
    } else {
        self->left++;
    }
}

/* ---- the log ---- */

static void
print_log(struct span_logs *self, struct log_printer *printer, const struct doc_log *log)
{
    struct zb *zb = self->zb;
    if (!zb->is_json) {
        log_print(printer, log);
        return;
    }
    jot_open(&zb->out, '{');
    jot_text(&zb->out, "schema", "zb.span-logs/1");
    jot_key(&zb->out, "log");
    jot_open(&zb->out, '{');
    doc_log_fields(&zb->out, log);
    jot_close(&zb->out, '}');
    jot_close(&zb->out, '}');
    jot_end(&zb->out);
    zb_spill(zb);
}

static enum dz_rc
print_logs(struct span_logs *self, struct dz_err *err)
{
    struct log_printer printer;
    struct doc_log log;
    struct source_logs *reader = NULL;
    struct doc_logs_ask ask = {
        .worker = self->top.worker,
        .test = self->test,
        .since_us = self->top.start_us,
        .until_us = self->top.end_us,
    };
    enum dz_rc rc =
        self->zb->source->ops->logs_open(self->zb->source, self->ulid, &ask, false, &reader, err);
    if (rc != DZ_OK)
        return rc;
    log_printer_init(&printer, self->zb, self->zone, 0);
    printer.is_raw = self->is_raw;
    printer.has_notes = !self->is_raw;
    while ((rc = source_logs_next(reader, 0, &log, err)) == DZ_OK) {
        if (printer.records == 0 && !self->is_raw && !self->zb->is_json)
            zb_put(self->zb, dz_str("\n"));
        print_log(self, &printer, &log);
    }
    log_printer_finish(&printer);
    log_printer_fini(&printer);
    source_logs_close(&reader);
    return rc == DZ_ABSENT ? DZ_OK : rc;
}

/* ---- the command ---- */

/* One word is a span of the latest job; whoever gives a job means to be asked for its span. */
static int
refuse_job(struct span_logs *self, const char *name)
{
    struct zb *zb = self->zb;
    char unused[STORE_ULID_LEN + 1];
    struct dz_err why;
    if (self->word_count > 1)
        return ZB_DONE;
    enum dz_rc rc = zb->source->ops->find(zb->source, zb->project.uri, name, unused, &why);
    if (rc == DZ_OK)
        return zb_fail(zb, ZB_USAGE,
                       "'%s' is a job; of which of its tests or spans? zb span-logs %s SPAN", name,
                       name);
    bool looks_like_one = rc == DZ_ABSENT && *name == 'j'; /* no span begins so */
    return looks_like_one ? zb_fail(zb, ZB_ABSENT, "%s", why.text) : ZB_DONE;
}

static int
refuse(struct span_logs *self, enum dz_rc rc, const char *name, const struct dz_err *err)
{
    int job = rc == DZ_ABSENT ? refuse_job(self, name) : ZB_DONE;
    if (job != ZB_DONE)
        return job;
    int code = rc == DZ_LIMIT ? ZB_ABSENT : zb_exit_of(rc);
    (void) zb_fail(self->zb, code, "%s", err->text);
    if (rc == DZ_ABSENT)
        zb_suggest_tests(self->zb, self->ulid, name);
    return code;
}

static int
run(struct span_logs *self)
{
    struct zb *zb = self->zb;
    struct dz_err err;
    const char *job = self->word_count > 1 ? self->words[0] : "latest";
    const char *name = self->words[self->word_count - 1];
    int code = zb_open(zb);
    if (code == ZB_DONE)
        code = zb_find_job(zb, job, self->ulid);
    if (code != ZB_DONE)
        return code;
    enum dz_rc rc = zb->source->ops->info(zb->source, self->ulid, &self->info, &err);
    if (rc != DZ_OK)
        return zb_fail(zb, zb_exit_of(rc), "%s", err.text);
    self->zone = zone_new(self->info.timezone);
    rc = zb->source->ops->spans(zb->source, self->ulid, name, note_span, self, &err);
    if (rc != DZ_OK)
        return refuse(self, rc, name, &err);
    if (self->left > 0)
        zb_say(zb, "and %zu more (--depth=N shows fewer, --json all)\n", self->left);
    rc = print_logs(self, &err);
    return rc == DZ_OK ? ZB_DONE : zb_fail(zb, zb_exit_of(rc), "%s", err.text);
}

int
cmd_span_logs(struct zb *zb, int argc, char **argv)
{
    struct span_logs self = { .zb = zb, .depth = -1 };
    bool is_over;
    int code = zb_parse(zb, argc, argv, parse, &self, &is_over);
    if (!is_over)
        code = run(&self);
    free(self.test);
    store_job_info_fini(&self.info);
    zone_destroy(&self.zone);
    return code;
}
