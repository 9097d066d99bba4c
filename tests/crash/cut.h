/* cut.h - what a disk may hold after a power cut.
 *
 * While recording, every write to a file called data.mdb below one folder is written down, and so is
 * every sync.  From that an image is made for a cut at any moment: what was synced is there, of what
 * was written since, any part, in any order, and torn at sectors of 512 bytes.  What went through a
 * descriptor with O_DSYNC is there as soon as the write has returned.  (It does to LMDB what ALICE did
 * to a dozen programs.)
 *
 * The recorder stands in front of the C library's write(), writev(), pwrite(), fsync() and
 * fdatasync() for the whole program, which must export its symbols. */
#ifndef DZ_TESTS_CRASH_CUT_H
#define DZ_TESTS_CRASH_CUT_H

#include "shared/base/base.h"

void cut_record(const char *folder); /* from now on; NULL: no more */
/* Note that `promise` was given: all that is written behind it may be lost, it may not. */
void cut_promise(uint32_t promise);

size_t cut_events(void); /* writes and syncs so far */

/* The folder as a cut during event `event` may leave it, in `into`, which is made; other files than
 * data.mdb are not.  promise_out: the last that was given before.  Same seed, same image. */
void cut_image(size_t event, uint64_t seed, const char *into, uint32_t *promise_out);

uint64_t cut_draw(uint64_t *seed); /* a pseudo-random number; moves the seed on */

#endif
