/* coord.h - the scheduler as a program hosts it: coord/core on a loop, with a ledger.
 *
 * The host gives it a place for facts (the ledger) and hears what it has to say.  It decides
 * nothing: it carries out what the core says and tells the core what came of it.
 * Not thread-safe; everything happens in the loop's thread. */
#ifndef DZ_COORD_COORD_H
#define DZ_COORD_COORD_H

#include "coord/core/coord.h"
#include "shared/net/loop.h"

struct coordinator;

/* What a closed ledger holds. */
struct coord_closed {
    uint64_t count, digest;
    bool is_stored; /* and all of it is where it has to go */
};

/* What the host does for it. */
struct coordinator_host {
    void *arg;
    /* To a node, best effort. */
    void (*send)(void *arg, uint64_t node, uint64_t inc, struct dz_slice frame);
    /* The epoch's number is on disk when this returns. */
    void (*persist)(void *arg, uint64_t n);
    /* Write the rows in one transaction and answer each.  Anything but OK: the same rows are given
     * again a little later. */
    enum dz_rc (*count)(void *arg, const struct coord_record *rows, size_t count,
                        struct coord_answer *answers, struct dz_err *err);
    /* Close the ledger, and say what it holds. */
    enum dz_rc (*seal)(void *arg, const struct dz_account *account, struct coord_closed *out,
                       struct dz_err *err);
    /* Rows that the ledger holds now: what coordinator_stored() counts.  NULL: the ledger is the last
     * place that they go to. */
    uint64_t (*rows)(void *arg);
    /* All of them, owned by the caller.  Asked for before the seal when the ledger holds others than
     * the core counted: another scheduler was at work. */
    enum dz_rc (*reread)(void *arg, struct coord_row **rows_out, size_t *count_out,
                         struct dz_err *err);
    void (*note)(void *arg, unsigned severity, struct dz_slice text); /* for people */
    void (*line)(void *arg, struct dz_slice text);                    /* for the log */
    /* It stepped down and does nothing more; the greater epoch, n 0: none is known.  It may be
     * destroyed only later. */
    void (*deposed)(void *arg, struct dz_epoch epoch);
    /* What became of a node: COORD_FX_NODE. */
    void (*node)(void *arg, const struct coord_effect *effect);
    /* Tests that other nodes have and the manifest lacks: they get the numbers from `first` on. */
    enum dz_rc (*tests)(void *arg, uint32_t first, const struct dz_slice *ids, size_t count,
                        struct dz_err *err);
};

/* It waits for coordinator_start(). */
struct coordinator *coordinator_new(struct dz_loop *loop, const struct coord_cfg *cfg,
                                    const struct coordinator_host *host);
void coordinator_destroy(struct coordinator **self_p);

/* It was elected under number seen_n + 1, or a greater one. */
void coordinator_start(struct coordinator *self, uint64_t seen_n);
/* What a scheduler has to know of the job. */
struct coordinator_tests {
    const struct coord_test *tests; /* of this node; borrowed until the coordinator is destroyed */
    size_t count;
    uint64_t digest;
    /* of a job that goes on, borrowed for the call: */
    const struct dz_slice *others; /* tests that this node lacks; they get the next numbers */
    size_t other_count;
    const struct coord_row *rows; /* that the ledger holds */
    size_t row_count;
    unsigned nodes; /* have come to the job; 0: not known */
};
void coordinator_manifest(struct coordinator *self, const struct coordinator_tests *tests);

/* A frame whose envelope is for the scheduler. */
void coordinator_receive(struct coordinator *self, struct dz_slice frame);
/* The ledger is about to be closed: rows that wait for the end of this turn are written, and nothing
 * is counted or sealed any more.  Nodes that were told SEAL still are. */
void coordinator_close_ledger(struct coordinator *self);
/* A node's process is gone. */
void coordinator_gone(struct coordinator *self, uint64_t node, uint64_t inc);
/* The first `rows` rows of the ledger are in the store. */
void coordinator_stored(struct coordinator *self, uint64_t rows);
/* Step down for this epoch; n 0: none is known.  `deposed` answers. */
void coordinator_outrank(struct coordinator *self, struct dz_epoch epoch);

void coordinator_progress(const struct coordinator *self, struct coord_progress *out);

#endif
