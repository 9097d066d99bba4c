/* spool.h - what an agent must not lose when it dies: one LMDB environment of its own.
 *
 * $DAGZ_HOME/spool/<job>[.<node>]-<incarnation>/ belongs to one agent in one life.  Nothing is deleted
 * while the job runs: an agent that takes over reads the environments of those before it, and the
 * last one removes them all when the job is sealed.
 *
 * Group commit  spool_put_*() only collect; spool_commit() writes everything in one transaction.
 *               What is patient waits for something that is not.
 * No sync       Who reads it works for the same controller: nobody does when the machine has gone down.
 * Full disk     Results must go on: what could not be written is kept in memory, up to
 *               SPOOL_MEMORY_MAX, and tried again with the next commit.  Above that the spool is
 *               given up: a later death of the agent would lose results, and people are told.
 * Damage        A spool that cannot be opened (tried in a child first) is put aside by shared/kv. */
#ifndef DZ_VASSAL_IO_SPOOL_H
#define DZ_VASSAL_IO_SPOOL_H

#include "shared/base/base.h"
#include "shared/wire/wire.h"
#include "vassal/io/cargo.h"

struct spool;

enum { SPOOL_MEMORY_MAX = 64 << 20 };
/* Added to the flags of a `ready` that came when the manifest was made. */
#define SPOOL_READY_LATE (UINT64_C(1) << 63)

/* The agent works without one when this fails. note_out: a line for people or NULL; owned. */
DZ_MUST_USE enum dz_rc spool_open(const char *home, const char *job, uint64_t inc,
                                  struct spool **self_out, char **note_out, struct dz_err *err);
void spool_close(struct spool **self_p);

/* All of these do nothing when self is NULL. */
void spool_put_record(struct spool *self, const struct cargo_item *item);
/* The nth piece, from 0, of the beginning of a frame that is longer than a ring: bytes of that
 * life from `pos` on.  Pieces of one frame lie behind each other; another frame begins with 0. */
void spool_put_partial(struct spool *self, uint64_t life, uint32_t nth, uint64_t pos,
                       struct dz_slice bytes);
/* What the collecting process of that life called its tests, and that these are all.  Patient: it
 * says so at once again to an agent that does not know it. */
void spool_put_roll(struct spool *self, uint64_t life, const struct dz_msg_manifest *part);
void spool_put_ready(struct spool *self, uint64_t life, const struct dz_msg_ready *ready,
                     bool is_patient);
void spool_put_epoch(struct spool *self, uint64_t n);

enum spool_state { SPOOL_SOUND, SPOOL_FULL /* in memory for now */, SPOOL_LOST };
/* How it is after this try; `err` tells why when it is not SOUND. */
enum spool_state spool_commit(struct spool *self, struct dz_err *err);

/* ------------------------------------------------------------------ after a death */

struct spool_heir {
    void *arg;
    void (*on_record)(void *arg, const struct cargo_item *item, struct dz_slice blob,
                      struct dz_slice text); /* in the order in which they were journaled */
    /* Pieces of one life in order, and among them such as are of an earlier frame. */
    void (*on_partial)(void *arg, uint64_t life, uint32_t nth, uint64_t pos, struct dz_slice bytes);
    void (*on_roll)(void *arg, uint64_t life, const struct dz_msg_manifest *part);
    void (*on_ready)(void *arg, uint64_t life, const struct dz_msg_ready *ready);
    void (*on_epoch)(void *arg, uint64_t n);
};

/* Read the environments of the job's earlier incarnations, oldest first.  A damaged one is put
 * aside; how many were is returned. */
unsigned spool_inherit(const char *home, const char *job, uint64_t before_inc,
                       const struct spool_heir *heir);

/* Remove environments that nobody has written to for SPOOL_KEEP_DAYS: of agents that died together
 * with their controllers.  What waits there for a server stays. */
enum { SPOOL_KEEP_DAYS = 7 };
void spool_sweep(const char *home);

/* Remove every environment of the job, quarantined ones excepted.  Close yours first. */
void spool_remove(const char *home, const char *job);

#endif
