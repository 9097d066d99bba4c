#include "shared/net/gate.h"

#include <czmq.h>
#include <inttypes.h>

#include "shared/base/map.h"
#include "shared/net/end.h"

#define ENDPOINT "inproc://zeromq.zap.01"

enum { PER_WAKE = 256, DOMAIN_PART = 2, MECHANISM_PART = 5, KEY_PART = 6, PARTS = 7 };

struct member {
    struct dz_key key;
    bool has_come; /* a connection of it was let in */
};

struct dz_gate {
    struct dz_loop *loop;  /* borrowed */
    zsock_t *sock;         /* owned */
    struct dz_map members; /* a node's number -> struct member, owned */
    uint64_t refused;
    dz_gate_fn *stranger_fn; /* may be NULL */
    void *stranger_arg;
};

/* ------------------------------------------------------------------ answers */

/* NULL: this key is not admitted, though another one of the same number may be. */
static struct member *
admitted(const struct dz_gate *self, const struct dz_key *key)
{
    struct member *member = dz_map_get(&self->members, dz_key_node(key));
    return member && memcmp(&member->key, key, sizeof(*key)) == 0 ? member : NULL;
}

/* The node that this key is admitted as, 0: none. */
static uint64_t
let_in(struct dz_gate *self, zframe_t *frame)
{
    struct dz_key key;
    if (zframe_size(frame) != sizeof(key.bytes))
        return 0;
    memcpy(key.bytes, zframe_data(frame), sizeof(key.bytes));
    struct member *member = admitted(self, &key);
    if (!member && self->stranger_fn && self->stranger_fn(self->stranger_arg, &key) &&
        dz_gate_admit(self, &key) == DZ_OK)
        member = admitted(self, &key);
    if (!member)
        return 0;
    member->has_come = true;
    return dz_key_node(&key);
}

void
dz_gate_on_stranger(struct dz_gate *self, dz_gate_fn *fn, void *arg)
{
    self->stranger_fn = fn;
    self->stranger_arg = arg;
}

static uint64_t
judge(struct dz_gate *self, zframe_t *const parts[PARTS])
{
    if (!zframe_streq(parts[0], "1.0") || !zframe_streq(parts[DOMAIN_PART], DZ_GATE_DOMAIN) ||
        !zframe_streq(parts[MECHANISM_PART], "CURVE"))
        return 0;
    return let_in(self, parts[KEY_PART]);
}

static void
answer(struct dz_gate *self, zmsg_t *request)
{
    zframe_t *parts[PARTS] = { 0 };
    size_t count = 0;
    for (zframe_t *part = zmsg_first(request); part && count < PARTS; part = zmsg_next(request))
        parts[count++] = part;
    uint64_t node = count == PARTS ? judge(self, parts) : 0;
    if (node == 0)
        self->refused++;
    char user[DZ_USER_LEN + 1];
    (void) snprintf(user, sizeof(user), "%016" PRIx64, node);
    zmsg_t *reply = zmsg_new();
    zmsg_addstr(reply, "1.0");
    if (count > 1)
        zmsg_addmem(reply, zframe_data(parts[1]), zframe_size(parts[1])); /* the request's number */
    else
        zmsg_addstr(reply, "");
    zmsg_addstr(reply, node ? "200" : "400");
    zmsg_addstr(reply, node ? "OK" : "not a member");
    zmsg_addstr(reply, node ? user : "");
    zmsg_addmem(reply, "", 0);
    if (zmsg_send(&reply, self->sock) != 0)
        zmsg_destroy(&reply); /* libzmq asks again with the next connection */
}

static void
on_request(void *arg)
{
    struct dz_gate *self = arg;
    for (int i = 0; i < PER_WAKE; i++) {
        zmsg_t *request = zmsg_recv(self->sock);
        if (!request)
            return;
        answer(self, request);
        zmsg_destroy(&request);
    }
}

/* ------------------------------------------------------------------ members */

enum dz_rc
dz_gate_admit(struct dz_gate *self, const struct dz_key *public)
{
    uint64_t node = dz_key_node(public);
    struct member *member = dz_map_get(&self->members, node);
    if (member)
        return admitted(self, public) ? DZ_OK : DZ_REFUSED;
    if (self->members.len >= DZ_GATE_KEYS_MAX)
        return DZ_LIMIT;
    member = dz_alloc0(1, sizeof(*member));
    member->key = *public;
    (void) dz_map_put(&self->members, node, member); /* there was none */
    return DZ_OK;
}

void
dz_gate_expel(struct dz_gate *self, const struct dz_key *public)
{
    if (admitted(self, public))
        free(dz_map_del(&self->members, dz_key_node(public)));
}

const struct dz_key *
dz_gate_key(const struct dz_gate *self, uint64_t node)
{
    const struct member *member = dz_map_get(&self->members, node);
    return member ? &member->key : NULL;
}

bool
dz_gate_awaits(const struct dz_gate *self, uint64_t node)
{
    const struct member *member = dz_map_get(&self->members, node);
    return member && !member->has_come;
}

uint64_t
dz_gate_refused(const struct dz_gate *self)
{
    return self->refused;
}

/* ------------------------------------------------------------------ life */

enum dz_rc
dz_gate_new(struct dz_loop *loop, struct dz_gate **self_out, struct dz_err *err)
{
    DZ_AUTO(dz_gate_destroy) struct dz_gate *self = dz_alloc0(1, sizeof(*self));
    self->loop = loop;
    self->sock = zsock_new(ZMQ_REP);
    if (!self->sock)
        return dz_fail(err, DZ_IO, "make a ZeroMQ socket: %s", zmq_strerror(errno));
    zsock_set_linger(self->sock, 0);
    zsock_set_rcvtimeo(self->sock, 0);
    zsock_set_sndtimeo(self->sock, 0);
    if (zsock_bind(self->sock, ENDPOINT) < 0)
        return dz_fail(err, errno == EADDRINUSE ? DZ_EXISTS : DZ_IO, "answer for ZAP: %s",
                       zmq_strerror(errno));
    enum dz_rc rc = dz_loop_watch_zmq(loop, zsock_resolve(self->sock), on_request, self, err);
    if (rc != DZ_OK)
        return rc;
    *self_out = dz_move(self);
    return DZ_OK;
}

void
dz_gate_destroy(struct dz_gate **self_p)
{
    struct dz_gate *self = dz_move(*self_p);
    if (!self)
        return;
    if (self->sock) {
        dz_loop_unwatch_zmq(self->loop, zsock_resolve(self->sock));
        (void) zsock_unbind(self->sock, ENDPOINT); /* closing alone frees the name later */
    }
    zsock_destroy(&self->sock);
    uint64_t node = 0;
    void *member = NULL;
    for (size_t at = 0; dz_map_next(&self->members, &at, &node, &member);)
        free(member);
    dz_map_fini(&self->members);
    free(self);
}
