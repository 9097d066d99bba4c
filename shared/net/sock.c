#include "shared/net/sock.h"

#include <linux/tcp.h> /* glibc's own lacks what is new; czmq.h includes that one */
#include <netinet/in.h>
#include <sys/socket.h>

bool
dz_sock_cookie(int fd, uint64_t *out)
{
    uint64_t cookie = 0;
    socklen_t len = sizeof(cookie);
    if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) != 0)
        return false;
    *out = cookie;
    return true;
}

uint64_t
dz_sock_received(int fd)
{
    struct tcp_info info = { 0 };
    socklen_t len = sizeof(info);
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 ? info.tcpi_bytes_received : 0;
}

void
dz_sock_shut(int fd, uint64_t cookie)
{
    uint64_t now;
    if (dz_sock_cookie(fd, &now) && now == cookie)
        (void) shutdown(fd, SHUT_RDWR);
}
