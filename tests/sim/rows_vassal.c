/* rows_vassal.c - names of states out of the vassal's own tables; no other file here sees its inside. */
#include "tests/sim/rows.h"
#include "vassal/core/inside.h"

const char *
row_member(unsigned nth)
{
    return nth < MEMBER_STATE_COUNT ? member_state_name((enum member_state) nth) : NULL;
}

const char *
row_rank(unsigned nth)
{
    return nth < RANK_COUNT ? rank_name((enum rank) nth) : NULL;
}

const char *
row_slot(unsigned nth)
{
    return nth < VASSAL_SLOT_STATES ? slot_state_name((enum vassal_slot_state) nth) : NULL;
}
