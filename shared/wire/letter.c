#include "shared/wire/letter.h"

#include "shared/base/bytes.h"

enum { NODE_LEN = 8, LEN_LEN = 4 };

void
dz_letter_add(struct dz_buf *out, uint64_t node, struct dz_slice bytes)
{
    uint8_t head[DZ_LETTER_HEAD];
    dz_assert(bytes.len > 0 && bytes.len <= DZ_LETTER_MAX);
    dz_uint_put(node, NODE_LEN, head);
    dz_uint_put(bytes.len, LEN_LEN, head + NODE_LEN);
    dz_buf_add(out, head, sizeof(head));
    dz_buf_add(out, bytes.ptr, bytes.len);
}

enum dz_rc
dz_letter_next(struct dz_slice *rest, uint64_t *node_out, struct dz_slice *bytes_out)
{
    if (rest->len == 0)
        return DZ_ABSENT;
    if (rest->len < DZ_LETTER_HEAD)
        return DZ_CORRUPT;
    size_t len = (size_t) dz_uint_get(rest->ptr + NODE_LEN, LEN_LEN);
    if (len == 0 || len > DZ_LETTER_MAX || len > rest->len - DZ_LETTER_HEAD)
        return DZ_CORRUPT;
    *node_out = dz_uint_get(rest->ptr, NODE_LEN);
    *bytes_out = (struct dz_slice){ rest->ptr + DZ_LETTER_HEAD, len };
    rest->ptr += DZ_LETTER_HEAD + len;
    rest->len -= DZ_LETTER_HEAD + len;
    return DZ_OK;
}
