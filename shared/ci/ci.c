/* ci.c - one row for each CI; the rest is the same for all. */
#include "shared/ci/ci.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/buf.h"

enum { PARTS = 3 };

/* A value joined of several variables; the first `needed` of them must be set. */
struct joined {
    const char *names[PARTS];
    unsigned needed;
};

struct provider {
    const char *name, *title;
    const char *marker; /* set by this CI and no other */
    struct joined pipeline, step, job;
    const char *index, *total; /* NULL: this CI has no slots of its own */
    unsigned first;            /* the index of the first slot */
    const char *attempt;       /* counts runs of the whole pipeline */
    const char *retry;         /* counts runs of this job under the same id; goes into `job` */
    const char *commit;
};

/* clang-format off */
static const struct provider PROVIDERS[] = {
    { "gitlab", "GitLab CI", "GITLAB_CI",
      { { "CI_PIPELINE_ID" }, 1 }, { { "CI_JOB_NAME" }, 1 }, { { "CI_JOB_ID" }, 1 },
      "CI_NODE_INDEX", "CI_NODE_TOTAL", 1, NULL, NULL, "CI_COMMIT_SHA" },
    /* The slot comes from the workflow: GitHub has no variables for it. */
    { "github", "GitHub Actions", "GITHUB_ACTIONS",
      { { "GITHUB_RUN_ID" }, 1 }, { { "GITHUB_JOB" }, 1 },
      { { "GITHUB_RUN_ID", "GITHUB_JOB", "RUNNER_TRACKING_ID" }, 2 },
      "CI_NODE_INDEX", "CI_NODE_TOTAL", 0, "GITHUB_RUN_ATTEMPT", NULL, "GITHUB_SHA" },
    { "buildkite", "Buildkite", "BUILDKITE",
      { { "BUILDKITE_BUILD_ID" }, 1 }, { { "BUILDKITE_STEP_ID" }, 1 }, { { "BUILDKITE_JOB_ID" }, 1 },
      "BUILDKITE_PARALLEL_JOB", "BUILDKITE_PARALLEL_JOB_COUNT", 0, NULL, "BUILDKITE_RETRY_COUNT",
      "BUILDKITE_COMMIT" },
    { "circleci", "CircleCI", "CIRCLECI",
      { { "CIRCLE_WORKFLOW_ID" }, 1 }, { { "CIRCLE_JOB" }, 1 },
      { { "CIRCLE_BUILD_NUM", "CIRCLE_NODE_INDEX" }, 1 },
      "CIRCLE_NODE_INDEX", "CIRCLE_NODE_TOTAL", 0, NULL, NULL, "CIRCLE_SHA1" },
    { "azure", "Azure Pipelines", "TF_BUILD",
      { { "SYSTEM_TEAMPROJECTID", "BUILD_BUILDID" }, 2 },
      { { "SYSTEM_PHASENAME", "SYSTEM_STAGENAME" }, 1 }, { { "SYSTEM_JOBID" }, 1 },
      "SYSTEM_JOBPOSITIONINPHASE", "SYSTEM_TOTALJOBSINPHASE", 1, NULL, "SYSTEM_JOBATTEMPT",
      "BUILD_SOURCEVERSION" },
    { "bitbucket", "Bitbucket Pipelines", "BITBUCKET_BUILD_NUMBER",
      { { "BITBUCKET_REPO_FULL_NAME", "BITBUCKET_BUILD_NUMBER" }, 1 }, { { NULL }, 0 },
      { { "BITBUCKET_STEP_UUID" }, 1 },
      "BITBUCKET_PARALLEL_STEP", "BITBUCKET_PARALLEL_STEP_COUNT", 0, NULL,
      "BITBUCKET_STEP_RUN_NUMBER", "BITBUCKET_COMMIT" },
    { "jenkins", "Jenkins", "JENKINS_URL",
      { { "JOB_NAME", "BUILD_NUMBER" }, 2 }, { { "STAGE_NAME" }, 0 },
      { { "BUILD_TAG", "STAGE_NAME", "EXECUTOR_NUMBER" }, 1 },
      "CI_NODE_INDEX", "CI_NODE_TOTAL", 1, NULL, NULL, "GIT_COMMIT" },
};
/* clang-format on */

struct reader {
    dz_ci_getenv_fn *get;
    void *arg;
    struct dz_ci *out;
};

/* NULL: not set, or empty. */
static const char *
value_of(const struct reader *self, const char *name)
{
    const char *value = name ? self->get(self->arg, name) : NULL;
    return value && *value ? value : NULL;
}

static void
complain(struct dz_ci *out, const char *name, const char *value, const char *why)
{
    if (out->problem[0] == '\0')
        (void) snprintf(out->problem, sizeof(out->problem), "%s=%.60s %s", name, value, why);
}

static void
tell(struct dz_ci *out, const char *what, const char *from)
{
    dz_assert(out->fact_count < DZ_CI_FACTS);
    out->facts[out->fact_count++] = (struct dz_ci_fact){ .what = what, .from = from };
}

/* The first variable that is needed and not set; NULL: none. */
static const char *
missing_of(const struct reader *self, const struct joined *parts)
{
    for (unsigned i = 0; i < parts->needed; i++)
        if (!value_of(self, parts->names[i]))
            return parts->names[i];
    return NULL;
}

/* "a/b/c" of the variables that are set; NULL when one that is needed is not.  Caller owns. */
static char *
join(const struct reader *self, const struct joined *parts, const char *what)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    if (missing_of(self, parts))
        return NULL;
    for (unsigned i = 0; i < PARTS && parts->names[i]; i++) {
        const char *value = value_of(self, parts->names[i]);
        if (value)
            dz_buf_addf(&text, "%s%.300s", text.len ? "/" : "", value);
    }
    if (text.len == 0)
        return NULL;
    tell(self->out, what, parts->names[parts->needed > 0 ? parts->needed - 1 : 0]);
    return dz_slice_dup(dz_buf_slice(&text));
}

/* A whole number of at most `max`; false: not set, or not one, which is complained about. */
static bool
number(const struct reader *self, const char *name, unsigned max, unsigned *out)
{
    const char *value = value_of(self, name);
    if (!value)
        return false;
    char *end = NULL;
    unsigned long n = isdigit((unsigned char) *value) ? strtoul(value, &end, 10) : 0;
    if (!end || *end != '\0') {
        complain(self->out, name, value, "is not a number");
        return false;
    }
    if (n > max) {
        complain(self->out, name, value, "is too large");
        return false;
    }
    *out = (unsigned) n;
    return true;
}

/* Where the slot's number of "test 2/5" begins: at the blank; the whole length if it has none. */
static size_t
bare_len(const char *step)
{
    size_t len = strlen(step), at = len;
    while (at > 0 && isdigit((unsigned char) step[at - 1]))
        at--;
    if (at == len || at == 0 || step[at - 1] != '/')
        return len;
    size_t slash = --at;
    while (at > 0 && isdigit((unsigned char) step[at - 1]))
        at--;
    return at < slash && at > 1 && step[at - 1] == ' ' ? at - 1 : len;
}

static void
read_step(const struct reader *self, const struct provider *provider)
{
    struct dz_ci *out = self->out;
    out->step = join(self, &provider->step, "step");
    if (!out->step)
        return;
    size_t len = bare_len(out->step);
    if (out->step[len] == '\0')
        return;
    (void) snprintf(out->words, sizeof(out->words), "%s without \"%.40s\"", provider->step.names[0],
                    out->step + len + 1);
    out->facts[out->fact_count - 1].from = out->words;
    out->step[len] = '\0';
}

/* Numbers of the cells of GitLab's parallel:matrix ("test: [3.12, pg]"): each is a step of its own,
 * so they say nothing about how many slots this one has. */
static bool
is_matrix_cell(const struct provider *provider, const char *step)
{
    size_t len = step ? strlen(step) : 0;
    return strcmp(provider->name, "gitlab") == 0 && len > 0 && step[len - 1] == ']' &&
           strstr(step, ": [") != NULL;
}

static void
read_slot(const struct reader *self, const char *index_name, const char *total_name, unsigned first)
{
    unsigned index = 0, total = 0;
    if (!number(self, total_name, DZ_CI_TOTAL_MAX, &total) || total == 0)
        return;
    if (!number(self, index_name, DZ_CI_TOTAL_MAX, &index)) {
        if (total > 1 && self->out->problem[0] == '\0')
            complain(self->out, total_name, value_of(self, total_name),
                     "without an index beside it");
        return;
    }
    /* A workflow that numbers from 1 where 0 was meant is understood: modulo, both are slots. */
    if (index < first || index > total) {
        complain(self->out, index_name, value_of(self, index_name), "is not one of the slots");
        return;
    }
    self->out->slot = (index - first) % total;
    self->out->total = total;
    tell(self->out, "slot", index_name);
}

static void
read_job(const struct reader *self, const struct provider *provider)
{
    struct dz_ci *out = self->out;
    out->job = join(self, &provider->job, "job");
    const char *retry = value_of(self, provider->retry);
    if (!out->job || !retry)
        return;
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    dz_buf_addf(&text, "%s/%.20s", out->job, retry);
    dz_free(&out->job);
    out->job = dz_slice_dup(dz_buf_slice(&text));
}

static void
read_provider(const struct reader *self, const struct provider *provider)
{
    struct dz_ci *out = self->out;
    out->provider = provider->name;
    out->title = provider->title;
    out->pipeline = join(self, &provider->pipeline, "pipeline");
    read_step(self, provider);
    if (!is_matrix_cell(provider, out->step))
        read_slot(self, provider->index, provider->total, provider->first);
    read_job(self, provider);
    if (number(self, provider->attempt, 1000000, &out->attempt))
        tell(out, "attempt", provider->attempt);
    const char *commit = value_of(self, provider->commit);
    if (commit) {
        out->commit = dz_strdup(commit);
        tell(out, "commit", provider->commit);
    }
    const char *missing = missing_of(self, out->pipeline ? &provider->step : &provider->pipeline);
    if (missing && out->problem[0] == '\0')
        (void) snprintf(out->problem, sizeof(out->problem),
                        "%s does not say which %s this is: %s is not set", provider->title,
                        out->pipeline ? "step" : "pipeline", missing);
}

/* A key that a person gave; it may be used on any CI and on none. */
static void
take_given(const struct reader *self, const char *key, const char *from)
{
    struct dz_ci *out = self->out;
    if (strlen(key) > DZ_CI_KEY_MAX) {
        complain(out, from, key, "is longer than a job's key may be");
        return;
    }
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    dz_buf_addf(&text, "given/%s", key);
    out->key = dz_slice_dup(dz_buf_slice(&text));
    dz_free(&out->pipeline);
    dz_free(&out->step);
    tell(out, "key", from);
    if (out->total == 0)
        read_slot(self, "CI_NODE_INDEX", "CI_NODE_TOTAL", 0);
}

static void
make_key(struct dz_ci *out, const struct provider *provider)
{
    if (!out->pipeline || (!out->step && provider->step.needed > 0))
        return;
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    dz_buf_addf(&text, "%s/%s/%s", out->provider, out->pipeline, out->step ? out->step : "");
    out->key = dz_slice_dup(dz_buf_slice(&text));
}

void
dz_ci_detect(dz_ci_getenv_fn *get, void *arg, const char *given, struct dz_ci *out)
{
    *out = (struct dz_ci){ .provider = "", .title = "no CI" };
    struct reader self = { .get = get, .arg = arg, .out = out };
    const struct provider *provider = NULL;
    for (size_t i = 0; i < DZ_LEN(PROVIDERS) && !provider; i++)
        if (value_of(&self, PROVIDERS[i].marker))
            provider = &PROVIDERS[i];
    if (provider)
        read_provider(&self, provider);
    const char *from_env = value_of(&self, "DAGZ_JOB_KEY");
    if (given && *given)
        take_given(&self, given, "--dagz-job");
    else if (from_env)
        take_given(&self, from_env, "DAGZ_JOB_KEY");
    else if (provider)
        make_key(out, provider);
}

void
dz_ci_fini(struct dz_ci *self)
{
    dz_free(&self->key);
    dz_free(&self->pipeline);
    dz_free(&self->step);
    dz_free(&self->job);
    dz_free(&self->commit);
}
