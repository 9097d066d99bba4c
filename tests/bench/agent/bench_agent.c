/* bench_agent.c - processor time of dagz-agent per result, all of its path: ring, spool, ZeroMQ,
 * ledger, report.  Two fake workers that do nothing report as fast as they can.
 *
 *     bench_agent [results]      20,000 unless told */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "tests/unit/vassal_io/fake.h"

enum { RESULTS = 20000, BLOB = 400 /* bytes, as a passed test's reports */ };

static void
report(struct act *act)
{
    memset(dz_buf_reserve(&act->blob, BLOB), 'x', BLOB);
    act->blob.len = BLOB;
}

/* utime and stime of a process in seconds, from /proc. */
static double
cpu_of(pid_t pid)
{
    char path[64], text[1024];
    (void) snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
    FILE *file = fopen(path, "r");
    size_t got = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
    if (file)
        (void) fclose(file);
    text[got] = '\0';
    char *at = strrchr(text, ')');
    unsigned long user = 0, system = 0;
    if (!at ||
        sscanf(at, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
        return 0;
    return (double) (user + system) / (double) sysconf(_SC_CLK_TCK);
}

int
main(int argc, char **argv)
{
    uint32_t results = argc > 1 ? (uint32_t) strtoul(argv[1], NULL, 10) : RESULTS;
    struct fake fake;
    dz_us begin = dz_clock_us();
    fake_start(&fake, &(struct fake_plan){ .tests = results, .workers = 2, .behave = report });
    fake_run(&fake, NULL);
    double wall = (double) (dz_clock_us() - begin) / 1e6;
    double cpu = cpu_of(fake.agent);
    (void) printf("%u results, counted %u: %.2f s, agent %.2f s of processor, %.1f us a result\n",
                  results, (unsigned) fake.done.counted, wall, cpu, cpu * 1e6 / results);
    fake_finish(&fake, 0);
    return 0;
}
