/* takeover.h - what the store counted under earlier schedulers, or in an earlier generation, read by
 * one that goes on.
 *
 * Pages of the job's ledger are asked for from the loop and kept as they come.  Without an answer
 * in time the new scheduler goes on blind, and the nodes tell it all that they have. */
#ifndef DZ_VASSAL_TAKEOVER_H
#define DZ_VASSAL_TAKEOVER_H

#include "shared/base/buf.h"
#include "shared/net/loop.h"
#include "store/store.h"

struct takeover;

struct takeover_cfg {
    struct dz_loop *loop;         /* borrowed */
    const char *url, *uri, *ulid; /* of the store, the project, the job; copied */
    bool wants_list;              /* the first page tells the tests */
    void (*on_end)(void *arg);    /* from the loop; takeover_is_good() tells how */
    void *arg;
};

DZ_MUST_USE enum dz_rc takeover_new(const struct takeover_cfg *cfg, struct takeover **self_out,
                                    struct dz_err *err);
void takeover_destroy(struct takeover **self_p);

bool takeover_is_over(const struct takeover *self);
bool takeover_is_good(const struct takeover *self); /* the whole ledger is here */
/* What came, as parcels; borrowed. */
const struct dz_buf *takeover_pages(const struct takeover *self, size_t *count_out);
/* Put what came into the job's own ledger. */
DZ_MUST_USE enum dz_rc takeover_put(struct takeover *self, struct store_job *job,
                                    struct dz_err *err);

#endif
