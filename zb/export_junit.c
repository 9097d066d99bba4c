/* export_junit.c - a job as JUnit XML that GitLab, GitHub's actions and Jenkins take.
 *
 * GitLab drops without a word files of more than 30 MB and what is above 100 MB a job.  So there
 * are several files, and a budget: what failing tests printed goes first, then their tracebacks
 * become shorter, at last passing tests are left out; what was cut is said.
 *
 * Every element is made and written by Mini-XML, one test at a time: all of a large job as a tree
 * would need gigabytes. */
#include <mxml.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "zb/export.h"

enum {
    FILE_MAX = 25 << 20,
    ALL_MAX = 90 << 20,
    CASE_SIZE = 320, /* of a passing test, about, besides its id */
    TEXT_MAX = 64 << 10,
    MESSAGE_MAX = 1024,
};

struct junit {
    struct export *export;
    size_t text_max, output_left;
    size_t *order;      /* owned; failures first when not everything may fit */
    struct dz_buf body; /* the cases of the file that is being made */
    size_t written;     /* of all files before it */
    unsigned files;
    unsigned tests, failures, skipped; /* of this file */
    double time_s;
    size_t left_out, cut_texts, cut_outputs;
};

/* ---- text that XML can hold ---- */

/* XML has no control characters (pytest writes them so, too), and is UTF-8. */
static char *
clean(struct dz_slice text)
{
    struct dz_buf out = { 0 };
    while (text.len > 0) {
        size_t len = jot_char_len(text);
        uint8_t c = text.ptr[0];
        bool is_odd = len == 3 && c == 0xef && text.ptr[1] == 0xbf && text.ptr[2] >= 0xbe;
        if (len == 0 || is_odd)
            dz_buf_add(&out, "\xef\xbf\xbd", 3);
        else if ((c < ' ' && c != '\n' && c != '\t' && c != '\r') || c == 0x7f)
            dz_buf_addf(&out, "#x%02X", c);
        else
            dz_buf_add(&out, text.ptr, len);
        len = len ? len : 1;
        text = (struct dz_slice){ text.ptr + len, text.len - len };
    }
    dz_buf_add(&out, "", 1);
    return (char *) out.data;
}

static void
set(mxml_node_t *node, const char *name, struct dz_slice text)
{
    char *value = clean(text);
    mxmlElementSetAttr(node, name, value);
    free(value);
}

static void
add_text(mxml_node_t *node, struct dz_slice text)
{
    char *value = clean(text);
    (void) mxmlNewOpaque(node, value);
    free(value);
}

/* ---- one test ---- */

/* "tests/test_api.py::TestGet::test_x[1]": class "tests.test_api.TestGet", name "test_x[1]". */
static void
set_names(mxml_node_t *node, struct dz_slice id)
{
    struct dz_slice file = export_id_file(id);
    struct dz_buf class = { 0 };
    size_t at = file.len, name = file.len;
    size_t bracket = id.len;
    for (size_t i = file.len; i < id.len; i++)
        if (id.ptr[i] == '[' && bracket == id.len)
            bracket = i;
    for (size_t i = file.len; i + 1 < bracket; i++)
        if (id.ptr[i] == ':' && id.ptr[i + 1] == ':')
            name = i + 2;
    bool is_python = file.len > 3 && memcmp(file.ptr + file.len - 3, ".py", 3) == 0;
    dz_buf_add(&class, file.ptr, is_python ? file.len - 3 : file.len);
    for (size_t i = 0; i < class.len; i++)
        class.data[i] = class.data[i] == '/' ? '.' : class.data[i];
    for (at = file.len; at + 2 < name; at++) {
        bool is_colons = id.ptr[at] == ':' && id.ptr[at + 1] == ':';
        dz_buf_add(&class, is_colons ? (const uint8_t *) "." : &id.ptr[at], 1);
        at += is_colons;
    }
    set(node, "classname", dz_buf_slice(&class));
    set(node, "name", (struct dz_slice){ id.ptr + name, id.len - name });
    dz_buf_fini(&class);
}

/* As pytest's own --junitxml has it: counted from 0. */
static void
set_place(mxml_node_t *node, const struct doc_test *test)
{
    uint32_t line = doc_test_line(test);
    set(node, "file", export_file_of(test));
    if (line > 0)
        mxmlElementSetAttrf(node, "line", "%u", line - 1);
}

static struct dz_slice
shortened(struct dz_slice text, size_t most)
{
    if (text.len <= most)
        return text;
    text.len = most;
    while (text.len > 0 && (text.ptr[text.len] & 0xc0) == 0x80)
        text.len--; /* not within a character */
    return text;
}

static void
add_outcome(struct junit *self, mxml_node_t *node, const struct export_test *item)
{
    const struct doc_test *test = &item->test;
    struct dz_slice text = { (const uint8_t *) test->text, test->text ? test->text_len : 0 };
    bool is_bad = dz_result_is_bad(test->outcome);
    bool is_passed = test->outcome == DZ_RESULT_OK || test->outcome == DZ_RESULT_OK_FLAKY ||
                     test->outcome == DZ_RESULT_XPASS;
    if (is_passed)
        return;
    self->failures += is_bad;
    self->skipped += !is_bad;
    mxml_node_t *inner = mxmlNewElement(node, is_bad ? "failure" : "skipped");
    struct dz_slice why = shortened(doc_first_line(text), MESSAGE_MAX);
    set(inner, "type", dz_str(doc_outcome(test->outcome)));
    set(inner, "message", why.len ? why : dz_str(doc_outcome(test->outcome)));
    self->cut_texts += is_bad && text.len > self->text_max;
    if (is_bad)
        add_text(inner, shortened(text, self->text_max));
}

static void
add_property(mxml_node_t *list, const char *name, const char *value)
{
    mxml_node_t *node = mxmlNewElement(list, "property");
    mxmlElementSetAttr(node, "name", name);
    mxmlElementSetAttr(node, "value", value);
}

static void
add_properties(mxml_node_t *node, const struct doc_test *test)
{
    char number[16];
    if (test->runs < 2 && test->outcome != DZ_RESULT_OK_FLAKY)
        return;
    mxml_node_t *list = mxmlNewElement(node, "properties");
    (void) snprintf(number, sizeof(number), "%u", test->runs);
    add_property(list, "dagz.outcome", doc_outcome(test->outcome));
    add_property(list, "dagz.runs", number);
    add_property(list, "dagz.worker", test->worker);
}

static char *
render(struct junit *self, const struct export_test *item)
{
    const struct doc_test *test = &item->test;
    char time[32];
    mxml_node_t *node = mxmlNewElement(MXML_NO_PARENT, "testcase");
    set_names(node, test->id);
    set_place(node, test);
    (void) snprintf(time, sizeof(time), "%.6f", (double) doc_test_us(test) / 1e6);
    mxmlElementSetAttr(node, "time", time);
    add_properties(node, test);
    add_outcome(self, node, item);
    if (item->output.len > 0 && item->output.len <= self->output_left) {
        add_text(mxmlNewElement(node, "system-out"), dz_buf_slice(&item->output));
        self->output_left -= item->output.len;
    } else {
        self->cut_outputs += item->output.len > 0;
    }
    self->tests++;
    self->time_s += (double) doc_test_us(test) / 1e6;
    char *text = mxmlSaveAllocString(node, MXML_NO_CALLBACK);
    mxmlDelete(node);
    return text;
}

/* ---- files ---- */

/* The suite's own element is begun by Mini-XML and ended by hand around the cases. */
static void
write_head(struct junit *self)
{
    struct zb *zb = self->export->zb;
    const struct store_job_info *job = &self->export->info;
    struct {
        const char *name;
        unsigned number;
    } counts[] = {
        { "tests", self->tests },
        { "failures", self->failures },
        { "errors", 0 },
        { "skipped", self->skipped },
    };
    char text[48];
    struct dz_buf time = { 0 };
    mxml_node_t *node = mxmlNewElement(MXML_NO_PARENT, "testsuite");
    (void) snprintf(text, sizeof(text), "pytest %.40s", job->short_id);
    mxmlElementSetAttr(node, "name", text);
    for (size_t i = 0; i < DZ_LEN(counts); i++)
        mxmlElementSetAttrf(node, counts[i].name, "%u", counts[i].number);
    mxmlElementSetAttrf(node, "time", "%.6f", self->time_s);
    jot_time(&time, NULL, job->start_us);
    if (job->start_us > 0)
        set(node, "timestamp", (struct dz_slice){ time.data + 1, 19 });
    set(node, "hostname", dz_str(job->host));
    dz_buf_fini(&time);
    char *head = mxmlSaveAllocString(node, MXML_NO_CALLBACK);
    mxmlDelete(node);
    zb_say(zb, "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<testsuites>\n");
    zb_put(zb, (struct dz_slice){ (uint8_t *) head, strcspn(head, ">") - 2 }); /* without " /" */
    zb_say(zb, ">\n");
    free(head);
}

/* "junit.xml", "junit-2.xml" */
static void
file_name(const struct junit *self, struct dz_buf *out)
{
    const char *path = self->export->file, *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    size_t stem = dot && (!slash || dot > slash + 1) ? (size_t) (dot - path) : strlen(path);
    dz_buf_add(out, path, stem);
    if (self->files > 1)
        dz_buf_addf(out, "-%u", self->files);
    dz_buf_add(out, path + stem, strlen(path + stem) + 1);
}

static int
write_file(struct junit *self)
{
    struct zb *zb = self->export->zb;
    DZ_AUTO(dz_buf_fini) struct dz_buf name = { 0 };
    self->files++;
    if (self->export->file) {
        file_name(self, &name);
        int code = export_to(self->export, (char *) name.data);
        if (code != ZB_DONE)
            return code;
    }
    write_head(self);
    zb_put(zb, dz_buf_slice(&self->body));
    zb_say(zb, "</testsuite>\n</testsuites>\n");
    zb_flush(zb);
    self->written += self->body.len;
    dz_buf_clear(&self->body);
    self->tests = self->failures = self->skipped = 0;
    self->time_s = 0;
    return ZB_DONE;
}

/* ---- budget ---- */

static bool
is_bad(const struct junit *self, size_t i)
{
    return dz_result_is_bad(self->export->tests[i].test.outcome);
}

static size_t
size_with(const struct junit *self, size_t text_max)
{
    size_t size = 0;
    for (size_t i = 0; i < self->export->count; i++) {
        const struct doc_test *test = &self->export->tests[i].test;
        size_t text = is_bad(self, i) && test->text ? test->text_len : 0;
        size_t line = text < MESSAGE_MAX ? text : MESSAGE_MAX;
        size += CASE_SIZE + 2 * test->id.len + line + (text < text_max ? text : text_max);
    }
    return size;
}

static void
plan(struct junit *self)
{
    static const size_t text_sizes[] = { TEXT_MAX, 4096, 512 };
    size_t count = self->export->count, at = 0, size = 0;
    for (size_t i = 0; i < DZ_LEN(text_sizes); i++) {
        self->text_max = text_sizes[i];
        size = size_with(self, self->text_max);
        if (size <= ALL_MAX)
            break;
    }
    self->output_left = size < ALL_MAX ? ALL_MAX - size : 0;
    self->order = dz_alloc0(count + 1, sizeof(*self->order));
    for (size_t i = 0; i < count; i++)
        if (size <= ALL_MAX || is_bad(self, i))
            self->order[at++] = i;
    for (size_t i = 0; i < count && size > ALL_MAX; i++)
        if (!is_bad(self, i))
            self->order[at++] = i;
}

static void
tell_cuts(const struct junit *self)
{
    if (self->left_out > 0)
        (void) fprintf(stderr, "zb export: %zu tests are left out: GitLab takes 100 MB a job\n",
                       self->left_out);
    if (self->cut_texts > 0)
        (void) fprintf(stderr, "zb export: %zu tracebacks are cut to %zu bytes\n", self->cut_texts,
                       self->text_max);
    if (self->cut_outputs > 0 || self->export->skipped_output > 0)
        (void) fprintf(
            stderr, "zb export: not all that failed tests printed is there (zb logs --failed)\n");
    if (!self->export->file && self->written > FILE_MAX)
        (void) fprintf(stderr,
                       "zb export: %zu MB: GitLab takes 30 MB a file; with --output it "
                       "becomes several\n",
                       self->written >> 20);
    if (self->files > 1)
        (void) fprintf(stderr, "zb export: %u files\n", self->files);
}

int
export_junit(struct export *export)
{
    struct junit self = { .export = export };
    int code = ZB_DONE;
    mxmlSetWrapMargin(0);
    plan(&self);
    for (size_t i = 0; i < export->count && code == ZB_DONE; i++) {
        if (self.written + self.body.len > ALL_MAX) {
            self.left_out = export->count - i;
            break;
        }
        char *text = render(&self, &export->tests[self.order[i]]);
        dz_buf_add(&self.body, text, strlen(text)); /* ends its line */
        free(text);
        if (export->file && self.body.len > FILE_MAX)
            code = write_file(&self);
    }
    if (code == ZB_DONE && (self.body.len > 0 || self.files == 0))
        code = write_file(&self);
    if (code == ZB_DONE)
        tell_cuts(&self);
    dz_buf_fini(&self.body);
    free(self.order);
    return code;
}
