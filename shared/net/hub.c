#include "shared/net/hub.h"

#include "shared/base/map.h"
#include "shared/net/end.h"
#include "shared/net/gate.h"

struct dz_hub {
    struct dz_end end;
    char *near, *far;            /* where it is bound, owned; NULL: not */
    uint8_t proof[DZ_PROOF_LEN]; /* of peers within this process */
    /* when it is bound to the outside */
    const struct dz_gate *gate; /* borrowed */
    struct dz_keys keys;
    struct dz_guard *guard; /* owned */
    struct dz_map proofs;   /* node -> bytes, owned */
};

enum dz_rc
dz_hub_new(struct dz_loop *loop, const char *endpoint, dz_hub_fn *fn, void *arg,
           struct dz_hub **self_out, struct dz_err *err)
{
    DZ_AUTO(dz_hub_destroy) struct dz_hub *self = dz_alloc0(1, sizeof(*self));
    dz_process_proof(self->proof);
    self->end = (struct dz_end){ .hub_fn = fn, .arg = arg, .frames_before_body = 1 };
    enum dz_rc rc = dz_end_open(&self->end, loop, zsock_new(ZMQ_ROUTER), err);
    if (rc != DZ_OK)
        return rc;
    zsock_set_router_mandatory(self->end.sock, 1); /* else it drops without a word */
    zsock_set_router_handover(self->end.sock, 1);
    if (zsock_bind(self->end.sock, "%s", endpoint) < 0)
        return dz_fail(err, DZ_IO, "bind '%s': %s", endpoint, zmq_strerror(errno));
    self->near = dz_strdup(endpoint);
    *self_out = dz_move(self);
    return DZ_OK;
}

void
dz_hub_destroy(struct dz_hub **self_p)
{
    struct dz_hub *self = dz_move(*self_p);
    if (!self)
        return;
    if (self->near) /* closing alone frees the names later */
        (void) zsock_unbind(self->end.sock, "%s", self->near);
    if (self->far)
        (void) zsock_unbind(self->end.sock, "%s", self->far);
    dz_guard_destroy(&self->guard);
    dz_end_close(&self->end);
    uint64_t node = 0;
    void *proof = NULL;
    for (size_t at = 0; dz_map_next(&self->proofs, &at, &node, &proof);)
        free(proof);
    dz_map_fini(&self->proofs);
    dz_keys_forget(&self->keys);
    free(self->near);
    free(self->far);
    free(self);
}

enum dz_rc
dz_hub_listen(struct dz_hub *self, const struct dz_gate *gate, const struct dz_keys *keys,
              const char *endpoint, const char **endpoint_out, struct dz_err *err)
{
    dz_assert(!self->far);
    if (!gate)
        return dz_fail(err, DZ_REFUSED, "bind '%s': nobody would guard it", endpoint);
    zsock_t *sock = self->end.sock;
    dz_end_face_network(&self->end, keys, endpoint);
    zsock_set_curve_server(sock, 1);
    enum dz_rc rc = dz_guard_new(self->end.loop, zsock_resolve(sock), &self->guard, err);
    if (rc != DZ_OK)
        return rc;
    self->end.guard = self->guard;
    self->gate = gate;
    self->keys = *keys;
    if (zsock_bind(sock, "%s", endpoint) < 0)
        return dz_fail(err, DZ_IO, "bind '%s': %s", endpoint, zmq_strerror(errno));
    dz_loop_used_zmq(self->end.loop, zsock_resolve(sock));
    char *bound = zsock_last_endpoint(sock);
    self->far = dz_strdup(bound ? bound : endpoint);
    freen(bound);
    *endpoint_out = self->far;
    return DZ_OK;
}

/* What the peer's name ends with. */
static const uint8_t *
proof_of(struct dz_hub *self, uint64_t node)
{
    const struct dz_key *key = self->gate ? dz_gate_key(self->gate, node) : NULL;
    if (!key)
        return self->proof;
    uint8_t *proof = dz_map_get(&self->proofs, node);
    if (!proof) {
        proof = dz_alloc0(1, DZ_PROOF_LEN);
        dz_keys_proof(&self->keys, key, proof);
        (void) dz_map_put(&self->proofs, node, proof); /* there was none */
    }
    return proof;
}

enum dz_rc
dz_hub_send(struct dz_hub *self, struct dz_peer to, struct dz_slice body)
{
    if (self->gate && dz_gate_awaits(self->gate, to.node))
        return DZ_ABSENT; /* before its name is made out, which costs more than all else here */
    void *handle = zsock_resolve(self->end.sock);
    uint8_t id[DZ_ROUTING_LEN];
    dz_routing_id(to, proof_of(self, to.node), id);
    dz_loop_used_zmq(self->end.loop, handle);
    if (zmq_send(handle, id, sizeof(id), ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
        return errno == EHOSTUNREACH ? DZ_ABSENT : DZ_FULL;
    /* the first part decided: a pipe that took it takes the second */
    return zmq_send(handle, body.ptr, body.len, ZMQ_DONTWAIT) < 0 ? DZ_FULL : DZ_OK;
}

uint64_t
dz_hub_refused(const struct dz_hub *self)
{
    return self->end.refused;
}
