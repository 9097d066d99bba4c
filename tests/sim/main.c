/* sim - run many histories of a job, or one of them aloud.
 *
 *   sim [--first SEED] [--count N]     every seed a history; those with even seeds run twice, to
 *                                      see that a seed is a history.  Exit 1: a violation.
 *   sim --seed SEED --trace            one history, aloud
 *   sim --mutants [--count N]          each rule broken in turn; all must be caught in N histories
 *                                      (only in the build that has mutants) */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/sim/mutants.h"
#include "tests/sim/world.h"

struct arguments {
    uint64_t first, count, seed;
    bool is_loud, has_seed, is_mutants;
};

static bool
parse(struct arguments *out, int argc, char **argv)
{
    *out = (struct arguments){ .first = 1, .count = 20000 };
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--trace") == 0)
            out->is_loud = true;
        else if (strcmp(argv[i], "--mutants") == 0)
            out->is_mutants = true;
        else if (strcmp(argv[i], "--first") == 0)
            out->first = strtoull(value, NULL, 10), i++;
        else if (strcmp(argv[i], "--count") == 0)
            out->count = strtoull(value, NULL, 10), i++;
        else if (strcmp(argv[i], "--seed") == 0)
            out->seed = strtoull(value, NULL, 10), out->has_seed = true, i++;
        else
            return false;
    }
    return true;
}

static int
run_one(uint64_t seed, bool is_loud)
{
    struct outcome outcome;
    history_run(seed, is_loud, &outcome);
    printf("seed %" PRIu64 ": %s%s\n", seed,
           outcome.is_ok ? "ok" : "VIOLATION: ", outcome.violation);
    return !outcome.is_ok;
}

static int
run_many(uint64_t first, uint64_t count)
{
    struct outcome sum = { 0 };
    for (uint64_t seed = first; seed < first + count; seed++) {
        struct outcome outcome, again;
        history_run(seed, false, &outcome);
        sum.tests += outcome.tests;
        sum.execs += outcome.execs;
        sum.messages += outcome.messages;
        sum.steps += outcome.steps;
        if (!outcome.is_ok) {
            printf("seed %" PRIu64 ": VIOLATION: %s\n", seed, outcome.violation);
            return 1;
        }
        if (seed % 16 != 0)
            continue;
        history_run(seed, false, &again);
        if (again.trace != outcome.trace) {
            printf("seed %" PRIu64 ": VIOLATION: the same seed gave two histories\n", seed);
            return 1;
        }
    }
    printf("%" PRIu64 " histories, %" PRIu64 " tests, %" PRIu64 " executions, %" PRIu64
           " messages, %" PRIu64 " steps: no violation\n",
           count, sum.tests, sum.execs, sum.messages, sum.steps);
    return 0;
}

int
main(int argc, char **argv)
{
    struct arguments args;
    if (!parse(&args, argc, argv)) {
        fputs("usage: sim [--first SEED] [--count N] | --seed SEED [--trace] | --mutants\n",
              stderr);
        return 2;
    }
    if (args.has_seed)
        return run_one(args.seed, args.is_loud);
    if (args.is_mutants)
        return mutants_run(args.count);
    return run_many(args.first, args.count);
}
