/* tls.c - certificate and key.  Whether they fit together is found by the library that uses them. */
#include "store/http/tls.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/buf.h"
#include "shared/base/fd.h"

enum { PEM_MAX = 1 << 20 };

/* `label`: how a line of a PEM file ends that begins a thing of the kind that is looked for. */
static enum dz_rc
read_pem(const char *path, const char *what, const char *label, char **out, struct dz_err *err)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    enum dz_rc rc = dz_fd_read_file(path, PEM_MAX, &text, err);
    if (rc == DZ_ABSENT)
        return dz_fail(err, DZ_REFUSED, "there is no '%s'", path);
    if (rc != DZ_OK)
        return rc;
    dz_buf_add(&text, "", 1);
    if (!strstr((const char *) text.data, label))
        return dz_fail(err, DZ_REFUSED, "there is no %s in '%s'", what, path);
    *out = (char *) dz_move(text.data);
    return DZ_OK;
}

enum dz_rc
tls_load(struct tls *self, const struct settings *settings, struct dz_err *err)
{
    if (!settings->tls_cert)
        return DZ_OK;
    enum dz_rc rc =
        read_pem(settings->tls_cert, "certificate", "CERTIFICATE-----", &self->cert, err);
    if (rc != DZ_OK)
        return settings_blame(settings, "tls.cert", rc, err);
    rc = read_pem(settings->tls_key, "private key", "PRIVATE KEY-----", &self->key, err);
    return rc == DZ_OK ? DZ_OK : settings_blame(settings, "tls.key", rc, err);
}

void
tls_fini(struct tls *self)
{
    free(self->cert);
    free(self->key);
    *self = (struct tls){ .cert = NULL };
}
