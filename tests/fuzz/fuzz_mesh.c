/* Bytes of another node.  A sum keeps nearly all of them out, so the input is also given a right
 * head and a right sum: what a peer that means harm would send. */
#include "shared/base/buf.h"
#include "shared/base/digest.h"
#include "shared/wire/frame.h"
#include "tests/fuzz/target.h"

static void
check(struct dz_slice bytes)
{
    struct dz_msg_mesh first, second;
    if (dz_mesh_open(bytes, &first) != DZ_OK)
        return;
    DZ_AUTO(dz_buf_fini) struct dz_buf sealed = { 0 };
    DZ_AUTO(dz_buf_fini) struct dz_buf again = { 0 };
    dz_mesh_seal(&first, &sealed);
    dz_assert(dz_mesh_open(dz_buf_slice(&sealed), &second) == DZ_OK);
    dz_mesh_seal(&second, &again);
    dz_assert(dz_slice_eq(dz_buf_slice(&sealed), dz_buf_slice(&again)));
    dz_assert(dz_slice_eq(first.body, second.body) && first.seq == second.seq);
}

/* The first byte is the kind, the rest the message. */
static void
check_dressed(const uint8_t *data, size_t size)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf dressed = { 0 };
    const uint8_t head[] = { 'D', 'Z', 1, data[0] };
    uint32_t crc = dz_crc32c(0, (struct dz_slice){ head, sizeof(head) });
    crc = dz_crc32c(crc, (struct dz_slice){ data + 1, size - 1 });
    const uint8_t sum[] = { (uint8_t) crc, (uint8_t) (crc >> 8), (uint8_t) (crc >> 16),
                            (uint8_t) (crc >> 24) };
    dz_buf_add(&dressed, head, sizeof(head));
    dz_buf_add(&dressed, sum, sizeof(sum));
    dz_buf_add(&dressed, data + 1, size - 1);
    check(dz_buf_slice(&dressed));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check((struct dz_slice){ data, size });
    if (size > 0)
        check_dressed(data, size);
    return 0;
}
