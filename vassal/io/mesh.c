/* mesh.c - the hub takes what comes in, links are dialled when there is something to say. */
#include "vassal/io/mesh.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/address.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/map.h"
#include "shared/net/contact.h"
#include "shared/net/hub.h"
#include "shared/net/link.h"
#include "shared/wire/frame.h"

enum { FIRST_MAX = 1024 /* bytes of what is said as soon as a link is up */ };

/* Another node. */
struct far {
    struct mesh *mesh; /* borrowed */
    uint64_t node, inc;
    struct dz_contact contact;
    struct dz_link *link; /* owned; NULL: not dialled */
    struct dz_buf first;  /* the last short frame that there was no way for while it was dialled */
    bool is_up;
    bool is_out;   /* it takes part no more */
    bool was_near; /* it has spoken to us, or a link was up: its absence means something */
    dz_us used_at;
    /* 0: not so */
    dz_us mute_since;   /* there is something to say, and no direct way */
    dz_us silent_since; /* we speak directly, and hear nothing */
    dz_us said_at;      /* directly, the last time */
    dz_us dial_at;      /* not before that */
    dz_us retry_us;     /* the next wait between two tries to dial it */
    dz_us detoured_at;  /* it spoke through the detour */
    bool is_detoured;   /* as people were told */
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
    mesh_detour_fn *detour; /* NULL: none */
    void *detour_arg;
    dz_us detoured_at; /* a frame came through it */
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

/* ------------------------------------------------------------------ the detour */

static void
set_detoured(struct far *far, bool is_on, const char *way)
{
    struct mesh *self = far->mesh;
    if (far->is_detoured == is_on)
        return;
    far->is_detoured = is_on;
    log_info(is_on ? "detour.begin" : "detour.end", "node=%016" PRIx64, far->node);
    self->ops.way(self->ops.arg, far->node, way);
}

/* Something came directly. */
static void
is_near(struct far *far)
{
    far->mute_since = far->silent_since = 0;
    far->dial_at = far->retry_us = 0;
    far->was_near = true;
    set_detoured(far, false, far->is_up ? dz_link_way(far->link) : MESH_WAY_CALLED);
}

/* Has it spoken through the detour just now?  Then it lives, and hears us there. */
static bool
is_there(const struct far *far, dz_us now)
{
    return far->detoured_at != 0 && now - far->detoured_at < MESH_THERE_US;
}

/* Said directly; is it in doubt that this is heard? */
static bool
is_doubtful(struct far *far, dz_us now)
{
    if (far->silent_since == 0 || now - far->said_at > MESH_DOUBT_US)
        far->silent_since = now; /* a word now and then needs no answer */
    far->said_at = now;
    return now - far->silent_since >= MESH_DOUBT_US;
}

/* It could not be said directly; has that been so for long enough? */
static bool
is_cut_off(struct far *far, dz_us now)
{
    const struct mesh *self = far->mesh;
    if (far->mute_since == 0)
        far->mute_since = now;
    bool is_usual = self->detoured_at != 0 && now - self->detoured_at < MESH_USUAL_US;
    return far->is_detoured || is_usual || now - far->mute_since >= MESH_PATIENCE_US;
}

void
mesh_set_detour(struct mesh *self, mesh_detour_fn *fn, void *arg)
{
    self->detour = fn;
    self->detour_arg = arg;
}

/* ------------------------------------------------------------------ coming in */

static bool
is_from(struct mesh *self, struct dz_slice frame, uint64_t node, uint64_t *inc_out)
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
    if (!is_from(self, frame, node, &inc))
        return;
    struct far *far = far_of(self, node);
    if (!far || far->is_out)
        return;
    self->detoured_at = far->detoured_at = dz_clock_us();
    far->inc = inc > far->inc ? inc : far->inc;
    self->ops.frame(self->ops.arg, frame);
}

static void
on_hub(void *arg, uint64_t from, struct dz_slice body)
{
    struct mesh *self = arg;
    uint64_t inc;
    if (from != 0) {
        if (!is_from(self, body, from, &inc))
            return;
        struct far *far = far_of(self, from); /* the gate let it in: it can be answered */
        if (far && far->is_out)
            return;
        if (far) {
            far->inc = inc > far->inc ? inc : far->inc;
            is_near(far);
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
    uint64_t inc;
    if (!is_from(self, body, far->node, &inc))
        return;
    far->used_at = dz_clock_us();
    far->inc = inc > far->inc ? inc : far->inc;
    is_near(far);
    self->ops.frame(self->ops.arg, body);
}

/* ------------------------------------------------------------------ links */

static void
hang_up(struct far *far)
{
    if (!far->link)
        return;
    dz_link_destroy(&far->link);
    dz_buf_fini(&far->first);
    far->is_up = false;
    far->mesh->links--;
}

/* Whoever dials has something to say, and need not say it again and again until it is heard. */
static void
say_first(struct far *far)
{
    if (far->first.len > 0)
        (void) dz_link_send(far->link, dz_buf_slice(&far->first));
    dz_buf_fini(&far->first);
}

/* No way led there; it is tried again when there is something to say, but not soon. */
static void
give_up(struct far *far)
{
    struct mesh *self = far->mesh;
    if (!self->detour)
        return; /* the link goes on trying */
    dz_us now = dz_clock_us(), longer = 2 * far->retry_us;
    hang_up(far);
    far->retry_us = longer == 0                   ? MESH_RETRY_US
                    : longer < MESH_RETRY_MOST_US ? longer
                                                  : MESH_RETRY_MOST_US;
    far->dial_at = now + far->retry_us;
    far->mute_since = now - MESH_PATIENCE_US; /* waiting longer would not help */
}

static void
tell_gone(struct far *far)
{
    const struct mesh *self = far->mesh;
    log_debug("mesh.gone", "node=%016" PRIx64, far->node);
    self->ops.gone(self->ops.arg, far->node, far->inc);
}

void
mesh_leave(struct mesh *self, uint64_t node)
{
    struct far *far = dz_map_get(&self->far, node);
    if (!far || far->is_out || !far->is_detoured)
        return;
    far->detoured_at = 0;
    tell_gone(far);
}

static void
on_link_event(void *arg, enum dz_link_event event)
{
    struct far *far = arg;
    struct mesh *self = far->mesh;
    switch (event) {
    case DZ_LINK_UP:
        far->is_up = true;
        if (!far->is_detoured) /* else that is told now */
            self->ops.way(self->ops.arg, far->node, dz_link_way(far->link));
        is_near(far);
        say_first(far);
        return;
    case DZ_LINK_LOST: far->is_up = false; return; /* tried again at once: FAILED tells a death */
    case DZ_LINK_REFUSED: return;                  /* it lives, and will hear of us */
    case DZ_LINK_FAILED: break;
    }
    bool is_gone = far->was_near && !is_there(far, dz_clock_us());
    if (!is_gone) {
        far->was_near = false;
        give_up(far);
        return; /* not reached: there may be another way */
    }
    far->was_near = false;
    hang_up(far);
    tell_gone(far);
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

/* False: there is no direct way, or not yet. */
static bool
send_directly(struct far *far, uint64_t inc, struct dz_slice frame, dz_us now)
{
    struct mesh *self = far->mesh;
    if (far->is_up) {
        far->used_at = now;
        (void) dz_link_send(far->link, frame); /* full: said again */
        return true;
    }
    struct dz_peer peer = { .node = far->node, .inc = inc ? inc : far->inc };
    if (dz_hub_send(self->hub, peer, frame) != DZ_ABSENT)
        return true;
    /* It never came to us, or its connection ended: dialling finds out which. */
    if (!far->link && far->contact.endpoints.len > 0 && now >= far->dial_at)
        dial(far);
    if (far->link && frame.len <= FIRST_MAX) {
        dz_buf_clear(&far->first);
        dz_buf_add(&far->first, frame.ptr, frame.len);
    }
    return false;
}

static void
send_far(struct far *far, uint64_t inc, struct dz_slice frame)
{
    dz_us now = dz_clock_us();
    bool is_direct = send_directly(far, inc, frame, now);
    bool is_enough = is_direct ? !is_doubtful(far, now) : !is_cut_off(far, now);
    if (!far->mesh->detour || is_enough)
        return;
    if (!is_direct) /* what is only slow is not worth a word */
        set_detoured(far, true, MESH_WAY_DETOUR);
    far->mesh->detour(far->mesh->detour_arg, far->node, frame);
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
        send_far(far, inc, frame);
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
