/* address.h - where others may find this host. */
#ifndef DZ_SHARED_BASE_ADDRESS_H
#define DZ_SHARED_BASE_ADDRESS_H

#include "shared/base/str.h"

/* What to listen at, a free port: all addresses of this host.  Of IPv6 too if it has one that others can use. */
const char *dz_address_any(void);

/* Append "tcp://ADDRESS:port" for this host's addresses, until there are `most`: of IPv4, of IPv6
 * (not those that are good for one cable only), then loopback, which serves those on the same host
 * from whom the others are cut off. */
void dz_address_add(struct dz_strs *out, const char *port, size_t most);

#endif
