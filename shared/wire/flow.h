/* flow.h - one end of one session between a scheduler and a vassal.
 *
 * Transports lose, repeat and reorder.  A flow numbers what is said in a session, keeps it until
 * the other end acknowledges it, says it again when that takes too long, and hands on what it hears
 * once and in order.  So the cores above it may believe that what they were told is the history
 * of their peer, without holes, until the session is replaced by another one.
 *
 * A session is (epoch, incarnation of both ends, session number).  Anything that does not fit is
 * not for this flow; dz_flow_fits() tells.
 *
 * Patience  A busy peer acknowledges late, and saying it all again makes it later still.  So patience
 *         follows the time that acks take, and what was doubled stays until one came for a body that was
 *         said only once.
 * Memory  Bounded by DZ_FLOW_WINDOW bodies.  A value type: zero it, dz_flow_open() it,
 *         dz_flow_fini() it.
 * Bytes   Frames are appended to a buffer of the caller, whole, ready to travel. */
#ifndef DZ_SHARED_WIRE_FLOW_H
#define DZ_SHARED_WIRE_FLOW_H

#include "shared/base/buf.h"
#include "shared/wire/mesh.h"
#include "shared/wire/wire.h"

enum {
    DZ_FLOW_WINDOW = 64,              /* bodies on the way */
    DZ_FLOW_ACK_US = 10 * 1000,       /* an ack waits so long for something to ride on, */
    DZ_FLOW_ACK_PART = 2,             /* or such a part of the patience that is borne, */
    DZ_FLOW_ACK_BODIES = 16,          /* but not when so many bodies wait for it */
    DZ_FLOW_RESEND_US = 50 * 1000,    /* the least patience with a missing ack; doubled each time */
    DZ_FLOW_PATIENCE_US = 800 * 1000, /* ... up to this, or twice what is borne */
    DZ_FLOW_TRIPS = 3,                /* patience at first, in times that an ack usually takes */
};

struct dz_flow {
    struct dz_slice job; /* borrowed from the owner for its life */
    struct dz_epoch epoch;
    uint64_t node, inc; /* this end */
    uint64_t peer_inc;
    uint64_t session;
    enum dz_mesh_end to; /* which end of the other node this one speaks to */

    uint64_t said;      /* greatest number given */
    uint64_t acked;     /* ... acknowledged */
    uint64_t heard;     /* greatest number heard without a hole */
    uint64_t told;      /* ... that the other end was told */
    struct dz_buf kept; /* bodies said and not acked, one after another */
    uint32_t kept_len[DZ_FLOW_WINDOW];
    dz_us borne_us;  /* the least patience */
    dz_us ack_us;    /* how long an ack may wait */
    dz_us ack_at;    /* when the other end must be told `heard`; INT64_MAX: it knows */
    dz_us resend_at; /* INT64_MAX: nothing is on the way */
    dz_us patience;
    /* How long acks take.  What was said twice tells nothing: the ack may be that of either. */
    uint64_t timed; /* a body that was said once, at said_at; 0: none */
    dz_us said_at;
    dz_us trip_us; /* 0: not known */
};

/* Begin a session: forgets the one before.  The rest of *self is set by the caller before. */
void dz_flow_open(struct dz_flow *self);
/* Acks are known to take long, for both ends are among many: there is no less patience than so much, and ours
 * wait longer. */
void dz_flow_bear(struct dz_flow *self, dz_us patience_us);
void dz_flow_fini(struct dz_flow *self);

/* Is it of this session? */
bool dz_flow_fits(const struct dz_flow *self, const struct dz_msg_mesh *envelope);

/* May another body be said?  False: wait until acks came. */
bool dz_flow_has_room(const struct dz_flow *self);

/* Say it, in sequence, surely.  There must be room. */
void dz_flow_say(struct dz_flow *self, const struct dz_msg *body, dz_us now, struct dz_buf *out);

/* Say it once, outside of the sequence; it carries the ack.  NULL: only the ack. */
void dz_flow_whisper(struct dz_flow *self, const struct dz_msg *body, struct dz_buf *out);

/* Take in an envelope that fits.  True: its body is the next in sequence, or outside of it: handle
 * it.  False: it was heard before, came too early, or is empty. */
bool dz_flow_hear(struct dz_flow *self, const struct dz_msg_mesh *envelope, dz_us now);

/* When one of the two below may have something to say. */
dz_us dz_flow_next(const struct dz_flow *self);

/* Say again what is overdue, one frame for each call, until it says false.  *nth starts at 0. */
bool dz_flow_resend(struct dz_flow *self, dz_us now, unsigned *nth, struct dz_buf *out);

/* Is an ack due that nothing carried? */
bool dz_flow_owes_ack(const struct dz_flow *self, dz_us now);

#endif
