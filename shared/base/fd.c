#include "shared/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

void
dz_fd_close(int *fd_p)
{
    int saved = errno;
    if (*fd_p >= 0)
        (void) close(*fd_p); /* Linux frees the number even when it says EINTR */
    *fd_p = -1;
    errno = saved;
}

void
dz_fd_raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void) setrlimit(RLIMIT_NOFILE, &limit); /* fewer will do */
    }
}

enum dz_rc
dz_fd_nonblock(int fd, bool on, struct dz_err *err)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return dz_fail_errno(err, "read the flags of descriptor %d", fd);
    int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    if (wanted != flags && fcntl(fd, F_SETFL, wanted) != 0)
        return dz_fail_errno(err, "set the flags of descriptor %d", fd);
    return DZ_OK;
}

enum dz_rc
dz_fd_cloexec(int fd, bool on, struct dz_err *err)
{
    if (fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) != 0)
        return dz_fail_errno(err, "set close-on-exec of descriptor %d", fd);
    return DZ_OK;
}

static enum dz_rc
fail_io(const char *what, struct dz_err *err)
{
    if (errno == EAGAIN)
        return dz_fail(err, DZ_AGAIN, "%s: not now", what);
    if (errno == EPIPE || errno == ECONNRESET)
        return dz_fail(err, DZ_CLOSED, "%s: the other end is gone", what);
    if (errno == ENOSPC || errno == EDQUOT)
        return dz_fail(err, DZ_FULL, "%s: no space left", what);
    return dz_fail_errno(err, "%s", what);
}

enum dz_rc
dz_fd_write_all(int fd, struct dz_slice bytes, struct dz_err *err)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.ptr, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_io("write", err);
        bytes.ptr += n;
        bytes.len -= (size_t) n;
    }
    return DZ_OK;
}

enum dz_rc
dz_fd_read(int fd, struct dz_buf *to, size_t max, struct dz_err *err)
{
    uint8_t *at = dz_buf_reserve(to, max);
    ssize_t n = -1;
    do {
        n = read(fd, at, max);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return fail_io("read", err);
    if (n == 0)
        return dz_fail(err, DZ_CLOSED, "read: the end");
    to->len += (size_t) n;
    return DZ_OK;
}

enum { READ_STEP = 65536 };

enum dz_rc
dz_fd_read_file(const char *path, size_t limit, struct dz_buf *to, struct dz_err *err)
{
    DZ_AUTO(dz_fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return dz_fail(err, DZ_ABSENT, "'%s' does not exist", path);
    if (fd < 0)
        return dz_fail_errno(err, "open '%s'", path);
    size_t before = to->len;
    for (;;) {
        struct dz_err why;
        enum dz_rc rc = dz_fd_read(fd, to, READ_STEP, &why);
        if (rc == DZ_CLOSED)
            return DZ_OK;
        if (rc != DZ_OK)
            return dz_fail(err, rc, "'%s': %s", path, why.text);
        if (to->len - before > limit)
            return dz_fail(err, DZ_LIMIT, "'%s' is longer than %zu bytes", path, limit);
    }
}

union ancillary {
    char bytes[CMSG_SPACE(sizeof(int) * DZ_FDS_MAX)];
    struct cmsghdr align;
};

enum dz_rc
dz_fd_send(int sock, struct dz_slice bytes, const int *fds, size_t fds_len, size_t *sent_out,
           struct dz_err *err)
{
    dz_assert(fds_len <= DZ_FDS_MAX && (fds_len == 0 || bytes.len > 0));
    union ancillary extra = { .bytes = { 0 } };
    struct iovec part = { .iov_base = (void *) bytes.ptr, .iov_len = bytes.len };
    struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1 };
    if (fds_len > 0) {
        msg.msg_control = extra.bytes;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * fds_len);
        struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int) * fds_len);
        memcpy(CMSG_DATA(head), fds, sizeof(int) * fds_len);
    }
    ssize_t n = -1;
    do {
        n = sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return fail_io("send", err);
    *sent_out = (size_t) n;
    return DZ_OK;
}

struct taken {
    int fds[DZ_FDS_MAX];
    size_t len;
};

static void
take_fds(struct msghdr *msg, struct taken *out)
{
    out->len = 0;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(msg); head; head = CMSG_NXTHDR(msg, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
            continue;
        size_t len = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        dz_assert(len <= DZ_FDS_MAX - out->len); /* the kernel keeps to our buffer */
        memcpy(out->fds + out->len, CMSG_DATA(head), len * sizeof(int));
        out->len += len;
    }
}

enum dz_rc
dz_fd_recv(int sock, struct dz_buf *to, size_t max, int *fds, size_t fds_cap, size_t *fds_len_out,
           struct dz_err *err)
{
    union ancillary extra = { .bytes = { 0 } };
    struct iovec part = { .iov_base = dz_buf_reserve(to, max), .iov_len = max };
    struct msghdr msg = { .msg_iov = &part,
                          .msg_iovlen = 1,
                          .msg_control = extra.bytes,
                          .msg_controllen = sizeof(extra.bytes) };
    ssize_t n = -1;
    do {
        n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return fail_io("receive", err);
    struct taken taken;
    take_fds(&msg, &taken);
    if (taken.len > fds_cap || (msg.msg_flags & MSG_CTRUNC)) {
        for (size_t i = 0; i < taken.len; i++)
            dz_fd_close(&taken.fds[i]);
        return dz_fail(err, DZ_LIMIT, "receive: more than %zu descriptors came", fds_cap);
    }
    if (n == 0 && max > 0)
        return dz_fail(err, DZ_CLOSED, "receive: the other end is gone");
    to->len += (size_t) n;
    if (taken.len > 0)
        memcpy(fds, taken.fds, taken.len * sizeof(int));
    *fds_len_out = taken.len;
    return DZ_OK;
}
