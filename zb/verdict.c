/* verdict.c - how a job went, in a word, in a few words, and as JSON. */
#include <stdio.h>

#include "zb/zb.h"

const char *
zb_job_word(const struct store_job_info *job, enum zb_tint *tint_out)
{
    *tint_out = ZB_RED;
    if (job->state == STORE_RUNNING) {
        *tint_out = ZB_BLUE;
        return "running";
    }
    if (job->state == STORE_BROKEN)
        return "broken off";
    if (job->is_ledger_wrong)
        return "wrong count";
    bool has_bad = job->verdicts[DZ_RESULT_FAILED] + job->verdicts[DZ_RESULT_CRASHED] +
                       job->verdicts[DZ_RESULT_TIMEOUT] >
                   0;
    switch (job->exit_code) {
    case 0:
        if (has_bad)
            return "failed";
        *tint_out = ZB_GREEN;
        return "passed";
    case 2: return "stopped";
    case 5: *tint_out = ZB_YELLOW; return "no tests";
    default: return "failed";
    }
}

static void
add_count(struct dz_buf *out, size_t before, uint32_t count, const char *word)
{
    if (count > 0)
        dz_buf_addf(out, "%s%u %s", out->len > before ? ", " : "", count, word);
}

void
zb_job_counts(const struct store_job_info *job, struct dz_buf *out)
{
    static const struct {
        enum dz_result result;
        const char *word;
    } parts[] = {
        { DZ_RESULT_FAILED, "failed" },       { DZ_RESULT_CRASHED, "crashed" },
        { DZ_RESULT_TIMEOUT, "timed out" },   { DZ_RESULT_OK, "ok" },
        { DZ_RESULT_OK_FLAKY, "flaky" },      { DZ_RESULT_XPASS, "xpassed" },
        { DZ_RESULT_SKIPPED, "skipped" },     { DZ_RESULT_XFAIL, "xfailed" },
        { DZ_RESULT_REDUNDANT, "redundant" },
    };
    size_t before = out->len;
    for (size_t i = 0; i < DZ_LEN(parts); i++)
        add_count(out, before, job->verdicts[parts[i].result], parts[i].word);
    add_count(out, before, job->not_run, job->state == STORE_RUNNING ? "to do" : "not run");
    if (out->len == before && job->state == STORE_RUNNING)
        dz_buf_addf(out, "collecting");
    else if (out->len == before && job->collected == 0 && job->deselected > 0)
        dz_buf_addf(out, "all %u deselected", job->deselected);
    else if (out->len == before)
        dz_buf_addf(out, "%s", job->collected ? "nothing ran" : "nothing collected");
    dz_buf_add(out, "", 1);
}

static void
verdicts_json(struct zb *self, const struct store_job_info *job)
{
    zb_json_key(self, "tests");
    zb_json_open(self, '{');
    for (unsigned i = DZ_RESULT_NONE + 1; i < DZ_RESULTS; i++)
        zb_json_int(self, dz_result_name((enum dz_result) i), job->verdicts[i]);
    zb_json_close(self, '}');
}

void
zb_job_json(struct zb *self, const struct store_job_info *job)
{
    static const char *const states[] = {
        [STORE_RUNNING] = "running", [STORE_SEALED] = "sealed", [STORE_BROKEN] = "broken"
    };
    enum zb_tint unused;
    zb_json_text(self, "id", job->ulid);
    zb_json_text(self, "short_id", job->short_id);
    zb_json_text(self, "project", job->uri);
    zb_json_text(self, "state", states[job->state]);
    zb_json_text(self, "verdict", zb_job_word(job, &unused));
    zb_json_key(self, "exit_code");
    if (job->exit_code >= 0)
        zb_json_int(self, NULL, job->exit_code);
    else
        dz_buf_addf(&self->out, "null");
    zb_json_time(self, "start", job->start_us);
    zb_json_time(self, "end", job->state == STORE_RUNNING ? 0 : job->end_us);
    zb_json_int(self, "duration_us", job->end_us - job->start_us);
    zb_json_text(self, "commit", job->commit);
    zb_json_bool(self, "dirty", job->is_dirty);
    zb_json_text(self, "profile", job->profile);
    zb_json_text(self, "command", job->command);
    zb_json_text(self, "versions", job->versions);
    zb_json_text(self, "rootdir", job->rootdir);
    zb_json_text(self, "host", job->host);
    zb_json_text(self, "timezone", job->timezone);
    zb_json_text(self, "reason", job->reason);
    zb_json_int(self, "workers", job->workers);
    zb_json_int(self, "collected", job->collected);
    zb_json_int(self, "deselected", job->deselected);
    zb_json_int(self, "not_run", job->not_run);
    zb_json_int(self, "counted", job->counted);
    zb_json_int(self, "duplicates", job->duplicates);
    zb_json_int(self, "lost", job->lost);
    zb_json_bool(self, "ledger_wrong", job->is_ledger_wrong);
    verdicts_json(self, job);
}
