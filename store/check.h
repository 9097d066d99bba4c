/* check.h - the passes over a store; care.h is what others call.  Only for this folder. */
#ifndef DZ_STORE_CHECK_H
#define DZ_STORE_CHECK_H

#include "store/tidy.h"

struct checking {
    struct store *store; /* borrowed */
    struct store_check *work;
    bool is_repairing;
    struct dz_kv_batch fixes; /* owned */
};

DZ_MUST_USE enum dz_rc check_all(struct checking *self, struct dz_err *err);

#endif
