/* room.h - where nodes of one host meet when there is no store: a folder of this user alone.
 *
 *     <root>/<digest of the join key>/lock          held for the milliseconds of one decision
 *                                     state         the job, its generation, who came
 *                                     lease, lease.lock    likewise: who schedules
 *                                     <node>.node   a member, and how to reach it
 *                                     <node>.sock   where it listens
 *
 * <root> is $XDG_RUNTIME_DIR/dagz, or /tmp/dagz-<uid>: mode 0700 and ours, or it is refused.  A
 * member holds a lock on its own file as long as it lives, so a death by any cause is seen at once
 * and nothing has to be swept up.  The last one to leave takes the folder away; one that nobody
 * lives in any more is as good as new.
 *
 * What is decided here is decided by the same pure functions as in the store: meeting.h.
 * All calls answer at once; files are a few hundred bytes. */
#ifndef DZ_VASSAL_IO_ROOM_H
#define DZ_VASSAL_IO_ROOM_H

#include "shared/base/buf.h"
#include "shared/net/keys.h"
#include "shared/wire/meeting.h"

struct room;

enum { ROOM_ENDPOINT_MAX = 128 };

/* The room of a join key; nobody else comes in before room_enter() or room_close(), which are to
 * follow at once.  REFUSED: the root is somebody else's or open to others.  LIMIT: its path
 * is too long for sockets. */
DZ_MUST_USE enum dz_rc room_open(struct dz_slice key, struct room **self_out, struct dz_err *err);
/* Leave, and take away what nobody needs. */
void room_close(struct room **self_p);

/* Where this node is to listen: "ipc:///run/user/1000/dagz/.../....sock". */
void room_endpoint(const struct room *self, uint64_t node, char out[ROOM_ENDPOINT_MAX]);

/* Become a member, unless the answer is LATE or AGAIN.  `contact` as from dz_contact_write().  A returning
 * slot's older node is not put out here: the mesh fences it. */
DZ_MUST_USE enum dz_rc room_enter(struct room *self, struct dz_slice contact,
                                  struct dz_meeting_entry *entry, struct dz_err *err);

/* Ask for the lease (lease.h).  A holder whose process is dead holds nothing.  `contact_out` gets the
 * holder's contact appended when it is HELD and the holder lives. */
DZ_MUST_USE enum dz_rc room_ask(struct room *self, const struct dz_lease_ask *ask, dz_us now,
                                struct dz_lease_reply *out, struct dz_buf *contact_out,
                                struct dz_err *err);

/* The contact of a member that lives, appended.  ABSENT. */
DZ_MUST_USE enum dz_rc room_find(const struct room *self, uint64_t node,
                                 struct dz_buf *contact_out);
/* Is it the key of a member that lives?  For the gate. */
/* Members that have not left, as they were when this node entered or counted again. */
unsigned room_count(const struct room *self);
void room_count_again(struct room *self);
bool room_knows(const struct room *self, const struct dz_key *key);

/* The generation is over; is_good: nothing failed, nothing is missing. */
DZ_MUST_USE enum dz_rc room_seal(struct room *self, bool is_good, struct dz_err *err);
/* How a node's part ended, for those that come back. */
DZ_MUST_USE enum dz_rc room_end(struct room *self, uint64_t node, enum dz_slot_end end,
                                struct dz_err *err);

#endif
