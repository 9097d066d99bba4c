/* query.h - which tests of a job are meant: "outcome:failed duration:>1s module:api text". */
#ifndef DZ_STORE_QUERY_H
#define DZ_STORE_QUERY_H

#include "store/store.h"

struct query;

/* All words must hold.  NULL: *err says why. */
struct query *query_new(char *const *words, size_t count, struct dz_err *err);
void query_destroy(struct query **self_p);
bool query_fits(const struct query *self, const struct store_test *test);
bool query_is_term(const char *word); /* begins with a key that queries know */

#endif
