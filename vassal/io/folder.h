/* folder.h - a folder in which processes of one user meet: a lock, a file for each that lives, and no
 * trace when all are gone.  What is written in it is room.h's matter. */
#ifndef DZ_VASSAL_IO_FOLDER_H
#define DZ_VASSAL_IO_FOLDER_H

#include "shared/base/base.h"

enum { FOLDER_NAME_LEN = 16 }; /* hexadecimal digits of a node, and of a key's digest */

/* $XDG_RUNTIME_DIR/dagz where that can be written and is short enough for sockets, else
 * /tmp/dagz-<uid>.  Caller owns. */
char *folder_root(void);
/* Make it, and be sure that it is ours and nobody else's.  REFUSED. */
DZ_MUST_USE enum dz_rc folder_make_private(const char *path, struct dz_err *err);
/* Take away folders below `root` whose members were all killed, but not the one named `except`. */
void folder_sweep(const char *root, const char *except);

/* "<folder>/..."  Caller owns. */
char *folder_path(const char *folder, const char *fmt, ...) DZ_PRINTF(2, 3);
/* Wait for a lock of a folder, which is held by the descriptor that is returned; the caller owns
 * it.  -1 and errno: cannot be locked, or, unless it is to be made, is not there. */
int folder_lock(const char *folder, const char *name, bool is_made);

/* Lock a member's own file for as long as the descriptor is open. */
DZ_MUST_USE bool folder_set_lock(int fd, short type);
/* Does the process live that holds "<node>.node"? */
bool folder_is_alive(const char *folder, uint64_t node);
/* With the lock held: does anybody but `except` live here?  Files of the dead go on the way. */
bool folder_is_inhabited(const char *folder, uint64_t except);
/* With the lock held, when nobody lives here any more. */
void folder_remove(const char *folder);

#endif
