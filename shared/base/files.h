/* files.h - files and folders by their path. */
#ifndef DZ_SHARED_BASE_FILES_H
#define DZ_SHARED_BASE_FILES_H

#include <sys/types.h>

#include "shared/base/base.h"

/* Put a file in the place of what `path` names, in one step: a reader finds all of the one or of the
 * other, and so does one who comes after a crash of this process (not of the machine: nothing is
 * synced).  Beside it there is "<path>.new" for a moment.  IO: it is as it was. */
DZ_MUST_USE enum dz_rc dz_replace_file(const char *path, mode_t mode, struct dz_slice text,
                                       struct dz_err *err);

/* Remove a folder with all that is below it.  Links are not followed, other filesystems are; what
 * cannot be removed stays, and it is no error that there is nothing. */
void dz_remove_tree(const char *path);

#endif
