/* tls.h - the certificate that a daemon's settings name, and its key. */
#ifndef DZ_STORE_HTTP_TLS_H
#define DZ_STORE_HTTP_TLS_H

#include "store/settings.h"

struct tls {
    char *cert, *key; /* owned: PEM; NULL: none is set */
};

/* Read both, whether an address needs them or not.  REFUSED: a file is not there, or holds nothing
 * of the kind; where the settings name it is said. */
DZ_MUST_USE enum dz_rc tls_load(struct tls *self, const struct settings *settings,
                                struct dz_err *err);
void tls_fini(struct tls *self);

#endif
