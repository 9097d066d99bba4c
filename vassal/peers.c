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
#include "vassal/client.h"

#define PLACE "inproc://dagz-node"

enum {
    TRIES = 2,
    MEET_S = 3, /* DAGZ_MEET_TIMEOUT: so long a run's beginning waits for a store that is silent */
    MEET_MAX_S = 4,
};

static const char *
from_environment(void *arg, const char *name)
{
    (void) arg;
    return getenv(name); /* NOLINT(concurrency-mt-unsafe): nobody sets it */
}

/* ------------------------------------------------------------------ meeting */

/* A key that the gate has not heard of: is its owner a member? */
static bool
is_in(void *arg, const struct dz_key *key)
{
    const struct peers *self = arg;
    if (self->lobby)
        lobby_look_again(self->lobby); /* it will knock again */
    return self->room && room_knows(self->room, key);
}

static enum dz_rc
listen_at(struct peers *self, const char *ipc, struct dz_err *err)
{
    enum dz_rc rc = dz_gate_new(self->loop, &self->gate, err);
    if (rc != DZ_OK)
        return rc;
    dz_gate_on_stranger(self->gate, is_in, self);
    struct mesh_cfg cfg = { .loop = self->loop,
                            .node = self->node,
                            .inc = self->inc,
                            .name = PLACE,
                            .keys = &self->keys,
                            .gate = self->gate,
                            .ipc = ipc,
                            .ops = self->ops.mesh };
    return mesh_new(&cfg, &self->mesh, err);
}

static void
follow(struct peers *self, const char *after)
{
    if (after && self->generation == 0)
        (void) snprintf(self->previous, sizeof(self->previous), "%s", after);
}

static void
take_entry(struct peers *self, const struct peers_job *job, const struct dz_meeting_entry *entry,
           const char *where)
{
    memcpy(self->job, entry->job, sizeof(self->job));
    self->is_late = entry->answer.word == DZ_ARRIVAL_LATE;
    self->is_meeting = !self->is_late;
    self->generation = entry->answer.number;
    memcpy(self->previous, entry->previous, sizeof(self->previous));
    follow(self, job->after);
    self->is_full = entry->is_full;
    peers_tell_arrival(self, entry, where);
}

/* Another room's door, or none. */
static void
leave_room(struct peers *self)
{
    mesh_destroy(&self->mesh);
    dz_gate_destroy(&self->gate);
    room_close(&self->room);
}

static enum dz_rc
enter_room(struct peers *self, struct dz_slice key, struct dz_meeting_entry *entry,
           struct dz_err *err)
{
    enum dz_rc rc = room_open(key, &self->room, err);
    if (rc != DZ_OK)
        return rc;
    char endpoint[ROOM_ENDPOINT_MAX];
    room_endpoint(self->room, self->node, endpoint);
    rc = listen_at(self, endpoint, err);
    if (rc != DZ_OK)
        return rc;
    *entry = peers_entry(self);
    return room_enter(self->room, mesh_contact(self->mesh), entry, err);
}

/* A CI job that has ended its part in a room, and comes again, runs another command: that one has a
 * room of its own, where it meets the same command of the other slots.  why: nodes do not meet
 * through the store, NULL: nobody would expect it. */
static enum dz_rc
meet_on_host(struct peers *self, const struct dz_msg_start *start, const struct peers_job *job,
             const char *why, struct dz_err *err)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf key = { 0 };
    struct dz_meeting_entry entry;
    peers_key(self, start, job, &key);
    if (job->url)
        peers_key_part(&key, dz_str(job->url)); /* all of them keep their records in the same way */
    enum dz_rc rc = enter_room(self, dz_buf_slice(&key), &entry, err);
    for (unsigned i = 1; rc == DZ_OK && entry.answer.word == DZ_ARRIVAL_AGAIN; i++) {
        if (i == DZ_COMMANDS_MAX)
            return dz_fail(err, DZ_LIMIT, "this CI job has run %d commands of %s", DZ_COMMANDS_MAX,
                           self->ci.key);
        leave_room(self);
        peers_key_part(&key, dz_str("again"));
        rc = enter_room(self, dz_buf_slice(&key), &entry, err);
    }
    if (rc == DZ_OK)
        take_entry(self, job, &entry, "on this host");
    if (rc == DZ_OK && why)
        dz_buf_addf(&self->how, ": %s", why);
    return rc;
}

/* ------------------------------------------------------------------ meeting at the store */

static void
meet(struct peers *self, uint64_t node, uint64_t inc, struct dz_slice contact)
{
    if (mesh_meet(self->mesh, node, inc, contact) != DZ_OK)
        log_warn("peers.contact", "node=%016" PRIx64, node);
}

static void
on_member(void *arg, uint64_t node, struct dz_slice contact)
{
    struct peers *self = arg;
    mesh_let_back(self->mesh, node);
    known_add(&self->known, node, contact, false);
    meet(self, node, 0, contact);
}

static void
on_left(void *arg, uint64_t node)
{
    struct peers *self = arg;
    log_debug("peers.left", "node=%016" PRIx64, node);
    mesh_shut_out(self->mesh, node);
}

static void
on_answer(void *arg, uint64_t number, const struct dz_lease_reply *reply, struct dz_slice contact)
{
    struct peers *self = arg;
    self->ops.answer(self->ops.arg, number, reply, contact);
}

static void
on_idle(void *arg)
{
    struct peers *self = arg;
    if (peers_is_idle(self))
        self->ops.idle(self->ops.arg);
}

/* For one of two tries. */
static dz_ms
patience_ms(void)
{
    const char *text = from_environment(NULL, "DAGZ_MEET_TIMEOUT");
    char *end = NULL;
    double seconds = text && *text ? strtod(text, &end) : MEET_S;
    bool is_ok = seconds > 0 && seconds <= MEET_MAX_S && (!end || !*end);
    return (dz_ms) ((is_ok ? seconds : MEET_S) * 1000 / TRIES) + 1;
}

/* The first try may have to wake something up. */
static bool
is_store_there(const struct peers_job *job)
{
    for (unsigned i = 0; i < TRIES; i++) {
        job->on_wait(job->arg);
        enum client_found found = client_look(job->url, patience_ms());
        if (found == CLIENT_STORE)
            return true;
        if (found == CLIENT_STRANGER)
            return false;
    }
    return false;
}

static enum dz_rc
open_lobby(struct peers *self, const struct dz_msg_start *start, const struct peers_job *job,
           struct dz_err *err)
{
    enum dz_rc rc = listen_at(self, NULL, err);
    if (rc != DZ_OK)
        return rc;
    DZ_AUTO(dz_buf_fini) struct dz_buf key = { 0 };
    peers_key(self, start, job, &key);
    struct lobby_ops ops = { .on_answer = on_answer,
                             .on_member = on_member,
                             .on_left = on_left,
                             .on_company = detour_listen,
                             .on_idle = on_idle,
                             .arg = self };
    struct lobby_cfg cfg = { .loop = self->loop,
                             .url = job->url,
                             .uri = job->uri,
                             .key = dz_buf_slice(&key),
                             .node = self->node,
                             .contact = mesh_contact(self->mesh),
                             .try_ms = patience_ms(),
                             .on_wait = job->on_wait,
                             .wait_arg = job->arg,
                             .ops = &ops };
    return lobby_new(&cfg, &self->lobby, err);
}

/* CLOSED: no store answers.  Nothing is bound then. */
static enum dz_rc
meet_at_store(struct peers *self, const struct dz_msg_start *start, const struct peers_job *job,
              struct dz_err *err)
{
    if (!job->url)
        return dz_fail(err, DZ_CLOSED,
                       "no store answers: start one with 'zb daemon up --bg', or "
                       "name it by DAGZ_URL");
    if (!job->has_answered && !is_store_there(job))
        return dz_fail(err, DZ_CLOSED, "no store answers at %s", job->url);
    enum dz_rc rc = open_lobby(self, start, job, err);
    struct dz_meeting_entry entry = peers_entry(self);
    if (rc == DZ_OK)
        rc = lobby_enter(self->lobby, &entry, err);
    if (rc == DZ_OK && entry.answer.word != DZ_ARRIVAL_LATE)
        rc = detour_open(self, job, err);
    if (rc != DZ_OK)
        return rc;
    DZ_AUTO(dz_buf_fini) struct dz_buf where = { 0 };
    dz_buf_addf(&where, "through %s", job->url);
    dz_buf_add(&where, "", 1);
    take_entry(self, job, &entry, (const char *) where.data);
    memcpy(self->step, lobby_name(self->lobby), sizeof(self->step));
    memcpy(self->known.name, lobby_name(self->lobby), sizeof(self->known.name));
    return DZ_OK;
}

/* The agent before this one had met others, who still are there. */
static enum dz_rc
go_back(struct peers *self, const struct dz_msg_start *start, const struct peers_job *job,
        struct dz_err *err)
{
    enum dz_rc rc = open_lobby(self, start, job, err);
    if (rc != DZ_OK)
        return rc;
    struct dz_meeting_entry entry = peers_entry(self);
    lobby_go_back(self->lobby, self->known.name, &entry);
    rc = detour_open(self, job, err);
    if (rc != DZ_OK)
        return rc;
    memcpy(self->step, self->known.name, sizeof(self->step));
    for (size_t i = 0; i < self->known.count; i++)
        meet(self, self->known.items[i].node, 0, dz_buf_slice(&self->known.items[i].contact));
    self->is_meeting = true;
    dz_buf_addf(&self->how, "back in %s by its other nodes: the store does not answer",
                self->ci.key);
    return DZ_OK;
}

/* ------------------------------------------------------------------ alone */

/* Nobody else can speak to it. */
static enum dz_rc
be_apart(struct peers *self, struct dz_err *err)
{
    struct mesh_cfg cfg = { .loop = self->loop,
                            .node = self->node,
                            .inc = self->inc,
                            .name = PLACE,
                            .ops = self->ops.mesh };
    return mesh_new(&cfg, &self->mesh, err);
}

static enum dz_rc
be_alone(struct peers *self, struct dz_err *err)
{
    self->node = PEERS_ALONE_NODE;
    return be_apart(self, err);
}

/* The job has ended, and whoever comes late cannot be met any more: what is left is done alone, and not
 * as a share, since nobody would do the others'. */
static enum dz_rc
be_alone_after(struct peers *self, const struct peers_job *job, const char *why, struct dz_err *err)
{
    follow(self, job->after);
    peers_tell_after(self);
    dz_buf_addf(&self->how, "; other late ones are not met: %s", why);
    return be_alone(self, err);
}

/* Several slots, and nobody through whom they could find each other: the core asks, hears that
 * nobody can be reached, and runs this slot's share.  It keeps its own number, and says of which
 * step it is a share: the store makes one job of them. */
static enum dz_rc
be_a_shard(struct peers *self, const struct dz_msg_start *start, const struct peers_job *job,
           const char *why, struct dz_err *err)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf key = { 0 };
    peers_key(self, start, job, &key);
    dz_meeting_name(dz_buf_slice(&key), 0, self->step);
    self->is_meeting = self->is_shard = true;
    self->generation = self->ci.attempt > 0 ? self->ci.attempt - 1 : 0;
    dz_buf_addf(&self->how,
                "slot %u of %u runs its own share: %s, and the others may be on other hosts "
                "(--dagz-rendezvous=host if they are not)",
                self->ci.slot + 1, self->ci.total, why);
    return be_apart(self, err);
}

/* ------------------------------------------------------------------ life */

/* Nothing stays of a try to meet that failed. */
static void
leave(struct peers *self)
{
    tunnel_destroy(&self->tunnel);
    lobby_destroy(&self->lobby);
    mesh_destroy(&self->mesh);
    dz_gate_destroy(&self->gate);
}

static enum dz_rc
open_by_rule(struct peers *self, const struct dz_msg_start *start, const struct peers_job *job,
             struct dz_err *err)
{
    if (start->rendezvous == DZ_RENDEZVOUS_NONE || !self->ci.key)
        return be_alone(self, err);
    if (start->rendezvous == DZ_RENDEZVOUS_HOST)
        return meet_on_host(self, start, job, NULL, err);
    if (job->is_shard && self->ci.total > 1)
        return be_a_shard(self, start, job, "no store answered", err);
    struct dz_err why;
    enum dz_rc rc = meet_at_store(self, start, job, &why);
    if (rc == DZ_OK)
        return rc;
    leave(self);
    if (rc == DZ_CLOSED && job->url && self->known.name[0] != '\0')
        return go_back(self, start, job, err);
    if (start->rendezvous == DZ_RENDEZVOUS_STORE)
        return dz_fail(err, DZ_REFUSED, "--dagz-rendezvous=store: %s", why.text);
    if (job->url)
        log_warn("peers.store", "why=%s", why.text);
    if (job->after && (job->url || self->ci.total > 1))
        return be_alone_after(self, job, job->url ? why.text : "no store answers", err);
    if (self->ci.total > 1)
        return be_a_shard(self, start, job, job->url ? why.text : "no store answers", err);
    return meet_on_host(self, start, job, job->url ? why.text : NULL, err);
}

enum dz_rc
peers_open(struct peers *self, struct dz_loop *loop, const struct dz_msg_start *start,
           const struct peers_job *job, const struct peers_ops *ops, struct dz_err *err)
{
    *self = (struct peers){ .loop = loop, .inc = start->incarnation + 1, .ops = *ops };
    memcpy(self->job, job->ulid, sizeof(self->job));
    known_init(&self->known, loop);
    if (job->folder)
        known_read(&self->known, job->folder);
    DZ_AUTO(dz_free) char *given = dz_slice_dup(start->key);
    if (start->rendezvous != DZ_RENDEZVOUS_NONE)
        dz_ci_detect(from_environment, NULL, given, &self->ci);
    if (self->ci.problem[0] != '\0')
        return dz_fail(err, DZ_REFUSED, "%s ('zb ci env' tells more)", self->ci.problem);
    const char *mode = from_environment(NULL, "DAGZ_MODE");
    if (!dz_rerun_read(mode, &self->mode))
        return dz_fail(err, DZ_REFUSED, "DAGZ_MODE=%.60s is none of auto, failed and full", mode);
    if (start->secret.len == DZ_KEY_LEN) {
        dz_keys_of(start->secret.ptr, &self->keys);
        self->node = dz_key_node(&self->keys.public);
    }
    bool can_meet = start->secret.len == DZ_KEY_LEN;
    enum dz_rc rc = can_meet ? open_by_rule(self, start, job, err) : be_alone(self, err);
    if (rc == DZ_OK)
        log_info("peers.open", "node=%016" PRIx64 " meets=%d how=%.*s", self->node,
                 self->is_meeting, (int) self->how.len, (const char *) self->how.data);
    return rc;
}

void
peers_close(struct peers *self)
{
    leave(self);
    room_close(&self->room);
    dz_keys_forget(&self->keys);
    dz_ci_fini(&self->ci);
    dz_buf_fini(&self->how);
    known_fini(&self->known);
}

/* ------------------------------------------------------------------ being there */

static void
ask_room(struct peers *self, uint64_t number, const struct dz_lease_ask *ask)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf contact = { 0 };
    struct dz_lease_reply reply = { .word = DZ_LEASE_UNREACHABLE };
    struct dz_err err;
    if (self->room && room_ask(self->room, ask, dz_clock_us(), &reply, &contact, &err) != DZ_OK) {
        log_warn("peers.room", "why=%s", err.text);
        reply = (struct dz_lease_reply){ .word = DZ_LEASE_UNREACHABLE };
    }
    self->ops.answer(self->ops.arg, number, &reply, dz_buf_slice(&contact));
}

void
peers_ask(struct peers *self, uint64_t number, const struct dz_lease_ask *ask, dz_us patience_us)
{
    if (self->has_sealed && ask->kind == DZ_LEASE_RENEW) { /* what we closed ourselves is ours */
        struct dz_lease_reply reply = { .word = DZ_LEASE_GRANTED,
                                        .epoch = ask->me,
                                        .ttl_us = DZ_LEASE_TTL_US };
        self->ops.answer(self->ops.arg, number, &reply, (struct dz_slice){ 0 });
    } else if (self->lobby) {
        lobby_ask(self->lobby, number, ask, patience_us);
    } else {
        ask_room(self, number, ask);
    }
}

void
peers_keep(struct peers *self, const char *folder)
{
    if (self->lobby)
        known_keep(&self->known, folder);
}

void
peers_meet(struct peers *self, uint64_t node, uint64_t inc, struct dz_slice contact, bool is_due)
{
    known_add(&self->known, node, contact, true);
    meet(self, node, inc, contact);
    if (is_due)
        mesh_reach(self->mesh, node);
}

void
peers_send(struct peers *self, uint64_t node, uint64_t inc, struct dz_slice frame)
{
    mesh_send(self->mesh, node, inc, frame);
}

unsigned
peers_count(const struct peers *self)
{
    return self->lobby ? lobby_count(self->lobby) : self->room ? room_count(self->room) : 0;
}

void
peers_sealed(struct peers *self, const struct dz_epoch *epoch, bool is_good,
             const struct store_seal *account)
{
    struct dz_err err;
    self->has_sealed = true;
    if (self->lobby)
        lobby_tell_seal(self->lobby, epoch, is_good, account);
    if (self->room && room_seal(self->room, is_good, &err) != DZ_OK)
        log_warn("peers.room", "why=%s", err.text);
}

void
peers_ended(struct peers *self, enum dz_slot_end end)
{
    struct dz_err err;
    if (!self->is_meeting)
        return;
    if (self->lobby)
        lobby_tell_end(self->lobby, end);
    if (self->room && room_end(self->room, self->node, end, &err) != DZ_OK)
        log_warn("peers.room", "why=%s", err.text);
}

bool
peers_is_idle(const struct peers *self)
{
    return (!self->lobby || lobby_is_idle(self->lobby)) &&
           (!self->tunnel || tunnel_is_idle(self->tunnel));
}
