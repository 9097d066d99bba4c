#include "shared/base/files.h"

#include <ftw.h>
#include <stdio.h>

enum { OPEN_MAX_FDS = 16 };

static int
remove_one(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void) info, (void) kind, (void) place;
    (void) remove(path);
    return 0;
}

void
dz_remove_tree(const char *path)
{
    (void) nftw(path, remove_one, OPEN_MAX_FDS, FTW_DEPTH | FTW_PHYS);
}
