/* server.c - the life of a request between the library and the lanes. */
#include "store/http/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shared/base/clock.h"
#include "shared/base/fd.h"
#include "shared/base/log.h"
#include "store/http/head.h"
#include "store/http/route.h"
#include "store/http/server_own.h"

enum {
    MEMORY_MAX = 2 * HEAD_BYTES_MAX, /* of a connection: its head, and what the library notes */
    SILENCE_S = 30,                  /* the library's own limit */
    READERS = 2,
    PLACES_SPARE = 64, /* closed by us, not yet by the library */
    LANE_FULL_S = 1,
    BODIES_MAX = 96 << 20, /* of all requests together */
    STREAMS_FULL_S = 10,
    STREAM_BLOCK = 8 << 10,
};

/*   NEW     the head is being read
 *   BODY    the head is accepted, the body is being read
 *   LANE    a lane has it; the connection is suspended
 *   ANSWER  the answer is complete or on its way */
enum request_state { REQUEST_NEW, REQUEST_BODY, REQUEST_LANE, REQUEST_ANSWER };

/* The call is first: lanes give back a pointer to it. */
struct request {
    struct http_call call;
    enum request_state state;
    bool is_refused;                   /* the body that still comes is not wanted */
    struct MHD_Connection *connection; /* the library's */
    struct conn *conn;
    char *target;              /* owned; path and query as sent */
    dz_us begun;               /* its head was read */
    struct hub_stream *stream; /* owned; NULL: an answer that ends */
};

/* ---- beginning and end of a request ---- */

static int
fd_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info ? info->connect_fd : -1;
}

/* The request line has been read; what this returns is the request from now on. */
static void *
on_target(void *arg, const char *target, struct MHD_Connection *connection)
{
    struct http_server *self = arg;
    struct request *request = dz_alloc0(1, sizeof(*request));
    struct timespec now;
    (void) clock_gettime(CLOCK_REALTIME, &now);
    request->connection = connection;
    request->begun = dz_clock_us();
    request->conn = conns_of(self->conns, fd_of(connection));
    request->target = dz_strdup(target);
    request->call.server = self;
    request->call.now_us = (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
    request->call.status = 200;
    request->call.type = "application/json";
    return request;
}

static void
on_end(void *arg, struct MHD_Connection *connection, void **request_p,
       enum MHD_RequestTerminationCode code)
{
    struct http_server *self = arg;
    struct request *request = dz_move(*request_p);
    (void) connection;
    (void) code; /* an answer that was not taken is its asker's loss */
    if (!request)
        return;
    (void) conn_move(self->conns, request->conn, CONN_HEAD, 0, dz_clock_ms()); /* never refused */
    hub_leave(&request->stream);
    (void) atomic_fetch_sub(&self->bodies, request->call.body.len);
    dz_buf_fini(&request->call.body);
    dz_buf_fini(&request->call.out);
    dz_buf_fini(&request->call.link);
    dz_buf_fini(&request->call.allow);
    dz_arena_fini(&request->call.arena);
    free(request->target);
    free(request);
}

static void
on_connection(void *arg, struct MHD_Connection *connection, void **socket_arg,
              enum MHD_ConnectionNotificationCode code)
{
    struct http_server *self = arg;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *socket_arg = (void *) (uintptr_t) (atomic_fetch_add(&self->lines, 1) + 1);
        return;
    }
    conns_forget(self->conns, fd_of(connection));
    relay_hang_up(self->relay, (uintptr_t) *socket_arg, dz_clock_ms());
}

/* Its number among all that there were. */
static uint64_t
line_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? (uintptr_t) info->socket_context : 0;
}

/* ---- answering ---- */

static enum MHD_Result
answer(struct http_server *self, struct request *request)
{
    struct http_call *call = &request->call;
    size_t len = call->out.len;
    server_note(self, request->call.status, request->begun);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(len, dz_move(call->out.data), MHD_RESPMEM_MUST_FREE);
    call->out = (struct dz_buf){ 0 };
    request->state = REQUEST_ANSWER;
    (void) conn_move(self->conns, request->conn, CONN_ANSWER, len, dz_clock_ms());
    server_add_headers(response, call);
    enum MHD_Result rc = MHD_queue_response(request->connection, (unsigned) call->status, response);
    MHD_destroy_response(response);
    return rc;
}

/* ---- answers that do not end ---- */

static void
hold_stream(void *owner)
{
    struct request *request = owner;
    MHD_suspend_connection(request->connection);
}

static void
wake_stream(void *owner)
{
    struct request *request = owner;
    MHD_resume_connection(request->connection);
}

static ssize_t
read_stream(void *arg, uint64_t at, char *to, size_t max)
{
    struct request *request = arg;
    (void) at;
    ssize_t len = hub_read(request->stream, to, max);
    /* A stream has no end of its own: that it is cut short must be seen, and not only sometimes. */
    return len < 0 ? MHD_CONTENT_READER_END_WITH_ERROR : len;
}

static enum MHD_Result
answer_stream(struct http_server *self, struct request *request)
{
    struct http_call *call = &request->call;
    struct hub_ask ask = { call->filter, call->from, dz_buf_slice(&call->out) };
    bool has_room = conn_move(self->conns, request->conn, CONN_STREAM, 0, dz_clock_ms());
    request->stream = has_room ? hub_join(self->hub, &ask, request) : NULL;
    if (!request->stream) {
        call->is_stream = false;
        call->retry_s = STREAMS_FULL_S;
        http_problem(call, 503, "there are too many streams of events; come again");
        return answer(self, request);
    }
    server_note(self, request->call.status, request->begun);
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, STREAM_BLOCK, read_stream, request, NULL);
    server_add_headers(response, call);
    enum MHD_Result rc = MHD_queue_response(request->connection, (unsigned) call->status, response);
    MHD_destroy_response(response);
    return rc;
}

/* ---- between lanes and library ---- */

static void
resume(struct request *request)
{
    request->state = REQUEST_ANSWER;
    MHD_resume_connection(request->connection);
}

/* In a lane's thread.  A fetch that waits is the relay's from then on. */
static void
on_done(struct http_call *call)
{
    struct request *request = (struct request *) call;
    struct http_server *self = call->server;
    bool is_members = call->route->lane == HTTP_LETTERS && call->status == 200;
    if (is_members) /* many of them may be behind one address */
        conn_give_back(self->conns, request->conn);
    if (!call->is_fetch) {
        resume(request);
        return;
    }
    int fd = fd_of(request->connection);
    uint64_t line = call->fetch.line = line_of(request->connection);
    if (relay_take(self->relay, &call->fetch, dz_clock_ms()))
        resume(request);
    else /* it may be answered and gone by now */
        server_watch(self, fd, line);
}

/* In whatever thread brought something for it. */
static void
on_fetched(void *owner)
{
    struct request *request = owner;
    request->begun = dz_clock_us(); /* that it waited was asked for */
    resume(request);
}

/* The request is whole. */
static enum MHD_Result
dispatch(struct http_server *self, struct request *request)
{
    struct http_call *call = &request->call;
    if (call->route->lane == HTTP_NOW) {
        call->route->handle(call);
        return answer(self, request);
    }
    (void) conn_move(self->conns, request->conn, CONN_WORK, 0, dz_clock_ms());
    request->state = REQUEST_LANE;
    MHD_suspend_connection(request->connection);
    if (!lanes_put(self->lanes, call)) {
        call->retry_s = LANE_FULL_S;
        http_problem(call, 503, "the store has more to do than it can; come again");
        resume(request);
    }
    return MHD_YES;
}

/* ---- the head ---- */

static enum MHD_Result
add_header(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct http_call *call = arg;
    (void) kind;
    if (call->header_count == HTTP_PAIRS)
        return MHD_NO;
    struct dz_slice text = dz_str(value ? value : ""), title = dz_str(name);
    text.len++; /* with their NULs */
    title.len++;
    call->headers[call->header_count++] = (struct http_pair){
        .name = (const char *) dz_arena_copy(&call->arena, title).ptr,
        .value = (const char *) dz_arena_copy(&call->arena, text).ptr,
    };
    return MHD_YES;
}

static bool
read_headers(struct request *request)
{
    struct http_call *call = &request->call;
    int count = MHD_get_connection_values(request->connection, MHD_HEADER_KIND, NULL, NULL);
    (void) MHD_get_connection_values(request->connection, MHD_HEADER_KIND, add_header, call);
    if (count <= HTTP_PAIRS)
        return true;
    http_problem(call, 400, "the request has %d headers; %d are the most", count, HTTP_PAIRS);
    return false;
}

/* What the head says of a body must be what the route takes. */
static bool
check_body(struct http_call *call)
{
    const char *length = http_header(call, "Content-Length");
    uint64_t most = call->route->body_max;
    bool has_body =
        length ? strtoull(length, NULL, 10) > 0 : http_header(call, "Transfer-Encoding") != NULL;
    if (!has_body)
        return true;
    if (most == 0)
        http_problem(call, 400, "%s takes no body", call->route->path);
    else if (length && strtoull(length, NULL, 10) > most)
        http_problem(call, 413, "a body of %s takes at most %llu bytes", call->route->path,
                     (unsigned long long) most);
    else
        return true;
    return false;
}

static bool
accept_head(struct http_server *self, struct request *request, const char *method)
{
    struct http_call *call = &request->call;
    if (!conn_may_ask(self->conns, request->conn, dz_clock_ms(), &call->retry_s)) {
        http_problem(call, 429, "more requests than this server takes from one address");
        return false;
    }
    call->retry_s = 0;
    return read_headers(request) && head_admits(call, request->target) &&
           route_find(call, method, request->target) &&
           gate_admits(self->gate, call, conn_is_trusted(request->conn)) && check_body(call);
}

/* ---- the library calls: once for the head, for pieces of the body, at its end, after a lane ---- */

/* What is refused is read to its end and not kept. */
static void
refuse_body(struct http_server *self, struct request *request)
{
    (void) atomic_fetch_sub(&self->bodies, request->call.body.len);
    dz_buf_fini(&request->call.body);
    request->is_refused = true;
}

static void
take_body(struct http_server *self, struct request *request, const char *data, size_t len)
{
    struct http_call *call = &request->call;
    conn_progress(self->conns, request->conn, len);
    if (request->is_refused)
        return;
    if (call->body.len + len > call->route->body_max) {
        http_problem(call, 413, "a body of %s takes at most %u bytes", call->route->path,
                     call->route->body_max);
        refuse_body(self, request);
    } else if (atomic_load(&self->bodies) + len > BODIES_MAX) {
        call->retry_s = LANE_FULL_S;
        http_problem(call, 503, "the store has more to do than it can; come again");
        refuse_body(self, request);
    } else {
        dz_buf_add(&call->body, data, len);
        (void) atomic_fetch_add(&self->bodies, len);
    }
}

static enum MHD_Result
on_request(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
           const char *version, const char *data, size_t *len, void **request_p)
{
    struct http_server *self = arg;
    struct request *request = *request_p;
    (void) connection;
    (void) url;
    (void) version;
    if (!request)
        return MHD_NO;
    switch (request->state) {
    case REQUEST_NEW:
        request->state = REQUEST_BODY;
        (void) conn_move(self->conns, request->conn, CONN_BODY, 0, dz_clock_ms());
        return accept_head(self, request, method) ? MHD_YES : answer(self, request);
    case REQUEST_BODY:
        if (*len == 0)
            return request->is_refused ? answer(self, request) : dispatch(self, request);
        take_body(self, request, data, *len);
        *len = 0;
        return MHD_YES;
    case REQUEST_LANE: return MHD_YES; /* still there */
    case REQUEST_ANSWER:
        return request->call.is_stream ? answer_stream(self, request) : answer(self, request);
    }
    return MHD_NO;
}

static void
on_library_log(void *arg, const char *fmt, va_list args)
{
    char text[256];
    (void) arg;
    (void) vsnprintf(text, sizeof(text), fmt, args);
    text[strcspn(text, "\r\n")] = '\0';
    log_debug("http.library", "text=%s", text);
}

/* ---- starting ---- */

static const struct hub_ops stream_ops = { hold_stream, wake_stream };

static struct MHD_Daemon *
start(struct http_server *self, const struct server_opts *opts, bool is_tls)
{
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC |
                     MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG | (is_tls ? MHD_USE_TLS : 0);
    const struct MHD_OptionItem secure[] = {
        { MHD_OPTION_HTTPS_MEM_CERT, 0, (void *) opts->tls_cert },
        { MHD_OPTION_HTTPS_MEM_KEY, 0, (void *) opts->tls_key },
        { MHD_OPTION_END, 0, NULL },
    };
    const struct MHD_OptionItem none[] = { { MHD_OPTION_END, 0, NULL } };
    return MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, self, MHD_OPTION_EXTERNAL_LOGGER, on_library_log, NULL,
        MHD_OPTION_URI_LOG_CALLBACK, on_target, self, MHD_OPTION_NOTIFY_COMPLETED, on_end, self,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, self, MHD_OPTION_CONNECTION_LIMIT,
        opts->limits.total + PLACES_SPARE, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned) SILENCE_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) MEMORY_MAX, MHD_OPTION_STRICT_FOR_CLIENT, 0,
        MHD_OPTION_ARRAY, is_tls ? secure : none, MHD_OPTION_END);
}

static enum dz_rc
start_daemons(struct http_server *self, const struct server_opts *opts, struct dz_err *err)
{
    bool wants_tls = false;
    for (size_t i = 0; i < opts->listener_count; i++)
        wants_tls |= opts->listeners[i].is_tls;
    self->plain = start(self, opts, false);
    if (!self->plain)
        return dz_fail(err, DZ_IO, "the HTTP server does not start");
    if (!opts->tls_cert)
        return DZ_OK;
    self->tls = start(self, opts, true);
    if (!self->tls)
        return dz_fail(err, DZ_REFUSED,
                       "the certificate does not fit its key, or one of them is damaged");
    if (!wants_tls) { /* it was to be seen only that it would start */
        MHD_stop_daemon(self->tls);
        self->tls = NULL;
    }
    return DZ_OK;
}

enum dz_rc
server_new(struct store *store, const struct server_opts *opts, struct http_server **self_out,
           struct dz_err *err)
{
    DZ_AUTO(server_destroy) struct http_server *self = dz_alloc0(1, sizeof(*self));
    memcpy(self->listeners, opts->listeners, sizeof(self->listeners));
    self->listener_count = opts->listener_count;
    self->gate = opts->gate;
    self->hang_ups = -1;
    (void) pthread_mutex_init(&self->counting, NULL); /* a plain one cannot fail */
    self->conns = conns_new(&opts->limits);
    self->lanes = lanes_new(store, READERS, on_done);
    self->hub = hub_new(store, &stream_ops);
    self->relay = relay_new(on_fetched);
    enum dz_rc rc = server_open_door(self, err);
    if (rc == DZ_OK)
        rc = start_daemons(self, opts, err);
    if (rc == DZ_OK)
        *self_out = dz_move(self);
    return rc;
}

void
server_destroy(struct http_server **self_p)
{
    struct http_server *self = dz_move(*self_p);
    if (!self)
        return;
    for (size_t i = 0; i < self->listener_count; i++)
        dz_fd_close(&self->listeners[i].fd);
    door_destroy(&self->door);
    lanes_stop(self->lanes); /* these resume what was suspended: the library wants that first */
    relay_stop(self->relay);
    hub_stop(self->hub);
    if (self->plain)
        MHD_stop_daemon(self->plain);
    if (self->tls)
        MHD_stop_daemon(self->tls);
    lanes_destroy(&self->lanes);
    hub_destroy(&self->hub);
    relay_destroy(&self->relay);
    conns_destroy(&self->conns);
    dz_fd_close(&self->hang_ups);
    (void) pthread_mutex_destroy(&self->counting);
    free(self);
}

void
server_count(struct http_server *self, struct server_counts *out)
{
    (void) pthread_mutex_lock(&self->counting);
    *out = self->counts;
    (void) pthread_mutex_unlock(&self->counting);
    conns_count(self->conns, &out->conns);
    lanes_count(self->lanes, &out->lanes);
    hub_count(self->hub, &out->hub);
    relay_count(self->relay, &out->relay);
}

struct relay *
server_relay(struct http_server *self)
{
    return self->relay;
}
