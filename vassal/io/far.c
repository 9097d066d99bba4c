/* far.c - a link is dialled when there is something to say, or will be soon; where none leads there,
 * or nobody answers, frames go through the detour. */
#include "vassal/io/far.h"

#include <inttypes.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"

enum { FIRST_MAX = 1024 /* bytes of what is said as soon as a link is up */ };

/* ------------------------------------------------------------------ which way */

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

void
far_is_near(struct far *far)
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

/* ------------------------------------------------------------------ the link */

void
far_hang_up(struct far *far)
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
    far_hang_up(far);
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
far_leave(struct far *far)
{
    if (far->is_out || !far->is_detoured)
        return;
    far->detoured_at = 0;
    tell_gone(far);
}

/* What comes over a link comes from the hub whose key we pinned. */
static void
on_link(void *arg, struct dz_slice body)
{
    struct far *far = arg;
    struct mesh *self = far->mesh;
    uint64_t inc;
    if (!mesh_is_from(self, body, far->node, &inc))
        return;
    far->used_at = dz_clock_us();
    far_lives(far, inc);
    far_is_near(far);
    self->ops.frame(self->ops.arg, body);
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
        far_is_near(far);
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
    far_hang_up(far);
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
        far_hang_up(oldest);
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

void
far_reach(struct far *far)
{
    if (!far->link && far->contact.endpoints.len > 0 && dz_clock_us() >= far->dial_at)
        dial(far);
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
    far_reach(far);
    if (far->link && frame.len <= FIRST_MAX) {
        dz_buf_clear(&far->first);
        dz_buf_add(&far->first, frame.ptr, frame.len);
    }
    return false;
}

void
far_send(struct far *far, uint64_t inc, struct dz_slice frame)
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
