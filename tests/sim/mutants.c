#include "tests/sim/mutants.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
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

/* Each of these is covered by others: broken alone it does no harm that could be seen from outside,
 * so it is broken together with each of them. */
static const struct pair {
    enum dz_rule rule, cover;
    uint64_t skip; /* what tells is rare, and there is such a seed behind these */
} pairs[] = {
    { DZ_RULE_HELLO_AGAIN, DZ_RULE_LOSE_SILENT, 0 }, /* who looks for another says HELLO as well */
    { DZ_RULE_HELLO_AGAIN, DZ_RULE_GREET_ANEW, 0 },  /* who is heard again is led again */
    { DZ_RULE_FITS_LIFE, DZ_RULE_MY_LIFE, 0 },       /* a session begins with LEAD */
    { DZ_RULE_GONE_IS_GONE, DZ_RULE_LATE_GRANT, 70000 }, /* who obeyed it is granted its lease */
    { DZ_RULE_LATE_GRANT, DZ_RULE_GONE_IS_GONE, 70000 },
};

/* The quick hunt: about twice as many seeds as the rarest of them needed when this was written, so that an
 * oracle that gets weaker is noticed. */
enum { QUICK = 15000, FEW = 50, HISTORY_S = 20 };

static uint64_t
bit(enum dz_rule rule)
{
    return UINT64_C(1) << rule;
}

/* A broken rule may well make a core turn in circles. */
static void
limit_cpu(unsigned seconds)
{
    const struct itimerval limit = { .it_value.tv_sec = seconds };
    if (setitimer(ITIMER_PROF, &limit, NULL) != 0)
        _exit(2);
}

/* In a child: a broken rule may end in an assertion.  Exit code 0: nobody noticed. */
static void
hunt(uint64_t first, uint64_t count)
{
    for (uint64_t seed = first; seed < first + count; seed++) {
        struct outcome outcome;
        limit_cpu(HISTORY_S);
        history_run(&(struct history){ .seed = seed }, &outcome);
        if (outcome.is_ok)
            continue;
        printf("  caught by seed %" PRIu64 ": %s\n", seed, outcome.violation);
        (void) fflush(stdout);
        _exit(1);
    }
    _exit(0);
}

static bool
is_caught(uint64_t rules, uint64_t first, uint64_t count)
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
        hunt(first, count);
    int status = 0;
    if (waitpid(child, &status, 0) != child)
        return false;
    if (WIFSIGNALED(status))
        printf("  caught by %s\n",
               WTERMSIG(status) == SIGPROF ? "its turning in circles" : "an assertion");
    else if (WEXITSTATUS(status) == 0)
        printf("  not caught\n");
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static bool
is_covered(enum dz_rule rule)
{
    for (size_t i = 0; i < DZ_LEN(pairs); i++)
        if (pairs[i].rule == rule)
            return true;
    return false;
}

/* count 0: the quick hunt, behind the first `skip` seeds. */
static bool
survives(uint64_t rules, uint64_t skip, uint64_t count)
{
    return count ? !is_caught(rules, 1, count) : !is_caught(rules, 1 + skip, QUICK);
}

int
mutants_run(uint64_t count)
{
    unsigned survivors = 0;
    unsigned singles = 0;
    if (is_caught(0, 1, count ? count / 8 : FEW)) {
        printf("an unbroken core is caught as well: this hunt says nothing\n");
        return 1;
    }
    for (int rule = DZ_RULE_NONE + 1; rule < DZ_RULES; rule++) {
        if (is_covered((enum dz_rule) rule))
            continue;
        singles++;
        survivors += survives(bit((enum dz_rule) rule), 0, count);
    }
    for (size_t i = 0; i < DZ_LEN(pairs); i++)
        survivors += survives(bit(pairs[i].rule) | bit(pairs[i].cover), pairs[i].skip, count);
    printf("%u rules broken alone and %zu pairs, %u not caught\n", singles, DZ_LEN(pairs),
           survivors);
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
