/* mutants.h - tests of the simulator: each rule of the cores broken on purpose. */
#ifndef DZ_TESTS_SIM_MUTANTS_H
#define DZ_TESTS_SIM_MUTANTS_H

#include <stdint.h>

/* Exit code: 0 when every mutant was caught within `count` histories. 0: within as
 * many as have been enough. */
int mutants_run(uint64_t count);

#endif
