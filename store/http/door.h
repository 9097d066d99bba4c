/* door.h - connections whose first head has not come.
 *
 * A socket that was accepted waits here until its first head is whole.  The head is only peeked
 * at: one that is sound goes to the library untouched, socket and all, and one that is not is
 * answered here (head.h) and its connection closed.  Who says nothing costs no memory of the
 * library's.  Not for TLS, where a head cannot be seen from outside, nor for a connection's later
 * requests: by then the library owns the socket.
 *
 * Threads  That of server_serve(). */
#ifndef DZ_STORE_HTTP_DOOR_H
#define DZ_STORE_HTTP_DOOR_H

#include <sys/socket.h>

#include "store/http/conns.h"

struct door;

struct door_ops {
    /* A sound head waits to be read.  The socket is the callee's. */
    void (*pass)(void *arg, int fd, const struct sockaddr *from, socklen_t len);
    /* A problem was answered; it began with that look at the head. */
    void (*refused)(void *arg, int status, dz_us begun);
    void *arg;
};

DZ_MUST_USE enum dz_rc door_new(struct conns *conns, const struct door_ops *ops,
                                struct door **self_out, struct dz_err *err);
void door_destroy(struct door **self_p);

/* Readable when door_serve() has something to do. */
int door_fd(const struct door *self);
/* A socket that the table of connections has admitted; it is the door's. */
void door_take(struct door *self, int fd, const struct sockaddr_storage *from, socklen_t len);
void door_serve(struct door *self);

#endif
