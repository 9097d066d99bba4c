/* agent.h - one machine's part in a job: its processes, its results, its voice to the controller.
 *
 * Decides nothing about tests: vassal/core does, and this carries out what it says.  What is
 * decided here is how processes live and die (who forks whom, who is killed when), since a core
 * that is told "this seat is down" need not know why. */
#ifndef DZ_VASSAL_IO_AGENT_H
#define DZ_VASSAL_IO_AGENT_H

#include "shared/base/base.h"
#include "shared/net/loop.h"
#include "vassal/core/vassal.h"
#include "vassal/io/cargo.h"
#include "vassal/io/uplink.h"

struct agent;

struct agent_cfg {
    struct dz_loop *loop;       /* borrowed */
    int controller_fd, seed_fd; /* owned from agent_new() on */
    struct uplink uplink;       /* borrowed */
};

DZ_MUST_USE enum dz_rc agent_new(const struct agent_cfg *cfg, struct agent **self_out,
                                 struct dz_err *err);
void agent_destroy(struct agent **self_p);

/* SIGTERM: end when the controller is gone.  While it lives, the signal was for the whole process
 * group, or came from the end of the thread that started us: the controller says what is to be
 * done. */
void agent_terminate(struct agent *self);

/* What the process ends with, after the loop stopped. */
int agent_exit_code(const struct agent *self);

/* -- for the host -- */

/* Something happened to the node's core.  Borrowed for the call. */
void agent_event(struct agent *self, const struct vassal_event *event);

/* The item of an execution that the scheduler counts now, NULL: not of this node. */
struct cargo_item *agent_item(struct agent *self, uint64_t inc, uint64_t exec);
/* Executions that count and are not known to be stored, copies of other nodes' too. */
void agent_each_left(const struct agent *self, cargo_fn *fn, void *arg);
/* Write the epoch's number to the spool. */
void agent_persist_epoch(struct agent *self, uint64_t n);
/* The job has another short id than was told: a server has numbered it. */
void agent_rename(struct agent *self, const struct uplink_job *job);
/* What others have run is known now, see uplink.compare(). */
void agent_compared(struct agent *self);
/* uplink.settle() is over.  pending: what the server has not, which is in `path`; 0 and "": none. */
void agent_settled(struct agent *self, uint64_t pending, const char *path, const char *why);
/* A line for people. severity as in message note. */
void agent_note(struct agent *self, unsigned severity, struct dz_slice text);

/* Before something that waits, while the loop does not turn: the controller is to hear that we live. */
void agent_waits(struct agent *self);
/* A line for the log in the store: what scheduler and agent do. */
void agent_log(struct agent *self, const char *fmt, ...) DZ_PRINTF(2, 3);

#endif
