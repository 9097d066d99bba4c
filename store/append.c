/* append.c - one batch of records, in one transaction. */
#include <stdio.h>
#include <string.h>

#include "shared/base/clock.h"
#include "store/job.h"
#include "store/texts.h"

struct append {
    struct store_job *job;
    struct store_batch *batch;
    struct dz_buf value; /* what is being packed */
    struct dz_buf data;  /* the texts of logs and spans */
    struct dz_buf said;  /* struct packed_text of the texts so far */
    uint32_t lanes;      /* of what is being packed */
};

/* ---- limits ---- */

static bool
is_test_ok(const struct store_job *job, uint32_t test, uint32_t attempt)
{
    return test < job->test_count && attempt < STORE_ATTEMPTS;
}

/* Logs may come before the manifest, and between tests. */
static bool
is_place_ok(uint32_t test, uint32_t attempt, uint32_t worker)
{
    return test <= STORE_NO_TEST && attempt <= UINT8_MAX && worker <= STORE_NO_WORKER;
}

static enum dz_rc
check_results(const struct store_job *job, const struct store_batch *batch, struct dz_err *err)
{
    if (batch->result_count > 0 && job->is_sealed)
        return dz_fail(err, DZ_REFUSED, "job %s is sealed", job->ulid);
    for (uint32_t i = 0; i < batch->result_count; i++) {
        const struct store_result *r = &batch->results[i];
        bool is_ok = is_test_ok(job, r->test, r->attempt) && r->worker <= STORE_NO_WORKER &&
                     r->result > DZ_RESULT_NONE && r->result < DZ_RESULTS &&
                     (unsigned) r->cause < DZ_CAUSES && r->signal <= UINT8_MAX;
        if (!is_ok)
            return dz_fail(err, DZ_LIMIT,
                           "job %s: result %d of test %u, attempt %u is out of bounds", job->ulid,
                           (int) r->result, r->test, r->attempt);
    }
    for (uint32_t i = 0; i < batch->text_count; i++)
        if (!is_test_ok(job, batch->texts[i].test, batch->texts[i].attempt))
            return dz_fail(err, DZ_LIMIT, "job %s: text of test %u, attempt %u is out of bounds",
                           job->ulid, batch->texts[i].test, batch->texts[i].attempt);
    return DZ_OK;
}

enum dz_rc
append_check(const struct store_job *job, const struct store_batch *batch, struct dz_err *err)
{
    if (batch->result_count > STORE_BATCH_MAX || batch->text_count > STORE_BATCH_MAX ||
        batch->log_count > STORE_BATCH_MAX || batch->span_count > STORE_BATCH_MAX)
        return dz_fail(err, DZ_LIMIT, "a batch of more than %d records", STORE_BATCH_MAX);
    for (uint32_t i = 0; i < batch->log_count; i++) {
        const struct store_log *log = &batch->logs[i];
        if (!is_place_ok(log->test, log->attempt, log->worker) || (unsigned) log->kind > UINT8_MAX)
            return dz_fail(err, DZ_LIMIT, "job %s: log record %u is out of bounds", job->ulid, i);
    }
    for (uint32_t i = 0; i < batch->span_count; i++) {
        const struct store_span *span = &batch->spans[i];
        if (!is_place_ok(span->test, span->attempt, span->worker) || span->type.len > UINT16_MAX ||
            span->name.len > UINT16_MAX)
            return dz_fail(err, DZ_LIMIT, "job %s: span %u is out of bounds", job->ulid, i);
    }
    return check_results(job, batch, err);
}

/* ---- packing ---- */

static enum dz_rc
put_batch(struct append *self, struct dz_kv_txn *txn, enum batch_kind kind, uint32_t count,
          struct dz_err *err)
{
    struct store_job *job = self->job;
    const uint8_t *ulid = (const uint8_t *) job->ulid;
    struct key key = { .len = 0 };
    uint32_t number = 0;
    enum dz_rc rc = batch_next(txn, ulid, kind, &number, err);
    if (rc != DZ_OK)
        return rc;
    size_t before = self->value.len;
    zip_add(job->store, dz_buf_slice(&self->data), &self->value);
    struct batch_head head = {
        .count = count,
        .lanes = self->lanes,
        .raw_len = (uint32_t) self->data.len,
        .data_len = (uint32_t) (self->value.len - before),
        .written_us = dz_clock_wall_ms() * 1000,
    };
    memcpy(self->value.data, &head, sizeof(head));
    batch_key(&key, ulid, kind);
    key_add_number(&key, number, 4);
    rc = dz_kv_put(txn, T_BATCH, key_slice(&key), dz_buf_slice(&self->value), err);
    if (rc == DZ_OK && kind == BATCH_RESULTS)
        job->next = number + 1;
    return rc == DZ_OK ? feed_note(txn, job->ulid, kind, number, err) : rc;
}

static void
start_batch(struct append *self)
{
    static const struct batch_head empty;
    dz_buf_clear(&self->value);
    dz_buf_clear(&self->data);
    self->lanes = 0;
    dz_buf_add(&self->value, &empty, sizeof(empty));
}

static enum dz_rc
put_results(struct append *self, struct dz_kv_txn *txn, struct dz_err *err)
{
    uint32_t count = 0;
    start_batch(self);
    for (uint32_t i = 0; i < self->batch->result_count; i++) {
        struct store_result *r = &self->batch->results[i];
        ledger_judge(&self->job->ledger, r);
        if (r->is_repeat)
            continue;
        struct packed_result row = {
            .node = r->node,
            .inc = r->inc,
            .exec = r->exec,
            .start_us = r->start_us,
            .setup_us = r->setup_us,
            .call_us = r->call_us,
            .teardown_us = r->teardown_us,
            .test = r->test,
            .worker = (uint16_t) r->worker,
            .attempt = (uint8_t) r->attempt,
            .result = (uint8_t) r->result,
            .cause = (uint8_t) r->cause,
            .signal = (uint8_t) r->signal,
            .word = (uint8_t) r->word,
            .line = r->line,
        };
        dz_buf_add(&self->value, &row, sizeof(row));
        count++;
    }
    return count ? put_batch(self, txn, BATCH_RESULTS, count, err) : DZ_OK;
}

/* True once for each (source, seq), whatever batches they come in. */
static bool
is_new(struct store_job *job, uint64_t source, uint64_t seq)
{
    if (source == 0)
        return true;
    struct mark *mark = job_mark(job, source);
    if (seq <= mark->seq)
        return false;
    mark->seq = seq;
    return true;
}

static enum dz_rc
put_mark(struct append *self, struct dz_kv_txn *txn, uint64_t source, struct dz_err *err)
{
    struct key key = { .len = 0 }, seq = { .len = 0 };
    if (source == 0)
        return DZ_OK;
    key_add(&key, self->job->ulid, DZ_ULID_LEN);
    key_add_number(&key, source, 8);
    key_add_number(&seq, job_mark(self->job, source)->seq, 8);
    return dz_kv_put(txn, T_MARK, key_slice(&key), key_slice(&seq), err);
}

static enum dz_rc
put_logs(struct append *self, struct dz_kv_txn *txn, struct dz_err *err)
{
    struct store_batch *batch = self->batch;
    uint32_t count = 0;
    start_batch(self);
    for (uint32_t i = 0; i < batch->log_count; i++) {
        struct store_log *log = &batch->logs[i];
        log->is_repeat = !is_new(self->job, log->source, log->seq);
        if (log->is_repeat)
            continue;
        struct packed_log row = {
            .node = log->node,
            .first_us = log->first_us,
            .last_us = log->last_us,
            .thread = log->thread,
            .test = log->test,
            .worker = (uint16_t) log->worker,
            .attempt = (uint8_t) log->attempt,
            .kind = (uint8_t) log->kind,
            .offset = (uint32_t) self->data.len,
            .len = (uint32_t) log->text.len,
        };
        dz_buf_add(&self->value, &row, sizeof(row));
        dz_buf_add(&self->data, log->text.ptr, log->text.len);
        self->lanes |= batch_lane(log->worker);
        count++;
    }
    enum dz_rc rc = count ? put_batch(self, txn, BATCH_LOGS, count, err) : DZ_OK;
    for (uint32_t i = 0; rc == DZ_OK && i < batch->log_count; i++) {
        /* the last of a run of equal sources is enough */
        bool is_run_end =
            i + 1 == batch->log_count || batch->logs[i + 1].source != batch->logs[i].source;
        if (is_run_end && count > 0)
            rc = put_mark(self, txn, batch->logs[i].source, err);
    }
    return rc;
}

static enum dz_rc
put_spans(struct append *self, struct dz_kv_txn *txn, struct dz_err *err)
{
    struct store_batch *batch = self->batch;
    uint32_t count = 0;
    start_batch(self);
    for (uint32_t i = 0; i < batch->span_count; i++) {
        struct store_span *span = &batch->spans[i];
        span->is_repeat = !is_new(self->job, span->source, span->seq);
        if (span->is_repeat)
            continue;
        struct packed_span row = {
            .node = span->node,
            .source = span->scope ? span->scope : span->source,
            .id = span->id,
            .parent = span->parent,
            .start_us = span->start_us,
            .end_us = span->end_us,
            .test = span->test,
            .offset = (uint32_t) self->data.len,
            .worker = (uint16_t) span->worker,
            .type_len = (uint16_t) span->type.len,
            .name_len = (uint16_t) span->name.len,
            .attempt = (uint8_t) span->attempt,
            .result = (uint8_t) span->result,
        };
        dz_buf_add(&self->value, &row, sizeof(row));
        dz_buf_add(&self->data, span->type.ptr, span->type.len);
        dz_buf_add(&self->data, span->name.ptr, span->name.len);
        self->lanes |= batch_lane(span->worker);
        count++;
    }
    enum dz_rc rc = count ? put_batch(self, txn, BATCH_SPANS, count, err) : DZ_OK;
    for (uint32_t i = 0; rc == DZ_OK && count > 0 && i < batch->span_count; i++)
        if (i + 1 == batch->span_count || batch->spans[i + 1].source != batch->spans[i].source)
            rc = put_mark(self, txn, batch->spans[i].source, err);
    return rc;
}

/* Too long a text keeps how it began and how it ended, which is where people look. */
static void
cut(struct dz_slice text, struct dz_buf *out)
{
    if (text.len <= STORE_TEXT_MAX) {
        dz_buf_add(out, text.ptr, text.len);
        return;
    }
    size_t part = STORE_TEXT_MAX / 4, head = part * 3, tail = part - 64;
    dz_buf_add(out, text.ptr, head);
    dz_buf_addf(out, "\n... %zu bytes left out ...\n", text.len - head - tail);
    dz_buf_add(out, text.ptr + text.len - tail, tail);
}

static enum dz_rc
put_text(struct append *self, struct dz_kv_txn *txn, const struct store_text *text,
         struct dz_err *err)
{
    struct packed_text row = { .who = text_who(text),
                               .test = text->test,
                               .attempt = (uint8_t) text->attempt };
    struct key key = text_key(self->job->ulid, &row);
    dz_buf_add(&self->said, &row, sizeof(row));
    dz_buf_clear(&self->data);
    dz_buf_clear(&self->value);
    cut(text->text, &self->data);
    text_pack(self->job->store, dz_buf_slice(&self->data), &self->value);
    return dz_kv_put(txn, T_TEXT, key_slice(&key), dz_buf_slice(&self->value), err);
}

static enum dz_rc
put_said(struct append *self, struct dz_kv_txn *txn, struct dz_err *err)
{
    enum { PART = STORE_BATCH_MAX * sizeof(struct packed_text) };
    enum dz_rc rc = DZ_OK;
    for (size_t at = 0; rc == DZ_OK && at < self->said.len; at += PART) {
        size_t part = self->said.len - at < PART ? self->said.len - at : PART;
        start_batch(self);
        dz_buf_add(&self->value, self->said.data + at, part);
        rc = put_batch(self, txn, BATCH_TEXTS, (uint32_t) (part / sizeof(struct packed_text)), err);
    }
    return rc;
}

static enum dz_rc
put_texts(struct append *self, struct dz_kv_txn *txn, struct dz_err *err)
{
    struct store_batch *batch = self->batch;
    enum dz_rc rc = DZ_OK;
    dz_buf_clear(&self->said);
    for (uint32_t i = 0; rc == DZ_OK && i < batch->text_count; i++)
        rc = put_text(self, txn, &batch->texts[i], err);
    for (uint32_t i = 0; rc == DZ_OK && i < batch->result_count; i++) {
        const struct store_result *r = &batch->results[i];
        struct store_text text = { r->test, r->attempt, r->node, r->inc, r->exec, r->text, 0 };
        if (r->text.len > 0 && !r->is_repeat)
            rc = put_text(self, txn, &text, err);
    }
    return rc == DZ_OK ? put_said(self, txn, err) : rc;
}

enum dz_rc
append_records(struct dz_kv_txn *txn, struct store_job *job, struct store_batch *batch,
               struct dz_err *err)
{
    struct append self = { .job = job, .batch = batch };
    job->is_doubtful = true;
    enum dz_rc rc = put_results(&self, txn, err);
    if (rc == DZ_OK)
        rc = put_texts(&self, txn, err);
    if (rc == DZ_OK)
        rc = put_logs(&self, txn, err);
    if (rc == DZ_OK)
        rc = put_spans(&self, txn, err);
    dz_buf_fini(&self.value);
    dz_buf_fini(&self.data);
    dz_buf_fini(&self.said);
    return rc;
}

struct work {
    struct store_job *job;
    struct store_batch *batch;
};

static enum dz_rc
append(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct work *work = arg;
    enum dz_rc rc = job_follow(work->job, txn, err);
    return rc == DZ_OK ? append_records(txn, work->job, work->batch, err) : rc;
}

enum dz_rc
store_job_append(struct store_job *self, struct store_batch *batch, struct dz_err *err)
{
    enum dz_rc rc = append_check(self, batch, err);
    if (rc != DZ_OK)
        return rc;
    struct work work = { .job = self, .batch = batch };
    if (batch->result_count > 0 || batch->text_count > 0)
        dz_kv_sync_from_now(self->store->kv);
    rc = dz_kv_write(self->store->kv, append, &work, err);
    if (rc == DZ_OK)
        self->is_doubtful = false;
    return rc;
}
