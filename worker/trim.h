/* trim.h - a worker's heap gives back what no test uses any more.
 *
 * A test that worked with large data leaves free pages inside the C heap, and glibc keeps them: after
 * some thousand tests they are a third of what a worker has for itself.  Giving them back costs a fraction
 * of a millisecond on an ordinary heap; it is done between tests, at most once a second, and rarer on a
 * heap where it takes longer. */
#ifndef DZ_WORKER_TRIM_H
#define DZ_WORKER_TRIM_H

#include "shared/base/base.h"

/* A value type: zero it. */
struct trim {
    dz_us next; /* not before */
};

/* `now`: CLOCK_MONOTONIC. */
void trim_heap(struct trim *self, dz_us now);

#endif
