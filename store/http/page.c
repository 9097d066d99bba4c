/* page.c - what a browser sees at /: the newest jobs, as a table without a script. */
#include <stdio.h>
#include <string.h>

#include "store/doc.h"
#include "store/http/read.h"
#include "store/jot.h"
#include "store/zone.h"

enum { JOBS = 50, COMMIT_SHOWN = 8 };

static void
put(struct dz_buf *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&': dz_buf_addf(out, "&amp;"); break;
        case '<': dz_buf_addf(out, "&lt;"); break;
        case '>': dz_buf_addf(out, "&gt;"); break;
        case '"': dz_buf_addf(out, "&quot;"); break;
        default: dz_buf_add(out, text, 1);
        }
    }
}

static const char *
class_of(const struct store_job_info *job)
{
    if (job->state != STORE_SEALED)
        return job->state == STORE_RUNNING ? "running" : "broken";
    return doc_has_passed(job) ? "passed" : "failed";
}

static uint32_t
bad_of(const struct store_job_info *job)
{
    uint32_t count = 0;
    for (unsigned i = 0; i < DZ_RESULTS; i++)
        if (dz_result_is_bad((enum dz_result) i))
            count += job->verdicts[i];
    return count;
}

static void
put_job(struct dz_buf *out, const struct store_job_info *job)
{
    DZ_AUTO(zone_destroy) struct zone *zone = zone_new(job->timezone);
    struct zone_time t = zone_civil(zone, job->start_us);
    dz_buf_addf(out, "<tr><td><a href=\"/api/v1/jobs/%s\">%s</a><td>%04d-%02d-%02d %02d:%02d",
                job->ulid, job->short_id, t.year, t.month, t.day, t.hour, t.minute);
    dz_buf_addf(out, "<td class=\"%s\">", class_of(job));
    put(out, doc_verdict(job));
    dz_buf_addf(out, "<td class=\"n\">%u<td class=\"n\">%u<td class=\"n\">%.1f s<td>",
                job->collected, bad_of(job), (double) (job->end_us - job->start_us) / 1e6);
    char commit[COMMIT_SHOWN + 1];
    (void) snprintf(commit, sizeof(commit), "%s", job->commit); /* cut */
    put(out, commit);
    dz_buf_addf(out, "%s<td><small>", job->is_dirty ? "+" : "");
    put(out, job->uri);
    dz_buf_addf(out, "</small>\n");
}

void
http_get_page(struct http_call *call)
{
    const char *uri;
    struct dz_err err;
    struct store_job_list list = { 0 };
    struct dz_buf *out = &call->out;
    if (!read_project(call, &uri))
        return;
    enum dz_rc rc = store_jobs(call->store, uri, JOBS, call->now_us, &list, &err);
    if (rc != DZ_OK) {
        http_problem_rc(call, rc, &err);
        return;
    }
    call->type = "text/html; charset=utf-8";
    dz_buf_addf(out, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>dagz</title>"
                     "<meta name=\"viewport\" content=\"width=device-width\">"
                     "<link rel=\"stylesheet\" href=\"/style.css\"><h1>dagz</h1>\n");
    if (list.count == 0)
        dz_buf_addf(out, "<p>No job has run yet. <code>pytest --dagz</code> makes the first.\n");
    else
        dz_buf_addf(out, "<table><tr><th>job<th>began<th>verdict<th>tests<th>failed<th>time"
                         "<th>commit<th>project\n");
    for (size_t i = 0; i < list.count; i++)
        put_job(out, &list.jobs[i]);
    dz_buf_addf(out,
                "%s<p><small>The newest %d jobs. <code>zb</code> shows more, and <a "
                "href=\"/api/v1/openapi.json\">the API</a> has all of it.</small>\n",
                list.count ? "</table>" : "", JOBS);
    store_job_list_fini(&list);
}
