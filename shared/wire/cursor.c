#include "shared/wire/cursor.h"

/* The first byte of every msgpack value. */
enum tag {
    TAG_NIL = 0xc0,
    TAG_NEVER = 0xc1,
    TAG_FALSE = 0xc2,
    TAG_TRUE = 0xc3,
    TAG_BIN8 = 0xc4,
    TAG_BIN32 = 0xc6,
    TAG_EXT8 = 0xc7,
    TAG_EXT32 = 0xc9,
    TAG_FLOAT32 = 0xca,
    TAG_FLOAT64 = 0xcb,
    TAG_UINT8 = 0xcc,
    TAG_UINT64 = 0xcf,
    TAG_INT8 = 0xd0,
    TAG_INT64 = 0xd3,
    TAG_FIXEXT1 = 0xd4,
    TAG_FIXEXT16 = 0xd8,
    TAG_STR8 = 0xd9,
    TAG_STR32 = 0xdb,
    TAG_ARRAY16 = 0xdc,
    TAG_ARRAY32 = 0xdd,
    TAG_MAP16 = 0xde,
    TAG_MAP32 = 0xdf,
    TAG_NEGATIVE = 0xe0, /* and above: -32..-1 in the tag itself */
};

static uint64_t
refuse(struct dz_cursor *self)
{
    self->is_bad = true;
    self->at = self->end;
    return 0;
}

static struct dz_slice
take(struct dz_cursor *self, uint64_t len)
{
    if (len > (uint64_t) (self->end - self->at)) {
        (void) refuse(self);
        return (struct dz_slice){ 0 };
    }
    struct dz_slice taken = { self->at, (size_t) len };
    if (len > 0)
        self->at += len;
    return taken;
}

/* The next byte; TAG_NEVER, which nothing accepts, where there is none. */
static uint8_t
take_tag(struct dz_cursor *self)
{
    if (self->at == self->end) {
        (void) refuse(self);
        return TAG_NEVER;
    }
    return *self->at++;
}

static uint64_t
take_number(struct dz_cursor *self, unsigned width)
{
    struct dz_slice bytes = take(self, width);
    uint64_t value = 0;
    for (size_t i = 0; i < bytes.len; i++)
        value = value << 8 | bytes.ptr[i];
    return value;
}

/* Tags of one family stand in a row, each twice as wide as the one before. */
static uint64_t
take_sized(struct dz_cursor *self, uint8_t tag, enum tag first)
{
    return take_number(self, 1U << (tag - first));
}

static int64_t
take_signed(struct dz_cursor *self, uint8_t tag)
{
    unsigned width = 1U << (tag - TAG_INT8);
    uint64_t raw = take_sized(self, tag, TAG_INT8);
    uint64_t sign = 1ULL << (width * 8 - 1);
    return (int64_t) ((raw ^ sign) - sign);
}

uint32_t
dz_cursor_array(struct dz_cursor *self, uint32_t limit)
{
    uint8_t tag = take_tag(self);
    uint64_t count = 0;
    if ((tag & 0xf0) == 0x90)
        count = tag & 0x0f;
    else if (tag == TAG_ARRAY16)
        count = take_number(self, 2);
    else if (tag == TAG_ARRAY32)
        count = take_number(self, 4);
    else
        return (uint32_t) refuse(self);
    return (uint32_t) (count <= limit ? count : refuse(self));
}

uint64_t
dz_cursor_u64(struct dz_cursor *self, uint64_t limit)
{
    uint8_t tag = take_tag(self);
    uint64_t value = tag;
    if (tag >= TAG_UINT8 && tag <= TAG_UINT64) {
        value = take_sized(self, tag, TAG_UINT8);
    } else if (tag >= TAG_INT8 && tag <= TAG_INT64) { /* some encoders write 200 as an int16 */
        int64_t number = take_signed(self, tag);
        value = number >= 0 ? (uint64_t) number : refuse(self);
    } else if (tag >= 0x80) {
        return refuse(self);
    }
    return value <= limit ? value : refuse(self);
}

int64_t
dz_cursor_i64(struct dz_cursor *self, uint64_t limit)
{
    uint8_t tag = take_tag(self);
    int64_t value = tag;
    if (tag >= TAG_NEGATIVE) {
        value = (int64_t) tag - 256;
    } else if (tag >= TAG_INT8 && tag <= TAG_INT64) {
        value = take_signed(self, tag);
    } else if (tag >= TAG_UINT8 && tag <= TAG_UINT64) {
        uint64_t number = take_sized(self, tag, TAG_UINT8);
        if (number > INT64_MAX)
            return (int64_t) refuse(self);
        value = (int64_t) number;
    } else if (tag >= 0x80) {
        return (int64_t) refuse(self);
    }
    uint64_t magnitude = value < 0 ? 0 - (uint64_t) value : (uint64_t) value;
    return magnitude <= limit ? value : (int64_t) refuse(self);
}

struct dz_slice
dz_cursor_str(struct dz_cursor *self, uint64_t limit)
{
    uint8_t tag = take_tag(self);
    uint64_t len = 0;
    if ((tag & 0xe0) == 0xa0)
        len = tag & 0x1f;
    else if (tag >= TAG_STR8 && tag <= TAG_STR32)
        len = take_sized(self, tag, TAG_STR8);
    else
        (void) refuse(self);
    return take(self, len <= limit ? len : refuse(self));
}

struct dz_slice
dz_cursor_bin(struct dz_cursor *self, uint64_t limit)
{
    uint8_t tag = take_tag(self);
    uint64_t len = 0;
    if (tag >= TAG_BIN8 && tag <= TAG_BIN32)
        len = take_sized(self, tag, TAG_BIN8);
    else
        (void) refuse(self);
    return take(self, len <= limit ? len : refuse(self));
}

/* What follows the tags 0xc0..0xdf: a length or a count of `width` bytes, then as many bytes or
 * values; and `bytes` more, whatever the length says.  Both 0: nothing follows. */
struct tail {
    uint8_t width, bytes;
};

/* clang-format off */
static const struct tail tails[] = {
    [TAG_BIN8 - TAG_NIL]     = { 1, 0 }, { 2, 0 }, { 4, 0 },
    [TAG_EXT8 - TAG_NIL]     = { 1, 1 }, { 2, 1 }, { 4, 1 },
    [TAG_FLOAT32 - TAG_NIL]  = { 0, 4 }, { 0, 8 },
    [TAG_UINT8 - TAG_NIL]    = { 0, 1 }, { 0, 2 }, { 0, 4 }, { 0, 8 },
    [TAG_INT8 - TAG_NIL]     = { 0, 1 }, { 0, 2 }, { 0, 4 }, { 0, 8 },
    [TAG_FIXEXT1 - TAG_NIL]  = { 0, 2 }, { 0, 3 }, { 0, 5 }, { 0, 9 }, { 0, 17 },
    [TAG_STR8 - TAG_NIL]     = { 1, 0 }, { 2, 0 }, { 4, 0 },
    [TAG_ARRAY16 - TAG_NIL]  = { 2, 0 }, { 4, 0 },
    [TAG_MAP16 - TAG_NIL]    = { 2, 0 }, { 4, 0 },
};
/* clang-format on */
_Static_assert(DZ_LEN(tails) == TAG_NEGATIVE - TAG_NIL, "one for each tag");

/* Pass over a value's head and its bytes; the values inside it are returned as a count. */
static uint64_t
skip_one(struct dz_cursor *self)
{
    uint8_t tag = take_tag(self);
    if (tag < 0x80 || tag >= TAG_NEGATIVE) /* small numbers are their own tags */
        return 0;
    if (tag < 0xa0)
        return tag < 0x90 ? (tag & 0x0fU) * 2 : tag & 0x0fU;
    if (tag < TAG_NIL) {
        (void) take(self, tag & 0x1f);
        return 0;
    }
    if (tag == TAG_NEVER)
        return refuse(self);
    const struct tail *tail = &tails[tag - TAG_NIL];
    uint64_t len = take_number(self, tail->width);
    if (tag >= TAG_ARRAY16)
        return tag >= TAG_MAP16 ? len * 2 : len;
    (void) take(self, len + tail->bytes);
    return 0;
}

void
dz_cursor_skip(struct dz_cursor *self, uint64_t count)
{
    /* Not recursive, so depth costs nothing.  Each head adds less than 2^33 to the count and takes
     * at least one byte, so the sum cannot pass 2^64 before the bytes run out. */
    while (count > 0 && !self->is_bad)
        count += skip_one(self) - 1;
}
