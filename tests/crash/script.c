#include "tests/crash/script.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/buf.h"
#include "shared/base/digest.h"
#include "store/care.h"

#define NOON INT64_C(1795262400000000)
#define DAY  INT64_C(86400000000)

enum { TESTS = 40, PER_BATCH = 5, APPENDS = 8, LINES = 12, KEEP_DAYS = 3 };

enum { OP_BEGIN, OP_LIST, OP_APPEND, OP_SEAL = OP_APPEND + APPENDS, OP_SMALL, OP_LATE, OP_TIDY };
_Static_assert((int) OP_SEAL + 1 == (int) SCRIPT_SPOOL_OPS, "a folder has no life after it");
_Static_assert((int) OP_APPEND == (int) SCRIPT_FIRST_RESULTS,
               "what comes before it promises nothing");
_Static_assert(OP_TIDY + 1 == SCRIPT_PER_JOB, "every operation of a job is in its share");

static void
must(enum dz_rc rc, const struct dz_err *err, uint32_t op)
{
    if (rc == DZ_OK)
        return;
    (void) fprintf(stderr, "operation %u is refused: %s (%s)\n", op, err->text, dz_rc_text(rc));
    abort();
}

static void
ulid_of(uint32_t number, char out[STORE_ULID_LEN + 1])
{
    (void) snprintf(out, STORE_ULID_LEN + 1, "01KAJC00000000000000000000");
    out[STORE_ULID_LEN - 1] = (char) ('0' + number % 10);
}

static int64_t
time_of(uint32_t number)
{
    return NOON + number * DAY;
}

/* ---- operations ---- */

static void
begin(struct script *self, uint32_t number, uint32_t op)
{
    struct dz_err err = { "" };
    char ulid[STORE_ULID_LEN + 1];
    ulid_of(number, ulid);
    struct store_begin begin = { .uri = "crash",
                                 .timezone = "UTC",
                                 .commit = "abcdef",
                                 .now_us = time_of(number),
                                 .ulid = ulid };
    enum dz_rc rc = store_job_begin(self->store, &begin, &self->job, &err);
    if (rc != DZ_EXISTS) /* it was interrupted behind its commit */
        must(rc, &err, op);
}

static void
put_list(struct script *self, uint32_t op)
{
    struct dz_slice ids[TESTS];
    char texts[TESTS][24];
    struct dz_err err = { "" };
    for (uint32_t i = 0; i < TESTS; i++) {
        (void) snprintf(texts[i], sizeof(texts[i]), "t.py::test_%03u", i);
        ids[i] = dz_str(texts[i]);
    }
    must(store_job_put_manifest(self->job, ids, TESTS, &err), &err, op);
}

static void
append(struct script *self, uint32_t n, uint32_t op)
{
    struct store_result results[PER_BATCH];
    struct store_log logs[LINES];
    struct store_span spans[LINES];
    char text[64];
    struct dz_err err = { "" };
    (void) snprintf(text, sizeof(text), "operation %u says something\n", op);
    for (uint32_t i = 0; i < PER_BATCH; i++)
        results[i] = (struct store_result){ .test = n * PER_BATCH + i,
                                            .node = 1,
                                            .inc = 1,
                                            .exec = n * PER_BATCH + i + 1,
                                            .result = i ? DZ_RESULT_OK : DZ_RESULT_FAILED,
                                            .start_us = time_of(self->number) + op,
                                            .call_us = 100 + i,
                                            .text = dz_str(i ? "" : text) };
    for (uint32_t i = 0; i < LINES; i++) {
        int64_t at = time_of(self->number) + n * 1000 + i * 150;
        logs[i] = (struct store_log){ .source = 1,
                                      .seq = n * LINES + i + 1,
                                      .first_us = at,
                                      .last_us = at,
                                      .worker = i % 3,
                                      .test = n * PER_BATCH,
                                      .text = dz_str(text) };
        spans[i] = (struct store_span){ .source = 2,
                                        .seq = n * LINES + i + 1,
                                        .id = n * LINES + i + 1,
                                        .start_us = at,
                                        .end_us = at + 100,
                                        .test = n * PER_BATCH,
                                        .type = dz_str("fixture"),
                                        .name = dz_str(text) };
    }
    struct store_batch batch = { .results = results,
                                 .logs = logs,
                                 .spans = spans,
                                 .result_count = n < APPENDS ? PER_BATCH : 0,
                                 .log_count = LINES,
                                 .span_count = LINES };
    must(store_job_append(self->job, &batch, &err), &err, op);
}

static void
seal(struct script *self, uint32_t op)
{
    struct store_ledger ledger;
    struct dz_err err = { "" };
    must(store_job_ledger(self->job, &ledger, &err), &err, op);
    struct store_seal seal = { .collected = TESTS,
                               .counted = ledger.counted,
                               .digest = ledger.digest,
                               .now_us = time_of(self->number) + 1000000 };
    must(store_job_seal(self->job, &seal, &err), &err, op);
}

static void
tidy(struct script *self, uint32_t op)
{
    struct store_retention keep = { .days = KEEP_DAYS };
    struct store_tidy work = { .now_us = time_of(self->number), .budget_ms = 600000 };
    struct dz_err err = { "" };
    must(store_retention_set(self->store, &keep, &err), &err, op);
    must(store_tidy(self->store, &work, &err), &err, op);
}

/* They come in turns; when all are there, what is over is made small. */
static void
do_share(struct script *self, uint32_t turn, uint32_t op)
{
    char ulid[STORE_ULID_LEN + 1];
    struct dz_err err = { "" };
    store_job_close(&self->job);
    shares_ulid(0, ulid);
    if (turn < SHARES * SHARE_PIECES)
        shares_send(self->shares, self->store, turn % SHARES, turn / SHARES);
    else
        must(store_tidy_job(self->store, ulid, 600000, &err), &err, op);
}

void
script_do(struct script *self, uint32_t op)
{
    if (op >= SCRIPT_SHARES) {
        do_share(self, op - SCRIPT_SHARES, op);
        return;
    }
    uint32_t number = op / SCRIPT_PER_JOB, step = op % SCRIPT_PER_JOB;
    char ulid[STORE_ULID_LEN + 1];
    struct dz_err err = { "" };
    ulid_of(number, ulid);
    if (self->job && self->number != number)
        store_job_close(&self->job);
    self->number = number;
    if (step == OP_BEGIN) {
        store_job_close(&self->job);
        begin(self, number, op);
        return;
    }
    if (!self->job)
        must(store_job_reopen(self->store, ulid, &self->job, &err), &err, op);
    if (step == OP_LIST)
        put_list(self, op);
    else if (step < OP_SEAL)
        append(self, step - OP_APPEND, op);
    else if (step == OP_SEAL)
        seal(self, op);
    else if (step == OP_SMALL)
        must(store_tidy_job(self->store, ulid, 600000, &err), &err, op);
    else if (step == OP_LATE)
        append(self, APPENDS, op);
    else
        tidy(self, op);
}

void
script_end(struct script *self)
{
    store_job_close(&self->job);
}

/* ---- looking ---- */

static void
say_row(void *arg, const struct store_result *row)
{
    dz_buf_addf(arg, "%u.%u %" PRIu64 " %d %d %" PRId64 "\n", row->test, row->attempt, row->exec,
                (int) row->result, (int) row->word, row->start_us);
}

static enum dz_rc
say_tests(struct store *store, const char *ulid, struct dz_buf *out, struct dz_err *err)
{
    struct store_view *view = NULL;
    enum dz_rc rc = store_view_load(store, ulid, &view, err);
    for (uint32_t i = 0; rc == DZ_OK && i < store_view_count(view); i++) {
        char *text = NULL;
        size_t len = 0;
        store_view_executions(view, i, say_row, out);
        rc = store_view_text(view, i, &text, &len, err);
        if (rc == DZ_OK)
            dz_buf_add(out, text, len);
        rc = rc == DZ_ABSENT ? DZ_OK : rc;
        free(text);
    }
    store_view_destroy(&view);
    return rc;
}

static enum dz_rc
say_logs(struct store *store, const char *ulid, struct dz_buf *out, struct dz_err *err)
{
    struct store_log_filter all = { .worker = -1, .thread = -1 };
    struct store_logs *logs = NULL;
    struct store_log log;
    enum dz_rc rc = store_logs_open(store, ulid, &all, &logs, err);
    while (rc == DZ_OK && (rc = store_logs_next(logs, &log, err)) == DZ_OK) {
        dz_buf_addf(out, "%" PRId64 " %u %u ", log.first_us, log.worker, log.test);
        dz_buf_add(out, log.text.ptr, log.text.len);
    }
    store_logs_close(&logs);
    return rc == DZ_ABSENT ? DZ_OK : rc;
}

static enum dz_rc
say_spans(struct store *store, const char *ulid, struct dz_buf *out, struct dz_err *err)
{
    struct store_span_filter all = { .worker = -1 };
    struct store_spans *spans = NULL;
    struct store_span span;
    enum dz_rc rc = store_spans_open(store, ulid, &all, &spans, err);
    while (rc == DZ_OK && (rc = store_spans_next(spans, &span, err)) == DZ_OK) {
        dz_buf_addf(out, "%" PRId64 " %" PRIu64 " ", span.start_us, span.id);
        dz_buf_add(out, span.name.ptr, span.name.len);
    }
    store_spans_close(&spans);
    return rc == DZ_ABSENT ? DZ_OK : rc;
}

static uint64_t
look_at(struct store *store, const char *ulid, int64_t now_us, uint32_t number)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf said = { 0 };
    struct store_job_info info = { .counted = 0 };
    struct dz_err err = { "" };
    enum dz_rc rc = store_job_info(store, ulid, now_us, &info, &err);
    if (rc == DZ_ABSENT)
        return 0;
    must(rc, &err, number);
    dz_buf_addf(&said, "%s %d counted %u, shares %u of %u\n", info.short_id, info.exit_code,
                info.counted, info.shards_there, info.shards);
    store_job_info_fini(&info);
    must(say_tests(store, ulid, &said, &err), &err, number);
    must(say_logs(store, ulid, &said, &err), &err, number);
    must(say_spans(store, ulid, &said, &err), &err, number);
    return dz_hash64(dz_buf_slice(&said));
}

void
script_look(struct store *store, struct script_state *out)
{
    char ulid[STORE_ULID_LEN + 1];
    for (uint32_t i = 0; i < SCRIPT_JOBS; i++) {
        ulid_of(i, ulid);
        out->jobs[i] = look_at(store, ulid, time_of(i) + 5 * DAY, i);
    }
    shares_ulid(0, ulid);
    out->jobs[SCRIPT_JOBS] = look_at(store, ulid, shares_time() + 5 * DAY, SCRIPT_JOBS);
}

bool
script_fits(const struct script_state *now, const struct script_state *before,
            const struct script_state *after)
{
    bool is_ok = true;
    for (uint32_t i = 0; i <= SCRIPT_JOBS; i++) {
        if (now->jobs[i] == before->jobs[i] || now->jobs[i] == after->jobs[i])
            continue;
        (void) fprintf(stderr, "job %u is %s\n", i, now->jobs[i] ? "another" : "gone");
        is_ok = false;
    }
    return is_ok;
}
