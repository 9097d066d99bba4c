#include "tests/sim/mutants.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/mutant.h"
#include "tests/sim/world.h"

#ifdef DZ_MUTANTS

enum dz_rule dz_broken_rule;

static const char *const texts[] = {
#define X(name, text) text,
    DZ_RULE_LIST(X)
#undef X
};

/* In a child: a broken rule may well end in an assertion.  Exit code 0: nobody noticed. */
static void
hunt(enum dz_rule rule, uint64_t count)
{
    dz_broken_rule = rule;
    for (uint64_t seed = 1; seed <= count; seed++) {
        struct outcome outcome;
        history_run(seed, false, &outcome);
        if (outcome.is_ok)
            continue;
        printf("  caught by seed %" PRIu64 ": %s\n", seed, outcome.violation);
        (void) fflush(stdout);
        _exit(1);
    }
    _exit(0);
}

static bool
is_caught(enum dz_rule rule, uint64_t count)
{
    printf("broken: %s\n", texts[rule]);
    (void) fflush(stdout);
    pid_t child = fork();
    if (child < 0)
        return false;
    if (child == 0)
        hunt(rule, count);
    int status = 0;
    if (waitpid(child, &status, 0) != child)
        return false;
    if (WIFSIGNALED(status))
        printf("  caught by an assertion\n");
    else if (WEXITSTATUS(status) == 0)
        printf("  NOT CAUGHT\n");
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

int
mutants_run(uint64_t count)
{
    unsigned survivors = 0;
    for (int rule = DZ_RULE_NONE + 1; rule < DZ_RULES; rule++)
        survivors += !is_caught((enum dz_rule) rule, count);
    printf("%d mutants, %u not caught\n", DZ_RULES - 1, survivors);
    return survivors > 0;
}

#else

int
mutants_run(uint64_t count)
{
    (void) count;
    fputs("this build has no mutants\n", stderr);
    return 2;
}

#endif
