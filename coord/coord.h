/* coord.h - the scheduler as a program hosts it: coord/core on a loop, with a hub and a ledger.
 *
 * The host gives it a place for facts (the ledger) and hears what it has to say.  It decides
 * nothing: it carries out what the core says and tells the core what came of it.
 * Not thread-safe; everything happens in the loop's thread. */
#ifndef DZ_COORD_COORD_H
#define DZ_COORD_COORD_H

#include "coord/core/coord.h"
#include "shared/net/hub.h"
#include "shared/net/loop.h"

struct coordinator;

/* What the host does for it. */
struct coordinator_host {
    void *arg;
    /* The epoch's number is on disk when this returns. */
    void (*persist)(void *arg, uint64_t n);
    /* Write the rows in one transaction and answer each.  Anything but OK: the same rows are given
     * again a little later. */
    enum dz_rc (*count)(void *arg, const struct coord_record *rows, size_t count,
                        struct coord_answer *answers, struct dz_err *err);
    /* Close the ledger, and say what it holds. */
    enum dz_rc (*seal)(void *arg, const struct coord_account *account, uint64_t *count_out,
                       uint64_t *digest_out, struct dz_err *err);
    void (*note)(void *arg, unsigned severity, struct dz_slice text); /* for people */
    void (*line)(void *arg, struct dz_slice text);                    /* for the log */
};

/* Bind the hub and wait for coordinator_start(). */
DZ_MUST_USE enum dz_rc coordinator_new(struct dz_loop *loop, const char *endpoint,
                                       const struct coord_cfg *cfg,
                                       const struct coordinator_host *host,
                                       struct coordinator **self_out, struct dz_err *err);
void coordinator_destroy(struct coordinator **self_p);

/* The tests, and the rows that the ledger holds already (of a job that goes on).  Borrowed for the
 * call. */
void coordinator_start(struct coordinator *self, uint64_t seen_n, const struct coord_test *tests,
                       size_t test_count, uint64_t digest, const struct coord_row *rows,
                       size_t row_count);

void coordinator_progress(const struct coordinator *self, struct coord_progress *out);

#endif
