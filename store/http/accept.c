/* accept.c - newcomers, and those that have to go. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "store/http/server_own.h"

enum { SWEEP_MS = 250, ACCEPTS_PER_WAKE = 256, HANG_UPS_PER_WAKE = 64 };

/* The library closes the socket from now on. */
static bool
hand_over(struct http_server *self, struct MHD_Daemon *to, int fd, const struct sockaddr *from,
          socklen_t len)
{
    if (MHD_add_connection(to, fd, from, len) == MHD_YES)
        return true;
    conns_forget(self->conns, fd); /* it has closed the socket */
    return false;
}

static void
on_pass(void *arg, int fd, const struct sockaddr *from, socklen_t len)
{
    struct http_server *self = arg;
    (void) hand_over(self, self->plain, fd, from, len);
}

static void
on_refused(void *arg, int status, dz_us begun)
{
    server_note(arg, status, begun);
}

enum dz_rc
server_open_door(struct http_server *self, struct dz_err *err)
{
    const struct door_ops ops = { on_pass, on_refused, self };
    self->hang_ups = epoll_create1(EPOLL_CLOEXEC);
    if (self->hang_ups < 0)
        return dz_fail_errno(err, "watch connections");
    return door_new(self->conns, &ops, &self->door, err);
}

static void
accept_one(struct http_server *self, const struct http_listener *listener, int fd,
           const struct sockaddr_storage *address, socklen_t len)
{
    const int on = 1;
    const struct sockaddr *from = (const struct sockaddr *) address;
    if (!conns_admit(self->conns, fd, from, listener->is_trusted, dz_clock_ms())) {
        (void) close(fd); /* nothing was written to it */
        return;
    }
    (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* only slower without */
    if (listener->is_tls)
        (void) hand_over(self, self->tls, fd, from, len);
    else
        door_take(self->door, fd, address, len);
}

bool
server_adopt(struct http_server *self, int fd)
{
    const struct sockaddr_in near = { .sin_family = AF_INET,
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    const struct sockaddr *from = (const struct sockaddr *) &near;
    if (!conns_admit(self->conns, fd, from, true, dz_clock_ms())) {
        (void) close(fd);
        return false;
    }
    return hand_over(self, self->plain, fd, from, sizeof(near));
}

static void
accept_some(struct http_server *self, const struct http_listener *listener)
{
    for (int i = 0; i < ACCEPTS_PER_WAKE; i++) {
        struct sockaddr_storage address = { 0 };
        socklen_t len = sizeof(address);
        int fd =
            accept4(listener->fd, (struct sockaddr *) &address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) /* nobody, somebody who left already, or no descriptor: the sweep frees some */
            return;
        accept_one(self, listener, fd, &address, len);
    }
}

/* ---- hanging up ---- */

/* What is watched is forgotten with its socket. */
void
server_watch(struct http_server *self, int fd, uint64_t line)
{
    struct epoll_event event = { .events = EPOLLRDHUP | EPOLLONESHOT, .data.u64 = line };
    if (epoll_ctl(self->hang_ups, EPOLL_CTL_ADD, fd, &event) != 0)
        (void) epoll_ctl(self->hang_ups, EPOLL_CTL_MOD, fd, &event); /* an earlier one's */
}

static void
take_hang_ups(struct http_server *self)
{
    struct epoll_event events[HANG_UPS_PER_WAKE];
    int count = epoll_wait(self->hang_ups, events, HANG_UPS_PER_WAKE, 0);
    for (int i = 0; i < count; i++)
        relay_hang_up(self->relay, events[i].data.u64, dz_clock_ms());
}

/* ---- serving ---- */

void
server_sweep(struct http_server *self)
{
    dz_ms now = dz_clock_ms();
    uint32_t dropped = conns_sweep(self->conns, now);
    if (dropped > 0)
        log_info("http.dropped", "connections=%u why=%s", dropped, "too slow");
    relay_sweep(self->relay, now);
}

void
server_serve(struct http_server *self, int stop_fd)
{
    struct pollfd polls[SERVER_LISTENERS_MAX + 3];
    dz_ms next_sweep = dz_clock_ms() + SWEEP_MS;
    size_t count = self->listener_count;
    for (size_t i = 0; i < count; i++)
        polls[i] = (struct pollfd){ .fd = self->listeners[i].fd, .events = POLLIN };
    polls[count] = (struct pollfd){ .fd = stop_fd, .events = POLLIN };
    polls[count + 1] = (struct pollfd){ .fd = door_fd(self->door), .events = POLLIN };
    polls[count + 2] = (struct pollfd){ .fd = self->hang_ups, .events = POLLIN };
    while (!(polls[count].revents & POLLIN)) {
        dz_ms now = dz_clock_ms();
        if (now >= next_sweep) {
            server_sweep(self);
            next_sweep = now + SWEEP_MS;
        }
        if (poll(polls, count + 3, (int) (next_sweep - now > 0 ? next_sweep - now : 0)) <= 0)
            continue;
        for (size_t i = 0; i < count; i++)
            if (polls[i].revents & POLLIN)
                accept_some(self, &self->listeners[i]);
        if (polls[count + 1].revents & POLLIN)
            door_serve(self->door);
        if (polls[count + 2].revents & POLLIN) {
            take_hang_ups(self);
            now = dz_clock_ms();
            next_sweep = next_sweep < now + RELAY_LEFT_MS ? next_sweep : now + RELAY_LEFT_MS;
        }
    }
}
