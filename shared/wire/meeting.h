/* meeting.h - the record by which nodes of one job find each other: its name, its generation, who
 * took part and how that ended, who schedules.
 *
 * The store keeps one for each join key; on one host without a store it is a file in the room of
 * that key.  Both change it under their own lock by the functions below, so that they cannot
 * differ.  It is written as lines of text, which newer versions may add to. */
#ifndef DZ_SHARED_WIRE_MEETING_H
#define DZ_SHARED_WIRE_MEETING_H

#include "shared/base/buf.h"
#include "shared/base/ulid.h"
#include "shared/wire/generation.h"
#include "shared/wire/lease.h"

enum { DZ_MEETING_MEMBERS_MAX = 16384, DZ_MEETING_TEXT_MAX = 2 << 20, DZ_MEETING_NAME = 32 };

/* What a step's jobs are known by at the store: of the join key's parts, of any length, and of how
 * often the same CI job has ended under it. */
void dz_meeting_name(struct dz_slice key, unsigned ordinal, char out[DZ_MEETING_NAME + 1]);

/* Where nobody can meet, each slot of a step runs its own share: whose a test is, from its node id
 * alone.  total < 2: all are slot 0's. */
unsigned dz_shard_of(struct dz_slice id, unsigned total);
unsigned dz_shard_of_hash(uint64_t hash, unsigned total); /* of dz_hash64() of the id */

/* One that took part in the newest generation. */
struct dz_meeting_member {
    uint64_t node;
    struct dz_slot_past slot;
};

struct dz_meeting {
    char job[DZ_ULID_LEN + 1];       /* of the newest generation, "": nobody has come yet */
    char previous[DZ_ULID_LEN + 1];  /* of the generation before it, "": none is known */
    bool is_full;                    /* nothing counts as it was in the previous one */
    struct dz_generation generation; /* without its `past`, which is below */
    struct dz_lease lease;
    struct dz_meeting_member *members; /* owned */
    size_t member_count, member_cap;
    struct dz_slot_past *earlier; /* owned: who took part in the generations before, at most
                                   * MEMBERS_MAX, the oldest first */
    size_t earlier_count;
};
void dz_meeting_fini(struct dz_meeting *self); /* DZ_AUTO-able */

/* What does not make sense is as if not written: text that is damaged is a meeting that nobody has
 * come to yet. */
void dz_meeting_read(struct dz_slice text, struct dz_meeting *out);
void dz_meeting_write(const struct dz_meeting *self, struct dz_buf *out);
/* Members that have not ended their part, as the first line of the text says; 0 without one. */
enum { DZ_MEETING_LINE_MAX = 64 };
size_t dz_meeting_count(struct dz_slice text);

struct dz_meeting_entry {
    uint64_t node;
    struct dz_arrival arrival;      /* as what the CI started it */
    enum dz_rerun mode;             /* who opens a generation decides what it runs */
    char job[DZ_ULID_LEN + 1];      /* in: the name if a job begins here; out: the job's name */
    struct dz_arrival_reply answer; /* out, as are the next */
    char previous[DZ_ULID_LEN + 1]; /* as in the meeting */
    bool is_full;
};
/* Somebody comes in; a node that is in (its agent died and was replaced) stays the one member that
 * it is.  LATE, AGAIN: the meeting is unchanged.  LIMIT: too many members. */
DZ_MUST_USE enum dz_rc dz_meeting_enter(struct dz_meeting *self, struct dz_meeting_entry *entry);

/* The generation is over; is_good: nothing failed, nothing is missing. */
void dz_meeting_seal(struct dz_meeting *self, bool is_good);
/* Members whose part has not ended are who may connect. */
size_t dz_meeting_ended(const struct dz_meeting *self);
size_t dz_meeting_present(const struct dz_meeting *self); /* the others */
/* How a node's part ended. */
void dz_meeting_end(struct dz_meeting *self, uint64_t node, enum dz_slot_end end);

#endif
