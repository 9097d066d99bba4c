/* cmd_export.c - zb export: a whole job, for other programs. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/conf/conf.h"
#include "zb/export.h"

enum format { FORMAT_JUNIT, FORMAT_JSON, FORMAT_NDJSON, FORMAT_CSV, FORMATS };

enum {
    OUTPUT_MAX = 64 << 10,      /* of one test: its end */
    OUTPUT_ALL_MAX = 128 << 20, /* of all tests, in memory */
};

static const char *const FORMAT_NAMES[FORMATS] = { "junit", "json", "ndjson", "csv" };

const struct argp_option cmd_export_options[] = {
    { "format", 'f', "FORMAT", 0, "junit (default), json, ndjson or csv", 0 },
    { "output", 'o', "FILE", 0, "not to stdout; more files are FILE-2 and so on", 0 },
    { 0 },
};

struct request {
    const char *spec;
    enum format format;
    const char *file;
};

static error_t
parse_format(struct request *self, const char *arg, const char *name)
{
    for (size_t i = 0; i < FORMATS; i++) {
        if (strcmp(FORMAT_NAMES[i], arg) == 0) {
            self->format = (enum format) i;
            return 0;
        }
    }
    const char *near = dz_nearest(arg, FORMAT_NAMES, FORMATS);
    if (near)
        (void) fprintf(stderr, "%s: there is no format '%s'; did you mean '%s'?\n", name, arg,
                       near);
    else
        (void) fprintf(stderr, "%s: --format is junit, json, ndjson or csv, not '%s'\n", name, arg);
    return EINVAL;
}

static error_t
parse(int key, char *arg, struct argp_state *state)
{
    struct request *self = state->input;
    switch (key) {
    case 'f': return parse_format(self, arg, state->name);
    case 'o': self->file = arg; return 0;
    case ARGP_KEY_ARG:
        if (self->spec)
            return zb_parse_nothing(key, arg, state);
        self->spec = arg;
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* ---- gathering ---- */

static void
gather(void *arg, const struct doc_test *test)
{
    struct export *self = arg;
    if (self->count == self->cap) {
        self->cap = self->cap ? 2 * self->cap : 1024;
        self->tests = dz_realloc(self->tests, self->cap, sizeof(*self->tests));
    }
    struct export_test *item = &self->tests[self->count++];
    *item = (struct export_test){ .test = *test };
    item->test.id.ptr = (const uint8_t *) dz_slice_dup(test->id);
    if (test->file)
        item->test.file = dz_strdup(test->file);
    if (test->text)
        item->test.text = dz_slice_dup((struct dz_slice){ (uint8_t *) test->text, test->text_len });
}

static void
forget(struct export *self)
{
    for (size_t i = 0; i < self->count; i++) {
        free((void *) self->tests[i].test.id.ptr); /* ours, see gather() */
        doc_test_fini(&self->tests[i].test);
        dz_buf_fini(&self->tests[i].output);
    }
    free(self->tests);
    store_job_info_fini(&self->info);
}

/* Ids come sorted by their bytes. */
static struct export_test *
find(struct export *self, struct dz_slice id)
{
    size_t low = 0, high = self->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (dz_slice_cmp(self->tests[mid].test.id, id) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    bool is_it = low < self->count && dz_slice_eq(self->tests[low].test.id, id);
    return is_it ? &self->tests[low] : NULL;
}

/* What the failed ones printed, the end of each. */
static enum dz_rc
gather_output(struct export *self, const char *ulid, struct dz_err *err)
{
    struct source *source = self->zb->source;
    DZ_AUTO(source_logs_close) struct source_logs *logs = NULL;
    struct doc_logs_ask ask = { .only_failed = true };
    size_t all = 0;
    struct doc_log log;
    enum dz_rc rc = source->ops->logs_open(source, ulid, &ask, false, &logs, err);
    while (rc == DZ_OK && (rc = source_logs_next(logs, 0, &log, err)) == DZ_OK) {
        struct export_test *item = log.test.ptr ? find(self, log.test) : NULL;
        if (!item || log.kind != STORE_LOG_OUTPUT)
            continue;
        if (all + log.text.len > OUTPUT_ALL_MAX) {
            self->skipped_output += log.text.len;
            continue;
        }
        size_t before = item->output.len;
        dz_buf_add(&item->output, log.text.ptr, log.text.len);
        if (item->output.len > OUTPUT_MAX) {
            self->skipped_output += item->output.len - OUTPUT_MAX;
            dz_buf_drop(&item->output, item->output.len - OUTPUT_MAX);
        }
        all += item->output.len - before;
    }
    return rc == DZ_ABSENT ? DZ_OK : rc;
}

/* ---- files ---- */

int
export_to(struct export *self, const char *path)
{
    zb_flush(self->zb);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        int code = errno == EACCES || errno == EROFS ? ZB_DENIED : ZB_FAILED;
        struct dz_err err;
        dz_ignore(dz_fail_errno(&err, "cannot write '%s'", path)); /* for its text */
        return zb_fail(self->zb, code, "%s", err.text);
    }
    (void) dup2(fd, STDOUT_FILENO);
    (void) close(fd);
    return ZB_DONE;
}

struct dz_slice
export_id_file(struct dz_slice id)
{
    const uint8_t *end = memmem(id.ptr, id.len, "::", 2);
    return (struct dz_slice){ id.ptr, end ? (size_t) (end - id.ptr) : id.len };
}

struct dz_slice
export_file_of(const struct doc_test *test)
{
    return test->file ? dz_str(test->file) : export_id_file(test->id);
}

/* ---- JSON and CSV ---- */

static void
write_json(struct export *self)
{
    struct dz_buf *out = &self->zb->out;
    jot_open(out, '{');
    jot_text(out, "schema", self->zb->command->schema);
    jot_key(out, "job");
    jot_open(out, '{');
    doc_info_fields(out, &self->info);
    jot_close(out, '}');
    jot_key(out, "tests");
    jot_open(out, '[');
    for (size_t i = 0; i < self->count; i++) {
        struct dz_buf one = { 0 };
        jot_open(&one, '{');
        doc_test_fields(&one, &self->tests[i].test, true);
        if (!self->tests[i].test.file) /* else it is among the fields */
            jot_slice(&one, "file", export_id_file(self->tests[i].test.id));
        jot_close(&one, '}');
        dz_buf_add(out, ",", i > 0); /* by hand: what was flushed is not seen */
        dz_buf_add(out, one.data, one.len);
        dz_buf_fini(&one);
        zb_spill(self->zb);
    }
    jot_close(out, ']');
    jot_close(out, '}');
    jot_end(out);
}

static void
write_ndjson(struct export *self)
{
    struct dz_buf *out = &self->zb->out;
    jot_open(out, '{');
    jot_text(out, "schema", "zb.jobs/1");
    jot_key(out, "jobs");
    jot_open(out, '[');
    jot_open(out, '{');
    doc_info_fields(out, &self->info);
    jot_close(out, '}');
    jot_close(out, ']');
    jot_close(out, '}');
    jot_end(out);
    for (size_t i = 0; i < self->count; i++) {
        doc_test_json(out, &self->tests[i].test, true);
        zb_spill(self->zb);
    }
}

/* RFC 4180: quoted where it has to be. */
static void
csv_field(struct zb *zb, struct dz_slice text, const char *end)
{
    bool is_plain = true;
    for (size_t i = 0; i < text.len && is_plain; i++)
        is_plain = !memchr(",\"\r\n", text.ptr[i], 4);
    if (!is_plain)
        zb_put(zb, dz_str("\""));
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"')
            zb_put(zb, dz_str("\""));
        zb_put(zb, (struct dz_slice){ text.ptr + i, 1 });
    }
    zb_put(zb, dz_str(is_plain ? "" : "\""));
    zb_put(zb, dz_str(end));
}

static void
csv_time(struct zb *zb, int64_t us)
{
    struct dz_buf time = { 0 };
    jot_time(&time, NULL, us); /* in quotes, as JSON has it */
    if (us > 0)
        zb_put(zb, (struct dz_slice){ time.data + 1, time.len - 2 });
    zb_put(zb, dz_str(","));
    dz_buf_fini(&time);
}

static void
write_csv(struct export *self)
{
    struct zb *zb = self->zb;
    zb_say(zb, "id,file,outcome,duration_s,setup_s,call_s,teardown_s,start,worker,attempts,runs,"
               "message\r\n");
    for (size_t i = 0; i < self->count; i++) {
        const struct doc_test *test = &self->tests[i].test;
        struct dz_slice text = { (const uint8_t *) test->text, test->text ? test->text_len : 0 };
        csv_field(zb, test->id, ",");
        csv_field(zb, export_file_of(test), ",");
        zb_say(zb, "%s,%.6f,%.6f,%.6f,%.6f,", doc_outcome(test->outcome),
               (double) doc_test_us(test) / 1e6, (double) test->setup_us / 1e6,
               (double) test->call_us / 1e6, (double) test->teardown_us / 1e6);
        csv_time(zb, test->start_us);
        zb_say(zb, "%s,%u,%u,", test->worker, test->attempts, test->runs);
        csv_field(zb, doc_first_line(text), "\r\n");
    }
}

/* ---- the command ---- */

static enum dz_rc
load(struct export *self, const struct request *request, const char *ulid, struct dz_err *err)
{
    struct zb *zb = self->zb;
    struct doc_tests_sum sum;
    DZ_AUTO(query_destroy) struct query *all = query_new(NULL, 0, err);
    struct doc_tests_ask ask = { .query = all, .wants_text = true };
    enum dz_rc rc = zb->source->ops->info(zb->source, ulid, &self->info, err);
    if (rc == DZ_OK)
        rc = zb->source->ops->tests(zb->source, ulid, NULL, 0, &ask, gather, self, &sum, err);
    if (rc == DZ_OK && request->format == FORMAT_JUNIT)
        rc = gather_output(self, ulid, err);
    return rc;
}

static int
run(struct zb *zb, const struct request *request)
{
    char ulid[STORE_ULID_LEN + 1];
    struct dz_err err;
    struct export self = { .zb = zb, .file = request->file };
    int code = zb_find_job(zb, request->spec ? request->spec : "latest", ulid);
    if (code != ZB_DONE)
        return code;
    enum dz_rc rc = load(&self, request, ulid, &err);
    if (rc != DZ_OK)
        code = zb_fail(zb, zb_exit_of(rc), "%s", err.text);
    else if (request->file && request->format != FORMAT_JUNIT)
        code = export_to(&self, request->file);
    if (code == ZB_DONE) {
        switch (request->format) {
        case FORMAT_JUNIT: code = export_junit(&self); break;
        case FORMAT_JSON: write_json(&self); break;
        case FORMAT_NDJSON: write_ndjson(&self); break;
        case FORMAT_CSV: write_csv(&self); break;
        case FORMATS: break;
        }
    }
    if (code == ZB_DONE && self.info.state == STORE_RUNNING) {
        zb_flush(zb);
        (void) fprintf(stderr, "zb export: the job still runs: this is what is there now\n");
    }
    forget(&self);
    return code;
}

int
cmd_export(struct zb *zb, int argc, char **argv)
{
    struct request request = { .format = FORMAT_JUNIT };
    bool is_over;
    int code = zb_parse(zb, argc, argv, parse, &request, &is_over);
    if (!is_over)
        code = zb_open(zb);
    if (is_over || code != ZB_DONE)
        return code;
    if (zb->is_json)
        request.format = FORMAT_JSON;
    return run(zb, &request);
}
