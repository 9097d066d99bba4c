/* coord.h - decides which test runs in which slot, and when a job is done.
 *
 * A pure core: coord_step() takes one event and the time, and answers with effects for its driver
 * (coord/io in production, tests/sim in simulation) to carry out in the order given.  It reads no
 * clock, opens nothing, and the same events at the same times give the same effects.
 *
 * Life     coord_new() -> START -> (PERSIST) -> PERSISTED; MANIFEST, LEDGER at any time -> it
 *          answers every HELLO with LEAD, waits for STATE of the nodes that it expects, then
 *          schedules until all tests are counted -> DRAIN -> SEAL -> DONE.  DEPOSED instead of DONE:
 *          a scheduler with a greater epoch exists.
 * Memory   Everything in an event is borrowed for the call.  Everything in effects is borrowed by
 *          the driver until the next coord_step() of the same object.
 * Time     `now` is CLOCK_MONOTONIC in microseconds and never goes back.
 * Trust    Bytes of a MESSAGE may be anything.  All other events come from our own driver: one that
 *          breaks a promise below is a bug and asserts.
 * Repeats  A MESSAGE may be lost, doubled or out of order: the cores repeat what must arrive (see
 *          coord_next()).  Every other event is given exactly once. */
#ifndef DZ_COORD_CORE_COORD_H
#define DZ_COORD_CORE_COORD_H

#include "shared/base/base.h"
#include "shared/wire/account.h"
#include "shared/wire/mesh.h"

struct coord;

/* The constraint that decides what is kept together on one slot (as of xdist's --dist). */
enum coord_placement {
    COORD_PLACE_LOAD,  /* nothing must; modules and classes are kept together while that is free */
    COORD_PLACE_FILE,  /* all tests of a file */
    COORD_PLACE_SCOPE, /* all tests of a class, or of a module outside of classes */
    COORD_PLACE_GROUP, /* all tests of an xdist_group (always honoured, under LOAD as well) */
};
/* "load", "loadfile", "loadscope", "loadgroup", "worksteal", "" ...; unknown names are LOAD. */
enum coord_placement coord_placement_of(struct dz_slice name);

enum { COORD_NODES_MAX = 16384, COORD_TESTS_MAX = 1 << 24 };

struct coord_cfg {
    struct dz_slice job; /* copied; every message names it */
    uint64_t node;       /* of this node: unique in the job, not 0 */
    uint64_t inc;        /* of this life of the node: greater than those of its earlier lives */
    unsigned
        nodes_expected; /* scheduling starts when so many told their STATE, or after state_us */
    unsigned strikes;   /* deaths of workers after which a test counts as CRASHED; 0 means 1 */
    enum coord_placement placement;
    bool keep_order; /* units in collection order (--ff, --nf, --sw), not longest first */
    dz_us hb_us;     /* silence after which a heartbeat is due; 0: 100 ms */
    dz_us dead_us;   /* silence after which another node is given up; 0: 1 s */
    dz_us state_us;  /* longest wait for STATE of the nodes that are expected; 0: 2 s */
    unsigned shard_index, shard_total; /* total above 1: only its static share of the tests is run
                                        *, the rest is somebody else's */
    bool has_store; /* COUNTED is not yet stored: STORED follows, and results keep a second copy on
                     * another node until then.  false: the ledger that answers COUNT is the last */
    bool is_blind;  /* the store's ledger could not be read (LEDGER is not complete) */
};

struct coord_test {
    struct dz_slice id; /* node id; tests are given sorted by its bytes.  Borrowed until the core
                            * is destroyed: nodes whose manifest differs are compared with it */
    struct dz_slice
        group;       /* what ties it to others, or empty.  "!m:..." and "!x:...": its tests run
                            * in slot 0 of a node, alone on their node */
    uint32_t order;  /* position in collection order: a permutation of 0 .. count - 1 */
    uint32_t est_us; /* expected duration, 0 unknown */
};

/* What the ledger said of one record.  A strike that is now sent to count, because this scheduler
 * takes it for the last one, is COUNTED unless something else counts. */
struct coord_answer {
    enum dz_word word; /* STRIKE for what was sent as history */
    bool is_repeat;    /* it had this very execution already; word is what it was then */
    uint32_t counts;   /* the result of the execution that counts for this test and attempt; 0: none
                        * does, or (not of history) what was told */
};

/* One row that the ledger holds already (a job that goes on after its scheduler died).  Counted
 * rows must be given; history, as far as it is known. */
struct coord_row {
    struct dz_grant what;
    uint32_t result; /* enum dz_result */
    uint64_t node;   /* where it was executed, and in which incarnation */
    uint64_t inc;
    uint64_t exec;
    bool is_counted; /* false: history; a CRASHED of history is a strike */
};

enum coord_event_kind {
    COORD_EV_TICK,      /* time passed; give it when coord_next() says so, or at any time */
    COORD_EV_START,     /* this node was elected: once, first */
    COORD_EV_PERSISTED, /* answer to PERSIST: the epoch's number is on disk */
    COORD_EV_MANIFEST,  /* the node's tests: once, and again after RETELL */
    COORD_EV_LEDGER,    /* rows that the ledger holds: right after MANIFEST if the job is not new;
                         * later for what the store counted before us (its word goes).  Before
                         * SEALED once more, all of them, if another scheduler may have counted */
    COORD_EV_TESTS, /* tests of the job that the manifest lacks, as the ledger names them: they get
                    * the next numbers.  Before the LEDGER that uses those; MANIFEST was given twice */
    COORD_EV_MESSAGE,   /* bytes that a node sent to the scheduler */
    COORD_EV_COUNTED,   /* answer to COUNT: the rows are durable */
    COORD_EV_SEALED,    /* answer to SEAL */
    COORD_EV_GONE,      /* the transport knows that a node is dead (its host said so) */
    COORD_EV_STORED,    /* all rows of the batches up to this one are in the store */
    COORD_EV_OUTRANKED, /* this node's vassal says: stop (it leaves, or somebody else leads) */
};

struct coord_event {
    enum coord_event_kind kind;
    union {
        struct {
            bool is_behind; /* messages have come that were not given yet */
        } tick;
        struct {
            uint64_t seen_n; /* greatest epoch number on disk or heard of; the new one is greater */
        } start;
        struct {
            const struct coord_test *tests;
            size_t count;
            uint64_t digest; /* of the sorted ids: the same number in every HELLO of this job */
            unsigned nodes;  /* have come to the job: so many may be heard of; 0: not known */
        } manifest;
        struct {
            const struct coord_row *rows; /* may be given in several events */
            size_t count;
        } ledger;
        struct {
            const struct dz_slice *ids; /* copied */
            size_t count;
        } tests;
        struct dz_slice message; /* one frame, without any transport's prefix */
        struct {
            uint64_t batch;                     /* that of the COUNT */
            const struct coord_answer *answers; /* one for each record, in their order */
        } counted;
        struct {
            uint64_t count;  /* counted rows that the ledger holds */
            uint64_t digest; /* sum of dz_ledger_mix() over them */
            bool is_stored;  /* has_store: the store holds all of it */
        } sealed;
        struct {
            uint64_t node;
            uint64_t inc;
        } gone;
        struct {
            uint64_t batch;
        } stored;
        struct dz_epoch outranked; /* the greater epoch; n 0: none is known, look for another one */
    } as;
};

/* An execution to be written to the ledger. */
struct coord_record {
    struct dz_grant what;
    uint32_t result; /* enum dz_result */
    uint32_t slot;
    uint64_t node;
    uint64_t inc;
    uint64_t exec;   /* (node, inc, exec) is unique: the ledger knows a repeat by it */
    uint64_t digest; /* of the reports */
    dz_us start_us, setup_us, call_us, teardown_us;
    uint32_t line;   /* of the test: enum dz_line */
    bool is_history; /* do not count it (a strike that is not the last) */
};

enum coord_effect_kind {
    COORD_FX_SEND,    /* to a node, best effort: never wait for it, drop it when the pipe is full */
    COORD_FX_PERSIST, /* write the number to disk, sync, answer PERSISTED */
    COORD_FX_COUNT,   /* write the records to the ledger in one transaction, answer COUNTED; answers
                       * may come later but in the order of the batches */
    COORD_FX_SEAL,    /* close the ledger, answer SEALED with what it holds */
    COORD_FX_DONE,    /* the job is over, everybody left; nothing follows */
    COORD_FX_DEPOSED, /* it steps down: destroy this object, tell the vassal's core (DEPOSED) */
    COORD_FX_NOTE,    /* a line for people */
    COORD_FX_RETELL, /* give MANIFEST again: a node has other tests, and must be compared with it */
    COORD_FX_NODE,   /* a node joined, was lost or left: for the job's chronicle */
    COORD_FX_TESTS, /* nodes brought tests that the manifest lacks: they have these numbers from now
                       * on.  Add them to the job's manifest in the store before any of their rows */
};

struct coord_effect {
    enum coord_effect_kind kind;
    union {
        struct {
            uint64_t node; /* to: may be this node itself */
            uint64_t inc;
            struct dz_slice frame;
        } send;
        struct {
            uint64_t n;
        } persist;
        struct {
            uint64_t batch; /* 1, 2, ... */
            const struct coord_record *records;
            size_t count;
        } count;
        struct dz_account seal; /* duplicates and agrees are not known yet */
        struct dz_account done;
        struct dz_epoch deposed; /* the greater epoch; n 0: none is known */
        struct {
            uint32_t first;
            const struct dz_slice *ids;
            size_t count;
        } tests;
        struct {
            unsigned severity; /* as in message note */
            struct dz_slice text;
        } note;
        struct {
            uint64_t node;
            uint64_t inc;
            const char *word; /* "joined", "differs", "lost", "left" */
            const char *why;  /* a few words, or "" */
        } node;
    } as;
};

struct coord_effects {
    const struct coord_effect *items;
    size_t count;
};

struct coord *coord_new(const struct coord_cfg *cfg);
void coord_destroy(struct coord **self_p);

/* Take one event.  `out` is filled, possibly with nothing. */
void coord_step(struct coord *self, const struct coord_event *event, dz_us now,
                struct coord_effects *out);

/* When the next TICK is wanted at the latest; INT64_MAX: no need. */
dz_us coord_next(const struct coord *self);

/* What a node is to the scheduler: "MEMBER"; "" not known.  For logs and tests. */
const char *coord_node_text(const struct coord *self, uint64_t node);

/* For people. */
struct coord_progress {
    uint64_t total, done, failed; /* tests; done: counted */
    dz_us eta_us;                 /* left, at the present number of slots; 0 unknown */
};
void coord_progress(const struct coord *self, struct coord_progress *out);

/* "SCHEDULING": for logs. */
const char *coord_state_text(const struct coord *self);

/* Asserts what must always hold (README.md); for tests, since it looks at everything. */
void coord_check(const struct coord *self);

#endif
