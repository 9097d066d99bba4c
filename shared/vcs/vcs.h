/* vcs.h - what git says about a folder.  The only door to libgit2; read-only.
 *
 * Who owns the repository does not matter here (in containers it is often somebody else): nothing
 * of it is ever executed. */
#ifndef DZ_SHARED_VCS_VCS_H
#define DZ_SHARED_VCS_VCS_H

#include "shared/base/base.h"

struct dz_vcs;

enum { DZ_VCS_HEX = 40 }; /* hex digits of a commit */

/* The repository that `path` is in.  ABSENT: none. */
DZ_MUST_USE enum dz_rc dz_vcs_open(const char *path, struct dz_vcs **self_out, struct dz_err *err);
void dz_vcs_close(struct dz_vcs **self_p);

/* URL of the remote `origin`, else of the only remote, with user and password of http(s) URLs
 * removed (CI puts tokens there).  Caller owns; NULL: no remote. */
char *dz_vcs_origin(struct dz_vcs *self);

/* Absolute path of the worktree without a slash at its end; NULL: bare.  Borrowed from self. */
const char *dz_vcs_worktree(struct dz_vcs *self);

/* `path` (absolute or relative to the current directory) relative to the worktree: "" for its
 * top, "services/api" below.  ABSENT: it is outside.  Caller owns *prefix_out. */
DZ_MUST_USE enum dz_rc dz_vcs_prefix(struct dz_vcs *self, const char *path, char **prefix_out,
                                     struct dz_err *err);

/* The commit checked out.  ABSENT: no commit yet. */
DZ_MUST_USE enum dz_rc dz_vcs_head(struct dz_vcs *self, char hex_out[DZ_VCS_HEX + 1],
                                   struct dz_err *err);

/* The commit that a revision expression ("HEAD~2", a branch, a hex prefix) means.  ABSENT. */
DZ_MUST_USE enum dz_rc dz_vcs_resolve(struct dz_vcs *self, const char *rev,
                                      char hex_out[DZ_VCS_HEX + 1], struct dz_err *err);

/* Do tracked files differ from the commit checked out?  A hint for people: files that kept their size
 * but not their time (a copied checkout) are compared up to 8 MiB, and taken as unchanged beyond. */
DZ_MUST_USE enum dz_rc dz_vcs_dirty(struct dz_vcs *self, bool *is_dirty_out, struct dz_err *err);

#endif
