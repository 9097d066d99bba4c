/* remote.c - facts from a server: the documents of /api/v1, which are those that --json prints. */
#include "zb/remote.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"

enum {
    TIMEOUT_MS = 30000,
    ANSWER_MAX = 256 << 20,
    JOBS_PAGE = 1000,
    TESTS_PAGE = 10000,
    TEXTS_PAGE = 1000,
    SPANS_PAGE = 10000,
    LOOK_MS = 250,              /* between two questions about the same, if no events tell when */
    GAP_MS = 40,                /* the least between two, however much is going on */
    LISTEN_AGAIN_MS = 5000,     /* a stream that ended is not begun anew before */
    LISTEN_MAX_MS = 600 * 1000, /* of one stream */
    HEARTBEAT_MAX = 2,          /* bytes: an empty line of a stream is no news */
};

static struct remote *
self_of(struct source *source)
{
    return (struct remote *) (void *) source;
}

/* ---- asking ---- */

void
remote_path(struct dz_buf *path, const char *text)
{
    dz_buf_add(path, text, strlen(text));
}

void
remote_value(struct dz_buf *path, const char *name, const char *value)
{
    if (!value)
        return;
    dz_buf_addf(path, "%c%s=", memchr(path->data, '?', path->len) ? '&' : '?', name);
    dz_url_add(path, value);
}

void
remote_number(struct dz_buf *path, const char *name, int64_t value)
{
    char text[24];
    (void) snprintf(text, sizeof(text), "%lld", (long long) value);
    remote_value(path, name, text);
}

/* A problem says in its own words what is wrong. */
static enum dz_rc
refuse(const struct remote *self, int status, const struct dz_buf *body, struct dz_err *err)
{
    json_error_t unused;
    json_t *problem = json_loadb((const char *) body->data, body->len, 0, &unused);
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    enum dz_rc rc = DZ_IO;
    if (!detail)
        rc = dz_fail(err, DZ_IO, "%s answers with %d: is it the store?", self->url, status);
    else if (status == 404)
        rc = dz_fail(err, DZ_ABSENT, "%s", detail);
    else if (status == 401 || status == 403)
        rc = dz_fail(err, DZ_REFUSED, "%s: %s", self->url, detail);
    else if (status == 400)
        rc = dz_fail(err, DZ_LIMIT, "%s", detail);
    else
        rc = dz_fail(err, DZ_IO, "%s: %s", self->url, detail);
    json_decref(problem);
    return rc;
}

enum dz_rc
remote_get_part(struct remote *self, struct dz_buf *path, struct dz_buf *body_out,
                int64_t *place_out, struct dz_err *err)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf url = { 0 };
    struct dz_err why;
    int status = 0;
    dz_buf_addf(&url, "%s/api/v1", self->url);
    dz_buf_add(&url, path->data, path->len);
    dz_buf_add(&url, "", 1);
    struct dz_http_ask ask = { .method = "GET",
                               .url = (char *) url.data,
                               .answer_max = ANSWER_MAX,
                               .timeout_ms = TIMEOUT_MS,
                               .number_name = "Dagz-Place",
                               .number_out = place_out };
    enum dz_rc rc = dz_http_call(self->http, &ask, &status, body_out, &why);
    if (rc != DZ_OK)
        return dz_fail(err, DZ_CLOSED, "the store at %.100s does not answer: %.120s", self->url,
                       why.text);
    return status == 200 ? DZ_OK : refuse(self, status, body_out, err);
}

enum dz_rc
remote_get(struct remote *self, struct dz_buf *path, struct dz_buf *body_out, struct dz_err *err)
{
    return remote_get_part(self, path, body_out, NULL, err);
}

static enum dz_rc
check_schema(const struct remote *self, const json_t *doc, const char *schema, struct dz_err *err)
{
    const char *is = json_string_value(json_object_get(doc, "schema"));
    if (!is)
        return dz_fail(err, DZ_CORRUPT, "%s does not answer as a store does", self->url);
    if (strcmp(is, schema) != 0)
        return dz_fail(err, DZ_VERSION, "%s speaks %.40s, this zb %s", self->url, is, schema);
    return DZ_OK;
}

enum dz_rc
remote_document(struct remote *self, struct dz_buf *path, const char *schema, json_t **out,
                struct dz_err *err)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf body = { 0 };
    json_error_t unused;
    enum dz_rc rc = remote_get(self, path, &body, err);
    if (rc != DZ_OK)
        return rc;
    json_t *doc = json_loadb((const char *) body.data, body.len, JSON_ALLOW_NUL, &unused);
    rc = check_schema(self, doc, schema, err);
    if (rc == DZ_OK)
        *out = doc;
    else
        json_decref(doc);
    return rc;
}

enum dz_rc
remote_lines(struct remote *self, struct dz_buf *body, const char *schema, remote_line_fn *fn,
             void *arg, struct dz_err *err)
{
    struct dz_slice rest = dz_buf_slice(body);
    while (rest.len > 0) {
        json_error_t unused;
        const uint8_t *end = memchr(rest.ptr, '\n', rest.len);
        size_t len = end ? (size_t) (end - rest.ptr) : rest.len;
        json_t *line = json_loadb((const char *) rest.ptr, len, JSON_ALLOW_NUL, &unused);
        enum dz_rc rc = check_schema(self, line, schema, err);
        if (rc == DZ_OK)
            fn(arg, line);
        json_decref(line);
        if (rc != DZ_OK)
            return rc;
        len += end != NULL;
        rest = (struct dz_slice){ rest.ptr + len, rest.len - len };
    }
    return DZ_OK;
}

/* ---- jobs ---- */

/* One page: those before `before`.  Appends to *out. */
static enum dz_rc
jobs_page(struct remote *self, const char *uri, const char *before, size_t limit,
          struct store_job_list *out, struct dz_err *err)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf path = { 0 };
    json_t *doc = NULL;
    remote_path(&path, "/jobs");
    remote_number(&path, "limit", (int64_t) limit);
    remote_value(&path, "project", uri);
    remote_value(&path, "before", before);
    enum dz_rc rc = remote_document(self, &path, "zb.jobs/1", &doc, err);
    if (rc != DZ_OK)
        return rc;
    const json_t *list = json_object_get(doc, "jobs");
    size_t count = json_array_size(list);
    out->jobs = dz_realloc(out->jobs, out->count + count + 1, sizeof(*out->jobs));
    for (size_t i = 0; i < count; i++)
        remote_read_info(json_array_get(list, i), &out->jobs[out->count++]);
    json_decref(doc);
    return DZ_OK;
}

static enum dz_rc
remote_jobs(struct source *source, const char *uri, size_t limit, struct store_job_list *out,
            struct dz_err *err)
{
    struct store_job_list list = { 0 };
    enum dz_rc rc = DZ_OK;
    for (size_t before = SIZE_MAX; rc == DZ_OK && list.count < limit && list.count != before;) {
        size_t left = limit - list.count;
        before = list.count;
        rc = jobs_page(self_of(source), uri, before ? list.jobs[before - 1].ulid : NULL,
                       left < JOBS_PAGE ? left : JOBS_PAGE, &list, err);
    }
    if (rc == DZ_OK)
        *out = list;
    else
        store_job_list_fini(&list);
    return rc;
}

static bool
remote_knows_project(struct source *source, const char *uri)
{
    struct store_job_list list = { 0 };
    struct dz_err unused;
    bool is_known = remote_jobs(source, uri, 1, &list, &unused) == DZ_OK && list.count > 0;
    store_job_list_fini(&list);
    return is_known;
}

static enum dz_rc
get_job(struct source *source, const char *uri, const char *name, size_t failures, json_t **out,
        struct dz_err *err)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf path = { 0 };
    remote_path(&path, "/jobs/");
    dz_url_add(&path, name);
    remote_number(&path, "failures", (int64_t) failures);
    remote_value(&path, "project", uri);
    return remote_document(self_of(source), &path, "zb.job/1", out, err);
}

static enum dz_rc
remote_find_by_commit(struct source *source, const char *uri, const char *commit,
                      char ulid_out[STORE_ULID_LEN + 1], struct dz_err *err)
{
    struct store_job_info info;
    json_t *doc = NULL;
    enum dz_rc rc = get_job(source, uri, commit, 0, &doc, err);
    if (rc != DZ_OK)
        return rc;
    remote_read_info(doc, &info);
    memcpy(ulid_out, info.ulid, STORE_ULID_LEN + 1);
    store_job_info_fini(&info);
    json_decref(doc);
    return DZ_OK;
}

/* What cannot be a revision is not looked for in git. */
static enum dz_rc
remote_find(struct source *source, const char *uri, const char *spec,
            char ulid_out[STORE_ULID_LEN + 1], struct dz_err *err)
{
    bool is_name = strcmp(spec, "latest") == 0 || strncmp(spec, "@{", 2) == 0 ||
                   (*spec == 'j' && strspn(spec + 1, "0123456789.-") == strlen(spec + 1));
    enum dz_rc rc = remote_find_by_commit(source, uri, spec, ulid_out, err);
    return rc == DZ_ABSENT && !is_name ? DZ_AGAIN : rc;
}

static enum dz_rc
remote_info(struct source *source, const char *ulid, struct store_job_info *out, struct dz_err *err)
{
    struct remote *self = self_of(source);
    json_t *doc = NULL;
    enum dz_rc rc = get_job(source, NULL, ulid, 0, &doc, err);
    (void) snprintf(self->watched, sizeof(self->watched), "%s", ulid);
    if (rc == DZ_OK)
        remote_read_info(doc, out);
    json_decref(doc);
    return rc;
}

static enum dz_rc
remote_job(struct source *source, const char *ulid, size_t failures_max, struct doc_job *out,
           struct dz_err *err)
{
    json_t *doc = NULL;
    enum dz_rc rc = get_job(source, NULL, ulid, failures_max, &doc, err);
    if (rc == DZ_OK)
        remote_read_job(doc, out);
    json_decref(doc);
    return rc;
}

/* ---- tests ---- */

struct tests_page {
    doc_test_fn *fn;
    void *arg;
    uint32_t count;
};

static void
give_test(void *arg, json_t *line)
{
    struct tests_page *page = arg;
    struct doc_test test;
    remote_read_test(line, &test);
    page->count++;
    page->fn(page->arg, &test);
    doc_test_fini(&test);
}

static void
tests_path(struct dz_buf *path, const char *ulid, char *const *words, size_t word_count,
           const struct doc_tests_ask *ask)
{
    static const char *const orders[] = { "id", "duration", "start" };
    dz_buf_addf(path, "/jobs/%s/tests?sort=%s", ulid, orders[ask->order]);
    for (size_t i = 0; i < word_count; i++)
        remote_value(path, "q", words[i]);
    if (ask->wants_text)
        remote_number(path, "text", 1);
}

static enum dz_rc
remote_tests(struct source *source, const char *ulid, char *const *words, size_t word_count,
             const struct doc_tests_ask *ask, doc_test_fn *fn, void *arg,
             struct doc_tests_sum *sum_out, struct dz_err *err)
{
    struct tests_page page = { .fn = fn, .arg = arg };
    struct store_job_info info;
    uint32_t most = ask->wants_text ? TEXTS_PAGE : TESTS_PAGE;
    enum dz_rc rc = remote_info(source, ulid, &info, err);
    if (rc != DZ_OK)
        return rc;
    *sum_out = (struct doc_tests_sum){ .all = info.not_run };
    for (unsigned i = DZ_RESULT_NONE + 1; i < DZ_RESULTS; i++)
        sum_out->all += info.verdicts[i];
    store_job_info_fini(&info);
    for (uint32_t before = UINT32_MAX; rc == DZ_OK && page.count != before;) {
        DZ_AUTO(dz_buf_fini) struct dz_buf path = { 0 }, body = { 0 };
        uint32_t left = ask->limit ? ask->limit - page.count : most;
        if (left == 0)
            break;
        before = page.count;
        tests_path(&path, ulid, words, word_count, ask);
        remote_number(&path, "limit", left < most ? left : most);
        remote_number(&path, "offset", ask->offset + page.count);
        rc = remote_get(self_of(source), &path, &body, err);
        if (rc == DZ_OK)
            rc = remote_lines(self_of(source), &body, "zb.tests/1", give_test, &page, err);
    }
    sum_out->found = sum_out->shown = page.count;
    return rc;
}

static enum dz_rc
remote_near(struct source *source, const char *ulid, const char *name, struct dz_buf *list_out,
            struct dz_err *err)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf path = { 0 };
    json_t *doc = NULL;
    dz_buf_addf(&path, "/jobs/%s/near", ulid);
    remote_value(&path, "name", name);
    enum dz_rc rc = remote_document(self_of(source), &path, "zb.near/1", &doc, err);
    const json_t *tests = json_object_get(doc, "tests");
    for (size_t i = 0; rc == DZ_OK && i < json_array_size(tests); i++) {
        const char *id = json_string_value(json_array_get(tests, i));
        dz_buf_addf(list_out, "%s\n", id ? id : "");
    }
    json_decref(doc);
    return rc;
}

/* ---- spans ---- */

struct spans_page {
    doc_span_fn *fn;
    void *arg;
    uint32_t count;
};

static void
give_span(void *arg, json_t *line)
{
    struct spans_page *page = arg;
    struct doc_span span;
    remote_read_span(line, &span);
    page->count++;
    page->fn(page->arg, &span);
}

static enum dz_rc
remote_spans(struct source *source, const char *ulid, const char *name, doc_span_fn *fn, void *arg,
             struct dz_err *err)
{
    struct spans_page page = { .fn = fn, .arg = arg };
    enum dz_rc rc = DZ_OK;
    for (uint32_t before = UINT32_MAX; rc == DZ_OK && page.count != before;) {
        DZ_AUTO(dz_buf_fini) struct dz_buf path = { 0 }, body = { 0 };
        before = page.count;
        dz_buf_addf(&path, "/jobs/%s/spans/", ulid);
        dz_url_add(&path, name);
        remote_number(&path, "limit", SPANS_PAGE);
        remote_number(&path, "offset", page.count);
        rc = remote_get(self_of(source), &path, &body, err);
        if (rc == DZ_OK)
            rc = remote_lines(self_of(source), &body, "zb.spans/1", give_span, &page, err);
    }
    return rc;
}

/* ---- the source ---- */

static void
on_news(void *arg, struct dz_slice bytes)
{
    struct remote *self = arg;
    self->has_news |= bytes.len > HEARTBEAT_MAX && bytes.ptr[0] != ':';
}

static void
on_silence(void *arg, const struct dz_http_answer *answer)
{
    struct remote *self = arg;
    (void) answer; /* questions are asked all the same, at a pace of our own */
    self->is_listening = false;
}

/* What happens in the job, as it happens: only that something did is of interest. */
static void
listen_to(struct remote *self, dz_ms now)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf url = { 0 };
    struct dz_err err;
    bool is_early = self->listened_ms > 0 && now - self->listened_ms < LISTEN_AGAIN_MS;
    if (self->is_listening || is_early || self->watched[0] == '\0')
        return;
    self->listened_ms = now;
    dz_buf_addf(&url, "%s/api/v1/events", self->url);
    remote_value(&url, "job", self->watched);
    dz_buf_add(&url, "", 1);
    self->is_listening = dz_http_ask(self->http,
                                     &(struct dz_http_ask){ .method = "GET",
                                                            .url = (const char *) url.data,
                                                            .answer_max = ANSWER_MAX,
                                                            .timeout_ms = LISTEN_MAX_MS,
                                                            .fn = on_silence,
                                                            .on_bytes = on_news,
                                                            .arg = self },
                                     &err) == DZ_OK;
}

/* Until there is news, but a moment after the last look; without events, a few times a second. */
static void
remote_pause(struct source *source, int wait_ms)
{
    struct remote *self = self_of(source);
    dz_ms began = dz_clock_ms(), now = began;
    listen_to(self, began);
    for (;; now = dz_clock_ms()) {
        bool is_blind = !self->is_listening && wait_ms > LOOK_MS;
        dz_ms until = began + (is_blind ? LOOK_MS : wait_ms);
        if (self->has_news && self->looked_ms + GAP_MS < until)
            until = self->looked_ms + GAP_MS;
        if (now >= until)
            break;
        if (self->is_listening)
            dz_http_wait(self->http, until - now);
        else
            (void) poll(NULL, 0, (int) (until - now));
    }
    self->has_news = false;
    self->looked_ms = now;
}

static void
remote_close(struct source *source)
{
    struct remote *self = self_of(source);
    dz_http_destroy(&self->http);
    free(self->url);
    free(self);
}

enum dz_rc
source_remote(const char *url, struct source **out, struct dz_err *err)
{
    static const struct source_ops ops = {
        .close = remote_close,
        .knows_project = remote_knows_project,
        .jobs = remote_jobs,
        .find = remote_find,
        .find_by_commit = remote_find_by_commit,
        .info = remote_info,
        .job = remote_job,
        .tests = remote_tests,
        .near = remote_near,
        .spans = remote_spans,
        .logs_open = remote_logs_open,
        .pause = remote_pause,
    };
    DZ_AUTO(dz_free) char *token = NULL;
    struct dz_http *http = NULL;
    enum dz_rc rc = dz_http_token(&token, err);
    rc = rc == DZ_ABSENT ? DZ_LIMIT : rc; /* no file of a token: not that there is no store */
    if (rc == DZ_OK)
        rc = dz_http_new(&(struct dz_http_opts){ .token = token }, &http, err);
    if (rc != DZ_OK)
        return rc;
    struct remote *self = dz_alloc0(1, sizeof(*self));
    self->url = dz_strdup(url);
    self->http = http;
    self->base = (struct source){ .ops = &ops, .name = self->url };
    *out = &self->base;
    return DZ_OK;
}
