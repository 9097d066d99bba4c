#include "shared/net/link.h"

#include <inttypes.h>

#include "shared/base/clock.h"
#include "shared/base/str.h"
#include "shared/net/end.h"

enum {
    TRY_US = 1000000,  /* for one way: until there is a connection */
    ROUND_US = 200000, /* between rounds, doubled up to: */
    ROUND_MAX_US = 2000000,
    EVENT_LEN = 6, /* bytes of a monitor's event: what, and a value */
};

struct dz_link {
    struct dz_end end;
    struct dz_peer me;
    uint8_t proof[DZ_PROOF_LEN]; /* of that name */
    /* of a link that dials */
    struct dz_keys keys;
    struct dz_key server;
    struct dz_strs ways; /* owned */
    size_t way;          /* that is tried, or up */
    dz_link_fn *event_fn;
    zsock_t *monitor; /* owned; what happens to the connection */
    struct dz_timer timer;
    dz_us round_us;
    bool is_up, was_refused;
    unsigned tries;  /* numbers the monitors, whose names are free again only some time later */
    bool is_resting; /* between rounds */
};

static void try_way(struct dz_link *self);

static enum dz_rc
open_end(struct dz_link *self, struct dz_err *err)
{
    enum dz_rc rc = dz_end_open(&self->end, self->end.loop, zsock_new(ZMQ_DEALER), err);
    if (rc != DZ_OK)
        return rc;
    uint8_t id[DZ_ROUTING_LEN];
    dz_routing_id(self->me, self->proof, id);
    /* czmq takes a routing id as a string, and ours has zeros */
    if (zmq_setsockopt(zsock_resolve(self->end.sock), ZMQ_ROUTING_ID, id, sizeof(id)) != 0)
        return dz_fail(err, DZ_IO, "name a ZeroMQ socket: %s", zmq_strerror(errno));
    return DZ_OK;
}

enum dz_rc
dz_link_new(struct dz_loop *loop, const char *endpoint, struct dz_peer me, dz_body_fn *fn,
            void *arg, struct dz_link **self_out, struct dz_err *err)
{
    DZ_AUTO(dz_link_destroy) struct dz_link *self = dz_alloc0(1, sizeof(*self));
    self->end = (struct dz_end){ .loop = loop, .fn = fn, .arg = arg };
    self->me = me;
    dz_process_proof(self->proof);
    enum dz_rc rc = open_end(self, err);
    if (rc != DZ_OK)
        return rc;
    if (zsock_connect(self->end.sock, "%s", endpoint) < 0)
        return dz_fail(err, DZ_IO, "connect to '%s': %s", endpoint, zmq_strerror(errno));
    self->is_up = true;
    *self_out = dz_move(self);
    return DZ_OK;
}

/* ------------------------------------------------------------------ dialling */

static void
close_way(struct dz_link *self)
{
    self->is_up = false;
    dz_loop_unset(self->end.loop, &self->timer);
    if (self->monitor) {
        dz_loop_unwatch_zmq(self->end.loop, zsock_resolve(self->monitor));
        (void) zmq_socket_monitor(zsock_resolve(self->end.sock), NULL, 0);
        zsock_destroy(&self->monitor);
    }
    dz_end_close(&self->end);
}

/* The next way, or, after the last one, a rest and the next round.  Tells `event` last: the link may
 * be gone after it. */
static void
next_way(struct dz_link *self, enum dz_link_event event)
{
    bool is_told = event != DZ_LINK_FAILED;
    close_way(self);
    self->way = event == DZ_LINK_LOST ? 0 : self->way + 1;
    if (self->way < self->ways.len) {
        try_way(self);
    } else {
        self->way = 0;
        is_told = true;
        event = self->was_refused ? DZ_LINK_REFUSED : event;
        self->was_refused = false;
        self->is_resting = true;
        dz_loop_set(self->end.loop, &self->timer, dz_clock_us() + self->round_us);
        self->round_us = 2 * self->round_us < ROUND_MAX_US ? 2 * self->round_us : ROUND_MAX_US;
    }
    if (is_told)
        self->event_fn(self->end.arg, event);
}

static void
on_timer(void *arg)
{
    struct dz_link *self = arg;
    if (!self->is_resting)
        next_way(self, DZ_LINK_FAILED);
    else
        try_way(self);
}

/* The handshake has time of its own: a hub may have a thousand before it. */
static void
wait_for_handshake(struct dz_link *self)
{
    int ms = dz_end_handshake_ms(self->ways.items[self->way]);
    dz_loop_set(self->end.loop, &self->timer, dz_clock_us() + (dz_us) ms * 1000);
}

/* What one event means; false: nothing yet. */
static bool
is_decided(struct dz_link *self, uint16_t what, enum dz_link_event *out)
{
    switch (what) {
    case ZMQ_EVENT_CONNECTED: wait_for_handshake(self); return false;
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED: *out = DZ_LINK_UP; return !self->is_up;
    case ZMQ_EVENT_DISCONNECTED: *out = self->is_up ? DZ_LINK_LOST : DZ_LINK_FAILED; return true;
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH: self->was_refused = true; /* fall through */
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
    case ZMQ_EVENT_CLOSED: *out = DZ_LINK_FAILED; return !self->is_up;
    default: return false;
    }
}

static bool
next_event(struct dz_link *self, uint16_t *what_out)
{
    void *handle = zsock_resolve(self->monitor);
    uint8_t head[EVENT_LEN], address[256];
    int got = zmq_recv(handle, head, sizeof(head), ZMQ_DONTWAIT);
    if (got < 0)
        return false;
    (void) zmq_recv(handle, address, sizeof(address),
                    ZMQ_DONTWAIT); /* the second part, not needed */
    *what_out = 0;
    if (got == EVENT_LEN)
        memcpy(what_out, head, sizeof(*what_out));
    return true;
}

static void
on_monitor(void *arg)
{
    struct dz_link *self = arg;
    uint16_t what = 0;
    enum dz_link_event event;
    while (next_event(self, &what)) {
        if (!is_decided(self, what, &event))
            continue;
        if (event != DZ_LINK_UP) {
            next_way(self, event);
            return; /* the link may be gone */
        }
        self->is_up = true;
        self->was_refused = false;
        self->round_us = ROUND_US;
        dz_loop_unset(self->end.loop, &self->timer);
        self->event_fn(self->end.arg, DZ_LINK_UP);
        return; /* likewise; later events wake us again */
    }
}

static enum dz_rc
watch_way(struct dz_link *self, struct dz_err *err)
{
    char name[64];
    (void) snprintf(name, sizeof(name), "inproc://dz-link-%p-%u", (void *) self, self->tries++);
    int events = ZMQ_EVENT_CONNECTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED |
                 ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                 ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL;
    if (zmq_socket_monitor(zsock_resolve(self->end.sock), name, events) != 0)
        return dz_fail(err, DZ_IO, "watch a connection: %s", zmq_strerror(errno));
    self->monitor = zsock_new(ZMQ_PAIR);
    if (!self->monitor || zsock_connect(self->monitor, "%s", name) < 0)
        return dz_fail(err, DZ_IO, "watch a connection: %s", zmq_strerror(errno));
    return dz_loop_watch_zmq(self->end.loop, zsock_resolve(self->monitor), on_monitor, self, err);
}

static enum dz_rc
open_way(struct dz_link *self, struct dz_err *err)
{
    enum dz_rc rc = open_end(self, err);
    if (rc != DZ_OK)
        return rc;
    zsock_t *sock = self->end.sock;
    dz_end_face_network(&self->end, &self->keys, self->ways.items[self->way]);
    zsock_set_curve_serverkey_bin(sock, self->server.bytes);
    zsock_set_reconnect_ivl(sock, -1); /* we try again ourselves, and the other ways too */
    rc = watch_way(self, err);
    if (rc == DZ_OK && zsock_connect(sock, "%s", self->ways.items[self->way]) < 0)
        rc = dz_fail(err, DZ_IO, "connect to '%s': %s", self->ways.items[self->way],
                     zmq_strerror(errno));
    return rc;
}

static void
try_way(struct dz_link *self)
{
    struct dz_err err;
    self->is_resting = false;
    if (open_way(self, &err) != DZ_OK)
        close_way(self);
    const char *way = self->ways.items[self->way];
    if (self->end.sock && dz_end_is_room(way)) /* the kernel says at once if nobody listens there */
        wait_for_handshake(self);
    else /* the timer goes on to the next way */
        dz_loop_set(self->end.loop, &self->timer, dz_clock_us() + (self->end.sock ? TRY_US : 0));
}

struct dz_link *
dz_link_dial(struct dz_loop *loop, const struct dz_link_cfg *cfg)
{
    dz_assert(cfg->endpoint_count > 0 && cfg->endpoint_count <= DZ_LINK_WAYS_MAX);
    struct dz_link *self = dz_alloc0(1, sizeof(*self));
    self->end = (struct dz_end){ .loop = loop, .fn = cfg->fn, .arg = cfg->arg };
    self->me = cfg->me;
    self->keys = *cfg->keys;
    self->server = cfg->server;
    dz_keys_proof(&self->keys, &self->server, self->proof);
    self->event_fn = cfg->event_fn;
    self->timer = (struct dz_timer){ .fn = on_timer, .arg = self };
    self->round_us = ROUND_US;
    for (size_t i = 0; i < cfg->endpoint_count; i++)
        dz_strs_add(&self->ways, dz_str(cfg->endpoints[i]));
    try_way(self);
    return self;
}

const char *
dz_link_way(const struct dz_link *self)
{
    return self->is_up && self->ways.len ? self->ways.items[self->way] : "";
}

/* ------------------------------------------------------------------ */

void
dz_link_destroy(struct dz_link **self_p)
{
    struct dz_link *self = dz_move(*self_p);
    if (!self)
        return;
    close_way(self);
    dz_strs_fini(&self->ways);
    dz_keys_forget(&self->keys);
    free(self);
}

enum dz_rc
dz_link_send(struct dz_link *self, struct dz_slice body)
{
    if (!self->is_up)
        return DZ_AGAIN;
    void *handle = zsock_resolve(self->end.sock);
    dz_loop_used_zmq(self->end.loop, handle);
    return zmq_send(handle, body.ptr, body.len, ZMQ_DONTWAIT) < 0 ? DZ_FULL : DZ_OK;
}
