/* listen.h - the sockets that a daemon's settings ask for. */
#ifndef DZ_STORE_HTTP_LISTEN_H
#define DZ_STORE_HTTP_LISTEN_H

#include "store/http/server.h"
#include "store/settings.h"

/* Bind and listen.  Port 0: any free one, the same for all; *port_out is what it became.  Addresses
 * beyond this machine and the bridge to containers are for TLS only.  Names of addresses and of the
 * bridge join gate->hosts.
 * EXISTS: a port is taken.  REFUSED: TLS or tokens are missing, or an address cannot be had. */
DZ_MUST_USE enum dz_rc listen_all(const struct settings *settings, struct gate *gate,
                                  struct server_opts *opts, uint16_t *port_out, struct dz_err *err);
void listen_close(struct server_opts *opts);

#endif
