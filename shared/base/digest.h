/* digest.h - sums and hashes of bytes.  None of them keeps a secret. */
#ifndef DZ_SHARED_BASE_DIGEST_H
#define DZ_SHARED_BASE_DIGEST_H

#include "shared/base/base.h"

/* CRC32C (Castagnoli), as in iSCSI and ext4: finds damage.  `crc` is 0 or the sum of what came
 * before.  In hardware where the processor has it. */
uint32_t dz_crc32c(uint32_t crc, struct dz_slice bytes);

/* 64 bits that differ when the bytes differ (XXH3); stable for ever, so it may be stored. */
uint64_t dz_hash64(struct dz_slice bytes);

#endif
