/* sim - run many histories of a job, or one of them aloud.
 *
 *   sim [--first SEED] [--count N]     every seed a history; one in 16 runs twice, to see that a
 *                                      seed is a history.  Exit 1: a violation.
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

enum { REPLAY_EVERY = 16, VIOLATIONS_MAX = 20 };

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

static bool
run_checked(uint64_t seed, struct outcome *out)
{
    history_run(seed, false, out);
    if (!out->is_ok) {
        printf("seed %" PRIu64 ": VIOLATION: %s\n", seed, out->violation);
        return false;
    }
    if (seed % REPLAY_EVERY != 0)
        return true;
    struct outcome again;
    history_run(seed, false, &again);
    if (again.trace != out->trace)
        printf("seed %" PRIu64 ": VIOLATION: the same seed gave two histories\n", seed);
    return again.trace == out->trace;
}

static int
by_time(const void *a_, const void *b_)
{
    const dz_us *a = a_;
    const dz_us *b = b_;
    return (*a > *b) - (*a < *b);
}

static int
run_many(uint64_t first, uint64_t count)
{
    struct outcome sum = { 0 };
    dz_us *resumed = dz_alloc0(count + 1, sizeof(*resumed));
    size_t resumed_count = 0;
    unsigned violations = 0;
    for (uint64_t seed = first; seed < first + count && violations < VIOLATIONS_MAX; seed++) {
        struct outcome outcome;
        violations += !run_checked(seed, &outcome);
        sum.tests += outcome.tests;
        sum.execs += outcome.execs;
        sum.messages += outcome.messages;
        sum.steps += outcome.steps;
        sum.leads += outcome.leads;
        sum.shards += outcome.shards;
        sum.ended_us += outcome.ended_us;
        if (outcome.resumed_us > 0)
            resumed[resumed_count++] = outcome.resumed_us;
    }
    if (violations == 0)
        printf("%" PRIu64 " histories (%.0f hours), %" PRIu64 " tests, %" PRIu64
               " executions, %" PRIu64 " messages, %" PRIu64 " steps, %" PRIu64
               " schedulers, %" PRIu64 " of shards: no violation\n",
               count, (double) sum.ended_us / 3.6e9, sum.tests, sum.execs, sum.messages, sum.steps,
               sum.leads, sum.shards);
    if (resumed_count > 0) {
        qsort(resumed, resumed_count, sizeof(*resumed), by_time);
        printf("a scheduler's process dies, the next one gives out a test: %zu times, p50 %.3f s, "
               "p99 %.3f s, longest %.3f s\n",
               resumed_count, (double) resumed[resumed_count / 2] / 1e6,
               (double) resumed[resumed_count * 99 / 100] / 1e6,
               (double) resumed[resumed_count - 1] / 1e6);
    }
    free(resumed);
    return violations > 0;
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
