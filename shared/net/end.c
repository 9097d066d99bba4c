#include "shared/net/end.h"

#include "shared/base/str.h"

enum {
    PER_WAKE = 256,           /* messages, then others have their turn */
    BODY_MAX = 1 << 20,       /* bytes within a process */
    BODY_FAR_MAX = 260 << 10, /* bytes from another: a body of the schema in its envelope */
    HANDSHAKE_MS = 3000,      /* a connection that says nothing is cut after so long, */
    ROOM_MS = 30000,          /* and in a room of this host, where no stranger comes in */
    BACKLOG = 4096,
    UNACKED_MS = 2000, /* the other side's kernel answers nothing: a connection through a cut */
    PROBE_S = 1,       /* of a connection on which nothing is said */
    PROBES = 4,        /* without an answer, then it is swept away */
};

void
dz_net_setup(void)
{
    zsys_handler_set(NULL); /* first: czmq's own handlers would replace the program's */
    zsys_init();
    zsys_set_logstream(stderr);
    zsys_set_linger(0); /* what must arrive is in the spool */
}

void
dz_net_teardown(void)
{
    zsys_shutdown();
}

/* A routing id must not begin with a zero byte, which ZeroMQ keeps for its own names. */
void
dz_routing_id(struct dz_peer peer, const uint8_t proof[static DZ_PROOF_LEN],
              uint8_t out[static DZ_ROUTING_LEN])
{
    out[0] = 'n';
    memcpy(out + 1, &peer.node, sizeof(peer.node));
    memcpy(out + 1 + sizeof(peer.node), &peer.inc, sizeof(peer.inc));
    memcpy(out + 1 + sizeof(peer.node) + sizeof(peer.inc), proof, DZ_PROOF_LEN);
}

/* ------------------------------------------------------------------ receiving */

/* Read the rest of a message whose parts are not what they should be. */
static void
skip_parts(void *handle, zmq_msg_t *part)
{
    while (zmq_msg_more(part) && zmq_msg_recv(part, handle, ZMQ_DONTWAIT) >= 0)
        ;
}

/* The node that the gate let this connection in as; 0: it is from this process. */
static uint64_t
sender_of(zmq_msg_t *part)
{
    const char *user = zmq_msg_gets(part, "User-Id");
    return user ? strtoull(user, NULL, 16) : 0;
}

/* In ZeroMQ's way of numbering: the last part carries the connection's properties; the first one
 * may have lost them. */
static void
deliver(struct dz_end *self, zmq_msg_t *part)
{
    struct dz_slice body = { zmq_msg_data(part), zmq_msg_size(part) };
    if (self->guard)
        dz_guard_heard(self->guard, zmq_msg_get(part, ZMQ_SRCFD), body.len);
    if (self->hub_fn)
        self->hub_fn(self->arg, sender_of(part), body);
    else
        self->fn(self->arg, body);
}

/* False: there is no message. */
static bool
take_one(struct dz_end *self)
{
    void *handle = zsock_resolve(self->sock);
    zmq_msg_t part;
    (void) zmq_msg_init(&part);
    int before = 0;
    int got = zmq_msg_recv(&part, handle, ZMQ_DONTWAIT);
    bool is_there = got >= 0;
    while (got >= 0 && before < self->frames_before_body && zmq_msg_more(&part)) {
        got = zmq_msg_recv(&part, handle, ZMQ_DONTWAIT);
        before++;
    }
    if (got >= 0 && before == self->frames_before_body && !zmq_msg_more(&part) &&
        zmq_msg_size(&part) <= BODY_MAX)
        deliver(self, &part);
    else if (is_there)
        self->refused++;
    if (self->sock) /* not closed by the handler */
        skip_parts(handle, &part);
    (void) zmq_msg_close(&part);
    return is_there;
}

static void
on_readable(void *arg)
{
    struct dz_end *self = arg;
    for (int i = 0; i < PER_WAKE && self->sock; i++) { /* a handler may close it */
        if (!take_one(self))
            return;
    }
}

/* ------------------------------------------------------------------ life */

enum dz_rc
dz_end_open(struct dz_end *self, struct dz_loop *loop, zsock_t *sock, struct dz_err *err)
{
    self->loop = loop;
    self->sock = sock;
    if (!sock)
        return dz_fail(err, DZ_IO, "make a ZeroMQ socket: %s", zmq_strerror(errno));
    zsock_set_linger(sock, 0);
    zsock_set_sndtimeo(sock, 0);
    zsock_set_maxmsgsize(sock, BODY_MAX);
    return dz_loop_watch_zmq(loop, zsock_resolve(sock), on_readable, self, err);
}

bool
dz_end_is_room(const char *endpoint)
{
    return dz_starts_with(dz_str(endpoint), dz_str("ipc:"));
}

int
dz_end_handshake_ms(const char *endpoint)
{
    return dz_end_is_room(endpoint) ? ROOM_MS : HANDSHAKE_MS;
}

void
dz_end_face_network(struct dz_end *self, const struct dz_keys *keys, const char *endpoint)
{
    zsock_set_ipv6(self->sock, strchr(endpoint, '[') != NULL);
    zsock_set_curve_publickey_bin(self->sock, keys->public.bytes);
    zsock_set_curve_secretkey_bin(self->sock, keys->secret.bytes);
    zsock_set_zap_domain(self->sock, DZ_GATE_DOMAIN);
    zsock_set_maxmsgsize(self->sock, BODY_FAR_MAX);
    /* No limit of messages: libzmq 4.3 aborts ("!_io_error") when it takes up input that it had left
     * because of the limit, the connection has ended since, and there is a PING in it.  Any member
     * could do that to us.  guard.h bounds what waits. */
    zsock_set_rcvhwm(self->sock, 0);
    zsock_set_handshake_ivl(self->sock, dz_end_handshake_ms(endpoint));
    zsock_set_backlog(self->sock, BACKLOG);
    zsock_set_tcp_maxrt(self->sock, UNACKED_MS);
    /* The kernel's probes, not ZeroMQ's heartbeats: the timer of those aborts the process (libzmq
     * 4.3, "!_io_error") when a connection dies while we have not read what it brought. */
    zsock_set_tcp_keepalive(self->sock, 1);
    zsock_set_tcp_keepalive_idle(self->sock, PROBE_S);
    zsock_set_tcp_keepalive_intvl(self->sock, PROBE_S);
    zsock_set_tcp_keepalive_cnt(self->sock, PROBES);
}

void
dz_end_close(struct dz_end *self)
{
    if (!self->sock)
        return;
    dz_loop_unwatch_zmq(self->loop, zsock_resolve(self->sock));
    zsock_destroy(&self->sock);
}
