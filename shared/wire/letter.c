#include "shared/wire/letter.h"

#include "shared/base/bytes.h"

enum { NODE_LEN = 8 };

void
dz_letter_add(struct dz_buf *out, uint64_t node, struct dz_slice bytes)
{
    uint8_t head[DZ_LETTER_HEAD + 4];
    dz_assert(bytes.len > 0 && bytes.len <= DZ_LETTER_MAX);
    dz_u64_put(node, head);
    dz_u64_put(bytes.len, head + NODE_LEN); /* its upper half is written over */
    dz_buf_add(out, head, DZ_LETTER_HEAD);
    dz_buf_add(out, bytes.ptr, bytes.len);
}

enum dz_rc
dz_letter_next(struct dz_slice *rest, uint64_t *node_out, struct dz_slice *bytes_out)
{
    if (rest->len == 0)
        return DZ_ABSENT;
    if (rest->len < DZ_LETTER_HEAD)
        return DZ_CORRUPT;
    const uint8_t *at = rest->ptr + NODE_LEN;
    size_t len = (size_t) at[0] | (size_t) at[1] << 8 | (size_t) at[2] << 16 | (size_t) at[3] << 24;
    if (len == 0 || len > DZ_LETTER_MAX || len > rest->len - DZ_LETTER_HEAD)
        return DZ_CORRUPT;
    *node_out = dz_u64_get(rest->ptr);
    *bytes_out = (struct dz_slice){ rest->ptr + DZ_LETTER_HEAD, len };
    rest->ptr += DZ_LETTER_HEAD + len;
    rest->len -= DZ_LETTER_HEAD + len;
    return DZ_OK;
}
