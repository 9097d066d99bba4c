/* fake_kin.c - seed, zygote and workers; each forked from the one before. */
#include "tests/unit/vassal_io/fake_kin.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
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

enum { KIDS_MAX = 32, CHUNK = 256 << 10, MANIFEST_PART = 5000 };

/* A fake that cannot go on has nothing to clean up: the test fails by what is missing. */
void
fake_need(bool is_fine, const char *what)
{
    if (is_fine)
        return;
    (void) fprintf(stderr, "fake %d: %s: %s\n", (int) getpid(), what, strerrordesc_np(errno));
    _exit(99);
}

void
fake_say(int channel, const struct dz_msg *msg, const int *fds, size_t fd_count)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf frame = { 0 };
    dz_msg_encode_framed(msg, &frame);
    size_t at = 0;
    while (at < frame.len) {
        size_t sent = 0;
        struct dz_slice rest = { frame.data + at, frame.len - at };
        enum dz_rc rc = dz_fd_send(channel, rest, fds, fd_count, &sent, NULL);
        if (rc == DZ_AGAIN) {
            struct pollfd polled = { .fd = channel, .events = POLLOUT };
            (void) poll(&polled, 1, 1000);
            continue;
        }
        if (rc != DZ_OK)
            return; /* it died: reading tells */
        at += sent;
        fd_count = 0;
    }
}

/* ------------------------------------------------------------------ seed and zygote */

struct kid {
    pid_t pid;
    int pidfd, life;
    uint64_t kind, num, token;
    struct link_kit kit; /* of workers */
};

struct nursery {
    const struct fake_plan *plan;
    int channel, life;
    bool is_zygote, is_quitting;
    unsigned zygotes; /* forked by a seed */
    struct dz_buf in;
    struct kid kids[KIDS_MAX];
    size_t kid_count;
};

static void say_manifest(const struct fake_plan *plan, int channel, unsigned worker);
static void worker_main(struct link *link, const struct fake_plan *plan, bool is_solo);
static void zygote_main(const struct fake_plan *plan, int channel, int life, unsigned number);

void
fake_pass_channel(int life, int fd)
{
    size_t sent = 0;
    (void) !dz_fd_send(life, dz_str("channel"), &fd, 1, &sent, NULL);
}

static void
say_born(struct nursery *self, const struct kid *kid, const int *fds, size_t count)
{
    fake_say(self->channel,
             &(struct dz_msg){ .id = DZ_MSG_born,
                               .as.born = { .kind = kid->kind,
                                            .num = kid->num,
                                            .token = kid->token,
                                            .pid = (uint64_t) kid->pid } },
             fds, count);
}

static void
close_kids(struct nursery *self)
{
    for (size_t i = 0; i < self->kid_count; i++) {
        dz_fd_close(&self->kids[i].pidfd);
        dz_fd_close(&self->kids[i].life);
        if (self->kids[i].kind != DZ_FORK_ZYGOTE)
            link_kit_fini(&self->kids[i].kit);
    }
    dz_fd_close(&self->channel);
    dz_fd_close(&self->life);
    dz_buf_fini(&self->in);
}

static void
fork_zygote(struct nursery *self, struct kid *kid)
{
    int pair[2], life[2];
    fake_need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
    fake_need(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, life) == 0, "socketpair");
    self->zygotes++;
    kid->pid = fork();
    fake_need(kid->pid >= 0, "fork");
    if (kid->pid == 0) {
        close_kids(self);
        dz_fd_close(&pair[1]);
        dz_fd_close(&life[1]);
        zygote_main(self->plan, pair[0], life[0], self->zygotes);
        _exit(0);
    }
    dz_fd_close(&pair[0]);
    dz_fd_close(&life[0]);
    kid->life = life[1];
    say_born(self, kid, &pair[1], 1);
    dz_fd_close(&pair[1]);
}

static void
fork_worker(struct nursery *self, struct kid *kid)
{
    struct link link = { .agents = 0 };
    struct dz_err err;
    fake_need(link_kit_init(&link.kit, (uint32_t) kid->num, &err) == DZ_OK, "link");
    kid->pid = fork();
    fake_need(kid->pid >= 0, "fork");
    if (kid->pid == 0) {
        (void) setpgid(0, 0);
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        close_kids(self);
        link_kit_keep_worker(&link.kit);
        link.kit.shm->pid = (uint32_t) getpid();
        worker_main(&link, self->plan, kid->kind == DZ_FORK_SOLO);
        _exit(0);
    }
    (void) setpgid(kid->pid, kid->pid);
    int fds[DZ_BORN_FDS];
    link_kit_born_fds(&link.kit, fds);
    say_born(self, kid, fds, DZ_BORN_FDS);
    link_kit_keep_parent(&link.kit);
    kid->kit = link.kit;
    kid->life = link.kit.life[1];
    kid->kit.life[1] = -1;
}

static void
fork_kid(struct nursery *self, const struct dz_msg_fork *what)
{
    fake_need(self->kid_count < KIDS_MAX, "kids");
    struct kid *kid = &self->kids[self->kid_count];
    *kid = (struct kid){
        .pidfd = -1, .life = -1, .kind = what->kind, .num = what->num, .token = what->token
    };
    if (what->kind == DZ_FORK_ZYGOTE)
        fork_zygote(self, kid);
    else
        fork_worker(self, kid);
    kid->pidfd = (int) syscall(SYS_pidfd_open, kid->pid, 0);
    self->kid_count++;
}

static void
reap(struct nursery *self)
{
    int status = 0;
    for (pid_t pid = waitpid(-1, &status, WNOHANG); pid > 0; pid = waitpid(-1, &status, WNOHANG)) {
        for (size_t i = 0; i < self->kid_count; i++) {
            if (self->kids[i].pid != pid)
                continue;
            dz_fd_close(&self->kids[i].pidfd);
            dz_fd_close(&self->kids[i].life);
            if (self->kids[i].kind != DZ_FORK_ZYGOTE)
                link_kit_fini(&self->kids[i].kit);
            self->kids[i] = self->kids[--self->kid_count];
            fake_say(self->channel,
                     &(struct dz_msg){
                         .id = DZ_MSG_died,
                         .as.died = { .pid = (uint64_t) pid, .status = (uint64_t) status } },
                     NULL, 0);
            break;
        }
    }
}

/* A new agent: tell it of everybody who lives. */
static void
introduce(struct nursery *self, struct kid *kid)
{
    int pair[2];
    fake_need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
    fake_pass_channel(kid->life, pair[0]);
    dz_fd_close(&pair[0]);
    int fds[DZ_BORN_FDS] = { pair[1] };
    if (kid->kind != DZ_FORK_ZYGOTE) {
        link_kit_born_fds(&kid->kit, fds);
        fds[DZ_BORN_SOCK] = pair[1];
    }
    say_born(self, kid, fds, kid->kind == DZ_FORK_ZYGOTE ? 1 : DZ_BORN_FDS);
    dz_fd_close(&pair[1]);
}

/* False: the parent is gone. */
static bool
read_life(struct nursery *self)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf packet = { 0 };
    int fd = -1;
    size_t count = 0;
    enum dz_rc rc = dz_fd_recv(self->life, &packet, 64, &fd, 1, &count, NULL);
    if (rc == DZ_AGAIN)
        return true;
    if (rc != DZ_OK)
        return false;
    if (count == 0)
        return true;
    dz_fd_close(&self->channel);
    self->channel = fd;
    dz_buf_clear(&self->in);
    if (self->is_zygote)
        say_manifest(self->plan, self->channel, 0);
    for (size_t i = 0; i < self->kid_count; i++)
        introduce(self, &self->kids[i]);
    return true;
}

static void
obey(struct nursery *self, const struct dz_msg *msg)
{
    if (msg->id == DZ_MSG_fork)
        fork_kid(self, &msg->as.fork);
    else if (msg->id == DZ_MSG_quit)
        self->is_quitting = true;
}

static void
read_channel(struct nursery *self)
{
    int fd = -1;
    size_t count = 0;
    enum dz_rc rc = dz_fd_recv(self->channel, &self->in, CHUNK, &fd, 1, &count, NULL);
    if (rc == DZ_AGAIN)
        return;
    if (rc != DZ_OK) {
        dz_fd_close(&self->channel);
        return;
    }
    struct dz_slice frame;
    struct dz_msg msg;
    size_t used = 0;
    while (self->in.len > 0 && dz_frame_take(dz_buf_slice(&self->in), &frame, &used) == DZ_OK) {
        fake_need(dz_msg_decode(frame, &msg) == DZ_OK, "the agent's message");
        obey(self, &msg);
        dz_buf_drop(&self->in, used);
    }
}

static void
serve(struct nursery *self)
{
    while (!(self->is_quitting && self->kid_count == 0)) {
        struct pollfd polled[2 + KIDS_MAX] = { { .fd = self->life, .events = POLLIN },
                                               { .fd = self->channel, .events = POLLIN } };
        for (size_t i = 0; i < self->kid_count; i++)
            polled[2 + i] = (struct pollfd){ .fd = self->kids[i].pidfd, .events = POLLIN };
        if (poll(polled, (nfds_t) (2 + self->kid_count), -1) < 0)
            continue;
        if (polled[0].revents && !read_life(self))
            _exit(1);
        if (self->channel >= 0 && polled[1].fd == self->channel && polled[1].revents)
            read_channel(self);
        reap(self);
    }
}

/* ------------------------------------------------------------------ collecting */

static void
name_of(const struct fake_plan *plan, unsigned worker, uint32_t index, char out[64])
{
    if (plan->name)
        plan->name(worker, index, out);
    else
        (void) snprintf(out, 64, "t%05u", plan->tests - 1 - index);
}

static void
say_ready(const struct fake_plan *plan, int channel, uint32_t total, uint64_t flags)
{
    fake_say(
        channel,
        &(struct dz_msg){ .id = DZ_MSG_ready,
                          .as.ready = { .total = total, .go = !plan->is_no_go, .flags = flags } },
        NULL, 0);
}

static void
say_manifest(const struct fake_plan *plan, int channel, unsigned worker)
{
    uint32_t total = plan->count ? plan->count(worker) : plan->tests;
    for (uint32_t first = 0; first < total; first += MANIFEST_PART) {
        DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
        struct dz_msg msg = { .id = DZ_MSG_manifest, .as.manifest.first = first };
        for (uint32_t i = first; i < total && i < first + MANIFEST_PART; i++) {
            char name[64];
            name_of(plan, worker, i, name);
            struct dz_item_entry entry = { .id = dz_str(name) };
            dz_entry_add(&msg.as.manifest.entries, &bytes, &entry);
        }
        msg.as.manifest.entries.items = dz_buf_slice(&bytes);
        fake_say(channel, &msg, NULL, 0);
    }
    say_ready(plan, channel, total, 0);
}

static void
zygote_main(const struct fake_plan *plan, int channel, int life, unsigned number)
{
    (void) prctl(PR_SET_CHILD_SUBREAPER, 1);
    uint32_t pid = (uint32_t) getpid();
    fake_say(channel,
             &(struct dz_msg){ .id = DZ_MSG_relay,
                               .as.relay = { .to = DZ_ROLE_CONTROLLER,
                                             .from = DZ_ROLE_ZYGOTE,
                                             .body = { (const uint8_t *) &pid, sizeof(pid) } } },
             NULL, 0);
    if (plan->reads_id && number == 1) {
        say_ready(plan, channel, 0, DZ_READY_READS_ID);
        _exit(0);
    }
    say_manifest(plan, channel, 0);
    if (plan->is_no_go)
        _exit(0);
    struct nursery self = { .plan = plan, .channel = channel, .life = life, .is_zygote = true };
    serve(&self);
}

void
fake_seed(const struct fake_plan *plan, int channel, int life)
{
    (void) prctl(PR_SET_CHILD_SUBREAPER, 1);
    struct nursery self = { .plan = plan, .channel = channel, .life = life };
    serve(&self);
    _exit(0);
}

/* ------------------------------------------------------------------ a worker */

static void
push(struct link *link, const struct dz_msg *msg)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf frame = { 0 };
    dz_msg_encode_framed(msg, &frame);
    size_t done = 0;
    while (done < frame.len) {
        enum dz_rc rc = link_push(link, dz_buf_slice(&frame), &done);
        if (rc == DZ_CLOSED)
            _exit(1);
    }
}

static void
run_one(struct link *link, const struct fake_plan *plan, uint32_t test, uint32_t attempt)
{
    struct dz_shm *shm = link->kit.shm;
    atomic_fetch_add(&shm->exec, 1);
    int64_t start = dz_clock_us();
    atomic_store(&shm->started_us, start);
    atomic_store(&shm->log_first, (int64_t) atomic_load(&shm->log_len));
    atomic_store(&shm->running, ((uint64_t) test + 1) | (uint64_t) attempt << 32);
    struct act act = {
        .link = link, .worker = shm->num, .test = test, .attempt = attempt, .result = DZ_RESULT_OK
    };
    if (plan->behave)
        plan->behave(&act);
    push(link,
         &(struct dz_msg){ .id = DZ_MSG_result,
                           .as.result = { .test = test,
                                          .attempt = attempt,
                                          .exec = atomic_load(&shm->exec),
                                          .result = act.result,
                                          .start_us = (uint64_t) start,
                                          .call_us = (uint64_t) (dz_clock_us() - start),
                                          .log_first = (uint64_t) atomic_load(&shm->log_first),
                                          .log_end = atomic_load(&shm->log_len),
                                          .blob = dz_buf_slice(&act.blob) } });
    dz_buf_fini(&act.blob);
    atomic_store(&shm->running, 0);
}

static void
await_wake(struct link *link)
{
    struct dz_shm *shm = link->kit.shm;
    enum dz_rc rc = DZ_OK;
    atomic_store(&shm->waiting, 1);
    if (dz_queue_len(shm) == 0 && atomic_load(&shm->more) != DZ_MORE_END)
        rc = link_wait(link);
    atomic_store(&shm->waiting, 0);
    if (rc == DZ_CLOSED)
        _exit(1);
}

static void
worker_main(struct link *link, const struct fake_plan *plan, bool is_solo)
{
    if (is_solo)
        say_manifest(plan, link->kit.sock[0], link->kit.num);
    uint32_t agents = link->agents;
    (void) signal(SIGSEGV, SIG_DFL); /* cmocka would go on with the next test */
    for (;;) {
        if (is_solo && agents != link->agents)
            say_manifest(plan, link->kit.sock[0], link->kit.num);
        agents = link->agents;
        uint32_t test = 0, attempt = 0;
        bool asks = false;
        enum link_next next = link_try_next(link, &test, &attempt, &asks);
        if (next == LINK_END)
            break;
        if (next == LINK_TEST) {
            run_one(link, plan, test, attempt);
        } else if (asks) {
            enum dz_rc rc = link_ask(link);
            if (rc == DZ_CLOSED)
                _exit(1);
        } else {
            await_wake(link);
        }
    }
    static const char output[] = "output";
    push(link, &(struct dz_msg){ .id = DZ_MSG_relay,
                                 .as.relay = { .to = DZ_ROLE_CONTROLLER,
                                               .body = { (const uint8_t *) output, 6 } } });
    push(link, &(struct dz_msg){ .id = DZ_MSG_leaving, .as.leaving.why = DZ_CAUSE_FINISHED });
}
