/* sim - run many histories of a job, or one of them aloud.
 *
 *   sim [--first SEED] [--count N]     every seed a history; one in 16 runs twice, to see that a
 *                                      seed is a history.  Exit 1: a violation.
 *   sim ... --cells                    other histories: those that bring every message to every state;
 *                                      then how often each was met where.  Exit 1: one was not, or
 *                                      one that cannot be.  From a million on also those that seldom are
 *   sim ... --crowd N                  the nodes are told that N of them have come, and are as patient with
 *                                      each other; so are those who judge them
 *   sim --seed SEED --trace            one history, aloud
 *   sim --mutants [--count N]          each rule broken in turn; all must be caught in N histories
 *                                      (only in the build that has mutants); 0: as many as
 *                                      have been enough */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/sim/mutants.h"
#include "tests/sim/world.h"

enum { REPLAY_EVERY = 16, VIOLATIONS_MAX = 20, LONG_HUNT = 1000 * 1000 };

struct arguments {
    uint64_t first, count, seed, crowd;
    bool is_loud, has_seed, is_mutants, has_cells;
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
        else if (strcmp(argv[i], "--cells") == 0)
            out->has_cells = true;
        else if (strcmp(argv[i], "--first") == 0)
            out->first = strtoull(value, NULL, 10), i++;
        else if (strcmp(argv[i], "--count") == 0)
            out->count = strtoull(value, NULL, 10), i++;
        else if (strcmp(argv[i], "--crowd") == 0)
            out->crowd = strtoull(value, NULL, 10), i++;
        else if (strcmp(argv[i], "--seed") == 0)
            out->seed = strtoull(value, NULL, 10), out->has_seed = true, i++;
        else
            return false;
    }
    return true;
}

static int
run_one(const struct history *what)
{
    struct outcome outcome;
    history_run(what, &outcome);
    printf("seed %" PRIu64 ": %s%s\n", what->seed,
           outcome.is_ok ? "ok" : "VIOLATION: ", outcome.violation);
    return !outcome.is_ok;
}

static bool
run_checked(const struct history *what, struct outcome *out)
{
    history_run(what, out);
    if (!out->is_ok) {
        printf("seed %" PRIu64 ": VIOLATION: %s\n", what->seed, out->violation);
        return false;
    }
    if (what->seed % REPLAY_EVERY != 0)
        return true;
    struct outcome again;
    history_run(what, &again);
    if (again.trace != out->trace)
        printf("seed %" PRIu64 ": VIOLATION: the same seed gave two histories\n", what->seed);
    return again.trace == out->trace;
}

static int
by_time(const void *a_, const void *b_)
{
    const dz_us *a = a_;
    const dz_us *b = b_;
    return (*a > *b) - (*a < *b);
}

struct figures {
    dz_us *list; /* owned */
    size_t count, cap;
};

static void
add_figure(struct figures *self, dz_us figure)
{
    if (figure == 0)
        return;
    if (self->count == self->cap) {
        self->cap = self->cap ? self->cap * 2 : 64;
        self->list = dz_realloc(self->list, self->cap, sizeof(*self->list));
    }
    self->list[self->count++] = figure;
}

static void
print_figures(struct figures *self, const char *what)
{
    if (self->count > 0) {
        qsort(self->list, self->count, sizeof(*self->list), by_time);
        printf("%s: %zu times, p50 %.3f s, p99 %.3f s, longest %.3f s\n", what, self->count,
               (double) self->list[self->count / 2] / 1e6,
               (double) self->list[self->count * 99 / 100] / 1e6,
               (double) self->list[self->count - 1] / 1e6);
    }
    free(self->list);
}

static int
run_many(struct history what, uint64_t count)
{
    struct outcome sum = { 0 };
    struct figures figures[MEASURES] = { 0 };
    unsigned violations = 0;
    for (uint64_t end = what.seed + count; what.seed < end && violations < VIOLATIONS_MAX;
         what.seed++) {
        struct outcome outcome;
        violations += !run_checked(&what, &outcome);
        sum.tests += outcome.tests;
        sum.execs += outcome.execs;
        sum.messages += outcome.messages;
        sum.steps += outcome.steps;
        sum.leads += outcome.leads;
        sum.shards += outcome.shards;
        sum.wasted += outcome.wasted;
        sum.excuses += outcome.excuses;
        sum.ended_us += outcome.ended_us;
        for (int m = 0; m < MEASURES; m++)
            add_figure(&figures[m], outcome.took_us[m]);
    }
    if (violations == 0)
        printf("%" PRIu64 " histories (%.0f hours), %" PRIu64 " tests, %" PRIu64
               " executions, %" PRIu64 " messages, %" PRIu64 " steps, %" PRIu64
               " schedulers, %" PRIu64 " of shards, %" PRIu64
               " executions beyond one per test (%" PRIu64 " were excused): no violation\n",
               count, (double) sum.ended_us / 3.6e9, sum.tests, sum.execs, sum.messages, sum.steps,
               sum.leads, sum.shards, sum.wasted, sum.excuses);
    for (int m = 0; m < MEASURES; m++)
        print_figures(&figures[m], measure_text((enum measure) m));
    return violations > 0;
}

int
main(int argc, char **argv)
{
    struct arguments args;
    if (!parse(&args, argc, argv)) {
        fputs("usage: sim [--first SEED] [--count N] [--cells] [--crowd N] | --seed SEED [--trace] "
              "[--crowd N]"
              " | --mutants\n",
              stderr);
        return 2;
    }
    if (args.is_mutants)
        return mutants_run(args.count);
    struct cells *cells = args.has_cells ? dz_alloc0(1, sizeof(*cells)) : NULL;
    struct history what = { .seed = args.has_seed ? args.seed : args.first,
                            .crowd = (unsigned) args.crowd,
                            .is_loud = args.is_loud,
                            .cells = cells };
    int code = args.has_seed ? run_one(&what) : run_many(what, args.count);
    if (code == 0 && cells && !args.has_seed)
        code = cells_print(cells, args.count >= LONG_HUNT);
    free(cells);
    return code;
}
