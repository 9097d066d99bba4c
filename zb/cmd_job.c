/* cmd_job.c - zb job: what happened in one job, on one screen. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "zb/table.h"
#include "zb/zb.h"

enum { FAILURES = 10, SLOWEST = 5, WORKERS_MAX = 4096, LABEL = 10 };

const struct argp_option cmd_job_options[] = {
    { "exit-status", 'e', NULL, 0, "exit with 1 if the job did not pass", 0 },
    { 0 },
};

struct lane {
    uint32_t node, worker, tests;
    int64_t busy_us;
};

struct overview {
    const char *spec; /* NULL: the latest */
    bool wants_status;
    struct store_job_info info;
    struct store_view *view; /* owned */
    struct zone *zone;       /* owned */
    uint32_t slowest[SLOWEST];
    int64_t slowest_us[SLOWEST];
    uint32_t slow_count;
    uint32_t *failures; /* owned */
    uint32_t failure_count;
    struct lane *lanes; /* owned */
    uint32_t lane_count;
};

static error_t
parse(int key, char *arg, struct argp_state *state)
{
    struct overview *self = state->input;
    if (key == 'e') {
        self->wants_status = true;
        return 0;
    }
    if (key != ARGP_KEY_ARG || self->spec)
        return zb_parse_nothing(key, arg, state);
    self->spec = arg;
    return 0;
}

/* ---- counting ---- */

static void
note_slow(struct overview *self, uint32_t test, int64_t us)
{
    uint32_t at = self->slow_count < SLOWEST ? self->slow_count : SLOWEST - 1;
    if (self->slow_count == SLOWEST && us <= self->slowest_us[at])
        return;
    self->slow_count += self->slow_count < SLOWEST;
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
    struct overview *self = arg;
    uint32_t node = store_view_node(self->view, run->node), i = 0;
    while (i < self->lane_count &&
           (self->lanes[i].worker != run->worker || self->lanes[i].node != node))
        i++;
    if (i == WORKERS_MAX)
        return;
    if (i == self->lane_count)
        self->lanes[self->lane_count++] = (struct lane){ .node = node, .worker = run->worker };
    self->lanes[i].tests++;
    self->lanes[i].busy_us += run->setup_us + run->call_us + run->teardown_us;
}

static int
by_worker(const void *a, const void *b)
{
    const struct lane *x = a, *y = b;
    if (x->node != y->node)
        return x->node < y->node ? -1 : 1;
    return x->worker < y->worker ? -1 : x->worker > y->worker;
}

static void
count(struct overview *self)
{
    uint32_t tests = store_view_count(self->view);
    self->failures = dz_alloc0((size_t) tests + 1, sizeof(*self->failures));
    self->lanes = dz_alloc0(WORKERS_MAX, sizeof(*self->lanes));
    for (uint32_t i = 0; i < tests; i++) {
        struct store_test test;
        store_view_test(self->view, i, &test);
        if (dz_result_is_bad(test.verdict))
            self->failures[self->failure_count++] = i;
        if (test.executions == 0)
            continue;
        note_slow(self, i, test.setup_us + test.call_us + test.teardown_us);
        store_view_executions(self->view, i, note_run, self);
    }
    qsort(self->lanes, self->lane_count, sizeof(*self->lanes), by_worker);
}

/* ---- text ---- */

static void
label(struct zb *zb, const char *name)
{
    zb_pad(zb, 2);
    zb_tint(zb, ZB_DIM);
    zb_say(zb, "%s", name);
    zb_tint(zb, ZB_PLAIN);
    zb_pad(zb, LABEL - (int) strlen(name));
}

static void
line(struct zb *zb, const char *name, const char *text)
{
    int room = zb->width ? zb->width - LABEL - 2 : 0;
    if (!*text)
        return;
    label(zb, name);
    (void) zb_text(zb, dz_str(text), room);
    zb_put(zb, dz_str("\n"));
}

/* A list of words that must not lose its end: on more lines where it has to be. */
static void
wrapped(struct zb *zb, const char *name, const char *text)
{
    size_t room = zb->width > LABEL + 12 ? (size_t) (zb->width - LABEL - 2) : SIZE_MAX;
    while (*text) {
        size_t len = strlen(text);
        for (len = len > room ? room : len; len > 1 && text[len] && text[len] != ' ';)
            len--;
        label(zb, name);
        zb_say(zb, "%.*s\n", (int) len, text);
        text += len + strspn(text + len, " ");
        name = "";
    }
}

static void
heading(struct zb *zb, const char *text)
{
    zb_put(zb, dz_str("\n"));
    zb_tint(zb, ZB_BOLD);
    zb_say(zb, "%s", text);
    zb_tint(zb, ZB_PLAIN);
    zb_put(zb, dz_str("\n"));
}

static void
print_head(struct zb *zb, const struct overview *self)
{
    const struct store_job_info *job = &self->info;
    char when[ZB_WORD], span[ZB_WORD], text[256];
    enum zb_tint tint;
    const char *word = zb_job_word(job, &tint);
    struct dz_buf counts = { 0 };
    zb_tint(zb, ZB_BOLD);
    zb_say(zb, "%s  ", job->short_id);
    zb_tint(zb, tint);
    zb_say(zb, "%s", word);
    zb_tint(zb, ZB_PLAIN);
    zb_say(zb, "  %s %s\n", job->state == STORE_RUNNING ? "since" : "in",
           zb_span(span, job->end_us - job->start_us));
    zb_job_counts(job, &counts);
    wrapped(zb, "tests", (char *) counts.data);
    dz_buf_fini(&counts);
    line(zb, "reason", job->reason);
    (void) snprintf(text, sizeof(text), "%s (%s)",
                    zb_when(when, self->zone, job->start_us, zb->now_us), job->timezone);
    line(zb, "started", text);
    line(zb, "command", job->command);
    (void) snprintf(text, sizeof(text), "%.12s%s", job->commit,
                    job->is_dirty ? ", with local changes" : "");
    line(zb, "commit", *job->commit ? text : "");
    line(zb, "profile", job->profile);
    line(zb, "versions", job->versions);
    (void) snprintf(text, sizeof(text), "%.120s on %.100s", job->rootdir, job->host);
    line(zb, "where", text);
    line(zb, "project", job->uri);
    line(zb, "id", job->ulid);
}

static void
print_account(struct zb *zb, const struct store_job_info *job)
{
    uint32_t run = job->collected - job->redundant - job->not_run;
    char text[256];
    if (job->state != STORE_SEALED)
        return;
    (void) snprintf(text, sizeof(text),
                    "%u collected = %u run + %u redundant + %u deselected + %u not run; "
                    "counted %u, duplicates %u, lost %u",
                    job->collected + job->deselected, run, job->redundant, job->deselected,
                    job->not_run, job->counted, job->duplicates, job->lost);
    wrapped(zb, "account", text);
    if (job->is_ledger_wrong)
        line(zb, "", "the numbers above are not those of the store's ledger: please report this");
}

static void
print_failure(struct zb *zb, struct overview *self, uint32_t index)
{
    struct store_test test;
    struct dz_err unused;
    char span[ZB_WORD], worker[ZB_WORD];
    store_view_test(self->view, index, &test);
    const char *word = zb_result_word(test.verdict);
    zb_pad(zb, 2);
    zb_tint(zb, zb_result_tint(test.verdict));
    zb_say(zb, "%s", word);
    zb_tint(zb, ZB_PLAIN);
    zb_pad(zb, 8 - (int) strlen(word));
    (void) zb_id(zb, test.id, zb->width ? zb->width - 10 : 0);
    zb_put(zb, dz_str("\n"));
    char *text = NULL;
    size_t len = 0;
    if (store_view_text(self->view, index, &text, &len, &unused) == DZ_OK) {
        zb_pad(zb, LABEL);
        (void) zb_text(zb, zb_first_line((struct dz_slice){ (uint8_t *) text, len }),
                       zb->width ? zb->width - LABEL : 0);
        zb_put(zb, dz_str("\n"));
        free(text);
    }
    zb_pad(zb, LABEL);
    zb_tint(zb, ZB_DIM);
    zb_say(zb, "%s on %s", zb_span(span, test.setup_us + test.call_us + test.teardown_us),
           zb_worker(worker, store_view_nodes(self->view), test.node, test.worker));
    if (test.executions > 1)
        zb_say(zb, ", %u runs", test.executions);
    zb_tint(zb, ZB_PLAIN);
    zb_put(zb, dz_str("\n"));
}

static void
print_failures(struct zb *zb, struct overview *self)
{
    if (self->failure_count == 0)
        return;
    heading(zb, "Failures");
    uint32_t shown = self->failure_count < FAILURES ? self->failure_count : FAILURES;
    for (uint32_t i = 0; i < shown; i++)
        print_failure(zb, self, self->failures[i]);
    if (shown < self->failure_count)
        zb_say(zb, "  and %u more\n", self->failure_count - shown);
}

static void
print_slowest(struct zb *zb, struct overview *self)
{
    static const struct zb_column columns[] = { { NULL, 0, 0, true, false },
                                                { NULL, 1, 0, false, false },
                                                { NULL, 0, 16, false, true } };
    struct zb_table table = { .columns = columns, .column_count = DZ_LEN(columns) };
    char span[ZB_WORD], worker[ZB_WORD];
    for (uint32_t i = 0; i < self->slow_count; i++) {
        struct store_test test;
        store_view_test(self->view, self->slowest[i], &test);
        zb_table_add(&table, ZB_PLAIN, "%s", zb_span(span, self->slowest_us[i]));
        zb_table_add(&table, ZB_DIM, "%s",
                     zb_worker(worker, store_view_nodes(self->view), test.node, test.worker));
        zb_table_add(&table, ZB_PLAIN, "%.*s", (int) test.id.len, (const char *) test.id.ptr);
    }
    if (self->slow_count > 0)
        heading(zb, "Slowest");
    zb_table_print(&table, zb, 2);
}

static void
print_workers(struct zb *zb, struct overview *self)
{
    static const struct zb_column columns[] = { { NULL, 0, 0, false, false },
                                                { NULL, 0, 0, true, false },
                                                { NULL, 0, 0, true, false },
                                                { NULL, 1, 0, true, false } };
    struct zb_table table = { .columns = columns, .column_count = DZ_LEN(columns) };
    int64_t all_us = self->info.end_us - self->info.start_us;
    char span[ZB_WORD], worker[ZB_WORD];
    for (uint32_t i = 0; i < self->lane_count; i++) {
        const struct lane *lane = &self->lanes[i];
        zb_table_add(&table, ZB_PLAIN, "%s",
                     zb_worker(worker, store_view_nodes(self->view), lane->node, lane->worker));
        zb_table_add(&table, ZB_PLAIN, "%u run%s", lane->tests, lane->tests == 1 ? "" : "s");
        zb_table_add(&table, ZB_PLAIN, "busy %s", zb_span(span, lane->busy_us));
        zb_table_add(&table, ZB_DIM, "%.0f %% of the job",
                     all_us > 0 ? 100.0 * (double) lane->busy_us / (double) all_us : 0.0);
    }
    if (self->lane_count > 0)
        heading(zb, "Workers");
    zb_table_print(&table, zb, 2);
}

static void
print_next(struct zb *zb, const struct overview *self)
{
    const char *id = self->info.short_id;
    zb_put(zb, dz_str("\n"));
    if (self->failure_count > 0) {
        zb_say(zb, "zb tests %s outcome:failed --text   tracebacks\n", id);
        zb_say(zb, "zb logs %s --failed                 what those tests printed\n", id);
    } else if (self->info.state == STORE_RUNNING) {
        zb_say(zb, "zb logs %s -f                       follow it\n", id);
    } else {
        zb_say(zb, "zb tests %s 'duration:>1s'          slow tests\n", id);
        zb_say(zb, "zb logs %s                          what the run printed\n", id);
    }
}

static void
print(struct zb *zb, struct overview *self)
{
    print_head(zb, self);
    print_account(zb, &self->info);
    print_failures(zb, self);
    print_slowest(zb, self);
    print_workers(zb, self);
    print_next(zb, self);
}

/* ---- JSON ---- */

static void
json_test(struct zb *zb, struct overview *self, uint32_t index)
{
    struct store_test test;
    struct dz_err unused;
    char worker[ZB_WORD], *text = NULL;
    size_t len = 0;
    store_view_test(self->view, index, &test);
    zb_json_open(zb, '{');
    zb_json_slice(zb, "id", test.id);
    zb_json_text(zb, "outcome", zb_result_word(test.verdict));
    zb_json_int(zb, "duration_us", test.setup_us + test.call_us + test.teardown_us);
    zb_json_text(zb, "worker",
                 zb_worker(worker, store_view_nodes(self->view), test.node, test.worker));
    zb_json_int(zb, "runs", test.executions);
    if (store_view_text(self->view, index, &text, &len, &unused) == DZ_OK)
        zb_json_slice(zb, "message", zb_first_line((struct dz_slice){ (uint8_t *) text, len }));
    free(text);
    zb_json_close(zb, '}');
}

static void
print_json(struct zb *zb, struct overview *self)
{
    char worker[ZB_WORD];
    zb_json_open(zb, '{');
    zb_json_text(zb, "schema", zb->command->schema);
    zb_job_json(zb, &self->info);
    zb_json_key(zb, "failures");
    zb_json_open(zb, '[');
    for (uint32_t i = 0; i < self->failure_count; i++)
        json_test(zb, self, self->failures[i]);
    zb_json_close(zb, ']');
    zb_json_key(zb, "slowest");
    zb_json_open(zb, '[');
    for (uint32_t i = 0; i < self->slow_count; i++)
        json_test(zb, self, self->slowest[i]);
    zb_json_close(zb, ']');
    zb_json_key(zb, "by_worker");
    zb_json_open(zb, '[');
    for (uint32_t i = 0; i < self->lane_count; i++) {
        const struct lane *lane = &self->lanes[i];
        zb_json_open(zb, '{');
        zb_json_text(zb, "worker",
                     zb_worker(worker, store_view_nodes(self->view), lane->node, lane->worker));
        zb_json_int(zb, "runs", lane->tests);
        zb_json_int(zb, "busy_us", lane->busy_us);
        zb_json_close(zb, '}');
    }
    zb_json_close(zb, ']');
    zb_json_close(zb, '}');
    zb_json_end(zb);
}

/* ---- the command ---- */

static int
load(struct zb *zb, struct overview *self)
{
    char ulid[STORE_ULID_LEN + 1];
    struct dz_err err;
    int code = zb_find_job(zb, self->spec ? self->spec : "latest", ulid);
    if (code != ZB_DONE)
        return code;
    enum dz_rc rc = store_job_info(zb->store, ulid, zb->now_us, &self->info, &err);
    if (rc == DZ_OK)
        rc = store_view_load(zb->store, ulid, &self->view, &err);
    if (rc != DZ_OK)
        return zb_fail(zb, zb_exit_of(rc), "%s", err.text);
    self->zone = zone_new(self->info.timezone);
    count(self);
    return ZB_DONE;
}

int
cmd_job(struct zb *zb, int argc, char **argv)
{
    struct overview self = { .spec = NULL };
    bool is_over;
    int code = zb_parse(zb, argc, argv, parse, &self, &is_over);
    if (!is_over)
        code = zb_open(zb);
    if (is_over || code != ZB_DONE)
        return code;
    code = load(zb, &self);
    if (code == ZB_DONE && zb->is_json)
        print_json(zb, &self);
    else if (code == ZB_DONE)
        print(zb, &self);
    bool is_passed = self.info.state == STORE_SEALED && self.info.exit_code == 0;
    if (code == ZB_DONE && self.wants_status && !is_passed)
        code = ZB_FAILED;
    store_view_destroy(&self.view);
    store_job_info_fini(&self.info);
    zone_destroy(&self.zone);
    free(self.failures);
    free(self.lanes);
    return code;
}
