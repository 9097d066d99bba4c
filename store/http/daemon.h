/* daemon.h - the store as a process of its own: what 'zb daemon' does.
 *
 * Files in <home>/local.env: daemon.pid is locked while a daemon runs (a pid file that nobody locks
 * is stale and taken over), daemon.url is where it listens, daemon.log what it says. */
#ifndef DZ_STORE_HTTP_DAEMON_H
#define DZ_STORE_HTTP_DAEMON_H

#include "shared/base/base.h"
#include "shared/conf/url.h"

/* What is known of a home's daemon. */
struct daemon_status {
    bool is_running;
    long pid;
    char url[DZ_URL_MAX];
};
void daemon_look(const char *home, struct daemon_status *out);
/* The same, but one that is starting is waited for.  ABSENT: none runs.  AGAIN: it does not get
 * ready within wait_ms. */
DZ_MUST_USE enum dz_rc daemon_await(const char *home, dz_ms wait_ms, struct daemon_status *out,
                                    struct dz_err *err);

/* Does it answer /healthz?  CLOSED, AGAIN (too slow), IO: why not. */
DZ_MUST_USE enum dz_rc daemon_ask(const struct daemon_status *status, struct dz_err *err);

/* Called once it answers. */
typedef void daemon_ready_fn(void *arg, const char *url);

/* Be the daemon until SIGTERM or SIGINT.
 * EXISTS: one is running already, or a port is taken.  REFUSED: not permitted, or not safe.
 * CORRUPT: daemon.yaml or the tokens.  VERSION: the data are newer. */
DZ_MUST_USE enum dz_rc daemon_run(const char *home, daemon_ready_fn *ready, void *arg,
                                  struct dz_err *err);

/* The same in the background; returns when it is ready.  AGAIN: not within wait_ms. */
DZ_MUST_USE enum dz_rc daemon_start(const char *home, dz_ms wait_ms, struct dz_err *err);

/* End it and wait for that.  ABSENT: none runs.  AGAIN: still there after wait_ms. */
DZ_MUST_USE enum dz_rc daemon_stop(const char *home, dz_ms wait_ms, struct dz_err *err);

/* Path of its log.  Caller owns. */
char *daemon_log_path(const char *home);

#endif
