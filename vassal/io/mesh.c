/* mesh.c - the hub takes what comes in, links are dialled when there is something to say. */
#include "vassal/io/mesh.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/map.h"
#include "shared/net/contact.h"
#include "shared/net/hub.h"
#include "shared/net/link.h"
#include "shared/wire/frame.h"

/* Another node. */
struct far {
    struct mesh *mesh; /* borrowed */
    uint64_t node, inc;
    struct dz_contact contact;
    struct dz_link *link; /* owned; NULL: not dialled */
    bool is_up;
    bool is_out;   /* it takes part no more */
    bool was_near; /* it has spoken to us, or a link was up: its absence means something */
    dz_us used_at;
};

struct mesh {
    struct dz_loop *loop; /* borrowed */
    struct dz_peer me;
    struct dz_keys keys;
    struct dz_gate *gate; /* borrowed; NULL: alone */
    struct mesh_ops ops;
    struct dz_hub *hub;        /* owned */
    struct dz_link *self_link; /* owned: from here to here */
    struct dz_map far;         /* node -> struct far, owned */
    unsigned links;
    struct dz_buf contact;
    uint64_t impostors;
};

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

/* ------------------------------------------------------------------ coming in */

static void
on_hub(void *arg, uint64_t from, struct dz_slice body)
{
    struct mesh *self = arg;
    struct dz_msg_mesh envelope;
    if (from != 0) {
        if (dz_mesh_open(body, &envelope) != DZ_OK || envelope.node != from) {
            self->impostors++;
            log_warn("mesh.impostor", "node=%016" PRIx64, from);
            return;
        }
        struct far *far = far_of(self, from); /* the gate let it in: it can be answered */
        if (far && far->is_out)
            return;
        if (far) {
            far->was_near = true;
            far->inc = envelope.inc > far->inc ? envelope.inc : far->inc;
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

/* What comes over a link comes from the hub whose key we pinned. */
static void
on_link(void *arg, struct dz_slice body)
{
    struct far *far = arg;
    struct mesh *self = far->mesh;
    struct dz_msg_mesh envelope;
    if (dz_mesh_open(body, &envelope) != DZ_OK || envelope.node != far->node) {
        self->impostors++;
        log_warn("mesh.impostor", "node=%016" PRIx64, far->node);
        return;
    }
    far->used_at = dz_clock_us();
    far->inc = envelope.inc > far->inc ? envelope.inc : far->inc;
    self->ops.frame(self->ops.arg, body);
}

/* ------------------------------------------------------------------ links */

static void
hang_up(struct far *far)
{
    if (!far->link)
        return;
    dz_link_destroy(&far->link);
    far->is_up = false;
    far->mesh->links--;
}

static void
on_link_event(void *arg, enum dz_link_event event)
{
    struct far *far = arg;
    struct mesh *self = far->mesh;
    switch (event) {
    case DZ_LINK_UP:
        far->is_up = far->was_near = true;
        self->ops.way(self->ops.arg, far->node, dz_link_way(far->link));
        return;
    case DZ_LINK_LOST: far->is_up = false; return; /* tried again at once: FAILED tells a death */
    case DZ_LINK_REFUSED: return;                  /* it lives, and will hear of us */
    case DZ_LINK_FAILED: break;
    }
    if (!far->was_near)
        return; /* never reached: the cores look for another way */
    far->was_near = false;
    hang_up(far);
    log_debug("mesh.gone", "node=%016" PRIx64, far->node);
    self->ops.gone(self->ops.arg, far->node, far->inc);
}

/* The one that has been silent longest. */
static void
make_room(struct mesh *self)
{
    struct far *oldest = NULL;
    uint64_t node = 0;
    void *value = NULL;
    for (size_t at = 0; dz_map_next(&self->far, &at, &node, &value);) {
        struct far *far = value;
        if (far->link && (!oldest || far->used_at < oldest->used_at))
            oldest = far;
    }
    if (oldest)
        hang_up(oldest);
}

static void
dial(struct far *far)
{
    struct mesh *self = far->mesh;
    if (self->links >= MESH_LINKS_MAX)
        make_room(self);
    struct dz_link_cfg cfg = {
        .me = self->me,
        .keys = &self->keys,
        .server = far->contact.key,
        .endpoints = (const char *const *) far->contact.endpoints.items,
        .endpoint_count = far->contact.endpoints.len,
        .fn = on_link,
        .event_fn = on_link_event,
        .arg = far,
    };
    far->used_at = dz_clock_us();
    far->link = dz_link_dial(self->loop, &cfg);
    self->links++;
}

/* ------------------------------------------------------------------ going out */

static void
send_far(struct mesh *self, struct far *far, uint64_t inc, struct dz_slice frame)
{
    if (far && far->is_up) {
        far->used_at = dz_clock_us();
        (void) dz_link_send(far->link, frame); /* full: said again */
        return;
    }
    struct dz_peer peer = { .node = far ? far->node : 0, .inc = inc ? inc : far ? far->inc : 0 };
    if (dz_hub_send(self->hub, peer, frame) != DZ_ABSENT)
        return;
    /* It never came to us, or its connection ended: dialling finds out which. */
    if (far && !far->link && far->contact.endpoints.len > 0)
        dial(far);
}

void
mesh_send(struct mesh *self, uint64_t node, uint64_t inc, struct dz_slice frame)
{
    if (node == self->me.node) {
        (void) dz_link_send(self->self_link, frame); /* full: said again */
        return;
    }
    struct far *far = dz_map_get(&self->far, node);
    if (far && !far->is_out)
        send_far(self, far, inc, frame);
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
    far->inc = inc > far->inc ? inc : far->inc;
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
    hang_up(far);
}

void
mesh_let_back(struct mesh *self, uint64_t node)
{
    struct far *far = dz_map_get(&self->far, node);
    if (far)
        far->is_out = false;
}

/* ------------------------------------------------------------------ being known */

/* The addresses of this host at which others may find it.  Loopback comes last: it serves those on
 * the same host, for whom the others may be cut off. */
static void
add_addresses(struct dz_strs *out, const char *port, bool is_loopback)
{
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) != 0)
        return;
    for (const struct ifaddrs *one = all; one; one = one->ifa_next) {
        char text[INET6_ADDRSTRLEN], endpoint[INET6_ADDRSTRLEN + 32];
        bool is_fit = one->ifa_addr && one->ifa_addr->sa_family == AF_INET &&
                      (one->ifa_flags & IFF_UP) && !(one->ifa_flags & IFF_LOOPBACK) == !is_loopback;
        if (!is_fit || out->len >= DZ_CONTACT_ENDPOINTS)
            continue;
        struct sockaddr_in in;
        memcpy(&in, one->ifa_addr, sizeof(in));
        if (!inet_ntop(AF_INET, &in.sin_addr, text, sizeof(text)))
            continue;
        (void) snprintf(endpoint, sizeof(endpoint), "tcp://%s:%s", text, port);
        dz_strs_add(out, dz_str(endpoint));
    }
    freeifaddrs(all);
}

static enum dz_rc
listen_far(struct mesh *self, const char *ipc, struct dz_err *err)
{
    const char *bound = NULL;
    enum dz_rc rc = dz_hub_listen(self->hub, self->gate, &self->keys, ipc ? ipc : "tcp://0.0.0.0:*",
                                  &bound, err);
    if (rc != DZ_OK)
        return rc;
    DZ_AUTO(dz_strs_fini) struct dz_strs endpoints = { 0 };
    const char *colon = strrchr(bound, ':');
    if (ipc) {
        dz_strs_add(&endpoints, dz_str(ipc));
    } else if (colon) {
        add_addresses(&endpoints, colon + 1, false);
        add_addresses(&endpoints, colon + 1, true);
    }
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
        hang_up(far);
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
