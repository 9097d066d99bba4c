/* project.h - which project a folder belongs to, and what its .dagz/config.yaml says.
 *
 * The nearest .dagz/config.yaml at or above the folder, within the git worktree, decides.  What it
 * does not say is derived: the URI from git's origin and the path in the worktree
 * ("git@github.com:acme/shop.git//services/api"), without git "file://<host>/<dir>"; the time zone
 * from the machine. */
#ifndef DZ_STORE_PROJECT_H
#define DZ_STORE_PROJECT_H

#include "shared/base/base.h"
#include "shared/conf/conf.h"

struct project {
    /* owned strings, never NULL unless said */
    char *root;   /* folder that holds .dagz, or the one that was asked for; absolute */
    char *config; /* path of the config file; NULL: none */
    char *uri, *timezone;
    char *public_url; /* NULL: not set */
    char *commit;     /* GIT_COMMIT_HASH, else git's head, else "" */
    char *profile;    /* DAGZ_PROFILE, else "" */
    bool is_dirty;    /* only if asked for */
    bool has_git;
    struct dz_conf_strs ignore, fast_path_hooks; /* selection: */
    double audit_share;
    struct dz_conf_map resources;
    char *warning; /* one line for people, or NULL */
};

/* CORRUPT: the config file is refused; err has file, line and column. */
DZ_MUST_USE enum dz_rc project_find(const char *dir, bool with_dirty, struct project *out,
                                    struct dz_err *err);
/* The same for `dir` itself, as if there were no config file: what 'zb init' writes. */
DZ_MUST_USE enum dz_rc project_derive(const char *dir, struct project *out, struct dz_err *err);
void project_fini(struct project *self);

#endif
