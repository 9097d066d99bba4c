/* The tables of the coordinator, drawn by hand from ARCHITECTURE and not from the program. */
#include "coord/core/inside.h"
#include "tests/unit/unit.h"

/* '.': no such edge; else the letter of the state that is reached.
 * Columns: START PERSISTED READY DRAIN MORE EMPTY SEALED ALONE OUTRANKED. */
/* clang-format off */
static const char phase_letters[PHASE_COUNT + 1] = "nplsdepox";
static const char *const phases_drawn[PHASE_COUNT] = {
    [PHASE_NEW]        = "1.......x",
    [PHASE_PERSISTING] = ".l......x",
    [PHASE_LEADING]    = "..s.....x",
    [PHASE_SCHEDULING] = "...d....x",
    [PHASE_DRAINING]   = "....se..x",
    [PHASE_SEALING]    = "......2.x",
    [PHASE_PARTING]    = ".......ox",
    [PHASE_DONE]       = ".........",
    [PHASE_DEPOSED]    = ".........",
};
/* The two phases that begin with p. */
enum { PERSISTING_SIGN = '1', PARTING_SIGN = '2' };

/* Columns: GREET TOLD EMPTY SILENCE BYE; g m d s l. */
static const char node_letters[NODE_STATE_COUNT + 1] = "gmdsl";
static const char *const nodes_drawn[NODE_STATE_COUNT] = {
    [NODE_GREETED] = "gm.sl",
    [NODE_MEMBER]  = "g.dsl",
    [NODE_DRAINED] = "g..sl",
    [NODE_SILENT]  = "g....",
    [NODE_LEFT]    = "g....",
};
/* clang-format on */

static char
phase_sign(int phase)
{
    if (phase < 0)
        return '.';
    if (phase == PHASE_PERSISTING)
        return PERSISTING_SIGN;
    return phase == PHASE_PARTING ? PARTING_SIGN : phase_letters[phase];
}

static void
every_phase_meets_every_turn_as_drawn(void **state)
{
    (void) state;
    for (int p = 0; p < PHASE_COUNT; p++)
        for (int t = 0; t < TURN_COUNT; t++)
            assert_int_equal(phase_sign(phase_after((enum phase) p, (enum turn) t)),
                             phases_drawn[p][t]);
}

static void
every_node_state_meets_every_turn_as_drawn(void **state)
{
    (void) state;
    for (int s = 0; s < NODE_STATE_COUNT; s++) {
        for (int t = 0; t < NODE_TURN_COUNT; t++) {
            int next = node_state_after((enum node_state) s, (enum node_turn) t);
            assert_int_equal(next < 0 ? '.' : node_letters[next], nodes_drawn[s][t]);
        }
    }
}

static void
names_are_those_of_the_document(void **state)
{
    (void) state;
    assert_string_equal(phase_name(PHASE_SCHEDULING), "SCHEDULING");
    assert_string_equal(turn_name(TURN_OUTRANKED), "OUTRANKED");
    assert_string_equal(node_state_name(NODE_SILENT), "SILENT");
    assert_string_equal(node_turn_name(NODE_TURN_BYE), "BYE");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_phase_meets_every_turn_as_drawn),
        cmocka_unit_test(every_node_state_meets_every_turn_as_drawn),
        cmocka_unit_test(names_are_those_of_the_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
