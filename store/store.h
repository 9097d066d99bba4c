/* store.h - where every job, result, log line and duration is kept.
 *
 * The embedded store: one directory, <home>/local.env/store, that several processes use at once
 * (two runs, zb).  A daemon will stand behind the same header later.
 *
 * Ledger   For each (job, test, attempt) exactly one execution is counted: the first that
 *          arrives.  Every other one is kept as history.  Saying the same thing twice changes
 *          nothing and gives the same answer, so a sender that is not sure says it again.
 * Durable  When a call returns DZ_OK, what it wrote survives a power cut.  One call, one sync:
 *          send batches of 64 and more.
 * Failure  A call that fails has stored nothing of what it was given.  DZ_FULL: no space.
 * Time     *_us without another word is microseconds of the Unix epoch (callers convert from the
 *          monotonic clock of their node); a span of time is named so.
 * Threads  A store and its jobs belong to one thread.  A process opens a home once; other threads
 *          get handles of their own from store_share(). */
#ifndef DZ_STORE_STORE_H
#define DZ_STORE_STORE_H

#include "shared/base/base.h"
#include "shared/wire/mesh.h"
#include "shared/wire/model.h"

enum {
    STORE_ULID_LEN = 26,        /* characters of a job's long id */
    STORE_SHORT_MAX = 32,       /* bytes of a short id, its NUL included */
    STORE_TESTS_MAX = 1 << 24,  /* of one job; ids on the wire have 24 bits */
    STORE_ATTEMPTS = 8,         /* attempts are 0..7 */
    STORE_TEXT_MAX = 256 << 10, /* of one failure; longer ones keep their head and tail */
    STORE_BATCH_MAX = 4096,     /* records of each kind in one batch */
    STORE_NO_TEST = 0xffffff,
    STORE_NO_WORKER = 0xffff,
    STORE_EARLIER = 0xfffe, /* the worker of a result that an earlier generation counted */
};

struct store;

/* DAGZ_HOME, or ~/.dagz.  Caller owns. */
char *store_home(void);

enum store_mode {
    STORE_READ,  /* nothing is created; ABSENT: nobody has written here yet */
    STORE_WRITE, /* created if need be; a damaged one is put aside and a new one made */
    STORE_NEW,   /* as STORE_WRITE; nobody will ask for what is in it after a power cut before there
                  * are results, texts or an end of a job.  Until then nothing waits for a disk */
};

/* In <home>/local.env/store, or where `data_dir` of <home>/local.env/daemon.yaml says.
 * VERSION: written by a newer dagz.  REFUSED: not permitted.  CORRUPT: damaged (STORE_READ), or
 * daemon.yaml is not understood.
 * warning_out: a line for people when a damaged store was put aside, else NULL; caller owns;
 * may be NULL. */
DZ_MUST_USE enum dz_rc store_open(const char *home, enum store_mode mode, struct store **self_out,
                                  char **warning_out, struct dz_err *err);
/* The same in exactly this folder, whose parent exists: a store of one process, in its spool. */
DZ_MUST_USE enum dz_rc store_open_in(const char *dir, enum store_mode mode, struct store **self_out,
                                     struct dz_err *err);
void store_close(struct store **self_p); /* jobs first */
/* Another handle on a store that this process has open, for another thread.  Close it before the
 * one that it was made from. */
struct store *store_share(struct store *self);
const char *store_dir(const struct store *self);

/* ------------------------------------------------------------------ one job, being written */

struct store_job;

/* All strings are copied; NULL is "". */
struct store_begin {
    const char *uri;      /* the project, see project.h */
    const char *timezone; /* IANA name; "" or unknown: UTC */
    const char *profile, *commit, *command, *versions, *rootdir;
    bool is_dirty; /* the worktree differed from the commit */
    uint32_t workers, node_total;
    int64_t now_us;
    const char *ulid;    /* its long id, from store_new_ulid(); NULL: a new one */
    uint32_t generation; /* how often the CI ran it before */
    const char
        *previous; /* long id of the generation before it, or, of a first one, of the job that had
                           * ended before its nodes came; "": none is known */
    const char *step; /* the CI step that it is of, as dz_meeting_name() calls it, or "" */
    uint64_t ci_job;  /* hash of the CI's own id of this slot's job */
    uint32_t shard_index, shard_total; /* total above 1: only this slot's own share of the step */
};

/* A new long id, with the time of now_us. */
DZ_MUST_USE enum dz_rc store_new_ulid(int64_t now_us, char out[STORE_ULID_LEN + 1],
                                      struct dz_err *err);
/* Begin a job, with the next short id of its project and day.  EXISTS: there is one of that id. */
DZ_MUST_USE enum dz_rc store_job_begin(struct store *self, const struct store_begin *begin,
                                       struct store_job **job_out, struct dz_err *err);
/* Take up a job that was begun before, by its long id (an agent that replaces a dead one). */
DZ_MUST_USE enum dz_rc store_job_reopen(struct store *self, const char *ulid,
                                        struct store_job **job_out, struct dz_err *err);
void store_job_close(struct store_job **self_p);
/* Only a share of the step is run, after all: nobody else could be reached. */
DZ_MUST_USE enum dz_rc store_job_be_shard(struct store_job *self, uint32_t index, uint32_t total,
                                          struct dz_err *err);
/* Was it begun as one, or became one?  In a store of its writer. */
bool store_job_is_shard(struct store *self, const char *ulid);

const char *store_job_ulid(const struct store_job *self); /* "01JD8Y7W9QK3T5V2X4Z6B8D0FG" */
const char *
store_job_short(const struct store_job *self); /* "j10", or "j1201.1" when reopened later */

/* The job's tests, sorted by memcmp() of their ids, no two equal.  Again with the same ids: fine;
 * EXISTS: the job has other ones.  240,000 ids cost about 50 ms, or 10 when an earlier job of any
 * project had the same list.  CORRUPT: not sorted, or two equal. */
DZ_MUST_USE enum dz_rc store_job_put_manifest(struct store_job *self, const struct dz_slice *ids,
                                              uint32_t count, struct dz_err *err);

/* The job's tests are these, too: those that it lacks get the next numbers.  In any order.
 * numbers_out[i]: the job's number of ids[i], for ever. */
DZ_MUST_USE enum dz_rc store_job_add_tests(struct store_job *self, const struct dz_slice *ids,
                                           uint32_t count, uint32_t *numbers_out,
                                           struct dz_err *err);
/* All tests of the job by number, as they are on disk now, those that others added too. */
typedef void store_id_fn(void *arg, uint32_t test, struct dz_slice id);
DZ_MUST_USE enum dz_rc store_job_each_test(struct store_job *self, store_id_fn *fn, void *arg,
                                           struct dz_err *err);

/* One execution.  (node, inc, exec) names it for ever: the node, its incarnation, and a number
 * that this incarnation gives out once. */
struct store_result {
    uint32_t test, attempt;
    uint64_t node, inc, exec;
    enum dz_result result;
    uint32_t worker;
    int64_t start_us;
    int64_t setup_us, call_us, teardown_us; /* spans of time */
    bool is_strike;       /* a worker's death with this test running, not the last one: history */
    enum dz_cause cause;  /* of CRASHED and TIMEOUT */
    uint32_t signal;      /* that killed the worker, or 0 */
    uint32_t line;        /* of the test: enum dz_line */
    struct dz_slice text; /* as struct store_text; may be empty, and may come later as one */
    /* answers */
    enum dz_word word;
    bool is_repeat;        /* this very execution was here already; `word` is what it was then */
    enum dz_result counts; /* of the execution that counts for this test and attempt, NONE: none */
};

/* What an execution said for people.  First line: why, for lists; all of it: traceback, stacks.
 * May come before, with or after its result, which need not be from the same process. */
struct store_text {
    uint32_t test, attempt;
    uint64_t node, inc, exec;
    struct dz_slice text;
    uint64_t who; /* 0: as the three above say; else the store's own name for them */
};

enum store_log_kind {
    STORE_LOG_OUTPUT, /* bytes of a worker's terminal */
    STORE_LOG_NOTE,   /* a line of the agent: fork, death, warning, plan, steal, progress */
};

/* Output of a test, in pieces as they come, or a line of the agent (no newline needed).
 * `source` names a stream for ever (one worker's life, one agent's notes) and `seq` only grows in
 * it (use the byte offset of the end): what is not above the stream's greatest is a repeat.
 * source 0: never a repeat. */
struct store_log {
    uint64_t source, seq;
    enum store_log_kind kind;
    int64_t first_us, last_us;
    uint64_t node;
    uint32_t worker;        /* STORE_NO_WORKER: the agent itself */
    uint32_t thread;        /* number of the thread that wrote, 0: not known */
    uint32_t test, attempt; /* STORE_NO_TEST: between tests */
    struct dz_slice text;
    bool is_repeat; /* answer */
    uint64_t
        place; /* to readers: the part of the job that it came in (the upper half), and where in
                     * it.  It stays what it is for ever, and no two have the same */
};

/* A timed piece of execution.  setup, call and teardown of a test are in its result already. */
struct store_span {
    uint64_t source, seq; /* as above */
    uint64_t id, parent;  /* within the scope; parent 0: the test, or the job */
    uint64_t scope;       /* 0: the source */
    int64_t start_us, end_us;
    uint64_t node;
    uint32_t worker, test, attempt;
    enum dz_result result;
    struct dz_slice type, name; /* "fixture", "db" */
    bool is_repeat;             /* answer */
};

struct store_batch {
    struct store_result *results;
    struct store_text *texts;
    struct store_log *logs;
    struct store_span *spans;
    uint32_t result_count, text_count, log_count, span_count;
};

/* One transaction, one sync.  Results need the manifest.  LIMIT: a record or the batch is out of
 * bounds.  REFUSED: results, and the job is sealed. */
DZ_MUST_USE enum dz_rc store_job_append(struct store_job *self, struct store_batch *batch,
                                        struct dz_err *err);

/* The greatest seq stored of a stream, 0: none. */
uint64_t store_job_seen(struct store_job *self, uint64_t source);

/* What the ledger holds now, appends of other processes included. */
struct store_ledger {
    uint32_t counted;              /* rows */
    uint32_t executions;           /* counted ones and history */
    uint64_t digest;               /* sum of dz_ledger_mix() over the rows */
    uint32_t tests_counted;        /* tests that have at least one row */
    uint32_t verdicts[DZ_RESULTS]; /* tests by verdict; NONE: no row yet */
};
DZ_MUST_USE enum dz_rc store_job_ledger(struct store_job *self, struct store_ledger *out,
                                        struct dz_err *err);

/* Every execution in the order of arrival, with its word and without its text; for an agent that
 * takes the job up again. */
typedef void store_row_fn(void *arg, const struct store_result *row);
DZ_MUST_USE enum dz_rc store_job_each_row(struct store_job *self, store_row_fn *fn, void *arg,
                                          struct dz_err *err);

/* The end.  Counts are what the mesh says; the store compares counted and digest with its own. */
struct store_seal {
    uint32_t collected, deselected, redundant, not_run, counted, duplicates, lost, nodes, workers;
    uint64_t digest;
    int exit_code;
    int64_t now_us;
    const char *reason; /* why it ended early, or "" */
    bool is_witnessed;  /* told by who did not schedule: counted and digest are the ledger's */
};

/* Close the ledger and learn the tests' durations.  Again with the same numbers: fine.
 * CORRUPT: counted or digest differ; the job is sealed nevertheless and marked so. */
DZ_MUST_USE enum dz_rc store_job_seal(struct store_job *self, const struct store_seal *seal,
                                      struct dz_err *err);

/* The job is over, and who schedules will seal it if it lives.  Noted, and sent on with the records;
 * of the seal, digest, lost, redundant and reason are not. */
DZ_MUST_USE enum dz_rc store_job_witness(struct store_job *self, const struct store_seal *seal,
                                         struct dz_err *err);
/* Seal it as was noted, if all that was counted is here.  A seal of the scheduler's goes before this
 * one, also later. */
DZ_MUST_USE enum dz_rc store_job_seal_witnessed(struct store_job *self, struct dz_err *err);

/* A test's verdict from the results of its counted attempts, in order (NONE: no row), and
 * whether a strike came before. */
enum dz_result store_verdict(const enum dz_result *attempts, uint32_t count, bool has_strike);

/* ------------------------------------------------------------------ durations */

struct store_durations;

/* What is known of a project under a profile; empty when nothing is. */
DZ_MUST_USE enum dz_rc store_durations_load(struct store *self, const char *uri,
                                            const char *profile, struct store_durations **out,
                                            struct dz_err *err);
void store_durations_destroy(struct store_durations **self_p);
uint32_t store_durations_count(const struct store_durations *self);

/* Expected span of a test in microseconds, and the spread (standard deviation of its logarithm);
 * false: never seen.  About 100 ns. */
bool store_durations_get(const struct store_durations *self, struct dz_slice id, double *mean_us,
                         double *log_sd);

/* As bytes that travel, at most STORE_DURATIONS_MAX, compressed; CORRUPT, LIMIT, VERSION: others
 * than _write() made. */
enum { STORE_DURATIONS_MAX = 64 << 20 };
#define STORE_DURATIONS_TYPE "application/vnd.dagz.durations"
struct dz_buf;
void store_durations_write(const struct store_durations *self, struct dz_buf *out);
DZ_MUST_USE enum dz_rc store_durations_read(struct dz_slice bytes, struct store_durations **out,
                                            struct dz_err *err);

/* ------------------------------------------------------------------ reading, for zb */

enum store_state {
    STORE_RUNNING,
    STORE_SEALED,
    STORE_BROKEN,     /* not sealed, and nobody works on it any more */
    STORE_INCOMPLETE, /* the same, of shares that slots ran by themselves: some, or tests, miss */
};

struct store_job_info {
    char ulid[STORE_ULID_LEN + 1];
    char short_id
        [STORE_SHORT_MAX]; /* as seen from `now_us` of the call: j10, j1201.1, j2025-1201.1 */
    char *uri, *timezone, *profile, *commit, *command, *versions, *rootdir, *host,
        *reason; /* owned */
    bool is_dirty;
    bool is_ledger_wrong; /* the seal's numbers were not the ledger's */
    enum store_state state;
    int64_t start_us, end_us; /* end_us: of the last that is known, when not sealed */
    int exit_code;            /* -1: not sealed */
    uint32_t workers, node_total, nodes;
    uint32_t generation;               /* 0: the first */
    char previous[STORE_ULID_LEN + 1]; /* as in struct store_begin */
    uint32_t collected, deselected, redundant, not_run, counted, duplicates, lost;
    uint32_t shards, shards_there; /* shares of slots that ran without each other; 0: it has none */
    uint32_t as_before; /* tests that none of them ran, and that did not fail in `previous` */
    uint32_t verdicts[DZ_RESULTS];
    uint64_t digest;
};
void store_job_info_fini(struct store_job_info *self);

struct store_job_list {
    struct store_job_info *jobs; /* owned; newest first */
    size_t count;
};
void store_job_list_fini(struct store_job_list *self);

/* The newest `limit` jobs of a project (NULL: of all). */
DZ_MUST_USE enum dz_rc store_jobs(struct store *self, const char *uri, size_t limit, int64_t now_us,
                                  struct store_job_list *out, struct dz_err *err);
/* The same, of those older than the one with the long id `before` (NULL: of all). */
DZ_MUST_USE enum dz_rc store_jobs_before(struct store *self, const char *uri, const char *before,
                                         size_t limit, int64_t now_us, struct store_job_list *out,
                                         struct dz_err *err);
bool store_knows_project(struct store *self, const char *uri);
typedef void store_project_fn(void *arg, const char *uri);
DZ_MUST_USE enum dz_rc store_projects(struct store *self, store_project_fn *fn, void *arg,
                                      struct dz_err *err);
DZ_MUST_USE enum dz_rc store_job_info(struct store *self, const char *ulid, int64_t now_us,
                                      struct store_job_info *out, struct dz_err *err);

/* The long id of the job that a person means: j10, j1201.1, j2025-1201.1, latest, @{-1}, a unique
 * beginning of a long id.  ABSENT: no such job.  REFUSED: not one of these forms (a git revision,
 * perhaps).  LIMIT: the beginning fits several. */
DZ_MUST_USE enum dz_rc store_job_find(struct store *self, const char *uri, const char *spec,
                                      int64_t now_us, char ulid_out[STORE_ULID_LEN + 1],
                                      struct dz_err *err);
/* The newest job of a commit (40 hex digits). */
DZ_MUST_USE enum dz_rc store_job_of_commit(struct store *self, const char *uri, const char *commit,
                                           char ulid_out[STORE_ULID_LEN + 1], struct dz_err *err);

/* A job's tests with what happened to them: one moment, held in memory. */
struct store_view;

/* One test. */
struct store_test {
    struct dz_slice id;                               /* of the view */
    enum dz_result verdict;                           /* NONE: no counted result */
    uint32_t attempts;                                /* counted rows */
    uint32_t executions;                              /* all */
    uint32_t node, worker;                            /* of the deciding execution */
    int64_t start_us, setup_us, call_us, teardown_us; /* likewise */
    enum dz_cause cause;
    uint32_t signal;
    uint32_t line; /* enum dz_line */
    uint64_t span; /* store_run_key() of it, 0: did not run */
};

DZ_MUST_USE enum dz_rc store_view_load(struct store *self, const char *ulid,
                                       struct store_view **out, struct dz_err *err);
void store_view_destroy(struct store_view **self_p);
uint32_t store_view_count(const struct store_view *self);
void store_view_test(const struct store_view *self, uint32_t test, struct store_test *out);
/* The test with this very id, or STORE_NO_TEST. */
uint32_t store_view_find(const struct store_view *self, struct dz_slice id);

/* What the deciding execution said; ABSENT: nothing.  Caller owns *text_out, NUL-terminated. */
DZ_MUST_USE enum dz_rc store_view_text(struct store_view *self, uint32_t test, char **text_out,
                                       size_t *len_out, struct dz_err *err);

/* Every execution of a test, history too, in the order of arrival. */
void store_view_executions(const struct store_view *self, uint32_t test, store_row_fn *fn,
                           void *arg);
uint32_t store_view_nodes(const struct store_view *self);
uint32_t store_view_node(const struct store_view *self, uint64_t node); /* its number */
struct store_nodes;
/* What is known of them, of those who ran nothing too: nodes.h. */
const struct store_nodes *store_view_chronicle(const struct store_view *self);

/* A job's log over all workers, in time order; again after its end for what has come since. */
struct store_logs;

struct store_log_filter {
    int64_t since_us, until_us; /* 0: all */
    int worker, thread;         /* -1: all; worker -2: the agent's notes only */
    bool has_node;              /* only this node's: */
    uint64_t node;
    const uint8_t *tests; /* one bit a test, NULL: all; borrowed while the reader lives */
    uint32_t test_count;
    uint32_t from, until; /* parts of the job: not before `from`, before `until` (0: no end) */
};
DZ_MUST_USE enum dz_rc store_logs_open(struct store *self, const char *ulid,
                                       const struct store_log_filter *filter,
                                       struct store_logs **out, struct dz_err *err);
void store_logs_close(struct store_logs **self_p);
/* Records that _next() will give.  Costs a look into every part of the job that may hold some. */
uint32_t store_logs_pending(const struct store_logs *self);
/* ABSENT: no more for now.  The text is valid until the next call. */
DZ_MUST_USE enum dz_rc store_logs_next(struct store_logs *self, struct store_log *out,
                                       struct dz_err *err);
/* Look for records that were appended since. */
DZ_MUST_USE enum dz_rc store_logs_refresh(struct store_logs *self, struct dz_err *err);
/* Records of these tests from the next refresh on. */
void store_logs_choose(struct store_logs *self, const uint8_t *tests, uint32_t test_count);
/* The part of the job that comes next: all before it were looked at. */
uint32_t store_logs_until(const struct store_logs *self);

/* A job's spans in the order in which they began; otherwise as logs. */
struct store_spans;

struct store_span_filter {
    int64_t since_us, until_us; /* that overlap with this time; 0: all */
    int worker;                 /* -1: all */
    const uint8_t *tests;       /* one bit a test, NULL: all; borrowed while the reader lives */
    uint32_t test_count;
    uint64_t key; /* only the span of this key; 0: all */
};
/* What people and links name a span by, within its job: never 0. */
uint64_t store_span_key(uint64_t scope, uint64_t id);
/* An execution is a span, too, and so are its parts. */
enum store_part { STORE_WHOLE, STORE_SETUP, STORE_CALL, STORE_TEARDOWN };
uint64_t store_run_key(const struct store_result *run, enum store_part part);

DZ_MUST_USE enum dz_rc store_spans_open(struct store *self, const char *ulid,
                                        const struct store_span_filter *filter,
                                        struct store_spans **out, struct dz_err *err);
void store_spans_close(struct store_spans **self_p);
/* ABSENT: no more for now.  Type and name are valid until the next call; source and
 * seq are not kept, the scope is. */
DZ_MUST_USE enum dz_rc store_spans_next(struct store_spans *self, struct store_span *out,
                                        struct dz_err *err);

#endif
