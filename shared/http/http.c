#include "shared/http/http.h"

#include <curl/curl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/clock.h"

enum { CONNECT_MS = 3000, SLOW_BYTES = 1, SLOW_S = 15, HEADERS_MAX = 16 };

/* One ask under way. */
struct ask {
    struct dz_http *http;       /* borrowed; NULL: free */
    CURL *easy;                 /* owned */
    struct curl_slist *headers; /* owned */
    struct dz_http_ask asked;
    struct dz_buf body;
    bool is_too_long, is_dropped;
    char why[CURL_ERROR_SIZE];
};

struct dz_http {
    CURLM *multi; /* owned, as are the next */
    char *bearer, *ca_file;
    struct dz_http_driver driver;
    bool has_driver;
    struct ask asks[DZ_HTTP_ASKS];
    unsigned count;
};

/* ------------------------------------------------------------------ what curl calls */

static size_t
on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct ask *self = arg;
    size_t len = size * count;
    long status = 0;
    if (self->is_dropped)
        return 0;
    (void) curl_easy_getinfo(self->easy, CURLINFO_RESPONSE_CODE, &status);
    if (self->asked.on_bytes && status == 200) {
        self->asked.on_bytes(self->asked.arg, (struct dz_slice){ (uint8_t *) bytes, len });
        return self->is_dropped ? 0 : len;
    }
    if (self->body.len + len > self->asked.answer_max) {
        self->is_too_long = true;
        return 0;
    }
    dz_buf_add(&self->body, bytes, len);
    return len;
}

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    (void) easy, (void) socket_arg;
    const struct dz_http *self = arg;
    unsigned events = (what == CURL_POLL_IN || what == CURL_POLL_INOUT ? DZ_HTTP_READ : 0U) |
                      (what == CURL_POLL_OUT || what == CURL_POLL_INOUT ? DZ_HTTP_WRITE : 0U);
    self->driver.watch(self->driver.arg, (int) fd, events);
    return 0;
}

static int
on_timer(CURLM *multi, long timeout_ms, void *arg)
{
    (void) multi;
    const struct dz_http *self = arg;
    self->driver.wake_at(self->driver.arg,
                         timeout_ms < 0 ? 0 : dz_clock_us() + (dz_us) timeout_ms * 1000);
    return 0;
}

/* ------------------------------------------------------------------ life */

static bool
init_curl(void)
{
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK; /* counts how often; cheap again */
}

enum dz_rc
dz_http_new(const struct dz_http_opts *opts, struct dz_http **self_out, struct dz_err *err)
{
    if (!init_curl())
        return dz_fail(err, DZ_IO, "libcurl cannot be used");
    struct dz_http *self = dz_alloc0(1, sizeof(*self));
    self->multi = curl_multi_init();
    dz_assert(self->multi); /* out of memory */
    (void) curl_multi_setopt(self->multi, CURLMOPT_MAXCONNECTS, 4L);
    if (opts->token) {
        struct dz_buf bearer = { 0 };
        dz_buf_addf(&bearer, "Authorization: Bearer %s", opts->token);
        dz_buf_add(&bearer, "", 1);
        self->bearer = (char *) bearer.data;
    }
    self->ca_file = opts->ca_file ? dz_strdup(opts->ca_file) : NULL;
    if (opts->driver) {
        self->driver = *opts->driver;
        self->has_driver = true;
        (void) curl_multi_setopt(self->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
        (void) curl_multi_setopt(self->multi, CURLMOPT_SOCKETDATA, self);
        (void) curl_multi_setopt(self->multi, CURLMOPT_TIMERFUNCTION, on_timer);
        (void) curl_multi_setopt(self->multi, CURLMOPT_TIMERDATA, self);
    }
    *self_out = self;
    return DZ_OK;
}

static void
end_ask(struct ask *ask)
{
    struct dz_http *http = ask->http;
    if (!http)
        return;
    (void) curl_multi_remove_handle(http->multi, ask->easy);
    curl_easy_cleanup(ask->easy);
    curl_slist_free_all(ask->headers);
    dz_buf_fini(&ask->body);
    *ask = (struct ask){ 0 };
    http->count--;
}

void
dz_http_destroy(struct dz_http **self_p)
{
    struct dz_http *self = dz_move(*self_p);
    if (!self)
        return;
    for (size_t i = 0; i < DZ_HTTP_ASKS; i++)
        end_ask(&self->asks[i]);
    (void) curl_multi_cleanup(self->multi);
    free(self->bearer);
    free(self->ca_file);
    free(self);
    curl_global_cleanup();
}

/* ------------------------------------------------------------------ asking */

static bool
is_loopback(const char *url)
{
    char *host = NULL;
    CURLU *parts = curl_url();
    bool is = curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
              curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
              (strcmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
               strcmp(host, "[::1]") == 0);
    curl_free(host);
    curl_url_cleanup(parts);
    return is;
}

static const char *
given_ca(void)
{
    const char *given = getenv("SSL_CERT_FILE"); // NOLINT(concurrency-mt-unsafe): nobody sets it
    return given && *given ? given : NULL;
}

/* The bundled library may look where another distribution keeps them. */
static const char *
system_ca(void)
{
    static const char *const files[] = { "/etc/ssl/certs/ca-certificates.crt",
                                         "/etc/pki/tls/certs/ca-bundle.crt",
                                         "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem" };
    if (given_ca())
        return given_ca();
    for (size_t i = 0; i < DZ_LEN(files); i++)
        if (access(files[i], R_OK) == 0)
            return files[i];
    return NULL;
}

static void
add_header(struct ask *ask, const char *line)
{
    struct curl_slist *longer = curl_slist_append(ask->headers, line);
    dz_assert(longer); /* out of memory */
    ask->headers = longer;
}

static void
set_headers(struct ask *ask)
{
    char type[160];
    add_header(ask, "Expect:"); /* asking whether to go on costs a second with some servers */
    if (ask->http->bearer)
        add_header(ask, ask->http->bearer);
    if (ask->asked.type) {
        (void) snprintf(type, sizeof(type), "Content-Type: %s", ask->asked.type);
        add_header(ask, type);
    }
    const char *const *more = ask->asked.headers;
    for (size_t i = 0; more && more[i] && i < HEADERS_MAX; i++)
        add_header(ask, more[i]);
    (void) curl_easy_setopt(ask->easy, CURLOPT_HTTPHEADER, ask->headers);
}

static void
set_limits(struct ask *ask)
{
    CURL *easy = ask->easy;
    (void) curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void) curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    (void) curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    (void) curl_easy_setopt(easy, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
    (void) curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long) CONNECT_MS);
    (void) curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) ask->asked.timeout_ms);
    (void) curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, (long) SLOW_BYTES);
    (void) curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long) SLOW_S);
    (void) curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
    const char *ca = ask->http->ca_file ? ask->http->ca_file : system_ca();
    if (ca)
        (void) curl_easy_setopt(easy, CURLOPT_CAINFO, ca);
    if (is_loopback(ask->asked.url))
        (void) curl_easy_setopt(easy, CURLOPT_PROXY, "");
}

static void
set_request(struct ask *ask)
{
    CURL *easy = ask->easy;
    const struct dz_http_ask *asked = &ask->asked;
    (void) curl_easy_setopt(easy, CURLOPT_USERAGENT, "dagz/" DZ_VERSION_TEXT);
    if (asked->body.ptr || strcmp(asked->method, "GET") != 0) {
        (void) curl_easy_setopt(easy, CURLOPT_POSTFIELDS,
                                asked->body.ptr ? (const char *) asked->body.ptr : "");
        (void) curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) asked->body.len);
        (void) curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, asked->method);
    }
    (void) curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void) curl_easy_setopt(easy, CURLOPT_WRITEDATA, ask);
    (void) curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, ask->why);
    (void) curl_easy_setopt(easy, CURLOPT_PRIVATE, ask);
}

enum dz_rc
dz_http_ask(struct dz_http *self, const struct dz_http_ask *asked, struct dz_err *err)
{
    struct ask *ask = NULL;
    for (size_t i = 0; i < DZ_HTTP_ASKS && !ask; i++)
        if (!self->asks[i].http)
            ask = &self->asks[i];
    if (!ask)
        return dz_fail(err, DZ_LIMIT, "more than %d requests at one time", DZ_HTTP_ASKS);
    *ask = (struct ask){ .http = self, .asked = *asked, .easy = curl_easy_init() };
    dz_assert(ask->easy); /* out of memory */
    self->count++;
    set_limits(ask);
    set_request(ask);
    set_headers(ask);
    if (curl_easy_setopt(ask->easy, CURLOPT_URL, asked->url) != CURLE_OK ||
        curl_multi_add_handle(self->multi, ask->easy) != CURLM_OK) {
        end_ask(ask);
        return dz_fail(err, DZ_CORRUPT, "'%.200s' cannot be asked", asked->url);
    }
    return DZ_OK;
}

/* curl must not be told from inside its own call: those are ended when it returns. */
void
dz_http_drop(struct dz_http *self, const void *arg)
{
    for (size_t i = 0; i < DZ_HTTP_ASKS; i++)
        if (self->asks[i].http && self->asks[i].asked.arg == arg)
            self->asks[i].is_dropped = true;
    if (self->has_driver)
        self->driver.wake_at(self->driver.arg, dz_clock_us());
}

unsigned
dz_http_count(const struct dz_http *self)
{
    unsigned count = 0;
    for (size_t i = 0; i < DZ_HTTP_ASKS; i++)
        count += self->asks[i].http && !self->asks[i].is_dropped;
    return count;
}

/* ------------------------------------------------------------------ answers */

static enum dz_rc
rc_of(const struct ask *ask, CURLcode code)
{
    if (ask->is_too_long)
        return DZ_LIMIT;
    switch ((int) code) {
    case CURLE_OPERATION_TIMEDOUT: return DZ_AGAIN;
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR: return DZ_CLOSED;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CONNECT_ERROR: return DZ_REFUSED;
    default: return DZ_IO;
    }
}

/* Of the header that was asked for. */
static int64_t
number_of(const struct ask *ask)
{
    enum { DIGITS_MAX = 18 };
    struct curl_header *header = NULL;
    const char *name = ask->asked.number_name;
    if (!name || curl_easy_header(ask->easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return -1;
    size_t digits = strspn(header->value, "0123456789");
    bool is_number = digits > 0 && digits <= DIGITS_MAX && header->value[digits] == '\0';
    return is_number ? strtoll(header->value, NULL, 10) : -1;
}

static void
answer(struct ask *ask, CURLcode code)
{
    long status = 0;
    char *type = NULL;
    curl_off_t after_s = 0;
    struct dz_http_answer told = { .rc = DZ_OK, .why = "", .number = number_of(ask) };
    (void) curl_easy_getinfo(ask->easy, CURLINFO_RESPONSE_CODE, &status);
    (void) curl_easy_getinfo(ask->easy, CURLINFO_CONTENT_TYPE, &type);
    (void) curl_easy_getinfo(ask->easy, CURLINFO_RETRY_AFTER, &after_s);
    told.type = type ? type : "";
    if (after_s > 0)
        told.retry_after_ms = after_s < DZ_HTTP_RETRY_AFTER_MAX_MS / 1000
                                  ? (dz_ms) after_s * 1000
                                  : DZ_HTTP_RETRY_AFTER_MAX_MS;
    if (code == CURLE_OK) {
        told.status = (int) status;
        told.body = dz_buf_slice(&ask->body);
    } else {
        if (code == CURLE_SSL_CACERT_BADFILE && !ask->http->ca_file && given_ca())
            (void) snprintf(ask->why, sizeof(ask->why),
                            "SSL_CERT_FILE: no certificate can be read from '%.150s'", given_ca());
        told.rc = rc_of(ask, code);
        told.why = ask->is_too_long ? "the answer is too long"
                   : ask->why[0]    ? ask->why
                                    : curl_easy_strerror(code);
    }
    ask->asked.fn(ask->asked.arg, &told);
}

static void
end_dropped(struct dz_http *self)
{
    for (size_t i = 0; i < DZ_HTTP_ASKS; i++)
        if (self->asks[i].http && self->asks[i].is_dropped)
            end_ask(&self->asks[i]);
}

static void
take_answers(struct dz_http *self)
{
    int left = 0;
    end_dropped(self);
    for (CURLMsg *msg = curl_multi_info_read(self->multi, &left); msg;
         msg = curl_multi_info_read(self->multi, &left)) {
        struct ask *ask = NULL;
        if (msg->msg != CURLMSG_DONE ||
            curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &ask) != CURLE_OK)
            continue;
        if (!ask->is_dropped)
            answer(ask, msg->data.result);
        end_ask(ask);
        end_dropped(self);
    }
}

void
dz_http_on_fd(struct dz_http *self, int fd, unsigned events)
{
    int running = 0, what = (events & DZ_HTTP_READ ? CURL_CSELECT_IN : 0) |
                            (events & DZ_HTTP_WRITE ? CURL_CSELECT_OUT : 0);
    (void) curl_multi_socket_action(self->multi, fd, what ? what : CURL_CSELECT_ERR, &running);
    take_answers(self);
}

void
dz_http_on_time(struct dz_http *self)
{
    int running = 0;
    (void) curl_multi_socket_action(self->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    take_answers(self);
}

void
dz_http_wait(struct dz_http *self, dz_ms wait_ms)
{
    int running = 0;
    unsigned before = dz_http_count(self);
    (void) curl_multi_perform(self->multi, &running);
    take_answers(self);
    if (dz_http_count(self) < before)
        return; /* refused at once: that is what was waited for */
    if (wait_ms > 0 && running > 0)
        (void) curl_multi_poll(self->multi, NULL, 0, (int) wait_ms, NULL);
    else if (wait_ms > 0)
        (void) poll(NULL, 0, (int) wait_ms);
    (void) curl_multi_perform(self->multi, &running);
    take_answers(self);
}

struct call {
    bool is_over;
    int status;
    enum dz_rc rc;
    struct dz_buf *body; /* borrowed */
    int64_t number;
    char why[CURL_ERROR_SIZE];
};

static void
end_call(void *arg, const struct dz_http_answer *answer)
{
    struct call *self = arg;
    self->is_over = true;
    self->status = answer->status;
    self->rc = answer->rc;
    self->number = answer->number;
    (void) snprintf(self->why, sizeof(self->why), "%s", answer->why);
    dz_buf_add(self->body, answer->body.ptr, answer->body.len);
}

enum dz_rc
dz_http_call(struct dz_http *self, const struct dz_http_ask *ask, int *status_out,
             struct dz_buf *body_out, struct dz_err *err)
{
    struct call call = { .body = body_out };
    struct dz_http_ask asked = *ask;
    asked.fn = end_call;
    asked.arg = &call;
    enum dz_rc rc = dz_http_ask(self, &asked, err);
    while (rc == DZ_OK && !call.is_over)
        dz_http_wait(self, ask->timeout_ms); /* the ask has its own limit */
    if (rc != DZ_OK)
        return rc;
    *status_out = call.status;
    if (ask->number_out)
        *ask->number_out = call.number;
    return call.rc == DZ_OK ? DZ_OK : dz_fail(err, call.rc, "%s", call.why);
}
