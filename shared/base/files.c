#include "shared/base/files.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "shared/base/fd.h"

enum { OPEN_MAX_FDS = 16 };

enum dz_rc
dz_replace_file(const char *path, mode_t mode, struct dz_slice text, struct dz_err *err)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf name = { 0 };
    dz_buf_addf(&name, "%s.new", path);
    DZ_AUTO(dz_free) char *fresh = dz_slice_dup(dz_buf_slice(&name));
    DZ_AUTO(dz_fd_close) int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0)
        return dz_fail_errno(err, "write '%s'", fresh);
    enum dz_rc rc = dz_fd_write_all(fd, text, err);
    if (rc == DZ_OK && rename(fresh, path) != 0)
        rc = dz_fail_errno(err, "write '%s'", path);
    if (rc != DZ_OK)
        (void) unlink(fresh);
    return rc;
}

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
