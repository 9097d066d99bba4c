/* shares.h - what slots that ran a share each send to the store, piece by piece.
 *
 * The pieces are made once, of real runs in stores of their own, before anything is interrupted. */
#ifndef DZ_TESTS_CRASH_SHARES_H
#define DZ_TESTS_CRASH_SHARES_H

#include "store/sync.h"

enum {
    SHARES = 3,
    SHARE_BATCHES = 3,
    SHARE_PIECES = SHARE_BATCHES + 2 /* that it comes, and its end */
};

struct shares {
    struct dz_buf pieces[SHARES][SHARE_PIECES];
};

void shares_ulid(unsigned index, char out[STORE_ULID_LEN + 1]);
int64_t shares_time(void);

/* Aborts with a line when a store refuses anything.  Caller owns it. */
struct shares *shares_new(void);
void shares_destroy(struct shares **self_p);

/* The store takes a piece, and says that all of it is there and which job it is of. */
void shares_send(const struct shares *self, struct store *store, unsigned index, unsigned piece);

#endif
