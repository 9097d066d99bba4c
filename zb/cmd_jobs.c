/* cmd_jobs.c - zb jobs: one line for each job, newest first. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "zb/table.h"
#include "zb/zb.h"

enum { LIMIT = 20, LIMIT_MAX = 1000000, SHORT_COMMIT = 8 };

const struct argp_option cmd_jobs_options[] = {
    { "number", 'n', "N", 0, "at most N jobs (20)", 0 },
    { "all", 'a', NULL, 0, "of every project in the store", 0 },
    { 0 },
};

struct jobs {
    size_t limit;
    bool is_all;
};

static error_t
parse(int key, char *arg, struct argp_state *state)
{
    struct jobs *self = state->input;
    char *end = NULL;
    switch (key) {
    case 'a': self->is_all = true; return 0;
    case 'n':
        self->limit = strtoul(arg, &end, 10);
        if (*arg >= '0' && *arg <= '9' && !*end && self->limit > 0 && self->limit <= LIMIT_MAX)
            return 0;
        (void) fprintf(stderr, "%s: --number is a whole number from 1, not '%s'\n", state->name,
                       arg);
        return EINVAL;
    default: return zb_parse_nothing(key, arg, state);
    }
}

static void
next_step(const struct store_job_info *job, char *out, size_t size)
{
    uint32_t bad = job->verdicts[DZ_RESULT_FAILED] + job->verdicts[DZ_RESULT_CRASHED] +
                   job->verdicts[DZ_RESULT_TIMEOUT];
    if (job->state == STORE_RUNNING)
        (void) snprintf(out, size, "zb logs %s -f", job->short_id);
    else if (bad > 0)
        (void) snprintf(out, size, "zb tests %s outcome:failed", job->short_id);
    else
        (void) snprintf(out, size, "zb job %s", job->short_id);
}

static void
add_row(struct zb_table *table, const struct store_job_info *job, int64_t now_us, bool is_all)
{
    char when[ZB_WORD], span[ZB_WORD], next[ZB_WORD], again[ZB_WORD] = "";
    enum zb_tint tint;
    const char *word = zb_job_word(job, &tint);
    DZ_AUTO(zone_destroy) struct zone *zone = zone_new(job->timezone);
    struct dz_buf counts = { 0 };
    zb_job_counts(job, &counts);
    next_step(job, next, sizeof(next));
    if (job->generation > 0)
        (void) snprintf(again, sizeof(again), " (generation %u)", job->generation);
    zb_table_add(table, ZB_BOLD, "%s%s", is_all ? job->ulid : job->short_id, again);
    zb_table_add(table, ZB_PLAIN, "%s", zb_when(when, zone, job->start_us, now_us));
    zb_table_add(table, tint, "%s", word);
    zb_table_add(table, ZB_PLAIN, "%s", (char *) counts.data);
    (void) zb_span(span, job->end_us - job->start_us);
    zb_table_add(table, ZB_PLAIN, "%s", zb_job_has_length(job) ? span : "");
    zb_table_add(table, ZB_DIM, "%.*s%s", SHORT_COMMIT, job->commit, job->is_dirty ? "+" : "");
    zb_table_add(table, ZB_DIM, "%s", is_all ? job->uri : next);
    dz_buf_fini(&counts);
}

static void
print(struct zb *zb, const struct store_job_list *list, bool is_all)
{
    static const struct zb_column columns[] = {
        { "job", 0, 0, false, false },     { "when", 4, 0, false, false },
        { "verdict", 0, 0, false, false }, { "tests", 0, 22, false, false },
        { "time", 3, 0, true, false },     { "commit", 2, 0, false, false },
        { "next", 1, 0, false, false },
    };
    static const struct zb_column all_columns[] = {
        { "job", 0, 0, false, false },     { "when", 3, 0, false, false },
        { "verdict", 0, 0, false, false }, { "tests", 4, 22, false, false },
        { "time", 2, 0, true, false },     { "commit", 1, 0, false, false },
        { "project", 5, 16, false, true },
    };
    struct zb_table table = { .columns = is_all ? all_columns : columns,
                              .column_count = DZ_LEN(columns) };
    for (size_t i = 0; i < list->count; i++)
        add_row(&table, &list->jobs[i], zb->now_us, is_all);
    zb_table_print(&table, zb, 0);
}

static void
say_none(struct zb *zb, bool is_all)
{
    struct store_job_list others = { 0 };
    struct dz_err unused;
    zb_say_first_steps(zb);
    if (is_all || !zb->source ||
        zb->source->ops->jobs(zb->source, NULL, 1, &others, &unused) != DZ_OK)
        return;
    if (others.count > 0)
        zb_say(zb, "\nThis project is %s; the store has jobs of others:  zb jobs --all\n",
               zb->project.uri);
    store_job_list_fini(&others);
}

int
cmd_jobs(struct zb *zb, int argc, char **argv)
{
    struct jobs self = { .limit = LIMIT };
    struct store_job_list list = { 0 };
    struct dz_err err;
    bool is_over;
    int code = zb_parse(zb, argc, argv, parse, &self, &is_over);
    if (!is_over)
        code = zb_open_if_there(zb);
    if (is_over || code != ZB_DONE)
        return code;
    if (zb->source) {
        enum dz_rc rc = zb->source->ops->jobs(zb->source, self.is_all ? NULL : zb->project.uri,
                                              self.limit, &list, &err);
        if (rc != DZ_OK)
            return zb_fail(zb, zb_exit_of(rc), "%s", err.text);
    }
    if (zb->is_json)
        doc_jobs_json(&zb->out, &list);
    else if (list.count == 0)
        say_none(zb, self.is_all);
    else
        print(zb, &list, self.is_all);
    store_job_list_fini(&list);
    return ZB_DONE;
}
