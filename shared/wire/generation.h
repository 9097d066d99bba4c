/* generation.h - into which run of a job a process comes that the CI started.
 *
 * Slots of one CI step come early, late, twice under another CI job id (a retry), or again after
 * all is over (the rerun button).  Whoever keeps the job's records (the store; on one host without
 * a store the holder of the user's lock) asks this pure function, so that the rules of SPEC 4 are
 * written once.
 *
 * The join key includes an ordinal: how often this same CI job (id and attempt) has already *ended*
 * under the key.  Two commands in one CI job are so two jobs, and neither meets this function with
 * the other's records. */
#ifndef DZ_SHARED_WIRE_GENERATION_H
#define DZ_SHARED_WIRE_GENERATION_H

#include "shared/base/base.h"

#define DZ_NO_INDEX UINT32_MAX

/* How a node's part in a generation ended. */
enum dz_slot_end {
    DZ_SLOT_END_NONE,       /* it is there, or nobody knows better */
    DZ_SLOT_END_VERDICT,    /* it left after the seal, with an exit code */
    DZ_SLOT_END_TERMINATED, /* SIGTERM: spot instance taken away, job cancelled */
    DZ_SLOT_END_LOST,       /* given up by a scheduler */
};

/* One node that took part. */
struct dz_slot_past {
    uint32_t index;  /* of the CI's parallel step; DZ_NO_INDEX: the CI names none */
    uint64_t ci_job; /* hash of the CI's own id of the job; a retry has another one */
    enum dz_slot_end end;
};

/* The newest generation of a job. */
struct dz_generation {
    uint32_t number;                 /* 0 the first; what comes with attempt 1 */
    bool exists, is_sealed, is_good; /* is_good: sealed, and no test failed or is missing */
    const struct dz_slot_past *past; /* borrowed: of this generation */
    size_t past_count;
    const struct dz_slot_past *earlier; /* borrowed: of those before it, the oldest first */
    size_t earlier_count;
};

struct dz_arrival {
    uint32_t index;   /* or DZ_NO_INDEX */
    uint64_t ci_job;  /* hash */
    uint32_t attempt; /* GITHUB_RUN_ATTEMPT, from 1; 0: this CI does not count attempts */
};

enum dz_arrival_word {
    DZ_ARRIVAL_JOINS,   /* the newest generation, as a node of its own */
    DZ_ARRIVAL_RETURNS, /* the same, as a new incarnation of the slot: the older one is fenced */
    DZ_ARRIVAL_LATE, /* the generation is sealed: say so, exit 0 (unless it has tests of its own) */
    DZ_ARRIVAL_OPENS, /* the next generation, number `number` */
    DZ_ARRIVAL_AGAIN, /* this same CI job has ended its part already, so this is another command of
                       * it: come again under the key with the next ordinal (meeting.h) */
};

enum { DZ_COMMANDS_MAX = 1000 /* of one CI job under one key: nobody answers AGAIN more often */ };

struct dz_arrival_reply {
    enum dz_arrival_word word;
    uint32_t number; /* of the generation that is joined, or missed */
};

/* What a generation after the first runs: DAGZ_MODE. */
enum dz_rerun {
    DZ_RERUN_AUTO,   /* after a failed one FAILED, after a good one FULL */
    DZ_RERUN_FAILED, /* what failed or is missing; the rest counts as it was */
    DZ_RERUN_FULL,
};
extern const char *const dz_rerun_words[]; /* in the order of the enum; NULL ends */
/* "" is AUTO.  False: it is none of the words. */
bool dz_rerun_read(const char *text, enum dz_rerun *out);
/* Does all of it run again? */
bool dz_rerun_is_full(enum dz_rerun mode, bool was_good);

/* The node of results that a generation took over from an earlier one: nobody's number. */
#define DZ_NODE_CARRIED UINT64_C(0xffffffffffffffff)

struct dz_arrival_reply dz_generation_of(const struct dz_generation *newest,
                                         const struct dz_arrival *who);

#endif
