/* mesh.c - the hub takes what comes in; who is known, and by what name this node is. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/address.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/wire/frame.h"
#include "vassal/io/far.h"

/* NULL: there are too many. */
static struct far *
far_of(struct mesh *self, uint64_t node)
{
    struct far *far = dz_map_get(&self->far, node);
    if (far || self->far.len >= MESH_NODES_MAX)
        return far;
    far = dz_alloc0(1, sizeof(*far));
    far->mesh = self;
    far->node = node;
    (void) dz_map_put(&self->far, node, far); /* there was none */
    return far;
}

/* ------------------------------------------------------------------ the detour */

void
mesh_set_detour(struct mesh *self, mesh_detour_fn *fn, void *arg)
{
    self->detour = fn;
    self->detour_arg = arg;
}

void
mesh_leave(struct mesh *self, uint64_t node)
{
    struct far *far = dz_map_get(&self->far, node);
    if (far)
        far_leave(far);
}

/* ------------------------------------------------------------------ coming in */

bool
mesh_is_from(struct mesh *self, struct dz_slice frame, uint64_t node, uint64_t *inc_out)
{
    struct dz_msg_mesh envelope;
    bool is_so = dz_mesh_open(frame, &envelope) == DZ_OK && envelope.node == node;
    if (!is_so) {
        self->impostors++;
        log_warn("mesh.impostor", "node=%016" PRIx64, node);
    }
    *inc_out = is_so ? envelope.inc : 0;
    return is_so;
}

void
mesh_hear(struct mesh *self, uint64_t node, struct dz_slice frame)
{
    uint64_t inc;
    if (!mesh_is_from(self, frame, node, &inc))
        return;
    struct far *far = far_of(self, node);
    if (!far || far->is_out)
        return;
    self->detoured_at = far->detoured_at = dz_clock_us();
    far_lives(far, inc);
    self->ops.frame(self->ops.arg, frame);
}

static void
on_hub(void *arg, uint64_t from, struct dz_slice body)
{
    struct mesh *self = arg;
    uint64_t inc;
    if (from != 0) {
        if (!mesh_is_from(self, body, from, &inc))
            return;
        struct far *far = far_of(self, from); /* the gate let it in: it can be answered */
        if (far && far->is_out)
            return;
        if (far) {
            far_lives(far, inc);
            far_is_near(far);
        }
    }
    self->ops.frame(self->ops.arg, body);
}

static void
on_self_link(void *arg, struct dz_slice body)
{
    struct mesh *self = arg;
    self->ops.frame(self->ops.arg, body);
}

/* ------------------------------------------------------------------ going out */

void
mesh_send(struct mesh *self, uint64_t node, uint64_t inc, struct dz_slice frame)
{
    if (node == self->me.node) {
        (void) dz_link_send(self->self_link, frame); /* full: said again */
        return;
    }
    struct far *far = dz_map_get(&self->far, node);
    if (far && !far->is_out)
        far_send(far, inc, frame);
}

/* Not one that has come to us. */
void
mesh_reach(struct mesh *self, uint64_t node)
{
    struct far *far = dz_map_get(&self->far, node);
    if (far && !far->is_out && !far->was_near)
        far_reach(far);
}

/* ------------------------------------------------------------------ knowing others */

enum dz_rc
mesh_meet(struct mesh *self, uint64_t node, uint64_t inc, struct dz_slice contact)
{
    if (node == self->me.node || !self->gate)
        return DZ_OK;
    DZ_AUTO(dz_contact_fini) struct dz_contact read = { 0 };
    enum dz_rc rc = dz_contact_read(contact, &read);
    if (rc != DZ_OK || dz_key_node(&read.key) != node)
        return DZ_CORRUPT;
    struct far *far = far_of(self, node);
    if (far && far->is_out)
        return DZ_OK;
    rc = dz_gate_admit(self->gate, &read.key);
    far = rc == DZ_OK ? far : NULL;
    if (!far)
        return rc == DZ_OK ? DZ_LIMIT : rc;
    far_lives(far, inc);
    dz_contact_fini(&far->contact); /* a link has copies */
    far->contact = read;
    read.endpoints = (struct dz_strs){ 0 };
    return DZ_OK;
}

void
mesh_shut_out(struct mesh *self, uint64_t node)
{
    struct far *far = dz_map_get(&self->far, node);
    if (!far || !self->gate)
        return;
    far->is_out = true;
    dz_gate_expel(self->gate, &far->contact.key);
    far_hang_up(far);
}

void
mesh_let_back(struct mesh *self, uint64_t node)
{
    struct far *far = dz_map_get(&self->far, node);
    if (far)
        far->is_out = false;
}

/* ------------------------------------------------------------------ being known */

static enum dz_rc
listen_far(struct mesh *self, const char *ipc, struct dz_err *err)
{
    const char *bound = NULL;
    enum dz_rc rc = dz_hub_listen(self->hub, self->gate, &self->keys, ipc ? ipc : dz_address_any(),
                                  &bound, err);
    if (rc != DZ_OK)
        return rc;
    DZ_AUTO(dz_strs_fini) struct dz_strs endpoints = { 0 };
    const char *colon = strrchr(bound, ':');
    if (ipc)
        dz_strs_add(&endpoints, dz_str(ipc));
    else if (colon)
        dz_address_add(&endpoints, colon + 1, DZ_CONTACT_ENDPOINTS);
    dz_contact_write(&self->keys.public, &endpoints, &self->contact);
    return DZ_OK;
}

struct dz_slice
mesh_contact(const struct mesh *self)
{
    return dz_buf_slice(&self->contact);
}

const char *
mesh_way(const struct mesh *self, uint64_t node)
{
    const struct far *far = dz_map_get(&self->far, node);
    if (far && far->is_detoured)
        return MESH_WAY_DETOUR;
    return far && far->is_up ? dz_link_way(far->link) : "";
}

uint64_t
mesh_impostors(const struct mesh *self)
{
    return self->impostors;
}

/* ------------------------------------------------------------------ life */

enum dz_rc
mesh_new(const struct mesh_cfg *cfg, struct mesh **self_out, struct dz_err *err)
{
    DZ_AUTO(mesh_destroy) struct mesh *self = dz_alloc0(1, sizeof(*self));
    self->loop = cfg->loop;
    self->me = (struct dz_peer){ .node = cfg->node, .inc = cfg->inc };
    self->ops = cfg->ops;
    self->gate = cfg->keys ? cfg->gate : NULL;
    enum dz_rc rc = dz_hub_new(cfg->loop, cfg->name, on_hub, self, &self->hub, err);
    if (rc == DZ_OK)
        rc = dz_link_new(cfg->loop, cfg->name, self->me, on_self_link, self, &self->self_link, err);
    if (rc == DZ_OK && cfg->keys) {
        dz_assert(cfg->node == dz_key_node(&cfg->keys->public));
        self->keys = *cfg->keys;
        rc = listen_far(self, cfg->ipc, err);
    }
    if (rc != DZ_OK)
        return rc;
    *self_out = dz_move(self);
    return DZ_OK;
}

void
mesh_destroy(struct mesh **self_p)
{
    struct mesh *self = dz_move(*self_p);
    if (!self)
        return;
    uint64_t node = 0;
    void *value = NULL;
    for (size_t at = 0; dz_map_next(&self->far, &at, &node, &value);) {
        struct far *far = value;
        far_hang_up(far);
        dz_contact_fini(&far->contact);
        free(far);
    }
    dz_map_fini(&self->far);
    dz_link_destroy(&self->self_link);
    dz_hub_destroy(&self->hub);
    dz_keys_forget(&self->keys);
    dz_buf_fini(&self->contact);
    free(self);
}
