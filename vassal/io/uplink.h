/* uplink.h - what a node needs from the program that hosts it: where facts are kept for good.
 *
 * vassal/io may not know the store or the scheduler (roles do not include each other), so the
 * host, vassal/main.c, fills in these functions.  All are called from the loop's thread. */
#ifndef DZ_VASSAL_IO_UPLINK_H
#define DZ_VASSAL_IO_UPLINK_H

#include "shared/base/base.h"
#include "shared/wire/mesh.h"
#include "shared/wire/model.h"
#include "shared/wire/wire.h"
#include "vassal/core/vassal.h"
#include "vassal/io/cargo.h"
#include "vassal/io/catalog.h"

enum { UPLINK_NO_TEST = 0xffffff, UPLINK_NO_WORKER = 0xffff };

/* What a job is called, and where it is kept.  Borrowed from the host. */
struct uplink_job {
    const char *ulid, *short_id;
    const char *store; /* the store's directory, for people */
    const char *home;  /* DAGZ_HOME as it is used: another one when that cannot be written */
    const char *note;  /* lines for people, or NULL */
    const char *tag;   /* what folders of this node in this job are called */

    /* this node among others */
    const char *how; /* it came to take part in the job, for people; NULL: nothing to say */
    uint64_t node;   /* its number in the job */
    bool is_meeting; /* others may take part: the core asks who schedules */
    bool
        is_late; /* others had ended before this node came: there is a job only if tests are left */
    unsigned shard_index, shard_total;
    struct dz_slice contact; /* how others reach it */
    const uint64_t *known;   /* nodes that an agent before this one had met */
    size_t known_count;
    unsigned nodes;         /* have come to the job by now; 0: not known */
    struct dz_list budgets; /* of resources, for who collects */
};

/* Output of a worker, or, with UPLINK_NO_WORKER, a line of the agent. */
struct uplink_log {
    uint64_t source, seq;    /* as in store.h */
    dz_us first_us, last_us; /* of the monotonic clock */
    uint32_t worker, test, attempt;
    struct dz_slice text; /* borrowed for the call */
};

struct uplink_progress {
    uint64_t total, done, failed;
    dz_us eta_us;
};

struct uplink {
    void *arg;
    /* Open the store and begin the job, or take it up again (start->job).  REFUSED, VERSION: what
     * the user wrote or installed has to be mended first. */
    enum dz_rc (*begin)(void *arg, const struct dz_msg_start *start, struct uplink_job *out,
                        struct dz_err *err);
    /* Of a node that is late: what others have run.  false: that is not known yet, agent_compared()
     * will be called. */
    bool (*compare)(void *arg, struct catalog_filter *out);
    /* The job has ended without this node.  true: another agent may begin anew; `after` is for its start. */
    bool (*anew)(void *arg, struct dz_buf *after);
    /* So many nodes have come to the job by now, 0: not known. */
    unsigned (*crowd)(void *arg);
    /* The tests are known: fills in est_us.  Borrowed until the end.  Without any, which is no mistake
     * of a node that is late, there will be no job. */
    enum dz_rc (*manifest)(void *arg, struct catalog *manifest, struct dz_err *err);
    /* To a node, this one too, best effort. */
    void (*send)(void *arg, uint64_t node, uint64_t inc, struct dz_slice frame);
    /* What the node's core wants of its surroundings: LEAD, ABDICATE, ASK, MEET (vassal.h), whose
     * answers come back by agent_event(); and what this node is now: RANK. */
    void (*want)(void *arg, const struct vassal_effect *effect);
    void (*log)(void *arg, const struct uplink_log *log);
    /* The scheduler of another node has counted it: what it said for people is ours to keep. */
    void (*said)(void *arg, const struct cargo_item *item);
    void (*flush)(void *arg);      /* write what was logged */
    void (*flush_soon)(void *arg); /* ... at once, but in a crowd later and with more */
    void (*progress)(void *arg, struct uplink_progress *out);
    /* A scheduler has told that the job is over; the end comes later. */
    void (*sealed)(void *arg, const struct vassal_end *end);
    /* The end: the job is sealed. */
    void (*end)(void *arg, const struct dz_msg_done *done, uint32_t deselected, int exit_code,
                const char *reason);
    /* After the end.  true: nothing more is to be waited for.  Else agent_settled() will be called,
     * within a few seconds. */
    bool (*settle)(void *arg);
};

#endif
