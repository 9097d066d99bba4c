#include "shared/net/link.h"

#include "shared/net/end.h"

struct dz_link {
    struct dz_end end;
};

enum dz_rc
dz_link_new(struct dz_loop *loop, const char *endpoint, struct dz_peer me, dz_body_fn *fn,
            void *arg, struct dz_link **self_out, struct dz_err *err)
{
    DZ_AUTO(dz_link_destroy) struct dz_link *self = dz_alloc0(1, sizeof(*self));
    self->end = (struct dz_end){ .fn = fn, .arg = arg };
    enum dz_rc rc = dz_end_open(&self->end, loop, zsock_new(ZMQ_DEALER), err);
    if (rc != DZ_OK)
        return rc;
    uint8_t id[DZ_ROUTING_LEN];
    dz_routing_id(me, id);
    /* czmq takes a routing id as a string, and ours has zeros */
    void *handle = zsock_resolve(self->end.sock);
    if (zmq_setsockopt(handle, ZMQ_ROUTING_ID, id, sizeof(id)) != 0 ||
        zsock_connect(self->end.sock, "%s", endpoint) < 0)
        return dz_fail(err, DZ_IO, "connect to '%s': %s", endpoint, zmq_strerror(errno));
    *self_out = dz_move(self);
    return DZ_OK;
}

void
dz_link_destroy(struct dz_link **self_p)
{
    struct dz_link *self = dz_move(*self_p);
    if (!self)
        return;
    dz_end_close(&self->end);
    free(self);
}

enum dz_rc
dz_link_send(struct dz_link *self, struct dz_slice body)
{
    void *handle = zsock_resolve(self->end.sock);
    return zmq_send(handle, body.ptr, body.len, ZMQ_DONTWAIT) < 0 ? DZ_FULL : DZ_OK;
}
