/* conns.h - who is connected, how far they are, and who has to go.
 *
 * The library's own time limit is for silence: a client that sends a byte a second is never
 * dropped by it.  So every connection is in this table with what it is doing and since when, and
 * conns_sweep() shuts the sockets of those that are over an absolute deadline.
 *
 *   state    ends when                     at the latest
 *   HEAD     the request's head is whole   head_ms after it was accepted, or after the last answer
 *   BODY     the body is whole             slower than body_rate bytes/s, after a grace
 *   WORK     we have an answer             ours to keep short
 *   ANSWER   it is sent                    slower than body_rate bytes/s, after a longer grace
 *   STREAM   the client leaves             the library's limit for a socket that takes nothing
 *
 * When the table is full, whoever has been in HEAD for longest makes room for a newcomer: those
 * that only hold a place cannot keep out those that ask something.
 * Threads  Any; a lock of its own.  The library closes sockets: conns_forget() is called before, so
 *          no number is shut that already means another socket. */
#ifndef DZ_STORE_HTTP_CONNS_H
#define DZ_STORE_HTTP_CONNS_H

#include <sys/socket.h>

#include "shared/base/base.h"

enum conn_state { CONN_HEAD, CONN_BODY, CONN_WORK, CONN_ANSWER, CONN_STREAM, CONN_STATES };

struct conn_limits {
    uint32_t total, per_address; /* connections; addresses of this machine are not counted */
    uint32_t streams;
    dz_ms head_ms, idle_ms;
    uint32_t body_rate; /* bytes a second */
    uint32_t rate;      /* requests a second of one address beyond this machine; 0: any */
};

struct conns;
struct conn;

struct conns *conns_new(const struct conn_limits *limits);
void conns_destroy(struct conns **self_p);

/* A socket was accepted.  false: there is no place for it; the caller closes it. */
bool conns_admit(struct conns *self, int fd, const struct sockaddr *address, bool is_trusted,
                 dz_ms now);
struct conn *conns_of(struct conns *self, int fd); /* NULL: not admitted */
void conns_forget(struct conns *self, int fd);

/* NULL is fine.  false: no more streams than this (nothing has changed). */
bool conn_move(struct conns *self, struct conn *conn, enum conn_state state, uint64_t bytes,
               dz_ms now);
/* So many more bytes of its body came. */
void conn_progress(struct conns *self, struct conn *conn, uint64_t bytes);
/* Loopback, or the bridge to containers. */
bool conn_is_trusted(const struct conn *conn);
/* May it ask once more now?  false: *retry_s_out, in how many seconds. */
bool conn_may_ask(struct conns *self, struct conn *conn, dz_ms now, uint32_t *retry_s_out);

/* What it has just asked does not count. */
void conn_give_back(struct conns *self, struct conn *conn);

/* Shut what is over its deadline.  Returns how many. */
uint32_t conns_sweep(struct conns *self, dz_ms now);

struct conn_counts {
    uint32_t open, by_state[CONN_STATES];
    uint64_t accepted, refused, dropped, throttled;
};
void conns_count(struct conns *self, struct conn_counts *out);

#endif
