/* cmd_job.c - zb job: what happened in one job, on one screen. */
#include <stdio.h>
#include <string.h>

#include "zb/table.h"
#include "zb/zb.h"

enum { FAILURES = 10, EVENTS = 12, LABEL = 10, SUGGESTION = 34 };

const struct argp_option cmd_job_options[] = {
    { "events", 'E', NULL, 0, "all that happened to its nodes", 0 },
    { "exit-status", 'e', NULL, 0, "exit with 1 if the job did not pass", 0 },
    { 0 },
};

struct overview {
    const char *spec; /* NULL: the latest */
    bool wants_status, wants_events;
    struct doc_job doc; /* owned */
    struct zone *zone;  /* owned */
};

static error_t
parse(int key, char *arg, struct argp_state *state)
{
    struct overview *self = state->input;
    if (key == 'e' || key == 'E') {
        *(key == 'e' ? &self->wants_status : &self->wants_events) = true;
        return 0;
    }
    if (key != ARGP_KEY_ARG || self->spec)
        return zb_parse_nothing(key, arg, state);
    self->spec = arg;
    return 0;
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

static void
wrapped(struct zb *zb, const char *name, const char *text)
{
    label(zb, name);
    zb_fold(zb, text, LABEL + 2);
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
    const struct store_job_info *job = &self->doc.info;
    char when[ZB_WORD], span[ZB_WORD], text[256];
    enum zb_tint tint;
    const char *word = zb_job_word(job, &tint);
    struct dz_buf counts = { 0 };
    zb_tint(zb, ZB_BOLD);
    zb_say(zb, "%s  ", job->short_id);
    zb_tint(zb, tint);
    zb_say(zb, "%s", word);
    zb_tint(zb, ZB_PLAIN);
    if (zb_job_has_length(job))
        zb_say(zb, "  %s %s", job->state == STORE_RUNNING ? "since" : "in",
               zb_span(span, job->end_us - job->start_us));
    zb_put(zb, dz_str("\n"));
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
    if (job->generation > 0) {
        (void) snprintf(text, sizeof(text), "%u%s%s", job->generation,
                        *job->previous ? ", after " : "", job->previous);
        line(zb, "again", text);
    } else if (*job->previous) {
        (void) snprintf(text, sizeof(text), "%s had ended: these are tests that it lacks",
                        job->previous);
        line(zb, "after", text);
    }
    if (self->doc.carried > 0) {
        (void) snprintf(text, sizeof(text), "%u results count as they were there",
                        self->doc.carried);
        line(zb, "", text);
    }
    line(zb, "id", job->ulid);
}

static void
print_account(struct zb *zb, const struct doc_job *doc)
{
    const struct store_job_info *job = &doc->info;
    uint32_t run = job->collected - job->redundant - job->not_run;
    uint32_t carried = doc->carried < run ? doc->carried : run;
    char text[256], before[ZB_WORD] = "";
    if (carried > 0)
        (void) snprintf(before, sizeof(before), " + %u as before", carried);
    if (job->state != STORE_SEALED)
        return;
    (void) snprintf(text, sizeof(text),
                    "%u collected = %u run%s + %u redundant + %u deselected + %u not run; "
                    "counted %u, duplicates %u, lost %u",
                    job->collected + job->deselected, run - carried, before, job->redundant,
                    job->deselected, job->not_run, job->counted, job->duplicates, job->lost);
    wrapped(zb, "account", text);
    if (job->is_ledger_wrong)
        line(zb, "", "the numbers above are not those of the store's ledger: please report this");
}

static void
print_failure(struct zb *zb, const struct doc_test *test)
{
    char span[ZB_WORD], key[DOC_KEY];
    const char *word = doc_outcome(test->outcome);
    zb_pad(zb, 2);
    zb_tint(zb, zb_result_tint(test->outcome));
    zb_say(zb, "%s", word);
    zb_tint(zb, ZB_PLAIN);
    zb_pad(zb, LABEL - 2 - (int) strlen(word));
    (void) zb_id(zb, test->id, zb->width ? zb->width - LABEL : 0);
    zb_put(zb, dz_str("\n"));
    if (test->text) {
        struct dz_slice text = { (const uint8_t *) test->text, test->text_len };
        zb_pad(zb, LABEL);
        (void) zb_text(zb, doc_first_line(text), zb->width ? zb->width - LABEL : 0);
        zb_put(zb, dz_str("\n"));
    }
    zb_pad(zb, LABEL);
    zb_tint(zb, ZB_DIM);
    zb_say(zb, "%s on %s", zb_span(span, doc_test_us(test)), test->worker);
    if (test->runs > 1)
        zb_say(zb, ", %u runs", test->runs);
    if (test->span)
        zb_say(zb, ", span %.8s", doc_key(key, test->span));
    zb_tint(zb, ZB_PLAIN);
    zb_put(zb, dz_str("\n"));
}

static void
print_failures(struct zb *zb, const struct doc_job *doc)
{
    if (doc->failure_count == 0)
        return;
    heading(zb, "Failures");
    size_t shown = doc->failures_len < FAILURES ? doc->failures_len : FAILURES;
    for (size_t i = 0; i < shown; i++)
        print_failure(zb, &doc->failures[i]);
    if (shown < doc->failure_count)
        zb_say(zb, "  and %zu more\n", doc->failure_count - shown);
}

static void
print_missing(struct zb *zb, const struct doc_job *doc)
{
    size_t shown = doc->missing_len < FAILURES ? doc->missing_len : FAILURES;
    if (doc->info.state != STORE_INCOMPLETE)
        return;
    if (shown > 0)
        heading(zb, "Missing");
    for (size_t i = 0; i < shown; i++) {
        zb_pad(zb, 2);
        (void) zb_id(zb, doc->missing[i], zb->width ? zb->width - 2 : 0);
        zb_put(zb, dz_str("\n"));
    }
    if (shown > 0 && doc->info.not_run > shown)
        zb_say(zb, "  and %zu more\n", doc->info.not_run - shown);
    if (doc->info.shards_there < doc->info.shards)
        zb_say(
            zb,
            "\n%u of %u slots have told all of their own share; the others have not, or not all.\n",
            doc->info.shards_there, doc->info.shards);
}

static void
print_slowest(struct zb *zb, const struct doc_job *doc)
{
    static const struct zb_column columns[] = { { NULL, 0, 0, true, false },
                                                { NULL, 1, 0, false, false },
                                                { NULL, 0, 16, false, true } };
    struct zb_table table = { .columns = columns, .column_count = DZ_LEN(columns) };
    char span[ZB_WORD];
    for (size_t i = 0; i < doc->slowest_len; i++) {
        const struct doc_test *test = &doc->slowest[i];
        zb_table_add(&table, ZB_PLAIN, "%s", zb_span(span, doc_test_us(test)));
        zb_table_add(&table, ZB_DIM, "%s", test->worker);
        zb_table_add(&table, ZB_PLAIN, "%.*s", (int) test->id.len, (const char *) test->id.ptr);
    }
    if (doc->slowest_len > 0)
        heading(zb, "Slowest");
    zb_table_print(&table, zb, 2);
}

static void
print_workers(struct zb *zb, const struct doc_job *doc)
{
    static const struct zb_column columns[] = { { NULL, 0, 0, false, false },
                                                { NULL, 0, 0, true, false },
                                                { NULL, 0, 0, true, false },
                                                { NULL, 1, 0, true, false } };
    struct zb_table table = { .columns = columns, .column_count = DZ_LEN(columns) };
    int64_t all_us = doc->info.end_us - doc->info.start_us;
    char span[ZB_WORD];
    for (size_t i = 0; i < doc->lane_count; i++) {
        const struct doc_lane *lane = &doc->lanes[i];
        zb_table_add(&table, ZB_PLAIN, "%s", lane->worker);
        zb_table_add(&table, ZB_PLAIN, "%u run%s", lane->runs, lane->runs == 1 ? "" : "s");
        zb_table_add(&table, ZB_PLAIN, "busy %s", zb_span(span, lane->busy_us));
        zb_table_add(&table, ZB_DIM, "%.0f %% of the job",
                     all_us > 0 ? 100.0 * (double) lane->busy_us / (double) all_us : 0.0);
    }
    if (doc->lane_count > 0)
        heading(zb, "Workers");
    zb_table_print(&table, zb, 2);
}

/* ---- the plan, and what became of it ---- */

/* Of all that ran something: from the first test to the last. */
struct reality {
    int64_t first_us, last_us, first_end_us, busy_us;
};

static void
measure(const struct doc_job *doc, struct reality *out)
{
    *out = (struct reality){ .first_us = INT64_MAX, .first_end_us = INT64_MAX };
    for (size_t i = 0; i < doc->lane_count; i++) {
        const struct doc_lane *lane = &doc->lanes[i];
        out->busy_us += lane->busy_us;
        out->first_us = lane->first_us < out->first_us ? lane->first_us : out->first_us;
        out->last_us = lane->last_us > out->last_us ? lane->last_us : out->last_us;
        out->first_end_us = lane->last_us < out->first_end_us ? lane->last_us : out->first_end_us;
    }
}

/* At best: all workers busy to the end, or the longest test alone. */
static void
print_expected(struct zb *zb, const struct store_plan *plan, size_t workers)
{
    char work[ZB_WORD], wall[ZB_WORD], text[256];
    double scale = plan->known > 0 ? (double) plan->tests / plan->known : 0;
    int64_t work_us = (int64_t) ((double) plan->work_us * scale);
    int64_t wall_us = work_us / (int64_t) workers;
    if (plan->known == 0) {
        wrapped(zb, "expected", "no earlier run tells how long these tests take");
        return;
    }
    wall_us = wall_us > plan->longest_us ? wall_us : plan->longest_us;
    (void) snprintf(text, sizeof(text), "%s of tests, so %s on %zu worker%s; %u of %u known",
                    zb_span(work, work_us), zb_span(wall, wall_us), workers,
                    workers == 1 ? "" : "s", plan->known, plan->tests);
    wrapped(zb, "expected", text);
}

static void
print_plan(struct zb *zb, const struct doc_job *doc)
{
    const struct store_plan *plan = &doc->nodes->plan;
    char work[ZB_WORD], wall[ZB_WORD], text[256];
    struct reality was;
    if (plan->tests == 0 || doc->lane_count == 0 || doc->info.state == STORE_RUNNING)
        return;
    measure(doc, &was);
    int64_t wall_us = was.last_us - was.first_us;
    heading(zb, "Plan");
    print_expected(zb, plan, doc->lane_count);
    (void) snprintf(text, sizeof(text), "%s of tests, in %s from the first to the last",
                    zb_span(work, was.busy_us), zb_span(wall, wall_us));
    wrapped(zb, "took", text);
    if (doc->lane_count < 2 || wall_us <= 0)
        return;
    double share = (double) was.busy_us / ((double) wall_us * (double) doc->lane_count);
    (void) snprintf(text, sizeof(text),
                    "workers busy %.0f %% of that; the first ended %s before the last", 100 * share,
                    zb_span(wall, was.last_us - was.first_end_us));
    wrapped(zb, "balance", text);
}

/* ---- nodes ---- */

static void
print_end(struct zb_table *table, const struct doc_job *doc, uint32_t number)
{
    const struct store_node *node = &doc->nodes->nodes[number];
    enum store_node_state state = doc_node_state(doc, number);
    enum zb_tint tint = state == STORE_NODE_LOST ? ZB_RED : ZB_PLAIN;
    if (state == STORE_NODE_ENDED)
        zb_table_add(table, node->exit_code == 0 ? ZB_PLAIN : ZB_RED, "exit %d", node->exit_code);
    else
        zb_table_add(table, tint, "%s%s%s", store_node_state_name(state), *node->why ? ": " : "",
                     node->why);
}

static void
print_nodes(struct zb *zb, const struct doc_job *doc)
{
    static const struct zb_column columns[] = {
        { NULL, 0, 0, false, false }, { NULL, 2, 0, false, false }, { NULL, 0, 0, true, false },
        { NULL, 0, 0, true, false },  { NULL, 0, 0, false, false }, { NULL, 1, 0, false, false },
        { NULL, 0, 8, false, false },
    };
    struct zb_table table = { .columns = columns, .column_count = DZ_LEN(columns) };
    const struct store_nodes *nodes = doc->nodes;
    if (nodes->node_count < 2 || nodes->event_count == 0)
        return; /* the head says it all, or nothing is known */
    for (uint32_t i = 0; i < nodes->node_count; i++) {
        const struct store_node *node = &nodes->nodes[i];
        zb_table_add(&table, ZB_PLAIN, "n%u", i);
        zb_table_add(&table, ZB_PLAIN, "%s", node->host);
        zb_table_add(&table, ZB_PLAIN, "%u worker%s", node->workers, node->workers == 1 ? "" : "s");
        zb_table_add(&table, ZB_PLAIN, "%u run%s", doc->node_runs[i],
                     doc->node_runs[i] == 1 ? "" : "s");
        if (node->slots > 0)
            zb_table_add(&table, ZB_PLAIN, "slot %u/%u", node->slot, node->slots);
        else
            zb_table_add(&table, ZB_PLAIN, "%s", "");
        if (node->led > 0)
            zb_table_add(&table, ZB_PLAIN, "scheduler, epoch %llu",
                         (unsigned long long) node->epoch);
        else
            zb_table_add(&table, ZB_PLAIN, "%s", node->is_shard ? "own share" : "");
        print_end(&table, doc, i);
    }
    heading(zb, "Nodes");
    zb_table_print(&table, zb, 2);
}

static bool
is_shown(const struct overview *self, uint32_t event)
{
    return self->wants_events || self->doc.nodes->events[event].is_main;
}

/* The first and the last of them, unless all are wanted. */
static void
print_events(struct zb *zb, const struct overview *self)
{
    const struct store_nodes *nodes = self->doc.nodes;
    uint32_t count = 0, at = 0;
    char span[ZB_WORD];
    for (uint32_t i = 0; i < nodes->event_count; i++)
        count += is_shown(self, i);
    if (count == 0 || (nodes->node_count < 2 && !self->wants_events))
        return;
    uint32_t cut = self->wants_events || count <= EVENTS ? 0 : count - EVENTS;
    heading(zb, "Events");
    for (uint32_t i = 0; i < nodes->event_count; i++) {
        const struct store_event *event = &nodes->events[i];
        if (!is_shown(self, i))
            continue;
        bool is_left_out = cut > 0 && at >= EVENTS / 2 && at < EVENTS / 2 + cut;
        if (cut > 0 && at == EVENTS / 2)
            zb_say(zb, "  ... %u more: zb job %s --events\n", cut, self->doc.info.short_id);
        at++;
        if (is_left_out)
            continue;
        int64_t us = event->at_us - self->doc.info.start_us;
        (void) zb_span(span, us > 0 ? us : 0);
        zb_pad(zb, LABEL - 1 - (int) strlen(span));
        zb_say(zb, "%s  ", span);
        (void) zb_text(zb, dz_str(event->text), zb->width ? zb->width - LABEL - 1 : 0);
        zb_put(zb, dz_str("\n"));
    }
}

/* What to type next, and why, if there is room. */
static void
suggest(struct zb *zb, const char *id, const char *command, const char *rest, const char *why)
{
    char text[ZB_WORD];
    bool has_room = zb->width == 0 || SUGGESTION + 2 + strlen(why) <= (size_t) zb->width;
    (void) snprintf(text, sizeof(text), "zb %s %s%s", command, id, rest);
    zb_say(zb, "%-*s", has_room ? SUGGESTION : 0, text);
    zb_tint(zb, ZB_DIM);
    zb_say(zb, "%s%s", has_room ? "  " : "", has_room ? why : "");
    zb_tint(zb, ZB_PLAIN);
    zb_put(zb, dz_str("\n"));
}

static void
print_next(struct zb *zb, const struct doc_job *doc)
{
    const char *id = doc->info.short_id;
    char key[DOC_KEY], rest[ZB_WORD];
    zb_put(zb, dz_str("\n"));
    if (doc->failure_count > 0) {
        suggest(zb, id, "tests", " outcome:failed --text", "tracebacks");
        suggest(zb, id, "logs", " --failed", "what those tests printed");
        if (doc->failures_len > 0 && doc->failures[0].span) {
            (void) snprintf(rest, sizeof(rest), " %.8s", doc_key(key, doc->failures[0].span));
            suggest(zb, id, "span-logs", rest, "what the first was made of");
        }
    } else if (doc->info.state == STORE_INCOMPLETE) {
        suggest(zb, id, "tests", " outcome:notrun", "what is missing");
        suggest(zb, "SPOOL", "push", "", "the folder that another slot's log names");
    } else if (doc->info.state == STORE_RUNNING) {
        suggest(zb, id, "watch", "", "see it go on");
        suggest(zb, id, "logs", " -f", "follow what it prints");
    } else {
        suggest(zb, id, "tests", " 'duration:>1s'", "slow tests");
        suggest(zb, id, "logs", "", "what the run printed");
    }
}

static void
print(struct zb *zb, const struct overview *self)
{
    print_head(zb, self);
    print_account(zb, &self->doc);
    print_failures(zb, &self->doc);
    print_missing(zb, &self->doc);
    print_slowest(zb, &self->doc);
    print_nodes(zb, &self->doc);
    print_workers(zb, &self->doc);
    print_plan(zb, &self->doc);
    print_events(zb, self);
    print_next(zb, &self->doc);
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
    size_t failures = zb->is_json ? DOC_FAILURES_MAX : FAILURES;
    enum dz_rc rc = zb->source->ops->job(zb->source, ulid, failures, &self->doc, &err);
    if (rc != DZ_OK)
        return zb_fail(zb, zb_exit_of(rc), "%s", err.text);
    self->zone = zone_new(self->doc.info.timezone);
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
        doc_job_json(&zb->out, &self.doc);
    else if (code == ZB_DONE)
        print(zb, &self);
    if (code == ZB_DONE && self.wants_status && !doc_has_passed(&self.doc.info))
        code = ZB_FAILED;
    doc_job_fini(&self.doc);
    zone_destroy(&self.zone);
    return code;
}
