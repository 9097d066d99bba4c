/* buf.h - bytes that grow.  A value type: embed it, dz_buf_fini() it. */
#ifndef DZ_SHARED_BASE_BUF_H
#define DZ_SHARED_BASE_BUF_H

#include <string.h>

#include "shared/base/base.h"

struct dz_buf {
    uint8_t *data; /* owned */
    size_t len;
    size_t cap;
};

void dz_buf_fini(struct dz_buf *self);  /* frees and zeroes; DZ_AUTO-able */
void dz_buf_clear(struct dz_buf *self); /* empties, keeps the memory */
void dz_buf_addf(struct dz_buf *self, const char *fmt, ...) DZ_PRINTF(2, 3);
void dz_buf_drop(struct dz_buf *self, size_t len); /* removes the first `len` bytes */

/* Hexadecimal digits, and back: false: not that, or more than `cap` bytes. */
void dz_hex_add(struct dz_buf *self, struct dz_slice bytes);
bool dz_hex_read(struct dz_slice text, uint8_t *out, size_t cap, size_t *len_out);

/* A part of a URL: percent-encoded but for the unreserved characters of RFC 3986. */
void dz_url_add(struct dz_buf *self, const char *text);

uint8_t *dz_buf_grow(struct dz_buf *self, size_t len); /* dz_buf_reserve(), if there is no room */

/* Room for `len` more bytes; the caller writes there and adds to self->len itself. */
static inline uint8_t *
dz_buf_reserve(struct dz_buf *self, size_t len)
{
    return len < self->cap - self->len ? self->data + self->len : dz_buf_grow(self, len);
}

/* In the header: messages are made of pieces of a byte or two. */
static inline void
dz_buf_add(struct dz_buf *self, const void *data, size_t len)
{
    if (len == 0)
        return;
    memcpy(dz_buf_reserve(self, len), data, len);
    self->len += len;
}

static inline struct dz_slice
dz_buf_slice(const struct dz_buf *self)
{
    return (struct dz_slice){ .ptr = self->data, .len = self->len };
}

#endif
