/* behave.h - how fake tests behave, and what must be true of every whole run. */
#ifndef DZ_TESTS_UNIT_VASSAL_IO_BEHAVE_H
#define DZ_TESTS_UNIT_VASSAL_IO_BEHAVE_H

#include "tests/unit/vassal_io/fake.h"

void work_us(long microseconds);
/* Every test is reported or judged exactly once, and the account says so. */
void check_once(struct fake *fake);
void work_a_little(struct act *act);
void hang_in_all(struct act *act);
void crash_in_seven(struct act *act);
/* For fake_run(). */
bool has_some_reports(struct fake *fake);
bool has_two_workers(struct fake *fake);

#endif
