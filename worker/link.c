#include "worker/link.h"

#include <errno.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/fd.h"
#include "shared/wire/wire.h"
#include "worker/pty.h"

enum { DISCARD = 512 };

/* ---------------------------------------------------------------- kit */

static void
kit_clear(struct link_kit *self)
{
    *self = (struct link_kit){ .shm_fd = -1,
                               .sock = { -1, -1 },
                               .life = { -1, -1 },
                               .master = -1,
                               .slave = -1,
                               .log = -1,
                               .crash = -1 };
}

static enum dz_rc
fill(struct link_kit *self, struct dz_err *err)
{
    enum dz_rc rc = dz_shm_create(self->num, &self->shm_fd, &self->shm, err);
    if (rc != DZ_OK)
        return rc;
    rc = pty_open(&self->master, &self->slave, err);
    if (rc != DZ_OK)
        return rc;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, self->sock) != 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, self->life) != 0)
        return dz_fail_errno(err, "make the channels of worker %u", self->num);
    self->log = memfd_create("dagz-log", MFD_CLOEXEC);
    self->crash = memfd_create("dagz-crash", MFD_CLOEXEC);
    if (self->log < 0 || self->crash < 0)
        return dz_fail_errno(err, "make the log of worker %u", self->num);
    return DZ_OK;
}

enum dz_rc
link_kit_init(struct link_kit *self, uint32_t num, struct dz_err *err)
{
    kit_clear(self);
    self->num = num;
    enum dz_rc rc = fill(self, err);
    if (rc != DZ_OK)
        link_kit_fini(self);
    return rc;
}

void
link_kit_born_fds(const struct link_kit *self, int out[DZ_BORN_FDS])
{
    out[DZ_BORN_SOCK] = self->sock[1];
    out[DZ_BORN_SHM] = self->shm_fd;
    out[DZ_BORN_PTY] = self->master;
    out[DZ_BORN_LOG] = self->log;
    out[DZ_BORN_CRASH] = self->crash;
}

void
link_kit_keep_parent(struct link_kit *self)
{
    dz_fd_close(&self->sock[0]);
    dz_fd_close(&self->sock[1]);
    dz_fd_close(&self->life[0]);
    dz_fd_close(&self->slave);
    dz_shm_unmap(&self->shm);
}

void
link_kit_keep_worker(struct link_kit *self)
{
    dz_fd_close(&self->sock[1]);
    dz_fd_close(&self->life[1]);
}

void
link_kit_fini(struct link_kit *self)
{
    dz_shm_unmap(&self->shm);
    int *const all[] = { &self->shm_fd,  &self->sock[0], &self->sock[1],
                         &self->life[0], &self->life[1], &self->master,
                         &self->slave,   &self->log,     &self->crash };
    for (size_t i = 0; i < DZ_LEN(all); i++)
        dz_fd_close(all[i]);
}

/* ---------------------------------------------------------------- waiting */

static void
wake_agent(struct link *self)
{
    struct dz_msg msg = { .id = DZ_MSG_wake };
    DZ_AUTO(dz_buf_fini) struct dz_buf frame = { 0 };
    dz_msg_encode_framed(&msg, &frame);
    /* a full socket holds wakes enough; a dead agent shows as EOF when we wait */
    (void) send(self->kit.sock[0], frame.data, frame.len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* The agent's frames say nothing but "look again": the queue and `more` hold the news. */
static void
read_sock(struct link *self)
{
    uint8_t unread[DISCARD];
    ssize_t got = recv(self->kit.sock[0], unread, sizeof(unread), MSG_DONTWAIT);
    if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR)))
        return;
    dz_fd_close(&self->kit.sock[0]);
    self->is_agent_gone = true;
}

/* EOF: the parent died.  A descriptor: the channel to a new agent. */
static void
read_life(struct link *self)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf packet = { 0 };
    int fds[1];
    size_t fd_count = 0;
    enum dz_rc rc =
        dz_fd_recv(self->kit.life[0], &packet, DISCARD, fds, DZ_LEN(fds), &fd_count, NULL);
    if (rc == DZ_AGAIN)
        return;
    if (rc != DZ_OK) {
        self->is_parent_gone = true;
        return;
    }
    if (fd_count == 0)
        return;
    dz_fd_close(&self->kit.sock[0]);
    self->kit.sock[0] = fds[0];
    self->is_agent_gone = false;
    self->agents++;
    wake_agent(self);
}

enum dz_rc
link_wait(struct link *self)
{
    struct pollfd polled[] = { { .fd = self->kit.life[0], .events = POLLIN },
                               { .fd = self->kit.sock[0], .events = POLLIN } };
    if (poll(polled, DZ_LEN(polled), -1) < 0)
        return DZ_AGAIN;
    if (polled[0].revents)
        read_life(self);
    if (self->is_parent_gone)
        return DZ_CLOSED;
    if (polled[1].revents && self->kit.sock[0] == polled[1].fd)
        read_sock(self);
    return DZ_OK;
}

/* ---------------------------------------------------------------- queue */

enum link_next
link_try_next(struct link *self, uint32_t *test_out, uint32_t *attempt_out, bool *ask_out)
{
    /* `more` is read first: what it says was true when the queue was at least as full */
    uint32_t more = atomic_load(&self->kit.shm->more);
    *ask_out = false;
    if (dz_queue_take(self->kit.shm, test_out, attempt_out) == DZ_OK)
        return LINK_TEST;
    *ask_out = more == DZ_MORE_ASK;
    return more == DZ_MORE_END ? LINK_END : LINK_NONE;
}

enum dz_rc
link_ask(struct link *self)
{
    struct dz_shm *shm = self->kit.shm;
    atomic_store(&shm->waiting, 1);
    if (dz_queue_len(shm) > 0 || atomic_load(&shm->more) != DZ_MORE_ASK) {
        atomic_store(&shm->waiting, 0);
        return DZ_OK;
    }
    wake_agent(self);
    enum dz_rc rc = link_wait(self);
    atomic_store(&shm->waiting, 0);
    return rc;
}

/* ---------------------------------------------------------------- ring */

static enum dz_rc
wait_for_room(struct link *self)
{
    struct dz_shm *shm = self->kit.shm;
    atomic_store(&shm->ring_full, 1);
    if (dz_ring_room(shm) > 0) {
        atomic_store(&shm->ring_full, 0);
        return DZ_OK;
    }
    wake_agent(self);
    return link_wait(self);
}

enum dz_rc
link_push(struct link *self, struct dz_slice bytes, size_t *done)
{
    while (*done < bytes.len) {
        size_t room = dz_ring_room(self->kit.shm);
        if (room == 0) {
            enum dz_rc rc = wait_for_room(self);
            if (rc != DZ_OK)
                return rc;
            continue;
        }
        size_t left = bytes.len - *done;
        struct dz_slice part = { bytes.ptr + *done, left < room ? left : room };
        if (dz_ring_write(self->kit.shm, part) == DZ_OK)
            *done += part.len;
    }
    return DZ_OK;
}
