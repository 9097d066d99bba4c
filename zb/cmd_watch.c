/* cmd_watch.c - zb watch: a job while it runs.
 *
 * What runs where is seen from the log: a worker is in the test that its last record belongs to (an
 * agent names in the log each test that is silent for a second), until that test has a result. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "zb/zb.h"

enum {
    LANES_MAX = 4096,
    LANES_SHOWN = 8,
    FAILURES_SHOWN = 5,
    FRAME_MS = 200,  /* between two on a terminal */
    LINE_MS = 10000, /* between two lines elsewhere */
    PAUSE_MS = 1000, /* durations go on although nothing is written */
    COST_SHARE = 10, /* a frame that took long is made less often */
    BAR_MIN = 10,
    BAR_MAX = 40,
};

const struct argp_option cmd_watch_options[] = {
    { "exit-status", 'e', NULL, 0, "exit with 1 if the job did not pass", 0 },
    { 0 },
};

struct lane {
    char worker[DOC_WORKER];
    char *test; /* owned; NULL: between tests */
    int64_t since_us;
};

struct watch {
    struct zb *zb;
    const char *spec;
    bool wants_status;
    char ulid[STORE_ULID_LEN + 1];
    struct source_logs *logs; /* owned */
    struct lane *lanes;       /* owned */
    size_t lane_count;
    struct doc_job doc; /* owned */
    int frame_lines;    /* on the terminal, to be drawn over */
    char **told;        /* owned, each owned; ids of failures that were told */
    size_t told_count;
    dz_ms told_at;
    uint32_t done_told; /* to tell whether anything changed */
};

static error_t
parse(int key, char *arg, struct argp_state *state)
{
    struct watch *self = state->input;
    if (key == 'e') {
        self->wants_status = true;
        return 0;
    }
    if (key != ARGP_KEY_ARG || self->spec)
        return zb_parse_nothing(key, arg, state);
    self->spec = arg;
    return 0;
}

/* ---- what is going on ---- */

static struct lane *
lane_of(struct watch *self, const char *worker)
{
    for (size_t i = 0; i < self->lane_count; i++)
        if (strcmp(self->lanes[i].worker, worker) == 0)
            return &self->lanes[i];
    if (self->lane_count == LANES_MAX)
        return NULL;
    struct lane *lane = &self->lanes[self->lane_count++];
    (void) snprintf(lane->worker, sizeof(lane->worker), "%s", worker);
    return lane;
}

static void
leave_test(struct lane *lane)
{
    free(lane->test);
    lane->test = NULL;
}

static enum dz_rc
read_logs(struct watch *self, struct dz_err *err)
{
    struct doc_log log;
    enum dz_rc rc;
    while ((rc = source_logs_next(self->logs, 0, &log, err)) == DZ_OK) {
        struct lane *lane = log.kind == STORE_LOG_OUTPUT ? lane_of(self, log.worker) : NULL;
        bool is_same =
            lane && lane->test && log.test.ptr && dz_slice_eq(dz_str(lane->test), log.test);
        if (!lane || is_same)
            continue;
        leave_test(lane);
        lane->test = log.test.ptr ? dz_slice_dup(log.test) : NULL;
        lane->since_us = log.first_us;
    }
    return rc;
}

static void
note_done(void *arg, const struct doc_test *test)
{
    struct lane *lane = arg;
    if (lane->test && dz_slice_eq(test->id, dz_str(lane->test)) && test->runs > 0)
        leave_test(lane);
}

/* Which tests have a result by now: from the view where there is one, else by asking. */
static void
drop_done(struct watch *self, struct lane *lane)
{
    struct source *source = self->zb->source;
    struct doc_tests_sum unused;
    struct dz_err err;
    if (self->doc.view) {
        struct doc_test test;
        uint32_t index = store_view_find(self->doc.view, dz_str(lane->test));
        if (index == STORE_NO_TEST)
            return;
        doc_test_of(self->doc.view, index, &test);
        note_done(lane, &test);
        return;
    }
    DZ_AUTO(query_destroy) struct query *query = query_new(&lane->test, 1, &err);
    struct doc_tests_ask ask = { .query = query, .limit = LANES_SHOWN };
    if (query && source->ops->tests(source, self->ulid, &lane->test, 1, &ask, note_done, lane,
                                    &unused, &err) != DZ_OK)
        leave_test(lane); /* not known any more */
}

static enum dz_rc
look(struct watch *self, struct dz_err *err)
{
    enum dz_rc rc = read_logs(self, err);
    if (rc != DZ_AGAIN && rc != DZ_ABSENT)
        return rc;
    doc_job_fini(&self->doc);
    rc =
        self->zb->source->ops->job(self->zb->source, self->ulid, DOC_FAILURES_MAX, &self->doc, err);
    for (size_t i = 0; i < self->lane_count && rc == DZ_OK; i++)
        if (self->lanes[i].test)
            drop_done(self, &self->lanes[i]);
    return rc;
}

static uint32_t
done(const struct store_job_info *job)
{
    uint32_t sum = 0;
    for (unsigned i = DZ_RESULT_NONE + 1; i < DZ_RESULTS; i++)
        sum += job->verdicts[i];
    return sum;
}

/* What is left of the work that earlier runs tell of; tests that they do not know are taken as those
 * that they do.  0: nothing is known, or it took longer already. */
static int64_t
planned_us(const struct store_plan *plan, int64_t busy_us)
{
    int64_t whole_us = plan->known > 0 ? plan->work_us / plan->known * plan->tests : 0;
    return whole_us > busy_us ? whole_us - busy_us : 0;
}

/* What is left, on all workers; -1: not known yet.  By what earlier runs took, since long tests run
 * first, and else at the pace so far. */
static int64_t
eta_us(const struct watch *self)
{
    uint32_t left = self->doc.info.not_run;
    int64_t busy_us = 0, runs = 0;
    for (size_t i = 0; i < self->doc.lane_count; i++) {
        busy_us += self->doc.lanes[i].busy_us;
        runs += self->doc.lanes[i].runs;
    }
    int64_t left_us = planned_us(&self->doc.nodes->plan, busy_us);
    if (left_us == 0 && runs == 0)
        return -1;
    if (left_us == 0)
        left_us = busy_us / runs * left;
    uint32_t workers = self->doc.info.workers < left ? self->doc.info.workers : left;
    return left > 0 ? left_us / (workers > 0 ? workers : 1) : 0;
}

/* ---- lines ---- */

static void
say_progress(struct watch *self)
{
    struct zb *zb = self->zb;
    const struct store_job_info *job = &self->doc.info;
    char span[ZB_WORD];
    struct dz_buf counts = { 0 };
    int64_t eta = eta_us(self);
    zb_job_counts(job, &counts);
    zb_say(zb, "%s  after %s: %s", job->short_id,
           zb_span(span, dz_clock_wall_ms() * 1000 - job->start_us), (char *) counts.data);
    if (eta >= 0 && job->not_run > 0)
        zb_say(zb, "; about %s more", zb_span(span, eta));
    zb_put(zb, dz_str("\n"));
    dz_buf_fini(&counts);
}

static void
say_failure(struct zb *zb, const struct doc_test *test)
{
    const char *word = doc_outcome(test->outcome);
    zb_tint(zb, ZB_RED);
    zb_say(zb, "%s", word);
    zb_tint(zb, ZB_PLAIN);
    zb_put(zb, dz_str(" "));
    (void) zb_id(zb, test->id, zb->width ? zb->width - (int) strlen(word) - 1 : 0);
    zb_put(zb, dz_str("\n"));
}

/* They come sorted by their ids, so new ones may be anywhere. */
static bool
is_news(struct watch *self, const struct doc_test *test)
{
    for (size_t i = 0; i < self->told_count; i++)
        if (dz_slice_eq(dz_str(self->told[i]), test->id))
            return false;
    if (self->told_count == DOC_FAILURES_MAX)
        return false;
    self->told[self->told_count++] = dz_slice_dup(test->id);
    return true;
}

static void
tell_failures(struct watch *self)
{
    for (size_t i = 0; i < self->doc.failures_len; i++)
        if (is_news(self, &self->doc.failures[i]))
            say_failure(self->zb, &self->doc.failures[i]);
}

/* ---- the terminal ---- */

static void
erase(struct watch *self)
{
    if (self->frame_lines > 0)
        zb_say(self->zb, "\x1b[%dA\x1b[J", self->frame_lines);
    self->frame_lines = 0;
}

static void
draw_bar(struct watch *self)
{
    struct zb *zb = self->zb;
    const struct store_job_info *job = &self->doc.info;
    uint32_t finished = done(job), all = finished + job->not_run;
    int room = zb->width - 30, columns = room < BAR_MIN ? BAR_MIN : room > BAR_MAX ? BAR_MAX : room;
    int full = all ? (int) ((uint64_t) columns * finished / all) : 0;
    if (all == 0)
        return;
    zb_put(zb, dz_str("  "));
    zb_tint(zb, self->doc.failure_count ? ZB_RED : ZB_GREEN);
    for (int i = 0; i < full; i++)
        zb_put(zb, dz_str("#"));
    zb_tint(zb, ZB_DIM);
    for (int i = full; i < columns; i++)
        zb_put(zb, dz_str("."));
    zb_tint(zb, ZB_PLAIN);
    zb_say(zb, " %3u %%  %u of %u\n", (unsigned) ((uint64_t) finished * 100 / all), finished, all);
    self->frame_lines++;
}

static void
draw_lanes(struct watch *self)
{
    struct zb *zb = self->zb;
    int64_t now_us = dz_clock_wall_ms() * 1000;
    size_t shown = 0, busy = 0;
    for (size_t i = 0; i < self->lane_count; i++) {
        const struct lane *lane = &self->lanes[i];
        char span[ZB_WORD];
        if (!lane->test || busy++ >= LANES_SHOWN)
            continue;
        shown++;
        int64_t since_us = now_us > lane->since_us ? now_us - lane->since_us : 0;
        zb_put(zb, dz_str("  "));
        zb_tint(zb, ZB_CYAN);
        zb_say(zb, "%-4s", lane->worker);
        zb_tint(zb, ZB_PLAIN);
        zb_say(zb, "%10s  ", zb_span(span, since_us));
        (void) zb_id(zb, dz_str(lane->test), zb->width ? zb->width - 18 : 0);
        zb_put(zb, dz_str("\n"));
        self->frame_lines++;
    }
    if (busy > shown) {
        zb_say(zb, "  and %zu more\n", busy - shown);
        self->frame_lines++;
    }
}

static void
draw(struct watch *self)
{
    struct zb *zb = self->zb;
    const struct doc_job *doc = &self->doc;
    char span[ZB_WORD];
    int64_t eta = eta_us(self);
    zb_out_measure(zb);
    erase(self);
    zb_tint(zb, ZB_BOLD);
    zb_say(zb, "%s", doc->info.short_id);
    zb_tint(zb, ZB_PLAIN);
    zb_say(zb, "  %s  %s", doc_verdict(&doc->info),
           zb_span(span, dz_clock_wall_ms() * 1000 - doc->info.start_us));
    if (eta >= 0 && doc->info.not_run > 0)
        zb_say(zb, ", about %s more", zb_span(span, eta));
    zb_put(zb, dz_str("\n"));
    self->frame_lines++;
    draw_bar(self);
    draw_lanes(self);
    size_t first = doc->failures_len > FAILURES_SHOWN ? doc->failures_len - FAILURES_SHOWN : 0;
    for (size_t i = first; i < doc->failures_len; i++, self->frame_lines++)
        say_failure(zb, &doc->failures[i]);
}

/* ---- JSON ---- */

static void
write_json(struct watch *self)
{
    struct dz_buf *out = &self->zb->out;
    const struct store_job_info *job = &self->doc.info;
    int64_t eta = eta_us(self);
    jot_open(out, '{');
    jot_text(out, "schema", self->zb->command->schema);
    jot_text(out, "id", job->ulid);
    jot_text(out, "short_id", job->short_id);
    jot_time(out, "time", dz_clock_wall_ms() * 1000);
    jot_text(out, "verdict", doc_verdict(job));
    jot_int(out, "done", done(job));
    jot_int(out, "to_do", job->not_run);
    jot_int(out, "failed", self->doc.failure_count);
    doc_outcomes_json(out, job);
    if (eta >= 0)
        jot_int(out, "eta_us", eta);
    else
        jot_null(out, "eta_us");
    jot_key(out, "running");
    jot_open(out, '[');
    for (size_t i = 0; i < self->lane_count; i++) {
        if (!self->lanes[i].test)
            continue;
        jot_open(out, '{');
        jot_text(out, "worker", self->lanes[i].worker);
        jot_text(out, "test", self->lanes[i].test);
        jot_time(out, "since", self->lanes[i].since_us);
        jot_close(out, '}');
    }
    jot_close(out, ']');
    jot_key(out, "new_failures");
    jot_open(out, '[');
    for (size_t i = 0; i < self->doc.failures_len; i++)
        if (is_news(self, &self->doc.failures[i]))
            doc_brief_json(out, &self->doc.failures[i]);
    jot_close(out, ']');
    jot_close(out, '}');
    jot_end(out);
}

/* ---- the command ---- */

static void
show(struct watch *self)
{
    struct zb *zb = self->zb;
    dz_ms now = dz_clock_ms();
    uint32_t finished = done(&self->doc.info);
    bool is_due = self->told_at == 0 || now - self->told_at >= LINE_MS;
    if (zb->is_json) {
        if (is_due || finished != self->done_told)
            write_json(self);
    } else if (zb->has_cursor) {
        draw(self);
    } else {
        tell_failures(self);
        if (is_due)
            say_progress(self);
    }
    if (is_due)
        self->told_at = now;
    self->done_told = finished;
    zb_flush(zb);
}

static void
show_end(struct watch *self)
{
    struct zb *zb = self->zb;
    if (zb->is_json) {
        write_json(self);
        return;
    }
    erase(self);
    tell_failures(self);
    zb_say_verdict(zb, &self->doc.info);
}

static int
run(struct watch *self)
{
    struct zb *zb = self->zb;
    struct dz_err err;
    struct doc_logs_ask ask = { .test = NULL };
    enum dz_rc rc =
        zb->source->ops->logs_open(zb->source, self->ulid, &ask, true, &self->logs, &err);
    while (rc == DZ_OK) {
        dz_ms start = dz_clock_ms();
        rc = look(self, &err);
        if (rc != DZ_OK)
            break;
        if (self->doc.info.state != STORE_RUNNING) {
            show_end(self);
            return self->wants_status && !doc_has_passed(&self->doc.info) ? ZB_FAILED : ZB_DONE;
        }
        show(self);
        dz_ms cost = dz_clock_ms() - start;
        dz_ms rest = cost * COST_SHARE > FRAME_MS ? cost * COST_SHARE : FRAME_MS;
        dz_ms until = dz_clock_ms() + rest;
        zb->source->ops->pause(zb->source, PAUSE_MS);
        if (until > dz_clock_ms())
            (void) poll(NULL, 0, (int) (until - dz_clock_ms())); /* not at every write */
    }
    return zb_fail(zb, zb_exit_of(rc), "%s", err.text);
}

int
cmd_watch(struct zb *zb, int argc, char **argv)
{
    struct watch self = { .zb = zb };
    bool is_over;
    int code = zb_parse(zb, argc, argv, parse, &self, &is_over);
    if (!is_over)
        code = zb_open(zb);
    if (!is_over && code == ZB_DONE)
        code = zb_find_job(zb, self.spec ? self.spec : "latest", self.ulid);
    if (is_over || code != ZB_DONE)
        return code;
    self.lanes = dz_alloc0(LANES_MAX, sizeof(*self.lanes));
    self.told = dz_alloc0(DOC_FAILURES_MAX, sizeof(*self.told));
    code = run(&self);
    for (size_t i = 0; i < self.lane_count; i++)
        leave_test(&self.lanes[i]);
    for (size_t i = 0; i < self.told_count; i++)
        free(self.told[i]);
    free(self.told);
    free(self.lanes);
    source_logs_close(&self.logs);
    doc_job_fini(&self.doc);
    return code;
}
