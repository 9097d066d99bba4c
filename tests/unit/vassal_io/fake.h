/* fake.h - controller, seed, zygote and workers in C, around a real dagz-agent.
 *
 * The processes are real forks, the channels real socket pairs, the memory real mappings; only
 * Python is missing.  A test's behaviour is a function, which forked workers inherit.  The test
 * process is the controller.
 *
 * Everybody forked holds the writing end of one pipe, so "nobody is left" is EOF on it. */
#ifndef DZ_TESTS_UNIT_VASSAL_IO_FAKE_H
#define DZ_TESTS_UNIT_VASSAL_IO_FAKE_H

#include <sys/types.h>

#include "shared/base/base.h"
#include "shared/base/buf.h"
#include "shared/wire/model.h"
#include "shared/wire/wire.h"
#include "worker/link.h"

enum { FAKE_WORKERS_MAX = 8, FAKE_PATIENCE_MS = 60000 };

/* A worker while one of its tests runs. */
struct act {
    struct link *link;
    unsigned worker;
    uint32_t test, attempt;
    uint32_t result;    /* DZ_RESULT_OK unless the behaviour says otherwise */
    struct dz_buf blob; /* added to the report */
};

typedef void fake_behaviour(struct act *act);

struct fake_plan {
    uint32_t tests;
    unsigned workers;
    bool is_solo;
    bool reads_id; /* the first zygote says so */
    bool is_no_go;
    uint64_t timeout_ms, strikes, flags;
    fake_behaviour *behave; /* NULL: every test passes */
    /* Name of the local test `index` for a collecting process; NULL: all collect "t00000"... in
     * descending order, so that local numbers differ from the node's. */
    void (*name)(unsigned worker, uint32_t index, char out[64]);
    uint32_t (*count)(unsigned worker); /* NULL: plan->tests */
    const char *home;                   /* NULL: a new folder */
    uint64_t file_limit;                /* bytes; RLIMIT_FSIZE of the agent, 0: none */
};

/* What the controller heard. */
struct fake {
    struct fake_plan plan;
    char root[64], home[96], log[96];
    int channel, seed_life, lives; /* owned */
    pid_t agent, seed;
    pid_t zygote; /* as the zygote's process told through `relay`, 0: not yet */
    struct dz_buf in;
    char job[64];
    uint64_t incarnation;
    unsigned agent_deaths;
    uint32_t *reports;            /* by node test: counted ones, each (test, attempt, exec) once */
    uint64_t *last_exec;          /* of the last report, to drop repeats */
    uint32_t *verdicts, *strikes; /* by node test */
    uint64_t report_total, blob_total, repeats;
    char detail[8192]; /* of the last verdict */
    uint64_t last_cause;
    unsigned ups, downs, notes, relays, progresses, alives;
    pid_t worker_pid[FAKE_WORKERS_MAX];
    char note[4096]; /* all of them, one a line */
    bool is_done;
    struct dz_msg_done done;
};

void fake_start(struct fake *self, const struct fake_plan *plan);
/* Hear the agent until `done`, or until `until` says so (NULL: only `done`). */
void fake_run(struct fake *self, bool (*until)(struct fake *self));
void fake_stop(struct fake *self, int how);
/* Start another agent, as a controller does when the first one dies. */
void fake_replace_agent(struct fake *self);
/* Say goodbye, wait for everybody's end, and remove the folder. */
void fake_finish(struct fake *self, int exit_code);
/* Close the controller's ends without a word: its death. */
void fake_vanish(struct fake *self);
/* Everybody is gone within the patience. */
bool fake_is_alone(struct fake *self);

#endif
