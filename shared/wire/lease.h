/* lease.h - who schedules a job, as the authority sees it that grants the lease.
 *
 * The authority is the store, or on one host without a store the holder of the user's lock.  Both
 * keep one record for each generation of a job and change it by compare-and-set; what a request
 * does to the record is this pure function, so store, host and simulator cannot differ.
 *
 * The lease is no lock.  Two schedulers at once waste work and cannot harm the account (results
 * are facts, commands are fenced by epochs), so it is short, may be revoked on evidence, and a
 * scheduler goes on while the authority cannot be reached.  What the authority does promise is that
 * a number is granted once: n = max(stored, asked) + 1.
 *
 * Time    `now` is the authority's own clock and nobody else's; askers get spans, never dates. */
#ifndef DZ_SHARED_WIRE_LEASE_H
#define DZ_SHARED_WIRE_LEASE_H

#include "shared/wire/mesh.h"

enum {
    DZ_LEASE_TTL_US = 1500 * 1000,  /* without a renewal it is free again */
    DZ_LEASE_RENEW_US = 400 * 1000, /* how often a scheduler renews */
    DZ_LEASE_WITNESSES = 8,         /* reports of a holder's death that are remembered */
};

enum dz_lease_kind {
    DZ_LEASE_CLAIM,   /* I would schedule; or tell me who does */
    DZ_LEASE_RENEW,   /* I schedule under `me`, granted or (when you were away) elected by others */
    DZ_LEASE_WHO,     /* only tell me */
    DZ_LEASE_RELEASE, /* I leave: let another one have it at once */
};

enum dz_lease_word {
    DZ_LEASE_GRANTED, /* CLAIM, RENEW: reply.epoch is yours, for ttl_us */
    DZ_LEASE_HELD,    /* by reply.epoch, which is greater than yours or is not known to be dead */
    DZ_LEASE_FREE,    /* WHO, RELEASE: nobody has it */
    DZ_LEASE_SEALED,  /* the job has ended: come too late */
    DZ_LEASE_UNREACHABLE, /* said by the driver: no answer came */
};

struct dz_lease_ask {
    enum dz_lease_kind kind;
    /* The asker.  n: CLAIM, the greatest epoch number that it has seen; RENEW, RELEASE its own. */
    struct dz_epoch me;
    struct dz_epoch gone; /* CLAIM: the scheduler whose connection ended; n 0: none is known dead */
    uint64_t members;     /* RENEW: nodes that take part */
};

struct dz_lease_reply {
    enum dz_lease_word word;
    struct dz_epoch epoch; /* GRANTED, HELD */
    dz_us ttl_us;          /* GRANTED: how long; HELD: at most so long still */
    uint64_t members; /* CLAIM granted: nodes that took part under the one before, without it */
};

/* The record.  All zero: nobody has asked yet. */
struct dz_lease {
    struct dz_epoch epoch; /* of the last grant; n never goes down */
    dz_us until;           /* on the authority's clock; not after it: free */
    uint64_t members;
    uint64_t
        witnesses[DZ_LEASE_WITNESSES]; /* nodes that reported the holder gone since it renewed */
    uint64_t witness_count;
    bool is_sealed;
};

/* True: the record was changed, and has to be written (by compare-and-set) before the reply is
 * given; if somebody else was faster, start again from what is there now. */
bool dz_lease_step(struct dz_lease *self, const struct dz_lease_ask *ask, dz_us now,
                   struct dz_lease_reply *out);

#endif
