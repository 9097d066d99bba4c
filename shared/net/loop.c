/* loop.c - all descriptors sit in one epoll descriptor, those of the few ZeroMQ sockets as well: a wake
 * costs what is ready, not what is watched.
 *
 * A ZeroMQ socket's descriptor only says that commands have arrived for it, and whatever is done with the
 * socket may take them in.  So after that, and after anything else was done with it, the socket is *due*:
 * it is asked for its events before the loop waits again.  zmq_poll() asks every socket, twice a wake, with
 * two system calls each; with a thousand nodes on a machine that was most of what they did.
 *
 * A handler may remove any watch, its own or one whose event is already in the batch that is
 * being handed out.  So removal looks through the rest of the batch and blanks it there. */
#include "shared/net/loop.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <zmq.h>

#include "shared/base/clock.h"
#include "shared/base/fd.h"

enum {
    BATCH = 64,       /* events of one wake; the rest come with the next one */
    SOCKS_MAX = 16,   /* ZeroMQ sockets: gate, ROUTER, and two for each scheduler that is dialled */
    TIMERS_MAX = 256, /* set at one time */
};

struct sock {
    void *handle; /* borrowed; NULL: free */
    void (*fn)(void *arg);
    void *arg;
    struct dz_watch watch;
    bool is_due;
};

struct dz_loop {
    int epoll;
    struct epoll_event batch[BATCH];
    int batch_at, batch_len;
    struct sock socks[SOCKS_MAX];
    struct dz_timer *timers[TIMERS_MAX]; /* borrowed, unordered */
    size_t timer_count;
    struct dz_watch signal_watch;
    void (*signal_fn)(void *arg, int number);
    void *signal_arg;
    void (*turn_fn)(void *arg);
    void *turn_arg;
    bool is_stopped;
    bool is_behind; /* a handler has left something unread */
};

enum dz_rc
dz_loop_new(struct dz_loop **self_out, struct dz_err *err)
{
    DZ_AUTO(dz_loop_destroy) struct dz_loop *self = dz_alloc0(1, sizeof(*self));
    self->signal_watch.fd = -1;
    self->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (self->epoll < 0)
        return dz_fail_errno(err, "make an epoll descriptor");
    *self_out = dz_move(self);
    return DZ_OK;
}

void
dz_loop_destroy(struct dz_loop **self_p)
{
    struct dz_loop *self = dz_move(*self_p);
    if (!self)
        return;
    dz_fd_close(&self->signal_watch.fd);
    dz_fd_close(&self->epoll);
    free(self);
}

/* ------------------------------------------------------------------ descriptors */

static uint32_t
epoll_mask(unsigned events)
{
    return (events & DZ_LOOP_READ ? (uint32_t) EPOLLIN : 0U) |
           (events & DZ_LOOP_WRITE ? (uint32_t) EPOLLOUT : 0U);
}

enum dz_rc
dz_loop_watch(struct dz_loop *self, struct dz_watch *watch, struct dz_err *err)
{
    struct epoll_event event = { .events = epoll_mask(watch->events), .data.ptr = watch };
    if (epoll_ctl(self->epoll, EPOLL_CTL_ADD, watch->fd, &event) != 0)
        return dz_fail_errno(err, "watch descriptor %d", watch->fd);
    return DZ_OK;
}

void
dz_loop_rewatch(struct dz_loop *self, struct dz_watch *watch, unsigned events)
{
    if (watch->fd < 0 || watch->events == events)
        return;
    watch->events = events;
    struct epoll_event event = { .events = epoll_mask(events), .data.ptr = watch };
    int rc = epoll_ctl(self->epoll, EPOLL_CTL_MOD, watch->fd, &event);
    dz_assert(rc == 0); /* it is watched, and changing needs no memory */
}

void
dz_loop_unwatch(struct dz_loop *self, struct dz_watch *watch)
{
    if (watch->fd < 0)
        return;
    (void) epoll_ctl(self->epoll, EPOLL_CTL_DEL, watch->fd, NULL); /* gone is what we want */
    watch->fd = -1;
    for (int i = self->batch_at; i < self->batch_len; i++) {
        if (self->batch[i].data.ptr == watch)
            self->batch[i].data.ptr = NULL;
    }
}

static void
hand_out_one(struct dz_loop *self)
{
    struct epoll_event event = self->batch[self->batch_at++];
    struct dz_watch *watch = event.data.ptr;
    if (!watch)
        return;
    unsigned events = (event.events & EPOLLIN ? DZ_LOOP_READ : 0U) |
                      (event.events & EPOLLOUT ? DZ_LOOP_WRITE : 0U) |
                      (event.events & (EPOLLHUP | EPOLLERR) ? DZ_LOOP_GONE : 0U);
    watch->fn(watch->arg, events);
}

static void
hand_out(struct dz_loop *self, int got)
{
    self->batch_at = 0;
    self->batch_len = got > 0 ? got : 0;
    while (self->batch_at < self->batch_len)
        hand_out_one(self);
    self->batch_at = self->batch_len = 0;
}

/* ------------------------------------------------------------------ timers */

void
dz_loop_set(struct dz_loop *self, struct dz_timer *timer, dz_us at)
{
    timer->at = at;
    if (timer->is_listed)
        return;
    dz_assert(self->timer_count < TIMERS_MAX);
    self->timers[self->timer_count++] = timer;
    timer->is_listed = true;
}

void
dz_loop_unset(struct dz_loop *self, struct dz_timer *timer)
{
    if (!timer->is_listed)
        return;
    for (size_t i = 0; i < self->timer_count; i++) {
        if (self->timers[i] == timer) {
            self->timers[i] = self->timers[--self->timer_count];
            break;
        }
    }
    timer->is_listed = false;
    timer->at = 0;
}

/* The first of those that may fire at `now`; INT64_MAX: of all. */
static struct dz_timer *
first_timer(struct dz_loop *self, dz_us now)
{
    struct dz_timer *first = NULL;
    for (size_t i = 0; i < self->timer_count; i++) {
        struct dz_timer *timer = self->timers[i];
        if (timer->at - timer->early <= now && (!first || timer->at < first->at))
            first = timer;
    }
    return first;
}

/* Each timer at most once in a wake, however late it sets itself again. */
static void
fire_timers(struct dz_loop *self)
{
    dz_us now = dz_clock_us();
    for (size_t left = self->timer_count; left > 0; left--) {
        struct dz_timer *timer = first_timer(self, now);
        if (!timer)
            return;
        dz_loop_unset(self, timer);
        timer->fn(timer->arg);
    }
}

/* Rounded up: waking before the deadline would spin. */
static int
wait_until_timer(struct dz_loop *self, int wait_ms)
{
    struct dz_timer *timer = first_timer(self, INT64_MAX);
    if (!timer)
        return wait_ms;
    dz_us left = timer->at - dz_clock_us();
    int ms = left <= 0 ? 0 : left / 1000 >= INT_MAX ? INT_MAX : (int) ((left + 999) / 1000);
    return wait_ms >= 0 && wait_ms < ms ? wait_ms : ms;
}

/* ------------------------------------------------------------------ signals */

static void
read_signals(void *arg, unsigned events)
{
    (void) events;
    struct dz_loop *self = arg;
    struct signalfd_siginfo info;
    while (read(self->signal_watch.fd, &info, sizeof(info)) == (ssize_t) sizeof(info))
        self->signal_fn(self->signal_arg, (int) info.ssi_signo);
}

enum dz_rc
dz_loop_signals(struct dz_loop *self, const int *signals, size_t count,
                void (*fn)(void *arg, int number), void *arg, struct dz_err *err)
{
    dz_assert(self->signal_watch.fd < 0);
    sigset_t set;
    (void) sigemptyset(&set);
    for (size_t i = 0; i < count; i++)
        (void) sigaddset(&set, signals[i]);
    DZ_AUTO(dz_fd_close) int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0 || sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return dz_fail_errno(err, "take signals from a descriptor");
    self->signal_fn = fn;
    self->signal_arg = arg;
    self->signal_watch =
        (struct dz_watch){ .fd = fd, .events = DZ_LOOP_READ, .fn = read_signals, .arg = self };
    enum dz_rc rc = dz_loop_watch(self, &self->signal_watch, err);
    if (rc == DZ_OK)
        fd = -1; /* the loop's now */
    else
        self->signal_watch.fd = -1;
    return rc;
}

/* ------------------------------------------------------------------ ZeroMQ */

static void
on_commands(void *arg, unsigned events)
{
    (void) events;
    ((struct sock *) arg)->is_due = true;
}

static struct sock *
free_place(struct dz_loop *self)
{
    for (int i = 0; i < SOCKS_MAX; i++)
        if (!self->socks[i].handle)
            return &self->socks[i];
    return NULL;
}

enum dz_rc
dz_loop_watch_zmq(struct dz_loop *self, void *handle, void (*fn)(void *arg), void *arg,
                  struct dz_err *err)
{
    int fd = -1;
    size_t len = sizeof(fd);
    struct sock *sock = free_place(self);
    if (!sock)
        return dz_fail(err, DZ_LIMIT, "more than %d ZeroMQ sockets", SOCKS_MAX);
    if (zmq_getsockopt(handle, ZMQ_FD, &fd, &len) != 0)
        return dz_fail(err, DZ_IO, "watch a ZeroMQ socket: %s", zmq_strerror(errno));
    *sock = (struct sock){ .handle = handle, .fn = fn, .arg = arg, .is_due = true };
    sock->watch =
        (struct dz_watch){ .fd = fd, .events = DZ_LOOP_READ, .fn = on_commands, .arg = sock };
    enum dz_rc rc = dz_loop_watch(self, &sock->watch, err);
    if (rc != DZ_OK)
        sock->handle = NULL;
    return rc;
}

void
dz_loop_unwatch_zmq(struct dz_loop *self, void *handle)
{
    for (int i = 0; i < SOCKS_MAX; i++) {
        struct sock *sock = &self->socks[i];
        if (sock->handle != handle)
            continue;
        dz_loop_unwatch(self, &sock->watch);
        *sock = (struct sock){ .watch.fd = -1 };
    }
}

void
dz_loop_used_zmq(struct dz_loop *self, const void *handle)
{
    for (int i = 0; i < SOCKS_MAX; i++)
        if (self->socks[i].handle == handle)
            self->socks[i].is_due = true;
}

static bool
is_readable(void *handle)
{
    int events = 0;
    size_t len = sizeof(events);
    return zmq_getsockopt(handle, ZMQ_EVENTS, &events, &len) == 0 && (events & ZMQ_POLLIN);
}

/* A handler may leave something unread; then its socket stays due, and the others have their turn. */
static void
serve_socks(struct dz_loop *self)
{
    self->is_behind = false;
    for (int i = 0; i < SOCKS_MAX; i++) {
        struct sock *sock = &self->socks[i];
        if (!sock->handle || !sock->is_due)
            continue;
        sock->is_due = is_readable(sock->handle);
        if (!sock->is_due)
            continue;
        void *handle = sock->handle;
        sock->fn(sock->arg);
        if (sock->handle == handle) /* it has not closed it */
            self->is_behind |= is_readable(handle);
    }
}

bool
dz_loop_is_behind(const struct dz_loop *self)
{
    return self->is_behind;
}

static bool
is_any_due(const struct dz_loop *self)
{
    for (int i = 0; i < SOCKS_MAX; i++)
        if (self->socks[i].handle && self->socks[i].is_due)
            return true;
    return false;
}

/* ------------------------------------------------------------------ turning */

void
dz_loop_on_turn(struct dz_loop *self, void (*fn)(void *arg), void *arg)
{
    self->turn_fn = fn;
    self->turn_arg = arg;
}

enum dz_rc
dz_loop_once(struct dz_loop *self, int wait_ms, struct dz_err *err)
{
    int ms = is_any_due(self) ? 0 : wait_until_timer(self, wait_ms);
    int got = epoll_wait(self->epoll, self->batch, BATCH, ms);
    if (got < 0 && errno != EINTR)
        return dz_fail_errno(err, "wait for events");
    hand_out(self, got);
    serve_socks(self);
    fire_timers(self);
    if (self->turn_fn)
        self->turn_fn(self->turn_arg);
    return DZ_OK;
}

enum dz_rc
dz_loop_run(struct dz_loop *self, struct dz_err *err)
{
    while (!self->is_stopped) {
        enum dz_rc rc = dz_loop_once(self, -1, err);
        if (rc != DZ_OK)
            return rc;
    }
    return DZ_OK;
}

void
dz_loop_stop(struct dz_loop *self)
{
    self->is_stopped = true;
}
