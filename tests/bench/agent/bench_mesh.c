/* bench_mesh.c - many nodes in one job: how fast they come in, and what results cost then.
 *
 *     bench_mesh [--nodes N] [--tests T] [--url URL] [--wait SECONDS] [--log DIR] [--keep]
 *
 * 64 nodes, 16 tests for each and two minutes for all of it unless told.
 * N real agents, each with a home and a key of its own.  This process is the controller, the seed, the
 * zygote and the one worker of all of them: it speaks through the real socket pairs and mappings,
 * and its tests do nothing.  They meet through the daemon at URL, over TCP on loopback, or without
 * one through a room of this host, over sockets in a folder; both times with CURVE.
 *
 *     met      from `start`, 128 at a time, until all have entered the meeting and want a zygote
 *     joined   from "collected" said to all, until every node's worker has a test in its queue.
 *              Nobody takes one before that
 *     passed   from then until a controller has heard of every test: that is after journal,
 *              scheduler and ledger */
#include "tests/bench/agent/bench_mesh.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/fd.h"
#include "shared/base/files.h"

enum {
    NODES = 64,
    TESTS_PER_NODE = 16,
    WAIT_S = 120,
    EVENTS = 256,
    PART = 5000,    /* tests in one message */
    STARTING = 128, /* at a time: how they meet is not what is measured */
    SAMPLE = 16,    /* processes whose memory is looked at */
};

/* ------------------------------------------------------------------ waiting */

static void
clean_up(struct bench *self)
{
    (void) kill(self->stand_in, SIGKILL);
    (void) waitpid(self->stand_in, NULL, 0);
    if (!self->is_kept)
        dz_remove_tree(self->root);
}

_Noreturn static void
give_up(struct bench *self)
{
    for (uint32_t i = 0; i < self->nodes; i++) {
        (void) kill(self->all[i].pid, SIGKILL);
        (void) waitpid(self->all[i].pid, NULL, 0);
    }
    clean_up(self);
    exit(EXIT_FAILURE); // NOLINT(concurrency-mt-unsafe): one thread
}

static void
turn(struct bench *self, const char *what)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(self->epoll, events, EVENTS, 1000);
    for (int i = 0; i < count; i++) {
        struct node *node = &self->all[events[i].data.u64 / ENDS];
        enum end end = (enum end)(events[i].data.u64 % ENDS);
        if (node->fd[end] >= 0)
            node_read(self, node, end);
    }
    if (dz_clock_us() < self->give_up_at)
        return;
    (void) printf("%s: not within the time.  Of %u nodes %u have entered, %u have a test, %u have "
                  "ended; %llu of %u results\n",
                  what, self->nodes, self->entered, self->joined, self->done,
                  (unsigned long long) self->reports, self->tests);
    give_up(self);
}

/* ------------------------------------------------------------------ figures */

/* Nanoseconds of processor of one thread, and how often it was given one: what `stat` tells is rounded to
 * hundredths of a second. */
static void
add_thread(pid_t pid, const char *thread, struct spent *sum)
{
    char path[320], text[128], *rest;
    (void) snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int) pid, thread);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
    dz_fd_close(&fd);
    text[got > 0 ? got : 0] = '\0';
    sum->ns += strtoull(text, &rest, 10);
    (void) strtoull(rest, &rest, 10); /* how long it waited for one */
    sum->turns += strtoull(rest, NULL, 10);
}

static struct spent
process_spent(pid_t pid)
{
    char path[64];
    struct spent sum = { 0 };
    (void) snprintf(path, sizeof(path), "/proc/%d/task", (int) pid);
    DIR *dir = opendir(path);
    for (const struct dirent *item = dir ? readdir(dir) : NULL; item; item = readdir(dir)) {
        if (item->d_name[0] != '.')
            add_thread(pid, item->d_name, &sum);
    }
    if (dir)
        (void) closedir(dir);
    return sum;
}

/* What all agents together took since this was asked before, and the busiest one's. */
static struct spent
agents_spent(struct bench *self, struct spent *most_out)
{
    struct spent all = { 0 };
    *most_out = all;
    for (uint32_t i = 0; i < self->nodes; i++) {
        struct node *node = &self->all[i];
        struct spent now = process_spent(node->pid);
        struct spent one = { now.ns - node->spent.ns, now.turns - node->spent.turns };
        node->spent = now;
        all.ns += one.ns;
        all.turns += one.turns;
        if (one.ns > most_out->ns)
            *most_out = one;
    }
    return all;
}

static void
tell_spent(const struct bench *self, const char *what, uint32_t count, const struct spent *all,
           const struct spent *most)
{
    (void) printf("          agents %.2f s of processor, %.1f us a %s, the busiest %.2f s; %.1f "
                  "turns a node\n",
                  (double) all->ns / 1e9, (double) all->ns / 1e3 / count, what,
                  (double) most->ns / 1e9, (double) all->turns / self->nodes);
}

/* KiB that one agent adds to what the machine uses, on average; the last ones, which schedule nothing. */
static double
agent_pss(const struct bench *self)
{
    uint32_t count = self->nodes < SAMPLE ? self->nodes : SAMPLE;
    double sum = 0;
    for (uint32_t i = self->nodes - count; i < self->nodes; i++) {
        char path[64], line[256];
        unsigned long kib = 0;
        (void) snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int) self->all[i].pid);
        FILE *file = fopen(path, "re");
        while (file && fgets(line, sizeof(line), file) && sscanf(line, "Pss: %lu", &kib) != 1)
            ;
        if (file)
            (void) fclose(file);
        sum += (double) kib;
    }
    return sum / count;
}

static double
since(dz_us begin)
{
    return (double) (dz_clock_us() - begin) / 1e6;
}

static void
tell(const char *what, dz_us begin)
{
    (void) printf("%-9s %7.2f s\n", what, since(begin));
    (void) fflush(stdout);
}

/* ------------------------------------------------------------------ the run */

static void
make_manifest(struct bench *self)
{
    for (uint32_t first = 0; first < self->tests; first += PART) {
        DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
        struct dz_msg msg = { .id = DZ_MSG_manifest, .as.manifest.first = first };
        for (uint32_t i = first; i < self->tests && i < first + PART; i++) {
            char name[64];
            (void) snprintf(name, sizeof(name), "test_%u.py::test_%06u", i / 4, i);
            struct dz_item_entry entry = { .id = dz_str(name) };
            dz_entry_add(&msg.as.manifest.entries, &bytes, &entry);
        }
        msg.as.manifest.entries.items = dz_buf_slice(&bytes);
        dz_msg_encode_framed(&msg, &self->manifest);
    }
}

static void
send_all(int fd, struct dz_slice bytes)
{
    while (bytes.len > 0) {
        ssize_t sent = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        fake_need(sent > 0, "send");
        bytes.ptr += sent;
        bytes.len -= (size_t) sent;
    }
}

static void
collect(struct bench *self)
{
    make_manifest(self);
    for (uint32_t i = 0; i < self->nodes; i++)
        send_all(self->all[i].fd[ZYGOTE], dz_buf_slice(&self->manifest));
    for (uint32_t i = 0; i < self->nodes; i++) {
        int unread = 1;
        while (ioctl(self->all[i].fd[ZYGOTE], SIOCOUTQ, &unread) == 0 && unread > 0)
            turn(self, "collect");
    }
}

static void
start_all(struct bench *self)
{
    for (uint32_t i = 0; i < self->nodes; i++)
        node_spawn(self, &self->all[i]);
    dz_us begin = dz_clock_us();
    for (uint32_t i = 0; i < self->nodes; i++) {
        node_start(self, &self->all[i]);
        while (self->entered + STARTING < i)
            turn(self, "enter");
    }
    while (self->entered < self->nodes)
        turn(self, "enter");
    tell("met", begin);
    collect(self);
    tell("collected", begin);
}

static void
join_all(struct bench *self)
{
    struct dz_msg ready = { .id = DZ_MSG_ready, .as.ready = { .total = self->tests, .go = 1 } };
    (void) printf("idle      %7.2f MiB each\n", agent_pss(self) / 1024);
    struct spent most;
    (void) agents_spent(self, &most);
    dz_us begin = dz_clock_us();
    for (uint32_t i = 0; i < self->nodes; i++)
        fake_say(self->all[i].fd[ZYGOTE], &ready, NULL, 0);
    while (self->joined < self->nodes)
        turn(self, "join");
    tell("joined", begin);
    struct spent all = agents_spent(self, &most);
    tell_spent(self, "node", self->nodes, &all, &most);
}

static void
pass_all(struct bench *self)
{
    struct spent most;
    (void) agents_spent(self, &most);
    dz_us begin = dz_clock_us();
    self->is_going = true;
    /* each on a machine of its own, so before an agent gets the processor */
    for (uint32_t i = 0; i < self->nodes; i++)
        node_run(&self->all[i]);
    for (uint32_t i = 0; i < self->nodes; i++)
        node_work(self, &self->all[i]);
    while (self->reports < self->tests)
        turn(self, "pass");
    double wall = since(begin);
    struct spent all = agents_spent(self, &most);
    tell("passed", begin);
    tell_spent(self, "result", self->tests, &all, &most);
    (void) printf("%u results: %.0f a second; %.2f MiB each\n", self->tests, self->tests / wall,
                  agent_pss(self) / 1024);
}

static void
end_all(struct bench *self)
{
    dz_us begin = dz_clock_us();
    while (self->done < self->nodes)
        turn(self, "end");
    unsigned bad = 0;
    for (uint32_t i = 0; i < self->nodes; i++) {
        int status = 0;
        while (waitpid(self->all[i].pid, &status, WNOHANG) == 0)
            turn(self, "exit");
        bad += status != 0;
    }
    tell("ended", begin);
    (void) printf("lost %llu, duplicates %llu, agents with another code than 0: %u\n",
                  (unsigned long long) self->lost_at_end,
                  (unsigned long long) self->duplicates_at_end, bad);
}

static pid_t
make_stand_in(void)
{
    pid_t pid = fork();
    fake_need(pid >= 0, "fork");
    if (pid == 0)
        for (;;)
            (void) pause();
    return pid;
}

/* What a CI or a user's settings say does not reach the agents. */
static void
set_environment(const struct bench *self)
{
    static const char *const names[] = { "CI",       "GITLAB_CI",      "GITHUB_ACTIONS",
                                         "DAGZ_URL", "DAGZ_AGENT_LOG", "DAGZ_JOB_KEY" };
    for (size_t i = 0; i < DZ_LEN(names); i++)
        (void) unsetenv(names[i]);                   // NOLINT(concurrency-mt-unsafe): one thread
    (void) setenv("XDG_RUNTIME_DIR", self->root, 1); // NOLINT(concurrency-mt-unsafe)
    (void) setenv("DAGZ_MEET_TIMEOUT", "4", 0);      // NOLINT(concurrency-mt-unsafe)
}

static void
parse(struct bench *self, int argc, char **argv)
{
    static const struct option known[] = {
        { "nodes", required_argument, NULL, 'n' },
        { "tests", required_argument, NULL, 't' },
        { "url", required_argument, NULL, 'u' },
        { "wait", required_argument, NULL, 'w' },
        { "keep", no_argument, NULL, 'k' },
        { "log", required_argument, NULL, 'l' },
        { NULL, 0, NULL, 0 },
    };
    unsigned long wait_s = WAIT_S;
    self->nodes = NODES;
    for (int option;;) {
        option = getopt_long(argc, argv, "", known, NULL); // NOLINT(concurrency-mt-unsafe)
        if (option == -1)
            break;
        switch (option) {
        case 'n': self->nodes = (uint32_t) strtoul(optarg, NULL, 10); break;
        case 't': self->tests = (uint32_t) strtoul(optarg, NULL, 10); break;
        case 'u': self->url = optarg; break;
        case 'w': wait_s = strtoul(optarg, NULL, 10); break;
        case 'k': self->is_kept = true; break;
        case 'l': self->log = optarg; break;
        default: exit(2); // NOLINT(concurrency-mt-unsafe)
        }
    }
    self->tests = self->tests ? self->tests : self->nodes * TESTS_PER_NODE;
    self->give_up_at = dz_clock_us() + (dz_us) wait_s * 1000000;
}

int
main(int argc, char **argv)
{
    struct bench self = { 0 };
    (void) setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    parse(&self, argc, argv);
    (void) snprintf(self.root, sizeof(self.root), "/tmp/dz-mesh-XXXXXX");
    fake_need(mkdtemp(self.root) != NULL, "mkdtemp");
    set_environment(&self);
    dz_fd_raise_limit();
    self.epoll = epoll_create1(EPOLL_CLOEXEC);
    self.stand_in = make_stand_in();
    self.all = dz_alloc0(self.nodes, sizeof(*self.all));
    for (uint32_t i = 0; i < self.nodes; i++)
        for (int end = 0; end < ENDS; end++)
            self.all[i].fd[end] = -1;
    (void) printf("%u nodes, %u tests, through %s\n", self.nodes, self.tests,
                  self.url ? self.url : "this host");
    start_all(&self);
    join_all(&self);
    pass_all(&self);
    end_all(&self);
    clean_up(&self);
    return 0;
}
