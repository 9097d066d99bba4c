/* files.h - folders by their path. */
#ifndef DZ_SHARED_BASE_FILES_H
#define DZ_SHARED_BASE_FILES_H

/* Remove a folder with all that is below it.  Links are not followed, other filesystems are; what
 * cannot be removed stays, and it is no error that there is nothing. */
void dz_remove_tree(const char *path);

#endif
