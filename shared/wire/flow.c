#include "shared/wire/flow.h"

#include <string.h>

#include "shared/base/mutant.h"
#include "shared/wire/frame.h"

static void
forget(struct dz_flow *self)
{
    self->said = self->acked = self->heard = self->told = 0;
    dz_buf_clear(&self->kept);
    self->ack_at = self->resend_at = INT64_MAX;
    self->ack_us = DZ_FLOW_ACK_US;
    self->borne_us = self->patience = DZ_FLOW_RESEND_US;
    self->timed = 0;
    self->trip_us = 0;
}

void
dz_flow_open(struct dz_flow *self)
{
    forget(self);
}

void
dz_flow_bear(struct dz_flow *self, dz_us patience_us)
{
    if (patience_us <= self->borne_us)
        return;
    self->borne_us = self->patience = patience_us;
    self->ack_us = patience_us / DZ_FLOW_ACK_PART;
}

void
dz_flow_fini(struct dz_flow *self)
{
    dz_buf_fini(&self->kept);
}

bool
dz_flow_fits(const struct dz_flow *self, const struct dz_msg_mesh *envelope)
{
    struct dz_epoch epoch = { envelope->epoch_n, envelope->epoch_node, envelope->epoch_inc };
    return dz_epoch_cmp(&epoch, &self->epoch) == 0 && envelope->session == self->session &&
           envelope->inc == self->peer_inc &&
           (envelope->to_inc == self->inc || DZ_BROKEN(FITS_LIFE));
}

bool
dz_flow_has_room(const struct dz_flow *self)
{
    return self->said - self->acked < DZ_FLOW_WINDOW;
}

/* Every envelope carries the ack, so none is owed after it. */
static void
wrap(struct dz_flow *self, uint64_t seq, struct dz_slice body, struct dz_buf *out)
{
    dz_mesh_seal(&(struct dz_msg_mesh){ .job = self->job,
                                        .epoch_n = self->epoch.n,
                                        .epoch_node = self->epoch.node,
                                        .epoch_inc = self->epoch.inc,
                                        .node = self->node,
                                        .inc = self->inc,
                                        .to_inc = self->peer_inc,
                                        .session = self->session,
                                        .seq = seq,
                                        .ack = self->heard,
                                        .body = body,
                                        .to = self->to },
                 out);
    self->told = self->heard;
    self->ack_at = INT64_MAX;
}

void
dz_flow_say(struct dz_flow *self, const struct dz_msg *body, dz_us now, struct dz_buf *out)
{
    dz_assert(dz_flow_has_room(self));
    size_t start = self->kept.len;
    dz_msg_encode(body, &self->kept);
    size_t len = self->kept.len - start;
    self->said++;
    if (self->timed == 0) {
        self->timed = self->said;
        self->said_at = now;
    }
    self->kept_len[self->said % DZ_FLOW_WINDOW] = (uint32_t) len;
    if (self->resend_at == INT64_MAX)
        self->resend_at = now + self->patience;
    wrap(self, self->said, (struct dz_slice){ self->kept.data + start, len }, out);
}

void
dz_flow_whisper(struct dz_flow *self, const struct dz_msg *body, struct dz_buf *out)
{
    size_t start = self->kept.len; /* its memory is used, and given back at once */
    if (body)
        dz_msg_encode(body, &self->kept);
    wrap(self, 0, (struct dz_slice){ self->kept.data + start, self->kept.len - start }, out);
    self->kept.len = start;
}

static void
set_patience(struct dz_flow *self, dz_us patience)
{
    dz_us most =
        2 * self->borne_us > DZ_FLOW_PATIENCE_US ? 2 * self->borne_us : DZ_FLOW_PATIENCE_US;
    patience = patience > self->borne_us ? patience : self->borne_us;
    self->patience = patience < most ? patience : most;
}

/* Slower counts at once, faster by and by. */
static void
take_trip(struct dz_flow *self, dz_us trip_us)
{
    bool is_slower = trip_us > self->trip_us;
    self->trip_us = is_slower ? trip_us : self->trip_us - (self->trip_us - trip_us) / 8;
    set_patience(self, DZ_FLOW_TRIPS * self->trip_us);
    self->timed = 0;
}

/* A peer's ack is a claim: one of something never said is ignored. */
static void
take_ack(struct dz_flow *self, uint64_t ack, dz_us now)
{
    if (ack <= self->acked || ack > self->said)
        return;
    size_t drop = 0;
    while (self->acked < ack)
        drop += self->kept_len[++self->acked % DZ_FLOW_WINDOW];
    dz_buf_drop(&self->kept, drop);
    if (self->timed > 0 && ack >= self->timed)
        take_trip(self, now - self->said_at);
    self->resend_at = self->acked == self->said ? INT64_MAX : now + self->patience;
}

/* What was heard before is said again because our ack was lost: repeat the ack soon.  So many bodies of the other
 * end may be on the way, and no more: it should not have to wait for acks. */
static void
owe_ack(struct dz_flow *self, dz_us now, bool is_news)
{
    bool is_soon = !is_news || self->heard - self->told >= DZ_FLOW_ACK_BODIES;
    dz_us at = now + (is_soon ? DZ_FLOW_ACK_US : self->ack_us);
    self->ack_at = at < self->ack_at ? at : self->ack_at;
}

bool
dz_flow_hear(struct dz_flow *self, const struct dz_msg_mesh *envelope, dz_us now)
{
    take_ack(self, envelope->ack, now);
    if (envelope->seq == 0)
        return envelope->body.len > 0;
    bool is_next = envelope->seq == self->heard + 1 || DZ_BROKEN(SEQUENCE);
    if (is_next)
        self->heard++;
    owe_ack(self, now, is_next);
    return is_next && envelope->body.len > 0;
}

dz_us
dz_flow_next(const struct dz_flow *self)
{
    return self->ack_at < self->resend_at ? self->ack_at : self->resend_at;
}

bool
dz_flow_resend(struct dz_flow *self, dz_us now, unsigned *nth, struct dz_buf *out)
{
    if (*nth == 0 && now < self->resend_at)
        return false;
    if (self->acked + *nth >= self->said || DZ_BROKEN(RESEND)) {
        set_patience(self, 2 * self->patience);
        self->resend_at = self->acked == self->said ? INT64_MAX : now + self->patience;
        return false;
    }
    self->timed = 0;
    size_t start = 0;
    for (unsigned i = 1; i <= *nth; i++)
        start += self->kept_len[(self->acked + i) % DZ_FLOW_WINDOW];
    uint64_t seq = self->acked + ++*nth;
    wrap(self, seq,
         (struct dz_slice){ self->kept.data + start, self->kept_len[seq % DZ_FLOW_WINDOW] }, out);
    return true;
}

bool
dz_flow_owes_ack(const struct dz_flow *self, dz_us now)
{
    return now >= self->ack_at;
}
