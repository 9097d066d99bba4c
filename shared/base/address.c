#include "shared/base/address.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

enum address_kind { ADDRESS_IPV4, ADDRESS_IPV6, ADDRESS_LOOPBACK };

/* As it stands in an endpoint; false: it is not of this kind. */
static bool
read_address(const struct ifaddrs *one, enum address_kind kind, char text[static INET6_ADDRSTRLEN])
{
    bool is_loopback = one->ifa_flags & IFF_LOOPBACK;
    sa_family_t family = kind == ADDRESS_IPV6 ? AF_INET6 : AF_INET;
    if (!one->ifa_addr || one->ifa_addr->sa_family != family || !(one->ifa_flags & IFF_UP) ||
        is_loopback != (kind == ADDRESS_LOOPBACK))
        return false;
    if (family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, one->ifa_addr, sizeof(in));
        return inet_ntop(AF_INET, &in.sin_addr, text, INET6_ADDRSTRLEN);
    }
    struct sockaddr_in6 in;
    memcpy(&in, one->ifa_addr, sizeof(in));
    return !IN6_IS_ADDR_LINKLOCAL(&in.sin6_addr) &&
           inet_ntop(AF_INET6, &in.sin6_addr, text, INET6_ADDRSTRLEN);
}

const char *
dz_address_any(void)
{
    char text[INET6_ADDRSTRLEN];
    struct ifaddrs *all = NULL;
    bool has_ipv6 = false;
    if (getifaddrs(&all) != 0)
        all = NULL;
    for (const struct ifaddrs *one = all; one && !has_ipv6; one = one->ifa_next)
        has_ipv6 = read_address(one, ADDRESS_IPV6, text);
    freeifaddrs(all);
    return has_ipv6 ? "tcp://[::]:*" : "tcp://0.0.0.0:*";
}

void
dz_address_add(struct dz_strs *out, const char *port, size_t most)
{
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) != 0)
        return;
    for (enum address_kind kind = ADDRESS_IPV4; kind <= ADDRESS_LOOPBACK; kind++) {
        for (const struct ifaddrs *one = all; one; one = one->ifa_next) {
            char text[INET6_ADDRSTRLEN], endpoint[INET6_ADDRSTRLEN + 32];
            if (out->len >= most || !read_address(one, kind, text))
                continue;
            bool is_ipv6 = kind == ADDRESS_IPV6;
            (void) snprintf(endpoint, sizeof(endpoint), "tcp://%s%s%s:%s", is_ipv6 ? "[" : "", text,
                            is_ipv6 ? "]" : "", port);
            dz_strs_add(out, dz_str(endpoint));
        }
    }
    freeifaddrs(all);
}
