/* cursor.h - a bounded reader of msgpack that never allocates.
 *
 * The library's own unpacker takes memory for as many elements as an array's head claims, before
 * it has seen one of them: five bytes from a stranger cost gigabytes.  This reader only moves
 * forward over bytes that are there, so its work is bounded by the length of the input.
 *
 * A read that fails makes the cursor bad for good, and every later read gives an empty value: read
 * straight through and ask dz_cursor_ok() at the end. */
#ifndef DZ_SHARED_WIRE_CURSOR_H
#define DZ_SHARED_WIRE_CURSOR_H

#include "shared/base/base.h"

struct dz_cursor {
    const uint8_t *at; /* borrowed: the first unread byte */
    const uint8_t *end;
    bool is_bad;
};

static inline struct dz_cursor
dz_cursor_over(struct dz_slice bytes)
{
    /* an empty slice may have no address, to which nothing may be added */
    const uint8_t *end = bytes.len > 0 ? bytes.ptr + bytes.len : bytes.ptr;
    return (struct dz_cursor){ .at = bytes.ptr, .end = end };
}

/* Element count of an array; above `limit` is bad. */
uint32_t dz_cursor_array(struct dz_cursor *self, uint32_t limit);
/* An integer of 0..limit in any width, the shortest or not. */
uint64_t dz_cursor_u64(struct dz_cursor *self, uint64_t limit);
/* An integer of -limit..limit. */
int64_t dz_cursor_i64(struct dz_cursor *self, uint64_t limit);
/* Slices of the input, at most `limit` bytes long. */
struct dz_slice dz_cursor_str(struct dz_cursor *self, uint64_t limit);
struct dz_slice dz_cursor_bin(struct dz_cursor *self, uint64_t limit);
/* Pass over `count` values of any kind, nested ones included. */
void dz_cursor_skip(struct dz_cursor *self, uint64_t count);

static inline bool
dz_cursor_ok(const struct dz_cursor *self)
{
    return !self->is_bad;
}

/* Everything was read and nothing was bad. */
static inline bool
dz_cursor_at_end(const struct dz_cursor *self)
{
    return !self->is_bad && self->at == self->end;
}

#endif
