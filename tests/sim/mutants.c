#include "tests/sim/mutants.h"

#include <stdio.h>

int
mutants_run(uint64_t count)
{
    (void) count;
    fputs("this build has no mutants\n", stderr);
    return 2;
}
