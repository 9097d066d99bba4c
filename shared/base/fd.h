/* fd.h - descriptors: closing, whole reads and writes, and sending them to other processes. */
#ifndef DZ_SHARED_BASE_FD_H
#define DZ_SHARED_BASE_FD_H

#include "shared/base/base.h"
#include "shared/base/buf.h"

enum { DZ_FDS_MAX = 16 }; /* descriptors of one dz_fd_send() */

void dz_fd_close(int *fd_p); /* sets it to -1; keeps errno; -1 is fine; DZ_AUTO-able */

/* Take the number out of an owning variable and leave -1 behind, as dz_move() does. */
static inline int
dz_fd_move(int *fd_p)
{
    int fd = *fd_p;
    *fd_p = -1;
    return fd;
}

/* As many descriptors as this process may have: a connection is one. */
void dz_fd_raise_limit(void);

DZ_MUST_USE enum dz_rc dz_fd_nonblock(int fd, bool on, struct dz_err *err);
DZ_MUST_USE enum dz_rc dz_fd_cloexec(int fd, bool on, struct dz_err *err);

/* Write all bytes, waiting where the descriptor makes us wait.  CLOSED: nobody reads it.
 * AGAIN: it is non-blocking and would not take everything (how much it took is lost). */
DZ_MUST_USE enum dz_rc dz_fd_write_all(int fd, struct dz_slice bytes, struct dz_err *err);

/* Append at most `max` bytes that are there.  CLOSED: the end.  AGAIN: nothing yet. */
DZ_MUST_USE enum dz_rc dz_fd_read(int fd, struct dz_buf *to, size_t max, struct dz_err *err);

/* Append a whole file.  ABSENT: no such file.  LIMIT: longer than `limit`. */
DZ_MUST_USE enum dz_rc dz_fd_read_file(const char *path, size_t limit, struct dz_buf *to,
                                       struct dz_err *err);

/* Send what the AF_UNIX socket takes now, without SIGPIPE; *sent_out bytes went.  The descriptors
 * (borrowed; fds_len 0: none) travel with the first byte, so `bytes` is not empty then.
 * AGAIN: nothing was sent.  CLOSED: nobody is there. */
DZ_MUST_USE enum dz_rc dz_fd_send(int sock, struct dz_slice bytes, const int *fds, size_t fds_len,
                                  size_t *sent_out, struct dz_err *err);

/* Append up to `max` bytes that are there now, and take descriptors that came with them: they are
 * close-on-exec, the caller owns them.  *fds_len_out of at most fds_cap; LIMIT: more came than
 * that (all are closed).  AGAIN: nothing.  CLOSED: the other end is gone. */
DZ_MUST_USE enum dz_rc dz_fd_recv(int sock, struct dz_buf *to, size_t max, int *fds, size_t fds_cap,
                                  size_t *fds_len_out, struct dz_err *err);

#endif
