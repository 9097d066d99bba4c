/* cmd_logs.c - zb logs: everything a run said, merged in time order. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "zb/logs.h"
#include "zb/zb.h"

enum {
    TAIL_MAX = 1000000,
    POLL_NS = 50000000,   /* how far behind a worker -f may be */
    ASK_STATE_EVERY = 10, /* polls without news between two looks at whether the job ended */
    NEAR = 3,             /* names offered for a mistyped test */
};

const struct argp_option cmd_logs_options[] = {
    { "worker", 'w', "NAME", 0, "only of jw0, n2.jw0, or agent", 0 },
    { "thread", 'T', "NAME", 0, "only of thread jw0.t12", 0 },
    { "test", 't', "NODEID", 0, "only of this test, file or class", 0 },
    { "failed", 'F', NULL, 0, "only of tests that failed", 0 },
    { "follow", 'f', NULL, 0, "wait for more until the job ends", 0 },
    { "tail", 'n', "N", 0, "only the last N lines", 0 },
    { "since", 's', "TIME", 0, "not older: 10m, 14:03, 2026-11-21T14:03", 0 },
    { "raw", 'r', NULL, 0, "the bytes as they came, nothing in front", 0 },
    { 0 },
};

struct logs {
    const char *spec, *worker, *thread, *test, *since;
    bool only_failed, is_followed, is_raw;
    size_t tail;

    char ulid[STORE_ULID_LEN + 1];
    struct store_job_info info; /* owned */
    struct zone *zone;          /* owned */
    struct store_view *view;    /* owned */
    struct store_logs *reader;  /* owned */
    uint8_t *wanted;            /* owned; one bit a test, or NULL */
    int node;                   /* -1: any */
    struct store_log_filter filter;
    struct log_printer printer;
};

static error_t
parse_tail(struct logs *self, const char *arg, const char *name)
{
    char *end = NULL;
    self->tail = strtoul(arg, &end, 10);
    if (*arg >= '1' && *arg <= '9' && !*end && self->tail <= TAIL_MAX)
        return 0;
    (void) fprintf(stderr, "%s: --tail is a whole number from 1 to %d, not '%s'\n", name, TAIL_MAX,
                   arg);
    return EINVAL;
}

static error_t
parse(int key, char *arg, struct argp_state *state)
{
    struct logs *self = state->input;
    switch (key) {
    case 'w': self->worker = arg; return 0;
    case 'T': self->thread = arg; return 0;
    case 't': self->test = arg; return 0;
    case 'F': self->only_failed = true; return 0;
    case 'f': self->is_followed = true; return 0;
    case 'n': return parse_tail(self, arg, state->name);
    case 's': self->since = arg; return 0;
    case 'r': self->is_raw = true; return 0;
    case ARGP_KEY_ARG:
        if (self->spec)
            return zb_parse_nothing(key, arg, state);
        self->spec = arg;
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* ---- which records ---- */

/* A number of at most nine digits; moves *p behind it. */
static bool
read_digits(const char **p, int *out)
{
    int number = 0, count = 0;
    for (; isdigit((unsigned char) **p) && count < 9; ++*p, count++)
        number = number * 10 + (**p - '0');
    *out = number;
    return count > 0;
}

/* A word, then a number: "jw" and 12. */
static bool
read_named(const char **p, const char *word, int *out)
{
    size_t len = strlen(word);
    if (strncmp(*p, word, len) != 0)
        return false;
    *p += len;
    return read_digits(p, out);
}

/* "jw0", "n2.jw0", "jw0.t12", "agent"; the numbers that are not said are -1. */
static bool
read_worker(const char *text, int *node, int *worker, int *thread)
{
    *node = *worker = *thread = -1;
    if (strcmp(text, "agent") == 0) {
        *worker = -2;
        return true;
    }
    if (*text == 'n' && !(read_named(&text, "n", node) && *text++ == '.'))
        return false;
    if (!read_named(&text, "jw", worker))
        return false;
    return !*text || (read_named(&text, ".t", thread) && !*text);
}

static int
choose_worker(struct zb *zb, struct logs *self)
{
    int node, worker, thread;
    if (self->worker && !read_worker(self->worker, &self->node, &self->filter.worker, &thread))
        return zb_fail(zb, ZB_USAGE, "'%s' is not a worker such as jw0 (or 'agent')", self->worker);
    if (!self->thread)
        return ZB_DONE;
    if (!read_worker(self->thread, &node, &worker, &thread) || thread < 0)
        return zb_fail(zb, ZB_USAGE, "'%s' is not a thread such as jw0.t12", self->thread);
    self->node = node;
    self->filter.worker = worker;
    self->filter.thread = thread;
    return ZB_DONE;
}

/* The id itself, or what lies below it: a file's or class's tests, a test's parameters. */
static bool
is_below(struct dz_slice id, const char *name)
{
    size_t len = strlen(name);
    if (id.len < len || memcmp(id.ptr, name, len) != 0)
        return false;
    return id.len == len || id.ptr[len] == '[' || id.ptr[len] == ':' || id.ptr[len] == '/';
}

static int
refuse_test(struct zb *zb, const struct logs *self)
{
    char near[512] = "";
    uint32_t found = 0;
    for (uint32_t i = 0; i < store_view_count(self->view); i++) {
        struct store_test test;
        store_view_test(self->view, i, &test);
        if (!memmem(test.id.ptr, test.id.len, self->test, strlen(self->test)))
            continue;
        size_t used = strlen(near);
        if (found++ < NEAR)
            (void) snprintf(near + used, sizeof(near) - used, "%s%.*s", used ? ", " : "",
                            (int) (test.id.len < 120 ? test.id.len : 120), test.id.ptr);
    }
    if (found == 0)
        return zb_fail(zb, ZB_ABSENT, "job %s has no test '%s'", self->info.short_id, self->test);
    return zb_fail(zb, ZB_ABSENT, "job %s has no test '%s'; did you mean %s%s?",
                   self->info.short_id, self->test, near, found > NEAR ? ", ..." : "");
}

static int
choose_tests(struct zb *zb, struct logs *self)
{
    uint32_t count = store_view_count(self->view), found = 0;
    if (!self->test && !self->only_failed)
        return ZB_DONE;
    self->wanted = dz_alloc0(count / 8 + 1, 1);
    for (uint32_t i = 0; i < count; i++) {
        struct store_test test;
        store_view_test(self->view, i, &test);
        if (self->test && !is_below(test.id, self->test))
            continue;
        found++;
        if (!self->only_failed || dz_result_is_bad(test.verdict))
            self->wanted[i / 8] |= (uint8_t) (1 << i % 8);
    }
    self->filter.tests = self->wanted;
    self->filter.test_count = count;
    return self->test && found == 0 ? refuse_test(zb, self) : ZB_DONE;
}

/* "90s", "10m", "2h", "1d": so long before now. */
static bool
read_ago(const char *text, int64_t now_us, int64_t *out)
{
    static const struct {
        char unit;
        int64_t us;
    } units[] = { { 's', 1000000 },
                  { 'm', 60000000 },
                  { 'h', INT64_C(3600000000) },
                  { 'd', INT64_C(86400000000) } };
    int number = 0;
    if (!read_digits(&text, &number) || !*text || text[1])
        return false;
    for (size_t i = 0; i < DZ_LEN(units); i++) {
        if (*text == units[i].unit) {
            *out = now_us - number * units[i].us;
            return true;
        }
    }
    return false;
}

/* "2026-11-21"; moves *p behind it. */
static bool
read_date(const char **p, struct zone_time *t)
{
    const char *at = *p;
    bool is_date = read_digits(&at, &t->year) && *at++ == '-' && read_digits(&at, &t->month) &&
                   *at++ == '-' && read_digits(&at, &t->day) && t->year < 10000 && t->month >= 1 &&
                   t->month <= 12 && t->day >= 1 && t->day <= 31;
    if (is_date)
        *p = at;
    return is_date;
}

/* "14:03" or "14:03:05", to the end of the text. */
static bool
read_clock(const char *p, struct zone_time *t)
{
    if (!read_digits(&p, &t->hour) || *p++ != ':' || !read_digits(&p, &t->minute))
        return false;
    if (*p == ':' && !(p++, read_digits(&p, &t->second)))
        return false;
    return !*p && t->hour < 24 && t->minute < 60 && t->second <= 60;
}

/* A span before now, a time of the job's last day, a date, or both, in the project's zone. */
static bool
read_since(struct zb *zb, const struct logs *self, int64_t *out)
{
    const char *p = self->since;
    struct zone_time last = zone_civil(self->zone, self->info.end_us), t = { 0 };
    if (read_ago(p, zb->now_us, out))
        return true;
    bool has_date = read_date(&p, &t);
    if (has_date && (*p == 'T' || *p == ' '))
        p++;
    else if (has_date && *p)
        return false;
    if (!has_date)
        t = (struct zone_time){ .year = last.year, .month = last.month, .day = last.day };
    if ((*p || !has_date) && !read_clock(p, &t))
        return false;
    *out = zone_epoch_us(self->zone, t);
    return true;
}

static int
choose(struct zb *zb, struct logs *self)
{
    self->filter = (struct store_log_filter){ .worker = -1, .thread = -1 };
    self->node = -1;
    if (self->since && !read_since(zb, self, &self->filter.since_us))
        return zb_fail(zb, ZB_USAGE, "'%s' is not a time such as 10m, 14:03 or 2026-11-21T14:03",
                       self->since);
    int code = choose_worker(zb, self);
    return code == ZB_DONE ? choose_tests(zb, self) : code;
}

/* ---- printing ---- */

static bool
is_wanted(const struct logs *self, const struct store_log *log)
{
    if (self->node >= 0 && store_view_node(self->view, log->node) != (uint32_t) self->node)
        return false;
    return !self->is_raw || log->kind == STORE_LOG_OUTPUT || self->filter.worker == -2;
}

/* DZ_ABSENT when all that is there was printed. */
static enum dz_rc
drain(struct logs *self, struct dz_err *err)
{
    struct store_log log;
    enum dz_rc rc;
    while ((rc = store_logs_next(self->reader, &log, err)) == DZ_OK)
        if (is_wanted(self, &log))
            log_print(&self->printer, &log);
    return rc;
}

static bool
has_ended(struct zb *zb, struct logs *self)
{
    struct store_job_info info;
    struct dz_err unused;
    struct timespec now;
    (void) clock_gettime(CLOCK_REALTIME, &now);
    int64_t now_us = (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
    if (store_job_info(zb->store, self->ulid, now_us, &info, &unused) != DZ_OK)
        return true;
    bool is_over = info.state != STORE_RUNNING;
    store_job_info_fini(&info);
    return is_over;
}

/* The tests may become known, and fail, only while we follow. */
static enum dz_rc
refresh_tests(struct zb *zb, struct logs *self, struct dz_err *err)
{
    if (store_view_count(self->view) > 0)
        return DZ_OK;
    struct store_view *view = NULL;
    enum dz_rc rc = store_view_load(zb->store, self->ulid, &view, err);
    if (rc == DZ_OK) {
        store_view_destroy(&self->view);
        self->view = view;
        self->printer.view = view;
    }
    return rc;
}

static enum dz_rc
follow(struct zb *zb, struct logs *self, struct dz_err *err)
{
    static const struct timespec pause = { .tv_nsec = POLL_NS };
    bool is_over = false;
    for (unsigned polls = 0;; polls++) {
        enum dz_rc rc = store_logs_refresh(self->reader, err);
        if (rc == DZ_OK && store_logs_pending(self->reader) > 0) {
            polls = 0;
            rc = refresh_tests(zb, self, err);
        }
        if (rc == DZ_OK)
            rc = drain(self, err);
        if (rc != DZ_ABSENT)
            return rc;
        zb_flush(zb);
        if (is_over)
            return DZ_ABSENT;
        if (polls % ASK_STATE_EVERY == 0)
            is_over = has_ended(zb, self); /* then look once more: the last records came before */
        if (!is_over)
            (void) nanosleep(&pause, NULL); /* a signal only makes it shorter */
    }
}

static int
run(struct zb *zb, struct logs *self)
{
    struct dz_err err;
    enum dz_rc rc = store_logs_open(zb->store, self->ulid, &self->filter, &self->reader, &err);
    if (rc != DZ_OK)
        return zb_fail(zb, zb_exit_of(rc), "%s", err.text);
    log_printer_init(&self->printer, zb, self->view, self->zone, self->tail);
    self->printer.is_raw = self->is_raw;
    bool was_empty = store_logs_pending(self->reader) == 0;
    rc = drain(self, &err);
    if (self->tail > 0) {
        log_printer_finish(&self->printer);
        log_printer_release(&self->printer);
    }
    if (rc == DZ_ABSENT && self->is_followed)
        rc = follow(zb, self, &err);
    log_printer_finish(&self->printer);
    log_printer_fini(&self->printer);
    if (rc != DZ_ABSENT)
        return zb_fail(zb, zb_exit_of(rc), "%s", err.text);
    if (was_empty && !self->is_followed && !zb->is_json && !self->is_raw) {
        zb_flush(zb);
        (void) fprintf(stderr, "job %s has no log%s\n", self->info.short_id,
                       self->worker || self->thread || self->test || self->only_failed ||
                               self->since
                           ? " that fits"
                           : "");
    }
    return ZB_DONE;
}

int
cmd_logs(struct zb *zb, int argc, char **argv)
{
    struct logs self = { .spec = NULL };
    struct dz_err err;
    bool is_over;
    int code = zb_parse(zb, argc, argv, parse, &self, &is_over);
    if (!is_over)
        code = zb_open(zb);
    if (!is_over && code == ZB_DONE)
        code = zb_find_job(zb, self.spec ? self.spec : "latest", self.ulid);
    if (is_over || code != ZB_DONE)
        return code;
    enum dz_rc rc = store_job_info(zb->store, self.ulid, zb->now_us, &self.info, &err);
    if (rc == DZ_OK)
        rc = store_view_load(zb->store, self.ulid, &self.view, &err);
    if (rc == DZ_OK) {
        self.zone = zone_new(self.info.timezone);
        code = choose(zb, &self);
        if (code == ZB_DONE)
            code = run(zb, &self);
    } else {
        code = zb_fail(zb, zb_exit_of(rc), "%s", err.text);
    }
    store_logs_close(&self.reader);
    store_view_destroy(&self.view);
    store_job_info_fini(&self.info);
    zone_destroy(&self.zone);
    free(self.wanted);
    return code;
}
