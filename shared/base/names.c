#include "shared/base/names.h"

#include <stdlib.h>

enum { NAMES_FIRST = 64 };

void
dz_names_fini(struct dz_names *self)
{
    dz_buf_fini(&self->text);
    free(self->ends);
    *self = (struct dz_names){ 0 };
}

bool
dz_names_add(struct dz_names *self, struct dz_slice name)
{
    return dz_names_add_like(self, 0, name);
}

bool
dz_names_add_like(struct dz_names *self, size_t same, struct dz_slice rest)
{
    size_t len = same + rest.len;
    if (len > UINT32_MAX - self->text.len || self->count == UINT32_MAX)
        return false;
    if (self->count == self->cap) {
        uint32_t twice = self->cap <= UINT32_MAX / 2 ? 2 * self->cap : UINT32_MAX;
        self->cap = twice ? twice : NAMES_FIRST;
        self->ends = dz_realloc(self->ends, self->cap, sizeof(*self->ends));
    }
    (void) dz_buf_reserve(&self->text, len); /* the one before stays where it is from here on */
    struct dz_slice before = { 0 };
    if (self->count > 0)
        before = dz_names_at(self, self->count - 1);
    dz_assert(same <= before.len);
    dz_buf_add(&self->text, before.ptr, same);
    dz_buf_add(&self->text, rest.ptr, rest.len);
    self->ends[self->count++] = (uint32_t) self->text.len;
    return true;
}
