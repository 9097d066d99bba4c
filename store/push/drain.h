/* drain.h - spool folders taken into a store of this process, without a server between. */
#ifndef DZ_STORE_PUSH_DRAIN_H
#define DZ_STORE_PUSH_DRAIN_H

#include "store/push/spools.h"

/* All of one folder, and then the folder is removed unless it is to be kept; `self` is closed in
 * any case. */
DZ_MUST_USE enum dz_rc drain_dir(struct store *into, struct spool_dir *self, bool is_kept,
                                 struct store_receipt *out, struct dz_err *err);

/* Only what job it is: it is begun there, and its run still goes on. */
DZ_MUST_USE enum dz_rc drain_hello(struct store *into, const struct spool_dir *self,
                                   struct store_receipt *out, struct dz_err *err);

/* The folders below <home>/spool whose runs are over and that are for the store of this home, or
 * for one of the `urls` (NULL ends): taken into it, at most `most`.  Returns how many; what cannot
 * be taken stays, and `note` (may be NULL) is told. */
typedef void drain_note_fn(void *arg, const char *path, enum dz_rc rc, const char *why);
size_t drain_home(struct store *into, const char *home, const char *const *urls, size_t most,
                  drain_note_fn *note, void *arg);

#endif
