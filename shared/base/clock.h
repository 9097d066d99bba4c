/* clock.h - the only place that asks what time it is.  core/ never does: it is told. */
#ifndef DZ_SHARED_BASE_CLOCK_H
#define DZ_SHARED_BASE_CLOCK_H

#include "shared/base/base.h"

dz_us dz_clock_us(void);        /* CLOCK_MONOTONIC: for deadlines and spans */
dz_ms dz_clock_ms(void);        /* the same in milliseconds */
int64_t dz_clock_wall_ms(void); /* since 1970, for people to read */

#endif
