/* settings.c - reading daemon.yaml. */
#include "store/settings.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/conf/url.h"

static enum dz_rc
check_storage(const char *text, struct dz_err *why)
{
    return strcmp(text, "lmdb") == 0
               ? DZ_OK
               : dz_fail(why, DZ_CORRUPT, "must be lmdb: '%.60s' is not built in", text);
}

static enum dz_rc
check_blobs(const char *text, struct dz_err *why)
{
    return strcmp(text, "local") == 0
               ? DZ_OK
               : dz_fail(why, DZ_CORRUPT, "must be local: '%.60s' is not built in", text);
}

static enum dz_rc
check_address(const char *text, struct dz_err *why)
{
    uint8_t address[sizeof(struct in6_addr)];
    char bare[INET6_ADDRSTRLEN]; /* fe80::1%eth0 is one, too */
    (void) snprintf(bare, sizeof(bare), "%.*s", (int) strcspn(text, "%"), text);
    bool is_address =
        inet_pton(AF_INET, bare, address) == 1 || inet_pton(AF_INET6, bare, address) == 1;
    return is_address ? DZ_OK
                      : dz_fail(why, DZ_CORRUPT,
                                "must be addresses such as 127.0.0.1 or ::1, not '%.60s'", text);
}

static enum dz_rc
check_url(const char *text, struct dz_err *why)
{
    struct dz_url url;
    struct dz_err unused;
    return dz_url_parse("public_url", text, &url, &unused) == DZ_OK
               ? DZ_OK
               : dz_fail(why, DZ_CORRUPT,
                         "must be a URL such as https://dagz.acme.example, not '%.60s'", text);
}

/* Only the own home has a short name: "~somebody/x" would be a folder of that name. */
static enum dz_rc
check_path(const char *text, struct dz_err *why)
{
    bool is_somebodys = text[0] == '~' && text[1] != '/';
    return *text && !is_somebodys
               ? DZ_OK
               : dz_fail(why, DZ_CORRUPT, "must be a path such as /srv/dagz or ~/dagz, not '%.60s'",
                         text);
}

#define AT(field) offsetof(struct settings, field)

/* clang-format off */
static const struct dz_conf_key KEYS[] = {
    { "port", DZ_CONF_U64, AT(port), 0, 65535, NULL, NULL },
    { "listen", DZ_CONF_STRS, AT(listen), 0, 0, check_address, NULL },
    { "listen_on_docker_bridge", DZ_CONF_BOOL, AT(listens_on_bridge), 0, 0, NULL, NULL },
    { "data_dir", DZ_CONF_STR, AT(data_dir), 0, 0, check_path, NULL },
    { "public_url", DZ_CONF_STR, AT(public_url), 0, 0, check_url, NULL },
    { "retention.days", DZ_CONF_U64, AT(retention_days), 1, 36500, NULL, NULL },
    { "retention.max_size", DZ_CONF_BYTES, AT(retention_bytes), 16 << 20, 0x1p60, NULL, NULL },
    { "storage", DZ_CONF_STR, AT(storage), 0, 0, check_storage, NULL },
    { "blobs", DZ_CONF_STR, AT(blobs), 0, 0, check_blobs, NULL },
    { "tls.cert", DZ_CONF_STR, AT(tls_cert), 0, 0, check_path, "tls.key" },
    { "tls.key", DZ_CONF_STR, AT(tls_key), 0, 0, check_path, "tls.cert" },
    { "tokens", DZ_CONF_STR, AT(tokens), 0, 0, check_path, NULL },
    { "limits.connections", DZ_CONF_U64, AT(connections), 16, 100000, NULL, NULL },
    { "limits.connections_per_address", DZ_CONF_U64, AT(per_address), 1, 100000, NULL, NULL },
    { "limits.streams", DZ_CONF_U64, AT(streams), 1, 100000, NULL, NULL },
    { "limits.requests_per_second", DZ_CONF_U64, AT(rate), 1, 1000000, NULL, NULL },
};
/* clang-format on */

static_assert(DZ_LEN(KEYS) == SETTINGS_KEYS, "a mark for each key");

void
settings_fini(struct settings *self)
{
    free(self->path);
    self->path = NULL;
    dz_conf_fini(KEYS, DZ_LEN(KEYS), self);
}

/* ---- complaints that come later ---- */

static struct dz_conf_mark
mark_of(const struct settings *self, const char *key)
{
    size_t i = 0;
    while (strcmp(KEYS[i].path, key) != 0) {
        i++;
        dz_assert(i < DZ_LEN(KEYS));
    }
    return self->marks[i];
}

bool
settings_has(const struct settings *self, const char *key)
{
    return mark_of(self, key).line > 0;
}

static enum dz_rc
blame(const struct settings *self, const char *key, struct dz_conf_mark mark, enum dz_rc rc,
      struct dz_err *err)
{
    if (mark.line > 0) {
        dz_conf_blame(self->path, mark, err);
        return rc;
    }
    struct dz_err what = *err;
    return dz_fail(err, rc, "%s (the default: '%s' is not set in daemon.yaml)", what.text, key);
}

enum dz_rc
settings_blame(const struct settings *self, const char *key, enum dz_rc rc, struct dz_err *err)
{
    return blame(self, key, mark_of(self, key), rc, err);
}

enum dz_rc
settings_blame_listen(const struct settings *self, size_t index, enum dz_rc rc, struct dz_err *err)
{
    const struct dz_conf_mark *marks = self->listen.marks; /* an empty list has none */
    return blame(self, "listen", marks ? marks[index] : mark_of(self, "listen"), rc, err);
}

/* ---- reading ---- */

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
        .path = under(home, "daemon.yaml"),
        .port = DZ_URL_PORT,
        .data_dir = under(home, "store"),
        .retention_days = 30,
        .retention_bytes = (uint64_t) 20 << 30,
        .storage = dz_strdup("lmdb"),
        .blobs = dz_strdup("local"),
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

enum dz_rc
settings_load(const char *home, struct settings *out, struct dz_err *err)
{
    struct settings self;
    set_defaults(&self, home);
    enum dz_rc rc = dz_conf_load(self.path, KEYS, DZ_LEN(KEYS), &self, self.marks, err);
    if (rc != DZ_OK && rc != DZ_ABSENT) {
        settings_fini(&self);
        return rc;
    }
    if (self.listen.count == 0)
        set_default_listen(&self);
    make_absolute(&self.data_dir, home);
    make_absolute(&self.tls_cert, home);
    make_absolute(&self.tls_key, home);
    if (!self.tokens)
        self.tokens = under(home, "tokens");
    make_absolute(&self.tokens, home);
    *out = self;
    return DZ_OK;
}
