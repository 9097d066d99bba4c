/* http.h - asking a store over HTTP.  The only door to libcurl.
 *
 * A client keeps connections and asks several things at once; each ask ends in exactly one answer,
 * unless it is dropped first.  It does not block: who has a loop gives a driver and tells of
 * descriptors and time; who has none calls dz_http_wait(), or dz_http_call() for one ask.
 *
 * Bounds      Every ask has a time for all of it and a most for its answer; three seconds to
 *             connect; a connection that is slower than a byte a second for long is given up.
 * Credentials The token goes into a header of every request and nowhere else; redirects are not
 *             followed.  Only http and https.  Loopback is never asked through a proxy.
 * Retries     are the caller's, who knows what may be repeated: dz_http_backoff() says when. */
#ifndef DZ_SHARED_HTTP_HTTP_H
#define DZ_SHARED_HTTP_HTTP_H

#include "shared/base/buf.h"

struct dz_http;

enum {
    DZ_HTTP_READ = 1,
    DZ_HTTP_WRITE = 2,
    DZ_HTTP_ASKS = 16, /* at one time */
    DZ_HTTP_TOKEN_MAX = 4096,
    DZ_HTTP_RETRY_AFTER_MAX_MS = 60 * 1000, /* a server may ask for no more patience than this */
};

/* What a loop does for a client.  `events` 0: not any more. */
struct dz_http_driver {
    void *arg;
    void (*watch)(void *arg, int fd, unsigned events);
    void (*wake_at)(void *arg, dz_us at); /* 0: not at all */
};

struct dz_http_opts {
    const char *token;             /* NULL: none; copied */
    const char *ca_file;           /* NULL: the system's; copied */
    struct dz_http_driver *driver; /* copied; NULL: dz_http_wait() is called */
};

DZ_MUST_USE enum dz_rc dz_http_new(const struct dz_http_opts *opts, struct dz_http **self_out,
                                   struct dz_err *err);
void dz_http_destroy(struct dz_http **self_p); /* drops what is asked; not from an answer */

/* Valid during the call of fn. */
struct dz_http_answer {
    int status; /* 0: there was no answer, and rc and why say what happened */
    /* AGAIN: too slow.  CLOSED: nobody there.  LIMIT: too long.  REFUSED: not trusted (TLS).
     * IO: anything else. */
    enum dz_rc rc;
    const char *why;
    struct dz_slice body;
    const char *type;     /* "" when it says none */
    dz_ms retry_after_ms; /* 0: not said */
    int64_t number;       /* of the header that was asked for; -1: it is not there */
};

struct dz_http_ask {
    const char *method; /* "GET", "POST", "PUT", "DELETE" */
    const char *url;
    const char *type;           /* of the body */
    struct dz_slice body;       /* borrowed until the answer */
    size_t answer_max;          /* bytes */
    dz_ms timeout_ms;           /* for all of it */
    const char *const *headers; /* further ones, "Name: value"; borrowed for the call; NULL ends */
    void (*fn)(void *arg, const struct dz_http_answer *answer);
    void (*on_bytes)(void *arg, struct dz_slice bytes); /* NULL: the body is gathered; else given as
                                                           it comes, when status is 200 */
    void *arg;
    const char *number_name; /* of a header whose number is wanted; NULL: none; borrowed */
    int64_t *number_out;     /* dz_http_call(): where it goes, as in the answer; NULL: nowhere */
};

/* LIMIT: too many at one time.  CORRUPT: the URL.  When it returns OK, fn will be called, later. */
DZ_MUST_USE enum dz_rc dz_http_ask(struct dz_http *self, const struct dz_http_ask *ask,
                                   struct dz_err *err);
/* Forget every ask with this arg: fn is not called. */
void dz_http_drop(struct dz_http *self, const void *arg);
unsigned dz_http_count(const struct dz_http *self); /* asks without an answer */

/* From the driver: something happened at a descriptor, or the time came. */
void dz_http_on_fd(struct dz_http *self, int fd, unsigned events);
void dz_http_on_time(struct dz_http *self);

/* Without a driver: wait for something to happen, at most so long, and call what is due. */
void dz_http_wait(struct dz_http *self, dz_ms wait_ms);

/* Ask, wait for the answer, and give its body: appended to *body_out.  fn and arg of `ask` are not
 * used.  What went wrong on the way is the answer's rc and why. */
DZ_MUST_USE enum dz_rc dz_http_call(struct dz_http *self, const struct dz_http_ask *ask,
                                    int *status_out, struct dz_buf *body_out, struct dz_err *err);

/* ---- helpers ---- */

/* How long to wait before try number `tries` (from 1): full jitter, so that many who lost the same
 * server do not come back together. */
dz_ms dz_http_backoff(unsigned tries, dz_ms first_ms, dz_ms most_ms);

/* May the same be asked again later?  No answer, 408, 425, 429, 5xx but 501 and 505. */
bool dz_http_is_passing(const struct dz_http_answer *answer);

/* DAGZ_TOKEN, or the first line of the file that DAGZ_TOKEN_FILE names; NULL: neither is set.
 * Caller owns.  A file that others may read, or that is not there, is an error. */
DZ_MUST_USE enum dz_rc dz_http_token(char **token_out, struct dz_err *err);

#endif
