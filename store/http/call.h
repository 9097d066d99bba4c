/* call.h - one request and its answer, as the routes see it.  Nothing here knows the library that
 * speaks HTTP.
 *
 * A route is a row of the table in routes.c.  Its handler runs in a thread of the route's lane,
 * gets a whole request, and fills the answer; it never waits for a client.  Every answer is
 * bounded: lists end at a limit and name the next page. */
#ifndef DZ_STORE_HTTP_CALL_H
#define DZ_STORE_HTTP_CALL_H

#include "shared/base/arena.h"
#include "shared/base/buf.h"
#include "store/feed.h"
#include "store/http/relay.h"
#include "store/store.h"

enum {
    HTTP_PARAMS = 3,           /* most {names} in one path */
    HTTP_PAIRS = 48,           /* most headers and arguments of one request */
    HTTP_BODY_MAX = 16 << 20,  /* of any route */
    HTTP_ANSWER_MAX = 4 << 20, /* a page ends after the record that passes this */
};

enum http_lane {
    HTTP_NOW,   /* in the thread that speaks HTTP: must take microseconds and not touch the store */
    HTTP_READ,  /* several threads, each with a store handle of its own */
    HTTP_WRITE, /* one thread: the only one that writes */
    HTTP_STREAM,  /* as HTTP_READ; then, with is_stream, events behind what is in `out` */
    HTTP_LETTERS, /* as HTTP_READ, for who may write; then, with is_fetch, when there is something */
    HTTP_LANES,
};

struct http_call;
struct http_server;

struct http_route {
    const char *method, *path; /* "GET", "/api/v1/jobs/{job}" */
    enum http_lane lane;
    const char *args;  /* names that its query may have, one space between two; NULL: none */
    uint32_t body_max; /* bytes; 0: no body */
    bool is_open;      /* answered without a token too: /healthz */
    void (*handle)(struct http_call *call);
    /* HTTP_WRITE only, instead of handle: all calls of this route that wait, at most
     * HTTP_GROUP_MAX, so that they may share one commit. */
    void (*handle_group)(struct http_call **calls, size_t count);
};
enum { HTTP_GROUP_MAX = 64 };

struct http_pair {
    const char *name, *value; /* NUL-terminated; value may be "" */
};

extern const struct http_pair http_always[]; /* headers of every answer; ended by a NULL name */

/* Who asks. */
struct http_who {
    const char *project; /* URI that the token is bound to; NULL: any */
    bool may_write;
};

struct http_call {
    /* the request; all of it lives as long as the call */
    const struct http_route *route;
    struct http_server *server;
    const char *params[HTTP_PARAMS]; /* what stood at each {name}, decoded */
    struct http_pair headers[HTTP_PAIRS], args[HTTP_PAIRS];
    size_t header_count, arg_count;
    struct dz_buf body;
    struct http_who who;
    int64_t now_us;
    struct store
        *store; /* the lane's own handle; NULL in HTTP_NOW; READ: NULL, nothing there yet */

    /* the answer */
    int status;                /* 200 unless set */
    const char *type;          /* static; application/json unless set */
    struct dz_buf out;         /* body */
    struct dz_buf link;        /* URL of the next page; empty: none */
    struct dz_buf allow;       /* 405: what may be asked */
    uint32_t retry_s;          /* > 0: Retry-After */
    bool is_cachable;          /* it will never change */
    bool is_fetch;             /* `out` is what this fetch brings, perhaps later: */
    struct relay_fetch fetch;  /* its strings are the arena's */
    bool is_stream;            /* go on with events: */
    struct feed_filter filter; /* its strings are the arena's or the token's */
    struct feed_at from;
    uint64_t event;  /* row of the feed that comes next, as it was before the answer was made */
    bool has_counts; /* Dagz-All and Dagz-Found: of a list, and of what fits the query */
    uint32_t all, found;
    bool has_place; /* Dagz-Place: of a log, the part that comes next, see store_logs_until() */
    uint32_t place;

    struct dz_arena arena; /* owns the strings above */
};

/* NULL: not given.  Header names in any case. */
const char *http_header(const struct http_call *self, const char *name);
const char *http_arg(const struct http_call *self, const char *name);

/* A whole number of the query within bounds, `otherwise` when it is not given.  false: refused, and
 * the answer says so. */
bool http_arg_number(struct http_call *self, const char *name, uint64_t least, uint64_t most,
                     uint64_t otherwise, uint64_t *out);

/* Answer with a problem document (RFC 9457); what was in `out` is dropped. */
void http_problem(struct http_call *self, int status, const char *fmt, ...) DZ_PRINTF(3, 4);
/* The same, for what a call of the store returned. */
void http_problem_rc(struct http_call *self, enum dz_rc rc, const struct dz_err *err);

#endif
