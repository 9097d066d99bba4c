/* guard.c - a table of the hub's connections, made of libzmq's events. */
#include "shared/net/guard.h"

#include <czmq.h>
#include <inttypes.h>
#include <sys/resource.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/map.h"
#include "shared/net/sock.h"

enum {
    EVENTS_PER_WAKE = 1024,
    EVENT_LEN = 6,      /* bytes of a monitor's event: what, and a value */
    UNHEARD_MAX = 6144, /* connections; fewer where the process may have few descriptors */
    UNHEARD_SHARE = 2,  /* of the descriptors */
    ALERT_US = 60000000,
    LOOK_US = 50000,       /* how often the process's size is looked at, */
    ALERT_LOOK_US = 20000, /* and when somebody was greedy: 100 MiB come in 0.1 s */
    GROWTH = 16 << 20,     /* bytes; then greedy ones are looked for */
    AHEAD_MAX = 24 << 20,  /* bytes that one may be ahead of what came out */
    SEALED = 33,           /* bytes around a message: CURVE's name, nonce, tag and flags, */
    SHORT_MAX = 255,       /* and a length, of one byte or of eight, with its flags */
    SAY_US = 10000000,     /* how often it is said what was cut off, however many come */
};

struct conn {
    struct conn *older, *newer; /* among those unheard */
    int fd;
    uint64_t cookie;
    uint64_t heard; /* bytes; 0: nothing yet */
};

struct dz_guard {
    struct dz_loop *loop; /* borrowed */
    void *handle;         /* borrowed */
    zsock_t *monitor;     /* owned */
    struct dz_map conns;  /* descriptor -> struct conn, owned */
    struct conn *oldest, *newest;
    struct dz_timer timer;
    uint64_t size; /* of the process when it was last looked through */
    dz_us
        alert_until; /* one was greedy: it comes again, and what it left is used without growing */
    uint32_t unheard_max;
    uint32_t unheard;         /* connections */
    uint64_t crowded, greedy; /* cut off, and not yet said */
    dz_us said_at;
};

/* ------------------------------------------------------------------ saying so */

/* The first at once, then sums: a crowd must not fill the log. */
static void
say(struct dz_guard *self)
{
    dz_us now = dz_clock_us();
    bool is_early = self->said_at != 0 && now < self->said_at + SAY_US;
    if (is_early || (self->crowded == 0 && self->greedy == 0))
        return;
    if (self->crowded > 0)
        log_debug("guard.crowded", "cut=%" PRIu64 " most=%" PRIu32, self->crowded,
                  self->unheard_max);
    if (self->greedy > 0)
        log_debug("guard.greedy", "cut=%" PRIu64 " ahead_max=%d", self->greedy, AHEAD_MAX);
    self->crowded = self->greedy = 0;
    self->said_at = now;
}

/* ------------------------------------------------------------------ the table */

static void
link_newest(struct dz_guard *self, struct conn *conn)
{
    conn->older = self->newest;
    conn->newer = NULL;
    if (self->newest)
        self->newest->newer = conn;
    else
        self->oldest = conn;
    self->newest = conn;
    self->unheard++;
}

static void
unlink_one(struct dz_guard *self, struct conn *conn)
{
    if (conn->older)
        conn->older->newer = conn->newer;
    else
        self->oldest = conn->newer;
    if (conn->newer)
        conn->newer->older = conn->older;
    else
        self->newest = conn->older;
    conn->older = conn->newer = NULL;
    self->unheard--;
}

static void
forget(struct dz_guard *self, int fd)
{
    struct conn *conn = dz_map_del(&self->conns, (uint64_t) fd);
    if (!conn)
        return;
    if (conn->heard == 0)
        unlink_one(self, conn);
    free(conn);
}

static void
remember(struct dz_guard *self, int fd)
{
    uint64_t cookie;
    forget(self, fd); /* its end has been overtaken */
    if (!dz_sock_cookie(fd, &cookie))
        return;
    struct conn *conn = dz_alloc0(1, sizeof(*conn));
    conn->fd = fd;
    conn->cookie = cookie;
    (void) dz_map_put(&self->conns, (uint64_t) fd, conn); /* there was none */
    link_newest(self, conn);
    if (self->unheard <= self->unheard_max)
        return;
    struct conn *crowded = self->oldest;
    dz_sock_shut(crowded->fd, crowded->cookie);
    forget(self, crowded->fd);
    self->crowded++;
    say(self);
}

/* What a message of one part took on the wire. */
static size_t
wire_len(size_t body_len)
{
    size_t len = body_len + SEALED;
    return len + (len > SHORT_MAX ? 1 + sizeof(uint64_t) : 2);
}

void
dz_guard_heard(struct dz_guard *self, int fd, size_t bytes)
{
    struct conn *conn = fd >= 0 ? dz_map_get(&self->conns, (uint64_t) fd) : NULL;
    if (!conn)
        return;
    if (conn->heard == 0)
        unlink_one(self, conn);
    conn->heard += wire_len(bytes);
}

/* ------------------------------------------------------------------ greedy ones */

/* Bytes that are resident; 0: unknown. */
static uint64_t
size_now(void)
{
    char text[128];
    FILE *file = fopen("/proc/self/statm", "re");
    size_t got = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
    if (file)
        (void) fclose(file);
    text[got] = '\0';
    char *space = strchr(text, ' ');
    return space ? strtoull(space, NULL, 10) * (uint64_t) sysconf(_SC_PAGESIZE) : 0;
}

static void
look_through(struct dz_guard *self)
{
    uint64_t key = 0;
    void *value = NULL;
    for (size_t at = 0; dz_map_next(&self->conns, &at, &key, &value);) {
        struct conn *conn = value;
        if (dz_sock_received(conn->fd) <= conn->heard + AHEAD_MAX)
            continue;
        self->alert_until = dz_clock_us() + ALERT_US;
        self->greedy++;
        dz_sock_shut(conn->fd, conn->cookie); /* its end comes as an event, which forgets it */
    }
}

/* Where nobody comes in nobody fills our memory, and a node that is only led need not wake up. */
static void
watch(struct dz_guard *self)
{
    bool is_needed = self->conns.len > 0 || self->crowded > 0 || self->greedy > 0;
    dz_us now = dz_clock_us();
    dz_us at = now + (now < self->alert_until ? ALERT_LOOK_US : LOOK_US);
    if (is_needed && (!self->timer.is_listed || at < self->timer.at))
        dz_loop_set(self->loop, &self->timer, at);
}

static void
on_timer(void *arg)
{
    struct dz_guard *self = arg;
    uint64_t size = size_now();
    if (size > self->size + GROWTH || dz_clock_us() < self->alert_until)
        look_through(self);
    if (size > self->size + GROWTH || size < self->size)
        self->size = size;
    say(self);
    watch(self);
}

/* ------------------------------------------------------------------ events */

static bool
next_event(struct dz_guard *self, uint16_t *what_out, int32_t *value_out)
{
    void *handle = zsock_resolve(self->monitor);
    uint8_t head[EVENT_LEN] = { 0 }, address[256];
    if (zmq_recv(handle, head, sizeof(head), ZMQ_DONTWAIT) < 0)
        return false;
    (void) zmq_recv(handle, address, sizeof(address), ZMQ_DONTWAIT); /* not needed */
    memcpy(what_out, head, sizeof(*what_out));
    memcpy(value_out, head + sizeof(*what_out), sizeof(*value_out));
    return true;
}

static void
on_monitor(void *arg)
{
    struct dz_guard *self = arg;
    uint16_t what = 0;
    int32_t fd = -1;
    for (int i = 0; i < EVENTS_PER_WAKE && next_event(self, &what, &fd); i++) {
        if (what == ZMQ_EVENT_ACCEPTED)
            remember(self, fd);
        else
            forget(self, fd);
    }
    watch(self);
}

/* ------------------------------------------------------------------ life */

static uint32_t
unheard_max(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur / UNHEARD_SHARE > UNHEARD_MAX)
        return UNHEARD_MAX;
    return (uint32_t) files.rlim_cur / UNHEARD_SHARE;
}

static enum dz_rc
open_monitor(struct dz_guard *self, struct dz_err *err)
{
    char name[64];
    (void) snprintf(name, sizeof(name), "inproc://dz-guard-%p", (void *) self);
    int events = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED;
    if (zmq_socket_monitor(self->handle, name, events) != 0)
        return dz_fail(err, DZ_IO, "watch connections: %s", zmq_strerror(errno));
    self->monitor = zsock_new(ZMQ_PAIR);
    if (self->monitor)
        zsock_set_rcvhwm(self->monitor, 0); /* else libzmq's thread would wait for us */
    if (!self->monitor || zsock_connect(self->monitor, "%s", name) < 0)
        return dz_fail(err, DZ_IO, "watch connections: %s", zmq_strerror(errno));
    return dz_loop_watch_zmq(self->loop, zsock_resolve(self->monitor), on_monitor, self, err);
}

enum dz_rc
dz_guard_new(struct dz_loop *loop, void *handle, struct dz_guard **self_out, struct dz_err *err)
{
    DZ_AUTO(dz_guard_destroy) struct dz_guard *self = dz_alloc0(1, sizeof(*self));
    self->loop = loop;
    self->handle = handle;
    self->timer = (struct dz_timer){ .fn = on_timer, .arg = self };
    self->unheard_max = unheard_max();
    self->size = size_now();
    enum dz_rc rc = open_monitor(self, err);
    if (rc != DZ_OK)
        return rc;
    *self_out = dz_move(self);
    return DZ_OK;
}

void
dz_guard_destroy(struct dz_guard **self_p)
{
    struct dz_guard *self = dz_move(*self_p);
    if (!self)
        return;
    dz_loop_unset(self->loop, &self->timer);
    if (self->monitor) {
        dz_loop_unwatch_zmq(self->loop, zsock_resolve(self->monitor));
        (void) zmq_socket_monitor(self->handle, NULL, 0);
        zsock_destroy(&self->monitor);
    }
    uint64_t key = 0;
    void *value = NULL;
    for (size_t at = 0; dz_map_next(&self->conns, &at, &key, &value);)
        free(value);
    dz_map_fini(&self->conns);
    free(self);
}
