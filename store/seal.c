/* seal.c - the end of a job: the account is compared, the durations are learned. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "shared/wire/generation.h"
#include "store/shards.h"

enum { DAY_US_1000 = 86400000 }; /* thousandths: an enum is an int */

struct sealing {
    struct store_job *job;
    struct store_seal *seal;
    bool is_wrong, is_done, is_witnessed, has_shards;
    struct store_ledger ledger;
};

/* What a test took, if its counted executions tell anything: skips and crashes do not. */
static bool
teaches(const struct packed_result *row)
{
    switch ((enum dz_result) row->result) {
    case DZ_RESULT_OK:
    case DZ_RESULT_OK_FLAKY:
    case DZ_RESULT_FAILED:
    case DZ_RESULT_XFAIL:
    case DZ_RESULT_XPASS: return row->word == DZ_WORD_COUNTED;
    case DZ_RESULT_NONE:
    case DZ_RESULT_CRASHED:
    case DZ_RESULT_TIMEOUT:
    case DZ_RESULT_SKIPPED:
    case DZ_RESULT_REDUNDANT:
    case DZ_RESULTS: break;
    }
    return false;
}

enum dz_rc
seal_learn(struct dz_kv_txn *txn, struct store_job *job, int64_t now_us, struct dz_err *err)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf rows = { 0 };
    struct follower follower = { .store = job->store, .rows = &rows };
    enum dz_rc rc = results_follow(txn, job->ulid, &follower, err);
    if (rc != DZ_OK || rows.len == 0)
        return rc;
    DZ_AUTO(dz_free)
    struct duration_row *news = dz_alloc0(rows.len / sizeof(struct packed_result), sizeof(*news));
    size_t count = 0;
    uint32_t day = (uint32_t) (now_us / 1000 / DAY_US_1000);
    struct packed_result row;
    for (size_t at = 0; at + sizeof(row) <= rows.len; at += sizeof(row)) {
        memcpy(&row, rows.data + at, sizeof(row));
        double us = (double) (row.setup_us + row.call_us + row.teardown_us);
        if (row.test < job->test_count && row.node != DZ_NODE_CARRIED && teaches(&row))
            news[count++] = (struct duration_row){
                .id = job->hashes[row.test],
                .log_mean = (float) log(us < 1 ? 1 : us),
                .weight = 1,
                .day = day,
            };
    }
    return durations_learn(txn, job->project, job->profile, news, count, err);
}

void
seal_fill(json_t *head, const struct store_seal *s, const struct store_ledger *ledger)
{
    const struct {
        const char *key;
        int64_t number;
    } numbers[] = {
        { "is_witnessed", s->is_witnessed },
        { "end_us", s->now_us },
        { "exit_code", s->exit_code },
        { "collected", s->collected },
        { "deselected", s->deselected },
        { "redundant", s->redundant },
        { "not_run", s->not_run },
        { "counted", s->counted },
        { "duplicates", s->duplicates },
        { "lost", s->lost },
        { "nodes", s->nodes },
        { "sealed_workers", s->workers },
        { "digest", (int64_t) ledger->digest },
    };
    for (size_t i = 0; i < DZ_LEN(numbers); i++)
        (void) json_object_set_new(head, numbers[i].key, json_integer(numbers[i].number));
    (void) json_object_set_new(head, "reason", json_text(s->reason ? s->reason : ""));
    json_t *verdicts = json_object();
    for (unsigned i = 0; i < DZ_RESULTS; i++)
        if (ledger->verdicts[i] > 0)
            (void) json_object_set_new(verdicts, dz_result_name((enum dz_result) i),
                                       json_integer(ledger->verdicts[i]));
    (void) json_object_set_new(head, "verdicts", verdicts);
}

/* As it was told; whose rows count is the ledger's business. */
json_t *
seal_text(const struct store_seal *seal)
{
    static const struct store_ledger nothing;
    json_t *told = json_object();
    seal_fill(told, seal, &nothing);
    return told;
}

/* What came since the seal was told was counted nevertheless. */
static void
take_ledger(struct store_seal *seal, const struct store_ledger *ledger)
{
    uint32_t more = ledger->counted > seal->counted ? ledger->counted - seal->counted : 0;
    seal->not_run -= more < seal->not_run ? more : seal->not_run;
    seal->counted = ledger->counted;
    seal->digest = ledger->digest;
}

static enum dz_rc
seal(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct sealing *self = arg;
    DZ_AUTO(head_release) json_t *head = NULL;
    enum dz_rc rc = job_catch_up(self->job, txn, &head, err);
    if (rc != DZ_OK)
        return rc;
    if (shards_are_in(head)) {
        rc = shards_settle_led(txn, self->job, head, self->seal, err);
        self->has_shards = true; /* so that it may be incomplete */
        self->is_wrong = head_number(head, "is_ledger_wrong");
        ledger_sum(&self->job->ledger, &self->ledger);
        return rc;
    }
    ledger_sum(&self->job->ledger, &self->ledger);
    if (self->seal->is_witnessed)
        take_ledger(self->seal, &self->ledger);
    self->is_wrong =
        self->ledger.counted != self->seal->counted || self->ledger.digest != self->seal->digest;
    bool was_sealed = head_number(head, "is_sealed");
    self->is_done = was_sealed && self->seal->is_witnessed;
    self->is_witnessed =
        self->is_done ? head_number(head, "is_witnessed") : self->seal->is_witnessed;
    if (self->is_done)
        return DZ_OK;
    if (!was_sealed)
        rc = seal_learn(txn, self->job, self->seal->now_us, err);
    if (rc != DZ_OK)
        return rc;
    (void) json_object_set_new(head, "is_sealed", json_integer(1));
    (void) json_object_set_new(head, "is_ledger_wrong", json_integer(self->is_wrong));
    seal_fill(head, self->seal, &self->ledger);
    return head_write(txn, self->job->ulid, head, err);
}

enum dz_rc
seal_read(const json_t *seal, struct store_seal *out, struct dz_err *err)
{
    static const char *const fields[] = { "collected",      "deselected", "redundant", "not_run",
                                          "counted",        "duplicates", "lost",      "nodes",
                                          "sealed_workers", "exit_code" };
    for (size_t i = 0; i < DZ_LEN(fields); i++)
        if (!head_is_number(seal, fields[i], INT32_MAX))
            return dz_fail(err, DZ_CORRUPT, "a seal whose '%s' makes no sense", fields[i]);
    if (!head_is_number(seal, "end_us", HEAD_TIME_MAX) ||
        strlen(head_text(seal, "reason")) > HEAD_TEXT_MAX)
        return dz_fail(err, DZ_CORRUPT, "a seal that makes no sense");
    *out = (struct store_seal){
        .collected = (uint32_t) head_number(seal, "collected"),
        .deselected = (uint32_t) head_number(seal, "deselected"),
        .redundant = (uint32_t) head_number(seal, "redundant"),
        .not_run = (uint32_t) head_number(seal, "not_run"),
        .counted = (uint32_t) head_number(seal, "counted"),
        .duplicates = (uint32_t) head_number(seal, "duplicates"),
        .lost = (uint32_t) head_number(seal, "lost"),
        .nodes = (uint32_t) head_number(seal, "nodes"),
        .workers = (uint32_t) head_number(seal, "sealed_workers"),
        .digest = (uint64_t) head_number(seal, "digest"),
        .exit_code = (int) head_number(seal, "exit_code"),
        .now_us = head_number(seal, "end_us"),
        .reason = head_text(seal, "reason"),
    };
    return DZ_OK;
}

enum dz_rc
store_job_seal(struct store_job *self, const struct store_seal *numbers, struct dz_err *err)
{
    struct store_seal seals = *numbers;
    struct sealing work = { .job = self, .seal = &seals };
    dz_kv_sync_from_now(self->store->kv);
    enum dz_rc rc = dz_kv_write(self->store->kv, seal, &work, err);
    if (rc != DZ_OK)
        return rc;
    if (!work.has_shards) {
        self->is_sealed = true;
        self->is_witnessed = work.is_witnessed;
    }
    if (work.is_wrong)
        return dz_fail(err, DZ_CORRUPT,
                       "job %s does not add up: %u results counted, the ledger holds %u%s",
                       self->short_id, numbers->counted, work.ledger.counted,
                       numbers->counted == work.ledger.counted ? " others" : "");
    return DZ_OK;
}
