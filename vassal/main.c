/* main.c - dagz-agent: one per node and run, started by the pytest that was started.
 *
 *     dagz-agent --controller-fd N --seed-fd M [--log FILE]
 *
 * N and M are ends of AF_UNIX stream pairs.  Nothing else is inherited: whatever descriptor the
 * user's pytest had open must not be kept open by this process. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shared/base/fd.h"
#include "shared/base/log.h"
#include "shared/net/hub.h"
#include "vassal/host.h"

enum { EXIT_USAGE = 2, FIRST_OWN_FD = 3 };

struct options {
    int controller_fd, seed_fd;
    const char *log;
};

static int
complain(const char *text)
{
    (void) fprintf(stderr, "dagz-agent: %s\n", text);
    return EXIT_USAGE;
}

/* -1: no descriptor's number. */
static int
parse_fd(const char *text)
{
    char *end = NULL;
    long fd = strtol(text, &end, 10);
    return *text && !*end && fd >= FIRST_OWN_FD && fd < 1 << 20 ? (int) fd : -1;
}

/* 0: go on.  Else: end with this code; negative: with 0. */
static int
parse_options(int argc, char **argv, struct options *out)
{
    static const struct option known[] = { { "controller-fd", required_argument, NULL, 'c' },
                                           { "seed-fd", required_argument, NULL, 's' },
                                           { "log", required_argument, NULL, 'l' },
                                           { "version", no_argument, NULL, 'v' },
                                           { NULL, 0, NULL, 0 } };
    *out = (struct options){ .controller_fd = -1, .seed_fd = -1 };
    for (;;) {
        // NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread
        int option = getopt_long(argc, argv, "", known, NULL);
        switch (option) {
        case -1:
            if (out->controller_fd < 0 || out->seed_fd < 0 || optind != argc)
                return complain("it is started by pytest --dagz; "
                                "usage: --controller-fd N --seed-fd M [--log FILE]");
            return 0;
        case 'c': out->controller_fd = parse_fd(optarg); break;
        case 's': out->seed_fd = parse_fd(optarg); break;
        case 'l': out->log = optarg; break;
        case 'v': (void) puts("dagz-agent " DZ_VERSION_TEXT); return -1;
        default: return EXIT_USAGE; /* getopt_long() said why */
        }
    }
}

/* Descriptors from `first` to `last`, which may be an empty range. */
static void
close_between(int first, int last)
{
    if (first <= last)
        (void) syscall(SYS_close_range, (unsigned) first, (unsigned) last, 0U);
}

static void
close_others(const struct options *options)
{
    int low = options->controller_fd, high = options->seed_fd;
    if (low > high) {
        low = options->seed_fd;
        high = options->controller_fd;
    }
    close_between(FIRST_OWN_FD, low - 1);
    close_between(low + 1, high - 1);
    (void) syscall(SYS_close_range, (unsigned) high + 1, ~0U, 0U);
}

static void
on_signal(void *arg, int number)
{
    if (number == SIGTERM)
        agent_terminate(arg); /* Ctrl-C and hang-up are the controller's to answer */
}

static int
run(struct dz_loop *loop, const struct options *options, struct dz_err *err)
{
    static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT };
    struct host host;
    host_init(&host, loop);
    struct agent_cfg cfg = { .loop = loop,
                             .controller_fd = options->controller_fd,
                             .seed_fd = options->seed_fd,
                             .uplink = host_uplink(&host) };
    struct agent *agent = NULL;
    enum dz_rc rc = agent_new(&cfg, &agent, err);
    host.agent = agent;
    if (rc == DZ_OK)
        rc = dz_loop_signals(loop, signals, DZ_LEN(signals), on_signal, agent, err);
    if (rc == DZ_OK)
        rc = dz_loop_run(loop, err);
    int code = rc == DZ_OK ? agent_exit_code(agent) : EXIT_FAILURE;
    if (rc != DZ_OK)
        (void) complain(
            err->text); /* the controller's stderr: a death without a word is a riddle */
    agent_destroy(&agent);
    host_fini(&host);
    return code;
}

static const char *
log_path(const struct options *options)
{
    if (options->log)
        return options->log;
    const char *path = getenv("DAGZ_AGENT_LOG"); // NOLINT(concurrency-mt-unsafe): one thread
    return path && *path ? path : NULL;
}

int
main(int argc, char **argv)
{
    struct options options;
    int code = parse_options(argc, argv, &options);
    if (code != 0)
        return code < 0 ? EXIT_SUCCESS : code;
    close_others(&options);
    (void) prctl(PR_SET_PDEATHSIG, SIGTERM); /* EOF is the promise, this is only faster */
    (void) prctl(PR_SET_NAME, "dagz-agent");
    (void) signal(SIGPIPE, SIG_IGN);
    (void) signal(SIGXFSZ, SIG_IGN); /* a write above the limit is an error like a full disk */
    struct dz_err err;
    const char *log = log_path(&options);
    if (log && dz_log_open(log, DZ_LOG_DEBUG, &err) != DZ_OK)
        (void) complain(err.text); /* the run is worth more than its log */
    dz_fd_raise_limit();
    dz_net_setup();
    struct dz_loop *loop = NULL;
    if (dz_loop_new(&loop, &err) != DZ_OK)
        return complain(err.text);
    code = run(loop, &options, &err);
    dz_loop_destroy(&loop);
    dz_net_teardown();
    return code;
}
