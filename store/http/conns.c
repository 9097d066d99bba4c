/* conns.c - the table of connections. */
#include "store/http/conns.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/digest.h"
#include "shared/base/map.h"

enum {
    BODY_GRACE_MS = 5000,
    ANSWER_GRACE_MS = 60000,
    EVICT_AFTER_MS = 1000, /* a head may take so long even when places are short */
    ADDRESSES_MAX = 65536, /* remembered; then those with nothing open are dropped */
};

/* One address (of IPv6 its first half): what it has open, and its bucket of requests. */
struct address {
    uint64_t key;
    uint32_t open;
    double tokens;
    dz_ms filled;
};

struct conn {
    bool is_used, is_shut, is_trusted;
    enum conn_state state;
    dz_ms since, deadline; /* the deadline is for HEAD and ANSWER */
    uint64_t bytes;
    struct address *address; /* NULL: of this machine */
};

struct conns {
    pthread_mutex_t lock;
    struct conn_limits limits;
    struct conn **by_fd; /* owned, each owned */
    size_t fd_cap;
    struct dz_map addresses; /* of struct address, owned */
    struct conn_counts counts;
};

struct conns *
conns_new(const struct conn_limits *limits)
{
    struct conns *self = dz_alloc0(1, sizeof(*self));
    self->limits = *limits;
    (void) pthread_mutex_init(&self->lock, NULL); /* a default one cannot fail */
    return self;
}

void
conns_destroy(struct conns **self_p)
{
    struct conns *self = dz_move(*self_p);
    size_t at = 0;
    uint64_t key;
    void *value;
    if (!self)
        return;
    for (size_t i = 0; i < self->fd_cap; i++)
        free(self->by_fd[i]);
    free(self->by_fd);
    while (dz_map_next(&self->addresses, &at, &key, &value))
        free(value);
    dz_map_fini(&self->addresses);
    (void) pthread_mutex_destroy(&self->lock);
    free(self);
}

static void
lock(struct conns *self)
{
    (void) pthread_mutex_lock(&self->lock); /* fails only for what is not a lock */
}

static void
unlock(struct conns *self)
{
    (void) pthread_mutex_unlock(&self->lock);
}

/* ---- addresses ---- */

static uint64_t
address_key(const struct sockaddr *address)
{
    struct dz_slice bytes = { 0 };
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *) address;
        bytes = (struct dz_slice){ (const uint8_t *) &v4->sin_addr, sizeof(v4->sin_addr) };
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *) address;
        bytes = (struct dz_slice){ (const uint8_t *) &v6->sin6_addr, 8 };
        if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
            bytes = (struct dz_slice){ v6->sin6_addr.s6_addr + 12, 4 };
    }
    return dz_hash64(bytes);
}

static void
forget_idle_addresses(struct conns *self)
{
    struct dz_map kept = { 0 };
    size_t at = 0;
    uint64_t key;
    void *value;
    while (dz_map_next(&self->addresses, &at, &key, &value)) {
        struct address *address = value;
        if (address->open > 0)
            (void) dz_map_put(&kept, key, address);
        else
            free(address);
    }
    dz_map_fini(&self->addresses);
    self->addresses = kept;
}

static struct address *
address_of(struct conns *self, const struct sockaddr *address, dz_ms now)
{
    uint64_t key = address_key(address);
    struct address *found = dz_map_get(&self->addresses, key);
    if (found)
        return found;
    if (self->addresses.len >= ADDRESSES_MAX)
        forget_idle_addresses(self);
    found = dz_alloc0(1, sizeof(*found));
    *found = (struct address){ .key = key, .tokens = 2.0 * self->limits.rate, .filled = now };
    (void) dz_map_put(&self->addresses, key, found);
    return found;
}

/* ---- coming and going ---- */

static void
shut(struct conns *self, struct conn *conn, int fd)
{
    conn->is_shut = true;
    self->counts.dropped++;
    (void) shutdown(fd, SHUT_RDWR); /* the library sees the end and closes it */
}

/* The one that has held a place for longest without asking anything; it is shut. */
static bool
make_room(struct conns *self, dz_ms now)
{
    size_t oldest = self->fd_cap;
    for (size_t i = 0; i < self->fd_cap; i++) {
        const struct conn *conn = self->by_fd[i];
        if (conn && conn->is_used && !conn->is_shut && conn->state == CONN_HEAD &&
            now - conn->since >= EVICT_AFTER_MS &&
            (oldest == self->fd_cap || conn->since < self->by_fd[oldest]->since))
            oldest = i;
    }
    if (oldest == self->fd_cap)
        return false;
    shut(self, self->by_fd[oldest], (int) oldest);
    return true;
}

static void
reserve(struct conns *self, int fd)
{
    size_t need = (size_t) fd + 1, cap = self->fd_cap ? self->fd_cap : 64;
    while (cap < need)
        cap *= 2;
    if (cap > self->fd_cap) {
        self->by_fd = dz_realloc(self->by_fd, cap, sizeof(*self->by_fd));
        memset(self->by_fd + self->fd_cap, 0, (cap - self->fd_cap) * sizeof(*self->by_fd));
        self->fd_cap = cap;
    }
    if (!self->by_fd[fd])
        self->by_fd[fd] = dz_alloc0(1, sizeof(*self->by_fd[fd]));
}

static bool
has_place(struct conns *self, const struct address *address, dz_ms now)
{
    if (address && address->open >= self->limits.per_address)
        return false;
    return self->counts.open < self->limits.total || make_room(self, now);
}

bool
conns_admit(struct conns *self, int fd, const struct sockaddr *address, bool is_trusted, dz_ms now)
{
    lock(self);
    struct address *from = is_trusted ? NULL : address_of(self, address, now);
    bool is_admitted = has_place(self, from, now);
    if (is_admitted) {
        reserve(self, fd);
        *self->by_fd[fd] = (struct conn){
            .is_used = true,
            .is_trusted = is_trusted,
            .state = CONN_HEAD,
            .since = now,
            .deadline = now + self->limits.head_ms,
            .address = from,
        };
        self->counts.open++;
        self->counts.by_state[CONN_HEAD]++;
        self->counts.accepted++;
        if (from)
            from->open++;
    } else {
        self->counts.refused++;
    }
    unlock(self);
    return is_admitted;
}

struct conn *
conns_of(struct conns *self, int fd)
{
    lock(self);
    struct conn *conn = fd >= 0 && (size_t) fd < self->fd_cap ? self->by_fd[fd] : NULL;
    if (conn && !conn->is_used)
        conn = NULL;
    unlock(self);
    return conn;
}

void
conns_forget(struct conns *self, int fd)
{
    lock(self);
    struct conn *conn = fd >= 0 && (size_t) fd < self->fd_cap ? self->by_fd[fd] : NULL;
    if (conn && conn->is_used) {
        conn->is_used = false;
        self->counts.open--;
        self->counts.by_state[conn->state]--;
        if (conn->address)
            conn->address->open--;
    }
    unlock(self);
}

/* ---- what they do ---- */

static dz_ms
deadline_of(const struct conns *self, enum conn_state state, uint64_t bytes, dz_ms now)
{
    if (state == CONN_HEAD)
        return now + self->limits.idle_ms;
    return now + ANSWER_GRACE_MS + (dz_ms) (bytes * 1000 / self->limits.body_rate);
}

bool
conn_move(struct conns *self, struct conn *conn, enum conn_state state, uint64_t bytes, dz_ms now)
{
    if (!conn)
        return true;
    lock(self);
    bool has_room =
        state != CONN_STREAM || self->counts.by_state[CONN_STREAM] < self->limits.streams;
    if (has_room) {
        self->counts.by_state[conn->state]--;
        self->counts.by_state[state]++;
        conn->state = state;
        conn->since = now;
        conn->bytes = 0;
        conn->deadline = deadline_of(self, state, bytes, now);
    }
    unlock(self);
    return has_room;
}

void
conn_progress(struct conns *self, struct conn *conn, uint64_t bytes)
{
    if (!conn)
        return;
    lock(self);
    conn->bytes += bytes;
    unlock(self);
}

bool
conn_is_trusted(const struct conn *conn)
{
    return conn && conn->is_trusted;
}

bool
conn_may_ask(struct conns *self, struct conn *conn, dz_ms now, uint32_t *retry_s_out)
{
    bool may = true;
    *retry_s_out = 1;
    if (!conn || !conn->address || self->limits.rate == 0)
        return true;
    lock(self);
    struct address *from = conn->address;
    double most = 2.0 * self->limits.rate;
    from->tokens += (double) (now - from->filled) * self->limits.rate / 1000;
    from->tokens = from->tokens > most ? most : from->tokens;
    from->filled = now;
    may = from->tokens >= 1;
    if (may)
        from->tokens -= 1;
    else
        self->counts.throttled++;
    unlock(self);
    return may;
}

void
conn_give_back(struct conns *self, struct conn *conn)
{
    if (!conn || !conn->address)
        return;
    lock(self);
    conn->address->tokens += 1; /* was taken away before */
    unlock(self);
}

static bool
is_late(const struct conns *self, const struct conn *conn, dz_ms now)
{
    dz_ms spent = now - conn->since - BODY_GRACE_MS;
    switch (conn->state) {
    case CONN_HEAD:
    case CONN_ANSWER: return now >= conn->deadline;
    case CONN_BODY:
        return spent > 0 && conn->bytes < (uint64_t) spent * self->limits.body_rate / 1000;
    case CONN_WORK:
    case CONN_STREAM:
    case CONN_STATES: break;
    }
    return false;
}

uint32_t
conns_sweep(struct conns *self, dz_ms now)
{
    uint32_t count = 0;
    lock(self);
    for (size_t i = 0; i < self->fd_cap; i++) {
        struct conn *conn = self->by_fd[i];
        if (!conn || !conn->is_used || conn->is_shut || !is_late(self, conn, now))
            continue;
        shut(self, conn, (int) i);
        count++;
    }
    unlock(self);
    return count;
}

void
conns_count(struct conns *self, struct conn_counts *out)
{
    lock(self);
    *out = self->counts;
    unlock(self);
}
