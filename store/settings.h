/* settings.h - <home>/local.env/daemon.yaml.  docs/user/daemon.md is its manual. */
#ifndef DZ_STORE_SETTINGS_H
#define DZ_STORE_SETTINGS_H

#include "shared/conf/conf.h"

struct settings {
    uint64_t port;
    struct dz_conf_strs listen;
    bool listens_on_bridge;
    char *data_dir;   /* absolute; owned, as all strings here */
    char *public_url; /* NULL: none */
    uint64_t retention_days, retention_bytes;
    char *storage, *blobs;
    char *tls_cert, *tls_key; /* NULL: none */
    char *tokens;             /* path */
    bool is_tokens_named;     /* in the file; else there need be none */
    uint64_t connections, per_address, streams, rate;
};

/* Defaults where there is no file.  CORRUPT: refused, with file, line and column. */
DZ_MUST_USE enum dz_rc settings_load(const char *home, struct settings *out, struct dz_err *err);
void settings_fini(struct settings *self);

#endif
