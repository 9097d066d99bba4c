/* zone.h - civil time in a named time zone, without touching this process's own.
 *
 * The C library knows one zone, kept in the environment, which threads share.  So the system's
 * zone files are read here. */
#ifndef DZ_STORE_ZONE_H
#define DZ_STORE_ZONE_H

#include "shared/base/base.h"

struct zone;

/* The zone of an IANA name.  Unknown names give UTC; zone_is_known() tells. */
struct zone *zone_new(const char *name);
void zone_destroy(struct zone **self_p);
bool zone_is_known(const struct zone *self);

struct zone_time {
    int year, month, day, hour, minute, second; /* month and day from 1 */
};
struct zone_time zone_civil(const struct zone *self, int64_t epoch_us);
uint32_t zone_day(const struct zone *self, int64_t epoch_us); /* 20261121 */

/* Microseconds of the epoch at this civil time (the first one, where a clock goes back). */
int64_t zone_epoch_us(const struct zone *self, struct zone_time t);

/* The name of this machine's zone, "UTC" if it cannot be told.  Caller owns. */
char *zone_local_name(void);

#endif
