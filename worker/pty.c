#include "worker/pty.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "shared/base/fd.h"
#include "shared/base/log.h"

enum { ROWS = 24, COLUMNS = 80, NAME_MAX_LEN = 64 };

static enum dz_rc
make_raw(int slave, struct dz_err *err)
{
    struct termios mode;
    if (tcgetattr(slave, &mode) != 0)
        return dz_fail_errno(err, "read the mode of a pseudo-terminal");
    cfmakeraw(&mode);
    if (tcsetattr(slave, TCSANOW, &mode) != 0)
        return dz_fail_errno(err, "set the mode of a pseudo-terminal");
    struct winsize size = { .ws_row = ROWS, .ws_col = COLUMNS };
    (void) ioctl(slave, TIOCSWINSZ, &size); /* programs that ask get the usual size */
    return DZ_OK;
}

static enum dz_rc
open_terminal(int *master_out, int *slave_out, struct dz_err *err)
{
    DZ_AUTO(dz_fd_close) int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (master < 0)
        return dz_fail_errno(err, "open a pseudo-terminal");
    char name[NAME_MAX_LEN];
    if (grantpt(master) != 0 || unlockpt(master) != 0 || ptsname_r(master, name, sizeof(name)) != 0)
        return dz_fail_errno(err, "unlock a pseudo-terminal");
    DZ_AUTO(dz_fd_close) int slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        return dz_fail_errno(err, "open %s", name);
    enum dz_rc rc = make_raw(slave, err);
    if (rc != DZ_OK)
        return rc;
    *master_out = master;
    *slave_out = slave;
    master = slave = -1;
    return DZ_OK;
}

enum dz_rc
pty_open(int *master_out, int *slave_out, struct dz_err *err)
{
    int pair[2];
    if (open_terminal(master_out, slave_out, err) == DZ_OK)
        return DZ_OK;
    log_warn("pty.none", "why=%s", err->text);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return dz_fail_errno(err, "make a pair of sockets");
    *master_out = pair[0];
    *slave_out = pair[1];
    if (fcntl(pair[0], F_SETFL, O_NONBLOCK) == 0)
        return DZ_OK;
    dz_fd_close(master_out);
    dz_fd_close(slave_out);
    return dz_fail_errno(err, "keep a read from waiting");
}
