/* pty.h - the pseudo-terminal that a worker writes to. */
#ifndef DZ_WORKER_PTY_H
#define DZ_WORKER_PTY_H

#include "shared/base/base.h"

/* Open a pair.  The slave is raw: no echo, no output processing, so that bytes arrive as they
 * were written; it does not become anybody's controlling terminal.  The master is
 * non-blocking.  Both are close-on-exec and owned by the caller.
 *
 * Where no pseudo-terminal can be had (a chroot without /dev/pts) it is a pair of sockets: tests
 * that ask are told that they have no terminal, and nothing else is different. */
DZ_MUST_USE enum dz_rc pty_open(int *master_out, int *slave_out, struct dz_err *err);

#endif
