/* chan.h - a framed channel to one process of this node: controller, seed, zygote or worker.
 *
 * Frames of messages.def over an AF_UNIX stream; descriptors travel with the first byte of their
 * frame.  Sending never waits: what the socket does not take is kept and goes out when it does.
 * The user of a channel watches chan_backlog() and produces less while it is long.
 *
 * Trust  Bytes from the other end may be anything: a frame that is none ends the channel, as EOF
 *        does, and is told as such. */
#ifndef DZ_VASSAL_IO_CHAN_H
#define DZ_VASSAL_IO_CHAN_H

#include "shared/base/base.h"
#include "shared/base/buf.h"
#include "shared/net/loop.h"
#include "shared/shm/shm.h"
#include "shared/wire/wire.h"

enum { CHAN_FDS = 2 * DZ_BORN_FDS }; /* descriptors that may wait for their frame */

struct chan;

struct chan_ops {
    /* msg is borrowed.  Descriptors that came with the frame: take them with chan_take_fds(). */
    void (*on_msg)(void *arg, const struct dz_msg *msg);
    /* The channel is closed already; `why` is for people.  May free what holds the channel. */
    void (*on_gone)(void *arg, const char *why);
};

struct chan {
    struct dz_loop *loop; /* borrowed */
    struct dz_watch watch;
    const struct chan_ops *ops;
    void *arg;
    struct dz_buf in, out;
    size_t out_at;     /* bytes of `out` that went */
    int fds[CHAN_FDS]; /* owned; received, not taken */
    size_t fd_count;
    unsigned life; /* grows with each opening: a handler sees that its channel went away */
};

void chan_init(struct chan *self); /* closed */
/* Owns fd from now on, also when it fails. */
DZ_MUST_USE enum dz_rc chan_open(struct chan *self, struct dz_loop *loop, int fd,
                                 const struct chan_ops *ops, void *arg, struct dz_err *err);
void chan_close(struct chan *self);
static inline bool
chan_is_open(const struct chan *self)
{
    return self->watch.fd >= 0;
}

/* Queue one message; chan_flush() sends.  Nothing happens on a closed channel. */
void chan_put(struct chan *self, const struct dz_msg *msg);
/* The same with frames that are encoded already. */
void chan_put_frames(struct chan *self, struct dz_slice frames);
/* Send what the socket takes. */
void chan_flush(struct chan *self);
static inline size_t
chan_backlog(const struct chan *self)
{
    return self->out.len - self->out_at;
}

/* Give out exactly `count` descriptors that came; false: there are fewer. */
bool chan_take_fds(struct chan *self, int *fds, size_t count);

#endif
