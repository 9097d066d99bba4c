/* seal.c - the end of a job: the account is compared, the durations are learned. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "shared/wire/generation.h"
#include "store/job.h"

enum { DAY_US_1000 = 86400000 }; /* thousandths: an enum is an int */

struct sealing {
    struct store_job *job;
    const struct store_seal *seal;
    bool is_wrong;
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

static enum dz_rc
learn(struct sealing *self, struct dz_kv_txn *txn, struct dz_err *err)
{
    struct store_job *job = self->job;
    DZ_AUTO(dz_buf_fini) struct dz_buf rows = { 0 };
    struct follower follower = { .store = job->store, .rows = &rows };
    enum dz_rc rc = results_follow(txn, job->ulid, &follower, err);
    if (rc != DZ_OK || rows.len == 0)
        return rc;
    DZ_AUTO(dz_free)
    struct duration_row *news = dz_alloc0(rows.len / sizeof(struct packed_result), sizeof(*news));
    size_t count = 0;
    uint32_t day = (uint32_t) (self->seal->now_us / 1000 / DAY_US_1000);
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

static void
fill_head(json_t *head, const struct sealing *self)
{
    const struct store_seal *s = self->seal;
    const struct {
        const char *key;
        int64_t number;
    } numbers[] = {
        { "is_sealed", 1 },
        { "is_ledger_wrong", self->is_wrong },
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
        { "digest", (int64_t) self->ledger.digest },
    };
    for (size_t i = 0; i < DZ_LEN(numbers); i++)
        (void) json_object_set_new(head, numbers[i].key, json_integer(numbers[i].number));
    (void) json_object_set_new(head, "reason", json_text(s->reason ? s->reason : ""));
    json_t *verdicts = json_object();
    for (unsigned i = 0; i < DZ_RESULTS; i++)
        if (self->ledger.verdicts[i] > 0)
            (void) json_object_set_new(verdicts, dz_result_name((enum dz_result) i),
                                       json_integer(self->ledger.verdicts[i]));
    (void) json_object_set_new(head, "verdicts", verdicts);
}

static enum dz_rc
seal(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct sealing *self = arg;
    DZ_AUTO(head_release) json_t *head = NULL;
    enum dz_rc rc = head_read(txn, self->job->ulid, &head, err);
    if (rc == DZ_OK)
        rc = job_read_list(self->job, txn, head, err);
    if (rc == DZ_OK)
        rc = job_follow(self->job, txn, err);
    if (rc != DZ_OK)
        return rc;
    ledger_sum(&self->job->ledger, &self->ledger);
    self->is_wrong =
        self->ledger.counted != self->seal->counted || self->ledger.digest != self->seal->digest;
    bool was_sealed = head_number(head, "is_sealed");
    if (!was_sealed)
        rc = learn(self, txn, err);
    if (rc != DZ_OK)
        return rc;
    fill_head(head, self);
    return head_write(txn, self->job->ulid, head, err);
}

enum dz_rc
store_job_seal(struct store_job *self, const struct store_seal *numbers, struct dz_err *err)
{
    struct sealing work = { .job = self, .seal = numbers };
    enum dz_rc rc = dz_kv_write(self->store->kv, seal, &work, err);
    if (rc != DZ_OK)
        return rc;
    self->is_sealed = true;
    if (work.is_wrong)
        return dz_fail(err, DZ_CORRUPT,
                       "job %s does not add up: %u results counted, the ledger holds %u%s",
                       self->short_id, numbers->counted, work.ledger.counted,
                       numbers->counted == work.ledger.counted ? " others" : "");
    return DZ_OK;
}
