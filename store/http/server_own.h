/* server_own.h - what server.c and accept.c share; nobody else includes it. */
#ifndef DZ_STORE_HTTP_SERVER_OWN_H
#define DZ_STORE_HTTP_SERVER_OWN_H

#include <microhttpd.h>

#include "store/http/hub.h"
#include "store/http/lanes.h"
#include "store/http/server.h"

struct http_server {
    struct MHD_Daemon *plain, *tls; /* owned; NULL: no such listener */
    struct http_listener listeners[SERVER_LISTENERS_MAX];
    size_t listener_count;
    struct conns *conns; /* owned */
    struct lanes *lanes; /* owned */
    struct hub *hub;     /* owned */
    const struct gate *gate;
    char *cert, *key; /* owned; the library keeps pointers to them */
};

#endif
