/* wire.h - frames to structs and back.
 *
 * shared/wire/messages.def is the only description of a message; the structs below are
 * expanded from it.  A frame is one msgpack array: [id, field, field, ...].
 *
 * Decoding allocates nothing: strings and lists are slices of the frame and live as long as
 * the frame does.  Everything is validated while decoding, list items included, so walking a
 * decoded list cannot fail.  Peers are not trusted; no input can make these functions assert.
 * A frame with more fields than we know is legal (an newer peer); with fewer it is CORRUPT. */
#ifndef DZ_SHARED_WIRE_WIRE_H
#define DZ_SHARED_WIRE_WIRE_H

#include "shared/base/base.h"
#include "shared/base/buf.h"

typedef uint64_t dz_wire_u64;
typedef int64_t dz_wire_i64;
typedef struct dz_slice dz_wire_str; /* msgpack str; any bytes, UTF-8 with surrogateescape */
typedef struct dz_slice dz_wire_bin;

/* Encoded items, one after another; walk with dz_<item>_next(). */
struct dz_list {
    struct dz_slice items;
    uint32_t count;
};

/* clang-format off */
#define F(kind, field, limit) dz_wire_##kind field;
#define L(item, field, limit) struct dz_list field;
#define DZ_ITEM(name, fields) struct dz_item_##name { fields };
#define DZ_MSG(id, name, fields) struct dz_msg_##name { fields };
#include "shared/wire/messages.def"
#undef DZ_MSG
#undef DZ_ITEM

enum dz_msg_id {
#define DZ_ITEM(name, fields)
#define DZ_MSG(id, name, fields) DZ_MSG_##name = (id),
#include "shared/wire/messages.def"
#undef DZ_MSG
};

struct dz_msg {
    enum dz_msg_id id;
    union {
#define DZ_MSG(id, name, fields) struct dz_msg_##name name;
#include "shared/wire/messages.def"
#undef DZ_MSG
#undef DZ_ITEM
    } as;
};

/* bool dz_test_next(struct dz_list *rest, struct dz_item_test *out): take the first item off
 * a decoded list; false at its end.  void dz_test_add(struct dz_list *list, struct dz_buf *to,
 * const struct dz_item_test *item): append one; `to` owns the bytes and holds only this list. */
#define DZ_MSG(id, name, fields)
#define DZ_ITEM(name, fields) \
    bool dz_##name##_next(struct dz_list *rest, struct dz_item_##name *out); \
    void dz_##name##_add(struct dz_list *list, struct dz_buf *to, const struct dz_item_##name *item);
#include "shared/wire/messages.def"
#undef DZ_MSG
#undef DZ_ITEM
#undef L
#undef F
/* clang-format on */

enum { DZ_FRAME_MAX = 64 << 20 }; /* bytes of one local frame; see limits in messages.def */

DZ_MUST_USE enum dz_rc dz_msg_decode(struct dz_slice frame, struct dz_msg *out);
void dz_msg_encode(const struct dz_msg *msg, struct dz_buf *out); /* appends */
const char *dz_msg_name(enum dz_msg_id id);

/* Local channels (socketpairs, the worker's ring) carry [u32 little-endian length][frame]. */
void dz_msg_encode_framed(const struct dz_msg *msg, struct dz_buf *out);

/* Take the first whole frame off `bytes`.  DZ_AGAIN: not all there yet.  DZ_CORRUPT: a length
 * above DZ_FRAME_MAX.  *used_out: bytes to drop, the length prefix included. */
DZ_MUST_USE enum dz_rc dz_frame_take(struct dz_slice bytes, struct dz_slice *frame_out,
                                     size_t *used_out);

#endif
