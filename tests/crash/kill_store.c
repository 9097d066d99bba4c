/* kill_store.c - SIGKILL at any moment of a store's life.
 *
 *     kill_store [KILLS [SEED]]
 *
 * A child does the script's operations and says each that is done.  It is killed after some of them,
 * and what is there then must be what it said, and at most the operation more that was under way.  The
 * next child goes on. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/files.h"
#include "tests/crash/cut.h"
#include "tests/crash/script.h"

static struct script_state states[SCRIPT_OPS + 1];

static void
open_or_die(const char *home, struct store **out)
{
    struct dz_err err = { "" };
    char *warning = NULL;
    if (store_open(home, STORE_WRITE, out, &warning, &err) == DZ_OK && !warning)
        return;
    (void) fprintf(stderr, "refused: %s%s\n", err.text, warning ? warning : "");
    abort();
}

/* Without interruption: what each operation leads to. */
static void
learn(const struct shares *shares, const char *home)
{
    struct script script = { .shares = shares };
    open_or_die(home, &script.store);
    for (uint32_t op = 0; op < SCRIPT_OPS; op++) {
        script_do(&script, op);
        script_look(script.store, &states[op + 1]);
    }
    script_end(&script);
    store_close(&script.store);
}

static _Noreturn void
work(const struct shares *shares, const char *home, uint32_t from, int tell)
{
    struct script script = { .shares = shares };
    open_or_die(home, &script.store);
    for (uint32_t op = from; op < SCRIPT_OPS; op++) {
        script_do(&script, op);
        if (write(tell, "+", 1) != 1)
            _exit(1);
    }
    _exit(0);
}

/* How many operations are acknowledged when the child is dead. */
static uint32_t
live_and_die(const struct shares *shares, const char *home, uint32_t from, uint64_t *seed)
{
    int tell[2];
    char byte;
    uint32_t done = from, wanted = (uint32_t) (cut_draw(seed) % 6);
    struct itimerval end = { .it_value = { .tv_usec = 1 + (long) (cut_draw(seed) % 3000) } };
    if (pipe(tell) != 0)
        abort();
    pid_t pid = fork();
    if (pid == 0)
        work(shares, home, from, tell[1]);
    (void) close(tell[1]);
    while (done < from + wanted && read(tell[0], &byte, 1) == 1)
        done++;
    /* a little later: inside the next operation, wherever that is */
    (void) setitimer(ITIMER_REAL, &end, NULL);
    struct pollfd more = { .fd = tell[0], .events = POLLIN };
    while (poll(&more, 1, -1) > 0 && read(tell[0], &byte, 1) == 1)
        done++;
    (void) kill(pid, SIGKILL);
    while (read(tell[0], &byte, 1) == 1)
        done++;
    (void) close(tell[0]);
    (void) waitpid(pid, NULL, 0);
    return done;
}

static void
wake(int signal)
{
    (void) signal;
}

int
main(int argc, char **argv)
{
    size_t kills = argc > 1 ? strtoul(argv[1], NULL, 10) : 100, bad = 0, lives = 0;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    char home[] = "/dev/shm/dz-kill-XXXXXX";
    uint32_t done = 0;
    struct sigaction alarm = { .sa_handler = wake }; /* no SA_RESTART: it ends poll() */
    (void) sigaction(SIGALRM, &alarm, NULL);
    if (!mkdtemp(home))
        return 2;
    struct shares *shares = shares_new();
    learn(shares, home);
    dz_remove_tree(home);
    for (size_t i = 0; i < kills; i++) {
        struct store *store = NULL;
        struct script_state now;
        done = live_and_die(shares, home, done, &seed);
        open_or_die(home, &store);
        script_look(store, &now);
        store_close(&store);
        uint32_t next = done < SCRIPT_OPS ? done + 1 : done;
        if (!script_fits(&now, &states[done], &states[next])) {
            (void) fprintf(stderr, "kill %zu: after operation %u\n", i, done);
            bad++;
            done = SCRIPT_OPS;
        }
        if (done < SCRIPT_OPS)
            continue;
        dz_remove_tree(home); /* begin again */
        lives++;
        done = 0;
    }
    dz_remove_tree(home);
    shares_destroy(&shares);
    (void) printf("kill_store: %zu kills in %zu lives: %zu bad\n", kills, lives, bad);
    return bad ? 1 : 0;
}
