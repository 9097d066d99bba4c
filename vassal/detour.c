/* detour.c - between mesh and tunnel: frames for nodes that are not reached directly, and from them. */
#include "shared/net/gate.h"
#include "vassal/peers.h"

static void
on_frame(void *arg, uint64_t node, struct dz_slice frame)
{
    const struct peers *self = arg;
    mesh_hear(self->mesh, node, frame);
}

static void
on_left(void *arg, uint64_t node)
{
    const struct peers *self = arg;
    mesh_leave(self->mesh, node);
}

/* Of members only.  Who is not known may have come a moment ago. */
static const struct dz_key *
key_of(void *arg, uint64_t node)
{
    const struct peers *self = arg;
    const struct dz_key *key = dz_gate_key(self->gate, node);
    if (!key)
        lobby_look_again(self->lobby);
    return key;
}

static void
on_idle(void *arg)
{
    const struct peers *self = arg;
    if (peers_is_idle(self))
        self->ops.idle(self->ops.arg);
}

static void
send(void *arg, uint64_t node, struct dz_slice frame)
{
    tunnel_send(arg, node, frame);
}

void
detour_listen(void *arg)
{
    const struct peers *self = arg;
    if (self->tunnel)
        tunnel_listen(self->tunnel);
}

enum dz_rc
detour_open(struct peers *self, const struct peers_job *job, struct dz_err *err)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf url = { 0 };
    lobby_letters_url(self->lobby, &url);
    dz_buf_add(&url, "", 1);
    struct tunnel_cfg cfg = {
        .loop = self->loop,
        .url = (const char *) url.data,
        .uri = job->uri,
        .node = self->node,
        .keys = &self->keys,
        .ops = { .frame = on_frame, .left = on_left, .key = key_of, .idle = on_idle, .arg = self },
    };
    enum dz_rc rc = tunnel_new(&cfg, &self->tunnel, err);
    if (rc == DZ_OK)
        mesh_set_detour(self->mesh, send, self->tunnel);
    return rc;
}
