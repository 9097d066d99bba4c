#include "worker/trim.h"

#include <malloc.h>

#include "shared/base/clock.h"

enum {
    PAUSE_US = 1000 * 1000,
    SHARE = 100, /* at most a hundredth of the time goes into it */
};

void
trim_heap(struct trim *self, dz_us now)
{
    if (now < self->next)
        return;
    (void) malloc_trim(0); /* whether there was anything to give back makes no difference */
    dz_us took = dz_clock_us() - now;
    self->next = now + (took * SHARE > PAUSE_US ? took * SHARE : PAUSE_US);
}
