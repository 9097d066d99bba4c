/* model.h - the numbers that messages carry, with their names for people and for JSON. */
#ifndef DZ_SHARED_WIRE_MODEL_H
#define DZ_SHARED_WIRE_MODEL_H

#include "shared/base/base.h"

/* How an execution ended.  X(name).  Order is stored in ledgers: append only. */
#define DZ_RESULT_LIST(X) \
    X(NONE) /* not decided yet */ \
    X(OK) \
    X(OK_FLAKY) \
    X(FAILED) \
    X(CRASHED) \
    X(TIMEOUT) \
    X(SKIPPED) \
    X(XFAIL) \
    X(XPASS) \
    X(REDUNDANT)

enum dz_result {
#define X(name) DZ_RESULT_##name,
    DZ_RESULT_LIST(X)
#undef X
        DZ_RESULTS
};
const char *dz_result_name(enum dz_result result); /* "OK_FLAKY" */

/* Does it turn a job red? */
bool dz_result_is_bad(enum dz_result result);

/* Where a test stands: its line, counted from 1, 0 for none.  With ELSEWHERE it is one of another file than
 * the test's id names (a method of a base class), and what the execution says for people begins with
 * MARK, that file's name and a newline. */
enum dz_line {
    DZ_LINE_ELSEWHERE = 1 << 30,
    DZ_LINE_MAX = DZ_LINE_ELSEWHERE - 1,
    DZ_LINE_MARK = 0x1e,
};

/* Why a worker ended, or why a verdict was given without it.  Append only. */
#define DZ_CAUSE_LIST(X) \
    X(FINISHED, "nothing more to do") \
    X(RECYCLED, "its memory was above the limit") \
    X(STOPPED, "the run was stopped") \
    X(SIGNAL, "killed by a signal") \
    X(EXITED, "the test ended the process") \
    X(OOM, "killed by the kernel, out of memory") \
    X(TIMEOUT, "above its time limit") \
    X(ZYGOTE, "its zygote died") \
    X(AGENT, "its agent died") \
    X(FATAL, "pytest ended in it")

enum dz_cause {
#define X(name, text) DZ_CAUSE_##name,
    DZ_CAUSE_LIST(X)
#undef X
        DZ_CAUSES
};
const char *dz_cause_text(enum dz_cause cause);

/* Ends of a relay. */
enum dz_role { DZ_ROLE_AGENT, DZ_ROLE_CONTROLLER, DZ_ROLE_SEED, DZ_ROLE_ZYGOTE, DZ_ROLE_WORKER };

/* What a fork makes: a zygote that collects and then forks workers, a worker of a zygote, or a
 * process from the seed that loads and collects for itself and is its own single worker. */
enum dz_fork_kind { DZ_FORK_ZYGOTE, DZ_FORK_WORKER, DZ_FORK_SOLO };

/* start.flags */
enum dz_start_flag {
    DZ_START_IN_ORDER = 1,   /* one worker, collection order (--sw) */
    DZ_START_KEEP_ORDER = 2, /* collection order is priority (--ff, --nf): no reordering by time */
    DZ_START_SOLO = 4,       /* workers are forked from the seed (dagz_fork = before-conftests) */
};

/* start.rendezvous: how nodes of one job meet. */
enum dz_rendezvous {
    DZ_RENDEZVOUS_AUTO, /* the store if there is one, else the host, or static shards */
    DZ_RENDEZVOUS_STORE,
    DZ_RENDEZVOUS_HOST,
    DZ_RENDEZVOUS_NONE, /* this run is a job of its own */
};

/* ready.flags */
enum dz_ready_flag {
    DZ_READY_READS_ID = 1,  /* worker id was read before the fork: fork from the seed instead */
    DZ_READY_FORK_SOLO = 2, /* not collected: fork workers that collect for themselves from here */
};

#endif
