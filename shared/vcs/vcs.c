/* vcs.c - questions to libgit2, answered without running git. */
#include "shared/vcs/vcs.h"

#include <errno.h>
#include <git2.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { HASH_BUDGET = 8 << 20 }; /* bytes of files whose times say nothing */

struct dz_vcs {
    git_repository *repo; /* owned */
    char *worktree;       /* owned; NULL: bare */
};

static enum dz_rc
fail_git(struct dz_err *err, const char *what, const char *thing)
{
    const git_error *why = git_error_last();
    return dz_fail(err, DZ_IO, "%s '%s': %s", what, thing, why ? why->message : "git says no more");
}

enum dz_rc
dz_vcs_open(const char *path, struct dz_vcs **self_out, struct dz_err *err)
{
    if (git_libgit2_init() < 0)
        return fail_git(err, "start libgit2 for", path);
    /* In a container the checkout belongs to another user; we only read, so that is no danger. */
    (void) git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);

    DZ_AUTO(dz_vcs_close) struct dz_vcs *self = dz_alloc0(1, sizeof(*self));
    int code = git_repository_open_ext(&self->repo, path, 0, NULL);
    if (code == GIT_ENOTFOUND)
        return dz_fail(err, DZ_ABSENT, "'%s' is not in a git repository", path);
    if (code != 0)
        return fail_git(err, "open the git repository of", path);
    const char *worktree = git_repository_workdir(self->repo);
    if (worktree) {
        self->worktree = dz_strdup(worktree);
        size_t len = strlen(self->worktree);
        if (len > 1 && self->worktree[len - 1] == '/')
            self->worktree[len - 1] = '\0';
    }
    *self_out = dz_move(self);
    return DZ_OK;
}

void
dz_vcs_close(struct dz_vcs **self_p)
{
    struct dz_vcs *self = dz_move(*self_p);
    if (!self)
        return;
    git_repository_free(self->repo);
    free(self->worktree);
    free(self);
    (void) git_libgit2_shutdown(); /* counts; pairs with the init of open */
}

const char *
dz_vcs_worktree(struct dz_vcs *self)
{
    return self->worktree;
}

/* "https://user:token@host/path" without what is before the @. */
static char *
without_secret(const char *url)
{
    const char *rest = NULL;
    if (strncmp(url, "https://", 8) == 0)
        rest = url + 8;
    else if (strncmp(url, "http://", 7) == 0)
        rest = url + 7;
    if (!rest)
        return dz_strdup(url);
    size_t host_len = strcspn(rest, "/");
    const char *at = memrchr(rest, '@', host_len);
    if (!at)
        return dz_strdup(url);
    size_t scheme_len = (size_t) (rest - url), tail_len = strlen(at + 1);
    char *clean = dz_alloc0(scheme_len + tail_len + 1, 1);
    memcpy(clean, url, scheme_len);
    memcpy(clean + scheme_len, at + 1, tail_len);
    return clean;
}

static bool
is_remote_url(const char *name)
{
    static const char before[] = "remote.", after[] = ".url";
    size_t len = strlen(name);
    return len > sizeof(before) + sizeof(after) - 2 &&
           strncmp(name, before, sizeof(before) - 1) == 0 &&
           strcmp(name + len - (sizeof(after) - 1), after) == 0;
}

/* git_remote_list() would do, but it leaks 20 KB for each entry of the configuration. */
char *
dz_vcs_origin(struct dz_vcs *self)
{
    git_config *config = NULL;
    git_config_iterator *it = NULL;
    git_config_entry *entry;
    char *origin = NULL, *only = NULL;
    unsigned remotes = 0;
    if (git_repository_config_snapshot(&config, self->repo) == 0 &&
        git_config_iterator_new(&it, config) == 0) {
        while (git_config_next(&entry, it) == 0) {
            if (!is_remote_url(entry->name))
                continue;
            char **url_p = strcmp(entry->name, "remote.origin.url") == 0 ? &origin : &only;
            free(*url_p);
            *url_p = without_secret(entry->value);
            remotes++;
        }
    }
    git_config_iterator_free(it);
    git_config_free(config);
    if (!origin && remotes == 1)
        origin = dz_move(only);
    free(only);
    return origin;
}

enum dz_rc
dz_vcs_prefix(struct dz_vcs *self, const char *path, char **prefix_out, struct dz_err *err)
{
    char full[PATH_MAX], top[PATH_MAX];
    if (!self->worktree)
        return dz_fail(err, DZ_ABSENT, "a bare git repository has no worktree");
    if (!realpath(path, full))
        return dz_fail_errno(err, "find '%s'", path);
    if (!realpath(self->worktree, top))
        return dz_fail_errno(err, "find '%s'", self->worktree);
    size_t len = strlen(top);
    if (len == 1)
        len = 0; /* the worktree is "/" */
    if (strncmp(full, top, len) != 0 || (full[len] != '/' && full[len] != '\0'))
        return dz_fail(err, DZ_ABSENT, "'%s' is outside of the worktree '%s'", full, top);
    *prefix_out = dz_strdup(full[len] == '/' ? full + len + 1 : "");
    return DZ_OK;
}

enum dz_rc
dz_vcs_resolve(struct dz_vcs *self, const char *rev, char hex_out[DZ_VCS_HEX + 1],
               struct dz_err *err)
{
    git_object *object = NULL, *commit = NULL;
    int code = git_revparse_single(&object, self->repo, rev);
    if (code == 0)
        code = git_object_peel(&commit, object, GIT_OBJECT_COMMIT);
    git_object_free(object);
    if (code != 0)
        return dz_fail(err, DZ_ABSENT, "git knows no commit '%s'", rev);
    (void) git_oid_tostr(hex_out, DZ_VCS_HEX + 1, git_object_id(commit));
    git_object_free(commit);
    return DZ_OK;
}

enum dz_rc
dz_vcs_head(struct dz_vcs *self, char hex_out[DZ_VCS_HEX + 1], struct dz_err *err)
{
    git_oid oid;
    int code = git_reference_name_to_id(&oid, self->repo, "HEAD");
    if (code == GIT_ENOTFOUND)
        return dz_fail(err, DZ_ABSENT, "there is no commit yet");
    if (code != 0)
        return fail_git(err, "read HEAD of", self->worktree ? self->worktree : "a bare repository");
    (void) git_oid_tostr(hex_out, DZ_VCS_HEX + 1, &oid);
    return DZ_OK;
}

/* ---- dirty ---- */

/* Does what is staged differ from the commit? */
static enum dz_rc
is_staged(struct dz_vcs *self, bool *out, struct dz_err *err)
{
    git_object *tree = NULL;
    git_diff *diff = NULL;
    int code = git_revparse_single(&tree, self->repo, "HEAD^{tree}");
    if (code == 0)
        code = git_diff_tree_to_index(&diff, self->repo, (git_tree *) tree, NULL, NULL);
    if (code == 0)
        *out = git_diff_num_deltas(diff) > 0;
    git_diff_free(diff);
    git_object_free(tree);
    return code == 0 || code == GIT_ENOTFOUND ? DZ_OK : fail_git(err, "compare", self->worktree);
}

/* One tracked file.  Size and time of the index answer nearly always; after a copy of the whole
 * checkout they do not, and then only so many bytes are hashed: this is a hint for people, and not
 * worth the seconds that a large project would cost each run. */
static bool
is_changed(struct dz_vcs *self, const git_index_entry *entry, size_t *budget)
{
    char path[PATH_MAX];
    struct stat file;
    git_oid oid;
    bool is_file = (entry->mode & S_IFMT) == S_IFREG;
    if (!is_file || snprintf(path, sizeof(path), "%s/%s", self->worktree, entry->path) >= PATH_MAX)
        return false; /* links and submodules are not looked at */
    if (lstat(path, &file) != 0)
        return errno == ENOENT || errno == ENOTDIR;
    if ((uint32_t) file.st_size != entry->file_size)
        return true;
    bool is_same_time = file.st_mtim.tv_sec == entry->mtime.seconds &&
                        (uint32_t) file.st_mtim.tv_nsec == entry->mtime.nanoseconds;
    if (is_same_time || (size_t) file.st_size > *budget)
        return false;
    *budget -= (size_t) file.st_size;
    return git_repository_hashfile(&oid, self->repo, path, GIT_OBJECT_BLOB, NULL) == 0 &&
           !git_oid_equal(&oid, &entry->id);
}

enum dz_rc
dz_vcs_dirty(struct dz_vcs *self, bool *is_dirty_out, struct dz_err *err)
{
    git_index *index = NULL;
    bool is_dirty = false;
    size_t budget = HASH_BUDGET;
    if (!self->worktree) {
        *is_dirty_out = false;
        return DZ_OK;
    }
    enum dz_rc rc = is_staged(self, &is_dirty, err);
    if (rc == DZ_OK && git_repository_index(&index, self->repo) != 0)
        rc = fail_git(err, "read the index of", self->worktree);
    size_t count = index ? git_index_entrycount(index) : 0;
    for (size_t i = 0; i < count && !is_dirty; i++)
        is_dirty = is_changed(self, git_index_get_byindex(index, i), &budget);
    git_index_free(index);
    if (rc == DZ_OK)
        *is_dirty_out = is_dirty;
    return rc;
}
