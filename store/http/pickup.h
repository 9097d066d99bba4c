/* pickup.h - spool folders of runs that ended while the daemon was away: a thread looks for them
 * in this home and takes them into the store. */
#ifndef DZ_STORE_HTTP_PICKUP_H
#define DZ_STORE_HTTP_PICKUP_H

#include "store/store.h"

struct pickup;

/* `url` is where this daemon listens; folders that are for the same port of this machine, or for
 * whoever serves the home, are its own.  Borrows the store. */
DZ_MUST_USE enum dz_rc pickup_new(struct store *store, const char *home, const char *url,
                                  struct pickup **self_out, struct dz_err *err);
void pickup_destroy(struct pickup **self_p); /* ends the thread; before the store is closed */

#endif
