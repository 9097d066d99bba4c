/* pidfile.h - <home>/local.env/daemon.pid: locked while a daemon runs.  Two lines: pid and URL. */
#ifndef DZ_STORE_HTTP_PIDFILE_H
#define DZ_STORE_HTTP_PIDFILE_H

#include "store/http/daemon.h"

/* Make <home>/local.env and take the lock; what a dead daemon wrote is forgotten.
 * EXISTS: a daemon runs, err says which.  REFUSED: the home is not writable. */
DZ_MUST_USE enum dz_rc pidfile_take(const char *home, int *fd_out, struct dz_err *err);
DZ_MUST_USE enum dz_rc pidfile_write(int fd, const char *url, struct dz_err *err);
/* Remove it and let go; fine with -1. */
void pidfile_release(const char *home, int *fd_p);

#endif
