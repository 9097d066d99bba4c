/* proc.h - other processes: watching their end, ending them with all that they started, and what
 * the kernel says of them.
 *
 * A number of a process is only a name, and the kernel gives names out again.  So whoever may die
 * while we look is held by a pidfd, and signals go through that. */
#ifndef DZ_SHARED_PROC_PROC_H
#define DZ_SHARED_PROC_PROC_H

#include <sys/types.h>

#include "shared/base/base.h"
#include "shared/base/buf.h"

/* A descriptor that becomes readable when the process ends.  ABSENT: there is no such process. */
DZ_MUST_USE enum dz_rc dz_pidfd_open(pid_t pid, int *fd_out, struct dz_err *err);
bool dz_pidfd_has_ended(int pidfd);
/* False: it has ended. */
bool dz_pidfd_signal(int pidfd, int number);

/* Signal every process of the group that `leader` leads, the leader's end regardless. */
void dz_group_signal(pid_t leader, int number);

/* SIGKILL everything that descends from `root`, again and again until nothing is found or
 * `budget_ms` is over; what forks meanwhile is found by the next look.  `root` itself stays: when
 * it is a subreaper, grandchildren whose parents die come to it and are found, too.
 * Returns how many signals were sent. */
size_t dz_tree_kill(pid_t root, unsigned budget_ms);

/* Append "name (pid)" of each living descendant of `root`, one a line, at most `limit` bytes. */
void dz_tree_names(pid_t root, size_t limit, struct dz_buf *out);

/* 0: not known. */
pid_t dz_proc_parent(pid_t pid);

/* Was it stopped by a signal (SIGSTOP, Ctrl-Z)?  One that a debugger holds was not. */
bool dz_proc_is_stopped(pid_t pid);

/* "SIGSEGV", or "signal 77" written into `space`. */
const char *dz_signal_name(int number, char space[static 32]);

/* ------------------------------------------------------------------ memory */

/* Counts of processes that the kernel killed for lack of memory: of this control group (v1 and
 * v2) where it can be read, and of the machine. */
struct dz_oom {
    int vmstat, cgroup; /* owned; -1: cannot be read */
};
void dz_oom_init(struct dz_oom *self);
void dz_oom_fini(struct dz_oom *self);
/* Grows when something was killed. */
uint64_t dz_oom_count(struct dz_oom *self);

#endif
