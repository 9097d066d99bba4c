/* cmd_logs.c - zb logs: everything a run said, merged in time order. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/str.h"
#include "zb/logs.h"
#include "zb/zb.h"

enum {
    TAIL_MAX = 1000000,
    WAIT_MS = 1000, /* for news, before an interrupt or a closed pipe is looked at */
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
    const char *spec, *since;
    bool is_followed, is_raw;
    size_t tail;
    struct doc_logs_ask ask;

    char ulid[STORE_ULID_LEN + 1];
    struct store_job_info info; /* owned */
    struct zone *zone;          /* owned */
    struct source_logs *reader; /* owned */
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
    case 'w': self->ask.worker = arg; return 0;
    case 'T': self->ask.thread = arg; return 0;
    case 't': self->ask.test = arg; return 0;
    case 'F': self->ask.only_failed = true; return 0;
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

/* ---- since when ---- */

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
    if (!dz_digits_next(&text, &number) || !*text || text[1])
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
    bool is_date = dz_digits_next(&at, &t->year) && *at++ == '-' &&
                   dz_digits_next(&at, &t->month) && *at++ == '-' && dz_digits_next(&at, &t->day) &&
                   t->year < 10000 && t->month >= 1 && t->month <= 12 && t->day >= 1 &&
                   t->day <= 31;
    if (is_date)
        *p = at;
    return is_date;
}

/* "14:03" or "14:03:05", to the end of the text. */
static bool
read_clock(const char *p, struct zone_time *t)
{
    if (!dz_digits_next(&p, &t->hour) || *p++ != ':' || !dz_digits_next(&p, &t->minute))
        return false;
    if (*p == ':' && !(p++, dz_digits_next(&p, &t->second)))
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

/* ---- printing ---- */

/* ABSENT when all was printed. */
static enum dz_rc
drain(struct zb *zb, struct logs *self, int wait_ms, struct dz_err *err)
{
    struct doc_log log;
    enum dz_rc rc;
    while ((rc = source_logs_next(self->reader, 0, &log, err)) != DZ_ABSENT) {
        if (rc == DZ_AGAIN && wait_ms == 0)
            return rc;
        if (rc == DZ_AGAIN) {
            zb_flush(zb);
            rc = source_logs_next(self->reader, wait_ms, &log, err);
        }
        if (rc == DZ_OK)
            log_print(&self->printer, &log);
        else if (rc != DZ_AGAIN)
            return rc;
    }
    return rc;
}

static enum dz_rc
print(struct zb *zb, struct logs *self, struct dz_err *err)
{
    log_printer_init(&self->printer, zb, self->zone, self->tail);
    self->printer.is_raw = self->is_raw;
    self->printer.has_notes = !self->is_raw || (self->ask.worker && *self->ask.worker == 'a');
    enum dz_rc rc = drain(zb, self, 0, err);
    if (self->tail > 0) {
        log_printer_finish(&self->printer);
        log_printer_release(&self->printer);
    }
    if (rc == DZ_AGAIN)
        rc = drain(zb, self, WAIT_MS, err);
    log_printer_finish(&self->printer);
    return rc;
}

/* Which tests a job has is known when collection is over: until then any name may be one. */
static enum dz_rc
await_tests(struct zb *zb, struct logs *self, struct dz_err *err)
{
    const struct source_ops *ops = zb->source->ops;
    bool is_awaited = self->is_followed && self->ask.test;
    while (is_awaited && self->info.state == STORE_RUNNING && self->info.collected == 0) {
        struct store_job_info info;
        ops->pause(zb->source, WAIT_MS);
        enum dz_rc rc = ops->info(zb->source, self->ulid, &info, err);
        if (rc != DZ_OK)
            return rc;
        store_job_info_fini(&self->info);
        self->info = info;
    }
    return DZ_OK;
}

/* Nothing was printed: for want of output, or is what was asked for not there? */
static int
explain_nothing(struct zb *zb, struct logs *self)
{
    enum { NAMED_MAX = 8 };
    const struct doc_logs_ask *ask = &self->ask;
    const char *worker = ask->thread ? ask->thread : ask->worker;
    bool is_chosen = worker || ask->test || ask->only_failed || self->since;
    DZ_AUTO(dz_buf_fini) struct dz_buf names = { 0 };
    struct doc_job job = { 0 };
    struct dz_err unused;
    int code = ZB_DONE;
    zb_flush(zb);
    if (worker && self->info.state != STORE_RUNNING &&
        zb->source->ops->job(zb->source, self->ulid, 1, &job, &unused) == DZ_OK) {
        for (size_t i = 0; i < job.lane_count && i < NAMED_MAX; i++)
            dz_buf_addf(&names, "%s%s", i ? ", " : "; tests ran on ", job.lanes[i].worker);
        dz_buf_addf(&names, "%s", job.lane_count > NAMED_MAX ? ", ..." : "");
        dz_buf_add(&names, "", 1);
        if (!doc_job_has_worker(&job, worker))
            code = zb_fail(zb, ZB_ABSENT, "job %s has no worker '%s'%s", self->info.short_id,
                           worker, (char *) names.data);
        doc_job_fini(&job);
    }
    if (code == ZB_DONE && !zb->is_json && !self->is_raw)
        (void) fprintf(stderr, "job %s has no log%s\n", self->info.short_id,
                       is_chosen ? " that fits" : "");
    return code;
}

static int
run(struct zb *zb, struct logs *self)
{
    struct dz_err err;
    self->zone = zone_new(self->info.timezone);
    if (self->since && !read_since(zb, self, &self->ask.since_us))
        return zb_fail(zb, ZB_USAGE, "'%s' is not a time such as 10m, 14:03 or 2026-11-21T14:03",
                       self->since);
    enum dz_rc rc = await_tests(zb, self, &err);
    if (rc == DZ_OK)
        rc = zb->source->ops->logs_open(zb->source, self->ulid, &self->ask, self->is_followed,
                                        &self->reader, &err);
    if (rc != DZ_OK) {
        (void) zb_fail(zb, zb_exit_of(rc), "%s", err.text);
        if (rc == DZ_ABSENT && self->ask.test)
            zb_suggest_tests(zb, self->ulid, self->ask.test);
        return zb_exit_of(rc);
    }
    rc = print(zb, self, &err);
    uint64_t printed = self->printer.records;
    log_printer_fini(&self->printer);
    if (rc != DZ_ABSENT)
        return zb_fail(zb, zb_exit_of(rc), "%s", err.text);
    return printed == 0 && !self->is_followed ? explain_nothing(zb, self) : ZB_DONE;
}

int
cmd_logs(struct zb *zb, int argc, char **argv)
{
    struct logs self = { .spec = NULL };
    struct dz_err err;
    bool is_over;
    int code = zb_parse(zb, argc, argv, parse, &self, &is_over);
    if (self.is_followed)
        zb->wants_pager = false; /* it would show what comes only when asked */
    if (!is_over)
        code = zb_open(zb);
    if (!is_over && code == ZB_DONE)
        code = zb_find_job(zb, self.spec ? self.spec : "latest", self.ulid);
    if (is_over || code != ZB_DONE)
        return code;
    enum dz_rc rc = zb->source->ops->info(zb->source, self.ulid, &self.info, &err);
    code = rc == DZ_OK ? run(zb, &self) : zb_fail(zb, zb_exit_of(rc), "%s", err.text);
    source_logs_close(&self.reader);
    store_job_info_fini(&self.info);
    zone_destroy(&self.zone);
    return code;
}
