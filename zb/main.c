/* main.c - the table of commands, which is also the help. */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shared/conf/conf.h"
#include "zb/zb.h"

/* clang-format off */
static const struct zb_command COMMANDS[] = {
    { "init", NULL, "name this project in .dagz/config.yaml",
      "Write .dagz/config.yaml with the project's name and time zone, and say how they were found.\n"
      "An existing file is left alone unless --force is given.",
      "  zb init                          derive everything\n"
      "  zb init --timezone=Europe/Berlin\n",
      "zb.init/1", 0, cmd_init_options, cmd_init },
    { "jobs", NULL, "list the newest jobs, one a line",
      "List this project's jobs, newest first: name, time, verdict, tests, commit, and what to\n"
      "type next.",
      "  zb jobs\n"
      "  zb jobs -n 100 --json\n"
      "  zb jobs --all                    of every project\n",
      "zb.jobs/1", ZB_PAGED, cmd_jobs_options, cmd_jobs },
    { "job", "[JOB]", "what happened in one job",
      "Counts, failures with their first line, the slowest tests, the workers of a job, and its nodes\n"
      "with what happened to them (the latest by default; 'zb help names' tells how jobs are named).",
      "  zb job\n"
      "  zb job j10\n"
      "  zb job j10 --events              every line about nodes: who followed whom, by which way\n"
      "  zb job HEAD --exit-status        1 if the newest job of this commit did not pass\n",
      "zb.job/1", ZB_PAGED, cmd_job_options, cmd_job },
    { "tests", "[JOB] [QUERY...]", "list a job's tests",
      "One line for each test of a job that fits the query ('zb help query').",
      "  zb tests latest outcome:failed --text\n"
      "  zb tests j10 'duration:>1s' --sort=duration\n"
      "  zb tests module:api not:slow     in files named so, without 'slow' in the id\n",
      "zb.tests/1", ZB_STREAM | ZB_PAGED, cmd_tests_options, cmd_tests },
    { "logs", "[JOB]", "everything a run printed, in time order",
      "What the tests of a job wrote to their terminal, and what the agent noted, merged in time\n"
      "order over all workers.  A line that begins with '>' names the test that follows.",
      "  zb logs\n"
      "  zb logs j10 --failed\n"
      "  zb logs -f --worker=jw0\n"
      "  zb logs j10 --test=tests/test_api.py::test_get --raw\n",
      "zb.logs/1", ZB_STREAM | ZB_PAGED, cmd_logs_options, cmd_logs },
    { "span-logs", "[JOB] SPAN", "one span: what it was made of, what was printed in it",
      "A span is a timed piece of a job: a test's execution, its setup, call or teardown, a fixture, a\n"
      "child process.  SPAN is its id, a unique beginning of it, or a test's id.  Printed are the span\n"
      "and all below it, with how long each took, then what its worker wrote meanwhile.\n"
      "'zb job', 'zb tests --spans', and with --json also 'zb logs' show ids of spans.",
      "  zb span-logs 3f2a91bc\n"
      "  zb span-logs j10 tests/test_api.py::test_get\n"
      "  zb span-logs j10 3f2a --depth=1  only the parts of it\n",
      "zb.span-logs/1", ZB_STREAM | ZB_PAGED, cmd_span_logs_options, cmd_span_logs },
    { "watch", "[JOB]", "see a running job go on",
      "What runs now on which worker, how far the job is, what failed, and about how long it will\n"
      "take.  Drawn anew on a terminal; elsewhere a line every ten seconds and one for each failure.\n"
      "Ends with the job.",
      "  zb watch\n"
      "  zb watch j10 --exit-status       1 if the job did not pass\n",
      "zb.watch/1", ZB_STREAM, cmd_watch_options, cmd_watch },
    { "wait", "[JOB]", "wait until a job has ended",
      "Print nothing until the job has ended, then its verdict.  The exit code is 0 if it passed, 1 if\n"
      "not, 7 if the time given ended first.",
      "  zb wait j10 --timeout=600 && deploy\n"
      "  zb wait --json\n",
      "zb.wait/1", 0, cmd_wait_options, cmd_wait },
    { "export", "[JOB]", "a whole job as JUnit XML, JSON, NDJSON or CSV",
      "Every test of the job, whichever machines it ran on.  JUnit files keep within what GitLab takes\n"
      "(30 MB a file, 100 MB a job): a large job becomes several files, and what had to be left out is\n"
      "said.",
      "  zb export --format=junit -o junit.xml\n"
      "  zb export j10 --format=csv > tests.csv\n"
      "  zb export HEAD --format=ndjson | jq -r 'select(.outcome==\"FAILED\").id'\n",
      "zb.export/1", 0, cmd_export_options, cmd_export },
    { "doctor", NULL, "find what is wrong with this installation",
      "Look at versions, the home, its store and disk, the daemon, limits of the machine, and pytest's\n"
      "plugins.  Each line says what was found, and what to do where something is wrong.  The exit code\n"
      "is 1 if something is.  With --store, read all of the local store instead, every sum and every\n"
      "list; with --repair too, put right what can be and name what is lost.",
      "  zb doctor\n"
      "  zb doctor --json\n"
      "  zb doctor --store --repair\n",
      "zb.doctor/1", 0, cmd_doctor_options, cmd_doctor },
    { "completion", "bash|zsh|fish", "a script that completes zb's command line",
      "Print the completion script of a shell.  'make install' and the wheel put them where shells look\n"
      "when the environment's share folder is among them; the examples tell where else.",
      "  source <(zb completion bash)                       in ~/.bashrc\n"
      "  zb completion zsh > ~/.zfunc/_zb                   a folder of fpath\n"
      "  zb completion fish > ~/.config/fish/completions/zb.fish\n",
      NULL, 0, NULL, cmd_completion },
    { "ci", "env", "which CI step a run here would belong to",
      "Show what the environment says of CI: the pipeline and step by which runs find each other,\n"
      "this slot of how many, and which variables said so.  Exit code 1 when one makes no sense.",
      "  zb ci env\n"
      "  zb ci env --json\n"
      "  zb ci env --job=nightly          as a run with --dagz-job=nightly sees it\n",
      "zb.ci/1", 0, cmd_ci_options, cmd_ci },
    { "daemon", "up|down|status|logs", "the store as a server: start, end, look",
      "A daemon keeps the store, serves it over HTTP and shows it live.  None is needed: without one\n"
      "runs and zb use the store's files.  Its settings are in local.env/daemon.yaml of DAGZ_HOME.",
      "  zb daemon up --bg                start it; fine when it is up already\n"
      "  zb daemon up --bg --restart\n"
      "  zb daemon status                 exit code 3 when none is running\n"
      "  zb daemon logs -f\n"
      "  zb daemon down\n",
      "zb.daemon/1", 0, cmd_daemon_options, cmd_daemon },
    { "push", "SPOOL...", "send what a run could not send",
      "Send the results of a run whose server was away.  SPOOL is the folder that the run named, a\n"
      "copy of it, a folder that holds some, or a tar archive with them (an artifact of CI).  What\n"
      "the server has already is not counted twice; a folder that is sent is removed.",
      "  zb push ~/.dagz/spool/01JD8Y7W9QK3T5V2X4Z6B8D0FG\n"
      "  zb push --url=https://dagz.acme.example spool.tar.gz\n"
      "  zb push --keep ./copies          every one below\n",
      "zb.push/1", ZB_STREAM, cmd_push_options, cmd_push },
    { "help", "[COMMAND|TOPIC]", "this, or more on one of them",
      "Help on a command or a topic.  With --json: every command with its options.",
      "  zb help tests\n"
      "  zb help exit-codes\n"
      "  zb help --schema job             the JSON schema of 'zb job --json'\n"
      "  zb help --man tests | man -l -   the manual page\n",
      "zb.help/1", ZB_PAGED, cmd_help_options, cmd_help },
    { "version", NULL, "which zb this is",
      "The version of zb and of the dagz that it came with.",
      NULL, "zb.version/1", 0, NULL, cmd_version },
};
/* clang-format on */

/* LMDB reads its file through a map; bytes that are damaged where no check has looked end in a
 * signal.  Say that, and not "Segmentation fault". */
static void
on_fault(int signal)
{
    static const char text[] =
        "zb: reading the store failed: its file is damaged (or this is a bug of zb)\n";
    (void) signal;
    (void) !write(STDERR_FILENO, text, sizeof(text) - 1);
    _exit(ZB_NO_STORE);
}

static void
catch_faults(void)
{
    static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE };
    struct sigaction action = { .sa_handler = on_fault };
    for (size_t i = 0; i < DZ_LEN(faults); i++)
        (void) sigaction(faults[i], &action, NULL);
}

static const struct zb_command *
find(const char *name)
{
    for (size_t i = 0; i < DZ_LEN(COMMANDS); i++)
        if (strcmp(COMMANDS[i].name, name) == 0)
            return &COMMANDS[i];
    return NULL;
}

/* An option that every command takes. */
static bool
is_common(const char *word)
{
    bool is_long = strncmp(word, "--", 2) == 0;
    for (const struct argp_option *it = zb_common_options; it->name; it++) {
        size_t len = strlen(it->name);
        if (is_long ? strncmp(word + 2, it->name, len) == 0 &&
                          (word[2 + len] == '\0' || word[2 + len] == '=')
                    : word[0] == '-' && word[1] == it->key)
            return true;
    }
    return false;
}

static int
refuse(const char *name)
{
    const char *names[DZ_LEN(COMMANDS)];
    for (size_t i = 0; i < DZ_LEN(COMMANDS); i++)
        names[i] = COMMANDS[i].name;
    const char *near = dz_nearest(name, names, DZ_LEN(names));
    if (is_common(name))
        (void) fprintf(stderr, "zb: which command? 'zb help' lists them\n");
    else if (*name == '-')
        (void) fprintf(stderr, "zb: there is no option '%s'; see 'zb help'\n", name);
    else if (near)
        (void) fprintf(stderr, "zb: there is no command '%s'; did you mean '%s'?\n", name, near);
    else
        (void) fprintf(stderr, "zb: there is no command '%s'; 'zb help' lists them\n", name);
    return ZB_USAGE;
}

/* "zb -C DIR jobs" means "zb jobs -C DIR". */
static void
bring_command_forward(int argc, char **argv)
{
    if (argc < 2 || argv[1][0] != '-')
        return;
    for (int i = 2; i < argc; i++) {
        if (!find(argv[i]))
            continue;
        char *name = argv[i];
        memmove(&argv[2], &argv[1], (size_t) (i - 1) * sizeof(*argv));
        argv[1] = name;
        return;
    }
}

/* "zb", "zb -h", "zb --version": what people type first. */
static const char *
command_name(int argc, char **argv)
{
    const char *first = argc > 1 ? argv[1] : "help";
    if (strcmp(first, "-h") == 0 || strcmp(first, "--help") == 0)
        return "help";
    if (strcmp(first, "-V") == 0 || strcmp(first, "--version") == 0)
        return "version";
    return first;
}

/* How wide characters are.  Without a locale node ids are UTF-8 nevertheless. */
static void
use_locale(void)
{
    /* NOLINTBEGIN(concurrency-mt-unsafe): one thread */
    const char *name = setlocale(LC_CTYPE, "");
    if (!name || strcmp(name, "C") == 0 || strcmp(name, "POSIX") == 0)
        (void) setlocale(LC_CTYPE, "C.UTF-8");
    /* NOLINTEND(concurrency-mt-unsafe) */
}

int
main(int argc, char **argv)
{
    struct timespec now;
    (void) clock_gettime(CLOCK_REALTIME, &now);
    use_locale();
    struct zb zb = {
        .commands = COMMANDS,
        .command_count = DZ_LEN(COMMANDS),
        .color = "auto",
        .now_us = (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000,
    };
    bring_command_forward(argc, argv);
    const char *name = command_name(argc, argv);
    zb.command = find(name);
    if (!zb.command)
        return refuse(name);
    catch_faults();
    (void) signal(SIGPIPE, SIG_IGN); /* zb_flush() sees it, and ends quietly */
    int skip = argc > 1;
    int code = zb.command->run(&zb, argc - skip, argv + skip);
    zb_flush(&zb);
    zb_pager_end(&zb);
    zb_close(&zb);
    return code;
}
