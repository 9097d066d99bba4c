/* log.h - what a daemon says of itself: one JSON line per event.
 *
 *     log_warn("lease.expired", "job=%s slot=%u why=%s", job, slot, "it was silent");
 *     {"t":1234567,"pid":42,"level":"warn","event":"lease.expired","job":"..","slot":3,"why":".."}
 *
 * `t` is microseconds of CLOCK_MONOTONIC.  The event's name is stable and listed in
 * docs/operations.md.  A value reaches up to the next " name=", so it may hold spaces; numbers are
 * written as JSON numbers.  Lines are written whole by one write(), so that processes may share a
 * file.  Level and descriptor are the process's only mutable globals, set once at its start.
 * shared/ and core/ stay at debug; who gives up on an error logs it, once. */
#ifndef DZ_SHARED_BASE_LOG_H
#define DZ_SHARED_BASE_LOG_H

#include "shared/base/base.h"

enum dz_log_level { DZ_LOG_DEBUG, DZ_LOG_INFO, DZ_LOG_WARN, DZ_LOG_ERROR, DZ_LOG_LEVELS };

/* `fd` is borrowed; -1: nothing is logged (the state at start). */
void dz_log_start(int fd, enum dz_log_level least);

/* Open (append, create) and start.  The descriptor lives as long as the process. */
DZ_MUST_USE enum dz_rc dz_log_open(const char *path, enum dz_log_level least, struct dz_err *err);

bool dz_log_wants(enum dz_log_level level);
void dz_log(enum dz_log_level level, const char *event, const char *fmt, ...) DZ_PRINTF(3, 4);

/* Nothing is formatted when nobody listens. */
#define dz_log_if(level, ...) (dz_log_wants(level) ? dz_log(level, __VA_ARGS__) : (void) 0)
#define log_debug(...)        dz_log_if(DZ_LOG_DEBUG, __VA_ARGS__)
#define log_info(...)         dz_log_if(DZ_LOG_INFO, __VA_ARGS__)
#define log_warn(...)         dz_log_if(DZ_LOG_WARN, __VA_ARGS__)
#define log_error(...)        dz_log_if(DZ_LOG_ERROR, __VA_ARGS__)

struct dz_buf;
/* Append `text` as the inside of a JSON string; bytes that are not UTF-8 become U+FFFD. */
void dz_json_escape(struct dz_buf *out, struct dz_slice text);

#endif
