/* inside.h - the coordinator's parts; seen by this folder and by its tests only.
 *
 * A test is in one of three states for the ledger (OPEN, PENDING, COUNTED; or ABSENT, when nobody
 * can run it).  Apart from that it may be held, that is granted, by any number of slots: usually
 * one, more after a node was given up too early.  What must always hold of an OPEN test: it is
 * free in the plan, or some slot holds it.  coord_check() looks. */
#ifndef DZ_COORD_CORE_INSIDE_H
#define DZ_COORD_CORE_INSIDE_H

#include "coord/core/coord.h"
#include "coord/core/grow.h"
#include "coord/core/plan.h"
#include "shared/base/arena.h"
#include "shared/base/map.h"
#include "shared/base/mutant.h"
#include "shared/wire/flow.h"
#include "shared/wire/model.h"
#include "shared/wire/wire.h"

/* ------------------------------------------------------------------ tables */

/* clang-format off */
#define COORD_PHASES(X) X(NEW) X(PERSISTING) X(LEADING) X(SCHEDULING) X(DRAINING) X(SEALING) \
                        X(PARTING) X(DONE) X(DEPOSED)
#define COORD_TURNS(X)  X(START) X(PERSISTED) X(READY) X(DRAIN) X(MORE) X(EMPTY) X(SEALED) X(ALONE) \
                        X(OUTRANKED)
#define NODE_STATES(X)  X(GREETED) X(MEMBER) X(DRAINED) X(SILENT) X(LEFT)
#define NODE_TURNS(X)   X(GREET) X(TOLD) X(EMPTY) X(SILENCE) X(BYE)
/* clang-format on */

#define X(name) PHASE_##name,
enum phase { COORD_PHASES(X) PHASE_COUNT };
#undef X
#define X(name) TURN_##name,
enum turn { COORD_TURNS(X) TURN_COUNT };
#undef X
#define X(name) NODE_##name,
enum node_state { NODE_STATES(X) NODE_STATE_COUNT };
#undef X
#define X(name) NODE_TURN_##name,
enum node_turn { NODE_TURNS(X) NODE_TURN_COUNT };
#undef X

/* Where a turn leads; -1: no such edge. */
int phase_after(enum phase phase, enum turn turn);
int node_state_after(enum node_state state, enum node_turn turn);
const char *phase_name(enum phase phase);
const char *turn_name(enum turn turn);
const char *node_state_name(enum node_state state);
const char *node_turn_name(enum node_turn turn);

/* ------------------------------------------------------------------ data */

enum {
    LIVE_MAX = 128,  /* tests before a slot: the vassal's own limit */
    HELD_MAX = 1024, /* ... and those whose results we have not heard */
    ABSENT_MAX = 16, /* slots that may lack a test before it is given up */
    NODE_SLOTS_MAX = 1024,
};

enum test_state { TEST_OPEN, TEST_PENDING, TEST_COUNTED, TEST_ABSENT, TEST_ELSEWHERE };
#define NO_TEST UINT32_MAX

struct test {
    uint8_t state;   /* enum test_state */
    uint8_t holders; /* slots that hold it */
    uint8_t strikes;
    uint8_t absents; /* slots that said that they lack it */
    uint8_t result;  /* COUNTED: what */
    uint8_t needs;   /* enum need */
};

/* Where a test may run, beside of what ties it. */
enum need {
    NEED_MAIN = 1,  /* slot 0 of a node */
    NEED_ALONE = 2, /* nothing else on its node */
};

struct strike {
    uint32_t test;
    uint64_t node, inc, exec;
};

struct slot {
    struct node *node; /* borrowed */
    uint32_t number;   /* of the job, for the plan */
    uint32_t num;      /* of the node */
    bool is_up;
    bool wants;     /* its worker sleeps until it is answered */
    bool is_parked; /* it was told that there is nothing */
    bool is_revoking;
    bool is_bare;   /* nothing waits in its queue: it said so, and was given nothing since */
    bool is_dirty;  /* in coord.dirty_slots */
    bool is_owed;   /* parked, and wants: counted in coord.owed_count */
    bool may_give;  /* something waits in its queue: counted in coord.giver_count */
    bool is_bereft; /* its worker died: what became of the test that it ran must be heard first */
    uint32_t revoke_due;
    uint32_t alone_held; /* of what it holds, so many must be alone */
    uint32_t *held;      /* owned: granted and not reported, in queue order; HELD_MAX at most */
    uint32_t held_count, held_cap;
    uint32_t stale; /* so many of them are finished, and we have not heard of it yet */
    dz_us moved_at; /* when its first held test became the first */
    dz_us asked_at; /* when it said that it wants */
    dz_us ahead_us; /* how much it should have before it */
};

/* Tests that it holds and that are not finished, as far as we know. */
static inline uint32_t
slot_live(const struct slot *slot)
{
    return slot->held_count - slot->stale;
}

struct rack {
    uint64_t record;
    enum dz_word word;
};

struct node {
    uint64_t id, inc;
    uint32_t number;           /* its place in coord.nodes */
    uint32_t held, alone_held; /* by all of its slots: tests, and those that must be alone */
    uint64_t sessions;         /* counts them, over all incarnations */
    enum node_state state;     /* written by node_turn() and nobody else */
    struct dz_flow flow;
    dz_us heard_at, spoke_at;
    dz_us led_at;           /* LEAD was said */
    dz_us beat_us, dead_us; /* as it was told */
    struct slot **slots;    /* owned */
    uint32_t slot_count;
    uint64_t results_due; /* of its STATE: results that are still to come */
    struct rack *racks;   /* owned: words that are not said yet */
    size_t rack_count, rack_cap;
    int drain_said; /* -1 not, else how */
    bool is_state_begun, is_seal_said, is_blocked, is_dirty;

    uint8_t *contact; /* owned */
    size_t contact_len;
    bool are_members_due;
    uint64_t stored, stored_said; /* its records up to here are in the store; it was told */

    uint64_t digest;      /* of its manifest */
    bool is_odd;          /* which is not ours */
    bool has_own;         /* all of OWN was heard */
    uint32_t own_count;   /* so many of OWN were heard */
    uint32_t *own;        /* owned: its number of a test -> ours */
    struct pair *by_test; /* owned: the same, sorted by ours */
};

struct pair {
    uint32_t test, local;
};

/* A row that the store does not have yet. */
struct kept {
    struct coord_record record;
    struct node *teller; /* borrowed: it has it in its spool, unless it is lost */
    struct node *holder; /* borrowed: it was sent a copy; NULL nobody */
    bool is_due, is_copied;
};

struct kept_batch {
    struct node *teller;         /* borrowed */
    uint64_t teller_inc, record; /* the greatest of its records in this batch */
    uint32_t count;
};

/* A record that the ledger was asked about. */
struct asked {
    struct node *teller; /* borrowed */
    uint64_t teller_inc;
    uint64_t record; /* in the teller's spool */
    uint32_t test;
    uint32_t result;
    bool is_history;
};

struct coord {
    struct coord_cfg cfg; /* cfg.job is owned */
    struct dz_epoch epoch;
    enum phase phase; /* written by coord_turn() and nobody else */
    dz_us phase_since;
    dz_us empty_since;   /* DRAINING: everybody is drained; 0 not */
    dz_us briefed_at;    /* the manifest came */
    dz_us awaited_since; /* LEADING: nodes that have collected wait for our manifest */
    unsigned awaiting;   /* HELLOs of theirs */
    dz_us stepped_at;
    dz_us wake_at; /* a tick is due; INT64_MAX: none */

    struct dz_arena arena;   /* of the effects of the last step */
    struct coord_effect *fx; /* owned */
    size_t fx_count, fx_cap;
    struct dz_buf frame, items; /* scratch: one frame, the lists of one message */

    bool has_manifest;
    uint32_t total;
    uint64_t manifest_digest;
    struct test *tests;     /* owned, [total] */
    struct plan *plan;      /* owned */
    struct strike *strikes; /* owned */
    size_t strike_count, strike_cap;

    struct node **nodes; /* owned */
    size_t node_count, node_cap;
    size_t in_state[NODE_STATE_COUNT]; /* how many nodes */
    uint32_t *node_index;              /* owned: id -> index + 1, open addressing, a power of two */
    size_t node_index_mask;
    struct slot **slots; /* owned array of borrowed slots: by number */
    size_t slot_count, slot_cap;
    struct slot **dirty_slots; /* owned array of borrowed slots */
    size_t dirty_slot_count, dirty_slot_cap;
    struct node **dirty_nodes; /* owned array of borrowed nodes */
    size_t dirty_node_count, dirty_node_cap;
    size_t parked_count, up_count;
    dz_us rescued_at; /* when what may be stuck was last looked for */
    size_t owed_count, giver_count;
    dz_us settled_at; /* when those to whom an answer is owed were last gone through */
    size_t giver_at;  /* where the last search for one of them ended */
    size_t owed_at;   /* ... for a slot to which an answer is owed */

    struct asked *asked; /* owned: a queue over all batches */
    size_t asked_first, asked_count, asked_cap;
    uint32_t *batch_len; /* owned: of batches that are not answered, a queue */
    size_t batch_first, batch_count, batch_cap;
    uint64_t batches; /* ever */

    struct coord_test *list; /* owned: all tests, once a node's differ; [total] */
    uint32_t base;           /* tests of our own manifest: the first ones */
    struct dz_arena names;   /* of tests that others brought */
    struct dz_dict brought;  /* their ids -> number + 1 */
    size_t odd_count;        /* nodes that ever differed */
    bool has_needs;          /* some test's place matters */
    uint32_t brought_count;  /* since the plan was made */
    bool was_reopened;       /* after DRAIN */
    dz_us stuck_since;       /* free tests, and nobody who can run them; 0 not */
    uint64_t held_total;     /* over all slots */

    struct kept *kept; /* owned: a queue; the first one has the number kept_base */
    size_t kept_first, kept_count, kept_cap;
    uint64_t kept_base;
    struct kept_batch *kept_batches; /* owned: a queue of what STORED will name */
    size_t kb_first, kb_count, kb_cap;
    uint64_t kb_base;         /* batches that are stored */
    size_t copies_due;        /* is_due and not is_copied */
    size_t copy_at;           /* those before it need nothing */
    struct node *copy_holder; /* borrowed: who is sent copies */
    uint64_t copy_session;
    uint64_t *copy_sent; /* owned: numbers of kept ones, in the order in which they were sent */
    size_t copy_sent_count, copy_sent_cap, copy_acked;

    bool are_members_new; /* the order of succession has changed */
    dz_us members_at;     /* when it was told last */
    uint64_t members_told;

    struct dz_epoch outranked_by;
    bool is_stored;    /* all of the ledger, at the seal */
    bool is_recounted; /* the driver tells all rows again, before the seal */

    uint64_t counted, failed, duplicates, ledger_digest, absent, elsewhere, carried;
    int stop_how; /* -1: not stopped */
    bool is_agreed;
    uint64_t heartbeats;
    unsigned crowd; /* nodes that have come to the job, whether they have been heard or not */
};

/* ------------------------------------------------------------------ coord.c */

struct coord_effect *coord_effect(struct coord *self, enum coord_effect_kind kind);
void coord_note(struct coord *self, unsigned severity, const char *fmt, ...) DZ_PRINTF(3, 4);
/* Nodes of the job, as far as is known. */
size_t coord_crowd(const struct coord *self);
dz_us coord_news_us(const struct coord *self); /* so much longer an answer takes among so many */
/* Silence after which a node, or we, say that we live. */
dz_us coord_beat_us(const struct coord *self);
dz_us coord_dead_us(const struct coord *self);
void coord_wake(struct coord *self, dz_us at); /* a tick at that time, or earlier */
bool coord_turn(struct coord *self, enum turn turn, dz_us now); /* false: refused */

/* ------------------------------------------------------------------ phase.c */

void phase_settle(struct coord *self, dz_us now); /* follow every edge that is due */
void coord_account_fill(const struct coord *self, struct dz_account *out);

/* ------------------------------------------------------------------ nodes.c */

struct node *node_find(const struct coord *self, uint64_t id);
void nodes_fini(struct coord *self);
void node_turn(struct coord *self, struct node *node, enum node_turn turn);
void node_hear(struct coord *self, struct dz_slice frame, dz_us now);
/* why: a few words that last. */
void node_give_up(struct coord *self, struct node *node, const char *why);
void nodes_tick(struct coord *self, bool is_behind, dz_us now);
struct node *node_add(struct coord *self, uint64_t id);
void node_forget(struct coord *self, struct node *node); /* what its slots hold */

/* ------------------------------------------------------------------ joining.c */

void node_hello(struct coord *self, const struct dz_msg_mesh *from,
                const struct dz_msg_mesh_hello *hello, dz_us now);
void node_lead(struct coord *self, struct node *node, dz_us now);
void node_lead_again(struct coord *self, struct node *node, dz_us now);
void node_open_session(struct coord *self, struct node *node, uint64_t inc, dz_us now);
void node_redirect(struct coord *self, const struct dz_msg_mesh *from); /* it is we who lead */

/* ------------------------------------------------------------------ talk.c */

void node_mark(struct coord *self, struct node *node); /* it has something to be told */
void node_say(struct coord *self, struct node *node, const struct dz_msg *msg, dz_us now);
void node_pace(const struct coord *self, struct node *node);
void node_whisper(struct coord *self, struct node *node, const struct dz_msg *msg, dz_us now);
void whisper_to_stranger(struct coord *self, const struct dz_msg_mesh *from,
                         const struct dz_msg *msg);
void node_resend(struct coord *self, struct node *node, bool is_behind, dz_us now);
void nodes_flush(struct coord *self, dz_us now);
void node_rack(struct coord *self, struct node *node, uint64_t record, enum dz_word word);

/* ------------------------------------------------------------------ manifests.c */

void tests_take(struct coord *self, const struct coord_test *tests, size_t count);
bool tests_are_listed(struct coord *self); /* false: the driver was asked for it */
void tests_fini(struct coord *self);
uint32_t test_of(const struct coord *self, const struct node *node, uint64_t local); /* NO_TEST */
uint32_t local_of(const struct coord *self, const struct node *node, uint32_t test); /* NO_TEST */
bool may_begin(const struct coord *self,
               const struct slot *slot); /* nothing on its node is alone */
void on_own(struct coord *self, struct node *node, const struct dz_msg *msg, dz_us now);
void tests_bring(struct coord *self, const struct dz_slice *ids, size_t count);
void tests_give_up(struct coord *self, dz_us now); /* those that nobody is left for */

/* ------------------------------------------------------------------ copies.c */

void copies_keep(struct coord *self, struct node *teller, const struct coord_record *records,
                 uint32_t count, uint64_t greatest);
void copies_orphan(struct coord *self, const struct node *node); /* what it had needs a copy */
void copies_stored(struct coord *self, uint64_t batch);
void copies_told(struct coord *self, struct node *node, uint64_t count);
bool copies_are_safe(const struct coord *self); /* nothing would be lost with this node's disk */
void copies_flush(struct coord *self, dz_us now);
void copies_fini(struct coord *self);

/* ------------------------------------------------------------------ members.c */

void members_flush(struct coord *self, dz_us now);
void members_say(struct coord *self, struct node *node, dz_us now);

/* ------------------------------------------------------------------ grants.c */

void slot_mark(struct coord *self, struct slot *slot);
dz_us slot_ahead_us(const struct coord *self); /* for one that begins */
void slot_up(struct coord *self, struct slot *slot);
void slot_lost(struct coord *self, struct slot *slot);
void slot_wants(struct coord *self, struct slot *slot);
void slot_hold(struct coord *self, struct slot *slot, uint32_t test, dz_us now); /* STATE says so */
bool slot_drop(struct coord *self, struct slot *slot, uint32_t test,
               dz_us now); /* false: not held */
void slot_drop_all(struct coord *self, struct slot *slot);
void slot_back(struct coord *self, struct slot *slot, const struct dz_msg_mesh_back *back,
               dz_us now);
void slots_unpark(struct coord *self); /* there is work again */
void slots_flush(struct coord *self, dz_us now);

/* ------------------------------------------------------------------ rescue.c */

enum {
    RESCUE_US = 20 * 1000, /* how often to look while somebody has nothing to do */
    BEHIND_TIMES = 4,      /* as patient while messages lie unread */
};
void slots_rescue(struct coord *self, bool is_behind, dz_us now);

/* ------------------------------------------------------------------ facts.c */

void facts_take(struct coord *self, struct node *node, struct dz_list outcomes, dz_us now);
void facts_answered(struct coord *self, uint64_t batch, const struct coord_answer *answers);
void facts_load(struct coord *self, const struct coord_row *rows, size_t count);

#endif
