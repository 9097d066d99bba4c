/* grow.h - arrays that get longer. */
#ifndef DZ_COORD_CORE_GROW_H
#define DZ_COORD_CORE_GROW_H

#include "shared/base/base.h"

/* Make room for one more element; `array_p` points at the owner's pointer. */
#define GROW(array, count, cap) \
    do { \
        if ((count) == (cap)) { \
            (cap) = (cap) ? (cap) *2 : 16; \
            (array) = dz_realloc((array), (cap), sizeof(*(array))); \
        } \
    } while (0)

#endif
