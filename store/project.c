/* project.c - where a project begins, what it is called, what its config file says. */
#include "store/project.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/buf.h"
#include "shared/vcs/vcs.h"
#include "store/zone.h"

enum { RESOURCE_MAX = 1000000 };

static enum dz_rc
check_uri(const char *text, struct dz_err *why)
{
    return *text && !strpbrk(text, "\n\r\t")
               ? DZ_OK
               : dz_fail(why, DZ_CORRUPT, "is not the name of a project");
}

static enum dz_rc
check_timezone(const char *text, struct dz_err *why)
{
    DZ_AUTO(zone_destroy) struct zone *zone = zone_new(text);
    bool has_zones = access("/usr/share/zoneinfo", F_OK) == 0; /* small images have none */
    if (has_zones && !zone_is_known(zone))
        return dz_fail(why, DZ_CORRUPT, "names no time zone: '%.60s' (try Europe/Berlin, UTC)",
                       text);
    return DZ_OK;
}

static const struct dz_conf_key KEYS[] = {
    { "project.uri", DZ_CONF_STR, offsetof(struct project, uri), 0, 0, check_uri, NULL },
    { "project.timezone", DZ_CONF_STR, offsetof(struct project, timezone), 0, 0, check_timezone,
      NULL },
    { "project.public_url", DZ_CONF_STR, offsetof(struct project, public_url), 0, 0, NULL, NULL },
    { "selection.ignore", DZ_CONF_STRS, offsetof(struct project, ignore), 0, 0, NULL, NULL },
    { "selection.audit_share", DZ_CONF_REAL, offsetof(struct project, audit_share), 0, 1, NULL,
      NULL },
    { "selection.fast_path_hooks", DZ_CONF_STRS, offsetof(struct project, fast_path_hooks), 0, 0,
      NULL, NULL },
    { "resources", DZ_CONF_MAP, offsetof(struct project, resources), 1, RESOURCE_MAX, NULL, NULL },
};

static char *DZ_PRINTF(1, 2) text(const char *fmt, ...)
{
    char *out = NULL;
    va_list args;
    va_start(args, fmt);
    int len = vasprintf(&out, fmt, args);
    va_end(args);
    dz_assert(len >= 0);
    return out;
}

static const char *
env(const char *name)
{
    const char *value = getenv(name); /* NOLINT(concurrency-mt-unsafe): nobody here sets it */
    return value ? value : "";
}

/* The folder above, in place; false at the top. */
static bool
go_up(char *dir)
{
    char *slash = strrchr(dir, '/');
    if (!slash || strcmp(dir, "/") == 0)
        return false;
    *(slash == dir ? slash + 1 : slash) = '\0';
    return true;
}

static bool
has_config(const char *dir)
{
    DZ_AUTO(dz_free) char *path = text("%s/.dagz/config.yaml", dir);
    return access(path, F_OK) == 0;
}

/* The nearest folder with a config file, not above `stop` (NULL: the file system's top). */
static void
find_config(struct project *self, const char *stop)
{
    DZ_AUTO(dz_free) char *dir = dz_strdup(self->root);
    bool is_last = false;
    while (!has_config(dir)) {
        is_last = (stop && strcmp(dir, stop) == 0) || !go_up(dir);
        if (is_last)
            return;
    }
    self->config = text("%s/.dagz/config.yaml", strcmp(dir, "/") ? dir : "");
    free(self->root);
    self->root = dz_move(dir);
}

static enum dz_rc
read_config(struct project *self, struct dz_err *err)
{
    if (!self->config)
        return DZ_OK;
    enum dz_rc rc = dz_conf_load(self->config, KEYS, DZ_LEN(KEYS), self, NULL, err);
    if (rc == DZ_ABSENT)
        return DZ_OK; /* gone since a moment ago */
    return rc;
}

static void
derive_uri(struct project *self, struct dz_vcs *vcs)
{
    struct dz_err unused;
    DZ_AUTO(dz_free) char *origin = vcs ? dz_vcs_origin(vcs) : NULL;
    DZ_AUTO(dz_free) char *prefix = NULL;
    if (origin && dz_vcs_prefix(vcs, self->root, &prefix, &unused) == DZ_OK) {
        self->uri = *prefix ? text("%s//%s", origin, prefix) : dz_move(origin);
        return;
    }
    char host[256] = "localhost";
    if (gethostname(host, sizeof(host) - 1) != 0)
        host[0] = '\0';
    self->uri = text("file://%s%s", host, self->root);
    if (!self->warning)
        self->warning = text("%s, so this project is called %s, on this machine only; "
                             "'zb init' gives it a name that stays",
                             vcs ? "git has no remote" : "there is no git repository", self->uri);
}

static void
derive_commit(struct project *self, struct dz_vcs *vcs, bool with_dirty)
{
    struct dz_err unused;
    char hex[DZ_VCS_HEX + 1] = "";
    const char *given = env("GIT_COMMIT_HASH");
    if (!*given && vcs && dz_vcs_head(vcs, hex, &unused) != DZ_OK)
        hex[0] = '\0'; /* no commit yet */
    self->commit = dz_strdup(*given ? given : hex);
    if (with_dirty && vcs && dz_vcs_dirty(vcs, &self->is_dirty, &unused) != DZ_OK)
        self->is_dirty = false; /* a hint for people, not worth a failure */
}

enum asked { ASKED_CONFIG = 1, ASKED_DIRTY = 2 };

static enum dz_rc
find(struct project *self, struct dz_vcs *vcs, unsigned asked, struct dz_err *err)
{
    char top[PATH_MAX];
    const char *worktree = vcs ? dz_vcs_worktree(vcs) : NULL;
    if (asked & ASKED_CONFIG)
        find_config(self, worktree && realpath(worktree, top) ? top : NULL);
    enum dz_rc rc = read_config(self, err);
    if (rc != DZ_OK)
        return rc;
    if (!self->uri)
        derive_uri(self, vcs);
    if (!self->timezone)
        self->timezone = zone_local_name();
    derive_commit(self, vcs, asked & ASKED_DIRTY);
    self->profile = dz_strdup(env("DAGZ_PROFILE"));
    return DZ_OK;
}

static enum dz_rc
look(const char *dir, unsigned asked, struct project *out, struct dz_err *err)
{
    char full[PATH_MAX];
    struct dz_err why = { "" };
    struct project self = { .audit_share = 0.01 };
    DZ_AUTO(dz_vcs_close) struct dz_vcs *vcs = NULL;
    if (!realpath(dir, full))
        return dz_fail(err, errno == ENOENT ? DZ_ABSENT : DZ_IO, "there is no folder '%s'", dir);
    self.root = dz_strdup(full);
    enum dz_rc rc = dz_vcs_open(full, &vcs, &why);
    if (rc != DZ_OK && rc != DZ_ABSENT)
        self.warning = text("%s; going on without git", why.text);
    self.has_git = vcs != NULL;
    rc = find(&self, vcs, asked, err);
    if (rc == DZ_OK)
        *out = self;
    else
        project_fini(&self);
    return rc;
}

enum dz_rc
project_find(const char *dir, bool with_dirty, struct project *out, struct dz_err *err)
{
    return look(dir, ASKED_CONFIG | (with_dirty ? ASKED_DIRTY : 0), out, err);
}

enum dz_rc
project_derive(const char *dir, struct project *out, struct dz_err *err)
{
    return look(dir, 0, out, err);
}

void
project_fini(struct project *self)
{
    dz_conf_fini(KEYS, DZ_LEN(KEYS), self);
    free(self->root);
    free(self->config);
    free(self->commit);
    free(self->profile);
    free(self->warning);
    *self = (struct project){ 0 };
}
