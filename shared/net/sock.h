/* sock.h - sockets that belong to a library's thread, looked at and ended from ours.
 *
 * The owner may close one at any moment, and its number is then another socket's.  So each is known by
 * its cookie, which the kernel gives once. */
#ifndef DZ_SHARED_NET_SOCK_H
#define DZ_SHARED_NET_SOCK_H

#include "shared/base/base.h"

/* false: there is no such socket. */
bool dz_sock_cookie(int fd, uint64_t *out);
/* Bytes that came in over a TCP connection; 0: unknown. */
uint64_t dz_sock_received(int fd);
/* End both directions, if it is still that socket.  In the moment between the look and the deed the
 * number may change hands: what is hit is a connection, and those are made again when they break. */
void dz_sock_shut(int fd, uint64_t cookie);

#endif
