#include "vassal/peers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/digest.h"
#include "shared/base/log.h"
#include "shared/wire/model.h"

#define PLACE "inproc://dagz-node"

static const char *
from_environment(void *arg, const char *name)
{
    (void) arg;
    return getenv(name); /* NOLINT(concurrency-mt-unsafe): nobody sets it */
}

/* ------------------------------------------------------------------ the key */

static void
add_part(struct dz_buf *key, struct dz_slice part)
{
    dz_buf_add(key, part.ptr, part.len);
    dz_buf_add(key, "", 1); /* parts do not run into each other */
}

/* What all nodes of one job have in common. */
static void
make_key(const struct peers *self, const struct dz_msg_start *start, const struct peers_job *job,
         struct dz_buf *out)
{
    add_part(out, dz_str(job->uri));
    add_part(out, dz_str(self->ci.key));
    add_part(out, dz_str(job->commit));
    add_part(out, dz_str(job->profile));
    add_part(out, start->python);
    add_part(out, start->chooses);
}

/* The CI's own name of this slot's job, or, without one, a name that no other process has. */
static uint64_t
ci_job_of(const struct peers *self)
{
    return self->ci.job ? dz_hash64(dz_str(self->ci.job)) : self->node;
}

/* ------------------------------------------------------------------ meeting */

static bool
is_in_room(void *arg, const struct dz_key *key)
{
    const struct peers *self = arg;
    return self->room && room_knows(self->room, key);
}

static enum dz_rc
listen_at(struct peers *self, const char *ipc, const struct mesh_ops *ops, struct dz_err *err)
{
    enum dz_rc rc = dz_gate_new(self->loop, &self->gate, err);
    if (rc != DZ_OK)
        return rc;
    dz_gate_on_stranger(self->gate, is_in_room, self);
    struct mesh_cfg cfg = { .loop = self->loop,
                            .node = self->node,
                            .inc = self->inc,
                            .name = PLACE,
                            .keys = &self->keys,
                            .gate = self->gate,
                            .ipc = ipc,
                            .ops = *ops };
    return mesh_new(&cfg, &self->mesh, err);
}

static void
tell_arrival(struct peers *self, const struct dz_meeting_entry *entry)
{
    switch (entry->answer.word) {
    case DZ_ARRIVAL_OPENS:
        dz_buf_addf(&self->how, "first of %s on this host", self->ci.key);
        return;
    case DZ_ARRIVAL_JOINS: dz_buf_addf(&self->how, "joined %s on this host", self->ci.key); return;
    case DZ_ARRIVAL_RETURNS:
        dz_buf_addf(&self->how, "back in %s on this host", self->ci.key);
        return;
    case DZ_ARRIVAL_LATE: dz_buf_addf(&self->how, "%s has ended", self->ci.key); return;
    }
}

static enum dz_rc
meet_on_host(struct peers *self, const struct dz_msg_start *start, const struct peers_job *job,
             const struct mesh_ops *ops, struct dz_err *err)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf key = { 0 };
    make_key(self, start, job, &key);
    enum dz_rc rc = room_open(dz_buf_slice(&key), &self->room, err);
    if (rc != DZ_OK)
        return rc;
    char endpoint[ROOM_ENDPOINT_MAX];
    room_endpoint(self->room, self->node, endpoint);
    rc = listen_at(self, endpoint, ops, err);
    if (rc != DZ_OK)
        return rc;
    struct dz_meeting_entry entry = {
        .node = self->node,
        .arrival = { .index = self->ci.total > 0 ? self->ci.slot : DZ_NO_INDEX,
                     .ci_job = ci_job_of(self),
                     .attempt = self->ci.attempt },
    };
    memcpy(entry.job, self->job, sizeof(entry.job));
    rc = room_enter(self->room, mesh_contact(self->mesh), &entry, err);
    if (rc != DZ_OK)
        return rc;
    memcpy(self->job, entry.job, sizeof(self->job));
    self->is_late = entry.answer.word == DZ_ARRIVAL_LATE;
    self->is_meeting = !self->is_late;
    tell_arrival(self, &entry);
    return DZ_OK;
}

/* ------------------------------------------------------------------ alone */

static enum dz_rc
be_alone(struct peers *self, const struct mesh_ops *ops, struct dz_err *err)
{
    self->node = PEERS_ALONE_NODE;
    struct mesh_cfg cfg = {
        .loop = self->loop, .node = self->node, .inc = self->inc, .name = PLACE, .ops = *ops
    };
    return mesh_new(&cfg, &self->mesh, err);
}

/* Several slots, and nobody through whom they could find each other: the core asks, hears that
 * nobody can be reached, and runs this slot's share. */
static enum dz_rc
be_a_shard(struct peers *self, const struct mesh_ops *ops, struct dz_err *err)
{
    self->is_meeting = true;
    dz_buf_addf(
        &self->how,
        "slot %u of %u runs its own share: no store answers, and the others may be on other "
        "hosts (--dagz-rendezvous=host if they are not)",
        self->ci.slot + 1, self->ci.total);
    return be_alone(self, ops, err);
}

/* ------------------------------------------------------------------ life */

static enum dz_rc
open_by_rule(struct peers *self, const struct dz_msg_start *start, const struct peers_job *job,
             const struct mesh_ops *ops, struct dz_err *err)
{
    if (start->rendezvous == DZ_RENDEZVOUS_NONE || !self->ci.key)
        return be_alone(self, ops, err);
    if (start->rendezvous == DZ_RENDEZVOUS_STORE)
        return dz_fail(err, DZ_REFUSED, "--dagz-rendezvous=store: no store answers");
    if (start->rendezvous == DZ_RENDEZVOUS_AUTO && self->ci.total > 1)
        return be_a_shard(self, ops, err);
    return meet_on_host(self, start, job, ops, err);
}

enum dz_rc
peers_open(struct peers *self, struct dz_loop *loop, const struct dz_msg_start *start,
           const struct peers_job *job, const struct mesh_ops *ops, struct dz_err *err)
{
    *self = (struct peers){ .loop = loop, .inc = start->incarnation + 1 };
    memcpy(self->job, job->ulid, sizeof(self->job));
    DZ_AUTO(dz_free) char *given = dz_slice_dup(start->key);
    if (start->rendezvous != DZ_RENDEZVOUS_NONE)
        dz_ci_detect(from_environment, NULL, given, &self->ci);
    if (self->ci.problem[0] != '\0')
        return dz_fail(err, DZ_REFUSED, "%s ('zb ci env' tells more)", self->ci.problem);
    if (start->secret.len == DZ_KEY_LEN) {
        dz_keys_of(start->secret.ptr, &self->keys);
        self->node = dz_key_node(&self->keys.public);
    }
    bool can_meet = start->secret.len == DZ_KEY_LEN;
    enum dz_rc rc = can_meet ? open_by_rule(self, start, job, ops, err) : be_alone(self, ops, err);
    if (rc == DZ_OK)
        log_info("peers.open", "node=%016" PRIx64 " meets=%d how=%.*s", self->node,
                 self->is_meeting, (int) self->how.len, (const char *) self->how.data);
    return rc;
}

void
peers_close(struct peers *self)
{
    mesh_destroy(&self->mesh);
    dz_gate_destroy(&self->gate);
    room_close(&self->room);
    dz_keys_forget(&self->keys);
    dz_ci_fini(&self->ci);
    dz_buf_fini(&self->how);
}

/* ------------------------------------------------------------------ being there */

void
peers_ask(struct peers *self, const struct dz_lease_ask *ask, struct dz_lease_reply *out,
          struct dz_buf *contact_out)
{
    struct dz_err err;
    *out = (struct dz_lease_reply){ .word = DZ_LEASE_UNREACHABLE };
    if (!self->room)
        return;
    if (room_ask(self->room, ask, dz_clock_us(), out, contact_out, &err) == DZ_OK)
        return;
    *out = (struct dz_lease_reply){ .word = DZ_LEASE_UNREACHABLE };
    log_warn("peers.room", "why=%s", err.text);
}

void
peers_meet(struct peers *self, uint64_t node, uint64_t inc, struct dz_slice contact)
{
    if (mesh_meet(self->mesh, node, inc, contact) != DZ_OK)
        log_warn("peers.contact", "node=%016" PRIx64, node);
}

void
peers_send(struct peers *self, uint64_t node, uint64_t inc, struct dz_slice frame)
{
    mesh_send(self->mesh, node, inc, frame);
}

void
peers_sealed(struct peers *self, bool is_good)
{
    struct dz_err err;
    if (self->room && room_seal(self->room, is_good, &err) != DZ_OK)
        log_warn("peers.room", "why=%s", err.text);
}

void
peers_ended(struct peers *self, enum dz_slot_end end)
{
    struct dz_err err;
    if (self->room && self->is_meeting && room_end(self->room, self->node, end, &err) != DZ_OK)
        log_warn("peers.room", "why=%s", err.text);
}
