/* bench_nodes.c - what an agent sees of its node: the messages of controller, seed, zygote and worker. */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/fd.h"
#include "tests/bench/agent/bench_mesh.h"

enum {
    CHUNK = 256 << 10,
    NOTES = 10,   /* that are shown */
    BLOB = 400,   /* bytes, as a passed test's reports */
    AGENT_FD = 3, /* and the next one, in the agent */
};

/* ------------------------------------------------------------------ ends */

static void
listen_to(struct bench *self, struct node *node, enum end end, int fd)
{
    node->fd[end] = fd;
    uint64_t name = (uint64_t) (node - self->all) * ENDS + end;
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = name };
    fake_need(epoll_ctl(self->epoll, EPOLL_CTL_ADD, fd, &event) == 0, "epoll");
}

static void
make_pair(int pair[2])
{
    fake_need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
}

void
node_spawn(struct bench *self, struct node *node)
{
    int controller[2], seed[2];
    posix_spawn_file_actions_t actions;
    char ours[16], other[16], log[256], program[] = "dagz-agent";
    char c[] = "--controller-fd", s[] = "--seed-fd", l[] = "--log";
    char *argv[] = { program, c, ours, s, other, self->log ? l : NULL, log, NULL };
    make_pair(controller);
    make_pair(seed);
    (void) snprintf(ours, sizeof(ours), "%d", AGENT_FD);
    (void) snprintf(other, sizeof(other), "%d", AGENT_FD + 1);
    (void) snprintf(log, sizeof(log), "%s/%05u", self->log ? self->log : "",
                    (unsigned) (node - self->all));
    fake_need(posix_spawn_file_actions_init(&actions) == 0 &&
                  posix_spawn_file_actions_adddup2(&actions, controller[1], AGENT_FD) == 0 &&
                  posix_spawn_file_actions_adddup2(&actions, seed[1], AGENT_FD + 1) == 0,
              "spawn");
    errno = posix_spawn(&node->pid, DAGZ_AGENT_PATH, &actions, NULL, argv, environ);
    fake_need(errno == 0, DAGZ_AGENT_PATH);
    (void) posix_spawn_file_actions_destroy(&actions);
    dz_fd_close(&controller[1]);
    dz_fd_close(&seed[1]);
    listen_to(self, node, CONTROLLER, controller[0]);
    listen_to(self, node, SEED, seed[0]);
}

void
node_start(struct bench *self, struct node *node)
{
    char home[96];
    uint8_t secret[32];
    (void) snprintf(home, sizeof(home), "%s/home-%05u", self->root, (unsigned) (node - self->all));
    fake_need(getrandom(secret, sizeof(secret), 0) == sizeof(secret), "getrandom");
    struct dz_msg_start start = {
        .home = dz_str(home),
        .uri = dz_str("git@example.org:acme/scale"),
        .rootdir = dz_str(self->root),
        .command = dz_str("bench_mesh"),
        .workers = 1,
        .strikes = 3,
        .url = dz_str(self->url ? self->url : ""),
        .key = dz_str(self->root), /* a job that has ended is not joined again */
        .rendezvous = self->url ? DZ_RENDEZVOUS_STORE : DZ_RENDEZVOUS_HOST,
        .secret = { secret, sizeof(secret) },
    };
    fake_say(node->fd[CONTROLLER], &(struct dz_msg){ .id = DZ_MSG_start, .as.start = start }, NULL,
             0);
}

/* ------------------------------------------------------------------ the worker */

static void
push(struct node *node, const struct dz_msg *msg)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf frame = { 0 };
    dz_msg_encode_framed(msg, &frame);
    fake_need(dz_ring_write(node->kit.shm, dz_buf_slice(&frame)) == DZ_OK, "room in the ring");
}

static void
run_test(struct node *node, uint32_t test, uint32_t attempt)
{
    static const uint8_t blob[BLOB];
    struct dz_shm *shm = node->kit.shm;
    uint64_t exec = atomic_fetch_add(&shm->exec, 1) + 1;
    struct dz_msg_result result = {
        .test = test,
        .attempt = attempt,
        .exec = exec,
        .result = DZ_RESULT_OK,
        .start_us = (uint64_t) dz_clock_us(),
        .call_us = 1,
        .blob = { blob, sizeof(blob) },
    };
    push(node, &(struct dz_msg){ .id = DZ_MSG_result, .as.result = result });
}

static void
leave(struct bench *self, struct node *node)
{
    push(node, &(struct dz_msg){ .id = DZ_MSG_leaving, .as.leaving.why = DZ_CAUSE_FINISHED });
    dz_fd_close(&node->fd[WORKER]);
    node->has_left = true;
    fake_say(node->fd[ZYGOTE],
             &(struct dz_msg){ .id = DZ_MSG_died, .as.died.pid = (uint64_t) self->stand_in }, NULL,
             0);
}

static void
look_for_test(struct bench *self, struct node *node)
{
    if (node->has_test || dz_queue_len(node->kit.shm) == 0)
        return;
    node->has_test = true;
    self->joined++;
}

void
node_run(struct node *node)
{
    uint32_t test = 0, attempt = 0;
    while (dz_queue_take(node->kit.shm, &test, &attempt) == DZ_OK)
        run_test(node, test, attempt);
}

/* Take what is there, then ask for more or sleep, as link_ask() and link_wait() do. */
void
node_work(struct bench *self, struct node *node)
{
    struct dz_shm *shm = node->kit.shm;
    look_for_test(self, node);
    while (!node->has_left && (self->is_going || atomic_load(&shm->more) == DZ_MORE_END)) {
        uint32_t more = atomic_load(&shm->more);
        atomic_store(&shm->waiting, 0);
        node_run(node);
        if (more == DZ_MORE_END) {
            leave(self, node);
            return;
        }
        atomic_store(&shm->waiting, 1);
        if (dz_queue_len(shm) > 0 || atomic_load(&shm->more) != more)
            continue;
        fake_say(node->fd[WORKER], &(struct dz_msg){ .id = DZ_MSG_wake }, NULL, 0);
        return;
    }
    atomic_store(&shm->waiting, 1);
    look_for_test(self, node); /* put there before the agent saw that we wait */
}

/* ------------------------------------------------------------------ seed and zygote */

static void
bear_zygote(struct bench *self, struct node *node, const struct dz_msg_fork *what)
{
    int pair[2];
    make_pair(pair);
    listen_to(self, node, ZYGOTE, pair[0]);
    fake_say(node->fd[SEED],
             &(struct dz_msg){ .id = DZ_MSG_born,
                               .as.born = { .kind = DZ_FORK_ZYGOTE,
                                            .token = what->token,
                                            .pid = (uint64_t) self->stand_in } },
             &pair[1], 1);
    dz_fd_close(&pair[1]);
    fake_need(!node->has_entered, "one zygote for each");
    node->has_entered = true;
    self->entered++;
}

static void
bear_worker(struct bench *self, struct node *node, const struct dz_msg_fork *what)
{
    struct dz_err err;
    int fds[DZ_BORN_FDS];
    struct link_kit *kit = &node->kit;
    fake_need(!kit->shm && link_kit_init(kit, (uint32_t) what->num, &err) == DZ_OK, "worker");
    kit->shm->pid = (uint32_t) self->stand_in;
    link_kit_born_fds(kit, fds);
    fake_say(node->fd[ZYGOTE],
             &(struct dz_msg){ .id = DZ_MSG_born,
                               .as.born = { .kind = what->kind,
                                            .num = what->num,
                                            .token = what->token,
                                            .pid = (uint64_t) self->stand_in } },
             fds, DZ_BORN_FDS);
    int *const unneeded[] = { &kit->shm_fd, &kit->sock[1], &kit->life[0], &kit->life[1],
                              &kit->master, &kit->log,     &kit->crash };
    for (size_t i = 0; i < DZ_LEN(unneeded); i++)
        dz_fd_close(unneeded[i]);
    listen_to(self, node, WORKER, kit->sock[0]);
    kit->sock[0] = -1;
    node_work(self, node);
}

static void
end_zygote(struct bench *self, struct node *node)
{
    dz_fd_close(&node->fd[ZYGOTE]);
    fake_say(node->fd[SEED],
             &(struct dz_msg){ .id = DZ_MSG_died, .as.died.pid = (uint64_t) self->stand_in }, NULL,
             0);
}

/* ------------------------------------------------------------------ what agents say */

static void
hear_note(struct bench *self, const struct node *node, const struct dz_msg_note *note)
{
    if (note->severity > 1 && self->notes++ < NOTES)
        (void) printf("node %u: %.*s\n", (unsigned) (node - self->all), (int) note->text.len,
                      (const char *) note->text.ptr);
}

static void
hear_done(struct bench *self, struct node *node, const struct dz_msg_done *done)
{
    node->is_done = true;
    self->done++;
    self->lost_at_end += done->lost;
    self->duplicates_at_end = done->duplicates;
    fake_say(node->fd[CONTROLLER], &(struct dz_msg){ .id = DZ_MSG_bye }, NULL, 0);
}

static void
hear(struct bench *self, struct node *node, const struct dz_msg *msg)
{
    switch ((int) msg->id) {
    case DZ_MSG_fork:
        if (msg->as.fork.kind == DZ_FORK_ZYGOTE)
            bear_zygote(self, node, &msg->as.fork);
        else
            bear_worker(self, node, &msg->as.fork);
        return;
    case DZ_MSG_report: self->reports++; return;
    case DZ_MSG_note: hear_note(self, node, &msg->as.note); return;
    case DZ_MSG_done: hear_done(self, node, &msg->as.done); return;
    default: return;
    }
}

void
node_read(struct bench *self, struct node *node, enum end end)
{
    struct dz_buf *in = &node->in[end];
    struct dz_slice frame;
    struct dz_msg msg;
    size_t used = 0, count = 0, at = 0;
    int fd = -1;
    enum dz_rc rc = dz_fd_recv(node->fd[end], in, CHUNK, &fd, 1, &count, NULL);
    if (rc == DZ_AGAIN)
        return;
    if (rc != DZ_OK) {
        fake_need(node->is_done || end == WORKER, "an agent died");
        dz_fd_close(&node->fd[end]);
        return;
    }
    if (end == WORKER) {
        dz_buf_clear(in);
        node_work(self, node);
        return;
    }
    bool is_quit = false;
    while (at < in->len && dz_frame_take((struct dz_slice){ in->data + at, in->len - at }, &frame,
                                         &used) == DZ_OK) {
        fake_need(dz_msg_decode(frame, &msg) == DZ_OK, "an agent's message");
        is_quit |= msg.id == DZ_MSG_quit;
        hear(self, node, &msg);
        at += used;
    }
    dz_buf_drop(in, at);
    if (is_quit && end == ZYGOTE)
        end_zygote(self, node);
}
