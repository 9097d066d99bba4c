/* sorter.h - the numbers of names in the order of the names' bytes, sorted while they come.
 *
 * A collection goes through files in the order of their names, so most of it is sorted as it comes: a run
 * ends where a name is less than the one before.  A run that has ended is merged with the one before it,
 * unless that is more than twice as long: so little is left to do when the last name has come, and no
 * name is moved more often than the logarithm of their count. */
#ifndef DZ_VASSAL_IO_SORTER_H
#define DZ_VASSAL_IO_SORTER_H

#include "shared/base/names.h"

enum { SORTER_RUNS = 40 }; /* each but the last two is more than twice as long as the next */

struct sorter {
    uint32_t *order; /* owned, [count]; after sorter_end() sorted.  Equal names stay as they came */
    uint32_t count, cap;
    uint32_t begins[SORTER_RUNS];
    unsigned runs; /* the last one is not at its end */
};

void sorter_fini(struct sorter *self);
/* The next of the names, number self->count, has been added to them. */
void sorter_add(struct sorter *self, const struct dz_names *names);
void sorter_end(struct sorter *self, const struct dz_names *names);

#endif
