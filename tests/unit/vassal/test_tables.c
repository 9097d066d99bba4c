/* The tables of the vassal, drawn by hand from ARCHITECTURE and not from the program. */
#include "tests/unit/unit.h"
#include "vassal/core/inside.h"

/* '.': no such edge; else the letter of the state that is reached. */
/* clang-format off */
/* NEW JOINING SERVING DRAINING DRAINED LEAVING EXITED */
static const char member_letters[MEMBER_STATE_COUNT + 1] = "njsdelx";
/* Columns: COLLECTED LED DRAIN EMPTY SEAL LEAVE REFUSED. */
static const char *const members_drawn[MEMBER_STATE_COUNT] = {
    [MEMBER_NEW]      = "j....x.",
    [MEMBER_JOINING]  = ".s...xx",
    [MEMBER_SERVING]  = ".sd..l.",
    [MEMBER_DRAINING] = ".sde.l.",
    [MEMBER_DRAINED]  = ".se.xx.",
    [MEMBER_LEAVING]  = ".llx...",
    [MEMBER_EXITED]   = ".......",
};

/* NEW JOINING VASSAL CANDIDATE LEADING SHARD LEAVING OUT */
static const char rank_letters[RANK_COUNT + 1] = "njvcdslo";
/* Columns: JOIN GRANT HELD ALONE LED LOST OUTRANKED YIELD LEAVE END. */
static const char *const ranks_drawn[RANK_COUNT] = {
    [RANK_NEW]       = "j.......oo",
    [RANK_JOINING]   = ".dvsvc..oo",
    [RANK_VASSAL]    = ".dv.vc..lo",
    [RANK_CANDIDATE] = ".dv.v...lo",
    [RANK_LEADING]   = "....v.vvlo",
    [RANK_SHARD]     = ".........o",
    [RANK_LEAVING]   = "..l.l....o",
    [RANK_OUT]       = "..........",
};

/* ABSENT FORKING IDLE BUSY LEAVING LOST */
static const char slot_letters[VASSAL_SLOT_STATES + 1] = "afiblx";
/* Columns: FORK UP FEED DRY END DOWN LOSE. */
static const char *const slots_drawn[VASSAL_SLOT_STATES] = {
    [VASSAL_SLOT_ABSENT]  = "fi...ax",
    [VASSAL_SLOT_FORKING] = ".i...ax",
    [VASSAL_SLOT_IDLE]    = "..b.lax",
    [VASSAL_SLOT_BUSY]    = "..bilax",
    [VASSAL_SLOT_LEAVING] = "....lax",
    [VASSAL_SLOT_LOST]    = ".......",
};
/* clang-format on */

static void
every_member_state_meets_every_turn_as_drawn(void **state)
{
    (void) state;
    for (int s = 0; s < MEMBER_STATE_COUNT; s++) {
        for (int t = 0; t < MEMBER_TURN_COUNT; t++) {
            int next = member_state_after((enum member_state) s, (enum member_turn) t);
            assert_int_equal(next < 0 ? '.' : member_letters[next], members_drawn[s][t]);
        }
    }
}

static void
every_rank_meets_every_turn_as_drawn(void **state)
{
    (void) state;
    for (int r = 0; r < RANK_COUNT; r++) {
        for (int t = 0; t < RANK_TURN_COUNT; t++) {
            int next = rank_after((enum rank) r, (enum rank_turn) t);
            assert_int_equal(next < 0 ? '.' : rank_letters[next], ranks_drawn[r][t]);
        }
    }
}

static void
every_slot_state_meets_every_turn_as_drawn(void **state)
{
    (void) state;
    for (int s = 0; s < VASSAL_SLOT_STATES; s++) {
        for (int t = 0; t < SLOT_TURN_COUNT; t++) {
            int next = slot_state_after((enum vassal_slot_state) s, (enum slot_turn) t);
            assert_int_equal(next < 0 ? '.' : slot_letters[next], slots_drawn[s][t]);
        }
    }
}

static void
names_are_those_of_the_document(void **state)
{
    (void) state;
    assert_string_equal(member_state_name(MEMBER_SERVING), "SERVING");
    assert_string_equal(member_turn_name(MEMBER_TURN_LED), "LED");
    assert_string_equal(slot_state_name(VASSAL_SLOT_FORKING), "FORKING");
    assert_string_equal(slot_turn_name(SLOT_TURN_DRY), "DRY");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_member_state_meets_every_turn_as_drawn),
        cmocka_unit_test(every_slot_state_meets_every_turn_as_drawn),
        cmocka_unit_test(every_rank_meets_every_turn_as_drawn),
        cmocka_unit_test(names_are_those_of_the_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
