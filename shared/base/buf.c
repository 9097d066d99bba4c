#include "shared/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUF_FIRST = 64 };

void
dz_buf_fini(struct dz_buf *self)
{
    free(self->data);
    *self = (struct dz_buf){ 0 };
}

void
dz_buf_clear(struct dz_buf *self)
{
    self->len = 0;
}

uint8_t *
dz_buf_grow(struct dz_buf *self, size_t len)
{
    dz_assert(len <= SIZE_MAX / 4 && self->len <= SIZE_MAX / 4);
    size_t need = self->len + len;
    if (need > self->cap) {
        size_t cap = self->cap ? self->cap : BUF_FIRST;
        while (cap < need)
            cap *= 2;
        self->data = dz_realloc(self->data, cap, 1);
        self->cap = cap;
    }
    return self->data + self->len;
}

void
dz_buf_addf(struct dz_buf *self, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    dz_assert(len >= 0);
    char *to = (char *) dz_buf_reserve(self, (size_t) len + 1); /* vsnprintf ends it with NUL */
    (void) vsnprintf(to, (size_t) len + 1, fmt, again);
    self->len += (size_t) len;
    va_end(again);
    va_end(args);
}

void
dz_buf_drop(struct dz_buf *self, size_t len)
{
    dz_assert(len <= self->len);
    if (len == 0)
        return;
    self->len -= len;
    memmove(self->data, self->data + len, self->len);
}

void
dz_hex_add(struct dz_buf *self, struct dz_slice bytes)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t *to = dz_buf_reserve(self, 2 * bytes.len);
    for (size_t i = 0; i < bytes.len; i++) {
        to[2 * i] = (uint8_t) digits[bytes.ptr[i] >> 4];
        to[2 * i + 1] = (uint8_t) digits[bytes.ptr[i] & 15];
    }
    self->len += 2 * bytes.len;
}

static int
digit_of(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool
dz_hex_read(struct dz_slice text, uint8_t *out, size_t cap, size_t *len_out)
{
    if (text.len % 2 || text.len / 2 > cap)
        return false;
    for (size_t i = 0; i < text.len / 2; i++) {
        int high = digit_of(text.ptr[2 * i]), low = digit_of(text.ptr[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t) (high << 4 | low);
    }
    *len_out = text.len / 2;
    return true;
}

void
dz_url_add(struct dz_buf *self, const char *text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (; *text; text++) {
        if (strchr(plain, *text))
            dz_buf_add(self, text, 1);
        else
            dz_buf_addf(self, "%%%02X", (unsigned) (unsigned char) *text);
    }
}
