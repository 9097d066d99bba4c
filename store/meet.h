/* meet.h - where nodes of one job find each other, kept by the store: a meeting for each join key
 * of a project (shared/wire/meeting.h has the rules), and how to reach who came.
 *
 * All of a group of requests are one transaction with one sync, so thousands of nodes may come at
 * the same moment.  The clock is the store's own (the `now_us` of the call), and nobody else's: what
 * is said of time to others are spans. */
#ifndef DZ_STORE_MEET_H
#define DZ_STORE_MEET_H

#include "shared/base/buf.h"
#include "shared/wire/meeting.h"
#include "store/store.h"

enum {
    STORE_MEET_KEY_MAX = 64,            /* bytes of a join key's digest */
    STORE_MEET_MEMBERS_SHOWN = 1024,    /* contacts of one answer */
    STORE_MEET_AGE_S = 7 * 24 * 60 * 60 /* a meeting that nobody has touched so long is dropped */
};

enum store_meet_kind { STORE_MEET_ENTER, STORE_MEET_LEASE, STORE_MEET_END, STORE_MEET_SEAL };

struct store_meet {
    enum store_meet_kind kind;
    const char *uri;     /* the project */
    struct dz_slice key; /* 1 .. STORE_MEET_KEY_MAX bytes */

    /* what is asked */
    struct dz_meeting_entry entry; /* ENTER; its answers too */
    struct dz_slice contact;       /* ENTER: at most DZ_CONTACT_MAX bytes */
    struct dz_lease_ask ask;       /* LEASE */
    uint64_t node;                 /* END */
    enum dz_slot_end end;
    struct dz_epoch epoch; /* SEAL: of who seals; a lower one than the lease's is REFUSED */
    bool is_good;
    bool has_account; /* SEAL: what the job's own seal will say, to be noted with it */
    struct store_seal account;

    /* what is answered */
    enum dz_rc rc;               /* OK; ABSENT: no such meeting; LIMIT; REFUSED */
    struct dz_lease_reply reply; /* LEASE */
    uint32_t came, ended;        /* members of the generation, and those whose part has ended */
    struct dz_buf found; /* LEASE, HELD: the holder's contact; caller's, to be dz_buf_fini()d */
};

/* Answer each.  Anything but OK: nothing was changed, no answer counts. */
DZ_MUST_USE enum dz_rc store_meet(struct store *self, struct store_meet *asks, size_t count,
                                  int64_t now_us, struct dz_err *err);

/* The members of a meeting whose part has not ended, in the order of their coming, from the `skip`th
 * on. *next_out: where to go on, 0: that was all.  ABSENT. */
typedef void store_member_fn(void *arg, uint64_t node, struct dz_slice contact);
DZ_MUST_USE enum dz_rc store_meet_members(struct store *self, const char *uri, struct dz_slice key,
                                          uint32_t skip, store_member_fn *fn, void *arg,
                                          uint32_t *next_out, struct dz_err *err);

/* Which of these nodes are in it, as members whose part has not ended; nobody is in a meeting that
 * does not exist. */
DZ_MUST_USE enum dz_rc store_meet_present(struct store *self, const char *uri, struct dz_slice key,
                                          const uint64_t *nodes, bool *is_in_out, size_t count,
                                          struct dz_err *err);

/* Forget old meetings. */
DZ_MUST_USE enum dz_rc store_meet_sweep(struct store *self, int64_t now_us, struct dz_err *err);

#endif
