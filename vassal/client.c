#include "vassal/client.h"

#include <string.h>

#include "shared/base/clock.h"

enum { LOOK_MAX = 4096 };

static void
after(struct client *self)
{
    if (self->on_turn)
        self->on_turn(self->arg);
}

static void
on_fd(void *arg, unsigned events)
{
    struct client_watch *seen = arg;
    unsigned what =
        (events & DZ_LOOP_READ ? DZ_HTTP_READ : 0U) | (events & DZ_LOOP_WRITE ? DZ_HTTP_WRITE : 0U);
    if (events & DZ_LOOP_GONE)
        what |= DZ_HTTP_READ | DZ_HTTP_WRITE;
    dz_http_on_fd(seen->client->http, seen->watch.fd, what);
    after(seen->client);
}

static struct client_watch *
find_watch(struct client *self, int fd)
{
    for (size_t i = 0; i < CLIENT_WATCHES; i++)
        if (self->watches[i].watch.fd == fd)
            return &self->watches[i];
    return NULL;
}

static void
watch(void *arg, int fd, unsigned events)
{
    struct client *self = arg;
    struct client_watch *seen = find_watch(self, fd);
    unsigned what =
        (events & DZ_HTTP_READ ? DZ_LOOP_READ : 0U) | (events & DZ_HTTP_WRITE ? DZ_LOOP_WRITE : 0U);
    struct dz_err err;
    if (events == 0) {
        if (seen)
            dz_loop_unwatch(self->loop, &seen->watch);
        return;
    }
    if (seen) {
        dz_loop_rewatch(self->loop, &seen->watch, what);
        return;
    }
    seen = find_watch(self, -1);
    if (!seen)
        return; /* the request runs into its time limit */
    seen->watch = (struct dz_watch){ .fd = fd, .events = what, .fn = on_fd, .arg = seen };
    if (dz_loop_watch(self->loop, &seen->watch, &err) != DZ_OK)
        seen->watch.fd = -1;
}

static void
wake_at(void *arg, dz_us at)
{
    struct client *self = arg;
    if (at == 0)
        dz_loop_unset(self->loop, &self->timer);
    else
        dz_loop_set(self->loop, &self->timer, at);
}

static void
on_time(void *arg)
{
    struct client *self = arg;
    dz_http_on_time(self->http);
    after(self);
}

enum dz_rc
client_open(struct client *self, struct dz_loop *loop, void (*on_turn)(void *arg), void *arg,
            struct dz_err *err)
{
    DZ_AUTO(dz_free) char *token = NULL;
    *self = (struct client){ .loop = loop, .on_turn = on_turn, .arg = arg };
    self->timer = (struct dz_timer){ .fn = on_time, .arg = self };
    for (size_t i = 0; i < CLIENT_WATCHES; i++)
        self->watches[i] = (struct client_watch){ .watch.fd = -1, .client = self };
    struct dz_http_driver driver = { .arg = self, .watch = watch, .wake_at = wake_at };
    enum dz_rc rc = dz_http_token(&token, err);
    struct dz_http_opts opts = { .token = token, .driver = &driver };
    return rc == DZ_OK ? dz_http_new(&opts, &self->http, err) : rc;
}

void
client_close(struct client *self)
{
    if (!self->loop)
        return;
    dz_http_destroy(&self->http);
    for (size_t i = 0; i < CLIENT_WATCHES; i++)
        dz_loop_unwatch(self->loop, &self->watches[i].watch);
    dz_loop_unset(self->loop, &self->timer);
    self->loop = NULL;
}

/* ------------------------------------------------------------------ who is there */

enum client_found
client_look(const char *url, dz_ms wait_ms)
{
    struct dz_http_opts opts = { 0 };
    struct dz_http *http = NULL;
    struct dz_err err;
    DZ_AUTO(dz_buf_fini) struct dz_buf path = { 0 };
    DZ_AUTO(dz_buf_fini) struct dz_buf body = { 0 };
    int status = 0;
    dz_buf_addf(&path, "%s/healthz", url);
    dz_buf_add(&path, "", 1);
    struct dz_http_ask ask = { .method = "GET",
                               .url = (const char *) path.data,
                               .answer_max = LOOK_MAX,
                               .timeout_ms = wait_ms };
    enum dz_rc rc = dz_http_new(&opts, &http, &err);
    if (rc == DZ_OK)
        rc = dz_http_call(http, &ask, &status, &body, &err);
    dz_http_destroy(&http);
    if (rc == DZ_CLOSED)
        return CLIENT_NOBODY;
    if (rc == DZ_AGAIN)
        return CLIENT_SILENT;
    static const char name[] = "\"service\":\"dagz\"";
    bool is_ours = rc == DZ_OK && status == 200 && body.len > 0 &&
                   memmem(body.data, body.len, name, strlen(name));
    return is_ours ? CLIENT_STORE : CLIENT_STRANGER;
}
