/* names.h - many byte strings one after another: each costs four bytes beside its own.
 *
 * A value type: embed it, dz_names_fini() it.  Adding may move all of them: a slice of one lives until then. */
#ifndef DZ_SHARED_BASE_NAMES_H
#define DZ_SHARED_BASE_NAMES_H

#include "shared/base/buf.h"

struct dz_names {
    struct dz_buf text;
    uint32_t *ends; /* owned: where each ends in the text */
    uint32_t count, cap;
};

void dz_names_fini(struct dz_names *self); /* frees and zeroes; DZ_AUTO-able */
/* false: all together would be longer than 4 GiB, it was not added. */
DZ_MUST_USE bool dz_names_add(struct dz_names *self, struct dz_slice name);
/* One that begins as the last one does, with so many bytes of it, no more than it has. */
DZ_MUST_USE bool dz_names_add_like(struct dz_names *self, size_t same, struct dz_slice rest);

static inline struct dz_slice
dz_names_at(const struct dz_names *self, uint32_t number)
{
    uint32_t begin = number ? self->ends[number - 1] : 0;
    return (struct dz_slice){ self->text.data + begin, self->ends[number] - begin };
}

#endif
