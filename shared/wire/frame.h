/* frame.h - what one message looks like between nodes.
 *
 *     'D' 'Z'  version  kind  CRC32C  msgpack
 *        2        1       1      4       ..      bytes; numbers little-endian
 *
 * msgpack is a `mesh` message (messages.def): job, epoch, who speaks in which life, sequence and
 * ack, and around all that the inner frame.  `kind` is the id of that inner frame, or 0, so that
 * somebody with a packet dump sees what passes.  The sum covers everything but itself.
 *
 * TCP's own checksum lets one damaged packet in some thousands through; a flipped bit in an
 * acknowledgement would lose a result, so it is checked here before anything is believed. */
#ifndef DZ_SHARED_WIRE_FRAME_H
#define DZ_SHARED_WIRE_FRAME_H

#include "shared/base/buf.h"
#include "shared/wire/wire.h"

enum { DZ_MESH_KIND_AT = 3, DZ_MESH_HEAD_LEN = 8, DZ_MESH_BODY_MAX = 1 << 20 };

/* Append `envelope` as it travels. */
void dz_mesh_seal(const struct dz_msg_mesh *envelope, struct dz_buf *out);

/* Undo dz_mesh_seal(); slices of envelope_out borrow from `bytes`.
 * DZ_VERSION: a version of this format that we do not speak.  DZ_LIMIT: too long.
 * DZ_CORRUPT: anything else. */
DZ_MUST_USE enum dz_rc dz_mesh_open(struct dz_slice bytes, struct dz_msg_mesh *envelope_out);

#endif
