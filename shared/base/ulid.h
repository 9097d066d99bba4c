/* ulid.h - names that sort by time: 48 bits of milliseconds and 80 of chance, as 26 characters
 * of Crockford's base 32.  Pure: the caller brings time and chance. */
#ifndef DZ_SHARED_BASE_ULID_H
#define DZ_SHARED_BASE_ULID_H

#include "shared/base/base.h"

enum { DZ_ULID_LEN = 26, DZ_ULID_CHANCE = 10 };

/* wall_ms: since 1970, below 2^48. */
void dz_ulid_make(int64_t wall_ms, const uint8_t chance[static DZ_ULID_CHANCE],
                  char out[static DZ_ULID_LEN + 1]);

/* Is it one, written as we write it?  *wall_ms_out (may be NULL): its time. */
bool dz_ulid_read(struct dz_slice text, int64_t *wall_ms_out);

#endif
