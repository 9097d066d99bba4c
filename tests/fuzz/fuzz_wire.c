/* Bytes of a stranger as a frame: refused, or a message that says the same after another trip.
 * The lists are walked too, since walking has no error path. */
#include "shared/base/buf.h"
#include "shared/wire/schema.h"
#include "shared/wire/wire.h"
#include "tests/fuzz/target.h"

/* clang-format off */
#define F(kind, field, limit)
#define L(item, field, limit) \
    { \
        struct dz_list rest = m->field; \
        struct dz_item_##item one; \
        uint32_t count = 0; \
        while (dz_##item##_next(&rest, &one)) \
            count++; \
        dz_assert(count == m->field.count && count <= (limit)); \
    }
#define DZ_ITEM(name, fields)
#define DZ_MSG(number, name, fields) \
    case DZ_MSG_##name: { \
        const struct dz_msg_##name *m = &msg->as.name; \
        (void) m; \
        fields \
        return; \
    }
static void
walk_lists(const struct dz_msg *msg)
{
    switch (msg->id) {
#include "shared/wire/messages.def"
    }
}
#undef DZ_MSG
#undef DZ_ITEM
#undef L
#undef F
/* clang-format on */

static void
check_frame(struct dz_slice frame)
{
    struct dz_msg first, second;
    if (dz_msg_decode(frame, &first) != DZ_OK)
        return;
    walk_lists(&first);
    dz_assert(dz_schema_by_id((uint64_t) first.id));

    DZ_AUTO(dz_buf_fini) struct dz_buf sent = { 0 };
    DZ_AUTO(dz_buf_fini) struct dz_buf again = { 0 };
    dz_msg_encode(&first, &sent);
    dz_assert(dz_msg_decode(dz_buf_slice(&sent), &second) == DZ_OK);
    dz_msg_encode(&second, &again);
    dz_assert(first.id == second.id);
    dz_assert(dz_slice_eq(dz_buf_slice(&sent), dz_buf_slice(&again)));
}

/* The same bytes as a stream of local frames: what is taken lies inside of what was given. */
static void
check_stream(struct dz_slice bytes)
{
    struct dz_slice frame;
    size_t used = 0;
    while (dz_frame_take(bytes, &frame, &used) == DZ_OK) {
        dz_assert(used <= bytes.len && frame.len + 4 == used);
        check_frame(frame);
        bytes = (struct dz_slice){ bytes.ptr + used, bytes.len - used };
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_frame((struct dz_slice){ data, size });
    check_stream((struct dz_slice){ data, size });
    return 0;
}
