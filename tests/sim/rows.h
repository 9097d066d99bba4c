/* rows.h - the states of the cores by name: the very texts that *_text() of their headers return.
 *
 * NULL: there are not so many. */
#ifndef DZ_TESTS_SIM_ROWS_H
#define DZ_TESTS_SIM_ROWS_H

const char *row_phase(unsigned nth);
const char *row_node(unsigned nth);
const char *row_member(unsigned nth);
const char *row_rank(unsigned nth);
const char *row_slot(unsigned nth);

#endif
