#include "tests/unit/vassal_io/fake.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/fd.h"
#include "shared/base/files.h"
#include "tests/unit/vassal_io/fake_kin.h"

enum { CHUNK = 256 << 10, LONG_RELAY = 1 << 20 /* from there on it counts as a blob */ };

/* ------------------------------------------------------------------ the controller */

static void
limit_files(uint64_t bytes)
{
    struct rlimit limit = { .rlim_cur = bytes, .rlim_max = bytes };
    if (bytes > 0)
        (void) setrlimit(RLIMIT_FSIZE, &limit);
}

static void
start_agent(struct fake *self, int seed_end)
{
    int pair[2];
    fake_need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
    self->agent = fork();
    fake_need(self->agent >= 0, "fork");
    if (self->agent == 0) {
        char controller[16], seed[16];
        fake_need(dz_fd_cloexec(pair[1], false, NULL) == DZ_OK, "cloexec");
        fake_need(dz_fd_cloexec(seed_end, false, NULL) == DZ_OK, "cloexec");
        (void) snprintf(controller, sizeof(controller), "%d", pair[1]);
        (void) snprintf(seed, sizeof(seed), "%d", seed_end);
        limit_files(self->plan.file_limit);
        (void) execl(DAGZ_AGENT_PATH, "dagz-agent", "--controller-fd", controller, "--seed-fd",
                     seed, "--log", self->log, (char *) NULL);
        fake_need(false, DAGZ_AGENT_PATH);
    }
    dz_fd_close(&pair[1]);
    self->channel = pair[0];
}

static void
say_start(struct fake *self)
{
    const struct fake_plan *plan = &self->plan;
    struct dz_msg_start start = {
        .home = dz_str(self->home),
        .uri = dz_str("file://fake"),
        .rootdir = dz_str(self->root),
        .command = dz_str("fake"),
        .job = dz_str(self->job),
        .workers = plan->workers,
        .timeout_ms = plan->timeout_ms,
        .strikes = plan->strikes ? plan->strikes : 3,
        .flags = plan->flags | (plan->is_solo ? DZ_START_SOLO : 0),
        .incarnation = self->incarnation,
    };
    fake_say(self->channel, &(struct dz_msg){ .id = DZ_MSG_start, .as.start = start }, NULL, 0);
}

static void
make_folder(struct fake *self)
{
    (void) snprintf(self->root, sizeof(self->root), "/tmp/dz-fake-XXXXXX");
    fake_need(mkdtemp(self->root) != NULL, "mkdtemp");
    (void) snprintf(self->home, sizeof(self->home), "%s/home", self->root);
    (void) snprintf(self->log, sizeof(self->log), "%s/log", self->root);
    if (self->plan.home)
        (void) snprintf(self->home, sizeof(self->home), "%s", self->plan.home);
}

void
fake_start(struct fake *self, const struct fake_plan *plan)
{
    *self = (struct fake){ .plan = *plan, .channel = -1, .seed_life = -1, .lives = -1 };
    make_folder(self);
    size_t room = plan->tests * 4 + 64;
    self->reports = dz_alloc0(room, sizeof(*self->reports));
    self->last_exec = dz_alloc0(room, sizeof(*self->last_exec));
    self->verdicts = dz_alloc0(room, sizeof(*self->verdicts));
    self->strikes = dz_alloc0(room, sizeof(*self->strikes));
    int pair[2], life[2], lives[2];
    fake_need(pipe2(lives, O_CLOEXEC) == 0, "pipe");
    fake_need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
    fake_need(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, life) == 0, "socketpair");
    start_agent(self, pair[1]);
    dz_fd_close(&pair[1]);
    self->seed = fork();
    fake_need(self->seed >= 0, "fork");
    if (self->seed == 0) {
        dz_fd_close(&life[1]);
        dz_fd_close(&lives[0]);
        dz_fd_close(&self->channel);
        fake_seed(plan, pair[0], life[0]);
    }
    dz_fd_close(&pair[0]);
    dz_fd_close(&life[0]);
    dz_fd_close(&lives[1]);
    self->lives = lives[0];
    self->seed_life = life[1];
    say_start(self);
}

static void
hear_report(struct fake *self, const struct dz_msg_report *report)
{
    fake_need(report->test < self->plan.tests * 4 + 64, "test of a report");
    if (self->last_exec[report->test] == report->exec) {
        self->repeats++;
        return;
    }
    self->last_exec[report->test] = report->exec;
    self->reports[report->test]++;
    self->report_total++;
    self->blob_total += report->blob.len;
}

static void
hear_verdict(struct fake *self, const struct dz_msg_verdict *verdict)
{
    fake_need(verdict->test < self->plan.tests * 4 + 64, "test of a verdict");
    self->verdicts[verdict->test] += verdict->counted != 0;
    self->strikes[verdict->test] += verdict->counted == 0;
    self->last_cause = verdict->cause;
    (void) snprintf(self->detail, sizeof(self->detail), "%.*s", (int) verdict->detail.len,
                    (const char *) verdict->detail.ptr);
}

static void
hear(struct fake *self, const struct dz_msg *msg)
{
    switch ((int) msg->id) {
    case DZ_MSG_job:
        (void) snprintf(self->job, sizeof(self->job), "%.*s", (int) msg->as.job.id.len,
                        (const char *) msg->as.job.id.ptr);
        return;
    case DZ_MSG_report: hear_report(self, &msg->as.report); return;
    case DZ_MSG_verdict: hear_verdict(self, &msg->as.verdict); return;
    case DZ_MSG_worker_up:
        self->ups++;
        self->worker_pid[msg->as.worker_up.num % FAKE_WORKERS_MAX] = (pid_t) msg->as.worker_up.pid;
        return;
    case DZ_MSG_worker_down: self->downs++; return;
    case DZ_MSG_note: {
        size_t len = strlen(self->note);
        (void) snprintf(self->note + len, sizeof(self->note) - len, "%.*s\n",
                        (int) msg->as.note.text.len, (const char *) msg->as.note.text.ptr);
        self->notes++;
        return;
    }
    case DZ_MSG_relay:
        self->relays++;
        if (msg->as.relay.body.len >= LONG_RELAY)
            self->blob_total += msg->as.relay.body.len;
        if (msg->as.relay.from == DZ_ROLE_ZYGOTE && msg->as.relay.body.len == 4) {
            uint32_t pid = 0;
            memcpy(&pid, msg->as.relay.body.ptr, sizeof(pid));
            self->zygote = (pid_t) pid;
        }
        return;
    case DZ_MSG_progress: self->progresses++; return;
    case DZ_MSG_alive: self->alives++; return;
    case DZ_MSG_done:
        self->is_done = true;
        self->done = msg->as.done;
        self->done.pending = (struct dz_slice){ 0 };
        return;
    default: fake_need(false, "a message that the agent does not send");
    }
}

void
fake_replace_agent(struct fake *self)
{
    dz_fd_close(&self->channel);
    (void) kill(self->agent, SIGKILL);
    (void) waitpid(self->agent, NULL, 0);
    dz_buf_clear(&self->in);
    self->agent_deaths++;
    self->incarnation++;
    int pair[2];
    fake_need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
    start_agent(self, pair[1]);
    dz_fd_close(&pair[1]);
    say_start(self);
    fake_pass_channel(self->seed_life, pair[0]);
    dz_fd_close(&pair[0]);
}

static void
hear_some(struct fake *self)
{
    int fd = -1;
    size_t count = 0;
    enum dz_rc rc = dz_fd_recv(self->channel, &self->in, CHUNK, &fd, 1, &count, NULL);
    if (rc == DZ_AGAIN)
        return;
    if (rc != DZ_OK) {
        fake_need(self->agent_deaths < 3, "the agent died too often");
        fake_replace_agent(self);
        return;
    }
    size_t at = 0;
    for (;;) {
        struct dz_slice rest = { self->in.data + at, self->in.len - at };
        struct dz_slice frame;
        struct dz_msg msg;
        size_t used = 0;
        if (rest.len == 0 || dz_frame_take(rest, &frame, &used) != DZ_OK)
            break;
        fake_need(dz_msg_decode(frame, &msg) == DZ_OK, "decode the agent's message");
        hear(self, &msg);
        at += used;
    }
    dz_buf_drop(&self->in, at);
}

void
fake_run(struct fake *self, bool (*until)(struct fake *self))
{
    dz_ms end = dz_clock_ms() + FAKE_PATIENCE_MS;
    while (!self->is_done && !(until && until(self))) {
        fake_need(dz_clock_ms() < end, "patience with the agent");
        struct pollfd polled = { .fd = self->channel, .events = POLLIN };
        if (poll(&polled, 1, 1000) > 0)
            hear_some(self);
    }
}

void
fake_stop(struct fake *self, int how)
{
    fake_say(self->channel,
             &(struct dz_msg){ .id = DZ_MSG_stop,
                               .as.stop = { .how = (uint64_t) how, .reason = dz_str("enough") } },
             NULL, 0);
}

/* ------------------------------------------------------------------ the end */

bool
fake_is_alone(struct fake *self)
{
    struct pollfd polled = { .fd = self->lives, .events = POLLIN };
    return poll(&polled, 1, 10000) > 0 && (polled.revents & POLLHUP);
}

static void
clean_up(struct fake *self)
{
    dz_fd_close(&self->channel);
    dz_fd_close(&self->seed_life);
    (void) waitpid(self->agent, NULL, 0);
    (void) waitpid(self->seed, NULL, 0);
    dz_fd_close(&self->lives);
    dz_buf_fini(&self->in);
    free(self->reports);
    free(self->last_exec);
    free(self->verdicts);
    free(self->strikes);
    if (!getenv("DZ_FAKE_KEEP"))
        dz_remove_tree(self->root);
}

void
fake_finish(struct fake *self, int exit_code)
{
    fake_say(self->channel,
             &(struct dz_msg){ .id = DZ_MSG_bye, .as.bye.exit_code = (uint64_t) exit_code }, NULL,
             0);
    int status = 0;
    fake_need(waitpid(self->agent, &status, 0) == self->agent, "wait for the agent");
    fake_need(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the agent's exit code");
    self->agent = -1;
    fake_need(fake_is_alone(self), "everybody's end");
    clean_up(self);
}

void
fake_vanish(struct fake *self)
{
    dz_fd_close(&self->channel);
    dz_fd_close(&self->seed_life);
    fake_need(fake_is_alone(self), "everybody's end");
    clean_up(self);
}
