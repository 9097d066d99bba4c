#include "shared/base/clock.h"

#include <time.h>

static int64_t
read_us(clockid_t which)
{
    struct timespec now;
    int rc = clock_gettime(which, &now);
    dz_assert(rc == 0); /* both clocks exist on every Linux */
    return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

dz_us
dz_clock_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

dz_ms
dz_clock_ms(void)
{
    return dz_clock_us() / 1000;
}

int64_t
dz_clock_wall_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000;
}
