#include "shared/base/str.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { CAP_FIRST = 8 };

void
dz_strs_fini(struct dz_strs *self)
{
    for (size_t i = 0; i < self->len; i++)
        free(self->items[i]);
    free(self->items);
    *self = (struct dz_strs){ 0 };
}

void
dz_strs_add(struct dz_strs *self, struct dz_slice text)
{
    if (self->len + 1 >= self->cap) { /* one more for the NULL */
        self->cap = self->cap ? self->cap * 2 : CAP_FIRST;
        self->items = dz_realloc(self->items, self->cap, sizeof(*self->items));
    }
    self->items[self->len++] = dz_slice_dup(text);
    self->items[self->len] = NULL;
}

bool
dz_strs_has(const struct dz_strs *self, struct dz_slice text)
{
    for (size_t i = 0; i < self->len; i++) {
        if (dz_slice_eq(dz_str(self->items[i]), text))
            return true;
    }
    return false;
}

static int
by_bytes(const void *a, const void *b)
{
    const char *const *left = a;
    const char *const *right = b;
    return strcmp(*left, *right);
}

void
dz_strs_sort(struct dz_strs *self)
{
    if (self->len > 1)
        qsort(self->items, self->len, sizeof(*self->items), by_bytes);
}

bool
dz_line_next(struct dz_slice *rest, struct dz_slice *line_out)
{
    if (rest->len == 0)
        return false;
    const uint8_t *end = memchr(rest->ptr, '\n', rest->len);
    size_t len = end ? (size_t) (end - rest->ptr) : rest->len;
    *line_out = (struct dz_slice){ rest->ptr, len };
    size_t used = end ? len + 1 : len;
    *rest = (struct dz_slice){ rest->ptr + used, rest->len - used };
    return true;
}

bool
dz_digits_next(const char **p, int *out)
{
    int number = 0, count = 0;
    for (; isdigit((unsigned char) **p) && count < 9; ++*p, count++)
        number = number * 10 + (**p - '0');
    *out = number;
    return count > 0;
}

bool
dz_starts_with(struct dz_slice text, struct dz_slice head)
{
    return text.len >= head.len && dz_slice_eq((struct dz_slice){ text.ptr, head.len }, head);
}

bool
dz_id_is_below(struct dz_slice id, const char *name)
{
    size_t len = strlen(name);
    if (!dz_starts_with(id, dz_str(name)))
        return false;
    if (len > 0 && name[len - 1] == '/')
        return true;
    return id.len == len || id.ptr[len] == '[' || id.ptr[len] == ':' || id.ptr[len] == '/';
}
