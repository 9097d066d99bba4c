/* link.h - a worker's end of the line to its agent.
 *
 * Tests come out of the shared queue, results go into the shared ring; the socket wakes and, by
 * EOF, tells that the agent died.  Then the worker finishes its test, keeps the result in the
 * ring, and waits on its life-line for a new channel.
 *
 *   life-line   a SOCK_SEQPACKET pair with the parent.  EOF: the parent is gone, die.
 *               A packet with one descriptor: the channel to a new agent.
 *
 * Nothing here knows Python; every wait can be interrupted by a signal (DZ_AGAIN), so that the
 * caller may run signal handlers.
 * Ownership  The link owns all its descriptors and the mapping. */
#ifndef DZ_WORKER_LINK_H
#define DZ_WORKER_LINK_H

#include "shared/base/base.h"
#include "shared/base/buf.h"
#include "shared/shm/shm.h"

/* Everything that belongs to one worker, made by its parent before the fork. */
struct link_kit {
    uint32_t num;
    struct dz_shm *shm;
    int shm_fd;
    int sock[2]; /* [0] the worker's end, [1] the agent's */
    int life[2]; /* [0] the worker's end, [1] the parent's */
    int master, slave;
    int log, crash;
};

DZ_MUST_USE enum dz_rc link_kit_init(struct link_kit *self, uint32_t num, struct dz_err *err);
/* The descriptors that the agent gets, in the order of enum dz_born_fd; borrowed. */
void link_kit_born_fds(const struct link_kit *self, int out[DZ_BORN_FDS]);
/* In the parent, after `born` was sent: keep only the parent's end of the life-line and the
 * descriptors a new agent would ask for. */
void link_kit_keep_parent(struct link_kit *self);
void link_kit_keep_worker(struct link_kit *self); /* in the worker */
void link_kit_fini(struct link_kit *self);

struct link {
    struct link_kit kit;
    bool is_agent_gone; /* since EOF, until a new channel comes */
    bool is_parent_gone;
    uint32_t agents;     /* channels that came after the first */
    struct dz_buf inbox; /* frames from the agent's socket */
};

enum link_next { LINK_TEST, LINK_NONE, LINK_END };

/* The next test without waiting, or what is known about it: NONE also when only asking tells. */
enum link_next link_try_next(struct link *self, uint32_t *test_out, uint32_t *attempt_out,
                             bool *ask_out);

/* Ask the agent and wait until it answers.  AGAIN: a signal came.  CLOSED: the parent is gone. */
DZ_MUST_USE enum dz_rc link_ask(struct link *self);

/* Sleep until the agent wakes us.  AGAIN and CLOSED as above. */
DZ_MUST_USE enum dz_rc link_wait(struct link *self);

/* Put a frame into the ring, waiting for room.  AGAIN: a signal came and *done of the bytes are
 * written: call again with the same bytes.  CLOSED: the parent is gone. */
DZ_MUST_USE enum dz_rc link_push(struct link *self, struct dz_slice bytes, size_t *done);

#endif
