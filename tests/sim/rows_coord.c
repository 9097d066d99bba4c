/* rows_coord.c - names of states out of the coordinator's own tables; no other file here sees its inside. */
#include "coord/core/inside.h"
#include "tests/sim/rows.h"

const char *
row_phase(unsigned nth)
{
    return nth < PHASE_COUNT ? phase_name((enum phase) nth) : NULL;
}

const char *
row_node(unsigned nth)
{
    return nth < NODE_STATE_COUNT ? node_state_name((enum node_state) nth) : NULL;
}
