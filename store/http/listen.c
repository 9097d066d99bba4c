/* listen.c - binding. */
#include "store/http/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "shared/base/fd.h"

enum { BACKLOG = 1024, NAME_MAX_LEN = 128 };

static const char *const BRIDGES[] = { "docker0", "podman0", "cni-podman0" };

struct place {
    struct sockaddr_storage address;
    socklen_t len;
    bool is_loopback, is_bridge;
    size_t index;            /* in `listen`; of the bridge: behind them */
    bool is_absent;          /* this machine has no such address */
    bool is_ports_fault;     /* it could be had on another port */
    char name[NAME_MAX_LEN]; /* as in the settings */
};

/* ---- addresses ---- */

static bool
is_loopback(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *) address)->sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *) address)->sin6_addr);
}

static void
set_port(struct place *place, uint16_t port)
{
    if (place->address.ss_family == AF_INET)
        ((struct sockaddr_in *) &place->address)->sin_port = htons(port);
    else
        ((struct sockaddr_in6 *) &place->address)->sin6_port = htons(port);
}

static uint16_t
port_of(int fd)
{
    struct sockaddr_storage address = { 0 };
    socklen_t len = sizeof(address);
    (void) getsockname(fd, (struct sockaddr *) &address, &len); /* of a bound one: cannot fail */
    return ntohs(address.ss_family == AF_INET ? ((struct sockaddr_in *) &address)->sin_port
                                              : ((struct sockaddr_in6 *) &address)->sin6_port);
}

static enum dz_rc
read_address(const struct settings *settings, size_t index, struct place *out, struct dz_err *err)
{
    const char *text = settings->listen.items[index];
    struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_PASSIVE, .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    if (getaddrinfo(text, NULL, &hints, &found) != 0)
        return dz_fail(err, DZ_CORRUPT, "listen: '%s' is not an address such as 127.0.0.1 or ::1",
                       text);
    memcpy(&out->address, found->ai_addr, found->ai_addrlen);
    out->len = found->ai_addrlen;
    freeaddrinfo(found);
    out->index = index;
    out->is_loopback = is_loopback(&out->address);
    (void) snprintf(out->name, sizeof(out->name), "%s", text);
    return DZ_OK;
}

static bool
is_bridge_name(const char *name)
{
    for (size_t i = 0; i < DZ_LEN(BRIDGES); i++)
        if (strcmp(BRIDGES[i], name) == 0)
            return true;
    return false;
}

/* Where containers reach this machine. */
static enum dz_rc
find_bridge(struct place *out, struct dz_err *err)
{
    struct ifaddrs *all = NULL;
    bool is_found = false;
    if (getifaddrs(&all) != 0)
        return dz_fail_errno(err, "list the network's interfaces");
    for (const struct ifaddrs *one = all; one && !is_found; one = one->ifa_next) {
        if (!one->ifa_addr || one->ifa_addr->sa_family != AF_INET || !is_bridge_name(one->ifa_name))
            continue;
        is_found = true;
        out->len = sizeof(struct sockaddr_in);
        memcpy(&out->address, one->ifa_addr, out->len);
        out->is_bridge = true;
        (void) inet_ntop(AF_INET, &((struct sockaddr_in *) &out->address)->sin_addr, out->name,
                         sizeof(out->name)); /* there is room */
    }
    freeifaddrs(all);
    return is_found ? DZ_OK
                    : dz_fail(err, DZ_REFUSED,
                              "listen_on_docker_bridge: there is no bridge here (no interface "
                              "docker0 with an IPv4 address)");
}

static bool
is_any(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET)
        return ((const struct sockaddr_in *) address)->sin_addr.s_addr == htonl(INADDR_ANY);
    return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *) address)->sin6_addr);
}

/* One address may be written in several ways. */
static bool
is_same(const struct place *a, const struct place *b)
{
    if (a->address.ss_family == AF_INET)
        return ((const struct sockaddr_in *) &a->address)->sin_addr.s_addr ==
               ((const struct sockaddr_in *) &b->address)->sin_addr.s_addr;
    const struct sockaddr_in6 *c = (const struct sockaddr_in6 *) &a->address;
    const struct sockaddr_in6 *d = (const struct sockaddr_in6 *) &b->address;
    return IN6_ARE_ADDR_EQUAL(&c->sin6_addr, &d->sin6_addr) && c->sin6_scope_id == d->sin6_scope_id;
}

static bool
is_within(const struct place *a, const struct place *b)
{
    return a->address.ss_family == b->address.ss_family &&
           (is_any(&a->address) || is_any(&b->address) || is_same(a, b));
}

/* What holds the port that `place` wants: another program, unless it is an address of our own
 * before it. */
static enum dz_rc
find_holder(const struct settings *settings, struct place *place, struct dz_err *err)
{
    for (size_t i = 0; i < place->index; i++) {
        struct place other = { .len = 0 };
        struct dz_err unused;
        if (read_address(settings, i, &other, &unused) != DZ_OK || !is_within(&other, place))
            continue;
        place->is_ports_fault = false;
        if (is_same(&other, place))
            return dz_fail(err, DZ_CORRUPT, "listen: %s is there twice", place->name);
        bool is_wide = is_any(&place->address);
        return dz_fail(err, DZ_CORRUPT, "listen: %s takes in %s: leave out one of them",
                       is_wide ? place->name : other.name, is_wide ? other.name : place->name);
    }
    return DZ_EXISTS;
}

/* ---- sockets ---- */

static enum dz_rc
fail_bind(struct place *place, uint16_t port, struct dz_err *err)
{
    place->is_absent = errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT;
    place->is_ports_fault = errno == EADDRINUSE || errno == EACCES;
    if (errno == EADDRINUSE)
        return dz_fail(err, DZ_EXISTS,
                       "port %u of %s is taken by another program; choose another with 'port:'",
                       port, place->name);
    if (errno == EACCES)
        return dz_fail(err, DZ_REFUSED, "port %u of %s is not for this user", port, place->name);
    if (place->is_absent)
        return dz_fail(err, DZ_REFUSED, "listen: %s is not an address of this machine",
                       place->name);
    (void) dz_fail_errno(err, "listen on port %u of %s", port, place->name);
    return DZ_REFUSED;
}

static enum dz_rc
bind_one(struct place *place, uint16_t port, int *fd_out, struct dz_err *err)
{
    const int on = 1;
    int family = place->address.ss_family;
    DZ_AUTO(dz_fd_close) int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail_bind(place, port, err);
    set_port(place, port);
    (void) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)); /* bind() tells */
    if (family == AF_INET6)
        (void) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    if (bind(fd, (const struct sockaddr *) &place->address, place->len) != 0 ||
        listen(fd, BACKLOG) != 0)
        return fail_bind(place, port, err);
    *fd_out = dz_fd_move(&fd);
    return DZ_OK;
}

static enum dz_rc
check_safe(const struct settings *settings, const struct gate *gate, const struct place *place,
           struct dz_err *err)
{
    const char *missing = NULL;
    if (place->is_loopback || place->is_bridge)
        return DZ_OK;
    if (!settings->tls_cert)
        missing = "'tls: {cert: ..., key: ...}' is not set";
    else if (gate->token_count == 0)
        missing = "there is no token";
    if (!missing)
        return DZ_OK;
    return dz_fail(err, DZ_REFUSED,
                   "%s is reachable from other machines, which needs TLS and tokens: %s%s%s",
                   place->name, missing, settings->tls_cert ? " in " : "",
                   settings->tls_cert ? settings->tokens : "");
}

void
listen_close(struct server_opts *opts)
{
    for (size_t i = 0; i < opts->listener_count; i++)
        dz_fd_close(&opts->listeners[i].fd);
    opts->listener_count = 0;
}

static enum dz_rc
add(const struct settings *settings, struct gate *gate, struct place *place,
    struct server_opts *opts, uint16_t *port_p, struct dz_err *err)
{
    int fd = -1;
    enum dz_rc rc = check_safe(settings, gate, place, err);
    if (rc == DZ_OK && opts->listener_count == SERVER_LISTENERS_MAX)
        rc = dz_fail(err, DZ_CORRUPT, "listen: more than %d addresses", SERVER_LISTENERS_MAX);
    if (rc == DZ_OK)
        rc = bind_one(place, *port_p, &fd, err);
    if (rc != DZ_OK)
        return rc;
    bool is_near = place->is_loopback || place->is_bridge;
    opts->listeners[opts->listener_count++] = (struct http_listener){
        .fd = fd, .is_tls = !is_near, .is_any = is_any(&place->address), .is_trusted = is_near
    };
    *port_p = port_of(fd);
    char host[NAME_MAX_LEN + 2];
    bool is_v6 = place->address.ss_family == AF_INET6;
    (void) snprintf(host, sizeof(host), is_v6 ? "[%s]" : "%s", place->name);
    dz_strs_add(is_near ? &gate->near_hosts : &gate->hosts, dz_str(host));
    if (place->is_bridge)
        dz_strs_add(&gate->near_hosts, dz_str("host.docker.internal"));
    return DZ_OK;
}

/* Say where in the settings stands what is wrong with it. */
static enum dz_rc
blame(const struct settings *settings, const struct place *place, enum dz_rc rc, struct dz_err *err)
{
    if (place->is_ports_fault)
        return settings_blame(settings, "port", rc, err);
    return place->index < settings->listen.count
               ? settings_blame_listen(settings, place->index, rc, err)
               : settings_blame(settings, "listen_on_docker_bridge", rc, err);
}

/* IPv6 is off on many machines; then the default address ::1 is left out. */
static bool
may_be_missing(const struct place *place, const struct server_opts *opts)
{
    return place->is_absent && place->is_loopback && place->address.ss_family == AF_INET6 &&
           opts->listener_count > 0;
}

enum dz_rc
listen_all(const struct settings *settings, struct gate *gate, struct server_opts *opts,
           uint16_t *port_out, struct dz_err *err)
{
    uint16_t port = (uint16_t) settings->port;
    enum dz_rc rc = DZ_OK;
    for (size_t i = 0; rc == DZ_OK && i < settings->listen.count; i++) {
        struct place place = { .len = 0 };
        rc = read_address(settings, i, &place, err);
        if (rc == DZ_OK)
            rc = add(settings, gate, &place, opts, &port, err);
        if (rc == DZ_EXISTS)
            rc = find_holder(settings, &place, err);
        if (rc == DZ_REFUSED && may_be_missing(&place, opts))
            rc = DZ_OK;
        if (rc != DZ_OK)
            rc = blame(settings, &place, rc, err);
    }
    if (rc == DZ_OK && settings->listens_on_bridge) {
        struct place place = { .index = settings->listen.count };
        rc = find_bridge(&place, err);
        if (rc == DZ_OK)
            rc = add(settings, gate, &place, opts, &port, err);
        if (rc == DZ_EXISTS)
            rc = find_holder(settings, &place, err);
        if (rc != DZ_OK)
            rc = blame(settings, &place, rc, err);
    }
    if (rc != DZ_OK)
        listen_close(opts);
    *port_out = port;
    return rc;
}
