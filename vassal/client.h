/* client.h - asking a server from the agent's loop: shared/http driven by shared/net's loop.
 *
 * Nothing here waits.  `on_turn` is called after answers were given, so that its owner can do what
 * has become due. */
#ifndef DZ_VASSAL_CLIENT_H
#define DZ_VASSAL_CLIENT_H

#include "shared/http/http.h"
#include "shared/net/loop.h"

enum { CLIENT_WATCHES = 16 };

struct client_watch {
    struct dz_watch watch;
    struct client *client;
};

struct client {
    struct dz_loop *loop; /* borrowed */
    struct dz_http *http; /* owned; NULL: not open */
    struct client_watch watches[CLIENT_WATCHES];
    struct dz_timer timer;
    void (*on_turn)(void *arg); /* may be NULL */
    void *arg;
};

/* With the token of the environment.  It must not move while it is open. */
DZ_MUST_USE enum dz_rc client_open(struct client *self, struct dz_loop *loop,
                                   void (*on_turn)(void *arg), void *arg, struct dz_err *err);
void client_close(struct client *self); /* takes a zeroed one */

/* What answers at a URL, within `wait_ms`; this waits. */
enum client_found {
    CLIENT_NOBODY,  /* nobody listens */
    CLIENT_SILENT,  /* somebody does, and says nothing: a store that is stopped, perhaps */
    CLIENT_STORE,   /* a store of dagz */
    CLIENT_STRANGER /* something else */
};
enum client_found client_look(const char *url, dz_ms wait_ms);

#endif
