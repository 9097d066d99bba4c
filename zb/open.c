/* open.c - which project the user stands in, its store, and the job that is meant. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/conf/conf.h"
#include "shared/conf/url.h"
#include "shared/vcs/vcs.h"
#include "zb/zb.h"

enum { FOLDERS_MAX = 64 };

int
zb_exit_of(enum dz_rc rc)
{
    switch (rc) {
    case DZ_OK: return ZB_DONE;
    case DZ_ABSENT: return ZB_ABSENT;
    case DZ_REFUSED: return ZB_DENIED;
    case DZ_VERSION: return ZB_VERSION;
    case DZ_IO:
    case DZ_CORRUPT:
    case DZ_FULL:
    case DZ_CLOSED: return ZB_NO_STORE;
    case DZ_LIMIT:
    case DZ_EXISTS:
    case DZ_AGAIN: break;
    }
    return ZB_USAGE;
}

/* In a folder below the one that pytest ran in, the name derived from the folder is not the
 * project's: the nearest folder above whose project has jobs is meant. */
static void
look_above(struct zb *self)
{
    struct project found = { 0 };
    DZ_AUTO(dz_free) char *dir = dz_strdup(self->project.root);
    for (int i = 0; i < FOLDERS_MAX; i++) {
        struct dz_err unused;
        char *slash = strrchr(dir, '/');
        if (!slash || slash == dir)
            return;
        *slash = '\0';
        if (project_find(dir, false, &found, &unused) != DZ_OK)
            return;
        if (self->source->ops->knows_project(self->source, found.uri)) {
            project_fini(&self->project);
            self->project = found;
            return;
        }
        project_fini(&found);
    }
}

/* One that is not there yet can be made. */
static bool
can_be_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? S_ISDIR(info.st_mode) : errno != ENOTDIR;
}

/* A server that the user names is asked, unless it is the daemon of this very home: its store is
 * read directly, and so is the local one when nobody named any. */
static enum dz_rc
open_source(struct zb *self, struct dz_err *err)
{
    DZ_AUTO(dz_free) char *home = store_home();
    struct dz_url url;
    enum dz_rc rc = dz_url_find(self->url, home, &url, err);
    if (rc != DZ_OK)
        return DZ_LIMIT; /* usage */
    bool is_named = url.from == DZ_URL_OPTION || url.from == DZ_URL_ENV;
    if (is_named && !url.is_none && !url.is_home)
        return source_remote(url.text, &self->source, err);
    if (!can_be_folder(home))
        return dz_fail(err, DZ_IO, "DAGZ_HOME: '%s' is not a folder", home);
    return source_local(home, &self->source, err);
}

int
zb_open_if_there(struct zb *self)
{
    struct dz_err err;
    enum dz_rc rc = project_find(self->dir ? self->dir : ".", false, &self->project, &err);
    if (rc != DZ_OK)
        return zb_fail(self, rc == DZ_ABSENT ? ZB_ABSENT : ZB_USAGE, "%s", err.text);
    rc = open_source(self, &err);
    if (rc == DZ_ABSENT)
        return ZB_DONE;
    if (rc != DZ_OK)
        return zb_fail(self, zb_exit_of(rc), "%s", err.text);
    if (!self->project.config && !self->source->ops->knows_project(self->source, self->project.uri))
        look_above(self);
    return ZB_DONE;
}

int
zb_open(struct zb *self)
{
    int code = zb_open_if_there(self);
    if (code != ZB_DONE || self->source)
        return code;
    DZ_AUTO(dz_free) char *home = store_home();
    return zb_fail(self, ZB_ABSENT,
                   "no job has run yet: there is no store in %s; 'pytest --dagz' makes the first",
                   home);
}

void
zb_close(struct zb *self)
{
    source_close(&self->source);
    project_fini(&self->project);
    dz_buf_fini(&self->out);
}

/* ---- jobs ---- */

static int
find_by_revision(struct zb *self, const char *spec, char ulid_out[STORE_ULID_LEN + 1],
                 struct dz_err *err)
{
    char hex[DZ_VCS_HEX + 1];
    struct dz_err unused;
    DZ_AUTO(dz_vcs_close) struct dz_vcs *vcs = NULL;
    if (dz_vcs_open(self->project.root, &vcs, &unused) != DZ_OK ||
        dz_vcs_resolve(vcs, spec, hex, &unused) != DZ_OK)
        return DZ_REFUSED;
    return (int) self->source->ops->find_by_commit(self->source, self->project.uri, hex, ulid_out,
                                                   err);
}

int
zb_find_job(struct zb *self, const char *spec, char ulid_out[STORE_ULID_LEN + 1])
{
    static const char *const words[] = { "latest", "@{-1}" };
    struct dz_err err, git_err;
    enum dz_rc rc = self->source->ops->find(self->source, self->project.uri, spec, ulid_out, &err);
    if (rc == DZ_AGAIN) { /* perhaps a branch, a tag, HEAD~2 */
        int by_git = find_by_revision(self, spec, ulid_out, &git_err);
        if (by_git == DZ_OK)
            return ZB_DONE;
        if (by_git != DZ_REFUSED)
            return zb_fail(self, zb_exit_of((enum dz_rc) by_git), "%s", git_err.text);
        const char *near = dz_nearest(spec, words, DZ_LEN(words));
        if (near)
            return zb_fail(self, ZB_ABSENT, "%s; did you mean '%s'?", err.text, near);
        return zb_fail(self, ZB_ABSENT, "%s and git knows no such revision (see 'zb help names')",
                       err.text);
    }
    return rc == DZ_OK ? ZB_DONE
                       : zb_fail(self, rc == DZ_LIMIT ? ZB_ABSENT : zb_exit_of(rc), "%s", err.text);
}

void
zb_suggest_tests(struct zb *self, const char *ulid, const char *name)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf list = { 0 };
    struct dz_err unused;
    if (self->source->ops->near(self->source, ulid, name, &list, &unused) != DZ_OK)
        return;
    dz_buf_add(&list, "", 1);
    char *rest = NULL;
    for (char *id = strtok_r((char *) list.data, "\n", &rest); id; id = strtok_r(NULL, "\n", &rest))
        (void) fprintf(stderr, "  did you mean %s\n", id);
}

void
zb_say_first_steps(struct zb *self)
{
    zb_say(self, "No job has run here yet.\n\n");
    zb_say(self,
           "  zb init           name the project in .dagz/config.yaml (once, and commit it)\n");
    zb_say(self, "  pytest --dagz     run the tests\n");
    zb_say(self, "  zb job            then look at what happened\n");
}
