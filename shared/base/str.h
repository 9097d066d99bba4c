/* str.h - a list of strings that it owns. */
#ifndef DZ_SHARED_BASE_STR_H
#define DZ_SHARED_BASE_STR_H

#include "shared/base/base.h"

struct dz_strs {
    char **items; /* owned, and what they point to; NULL after the last one once not empty */
    size_t len;
    size_t cap;
};

void dz_strs_fini(struct dz_strs *self); /* DZ_AUTO-able */
void dz_strs_add(struct dz_strs *self, struct dz_slice text);
bool dz_strs_has(const struct dz_strs *self, struct dz_slice text);
void dz_strs_sort(struct dz_strs *self); /* by bytes */

/* Take the next line, without its end, off *rest; false when nothing is left. */
bool dz_line_next(struct dz_slice *rest, struct dz_slice *line_out);

/* Read a number of at most nine digits, and move *p behind it; false: there is none. */
bool dz_digits_next(const char **p, int *out);

bool dz_starts_with(struct dz_slice text, struct dz_slice head);

/* Is this node id the one of that name, or below it: of a folder, a file, a class, a parametrized test?
 * A folder's name may end with its slash. */
bool dz_id_is_below(struct dz_slice id, const char *name);

#endif
