/* server_own.h - what server.c, reply.c and accept.c share; nobody else includes it. */
#ifndef DZ_STORE_HTTP_SERVER_OWN_H
#define DZ_STORE_HTTP_SERVER_OWN_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "store/http/door.h"
#include "store/http/server.h"

struct http_server {
    struct MHD_Daemon *plain, *tls; /* owned; NULL: no such listener */
    struct http_listener listeners[SERVER_LISTENERS_MAX];
    size_t listener_count;
    struct conns *conns; /* owned */
    struct door *door;   /* owned */
    struct lanes *lanes; /* owned */
    struct hub *hub;     /* owned */
    struct relay *relay; /* owned */
    int hang_ups; /* owned epoll: connections of fetches that wait, until the client ends them */
    const struct gate *gate;
    atomic_uint_least64_t lines; /* connections that there were */
    atomic_size_t bodies;        /* bytes of bodies that are held */
    pthread_mutex_t counting;
    struct server_counts counts; /* of answers; under `counting` */
};

/* accept.c */
/* With the watch for hang-ups. */
enum dz_rc server_open_door(struct http_server *self, struct dz_err *err);
/* Tell the relay when the client ends the connection of that number, which the library does not see
 * while it is suspended.  It may be gone already. */
void server_watch(struct http_server *self, int fd, uint64_t line);
/* reply.c */
void server_add_headers(struct MHD_Response *response, const struct http_call *call);
void server_note(struct http_server *self, int status, dz_us begun);

#endif
