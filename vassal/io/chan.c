#include "vassal/io/chan.h"

#include <sys/socket.h>

#include "shared/base/fd.h"

enum {
    CHUNK = 256 << 10,   /* read at one time */
    CHUNKS_PER_WAKE = 8, /* then others have their turn */
    KEEP_CAP = 1 << 20,  /* buffers above this are given back when they are empty */
};

void
chan_init(struct chan *self)
{
    *self = (struct chan){ .watch.fd = -1 };
}

static void
drop_fds(struct chan *self)
{
    for (size_t i = 0; i < self->fd_count; i++)
        dz_fd_close(&self->fds[i]);
    self->fd_count = 0;
}

void
chan_close(struct chan *self)
{
    int fd = self->watch.fd;
    if (fd < 0)
        return;
    dz_loop_unwatch(self->loop, &self->watch);
    dz_fd_close(&fd);
    dz_buf_fini(&self->in);
    dz_buf_fini(&self->out);
    self->out_at = 0;
    drop_fds(self);
    self->life++;
}

static void
lose(struct chan *self, const char *why)
{
    const struct chan_ops *ops = self->ops;
    void *arg = self->arg;
    chan_close(self);
    ops->on_gone(arg, why);
}

bool
chan_take_fds(struct chan *self, int *fds, size_t count)
{
    if (self->fd_count < count)
        return false;
    for (size_t i = 0; i < count; i++)
        fds[i] = self->fds[i];
    self->fd_count -= count;
    for (size_t i = 0; i < self->fd_count; i++)
        self->fds[i] = self->fds[i + count];
    return true;
}

/* ------------------------------------------------------------------ receiving */

/* Hand out every whole frame.  False: the channel is not what it was. */
static bool
hand_out(struct chan *self)
{
    unsigned life = self->life;
    size_t at = 0;
    for (;;) {
        struct dz_slice rest = { self->in.data + at, self->in.len - at };
        struct dz_slice frame;
        struct dz_msg msg;
        size_t used = 0;
        enum dz_rc rc = rest.len > 0 ? dz_frame_take(rest, &frame, &used) : DZ_AGAIN;
        if (rc == DZ_AGAIN)
            break;
        if (rc != DZ_OK || dz_msg_decode(frame, &msg) != DZ_OK) {
            lose(self, "it sent bytes that are no message");
            return false;
        }
        self->ops->on_msg(self->arg, &msg);
        if (self->life != life)
            return false;
        at += used;
    }
    dz_buf_drop(&self->in, at);
    if (self->in.len == 0 && self->in.cap > KEEP_CAP)
        dz_buf_fini(&self->in);
    return true;
}

/* AGAIN: everything that was there has been read. */
static enum dz_rc
read_some(struct chan *self)
{
    size_t got = 0;
    enum dz_rc rc = dz_fd_recv(self->watch.fd, &self->in, CHUNK, self->fds + self->fd_count,
                               CHAN_FDS - self->fd_count, &got, NULL);
    if (rc == DZ_OK)
        self->fd_count += got;
    return rc;
}

static void
on_ready(void *arg, unsigned events)
{
    struct chan *self = arg;
    if (events & DZ_LOOP_WRITE)
        chan_flush(self);
    if (!(events & (DZ_LOOP_READ | DZ_LOOP_GONE)))
        return;
    unsigned life = self->life;
    for (int i = 0; i < CHUNKS_PER_WAKE && self->life == life; i++) {
        enum dz_rc rc = chan_is_open(self) ? read_some(self) : DZ_AGAIN;
        if (rc == DZ_AGAIN)
            return;
        if (rc != DZ_OK) {
            lose(self, rc == DZ_CLOSED ? "it closed its end" : "it cannot be read");
            return;
        }
        if (!hand_out(self))
            return;
    }
}

enum dz_rc
chan_open(struct chan *self, struct dz_loop *loop, int fd, const struct chan_ops *ops, void *arg,
          struct dz_err *err)
{
    dz_assert(!chan_is_open(self));
    self->loop = loop;
    self->ops = ops;
    self->arg = arg;
    struct dz_watch watch = { .fd = fd, .events = DZ_LOOP_READ, .fn = on_ready, .arg = self };
    enum dz_rc rc = dz_fd_nonblock(fd, true, err);
    if (rc == DZ_OK) {
        self->watch = watch;
        rc = dz_loop_watch(loop, &self->watch, err);
    }
    if (rc != DZ_OK) {
        self->watch.fd = -1;
        dz_fd_close(&fd);
    }
    return rc;
}

/* ------------------------------------------------------------------ sending */

void
chan_put(struct chan *self, const struct dz_msg *msg)
{
    if (chan_is_open(self))
        dz_msg_encode_framed(msg, &self->out);
}

void
chan_put_frames(struct chan *self, struct dz_slice frames)
{
    if (chan_is_open(self))
        dz_buf_add(&self->out, frames.ptr, frames.len);
}

static void
sent_all(struct chan *self)
{
    dz_buf_clear(&self->out);
    if (self->out.cap > KEEP_CAP)
        dz_buf_fini(&self->out);
    self->out_at = 0;
}

/* A dead end is noticed by reading, which sees what it still said before. */
void
chan_flush(struct chan *self)
{
    if (!chan_is_open(self))
        return;
    enum dz_rc rc = DZ_OK;
    while (rc == DZ_OK && chan_backlog(self) > 0) {
        size_t sent = 0;
        struct dz_slice rest = { self->out.data + self->out_at, chan_backlog(self) };
        rc = dz_fd_send(self->watch.fd, rest, NULL, 0, &sent, NULL);
        self->out_at += rc == DZ_OK ? sent : 0;
    }
    if (rc != DZ_AGAIN || chan_backlog(self) == 0) {
        sent_all(self); /* gone, or all of it went */
    } else if (self->out_at > KEEP_CAP && self->out_at > self->out.len / 2) {
        dz_buf_drop(&self->out, self->out_at); /* a slow reader must not keep what it has read */
        self->out_at = 0;
    }
    bool wants = chan_backlog(self) > 0;
    dz_loop_rewatch(self->loop, &self->watch, DZ_LOOP_READ | (wants ? DZ_LOOP_WRITE : 0U));
}
