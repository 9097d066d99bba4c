/* settings.h - <home>/local.env/daemon.yaml.  docs/user/daemon.md is its manual. */
#ifndef DZ_STORE_SETTINGS_H
#define DZ_STORE_SETTINGS_H

#include "shared/conf/conf.h"

enum { SETTINGS_KEYS = 16 };

struct settings {
    char *path;                               /* of the file, which need not be there */
    struct dz_conf_mark marks[SETTINGS_KEYS]; /* where it says what */
    uint64_t port;
    struct dz_conf_strs listen;
    bool listens_on_bridge;
    char *data_dir;   /* absolute; owned, as all strings here */
    char *public_url; /* NULL: none */
    uint64_t retention_days, retention_bytes;
    char *storage, *blobs;
    char *tls_cert, *tls_key; /* NULL: none */
    char *tokens;             /* path; it need not be there unless the file has it */
    uint64_t connections, per_address, streams, rate;
};

/* Defaults where there is no file.  CORRUPT: refused, with file, line and column. */
DZ_MUST_USE enum dz_rc settings_load(const char *home, struct settings *out, struct dz_err *err);
void settings_fini(struct settings *self);

bool settings_has(const struct settings *self, const char *key);
/* For a complaint that is made only when a value is used: say where in the file it stands, or that
 * it is the default.  Gives back `rc`, so that it can be returned. */
enum dz_rc settings_blame(const struct settings *self, const char *key, enum dz_rc rc,
                          struct dz_err *err);
/* The same for one of the addresses in `listen`. */
enum dz_rc settings_blame_listen(const struct settings *self, size_t index, enum dz_rc rc,
                                 struct dz_err *err);

#endif
