#include "shared/base/ulid.h"

#include <string.h>

enum { TIME_LEN = 10, BITS = 5 };

static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"; /* no I, L, O, U */

void
dz_ulid_make(int64_t wall_ms, const uint8_t chance[static DZ_ULID_CHANCE],
             char out[static DZ_ULID_LEN + 1])
{
    dz_assert(wall_ms >= 0 && wall_ms < (int64_t) 1 << 48);
    for (int i = TIME_LEN - 1; i >= 0; i--, wall_ms >>= BITS)
        out[i] = digits[wall_ms & 31];
    /* five bytes are eight digits, twice */
    for (int half = 0; half < 2; half++) {
        uint64_t bits = 0;
        for (int i = 0; i < DZ_ULID_CHANCE / 2; i++)
            bits = bits << 8 | chance[half * (DZ_ULID_CHANCE / 2) + i];
        for (int i = 7; i >= 0; i--, bits >>= BITS)
            out[TIME_LEN + half * 8 + i] = digits[bits & 31];
    }
    out[DZ_ULID_LEN] = '\0';
}

bool
dz_ulid_read(struct dz_slice text, int64_t *wall_ms_out)
{
    if (text.len != DZ_ULID_LEN || text.ptr[0] > '7') /* the first digit has three bits */
        return false;
    int64_t wall_ms = 0;
    for (size_t i = 0; i < DZ_ULID_LEN; i++) {
        const char *digit = memchr(digits, text.ptr[i], sizeof(digits) - 1);
        if (!digit)
            return false;
        if (i < TIME_LEN)
            wall_ms = wall_ms << BITS | (digit - digits);
    }
    if (wall_ms_out)
        *wall_ms_out = wall_ms;
    return true;
}
