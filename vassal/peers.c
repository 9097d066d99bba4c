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

/* As what the CI started this slot.  Without the CI's own name of its job it has one that no other
 * process has. */
static struct dz_meeting_entry
make_entry(const struct peers *self)
{
    struct dz_meeting_entry entry = {
        .node = self->node,
        .arrival = { .index = self->ci.total > 0 ? self->ci.slot : DZ_NO_INDEX,
                     .ci_job = self->ci.job ? dz_hash64(dz_str(self->ci.job)) : self->node,
                     .attempt = self->ci.attempt },
        .mode = self->mode,
    };
    memcpy(entry.job, self->job, sizeof(entry.job));
    return entry;
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
tell_arrival(struct peers *self, const struct dz_meeting_entry *entry, const char *where)
{
    const char *key = self->ci.key;
    switch (entry->answer.word) {
    case DZ_ARRIVAL_OPENS: dz_buf_addf(&self->how, "first of %s %s", key, where); return;
    case DZ_ARRIVAL_JOINS: dz_buf_addf(&self->how, "joined %s %s", key, where); return;
    case DZ_ARRIVAL_RETURNS: dz_buf_addf(&self->how, "back in %s %s", key, where); return;
    case DZ_ARRIVAL_LATE:
        dz_buf_addf(&self->how, "%s has ended: its tests were run, there is nothing left to do",
                    key);
        return;
    case DZ_ARRIVAL_AGAIN: return; /* it is never the last word */
    }
}

/* What a generation after the first runs. */
static void
tell_generation(struct peers *self, const struct dz_meeting_entry *entry)
{
    if (entry->answer.word == DZ_ARRIVAL_LATE)
        return;
    if (self->generation > 0)
        dz_buf_addf(&self->how, "; generation %" PRIu32 ": ", self->generation);
    if (self->generation > 0 && self->previous[0] == '\0')
        dz_buf_addf(&self->how, "nothing is known of earlier ones, everything runs");
    else if (self->generation > 0 && self->is_full)
        dz_buf_addf(&self->how, "everything runs again");
    else if (self->generation > 0)
        dz_buf_addf(&self->how, "what failed or is missing of job %s runs again", self->previous);
    else if (self->mode == DZ_RERUN_FAILED)
        dz_buf_addf(&self->how, "; there is no earlier generation: DAGZ_MODE=failed runs all");
}

static void
take_entry(struct peers *self, const struct dz_meeting_entry *entry, const char *where)
{
    memcpy(self->job, entry->job, sizeof(self->job));
    self->is_late = entry->answer.word == DZ_ARRIVAL_LATE;
    self->is_meeting = !self->is_late;
    self->generation = entry->answer.number;
    memcpy(self->previous, entry->previous, sizeof(self->previous));
    self->is_full = entry->is_full;
    tell_arrival(self, entry, where);
    tell_generation(self, entry);
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
    *entry = make_entry(self);
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
    make_key(self, start, job, &key);
    if (job->url)
        add_part(&key, dz_str(job->url)); /* all of them keep their records in the same way */
    enum dz_rc rc = enter_room(self, dz_buf_slice(&key), &entry, err);
    for (unsigned i = 1; rc == DZ_OK && entry.answer.word == DZ_ARRIVAL_AGAIN; i++) {
        if (i == DZ_COMMANDS_MAX)
            return dz_fail(err, DZ_LIMIT, "this CI job has run %d commands of %s", DZ_COMMANDS_MAX,
                           self->ci.key);
        leave_room(self);
        add_part(&key, dz_str("again"));
        rc = enter_room(self, dz_buf_slice(&key), &entry, err);
    }
    if (rc == DZ_OK)
        take_entry(self, &entry, "on this host");
    if (rc == DZ_OK && why)
        dz_buf_addf(&self->how, ": %s", why);
    return rc;
}

/* ------------------------------------------------------------------ meeting at the store */

static void
on_member(void *arg, uint64_t node, struct dz_slice contact)
{
    struct peers *self = arg;
    mesh_let_back(self->mesh, node);
    peers_meet(self, node, 0, contact);
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
    enum dz_rc rc = listen_at(self, NULL, err);
    if (rc != DZ_OK)
        return rc;
    DZ_AUTO(dz_buf_fini) struct dz_buf key = { 0 };
    make_key(self, start, job, &key);
    struct lobby_ops ops = { .on_answer = on_answer,
                             .on_member = on_member,
                             .on_left = on_left,
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
    rc = lobby_new(&cfg, &self->lobby, err);
    struct dz_meeting_entry entry = make_entry(self);
    if (rc == DZ_OK)
        rc = lobby_enter(self->lobby, &entry, err);
    if (rc != DZ_OK)
        return rc;
    DZ_AUTO(dz_buf_fini) struct dz_buf where = { 0 };
    dz_buf_addf(&where, "through %s", job->url);
    dz_buf_add(&where, "", 1);
    take_entry(self, &entry, (const char *) where.data);
    return DZ_OK;
}

/* ------------------------------------------------------------------ alone */

static enum dz_rc
be_alone(struct peers *self, struct dz_err *err)
{
    self->node = PEERS_ALONE_NODE;
    struct mesh_cfg cfg = { .loop = self->loop,
                            .node = self->node,
                            .inc = self->inc,
                            .name = PLACE,
                            .ops = self->ops.mesh };
    return mesh_new(&cfg, &self->mesh, err);
}

/* Several slots, and nobody through whom they could find each other: the core asks, hears that
 * nobody can be reached, and runs this slot's share. */
static enum dz_rc
be_a_shard(struct peers *self, const char *why, struct dz_err *err)
{
    self->is_meeting = true;
    dz_buf_addf(&self->how,
                "slot %u of %u runs its own share: %s, and the others may be on other hosts "
                "(--dagz-rendezvous=host if they are not)",
                self->ci.slot + 1, self->ci.total, why);
    return be_alone(self, err);
}

/* ------------------------------------------------------------------ life */

/* Nothing stays of a try to meet that failed. */
static void
leave(struct peers *self)
{
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
    struct dz_err why;
    enum dz_rc rc = meet_at_store(self, start, job, &why);
    if (rc == DZ_OK)
        return rc;
    leave(self);
    if (start->rendezvous == DZ_RENDEZVOUS_STORE)
        return dz_fail(err, DZ_REFUSED, "--dagz-rendezvous=store: %s", why.text);
    if (job->url)
        log_warn("peers.store", "why=%s", why.text);
    if (self->ci.total > 1)
        return be_a_shard(self, job->url ? why.text : "no store answers", err);
    return meet_on_host(self, start, job, job->url ? why.text : NULL, err);
}

enum dz_rc
peers_open(struct peers *self, struct dz_loop *loop, const struct dz_msg_start *start,
           const struct peers_job *job, const struct peers_ops *ops, struct dz_err *err)
{
    *self = (struct peers){ .loop = loop, .inc = start->incarnation + 1, .ops = *ops };
    memcpy(self->job, job->ulid, sizeof(self->job));
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
peers_sealed(struct peers *self, const struct dz_epoch *epoch, bool is_good)
{
    struct dz_err err;
    self->has_sealed = true;
    if (self->lobby)
        lobby_tell_seal(self->lobby, epoch, is_good);
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
    return !self->lobby || lobby_is_idle(self->lobby);
}
