/* script.h - the life of a store, operation by operation, for tests that interrupt it.
 *
 * Operation `i` is the same in every run, may be repeated, and is done when it has returned.  After
 * each, what every job says is known as a hash; a store that was interrupted during an operation must
 * have, for each job, what it said before it or what it said after it. */
#ifndef DZ_TESTS_CRASH_SCRIPT_H
#define DZ_TESTS_CRASH_SCRIPT_H

#include "tests/crash/shares.h"

enum {
    SCRIPT_JOBS = 6,
    SCRIPT_PER_JOB = 14,
    SCRIPT_FIRST_RESULTS = 2, /* the first operation that writes some */
    SCRIPT_SPOOL_OPS = 11,    /* of the first job, up to its seal: what is done in a run's folder */
    SCRIPT_SHARES = SCRIPT_JOBS * SCRIPT_PER_JOB, /* from here on, one more job comes in shares */
    SCRIPT_OPS = SCRIPT_SHARES + SHARES * SHARE_PIECES + 1,
};

/* 0: there is no such job.  The last is that of the shares. */
struct script_state {
    uint64_t jobs[SCRIPT_JOBS + 1];
};

struct script {
    const struct shares *shares; /* borrowed, as is the store */
    struct store *store;
    struct store_job *job; /* owned; the one that operations are about */
    uint32_t number;       /* of that job */
};

/* Aborts with a line when the store refuses anything. */
void script_do(struct script *self, uint32_t op);
void script_end(struct script *self);
void script_look(struct store *store, struct script_state *out);
/* Each job is as in `before` or as in `after`; prints what is not. */
bool script_fits(const struct script_state *now, const struct script_state *before,
                 const struct script_state *after);

#endif
