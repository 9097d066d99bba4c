/* ledger.c - the scheduler's facts and the node's lines, on their way into the store.
 *
 * One transaction takes the rows of a batch, their texts, and whatever lines have gathered: one
 * sync for all of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "vassal/host.h"

enum {
    PATIENCE_US = 3000000,    /* a store that takes nothing for so long is given up */
    LOGS_TEXT_MAX = 4 << 20,  /* bytes of lines that wait */
    LOGS_KEPT_MAX = 16 << 20, /* above this they are dropped: the disk is full */
};

/* ------------------------------------------------------------------ lines */

static void
add_log(struct host_logs *logs, const struct store_log *log)
{
    if (logs->count == logs->cap) {
        logs->cap = logs->cap ? 2 * logs->cap : 256;
        logs->items = dz_realloc(logs->items, logs->cap, sizeof(*logs->items));
    }
    struct store_log *item = &logs->items[logs->count++];
    *item = *log;
    item->text = (struct dz_slice){ .len = log->text.len };
    dz_buf_add(&logs->text, log->text.ptr, log->text.len);
}

void
host_log(void *arg, const struct uplink_log *log)
{
    struct host *self = arg;
    bool is_note = log->worker == UPLINK_NO_WORKER;
    struct store_log item = {
        .source = log->source,
        .seq = log->seq,
        .kind = is_note ? STORE_LOG_NOTE : STORE_LOG_OUTPUT,
        .first_us = log->first_us + self->wall_offset_us,
        .last_us = log->last_us + self->wall_offset_us,
        .node = self->peers.node,
        .worker = is_note ? STORE_NO_WORKER : log->worker,
        .test = host_number(self, log->test == UPLINK_NO_TEST ? STORE_NO_TEST : log->test),
        .attempt = log->attempt,
        .text = log->text,
    };
    if (self->logs.text.len < LOGS_KEPT_MAX)
        add_log(&self->logs, &item);
    self->logs.has_output |= !is_note;
    if (self->logs.text.len > LOGS_TEXT_MAX || self->logs.count >= STORE_BATCH_MAX)
        host_flush(self);
}

/* Texts became offsets when they were added, because the buffer moves while it grows. */
static void
point_to_texts(struct host_logs *logs, uint32_t from, uint32_t count)
{
    const uint8_t *at = logs->text.data;
    for (uint32_t i = 0; i < from; i++)
        at += logs->items[i].text.len;
    for (uint32_t i = from; i < from + count; i++) {
        logs->items[i].text.ptr = at;
        at += logs->items[i].text.len;
    }
}

/* They are in the store.  Returns how soon that wants to be told. */
static enum push_news
forget_logs(struct host_logs *logs)
{
    enum push_news news = logs->has_output ? PUSH_LINES : PUSH_RESULTS;
    logs->count = 0;
    logs->has_output = false;
    dz_buf_clear(&logs->text);
    return news;
}

/* ------------------------------------------------------------------ texts */

void
host_said(void *arg, const struct cargo_item *item)
{
    struct host *self = arg;
    struct host_texts *texts = &self->texts;
    struct dz_slice text = cargo_text(item);
    if (text.len == 0 || texts->count == STORE_BATCH_MAX)
        return; /* and the store need not know this node's tests */
    uint32_t test = host_number(self, item->outcome.what.test);
    if (test == STORE_NO_TEST)
        return;
    if (texts->count == texts->cap) {
        texts->cap = texts->cap ? 2 * texts->cap : 16;
        texts->items = dz_realloc(texts->items, texts->cap, sizeof(*texts->items));
    }
    texts->items[texts->count++] = (struct store_text){
        .test = test,
        .attempt = item->outcome.what.attempt,
        .node = self->peers.node,
        .inc = item->outcome.inc,
        .exec = item->outcome.exec,
        .text = { (uint8_t *) dz_slice_dup(text), text.len },
    };
}

void
host_forget_texts(struct host *self)
{
    for (uint32_t i = 0; i < self->texts.count; i++)
        free((void *) (uintptr_t) self->texts.items[i].text.ptr);
    self->texts.count = 0;
}

static void
write_texts(struct host *self)
{
    struct dz_err err;
    struct store_batch batch = { .texts = self->texts.items, .text_count = self->texts.count };
    if (self->texts.count == 0)
        return;
    if (store_job_append(self->job, &batch, &err) != DZ_OK)
        log_warn("store.refuses_texts", "count=%u why=%s", self->texts.count, err.text);
    host_forget_texts(self);
    host_poke(self, PUSH_RESULTS);
}

void
host_flush(void *arg)
{
    struct host *self = arg;
    struct host_logs *logs = &self->logs;
    dz_loop_unset(self->loop, &self->lines);
    if (self->job)
        write_texts(self);
    if ((logs->count == 0 && self->chronicle.count == 0) || !self->job)
        return;
    dz_us begin = dz_clock_us();
    for (uint32_t at = 0; at < logs->count || self->chronicle.count > 0;) {
        uint32_t count = logs->count - at < STORE_BATCH_MAX ? logs->count - at : STORE_BATCH_MAX;
        point_to_texts(logs, at, count);
        struct store_batch batch = { .logs = logs->items + at,
                                     .log_count = count,
                                     .spans = chronicle_spans(&self->chronicle),
                                     .span_count = self->chronicle.count };
        struct dz_err err;
        if (store_job_append(self->job, &batch, &err) != DZ_OK) {
            log_warn("store.refuses_lines", "count=%u why=%s", count, err.text);
            break; /* results matter more: what does not fit is dropped */
        }
        chronicle_clear(&self->chronicle);
        at += count;
    }
    self->lines_took_us = dz_clock_us() - begin;
    chronicle_clear(&self->chronicle);
    host_poke(self, forget_logs(logs));
}

/* ------------------------------------------------------------------ memory */

/* What counts for this test and attempt; NULL: no such test. */
static uint8_t *
place_of(struct host *self, uint32_t test, uint32_t attempt)
{
    return test < self->test_count && attempt < STORE_ATTEMPTS
               ? &self->memory.counted[(size_t) test * STORE_ATTEMPTS + attempt]
               : NULL;
}

static void
count_one(struct host *self, uint8_t *place, uint32_t test, uint32_t attempt, uint32_t result)
{
    *place = (uint8_t) result;
    self->memory.rows++;
    self->memory.digest += dz_ledger_mix(test, attempt, result);
}

static void
remember(void *arg, const struct store_result *row)
{
    uint32_t test = host_test_of(arg, row->test);
    uint8_t *place = place_of(arg, test, row->attempt);
    if (place && row->word == DZ_WORD_COUNTED)
        count_one(arg, place, test, row->attempt, (uint32_t) row->result);
}

/* From here on the job is counted in memory. */
void
host_forgo_store(struct host *self, const char *why)
{
    static const char text[] = "the store takes no results any more; this run is counted in memory "
                               "and not kept: ";
    DZ_AUTO(dz_buf_fini) struct dz_buf note = { 0 };
    dz_buf_addf(&note, "%s%s", text, why);
    self->memory.counted = dz_alloc0(self->test_count + 1, STORE_ATTEMPTS);
    struct dz_err err;
    if (store_job_each_row(self->job, remember, self, &err) != DZ_OK)
        log_warn("store.unreadable", "why=%s", err.text);
    agent_note(self->agent, 2, dz_buf_slice(&note));
}

static void
count_in_memory(struct host *self, const struct coord_record *rows, size_t count,
                struct coord_answer *answers)
{
    for (size_t i = 0; i < count; i++) {
        const struct coord_record *row = &rows[i];
        uint8_t *place = place_of(self, row->what.test, row->what.attempt);
        bool is_open = place && *place == DZ_RESULT_NONE;
        answers[i].word = row->is_history ? DZ_WORD_STRIKE
                          : is_open       ? DZ_WORD_COUNTED
                                          : DZ_WORD_DUPLICATE;
        if (answers[i].word == DZ_WORD_COUNTED)
            count_one(self, place, row->what.test, row->what.attempt, row->result);
        answers[i].counts = place ? *place : DZ_RESULT_NONE;
    }
}

/* ------------------------------------------------------------------ rows */

static void
fill_result(struct host *self, const struct coord_record *row, struct store_result *out)
{
    *out = (struct store_result){
        .test = host_number(self, row->what.test),
        .attempt = row->what.attempt,
        .node = row->node,
        .inc = row->inc,
        .exec = row->exec,
        .result = (enum dz_result) row->result,
        .worker = row->slot,
        .start_us = row->start_us + self->wall_offset_us,
        .setup_us = row->setup_us,
        .call_us = row->call_us,
        .teardown_us = row->teardown_us,
        .line = row->line,
        .is_strike = row->is_history,
    };
    struct cargo_item *item =
        row->node == self->peers.node ? agent_item(self->agent, row->inc, row->exec) : NULL;
    if (!item)
        return; /* of another node: its text comes from there */
    out->text = cargo_text(item);
    out->signal = item->signal;
    out->cause = item->cause;
}

/* At most STORE_BATCH_MAX rows, with the lines that wait. */
static enum dz_rc
append(struct host *self, const struct coord_record *rows, uint32_t count,
       struct coord_answer *answers, struct dz_err *err)
{
    DZ_AUTO(dz_free) struct store_result *results = dz_alloc0(count + 1, sizeof(*results));
    for (uint32_t i = 0; i < count; i++)
        fill_result(self, &rows[i], &results[i]);
    uint32_t log_count = self->logs.count <= STORE_BATCH_MAX ? self->logs.count : 0;
    point_to_texts(&self->logs, 0, log_count);
    struct store_batch batch = { .results = results,
                                 .result_count = count,
                                 .logs = self->logs.items,
                                 .log_count = log_count,
                                 .spans = chronicle_spans(&self->chronicle),
                                 .span_count = self->chronicle.count };
    enum dz_rc rc = store_job_append(self->job, &batch, err);
    if (rc != DZ_OK)
        return rc;
    chronicle_clear(&self->chronicle);
    host_poke(self, log_count > 0 ? forget_logs(&self->logs) : PUSH_RESULTS);
    for (uint32_t i = 0; i < count; i++)
        answers[i] = (struct coord_answer){ .word = results[i].word,
                                            .is_repeat = results[i].is_repeat,
                                            .counts = (uint32_t) results[i].counts };
    return DZ_OK;
}

static enum dz_rc
write_rows(struct host *self, const struct coord_record *rows, size_t count,
           struct coord_answer *answers, struct dz_err *err)
{
    for (size_t at = 0; at < count; at += STORE_BATCH_MAX) {
        size_t left = count - at;
        uint32_t part = (uint32_t) (left < STORE_BATCH_MAX ? left : STORE_BATCH_MAX);
        enum dz_rc rc = append(self, rows + at, part, answers + at, err);
        if (rc != DZ_OK)
            return rc; /* parts that are in are repeats the next time: same answers */
    }
    return DZ_OK;
}

static enum dz_rc
count_rows(void *arg, const struct coord_record *rows, size_t count, struct coord_answer *answers,
           struct dz_err *err)
{
    struct host *self = arg;
    if (!self->memory.counted) {
        enum dz_rc rc = write_rows(self, rows, count, answers, err);
        dz_us now = dz_clock_us();
        if (rc == DZ_OK)
            self->failing_since = 0;
        else if (self->failing_since == 0)
            self->failing_since = now;
        if (rc == DZ_OK || now - self->failing_since < PATIENCE_US)
            return rc;
        host_forgo_store(self, err->text);
    }
    count_in_memory(self, rows, count, answers);
    return DZ_OK;
}

static void
tell_difference(struct host *self)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    dz_buf_addf(&text,
                "nodes collected different tests: %u of %u are not of the one that scheduled",
                self->brought, self->test_count);
    agent_note(self->agent, 1, dz_buf_slice(&text));
}

/* The job's own seal follows when the exit code is known. Should this process die until then, it is
 * known what it would have said: by the store, and by nodes that were told SEAL. */
static void
tell_peers(struct host *self, const struct dz_account *account)
{
    struct dz_epoch epoch = { self->leading.as.lead.n, self->peers.node, self->peers.inc };
    struct store_seal seal = host_witness(self, account);
    bool is_good = seal.exit_code == 0;
    struct dz_err err;
    peers_sealed(&self->peers, &epoch, is_good, &seal);
    if (self->url || !self->peers.is_meeting || self->leading.as.lead.shard_total > 1 ||
        self->memory.counted)
        return;
    enum dz_rc rc = store_job_witness(self->job, &seal, &err);
    if (rc == DZ_OK)
        rc = store_job_seal_witnessed(self->job, &err);
    if (rc != DZ_OK)
        log_warn("store.witness", "why=%s", err.text);
}

static enum dz_rc
seal(void *arg, const struct dz_account *account, struct coord_closed *out, struct dz_err *err)
{
    struct host *self = arg;
    if (self->brought > 0)
        tell_difference(self);
    tell_peers(self, account);
    if (self->memory.counted) {
        *out = (struct coord_closed){ self->memory.rows, self->memory.digest, false };
        return DZ_OK;
    }
    struct store_ledger ledger = { 0 };
    enum dz_rc rc = store_job_ledger(self->job, &ledger, err);
    *out = (struct coord_closed){ .count = 0 };
    out->is_stored = self->upload && upload_stored(self->upload) >= ledger.executions;
    return rc == DZ_OK ? host_account(self, &out->count, &out->digest, err) : rc;
}

/* Rows on their way to the server are those of the folder's ledger, history too. */
static uint64_t
rows(void *arg)
{
    struct host *self = arg;
    struct store_ledger ledger = { 0 };
    struct dz_err err;
    if (self->memory.counted || store_job_ledger(self->job, &ledger, &err) != DZ_OK)
        return UINT64_MAX; /* they will never be there */
    return ledger.executions;
}

/* ------------------------------------------------------------------ rows of earlier agents */

struct gathering {
    const struct host *host;
    struct coord_row *rows; /* owned */
    size_t count, cap;
};

static void
gather(void *arg, const struct store_result *row)
{
    struct gathering *self = arg;
    uint32_t test = host_test_of(self->host, row->test);
    if (test == STORE_NO_TEST)
        return; /* no list has it: the row is damaged */
    if (self->count == self->cap) {
        self->cap = self->cap ? 2 * self->cap : 1024;
        self->rows = dz_realloc(self->rows, self->cap, sizeof(*self->rows));
    }
    self->rows[self->count++] = (struct coord_row){
        .what = { .test = test, .attempt = row->attempt },
        .result = (uint32_t) row->result,
        .node = row->node,
        .inc = row->inc,
        .exec = row->exec,
        .is_counted = row->word == DZ_WORD_COUNTED,
    };
}

static enum dz_rc
all_rows(struct host *self, struct coord_row **rows_out, size_t *count_out, struct dz_err *err)
{
    struct gathering gathering = { .host = self };
    enum dz_rc rc = store_job_each_row(self->job, gather, &gathering, err);
    *rows_out = gathering.rows;
    *count_out = gathering.count;
    return rc;
}

enum dz_rc
host_rows(struct host *self, struct coord_row **rows_out, size_t *count_out, struct dz_err *err)
{
    *rows_out = NULL;
    *count_out = 0;
    return self->has_rows ? all_rows(self, rows_out, count_out, err) : DZ_OK;
}

/* ------------------------------------------------------------------ the scheduler's host */

static void
persist(void *arg, uint64_t n)
{
    struct host *self = arg;
    agent_persist_epoch(self->agent, n);
}

static void
note(void *arg, unsigned severity, struct dz_slice text)
{
    struct host *self = arg;
    agent_note(self->agent, severity, text);
}

static void
line(void *arg, struct dz_slice text)
{
    struct host *self = arg;
    dz_us now = dz_clock_us();
    struct uplink_log log = { .first_us = now,
                              .last_us = now,
                              .worker = UPLINK_NO_WORKER,
                              .test = UPLINK_NO_TEST,
                              .text = text };
    host_log(self, &log);
}

/* Tests that only other nodes have: the store's list grows.  If it cannot, the job is counted in
 * memory from here on. */
static enum dz_rc
more_tests(void *arg, uint32_t first, const struct dz_slice *ids, size_t count, struct dz_err *err)
{
    struct host *self = arg;
    dz_assert(first == self->test_count);
    bool was_in_memory = self->memory.counted != NULL;
    enum dz_rc rc = was_in_memory ? DZ_OK : host_bring_tests(self, ids, (uint32_t) count, err);
    self->test_count += (uint32_t) count;
    self->brought += (uint32_t) count;
    if (rc != DZ_OK)
        host_forgo_store(self, err->text);
    if (!was_in_memory)
        return DZ_OK;
    self->memory.counted = dz_realloc(self->memory.counted, self->test_count + 1, STORE_ATTEMPTS);
    memset(self->memory.counted + (size_t) first * STORE_ATTEMPTS, 0, (count + 1) * STORE_ATTEMPTS);
    return DZ_OK;
}

static enum dz_rc
reread(void *arg, struct coord_row **rows_out, size_t *count_out, struct dz_err *err)
{
    struct host *self = arg;
    *rows_out = NULL;
    *count_out = 0;
    return self->memory.counted ? DZ_OK : all_rows(self, rows_out, count_out, err);
}

struct coordinator_host
host_for_coordinator(struct host *self)
{
    return (struct coordinator_host){ .arg = self,
                                      .send = host_send,
                                      .deposed = host_deposed,
                                      .tests = more_tests,
                                      .persist = persist,
                                      .count = count_rows,
                                      .seal = seal,
                                      .rows = self->coord_cfg.has_store ? rows : NULL,
                                      .reread = reread,
                                      .note = note,
                                      .node = host_tell_node,
                                      .line = line };
}
