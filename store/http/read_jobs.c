/* read_jobs.c - projects and jobs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/ulid.h"
#include "store/http/read.h"
#include "store/jot.h"

enum { JOBS = 50, JOBS_MAX = 1000, FAILURES = 100, COMMIT_LEN = 40 };

/* ---- what is asked for ---- */

bool
read_project(struct http_call *call, const char **uri_out)
{
    const char *asked = http_arg(call, "project"), *bound = call->who.project;
    if (bound && asked && strcmp(asked, bound) != 0) {
        http_problem(call, 404, "there is no project '%.200s'", asked);
        return false;
    }
    *uri_out = bound ? bound : asked;
    return true;
}

static enum dz_rc
find(struct http_call *call, const char *uri, const char *name, char ulid_out[STORE_ULID_LEN + 1],
     struct dz_err *err)
{
    if (strlen(name) == STORE_ULID_LEN && dz_ulid_read(dz_str(name), NULL)) {
        memcpy(ulid_out, name, STORE_ULID_LEN + 1);
        return DZ_OK;
    }
    if (!uri)
        return dz_fail(err, DZ_REFUSED, "'%.64s' names a job only together with ?project=", name);
    enum dz_rc rc = store_job_find(call->store, uri, name, call->now_us, ulid_out, err);
    if (rc == DZ_REFUSED && strlen(name) == COMMIT_LEN)
        rc = store_job_of_commit(call->store, uri, name, ulid_out, err);
    return rc;
}

/* Whose job it is.  Somebody else's is answered in the words of one that is not there. */
static enum dz_rc
check_seen(struct http_call *call, const char *ulid, struct dz_err *err)
{
    struct store_job_info info;
    enum dz_rc rc = store_job_info(call->store, ulid, call->now_us, &info, err);
    if (rc == DZ_OK) {
        if (call->who.project && strcmp(info.uri, call->who.project) != 0)
            rc = DZ_ABSENT;
        store_job_info_fini(&info);
    }
    return rc == DZ_ABSENT ? dz_fail(err, rc, "there is no job '%s'", ulid) : rc;
}

bool
read_job(struct http_call *call, char ulid_out[STORE_ULID_LEN + 1])
{
    return read_job_named(call, call->params[0], ulid_out);
}

bool
read_job_named(struct http_call *call, const char *name, char ulid_out[STORE_ULID_LEN + 1])
{
    const char *uri;
    struct dz_err err;
    if (!read_project(call, &uri))
        return false;
    enum dz_rc rc = find(call, uri, name, ulid_out, &err);
    if (rc == DZ_OK)
        rc = check_seen(call, ulid_out, &err);
    if (rc == DZ_OK)
        return true;
    if (rc == DZ_REFUSED && !uri)
        http_problem(call, 400, "%s", err.text);
    else if (rc == DZ_ABSENT || rc == DZ_REFUSED || rc == DZ_LIMIT)
        http_problem(call, 404, "%s", err.text);
    else
        http_problem_rc(call, rc, &err);
    return false;
}

/* ---- the next page ---- */

void
read_next(struct http_call *call, const char *name, const char *value)
{
    struct dz_buf *out = &call->link;
    const char *path = call->route->path;
    dz_buf_addf(out, "<");
    for (size_t param = 0; *path; path += strcspn(path, "/")) {
        if (*path == '/') {
            dz_buf_addf(out, "/");
            path++;
        }
        if (*path == '{')
            dz_url_add(out, call->params[param++]);
        else
            dz_buf_add(out, path, strcspn(path, "/"));
    }
    dz_buf_addf(out, "?%s=", name);
    dz_url_add(out, value);
    for (size_t i = 0; i < call->arg_count; i++) {
        if (strcmp(call->args[i].name, name) == 0)
            continue;
        dz_buf_addf(out, "&%s=", call->args[i].name);
        dz_url_add(out, call->args[i].value);
    }
    dz_buf_addf(out, ">; rel=\"next\"");
    dz_buf_add(out, "", 1);
}

/* ---- projects ---- */

static void
add_project(void *arg, const char *uri)
{
    struct http_call *call = arg;
    if (!call->who.project || strcmp(call->who.project, uri) == 0)
        jot_text(&call->out, NULL, uri);
}

void
http_get_projects(struct http_call *call)
{
    struct dz_err err;
    jot_open(&call->out, '{');
    jot_text(&call->out, "schema", "zb.projects/1");
    jot_key(&call->out, "projects");
    jot_open(&call->out, '[');
    enum dz_rc rc = store_projects(call->store, add_project, call, &err);
    jot_close(&call->out, ']');
    jot_close(&call->out, '}');
    jot_end(&call->out);
    if (rc != DZ_OK)
        http_problem_rc(call, rc, &err);
}

/* ---- jobs ---- */

static enum dz_rc
list(struct http_call *call, const char *uri, size_t limit, struct store_job_list *out,
     struct dz_err *err)
{
    const char *before = http_arg(call, "before");
    return store_jobs_before(call->store, uri, before, limit, call->now_us, out, err);
}

void
http_get_jobs(struct http_call *call)
{
    const char *uri;
    uint64_t limit;
    struct dz_err err;
    struct store_job_list jobs = { 0 };
    if (!read_project(call, &uri) || !http_arg_number(call, "limit", 1, JOBS_MAX, JOBS, &limit))
        return;
    enum dz_rc rc = list(call, uri, limit, &jobs, &err);
    if (rc == DZ_OK)
        doc_jobs_json(&call->out, &jobs);
    if (rc == DZ_OK && jobs.count == limit)
        read_next(call, "before", jobs.jobs[limit - 1].ulid);
    store_job_list_fini(&jobs);
    if (rc != DZ_OK)
        http_problem_rc(call, rc, &err);
}

void
http_get_job(struct http_call *call)
{
    char ulid[STORE_ULID_LEN + 1];
    uint64_t failures;
    struct dz_err err;
    struct doc_job job;
    if (!http_arg_number(call, "failures", 0, DOC_FAILURES_MAX, FAILURES, &failures) ||
        !read_job(call, ulid))
        return;
    enum dz_rc rc = doc_job_read(call->store, ulid, call->now_us, failures, &job, &err);
    if (rc != DZ_OK) {
        http_problem_rc(call, rc, &err);
        return;
    }
    doc_job_json(&call->out, &job);
    doc_job_fini(&job);
}
