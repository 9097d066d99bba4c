/* doc.h - what zb prints and the API serves: a job's documents, as structs and as JSON.
 *
 * There is one writer for each schema, here: `zb job --json` and GET /api/v1/jobs/JOB give the same
 * bytes.  A schema's fields are only ever added to; the schemas themselves are in store/schemas. */
#ifndef DZ_STORE_DOC_H
#define DZ_STORE_DOC_H

#include "shared/base/buf.h"
#include "shared/base/embed.h"
#include "store/nodes.h"
#include "store/query.h"
#include "store/store.h"

extern const struct dz_embedded store_schemas[]; /* "zb.job.1.json" and so on */

enum {
    DOC_WORKER = 32,
    DOC_SLOWEST = 5,
    DOC_WORKERS_MAX = 4096,  /* lanes that are told of one job */
    DOC_FAILURES_MAX = 1000, /* in one zb.job document */
    DOC_EVENTS_MAX = 20000,  /* likewise; the oldest */
};

/* ---- words ---- */

/* "jw0", on several nodes "n2.jw0"; "agent". */
const char *doc_worker(char out[DOC_WORKER], uint32_t nodes, uint32_t node, uint32_t worker);
/* The other way round: "jw0", "n2.jw0", "jw0.t12", "agent" (DOC_AGENT), and with 'gw' for 'jw', as
 * pytest's terminal has it.  Numbers that are not said are -1.  false: it is none of these. */
enum { DOC_AGENT = -2 };
bool doc_worker_read(const char *text, int *node, int *worker, int *thread);
const char *doc_outcome(enum dz_result result); /* "FAILED", and "not run" for none */
/* "passed", "failed", "running", "broken off", "INCOMPLETE", "wrong count", "stopped", "no tests" */
const char *doc_verdict(const struct store_job_info *job);
bool doc_has_passed(const struct store_job_info *job);
/* The first line of a failure's text that says something. */
struct dz_slice doc_first_line(struct dz_slice text);

/* ---- one test: zb.tests/1 ---- */

struct doc_test {
    struct dz_slice id; /* borrowed from the view */
    enum dz_result outcome;
    uint32_t attempts, runs;
    char worker[DOC_WORKER]; /* "" when it did not run */
    int64_t start_us, setup_us, call_us, teardown_us;
    uint32_t signal;
    uint64_t span; /* the key of the execution, 0: did not run */
    uint32_t line; /* of the test in its file, counted from 1; 0: not known; see doc_test_line() */
    bool is_elsewhere; /* not in the file that its id names, but in: */
    char *file;        /* owned; NULL unless elsewhere and read with the text */
    char *text;        /* owned; what it said, NUL-terminated; NULL: nothing, or not read */
    size_t text_len;
};

void doc_test_of(const struct store_view *view, uint32_t test, struct doc_test *out);
void doc_test_read_text(struct store_view *view, uint32_t test, struct doc_test *self);
void doc_test_fini(struct doc_test *self);
int64_t doc_test_us(const struct doc_test *self);    /* setup, call and teardown together */
uint32_t doc_test_line(const struct doc_test *self); /* 0 also where its file is not known */
/* The fields of a test, into an object that is open; and all of zb.tests/1, one line.  Of the text
 * its first line as "message", or all of it as "text". */
void doc_test_fields(struct dz_buf *out, const struct doc_test *self, bool is_whole_text);
void doc_test_json(struct dz_buf *out, const struct doc_test *self, bool is_whole_text);

enum doc_order { DOC_BY_ID, DOC_BY_DURATION, DOC_BY_START };

struct doc_tests_ask {
    const struct query *query; /* borrowed */
    enum doc_order order;      /* by duration: the slowest first */
    uint32_t offset, limit;    /* of those that fit; limit 0: all */
    bool wants_text;           /* of every test; else of failures, if not more fit than ... */
    uint32_t reasons_max;
};

struct doc_tests_sum {
    uint32_t all, found, shown;
};

typedef void doc_test_fn(void *arg, const struct doc_test *test);
void doc_tests(struct store_view *view, const struct doc_tests_ask *ask, doc_test_fn *fn, void *arg,
               struct doc_tests_sum *sum_out);

/* The ids nearest to one that is not there, at most `max`: those that contain it, else those that
 * differ by few letters.  Returns how many were put into near_out; *all_out: how many there are. */
enum { DOC_NEAR_MAX = 8 };
size_t doc_near(const struct store_view *view, const char *name, size_t max,
                struct dz_slice near_out[DOC_NEAR_MAX], size_t *all_out);

/* ---- one job: zb.job/1, and many: zb.jobs/1 ---- */

struct doc_lane {
    uint32_t node, number; /* of the worker */
    char worker[DOC_WORKER];
    uint32_t runs;
    int64_t busy_us;
    int64_t first_us, last_us; /* when its first test began, and its last one ended */
};

struct doc_job {
    struct store_job_info info; /* owned */
    struct doc_test *failures;  /* owned; at most as many as were asked for */
    size_t failures_len;
    uint32_t failure_count; /* all */
    struct dz_slice
        *missing;       /* owned, the ids borrowed; of an incomplete job: tests that nobody ran */
    size_t missing_len; /* at most as many as of failures */
    uint32_t carried;   /* executions that count as an earlier generation had them */
    struct doc_test slowest[DOC_SLOWEST];
    size_t slowest_len;
    struct doc_lane *lanes; /* owned */
    size_t lane_count;
    const struct store_nodes *nodes; /* of the view, or the next */
    struct store_nodes held_nodes;   /* owned */
    uint32_t *node_runs;             /* owned; executions on each */
    struct store_view *view; /* owned; ids point into it; NULL when it came from elsewhere: */
    void *held;              /* owned; then they point into this */
    void (*release)(void *held);
};

/* With at most `failures_max` failures and their texts. */
DZ_MUST_USE enum dz_rc doc_job_read(struct store *store, const char *ulid, int64_t now_us,
                                    size_t failures_max, struct doc_job *out, struct dz_err *err);
void doc_job_fini(struct doc_job *self);
void doc_info_fields(struct dz_buf *out, const struct store_job_info *job);   /* as of a test */
void doc_outcomes_json(struct dz_buf *out, const struct store_job_info *job); /* "tests" of it */
void doc_brief_json(struct dz_buf *out, const struct doc_test *test); /* one of its failures */
void doc_job_json(struct dz_buf *out, const struct doc_job *self);
/* What became of a node: of a job that is over, who said nothing was lost. */
enum store_node_state doc_node_state(const struct doc_job *self, uint32_t node);
void doc_nodes_json(struct dz_buf *out, const struct doc_job *self); /* "members", "events" */
void doc_jobs_json(struct dz_buf *out, const struct store_job_list *list);

/* ---- one record of the log: zb.logs/1 ---- */

struct doc_log {
    enum store_log_kind kind;
    int64_t first_us, last_us;
    char worker[DOC_WORKER];
    uint32_t thread;
    struct dz_slice test; /* its id, borrowed from the view; ptr NULL: between tests */
    uint32_t attempt;
    uint64_t span;        /* the key of the execution that wrote it, 0: none, or it has not ended */
    struct dz_slice text; /* borrowed from the record */
    uint64_t place;       /* of struct store_log */
};

void doc_log_of(const struct store_view *view, const struct store_log *log, struct doc_log *out);
void doc_log_fields(struct dz_buf *out, const struct doc_log *self);
void doc_log_json(struct dz_buf *out, const struct doc_log *self); /* one line */

/* Which records.  Strings are borrowed while the reader lives; NULL: any. */
struct doc_logs_ask {
    const char *worker; /* "jw0", "n2.jw0", "agent" */
    const char *thread; /* "jw0.t12" */
    const char *test;   /* a node id, or a file or class above some */
    bool only_failed;
    int64_t since_us, until_us; /* 0: any */
    uint32_t from, until;       /* of struct store_log_filter */
};

/* Of a job that has ended: can a log be of that worker or thread, by what is known of the job?  Also
 * true of "agent", and of what is no worker's name. */
bool doc_job_has_worker(const struct doc_job *job, const char *name);

/* A job's log in time order, over all workers; like struct store_logs, with names for numbers. */
struct doc_logs;

/* REFUSED: not the name of a worker or thread.  ABSENT: no such job, or no such test (see
 * doc_near()). */
DZ_MUST_USE enum dz_rc doc_logs_open(struct store *store, const char *ulid,
                                     const struct doc_logs_ask *ask, struct doc_logs **out,
                                     struct dz_err *err);
void doc_logs_close(struct doc_logs **self_p);
/* ABSENT: no more for now.  The record is valid until the next call. */
DZ_MUST_USE enum dz_rc doc_logs_next(struct doc_logs *self, struct doc_log *out,
                                     struct dz_err *err);
/* Look for more.  Of tests that have failed since then, with only_failed, all comes that they ever
 * printed: soon after it, and without fail when is_last. */
DZ_MUST_USE enum dz_rc doc_logs_refresh(struct doc_logs *self, bool is_last, struct dz_err *err);
uint32_t doc_logs_until(const struct doc_logs *self); /* store_logs_until() */

/* ---- timed pieces: zb.spans/1 ---- */

enum { DOC_KEY = 17, DOC_SPANS_MAX = 1 << 18 };

struct doc_span {
    uint64_t key, parent;             /* of store.h; parent 0: the test, or the job */
    int depth;                        /* below the one that was asked for; -1: none was */
    struct dz_slice type, name, test; /* borrowed; test.ptr NULL: of no test */
    int64_t start_us, end_us;
    char worker[DOC_WORKER];
    uint32_t attempt;
    enum dz_result outcome; /* NONE: it has none */
};

const char *doc_key(char out[DOC_KEY], uint64_t key); /* "3f2a91bc0d1e2f30" */
void doc_span_of(const struct store_view *view, const struct store_span *span,
                 struct doc_span *out);
void doc_span_fields(struct dz_buf *out, const struct doc_span *self);
void doc_span_json(struct dz_buf *out, const struct doc_span *self); /* one line */

typedef void doc_span_fn(void *arg, const struct doc_span *span);
/* A span and all that is below it: each before those below it, and these in the order in which they
 * began.  `name`: its key, a unique beginning of it, or a test's id: its deciding execution.  Of more
 * than DOC_SPANS_MAX some are left out.  ABSENT: none is named so.  LIMIT: several are. */
DZ_MUST_USE enum dz_rc doc_spans(struct store *store, const char *ulid, const char *name,
                                 doc_span_fn *fn, void *arg, struct dz_err *err);

#endif
