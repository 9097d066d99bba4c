/* tables.c - the life of a node in a job, and of a slot, as tables. */
#include "vassal/core/inside.h"

enum { NO = -1 };

/* clang-format off */
/* LED in any state but the first and the last begins a new session: another scheduler may know
 * nothing of a DRAIN that the one before had said. */
static const int8_t members[MEMBER_STATE_COUNT][MEMBER_TURN_COUNT] = {
    /*                    COLLECTED       LED             DRAIN            EMPTY           SEAL           LEAVE           REFUSED */
    [MEMBER_NEW]      = { MEMBER_JOINING, NO,             NO,              NO,             NO,            MEMBER_EXITED,  NO            },
    [MEMBER_JOINING]  = { NO,             MEMBER_SERVING, NO,              NO,             NO,            MEMBER_EXITED,  MEMBER_EXITED },
    [MEMBER_SERVING]  = { NO,             MEMBER_SERVING, MEMBER_DRAINING, NO,             NO,            MEMBER_LEAVING, NO            },
    [MEMBER_DRAINING] = { NO,             MEMBER_SERVING, MEMBER_DRAINING, MEMBER_DRAINED, NO,            MEMBER_LEAVING, NO            },
    [MEMBER_DRAINED]  = { NO,             MEMBER_SERVING, MEMBER_DRAINED,  NO,             MEMBER_EXITED, MEMBER_EXITED,  NO            },
    [MEMBER_LEAVING]  = { NO,             MEMBER_LEAVING, MEMBER_LEAVING,  MEMBER_EXITED,  NO,            NO,             NO            },
    [MEMBER_EXITED]   = { NO,             NO,             NO,              NO,             NO,            NO,             NO            },
};

/* Who schedules.  GRANT in JOINING and CANDIDATE: by the authority, or (CANDIDATE) as the next in
 * the order of succession; in VASSAL by the authority, when the one that was lost has been heard again
 * meanwhile: its lease is this node's.  A node under way to leave may still be led, to be rid of its
 * results.  Who is JOINING again, in another life, says HELLO to nodes that it knew, and may be led by
 * one of them. */
static const int8_t ranks[RANK_COUNT][RANK_TURN_COUNT] = {
    /*                   JOIN          GRANT         HELD           ALONE       LED            LOST            OUTRANKED    YIELD        LEAVE         END */
    [RANK_NEW]       = { RANK_JOINING, NO,           NO,            NO,         NO,            NO,             NO,          NO,          RANK_OUT,     RANK_OUT },
    [RANK_JOINING]   = { NO,           RANK_LEADING, RANK_VASSAL,   RANK_SHARD, RANK_VASSAL,   RANK_CANDIDATE, NO,          NO,          RANK_OUT,     RANK_OUT },
    [RANK_VASSAL]    = { NO,           RANK_LEADING, RANK_VASSAL,   NO,         RANK_VASSAL,   RANK_CANDIDATE, NO,          NO,          RANK_LEAVING, RANK_OUT },
    [RANK_CANDIDATE] = { NO,           RANK_LEADING, RANK_VASSAL,   NO,         RANK_VASSAL,   NO,             NO,          NO,          RANK_LEAVING, RANK_OUT },
    [RANK_LEADING]   = { NO,           NO,           NO,            NO,         RANK_VASSAL,   NO,             RANK_VASSAL, RANK_VASSAL, RANK_LEAVING, RANK_OUT },
    [RANK_SHARD]     = { NO,           NO,           NO,            NO,         NO,            NO,             NO,          NO,          NO,           RANK_OUT },
    [RANK_LEAVING]   = { NO,           NO,           RANK_LEAVING,  NO,         RANK_LEAVING,  NO,             NO,          NO,          NO,           RANK_OUT },
    [RANK_OUT]       = { NO,           NO,           NO,            NO,         NO,            NO,             NO,          NO,          NO,           NO       },
};

static const int8_t slots[VASSAL_SLOT_STATES][SLOT_TURN_COUNT] = {
    /*                        FORK                 UP                FEED                 DRY               END                  DOWN                LOSE */
    [VASSAL_SLOT_ABSENT]  = { VASSAL_SLOT_FORKING, VASSAL_SLOT_IDLE, NO,                  NO,               NO,                  VASSAL_SLOT_ABSENT, VASSAL_SLOT_LOST },
    [VASSAL_SLOT_FORKING] = { NO,                  VASSAL_SLOT_IDLE, NO,                  NO,               NO,                  VASSAL_SLOT_ABSENT, VASSAL_SLOT_LOST },
    [VASSAL_SLOT_IDLE]    = { NO,                  NO,               VASSAL_SLOT_BUSY,    NO,               VASSAL_SLOT_LEAVING, VASSAL_SLOT_ABSENT, VASSAL_SLOT_LOST },
    [VASSAL_SLOT_BUSY]    = { NO,                  NO,               VASSAL_SLOT_BUSY,    VASSAL_SLOT_IDLE, VASSAL_SLOT_LEAVING, VASSAL_SLOT_ABSENT, VASSAL_SLOT_LOST },
    [VASSAL_SLOT_LEAVING] = { NO,                  NO,               NO,                  NO,               VASSAL_SLOT_LEAVING, VASSAL_SLOT_ABSENT, VASSAL_SLOT_LOST },
    [VASSAL_SLOT_LOST]    = { NO,                  NO,               NO,                  NO,               NO,                  NO,                 NO               },
};
/* clang-format on */

#define X(name) #name,
static const char *const member_names[] = { MEMBER_STATES(X) };
static const char *const member_turn_names[] = { MEMBER_TURNS(X) };
static const char *const rank_names[] = { RANK_STATES(X) };
static const char *const rank_turn_names[] = { RANK_TURNS(X) };
static const char *const slot_names[] = { SLOT_STATES(X) };
static const char *const slot_turn_names[] = { SLOT_TURNS(X) };
#undef X
_Static_assert(DZ_LEN(slot_names) == VASSAL_SLOT_STATES, "one name for each state");

int
member_state_after(enum member_state state, enum member_turn turn)
{
    dz_assert((unsigned) state < MEMBER_STATE_COUNT && (unsigned) turn < MEMBER_TURN_COUNT);
    return members[state][turn];
}

int
slot_state_after(enum vassal_slot_state state, enum slot_turn turn)
{
    dz_assert((unsigned) state < VASSAL_SLOT_STATES && (unsigned) turn < SLOT_TURN_COUNT);
    return slots[state][turn];
}

int
rank_after(enum rank rank, enum rank_turn turn)
{
    dz_assert((unsigned) rank < RANK_COUNT && (unsigned) turn < RANK_TURN_COUNT);
    return ranks[rank][turn];
}

const char *
rank_name(enum rank rank)
{
    dz_assert((unsigned) rank < RANK_COUNT);
    return rank_names[rank];
}

const char *
rank_turn_name(enum rank_turn turn)
{
    dz_assert((unsigned) turn < RANK_TURN_COUNT);
    return rank_turn_names[turn];
}

const char *
member_state_name(enum member_state state)
{
    dz_assert((unsigned) state < MEMBER_STATE_COUNT);
    return member_names[state];
}

const char *
member_turn_name(enum member_turn turn)
{
    dz_assert((unsigned) turn < MEMBER_TURN_COUNT);
    return member_turn_names[turn];
}

const char *
slot_state_name(enum vassal_slot_state state)
{
    dz_assert((unsigned) state < VASSAL_SLOT_STATES);
    return slot_names[state];
}

const char *
slot_turn_name(enum slot_turn turn)
{
    dz_assert((unsigned) turn < SLOT_TURN_COUNT);
    return slot_turn_names[turn];
}

/* ------------------------------------------------------------------ the rank's one writer */

bool
rank_turn(struct vassal *self, enum rank_turn turn, const char *why, dz_us now)
{
    struct ranking *it = &self->ranking;
    int next = rank_after(it->rank, turn);
    if (next < 0)
        return false;
    bool is_news = it->rank != (enum rank) next || turn == RANK_TURN_LED;
    it->rank = (enum rank) next;
    if (!is_news)
        return true;
    it->since = now;
    struct vassal_effect *fx = vassal_effect(self, VASSAL_FX_RANK);
    fx->as.rank.name = rank_name(it->rank);
    fx->as.rank.epoch = it->holder;
    fx->as.rank.why = why;
    return true;
}
