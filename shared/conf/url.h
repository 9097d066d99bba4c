/* url.h - which store is meant, and where the daemon of a home says that it listens.
 *
 * In this order: what the user gave (--dagz-url), DAGZ_URL, the daemon that announced itself in
 * <home>/local.env/daemon.url, http://localhost:29111.  Nothing is connected to here: a daemon
 * that was killed leaves its announcement, and then nobody answers. */
#ifndef DZ_SHARED_CONF_URL_H
#define DZ_SHARED_CONF_URL_H

#include "shared/base/base.h"

enum { DZ_URL_MAX = 512, DZ_URL_HOST_MAX = 256, DZ_URL_PORT = 29111 };

enum dz_url_from { DZ_URL_OPTION, DZ_URL_ENV, DZ_URL_HOME, DZ_URL_DEFAULT };

struct dz_url {
    char text[DZ_URL_MAX];      /* "https://dagz.acme.example", without a slash at its end */
    char host[DZ_URL_HOST_MAX]; /* without the brackets of IPv6 */
    uint16_t port;
    bool is_tls;
    enum dz_url_from from;
    bool is_none; /* 'none' was said: no server, the store of the home; text is "" */
    bool is_home; /* it is what the daemon of this home announced: the local store is its store */
};

/* `option` may be NULL or ""; it and DAGZ_URL may be "none".  CORRUPT: what the user gave, or DAGZ_URL, is no URL of a store. */
DZ_MUST_USE enum dz_rc dz_url_find(const char *option, const char *home, struct dz_url *out,
                                   struct dz_err *err);

/* http://HOST[:PORT] or https://HOST[:PORT], with a path only before a proxy's prefix.  `what`
 * begins the complaint: "DAGZ_URL". */
DZ_MUST_USE enum dz_rc dz_url_parse(const char *what, const char *text, struct dz_url *out,
                                    struct dz_err *err);

/* By the daemon only. */
DZ_MUST_USE enum dz_rc dz_url_announce(const char *home, const char *url, struct dz_err *err);
void dz_url_withdraw(const char *home);

#endif
