/* keeper.h - a thread that keeps the store small: see store/care.h. */
#ifndef DZ_STORE_HTTP_KEEPER_H
#define DZ_STORE_HTTP_KEEPER_H

#include "store/store.h"

struct keeper;
struct store_retention;

/* Tells the store what may be kept.  Borrows it. */
DZ_MUST_USE enum dz_rc keeper_new(struct store *store, const struct store_retention *keep,
                                  struct keeper **self_out, struct dz_err *err);
void keeper_destroy(struct keeper **self_p); /* ends the thread; before the store is closed */

#endif
