/* inside.h - the vassal's parts; seen by this folder and by its tests only.
 *
 * What must reach the scheduler is kept as state (records not acknowledged, things a slot must say,
 * tests to give back) and turned into messages when the session has room, by flush_all().  A new
 * session starts with STATE, which tells all of that afresh. */
#ifndef DZ_VASSAL_CORE_INSIDE_H
#define DZ_VASSAL_CORE_INSIDE_H

#include "shared/base/arena.h"
#include "shared/base/mutant.h"
#include "shared/wire/flow.h"
#include "shared/wire/pace.h"
#include "shared/wire/wire.h"
#include "vassal/core/vassal.h"

/* ------------------------------------------------------------------ tables */

/* clang-format off */
#define MEMBER_STATES(X) X(NEW) X(JOINING) X(SERVING) X(DRAINING) X(DRAINED) X(LEAVING) X(EXITED)
#define MEMBER_TURNS(X)  X(COLLECTED) X(LED) X(DRAIN) X(EMPTY) X(SEAL) X(LEAVE) X(REFUSED)
#define RANK_STATES(X)   X(NEW) X(JOINING) X(VASSAL) X(CANDIDATE) X(LEADING) X(SHARD) X(LEAVING) X(OUT)
#define RANK_TURNS(X)    X(JOIN) X(GRANT) X(HELD) X(ALONE) X(LED) X(LOST) X(OUTRANKED) X(YIELD) X(LEAVE) X(END)
#define SLOT_STATES(X)   X(ABSENT) X(FORKING) X(IDLE) X(BUSY) X(LEAVING) X(LOST)
#define SLOT_TURNS(X)    X(FORK) X(UP) X(FEED) X(DRY) X(END) X(DOWN) X(LOSE)
/* clang-format on */

#define X(name) MEMBER_##name,
enum member_state { MEMBER_STATES(X) MEMBER_STATE_COUNT };
#undef X
#define X(name) MEMBER_TURN_##name,
enum member_turn { MEMBER_TURNS(X) MEMBER_TURN_COUNT };
#undef X
#define X(name) RANK_##name,
enum rank { RANK_STATES(X) RANK_COUNT };
#undef X
#define X(name) RANK_TURN_##name,
enum rank_turn { RANK_TURNS(X) RANK_TURN_COUNT };
#undef X
#define X(name) SLOT_TURN_##name,
enum slot_turn { SLOT_TURNS(X) SLOT_TURN_COUNT };
#undef X

/* Where a turn leads; -1: no such edge. */
int member_state_after(enum member_state state, enum member_turn turn);
int slot_state_after(enum vassal_slot_state state, enum slot_turn turn);
int rank_after(enum rank rank, enum rank_turn turn);
const char *rank_name(enum rank rank);
const char *rank_turn_name(enum rank_turn turn);
const char *member_state_name(enum member_state state);
const char *member_turn_name(enum member_turn turn);
const char *slot_state_name(enum vassal_slot_state state);
const char *slot_turn_name(enum slot_turn turn);

/* ------------------------------------------------------------------ data */

struct vslot {
    enum vassal_slot_state state; /* written by slot_turn() and nobody else */
    unsigned num;
    struct dz_grant *held; /* owned: granted and not reported, in queue order */
    size_t held_count, held_cap;
    size_t fed;            /* so many of them are in the worker's queue, or were taken from it */
    enum vassal_more more; /* what the worker was told last */
    bool is_asking;        /* its worker sleeps until it is fed */
    bool is_parked;        /* the scheduler said that there is nothing for it */
    bool must_say;         /* the scheduler must hear of its state */
    bool is_working;       /* its worker has reported a result */
    unsigned fails;        /* workers in a row that died without having run anything */
    unsigned unputs;       /* answers that the driver owes */
    dz_us asked_at;
};

/* Tests that go back, until they are told. */
struct back {
    unsigned slot;
    enum dz_back why;
    struct dz_grant *grants; /* owned */
    size_t count;
};

/*   WRITING --journaled--> HELD --RACK--> ACKED --STORED--> DONE
 *
 * A new scheduler makes ACKED HELD again: the one that acknowledged may be gone, with its ledger. */
enum record_state { RECORD_WRITING, RECORD_HELD, RECORD_ACKED, RECORD_DONE };

struct record {
    uint64_t number;
    enum record_state state;
    bool is_counted; /* COUNTED was given */
    bool
        is_stored; /* STORED was given: told again only to a scheduler that cannot read the ledger */
    struct vassal_outcome outcome;
};

/* Another node, as the scheduler told. */
struct peer {
    uint64_t node, inc;
    bool is_gone; /* the transport said so */
};

/* Who schedules, as far as this node knows: rank.c. */
struct ranking {
    enum rank rank; /* written by rank_turn() and nobody else */
    dz_us since;
    struct dz_epoch holder;  /* who should schedule: the next LEAD comes from it */
    bool is_holder_gone;     /* the transport says that its process has ended */
    dz_us holder_at;         /* when it was named */
    uint64_t claimed_n;      /* LEADING: the number of its epoch */
    uint64_t asks, asked;    /* ever; the one that is on its way, 0 none */
    enum dz_lease_kind kind; /* of that one */
    dz_us asked_at, ask_at;  /* when; when the next one is due (INT64_MAX: not) */
    dz_us pause;             /* before the next CLAIM */
    unsigned claims;         /* that found it held since it was lost */
    unsigned unreachables;   /* tries in a row to which no answer came */
    unsigned vouched;        /* times that the authority said of a silent holder that it leads */
    dz_us cut_off_at;        /* when the first of them was made */
    uint64_t members;        /* nodes that take part, as the scheduler told */
    struct peer *peers;      /* owned: its successors, the first one first; may name this node */
    size_t peer_count;
};

struct vassal {
    struct vassal_cfg cfg;   /* cfg.job is owned */
    enum member_state state; /* written by member_turn() and nobody else */
    dz_us left_at;           /* since when it is LEAVING */
    dz_us wake_at;

    struct dz_arena arena;
    struct vassal_effect *fx; /* owned */
    size_t fx_count, fx_cap;
    struct dz_buf frame, items; /* scratch: one frame, the lists of one message */

    struct ranking ranking;
    dz_us stepped_at;
    uint32_t total;
    uint64_t manifest_digest;
    uint64_t seen_n; /* greatest epoch number known */

    struct dz_flow flow; /* with the scheduler; its epoch is the one obeyed */
    uint64_t scheduler;  /* its node id, 0: none was heard yet */
    dz_us heard_at, spoke_at;
    dz_us hello_at, hello_us; /* when the next HELLO is due; the last pause */
    unsigned hellos;          /* to whoever is thought to schedule, without an answer */
    dz_us hb_us, dead_us;
    unsigned nodes; /* have come to the job, as far as it is known */
    bool is_own_due, is_state_due, is_stop_due, is_drained_due, is_bye_due;
    uint32_t own_said; /* tests of our manifest that were told */
    struct vassal_own own;
    uint64_t heartbeats;

    struct vslot *slots; /* owned, [cfg.slots] */
    unsigned slot_count; /* that take part: no more than there are tests */
    unsigned living;     /* slots that are neither ABSENT nor LOST */

    struct record *records; /* owned: by number; not acknowledged, or (is_keeping) all */
    size_t record_first, record_count, record_cap;
    size_t told;      /* so many of them were told in this session, or need not be */
    size_t old;       /* so many of them are older than this session's STATE */
    size_t stored_to; /* so many of them were looked at for what is stored */
    size_t unacked;   /* WRITING or HELD */
    uint64_t last_record;
    bool is_keeping;                /* the scheduler's word is not the store's */
    uint64_t sessions, epoch_began; /* ever; the one with which the present epoch began */
    uint64_t copies_kept, copied;   /* of this session: journaled; said to be */
    uint64_t pending;               /* records that are not stored */

    struct back *backs; /* owned; a queue */
    size_t back_count, back_cap;

    int stop_how; /* -1: not stopped; by the person or by DRAIN */
    struct dz_buf stop_reason;
    struct vassal_end end; /* of SEAL */
};

#define GROW(array, count, cap) \
    do { \
        if ((count) == (cap)) { \
            (cap) = (cap) ? (cap) *2 : 8; \
            (array) = dz_realloc((array), (cap), sizeof(*(array))); \
        } \
    } while (0)

/* ------------------------------------------------------------------ vassal.c */

struct vassal_effect *vassal_effect(struct vassal *self, enum vassal_effect_kind kind);
void vassal_note(struct vassal *self, unsigned severity, const char *fmt, ...) DZ_PRINTF(3, 4);
void vassal_wake(struct vassal *self, dz_us at);
bool member_turn(struct vassal *self, enum member_turn turn);       /* false: refused */
void vassal_finish(struct vassal *self, bool is_sealed, dz_us now); /* emits DONE */

/* ------------------------------------------------------------------ session.c */

void session_hear(struct vassal *self, struct dz_slice frame, dz_us now);
void session_tick(struct vassal *self, dz_us now);
void session_hello(struct vassal *self, dz_us now);
/* How often to say that it lives, and after how long a silence the scheduler is lost. */
/* So many nodes have come to the job; 0: it is not known. */
void session_crowd(struct vassal *self, unsigned nodes);
void session_pace(struct vassal *self, uint64_t hb_ms, uint64_t dead_ms);
bool session_is_open(const struct vassal *self); /* a scheduler leads, and knows our STATE */
void session_redirect(struct vassal *self, const struct dz_msg_mesh *from);
void session_say(struct vassal *self, const struct dz_msg *msg, dz_us now);
void flush_all(struct vassal *self, dz_us now);

/* ------------------------------------------------------------------ rank.c */

bool rank_turn(struct vassal *self, enum rank_turn turn, const char *why, dz_us now);
void rank_join(struct vassal *self, dz_us now);
void rank_collected(struct vassal *self, dz_us now); /* the manifest is known */
void rank_answer(struct vassal *self, const struct vassal_event *event, dz_us now);
void rank_gone(struct vassal *self, uint64_t node, uint64_t inc, dz_us now);
void rank_deposed(struct vassal *self, const struct dz_epoch *by, dz_us now);
bool rank_admits(struct vassal *self, const struct dz_msg_mesh *from, const struct dz_epoch *epoch,
                 dz_us now); /* is its LEAD to be obeyed? */
void rank_hint(struct vassal *self, const struct dz_epoch *epoch, dz_us now); /* a NACK names it */
void rank_members(struct vassal *self, const struct dz_msg_mesh_members *members);
void rank_knows(struct vassal *self, const uint64_t *nodes,
                size_t count); /* from an earlier life */
void rank_leave(struct vassal *self, dz_us now);
dz_us rank_patience_us(const struct vassal *self); /* with the authority's answer */
bool rank_may_hear(const struct vassal *self);     /* it has collected, and the job goes on */
dz_us rank_wait_us(const struct vassal *self);     /* for those who come before it in succession */
void rank_meet(struct vassal *self, const struct vassal_event *event);
bool rank_is_led(const struct vassal *self);   /* by whom it believes to schedule */
void rank_end(struct vassal *self, dz_us now); /* it takes no part any more */
void rank_tick(struct vassal *self, dz_us now);
size_t rank_targets(const struct vassal *self, uint64_t *nodes_out); /* whom to say HELLO to */
enum { RANK_TARGETS_MAX = DZ_SUCCESSORS_MAX + 1 };

/* ------------------------------------------------------------------ orders.c */

void on_order(struct vassal *self, const struct dz_msg *msg, dz_us now);

/* ------------------------------------------------------------------ outbox.c */

void outbox_add(struct vassal *self, const struct vassal_outcome *outcome, enum dz_cause cause);
void outbox_restore(struct vassal *self, uint64_t number, const struct vassal_outcome *outcome);
void outbox_journaled(struct vassal *self, uint64_t number);
void outbox_rack(struct vassal *self, uint64_t number, enum dz_word word);
bool outbox_has(const struct vassal *self, uint32_t test);
bool outbox_is_writing_old(const struct vassal *self); /* something older than this session */
bool outbox_is_writing(const struct vassal *self);     /* anything */
void outbox_announced(struct vassal *self);            /* STATE has said how many there are */
void outbox_open(struct vassal *self, bool is_new_epoch, bool is_blind); /* a session begins */
void outbox_copy(struct vassal *self, struct dz_list outcomes);
void outbox_stored(struct vassal *self, uint64_t number);
void copies_tell(struct vassal *self, dz_us now);
void outbox_tell(struct vassal *self, dz_us now);
void backs_tell(struct vassal *self, dz_us now);
void backs_clear(struct vassal *self);
void back_add(struct vassal *self, unsigned slot, enum dz_back why, const struct dz_grant *grants,
              size_t count);

/* ------------------------------------------------------------------ slots.c */

void slot_turn(struct vassal *self, struct vslot *slot, enum slot_turn turn);
void slots_start(struct vassal *self); /* fork those that are absent */
void slot_came_up(struct vassal *self, struct vslot *slot, const struct dz_grant *held,
                  size_t count);
void slot_asks(struct vassal *self, struct vslot *slot, dz_us now);
void slot_went_down(struct vassal *self, const struct vassal_event *event);
void slot_reported(struct vassal *self, const struct vassal_outcome *outcome);
void slot_grant(struct vassal *self, struct vslot *slot, const struct dz_grant *grants,
                size_t count, bool does_follow);
void slot_nothing(struct vassal *self, struct vslot *slot);
void slot_revoke(struct vassal *self, struct vslot *slot, size_t count);
void slot_unput(struct vassal *self, struct vslot *slot, const struct dz_grant *grants,
                size_t count);
void slot_lacks(struct vassal *self, struct vslot *slot, const struct dz_grant *grants,
                size_t count);
void slots_end(struct vassal *self, int how); /* nothing more; how > 0: and take back; 2: kill */
void slots_tick(struct vassal *self, dz_us now);
enum dz_slot_say slot_says(const struct vslot *slot);
void slots_say(struct vassal *self, dz_us now);

#endif
