/* server.h - sockets in, answers out.  The only door to libmicrohttpd.
 *
 * Threads  The caller's accepts and sweeps (server_serve()).  One thread speaks HTTP, another one
 *          HTTPS where that is on: they parse, never touch the store and never wait.  The lanes
 *          answer (lanes.h).  A request whose answer is being made is suspended, so nothing polls
 *          for it.
 * Limits   Heads, bodies, places and rates: call.h and conns.h. */
#ifndef DZ_STORE_HTTP_SERVER_H
#define DZ_STORE_HTTP_SERVER_H

#include "store/http/conns.h"
#include "store/http/gate.h"
#include "store/http/hub.h"
#include "store/http/lanes.h"
#include "store/http/relay.h"
#include "store/store.h"

struct http_server;

enum { SERVER_LISTENERS_MAX = 16 };

struct http_listener {
    int fd; /* owned by the server from server_new() on; listening, non-blocking */
    bool is_tls;
    bool is_any;     /* all addresses of a family: it has no name of its own */
    bool is_trusted; /* whoever comes here is on this machine or in one of its containers */
};

struct server_opts {
    struct http_listener listeners[SERVER_LISTENERS_MAX];
    size_t listener_count;
    const char *tls_cert, *tls_key; /* PEM texts, borrowed; NULL: no listener is TLS */
    struct conn_limits limits;
    const struct gate *gate; /* borrowed */
};

/* REFUSED: the certificate or key is not usable, whether a listener needs it or not. */
DZ_MUST_USE enum dz_rc server_new(struct store *store, const struct server_opts *opts,
                                  struct http_server **self_out, struct dz_err *err);
/* What it has done so far; from any thread. */
enum { SERVER_BUCKETS = 8, SERVER_CLASSES = 6 };
extern const double server_buckets[SERVER_BUCKETS - 1]; /* seconds; the last one has no end */
struct server_counts {
    struct conn_counts conns;
    struct lanes_counts lanes;
    struct hub_counts hub;
    struct relay_counts relay;
    uint64_t answers[SERVER_CLASSES]; /* by the status's first digit */
    uint64_t buckets[SERVER_BUCKETS]; /* answers by the time from head to answer */
    double seconds;                   /* all of that time */
};
void server_count(struct http_server *self, struct server_counts *out);

struct relay *server_relay(struct http_server *self); /* borrowed */

/* Serve a socket that is connected already, as if it came from this machine; the server owns it.
 * false: there is no place for it. */
bool server_adopt(struct http_server *self, int fd);
/* Let go who is over a deadline.  To be called now and then, as server_serve() does. */
void server_sweep(struct http_server *self);
/* Accept and sweep until `stop_fd` is readable. */
void server_serve(struct http_server *self, int stop_fd);
/* Ends what is under way; answers that are being made are made. */
void server_destroy(struct http_server **self_p);

#endif
