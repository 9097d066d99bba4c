/* loop.h - one thread that waits for descriptors, ZeroMQ sockets, timers and signals.
 *
 * A handler does what there is to do and returns; it never waits.  Watches and timers are value
 * types inside their users' structs; the loop only borrows them, so they must be removed before
 * they go away, which any handler may do at any time, for itself and for others.
 *
 * Raw descriptors are level-triggered.  Deadlines are absolute, on the monotonic clock. */
#ifndef DZ_SHARED_NET_LOOP_H
#define DZ_SHARED_NET_LOOP_H

#include "shared/base/base.h"

struct dz_loop;

enum { DZ_LOOP_READ = 1, DZ_LOOP_WRITE = 2, DZ_LOOP_GONE = 4 /* HUP or error; always told */ };

struct dz_watch {
    int fd; /* borrowed; -1: not watched */
    unsigned events;
    void (*fn)(void *arg, unsigned events);
    void *arg;
};

struct dz_timer {
    dz_us at;    /* of the monotonic clock; 0: not set */
    dz_us early; /* so much earlier is as good, if the loop is awake then anyway */
    void (*fn)(void *arg);
    void *arg;
    bool is_listed; /* the loop's own */
};

DZ_MUST_USE enum dz_rc dz_loop_new(struct dz_loop **self_out, struct dz_err *err);
void dz_loop_destroy(struct dz_loop **self_p);

/* Watch self->fd for self->events; fn and arg are filled in by the caller before. */
DZ_MUST_USE enum dz_rc dz_loop_watch(struct dz_loop *self, struct dz_watch *watch,
                                     struct dz_err *err);
/* Watch for other events from now on. */
void dz_loop_rewatch(struct dz_loop *self, struct dz_watch *watch, unsigned events);
void dz_loop_unwatch(struct dz_loop *self, struct dz_watch *watch); /* sets fd to -1 */

/* Call timer->fn once, at `at` or soon after; replaces what was set before. */
void dz_loop_set(struct dz_loop *self, struct dz_timer *timer, dz_us at);
void dz_loop_unset(struct dz_loop *self, struct dz_timer *timer);

/* Give `fn` the numbers of these signals as they come, instead of their default actions. */
DZ_MUST_USE enum dz_rc dz_loop_signals(struct dz_loop *self, const int *signals, size_t count,
                                       void (*fn)(void *arg, int number), void *arg,
                                       struct dz_err *err);

/* Call `fn` at the end of each wake, when all that was ready has been handled: the place for
 * what is worth doing in one go. */
void dz_loop_on_turn(struct dz_loop *self, void (*fn)(void *arg), void *arg);

/* Watch a ZeroMQ socket for reading (for this folder). `handle` is libzmq's. */
DZ_MUST_USE enum dz_rc dz_loop_watch_zmq(struct dz_loop *self, void *handle, void (*fn)(void *arg),
                                         void *arg, struct dz_err *err);
void dz_loop_unwatch_zmq(struct dz_loop *self, void *handle);
/* Has this wake left something unread in one of them? */
bool dz_loop_is_behind(const struct dz_loop *self);
/* Something was done with it outside of its handler: sent, bound, connected. */
void dz_loop_used_zmq(struct dz_loop *self, const void *handle);

/* Until dz_loop_stop().  IO: waiting itself failed. */
DZ_MUST_USE enum dz_rc dz_loop_run(struct dz_loop *self, struct dz_err *err);
/* One wake, of at most `wait_ms` (-1: until something happens). */
DZ_MUST_USE enum dz_rc dz_loop_once(struct dz_loop *self, int wait_ms, struct dz_err *err);
void dz_loop_stop(struct dz_loop *self);

#endif
