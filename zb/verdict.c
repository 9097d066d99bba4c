/* verdict.c - how a job went, in a word and in a few words. */
#include <string.h>

#include "zb/zb.h"

const char *
zb_job_word(const struct store_job_info *job, enum zb_tint *tint_out)
{
    const char *word = doc_verdict(job);
    *tint_out = ZB_RED;
    if (job->state == STORE_RUNNING)
        *tint_out = ZB_BLUE;
    else if (strcmp(word, "passed") == 0)
        *tint_out = ZB_GREEN;
    else if (strcmp(word, "no tests") == 0 || job->state == STORE_INCOMPLETE)
        *tint_out = ZB_YELLOW;
    return word;
}

bool
zb_job_has_length(const struct store_job_info *job)
{
    return job->state != STORE_BROKEN || job->end_us > job->start_us;
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
    static const char *const left[] = { [STORE_RUNNING] = "to do",
                                        [STORE_SEALED] = "not run",
                                        [STORE_BROKEN] = "not run",
                                        [STORE_INCOMPLETE] = "missing" };
    size_t before = out->len;
    if (job->state == STORE_INCOMPLETE)
        dz_buf_addf(out, "%u of %u shards", job->shards_there, job->shards);
    if (job->state == STORE_INCOMPLETE)
        add_count(out, before, job->not_run, left[job->state]);
    for (size_t i = 0; i < DZ_LEN(parts); i++)
        add_count(out, before, job->verdicts[parts[i].result], parts[i].word);
    add_count(out, before, job->as_before, "as before");
    if (job->state != STORE_INCOMPLETE)
        add_count(out, before, job->not_run, left[job->state]);
    if (out->len == before && job->state == STORE_RUNNING)
        dz_buf_addf(out, "collecting");
    else if (out->len == before && job->collected == 0 && job->deselected > 0)
        dz_buf_addf(out, "all %u deselected", job->deselected);
    else if (out->len == before)
        dz_buf_addf(out, "%s", job->collected ? "nothing ran" : "nothing collected");
    dz_buf_add(out, "", 1);
}

void
zb_say_verdict(struct zb *self, const struct store_job_info *job)
{
    enum zb_tint tint;
    char span[ZB_WORD];
    struct dz_buf counts = { 0 };
    const char *word = zb_job_word(job, &tint);
    zb_job_counts(job, &counts);
    zb_tint(self, ZB_BOLD);
    zb_say(self, "%s  ", job->short_id);
    zb_tint(self, tint);
    zb_say(self, "%s", word);
    zb_tint(self, ZB_PLAIN);
    counts.len--; /* its NUL */
    if (zb_job_has_length(job))
        dz_buf_addf(&counts, " in %s", zb_span(span, job->end_us - job->start_us));
    dz_buf_add(&counts, "", 1);
    zb_say(self, "  ");
    zb_fold(self, (char *) counts.data, (int) (strlen(job->short_id) + strlen(word)) + 4);
    dz_buf_fini(&counts);
}
