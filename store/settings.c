/* settings.c - reading daemon.yaml. */
#include "store/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/conf/url.h"

#define AT(field) offsetof(struct settings, field)

/* clang-format off */
static const struct dz_conf_key KEYS[] = {
    { "port", DZ_CONF_U64, AT(port), 0, 65535 },
    { "listen", DZ_CONF_STRS, AT(listen), 0, 0 },
    { "listen_on_docker_bridge", DZ_CONF_BOOL, AT(listens_on_bridge), 0, 0 },
    { "data_dir", DZ_CONF_STR, AT(data_dir), 0, 0 },
    { "public_url", DZ_CONF_STR, AT(public_url), 0, 0 },
    { "retention.days", DZ_CONF_U64, AT(retention_days), 1, 36500 },
    { "retention.max_size", DZ_CONF_BYTES, AT(retention_bytes), 16 << 20, 1e18 },
    { "storage", DZ_CONF_STR, AT(storage), 0, 0 },
    { "blobs", DZ_CONF_STR, AT(blobs), 0, 0 },
    { "tls.cert", DZ_CONF_STR, AT(tls_cert), 0, 0 },
    { "tls.key", DZ_CONF_STR, AT(tls_key), 0, 0 },
    { "tokens", DZ_CONF_STR, AT(tokens), 0, 0 },
    { "limits.connections", DZ_CONF_U64, AT(connections), 16, 100000 },
    { "limits.connections_per_address", DZ_CONF_U64, AT(per_address), 1, 100000 },
    { "limits.streams", DZ_CONF_U64, AT(streams), 1, 100000 },
    { "limits.requests_per_second", DZ_CONF_U64, AT(rate), 1, 1000000 },
};
/* clang-format on */

void
settings_fini(struct settings *self)
{
    dz_conf_fini(KEYS, DZ_LEN(KEYS), self);
}

static char *
under(const char *home, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/local.env/%s", home, name) < 0 ? NULL : path;
}

static void
set_defaults(struct settings *self, const char *home)
{
    *self = (struct settings){
        .port = DZ_URL_PORT,
        .data_dir = under(home, "store"),
        .retention_days = 30,
        .retention_bytes = (uint64_t) 20 << 30,
        .storage = dz_strdup("lmdb"),
        .blobs = dz_strdup("local"),
        .tokens = under(home, "tokens"),
        .connections = 4096,
        .per_address = 512,
        .streams = 2048,
        .rate = 500,
    };
}

/* "~/x" and paths that are relative to the file. */
static void
make_absolute(char **path_p, const char *home)
{
    const char *user = getenv("HOME"); /* NOLINT(concurrency-mt-unsafe): nobody sets it */
    char *path = *path_p, *out = NULL;
    if (!path || path[0] == '/')
        return;
    int len = strncmp(path, "~/", 2) == 0 && user ? asprintf(&out, "%s/%s", user, path + 2)
                                                  : asprintf(&out, "%s/local.env/%s", home, path);
    if (len < 0)
        return;
    free(path);
    *path_p = out;
}

static void
set_default_listen(struct settings *self)
{
    static const char *const addresses[] = { "127.0.0.1", "::1" };
    self->listen.items = dz_alloc0(DZ_LEN(addresses), sizeof(*self->listen.items));
    for (size_t i = 0; i < DZ_LEN(addresses); i++)
        self->listen.items[self->listen.count++] = dz_strdup(addresses[i]);
}

/* What the table of keys cannot say. */
static enum dz_rc
check(const struct settings *self, const char *path, struct dz_err *err)
{
    struct dz_url url;
    if (strcmp(self->storage, "lmdb") != 0)
        return dz_fail(err, DZ_CORRUPT, "%s: storage '%s' is not built in; only lmdb is", path,
                       self->storage);
    if (strcmp(self->blobs, "local") != 0)
        return dz_fail(err, DZ_CORRUPT, "%s: blobs '%s' is not built in; only local is", path,
                       self->blobs);
    if (!self->tls_cert != !self->tls_key)
        return dz_fail(err, DZ_CORRUPT, "%s: tls wants both cert and key", path);
    return self->public_url ? dz_url_parse("public_url", self->public_url, &url, err) : DZ_OK;
}

enum dz_rc
settings_load(const char *home, struct settings *out, struct dz_err *err)
{
    struct settings self;
    DZ_AUTO(dz_free) char *path = under(home, "daemon.yaml");
    set_defaults(&self, home);
    enum dz_rc rc = dz_conf_load(path, KEYS, DZ_LEN(KEYS), &self, err);
    if (rc == DZ_OK || rc == DZ_ABSENT)
        rc = check(&self, path, err);
    if (rc != DZ_OK) {
        settings_fini(&self);
        return rc;
    }
    if (self.listen.count == 0)
        set_default_listen(&self);
    make_absolute(&self.data_dir, home);
    make_absolute(&self.tls_cert, home);
    make_absolute(&self.tls_key, home);
    make_absolute(&self.tokens, home);
    *out = self;
    return DZ_OK;
}
