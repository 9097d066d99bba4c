#include "tests/sim/mutants.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/mutant.h"
#include "tests/sim/world.h"

#ifdef DZ_MUTANTS

uint64_t dz_broken_rules;

static const char *const texts[] = {
#define X(name, text) text,
    DZ_RULE_LIST(X)
#undef X
};

/* Two rules that cover each other: broken alone, neither does harm. */
static const struct {
    enum dz_rule one, other;
} pairs[] = {
    { DZ_RULE_MY_LIFE, DZ_RULE_FITS_LIFE },
    { DZ_RULE_HELLO_AGAIN, DZ_RULE_LOSE_SILENT },
    { DZ_RULE_HELLO_AGAIN, DZ_RULE_GREET_ANEW },
};

/* In a child: a broken rule may well end in an assertion.  Exit code 0: nobody noticed. */
static void
hunt(uint64_t count)
{
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
is_caught(uint64_t rules, uint64_t count)
{
    if (rules == 0)
        printf("broken: nothing\n");
    for (int rule = 0; rule < DZ_RULES; rule++)
        if (rules >> rule & 1)
            printf("broken: %s\n", texts[rule]);
    (void) fflush(stdout);
    dz_broken_rules = rules;
    pid_t child = fork();
    if (child < 0)
        return false;
    if (child == 0)
        hunt(count);
    int status = 0;
    if (waitpid(child, &status, 0) != child)
        return false;
    if (WIFSIGNALED(status))
        printf("  caught by an assertion\n");
    else if (WEXITSTATUS(status) == 0)
        printf("  not caught\n");
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static bool
is_in_pair(enum dz_rule rule)
{
    for (size_t i = 0; i < DZ_LEN(pairs); i++)
        if (pairs[i].one == rule || pairs[i].other == rule)
            return true;
    return false;
}

int
mutants_run(uint64_t count)
{
    unsigned survivors = 0;
    if (is_caught(0, count / 8)) {
        printf("an unbroken core is caught as well: this hunt says nothing\n");
        return 1;
    }
    for (int rule = DZ_RULE_NONE + 1; rule < DZ_RULES; rule++)
        if (!is_in_pair((enum dz_rule) rule))
            survivors += !is_caught(UINT64_C(1) << rule, count);
    for (size_t i = 0; i < DZ_LEN(pairs); i++)
        survivors += !is_caught(UINT64_C(1) << pairs[i].one | UINT64_C(1) << pairs[i].other, count);
    printf("%d rules, %u not caught\n", DZ_RULES - 1, survivors);
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
