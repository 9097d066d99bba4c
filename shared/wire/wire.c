/* wire.c - the message structs, read and written field by field as messages.def lists them.
 *
 * The file is included again and again with F and L meaning "read", "write" or "count"; so no
 * field can be forgotten on one of the two sides, and their order is the same by construction. */
#include "shared/wire/wire.h"

#include <msgpack/pack.h>
#include <string.h>

#include "shared/base/bytes.h"
#include "shared/wire/cursor.h"

/* A kind or an item may wait for the message that carries it. */
#define MAY_BE_UNUSED __attribute__((unused))

enum { MSG_FIELDS_MAX = 4096 }; /* of a frame, those of a newer peer included */

/* clang-format off */
/* COUNT_..: fields of each item and message, without a message's id. */
enum {
#define F(kind, field, limit) + 1
#define L(item, field, limit) + 1
#define DZ_ITEM(name, fields) COUNT_item_##name = 0 fields,
#define DZ_MSG(id, name, fields) COUNT_msg_##name = 0 fields,
#include "shared/wire/messages.def"
#undef DZ_MSG
#undef DZ_ITEM
#undef L
#undef F
};
/* clang-format on */

/* ------------------------------------------------------------------ writing */

static int
append(void *arg, const char *data, size_t len)
{
    dz_buf_add(arg, data, len);
    return 0;
}

static inline msgpack_packer
packer_into(struct dz_buf *out)
{
    return (msgpack_packer){ .data = out, .callback = append };
}

/* append() cannot fail, so neither can any msgpack_pack_*(). */

static void
put_u64(msgpack_packer *out, dz_wire_u64 value)
{
    (void) msgpack_pack_uint64(out, value);
}

MAY_BE_UNUSED static void
put_i64(msgpack_packer *out, dz_wire_i64 value)
{
    (void) msgpack_pack_int64(out, value);
}

static void
put_str(msgpack_packer *out, dz_wire_str value)
{
    (void) msgpack_pack_str(out, value.len);
    (void) msgpack_pack_str_body(out, value.ptr, value.len);
}

static void
put_bin(msgpack_packer *out, dz_wire_bin value)
{
    (void) msgpack_pack_bin(out, value.len);
    (void) msgpack_pack_bin_body(out, value.ptr, value.len);
}

static void
put_list(msgpack_packer *out, struct dz_list list)
{
    (void) msgpack_pack_array(out, list.count);
    (void) append(out->data, (const char *) list.items.ptr, list.items.len);
}

/* ------------------------------------------------------------------ lists */

typedef void read_item_fn(struct dz_cursor *in);

/* Validates each element once, so that walking the list later needs no error path. */
static struct dz_list
read_list(struct dz_cursor *in, read_item_fn *read_item, uint32_t limit)
{
    struct dz_list list = { .count = dz_cursor_array(in, limit) };
    const uint8_t *first = in->at;
    for (uint32_t i = 0; i < list.count && dz_cursor_ok(in); i++)
        read_item(in);
    if (!dz_cursor_ok(in))
        return (struct dz_list){ 0 };
    list.items = (struct dz_slice){ first, (size_t) (in->at - first) };
    return list;
}

/* clang-format off */
#define DZ_MSG(id, name, fields)

#define F(kind, field, limit) out->field = dz_cursor_##kind(in, limit);
#define L(item, field, limit) /* items hold no lists */
#define DZ_ITEM(name, fields) \
    static void \
    read_##name(struct dz_cursor *in, struct dz_item_##name *out) \
    { \
        uint32_t count = dz_cursor_array(in, MSG_FIELDS_MAX); \
        if (count < COUNT_item_##name) { \
            in->is_bad = true; \
            return; \
        } \
        fields \
        dz_cursor_skip(in, count - COUNT_item_##name); \
    } \
    MAY_BE_UNUSED static void \
    check_##name(struct dz_cursor *in) \
    { \
        struct dz_item_##name ignored; \
        read_##name(in, &ignored); \
    } \
    bool \
    dz_##name##_next(struct dz_list *rest, struct dz_item_##name *out) \
    { \
        if (rest->count == 0) \
            return false; \
        struct dz_cursor in = dz_cursor_over(rest->items); \
        read_##name(&in, out); \
        if (!dz_cursor_ok(&in)) { /* not a decoded list */ \
            *rest = (struct dz_list){ 0 }; \
            return false; \
        } \
        rest->items = (struct dz_slice){ in.at, (size_t) (in.end - in.at) }; \
        rest->count--; \
        return true; \
    }
#include "shared/wire/messages.def"
#undef DZ_ITEM
#undef F

#define F(kind, field, limit) put_##kind(&out, item->field);
#define DZ_ITEM(name, fields) \
    void \
    dz_##name##_add(struct dz_list *list, struct dz_buf *to, const struct dz_item_##name *item) \
    { \
        msgpack_packer out = packer_into(to); \
        (void) msgpack_pack_array(&out, COUNT_item_##name); \
        fields \
        list->count++; \
        list->items = dz_buf_slice(to); \
    }
#include "shared/wire/messages.def"
#undef DZ_ITEM
#undef L
#undef F
#undef DZ_MSG
/* clang-format on */

/* ------------------------------------------------------------------ messages */

/* clang-format off */
#define DZ_ITEM(name, fields)

#define F(kind, field, limit) out->field = dz_cursor_##kind(in, limit);
#define L(item, field, limit) out->field = read_list(in, check_##item, limit);
#define DZ_MSG(id, name, fields) \
    static void \
    decode_##name(struct dz_cursor *in, struct dz_msg_##name *out) \
    { \
        fields \
    }
#include "shared/wire/messages.def"
#undef DZ_MSG
#undef L
#undef F

#define F(kind, field, limit) put_##kind(out, msg->field);
#define L(item, field, limit) put_list(out, msg->field);
#define DZ_MSG(id, name, fields) \
    static void \
    encode_##name(msgpack_packer *out, const struct dz_msg_##name *msg) \
    { \
        (void) msgpack_pack_array(out, COUNT_msg_##name + 1); \
        put_u64(out, id); \
        fields \
    }
#include "shared/wire/messages.def"
#undef DZ_MSG
#undef L
#undef F
/* clang-format on */

enum dz_rc
dz_msg_decode(struct dz_slice frame, struct dz_msg *out)
{
    struct dz_cursor in = dz_cursor_over(frame);
    uint32_t count = dz_cursor_array(&in, MSG_FIELDS_MAX);
    uint64_t id = dz_cursor_u64(&in, INT32_MAX);
    uint32_t known = MSG_FIELDS_MAX; /* no frame of an unknown id is long enough */

    switch (id) {
/* clang-format off */
#define DZ_MSG(number, name, fields) \
    case number: \
        out->id = DZ_MSG_##name; \
        known = COUNT_msg_##name + 1; \
        decode_##name(&in, &out->as.name); \
        break;
#include "shared/wire/messages.def"
#undef DZ_MSG
    /* clang-format on */
    default: return DZ_CORRUPT;
    }
    if (count < known)
        return DZ_CORRUPT;
    dz_cursor_skip(&in, count - known);
    return dz_cursor_at_end(&in) ? DZ_OK : DZ_CORRUPT;
}

void
dz_msg_encode(const struct dz_msg *msg, struct dz_buf *out)
{
    msgpack_packer packer = packer_into(out);
    switch (msg->id) {
/* clang-format off */
#define DZ_MSG(number, name, fields) \
    case DZ_MSG_##name: encode_##name(&packer, &msg->as.name); return;
#include "shared/wire/messages.def"
#undef DZ_MSG
        /* clang-format on */
    }
    dz_bug(__FILE__, __LINE__, "the message has an id of messages.def");
}

const char *
dz_msg_name(enum dz_msg_id id)
{
    switch (id) {
/* clang-format off */
#define DZ_MSG(number, name, fields) \
    case DZ_MSG_##name: return #name;
#include "shared/wire/messages.def"
#undef DZ_MSG
#undef DZ_ITEM
        /* clang-format on */
    }
    return "unknown";
}

/* ------------------------------------------------------------------ local frames */

enum { PREFIX_LEN = 4 };

void
dz_msg_encode_framed(const struct dz_msg *msg, struct dz_buf *out)
{
    size_t start = out->len;
    (void) dz_buf_reserve(out, PREFIX_LEN);
    out->len += PREFIX_LEN;
    dz_msg_encode(msg, out);
    size_t len = out->len - start - PREFIX_LEN;
    dz_assert(len <= DZ_FRAME_MAX); /* the limits in messages.def add up to less */
    dz_uint_put(len, PREFIX_LEN, out->data + start);
}

enum dz_rc
dz_frame_take(struct dz_slice bytes, struct dz_slice *frame_out, size_t *used_out)
{
    if (bytes.len < PREFIX_LEN)
        return DZ_AGAIN;
    size_t len = (size_t) dz_uint_get(bytes.ptr, PREFIX_LEN);
    if (len > DZ_FRAME_MAX)
        return DZ_CORRUPT;
    if (bytes.len - PREFIX_LEN < len)
        return DZ_AGAIN;
    *frame_out = (struct dz_slice){ bytes.ptr + PREFIX_LEN, len };
    *used_out = PREFIX_LEN + len;
    return DZ_OK;
}
