/* numbers.h - tests as a sender numbers them, and as the job does.  Only for this folder.
 *
 * A parcel speaks in places of its sender's own list, which it names. Where that is the job's list,
 * or begins it, the numbers are the same; else they are translated at the door. */
#ifndef DZ_STORE_NUMBERS_H
#define DZ_STORE_NUMBERS_H

#include "store/job.h"
#include "store/parcel.h"

enum { NUMBERS_LISTS_MAX = 64 /* of one job that are remembered */ };

/* One list of a sender. */
struct numbers {
    char name[PARCEL_NAME_MAX];
    uint32_t *map; /* owned; NULL: the same */
    uint32_t count;
};

struct numbers_cache {
    struct numbers lists[NUMBERS_LISTS_MAX];
    unsigned next;
};

void numbers_fini(struct numbers_cache *self);
struct numbers_cache *numbers_new(void);
void numbers_destroy(struct numbers_cache **self_p); /* DZ_AUTO-able */

/* The numbers of a parcel's list; the job's own list takes in what it lacks. *out NULL: the parcel
 * names none.  ABSENT: the list is not known, and the parcel does not bring it. */
DZ_MUST_USE enum dz_rc numbers_of(struct numbers_cache *self, struct store_job *job,
                                  const struct parcel *parcel, const struct numbers **out,
                                  struct dz_err *err);

/* Into the job's numbers; false: one makes no sense. */
bool numbers_translate(const struct numbers *self, struct store_batch *batch);
/* Of the ledger, what a sender's account should be: count and digest in its own numbers. */
void numbers_sum(const struct numbers *self, const struct ledger *ledger, uint32_t *counted_out,
                 uint64_t *digest_out);

#endif
