/* cells.h - which message was met in which state, over all histories.
 *
 * Rows are the states of the cores' tables (coord/core/phase.c, vassal/core/tables.c), columns the
 * messages that go to that end (cells.def).  A frame counts where it is delivered, of whatever session
 * it is. */
#ifndef DZ_TESTS_SIM_CELLS_H
#define DZ_TESTS_SIM_CELLS_H

#include "coord/core/coord.h"
#include "vassal/core/vassal.h"

enum { CELL_ROWS = 16, CELL_MESSAGES = 32, CELL_TABLES = 5 };

struct cells {
    uint64_t hits[CELL_TABLES][CELL_ROWS][CELL_MESSAGES]; /* by id of the message */
    char wrong[256]; /* what was met and cannot be; empty: nothing */
};

void cells_coord(struct cells *self, const struct coord *coord, struct dz_slice frame);
void cells_vassal(struct cells *self, const struct vassal *vassal, struct dz_slice frame);

/* Prints them.  Exit code 1: one is empty that need not be.  is_long: nor may those be that are seldom
 * met (cells.def). */
int cells_print(const struct cells *self, bool is_long);

#endif
