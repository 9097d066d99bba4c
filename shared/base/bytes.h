/* bytes.h - whole numbers as bytes, the lowest first. */
#ifndef DZ_SHARED_BASE_BYTES_H
#define DZ_SHARED_BASE_BYTES_H

#include "shared/base/base.h"

/* len: at most 8. */
static inline void
dz_uint_put(uint64_t number, unsigned len, uint8_t *out)
{
    for (unsigned i = 0; i < len; i++)
        out[i] = (uint8_t) (number >> (8 * i));
}

static inline uint64_t
dz_uint_get(const uint8_t *bytes, unsigned len)
{
    uint64_t number = 0;
    for (unsigned i = len; i > 0; i--)
        number = number << 8 | bytes[i - 1];
    return number;
}

#endif
