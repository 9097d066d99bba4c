/* Any bytes on a connection to the store: requests are answered or refused, whole and one after
 * another, and whatever has been begun ends when the client leaves.
 *
 *     byte 0   the rest comes in pieces of so many bytes (0: at once)
 *
 * The server is the real one with its threads, on a store with two jobs and a meeting; only the sockets are made
 * here.  Findings are a status of 500, which says that the store itself failed, and connections
 * that stay although their clients are gone. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/files.h"
#include "store/http/gate.h"
#include "store/http/head.h"
#include "store/http/server.h"
#include "store/meet.h"
#include "tests/fuzz/target.h"

enum {
    TESTS = 3,
    ANSWER_MAX = 64 << 10,
    PIECES_MAX = 64,
    ANSWER_MS = 2,     /* for an answer that may not come */
    LOOK_EVERY = 1000, /* inputs; then all but LEFT_MAX must have ended within PATIENCE_MS */
    LEFT_MAX = 300,    /* streams of events notice after 15 s that nobody reads them */
    PATIENCE_MS = 20000,
};
#define NOON INT64_C(1795262400000000)

static struct world {
    struct store *store;
    struct http_server *server;
    struct gate gate;
} the_world; /* of the process, as its threads are */

static void
must(enum dz_rc rc, const struct dz_err *err)
{
    if (rc != DZ_OK) {
        (void) fprintf(stderr, "fuzz_http: %s\n", err->text);
        abort();
    }
}

/* ---- a store that a request can find something in ---- */

static void
add_job(struct world *self, const char *uri)
{
    struct dz_err err;
    struct store_job *job = NULL;
    struct dz_slice ids[TESTS] = { dz_str("a.py::test_a"), dz_str("a.py::test_b"),
                                   dz_str("b/c.py::test[\xc3\xa9]") };
    struct store_begin begin = { .uri = uri, .now_us = NOON, .workers = 1, .node_total = 1 };
    struct store_result results[TESTS];
    struct store_log log = { .test = 1, .first_us = NOON, .last_us = NOON, .text = dz_str("hi\n") };
    for (uint32_t i = 0; i < TESTS; i++)
        results[i] = (struct store_result){ .test = i,
                                            .node = 1,
                                            .inc = 1,
                                            .exec = i + 1,
                                            .result = i ? DZ_RESULT_FAILED : DZ_RESULT_OK,
                                            .start_us = NOON,
                                            .call_us = 1000,
                                            .text = dz_str("assert 1 == 2") };
    struct store_batch batch = {
        .results = results, .result_count = TESTS, .logs = &log, .log_count = 1
    };
    must(store_job_begin(self->store, &begin, &job, &err), &err);
    must(store_job_put_manifest(job, ids, TESTS, &err), &err);
    must(store_job_append(job, &batch, &err), &err);
    store_job_close(&job);
}

/* Two nodes that may write letters to each other. */
static void
add_meeting(struct world *self)
{
    struct dz_err err;
    struct store_meet asks[2];
    for (uint64_t node = 1; node <= DZ_LEN(asks); node++) {
        asks[node - 1] = (struct store_meet){
            .kind = STORE_MEET_ENTER,
            .uri = "u",
            .key = dz_str("k"),
            .entry = { .node = node,
                       .arrival = { .index = DZ_NO_INDEX, .ci_job = node },
                       .job = "01JD8Y7W9QK3T5V2X4Z6B8D0FG" },
            .contact = dz_str("c"),
        };
    }
    must(store_meet(self->store, asks, DZ_LEN(asks), NOON, &err), &err);
}

/* Whatever is being asked then ends with the server; what is left over is a leak. */
static void
end(void)
{
    server_destroy(&the_world.server);
    store_close(&the_world.store);
}

static struct world *
world(void)
{
    struct world *self = &the_world;
    struct dz_err err;
    char home[] = "/dev/shm/dz-http-XXXXXX";
    if (self->server)
        return self;
    struct server_opts opts = {
        .gate = &self->gate,
        .limits = { .total = 4096,
                    .per_address = 4096,
                    .streams = 256,
                    .head_ms = 10000,
                    .idle_ms = 10000,
                    .body_rate = 1024,
                    .rate = 0 },
    };
    if (!mkdtemp(home))
        abort();
    must(store_open(home, STORE_WRITE, &self->store, NULL, &err), &err);
    add_job(self, "u");
    add_job(self, "git@x:a.git//b c");
    add_meeting(self);
    must(server_new(self->store, &opts, &self->server, &err), &err);
    dz_remove_tree(home); /* what is open stays */
    if (atexit(end) != 0)
        abort();
    return self;
}

/* ---- one connection ---- */

/* Status lines begin a line; what an answer quotes of a request has no line ends. */
static void
check(const char *answer, size_t len)
{
    static const char failed[] = "HTTP/1.1 500";
    const char *end = answer + len;
    for (const char *at = answer; at < end; at++) {
        at = memmem(at, (size_t) (end - at), failed, sizeof(failed) - 1);
        if (!at)
            return;
        if (at > answer && at[-1] != '\n')
            continue;
        (void) fprintf(stderr, "fuzz_http: %.*s\n", (int) len, answer);
        abort();
    }
}

/* What comes within a moment; whole heads are answered, half ones are not. */
static void
read_answers(int fd, bool is_whole)
{
    static char answer[ANSWER_MAX];
    struct pollfd in = { .fd = fd, .events = POLLIN };
    ssize_t len = 0;
    if (is_whole && poll(&in, 1, ANSWER_MS) == 1)
        len = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
    check(answer, len > 0 ? (size_t) len : 0);
}

static void
await_ends(struct world *self)
{
    static unsigned inputs;
    struct server_counts counts;
    dz_ms deadline = dz_clock_ms() + PATIENCE_MS;
    if (++inputs % LOOK_EVERY != 0)
        return;
    for (server_count(self->server, &counts); counts.conns.open > LEFT_MAX;
         server_count(self->server, &counts)) {
        if (dz_clock_ms() < deadline) {
            server_sweep(self->server); /* who waits for letters */
            (void) poll(NULL, 0, 1);
            continue;
        }
        (void) fprintf(stderr, "fuzz_http: %u connections stay open\n", counts.conns.open);
        abort();
    }
}

static void
send_pieces(int fd, const uint8_t *data, size_t size, size_t piece)
{
    piece = piece && size / piece < PIECES_MAX ? piece : size;
    while (size > 0) {
        size_t part = size < piece ? size : piece;
        ssize_t sent = send(fd, data, part, MSG_NOSIGNAL);
        if (sent <= 0) /* it was shut already: refused */
            return;
        data += sent;
        size -= (size_t) sent;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world *self = world();
    int pair[2];
    int status = 0;
    struct dz_err why;
    if (size == 0)
        return 0;
    (void) head_look((struct dz_slice){ data + 1, size - 1 }, &status, &why);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        abort();
    if (fcntl(pair[0], F_SETFL, O_NONBLOCK) == 0 && server_adopt(self->server, pair[0])) {
        send_pieces(pair[1], data + 1, size - 1, data[0]);
        read_answers(pair[1], memmem(data, size, "\r\n\r\n", 4) != NULL);
    }
    (void) close(pair[1]);
    await_ends(self);
    return 0;
}
