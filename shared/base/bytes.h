/* bytes.h - whole numbers as bytes, the lowest first. */
#ifndef DZ_SHARED_BASE_BYTES_H
#define DZ_SHARED_BASE_BYTES_H

#include "shared/base/base.h"

static inline void
dz_u64_put(uint64_t number, uint8_t out[static 8])
{
    for (unsigned i = 0; i < 8; i++)
        out[i] = (uint8_t) (number >> (8 * i));
}

static inline uint64_t
dz_u64_get(const uint8_t bytes[static 8])
{
    uint64_t number = 0;
    for (unsigned i = 8; i > 0; i--)
        number = number << 8 | bytes[i - 1];
    return number;
}

#endif
