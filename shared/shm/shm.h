/* shm.h - the mapping that one worker and its agent share.
 *
 * A worker must cost nothing while tests are short and must hide nothing when it is killed.  So
 * tests come to it, and results leave it, through memory that both map; the socketpair between
 * them only wakes and, by EOF, tells of death.  What was written before a SIGKILL is read by the
 * agent afterwards.
 *
 *   queue   agent -> worker: granted tests, in order.  The agent adds at the end and may take back
 *           from the end whatever the worker has not taken (REVOKE), by one compare-and-set.
 *   ring    worker -> agent: frames [u32 length][msgpack], contiguous bytes modulo ring_size.  The
 *           agent moves `ring_tail` only when what it read is journaled, so an agent that takes
 *           over (after a death) reads everything again that was not.
 *   now     which test runs, in which phase, since when.
 *   log     the worker's output lies in a file of its own (log fd); `log_len` is its length.
 *           Whoever reads the pseudo-terminal's master holds `drain_lock` and appends to it.
 *
 * The parent (zygote, or seed for a solo worker) makes mapping and descriptors before it forks and
 * sends them to the agent in this order with `born`:  DZ_BORN_SOCK, _SHM, _PTY, _LOG, _CRASH.
 * For DZ_FORK_ZYGOTE there is one descriptor: the zygote's channel.  A solo worker's `born` has
 * the same five; its collection messages (manifest, ready, relay) come through DZ_BORN_SOCK.
 *
 * Time   CLOCK_MONOTONIC everywhere.
 * Trust  A test can scribble over the mapping.  The agent treats every number in it as a claim. */
#ifndef DZ_SHARED_SHM_SHM_H
#define DZ_SHARED_SHM_SHM_H

#include <stdatomic.h>

#include "shared/base/base.h"

enum {
    DZ_SHM_MAGIC = 0x647a7368,
    DZ_SHM_VERSION = 1,
    DZ_QUEUE_CAP = 256,     /* power of two */
    DZ_RING_SIZE = 1 << 20, /* bytes, power of two */
    DZ_SHM_SIZE = DZ_RING_SIZE + 8192,
};

enum dz_born_fd { DZ_BORN_SOCK, DZ_BORN_SHM, DZ_BORN_PTY, DZ_BORN_LOG, DZ_BORN_CRASH, DZ_BORN_FDS };

enum dz_phase { DZ_PHASE_IDLE, DZ_PHASE_SETUP, DZ_PHASE_CALL, DZ_PHASE_TEARDOWN, DZ_PHASE_FINISH };

/* What the worker may expect after its queue is empty. */
enum dz_more {
    DZ_MORE_ASK,  /* unknown: wake the agent and wait for a wake */
    DZ_MORE_NONE, /* nothing for now: tear everything down after the running test, then wait */
    DZ_MORE_END,  /* nothing ever again: finish */
};

struct dz_shm {
    uint32_t magic, version;
    uint32_t num, pid; /* worker number; pid is written by the worker */

    /* queue: positions only grow; low half next to take, high half end */
    _Atomic uint64_t queue;
    /* test | attempt << 32.  Twice the capacity, since an entry is read after it was taken: its
     * slot is not written again before the next one is taken. */
    _Atomic uint64_t slots[2 * DZ_QUEUE_CAP];
    _Atomic uint32_t more;    /* enum dz_more, written by the agent */
    _Atomic uint32_t waiting; /* 1: the worker sleeps on its socket */

    /* now: written by the worker */
    _Atomic uint64_t running;   /* test + 1 | attempt << 32; 0 between tests */
    _Atomic uint64_t exec;      /* counts executions of this worker */
    _Atomic uint32_t phase;     /* enum dz_phase */
    _Atomic uint32_t line;      /* of the running test: enum dz_line; 0 until it is known */
    _Atomic int64_t started_us; /* of the running test */
    _Atomic int64_t log_first;  /* log_len when the running test began */
    _Atomic uint64_t rss_kib;   /* resident memory, sampled between tests */

    /* ring */
    _Atomic uint64_t ring_head; /* bytes written, by the worker */
    _Atomic uint64_t ring_tail; /* bytes journaled, by the agent */
    _Atomic uint32_t ring_full; /* 1: the worker sleeps on its socket until there is room */

    /* log */
    _Atomic uint32_t drain_lock; /* pid of the holder or 0 */
    _Atomic uint64_t log_len;    /* bytes in the log file */

    uint8_t ring[DZ_RING_SIZE];
};
_Static_assert(sizeof(struct dz_shm) <= DZ_SHM_SIZE, "the mapping holds the struct");

/* Make the mapping's file (sealed against shrinking) and map it.  Caller owns both. */
DZ_MUST_USE enum dz_rc dz_shm_create(uint32_t num, int *fd_out, struct dz_shm **shm_out,
                                     struct dz_err *err);
/* Map what a peer sent; CORRUPT when it is not ours or too small. */
DZ_MUST_USE enum dz_rc dz_shm_map(int fd, struct dz_shm **shm_out, struct dz_err *err);
void dz_shm_unmap(struct dz_shm **self_p);

/* -- agent's side of the queue -- */

/* Append; FULL when DZ_QUEUE_CAP are waiting. */
DZ_MUST_USE enum dz_rc dz_queue_put(struct dz_shm *self, uint32_t test, uint32_t attempt);
/* Take back the last waiting entry; ABSENT when the worker has taken them all. */
DZ_MUST_USE enum dz_rc dz_queue_unput(struct dz_shm *self, uint32_t *test_out,
                                      uint32_t *attempt_out);
uint32_t dz_queue_len(struct dz_shm *self);

/* -- worker's side of the queue -- */
DZ_MUST_USE enum dz_rc dz_queue_take(struct dz_shm *self, uint32_t *test_out,
                                     uint32_t *attempt_out);

/* -- ring: worker writes -- */

/* Append bytes if there is room for all of them, else AGAIN.  A frame longer than the ring is
 * written in pieces: the reader only sees bytes. */
DZ_MUST_USE enum dz_rc dz_ring_write(struct dz_shm *self, struct dz_slice bytes);
size_t dz_ring_room(struct dz_shm *self);

/* -- ring: agent reads -- */

/* Append to `out` what was written since position *pos, and move *pos.  CORRUPT when the
 * positions make no sense (a test scribbled). */
struct dz_buf;
DZ_MUST_USE enum dz_rc dz_ring_read(struct dz_shm *self, uint64_t *pos, struct dz_buf *out);
/* Everything before `pos` is journaled; wakes nobody (the caller does, if ring_full). */
void dz_ring_commit(struct dz_shm *self, uint64_t pos);

/* -- log: either side -- */

/* Move what the pseudo-terminal holds to the end of the log file.  AGAIN: the other side is at it;
 * a side that died at it does not count.  FULL or IO: the log could not be written and what did
 * not fit is lost.  `master` is non-blocking.  moved_out may be NULL. */
DZ_MUST_USE enum dz_rc dz_log_drain(struct dz_shm *self, int master, int log, size_t *moved_out);

/* Wait for the other side to leave the log, drain as above, append `text`, and say at which
 * offset it lies.  IO or FULL: nothing was appended; *at_out is the end of the file. */
DZ_MUST_USE enum dz_rc dz_log_append(struct dz_shm *self, int master, int log, struct dz_slice text,
                                     uint64_t *at_out);

#endif
