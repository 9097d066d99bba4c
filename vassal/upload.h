/* upload.h - the way of this node's records to a server.
 *
 * Where there is a server, the host's store is a private one in a spool folder, and this sends what
 * is written there: from the agent's loop, one request at a time, without ever waiting. What the
 * server cannot take now stays in the folder; the run neither knows nor cares.
 *
 * Besides, as long as there is time: folders that earlier runs left for the same server. */
#ifndef DZ_VASSAL_UPLOAD_H
#define DZ_VASSAL_UPLOAD_H

#include "shared/base/base.h"
#include "shared/net/loop.h"
#include "store/push/push.h"
#include "store/push/spools.h"

struct upload;

/* What it tells; borrowed strings.  None of these may destroy it. */
struct upload_ops {
    void (*on_named)(void *arg, const char *short_id); /* the server has begun the job */
    void (*on_durations)(void *arg, struct store_durations **durations_p); /* may be taken */
    void (*on_stored)(void *arg, uint64_t rows); /* the server has so many of the job's results */
    void (*on_settled)(void *arg); /* after upload_settle(): all is there, or time is up */
    void *arg;
};

struct upload_cfg {
    struct dz_loop *loop;         /* borrowed */
    const char *url;              /* copied */
    const char *home;             /* copied; where other folders are looked for */
    bool is_home;                 /* with nobody there, there is nothing to wait for at the end */
    const struct upload_ops *ops; /* copied */
};

DZ_MUST_USE enum dz_rc upload_new(const struct upload_cfg *cfg, struct upload **self_out,
                                  struct dz_err *err);
void upload_destroy(struct upload **self_p);

/* Begin to send this job of this store, and ask for the durations of its project. */
DZ_MUST_USE enum dz_rc upload_job(struct upload *self, struct store *store, const char *ulid,
                                  const char *uri, const char *profile, struct dz_err *err);
void upload_poke(struct upload *self, enum push_news news); /* there is more to send */

/* Results of this folder that the server has, as it last said. */
uint64_t upload_stored(const struct upload *self);

/* Send what is left until `deadline`, then say on_settled(), from the loop. */
void upload_settle(struct upload *self, dz_us patience_us);

bool upload_is_done(const struct upload *self);     /* everything is there, the seal included */
bool upload_is_alone(const struct upload *self);    /* nobody listened, the last time */
uint64_t upload_pending(const struct upload *self); /* results that are not there */
const char *upload_why(const struct upload *self);  /* "" or what went wrong last */

#endif
