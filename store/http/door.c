/* door.c - waiting for a head, and answering what is none. */
#include "store/http/door.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/fd.h"
#include "shared/base/map.h"
#include "store/http/call.h"
#include "store/http/head.h"

enum {
    EVENTS_PER_WAKE = 64,
    LOOKS_MAX = 256,     /* at one head: who sends it by bytes goes to the library */
    DRAIN_MAX = 1 << 20, /* read of what an answered client still sends */
    DATE_MAX = 40,
};

struct guest {
    int fd; /* owned */
    bool is_answered;
    uint32_t looks;
    size_t drained;
    struct sockaddr_storage from;
    socklen_t from_len;
};

struct door {
    struct conns *conns; /* borrowed */
    struct door_ops ops;
    int epoll;            /* owned */
    struct dz_map guests; /* of struct guest by descriptor, owned */
    uint8_t bytes[HEAD_BYTES_MAX];
};

enum dz_rc
door_new(struct conns *conns, const struct door_ops *ops, struct door **self_out,
         struct dz_err *err)
{
    struct door *self = dz_alloc0(1, sizeof(*self));
    self->conns = conns;
    self->ops = *ops;
    self->epoll = epoll_create1(EPOLL_CLOEXEC);
    *self_out = self;
    return self->epoll < 0 ? dz_fail_errno(err, "watch connections") : DZ_OK;
}

/* ---- leaving ---- */

/* The guest is gone afterwards, its socket is not. */
static int
let_go(struct door *self, struct guest *guest)
{
    int fd = guest->fd;
    (void) epoll_ctl(self->epoll, EPOLL_CTL_DEL, fd, NULL); /* gone is what we want */
    (void) dz_map_del(&self->guests, (uint64_t) fd);
    free(guest);
    return fd;
}

static void
close_fd(struct door *self, int fd)
{
    conns_forget(self->conns, fd);
    (void) close(fd);
}

void
door_destroy(struct door **self_p)
{
    struct door *self = dz_move(*self_p);
    size_t at = 0;
    uint64_t key;
    void *value;
    if (!self)
        return;
    while (dz_map_next(&self->guests, &at, &key, &value)) {
        close_fd(self, (int) key);
        free(value);
    }
    dz_map_fini(&self->guests);
    dz_fd_close(&self->epoll);
    free(self);
}

/* ---- answering ---- */

static void
add_head(struct dz_buf *out, const struct http_call *call)
{
    char date[DATE_MAX];
    struct tm broken;
    time_t now = time(NULL);
    (void) gmtime_r(&now, &broken); /* of a time that fits */
    (void) strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &broken);
    dz_buf_addf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\nConnection: close\r\nContent-Type: %s\r\n",
                call->status, MHD_get_reason_phrase_for((unsigned) call->status), date, call->type);
    dz_buf_addf(out, "Cache-Control: no-store\r\n");
    for (const struct http_pair *pair = http_always; pair->name; pair++)
        dz_buf_addf(out, "%s: %s\r\n", pair->name, pair->value);
    if (call->retry_s)
        dz_buf_addf(out, "Retry-After: %u\r\n", call->retry_s);
    dz_buf_addf(out, "Content-Length: %zu\r\n\r\n", call->out.len);
}

/* Closing a socket that holds bytes unread would take the answer from the client: what still comes
 * is read, until the client closes or conns_sweep() shuts it. */
static void
answer(struct door *self, struct guest *guest, int status, const struct dz_err *why)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf out = { 0 };
    DZ_AUTO(dz_free) struct http_call *call = dz_alloc0(1, sizeof(*call));
    dz_us begun = dz_clock_us();
    if (conn_may_ask(self->conns, conns_of(self->conns, guest->fd), dz_clock_ms(),
                     &call->retry_s)) {
        call->retry_s = 0;
        http_problem(call, status, "%s", why->text);
    } else {
        http_problem(call, 429, "more requests than this server takes from one address");
    }
    add_head(&out, call);
    dz_buf_add(&out, call->out.data, call->out.len);
    (void) send(guest->fd, out.data, out.len, MSG_NOSIGNAL); /* new: there is room for it */
    (void) shutdown(guest->fd, SHUT_WR);
    guest->is_answered = true;
    self->ops.refused(self->ops.arg, call->status, begun);
    dz_buf_fini(&call->out);
}

/* false: there is nothing more to wait for. */
static bool
drain(struct door *self, struct guest *guest)
{
    ssize_t len = 1;
    while (len > 0 && guest->drained < DRAIN_MAX) {
        len = recv(guest->fd, self->bytes, sizeof(self->bytes), 0);
        guest->drained += len > 0 ? (size_t) len : 0;
    }
    return len < 0 && errno == EAGAIN;
}

/* ---- looking ---- */

static void
pass(struct door *self, struct guest *guest)
{
    struct sockaddr_storage from = guest->from;
    socklen_t len = guest->from_len;
    int fd = let_go(self, guest);
    self->ops.pass(self->ops.arg, fd, (const struct sockaddr *) &from, len);
}

static void
look(struct door *self, struct guest *guest, bool is_over)
{
    struct dz_err why;
    int status = 0;
    ssize_t len = recv(guest->fd, self->bytes, sizeof(self->bytes), MSG_PEEK);
    if (len < 0 && errno == EAGAIN && !is_over)
        return;
    if (len <= 0) {
        close_fd(self, let_go(self, guest));
        return;
    }
    switch (head_look((struct dz_slice){ self->bytes, (size_t) len }, &status, &why)) {
    case HEAD_SOUND: pass(self, guest); return;
    case HEAD_BAD: answer(self, guest, status, &why); break;
    case HEAD_PART:
        if (is_over)
            close_fd(self, let_go(self, guest));
        else if (++guest->looks == LOOKS_MAX)
            pass(self, guest);
        return;
    }
    if (!drain(self, guest))
        close_fd(self, let_go(self, guest));
}

int
door_fd(const struct door *self)
{
    return self->epoll;
}

/* Edges only: what was peeked at stays readable. */
void
door_take(struct door *self, int fd, const struct sockaddr_storage *from, socklen_t len)
{
    struct guest *guest = dz_alloc0(1, sizeof(*guest));
    *guest = (struct guest){ .fd = fd, .from = *from, .from_len = len };
    struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = guest };
    (void) dz_map_put(&self->guests, (uint64_t) fd, guest);
    if (epoll_ctl(self->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        close_fd(self, let_go(self, guest)); /* no memory for one more */
}

void
door_serve(struct door *self)
{
    struct epoll_event events[EVENTS_PER_WAKE];
    int count = epoll_wait(self->epoll, events, EVENTS_PER_WAKE, 0);
    for (int i = 0; i < count; i++) {
        struct guest *guest = events[i].data.ptr;
        bool is_over = events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
        if (!guest->is_answered)
            look(self, guest, is_over);
        else if (!drain(self, guest))
            close_fd(self, let_go(self, guest));
    }
}
