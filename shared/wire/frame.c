#include "shared/wire/frame.h"

#include "shared/base/bytes.h"
#include "shared/base/digest.h"
#include "shared/wire/cursor.h"

enum { FRAME_VERSION = 1, AT_VERSION = 2, AT_CRC = 4, CRC_LEN = 4 };

/* The id of the inner frame, as far as one byte tells. */
static uint8_t
kind_of(struct dz_slice body)
{
    struct dz_cursor in = dz_cursor_over(body);
    (void) dz_cursor_array(&in, UINT16_MAX);
    return (uint8_t) dz_cursor_u64(&in, UINT8_MAX);
}

static uint32_t
sum_of(struct dz_slice bytes)
{
    uint32_t crc = dz_crc32c(0, (struct dz_slice){ bytes.ptr, AT_CRC });
    return dz_crc32c(
        crc, (struct dz_slice){ bytes.ptr + DZ_MESH_HEAD_LEN, bytes.len - DZ_MESH_HEAD_LEN });
}

void
dz_mesh_seal(const struct dz_msg_mesh *envelope, struct dz_buf *out)
{
    size_t start = out->len;
    const uint8_t head[DZ_MESH_HEAD_LEN] = { 'D', 'Z', FRAME_VERSION, kind_of(envelope->body) };
    dz_buf_add(out, head, sizeof(head));
    dz_msg_encode(&(struct dz_msg){ .id = DZ_MSG_mesh, .as.mesh = *envelope }, out);
    uint32_t sum = sum_of((struct dz_slice){ out->data + start, out->len - start });
    dz_uint_put(sum, CRC_LEN, out->data + start + AT_CRC);
}

enum dz_rc
dz_mesh_open(struct dz_slice bytes, struct dz_msg_mesh *envelope_out)
{
    if (bytes.len > DZ_MESH_BODY_MAX)
        return DZ_LIMIT;
    if (bytes.len < DZ_MESH_HEAD_LEN || bytes.ptr[0] != 'D' || bytes.ptr[1] != 'Z')
        return DZ_CORRUPT;
    if (bytes.ptr[AT_VERSION] != FRAME_VERSION)
        return DZ_VERSION;
    if (dz_uint_get(bytes.ptr + AT_CRC, CRC_LEN) != sum_of(bytes))
        return DZ_CORRUPT;

    struct dz_msg msg;
    struct dz_slice payload = { bytes.ptr + DZ_MESH_HEAD_LEN, bytes.len - DZ_MESH_HEAD_LEN };
    enum dz_rc rc = dz_msg_decode(payload, &msg);
    if (rc != DZ_OK || msg.id != DZ_MSG_mesh ||
        bytes.ptr[DZ_MESH_KIND_AT] != kind_of(msg.as.mesh.body))
        return DZ_CORRUPT;
    *envelope_out = msg.as.mesh;
    return DZ_OK;
}
