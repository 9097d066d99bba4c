/* bench_events.c - many clients of /api/v1/events: does each get every event once, and how late?
 *
 *     bench_events HOME PORT CLIENTS RATE SECONDS [RECONNECTS]
 *
 * A child writes RATE log records a second into the store under HOME, beside the daemon that listens
 * on PORT; each record says its number and when it was written.  The clients, all in this process,
 * check that numbers come one after another.  RECONNECTS clients a second are cut off and come back
 * with Last-Event-ID.  One JSON line tells what was seen; exit code 1: a gap or a duplicate. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/buf.h"
#include "shared/base/clock.h"
#include "store/store.h"

enum {
    CLIENTS_MAX = 8192,
    TICK_MS = 10,     /* between two commits */
    SETTLE_MS = 5000, /* for all to be connected, and for the last events */
    BUCKETS = 100000, /* of a tenth of a millisecond */
    READ_MAX = 256 << 10,
    ID_MAX = 32,
    LINE_MAX_LEN = 4096,
};

struct client {
    int fd;
    uint64_t next; /* number that has to come */
    bool has_number;
    uint64_t number; /* of the event that comes, and when it was written */
    int64_t written_us;
    bool has_head;           /* of the answer */
    bool is_open;            /* an event has come, or the place */
    char id[ID_MAX];         /* of the last event that was whole */
    char next_id[ID_MAX];    /* of the one that comes */
    char line[LINE_MAX_LEN]; /* one that is not whole yet */
    size_t line_len;
    size_t chunk; /* bytes that are left of the chunk; 0: its size comes */
    char size[16];
    size_t size_len;
};

struct bench {
    int epoll, port;
    struct client *clients;
    size_t count;
    uint64_t written, received, gaps, duplicates, reconnects;
    uint32_t *late; /* by tenths of a millisecond */
};

static void
must(bool is_ok, const char *what)
{
    if (is_ok)
        return;
    (void) fprintf(stderr, "bench_events: %s (errno %d)\n", what, errno);
    exit(2); /* NOLINT(concurrency-mt-unsafe): one thread */
}

/* ---- clients ---- */

static void
connect_one(struct bench *self, size_t index)
{
    struct client *c = &self->clients[index];
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t) self->port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    char text[512];
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    c->is_open = c->has_head = c->has_number = false;
    c->line_len = c->size_len = c->chunk = 0;
    must(c->fd >= 0 && connect(c->fd, (struct sockaddr *) &to, sizeof(to)) == 0, "connect");
    int len = snprintf(text, sizeof(text),
                       "GET /api/v1/events?topics=log HTTP/1.1\r\nHost: localhost\r\n%s%s%s\r\n",
                       c->id[0] ? "Last-Event-ID: " : "", c->id, c->id[0] ? "\r\n" : "");
    must(send(c->fd, text, (size_t) len, MSG_NOSIGNAL) == len, "send");
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = index };
    must(epoll_ctl(self->epoll, EPOLL_CTL_ADD, c->fd, &event) == 0, "epoll_ctl");
}

static void
note_number(struct bench *self, struct client *c, uint64_t number, int64_t written_us, int64_t now)
{
    int64_t late = (now - written_us) / 100;
    self->received++;
    self->gaps += number > c->next;
    self->duplicates += number < c->next;
    c->next = number + 1;
    self->late[late < 0 ? 0 : late >= BUCKETS ? BUCKETS - 1 : late]++;
}

static void
take_line(struct bench *self, struct client *c, const char *line, size_t len, int64_t now)
{
    if (len == 0) { /* the event is whole: only now it counts */
        memcpy(c->id, c->next_id, sizeof(c->id));
        c->is_open = true;
        if (c->has_number)
            note_number(self, c, c->number, c->written_us, now);
        c->has_number = false;
        return;
    }
    if (len > 4 && memcmp(line, "id: ", 4) == 0 && len - 4 < ID_MAX) {
        memcpy(c->next_id, line + 4, len - 4);
        c->next_id[len - 4] = '\0';
        return;
    }
    const char *text =
        len > 6 && memcmp(line, "data: ", 6) == 0 ? memmem(line, len, "\"text\":\"#", 9) : NULL;
    char *end = NULL;
    if (!text)
        return;
    c->number = strtoull(text + 9, &end, 10);
    c->written_us = (int64_t) strtoull(end, NULL, 10);
    c->has_number = true;
}

static void
take_lines(struct bench *self, struct client *c, char *data, size_t len, int64_t now)
{
    while (len > 0) {
        char *end = memchr(data, '\n', len);
        size_t part = end ? (size_t) (end - data) : len;
        must(c->line_len + part < LINE_MAX_LEN, "a line is too long");
        if (!end || c->line_len > 0) {
            memcpy(c->line + c->line_len, data, part);
            c->line_len += part;
        }
        if (!end)
            return;
        const char *line = c->line_len > 0 ? c->line : data;
        size_t line_len = c->line_len > 0 ? c->line_len : part;
        take_line(self, c, line, line_len, now);
        c->line_len = 0;
        data += part + 1;
        len -= part + 1;
    }
}

/* The head, then chunks: "SIZE\r\n" bytes "\r\n" */
static void
take_bytes(struct bench *self, struct client *c, char *data, size_t len, int64_t now)
{
    if (!c->has_head) {
        char *end = memmem(data, len, "\r\n\r\n", 4);
        must(end && len > 12 && memcmp(data, "HTTP/1.1 200", 12) == 0, "no stream");
        len -= (size_t) (end + 4 - data);
        data = end + 4;
        c->has_head = true;
    }
    while (len > 0) {
        size_t part = len < c->chunk ? len : c->chunk;
        if (part == 0) {
            must(c->size_len < sizeof(c->size) - 1, "not a chunk");
            c->size[c->size_len++] = *data;
            if (*data == '\n' && c->size_len > 2) {
                c->size[c->size_len] = '\0';
                c->chunk = strtoul(c->size[0] == '\r' ? c->size + 2 : c->size, NULL, 16);
                c->size_len = 0;
            }
            part = 1;
        } else {
            take_lines(self, c, data, part, now);
            c->chunk -= part;
        }
        data += part;
        len -= part;
    }
}

static void
serve(struct bench *self, int wait_ms)
{
    static char data[READ_MAX];
    struct epoll_event events[256];
    int count = epoll_wait(self->epoll, events, DZ_LEN(events), wait_ms);
    for (int i = 0; i < count; i++) {
        struct client *c = &self->clients[events[i].data.u64];
        ssize_t len = recv(c->fd, data, sizeof(data), MSG_DONTWAIT);
        if (len < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        must(len > 0, "the daemon ended a stream");
        take_bytes(self, c, data, (size_t) len, dz_clock_us());
    }
}

static void
reconnect(struct bench *self, size_t index)
{
    struct client *c = &self->clients[index];
    (void) close(c->fd);
    connect_one(self, index);
    self->reconnects++;
}

/* ---- the writer ---- */

static void
write_some(struct store_job *job, uint64_t first, uint32_t count)
{
    static char texts[STORE_BATCH_MAX][48];
    static struct store_log logs[STORE_BATCH_MAX];
    struct dz_err err;
    for (uint32_t i = 0; i < count; i++) {
        (void) snprintf(texts[i], sizeof(texts[i]), "#%llu %llu\n",
                        (unsigned long long) (first + i), (unsigned long long) dz_clock_us());
        logs[i] = (struct store_log){ .first_us = dz_clock_wall_ms() * 1000,
                                      .last_us = dz_clock_wall_ms() * 1000,
                                      .test = STORE_NO_TEST,
                                      .text = dz_str(texts[i]) };
    }
    struct store_batch batch = { .logs = logs, .log_count = count };
    must(store_job_append(job, &batch, &err) == DZ_OK, "append");
}

/* Begins when a byte comes, and at its end tells how many it has written. */
static void
be_writer(const char *home, uint64_t rate, unsigned seconds, int go, int done)
{
    struct store_begin begin = {
        .uri = "u", .now_us = dz_clock_wall_ms() * 1000, .workers = 1, .node_total = 1
    };
    const struct timespec tick = { .tv_nsec = TICK_MS * 1000000 };
    struct store *store = NULL;
    struct store_job *job = NULL;
    struct dz_err err;
    uint64_t written = 0;
    char byte;
    must(store_open(home, STORE_WRITE, &store, NULL, &err) == DZ_OK, err.text);
    must(store_job_begin(store, &begin, &job, &err) == DZ_OK, err.text);
    must(read(go, &byte, 1) == 1, "go");
    dz_us begun = dz_clock_us(), now = begun, end = begun + (dz_us) seconds * 1000000;
    for (; now < end; now = dz_clock_us()) {
        uint64_t due = (uint64_t) (now - begun) * rate / 1000000 - written;
        if (due > 0)
            write_some(job, written, due < STORE_BATCH_MAX ? (uint32_t) due : STORE_BATCH_MAX);
        written += due < STORE_BATCH_MAX ? due : STORE_BATCH_MAX;
        (void) nanosleep(&tick, NULL);
    }
    must(write(done, &written, sizeof(written)) == sizeof(written), "done");
    store_job_close(&job);
    store_close(&store);
}

/* ---- the run ---- */

static void
wait_open(struct bench *self)
{
    dz_ms deadline = dz_clock_ms() + SETTLE_MS * 4;
    for (size_t open = 0; open < self->count;) {
        must(dz_clock_ms() < deadline, "not all streams were opened");
        serve(self, TICK_MS);
        open = 0;
        for (size_t i = 0; i < self->count; i++)
            open += self->clients[i].is_open;
    }
}

static void
run(struct bench *self, unsigned seconds, uint64_t reconnects, int go, int done)
{
    size_t turn = 0;
    must(write(go, "g", 1) == 1, "go");
    dz_us begun = dz_clock_us(), end = begun + (dz_us) seconds * 1000000;
    for (dz_us now = begun; now < end; now = dz_clock_us()) {
        while (self->reconnects < (uint64_t) (now - begun) * reconnects / 1000000)
            reconnect(self, turn++ % self->count);
        serve(self, 1);
    }
    must(read(done, &self->written, sizeof(self->written)) == sizeof(self->written), "done");
    dz_ms deadline = dz_clock_ms() + SETTLE_MS;
    while (self->received < self->written * self->count && dz_clock_ms() < deadline)
        serve(self, TICK_MS);
}

static double
late_ms(const struct bench *self, double share)
{
    uint64_t seen = 0, wanted = (uint64_t) ((double) self->received * share);
    for (size_t i = 0; i < BUCKETS; i++) {
        seen += self->late[i];
        if (seen >= wanted)
            return (double) (i + 1) / 10;
    }
    return (double) BUCKETS / 10;
}

static void
tell(const struct bench *self)
{
    long long missing = (long long) (self->written * self->count - self->received);
    (void) printf("{\"clients\": %zu, \"written\": %llu, \"received\": %llu, \"missing\": %lld, "
                  "\"gaps\": %llu, \"duplicates\": %llu, \"reconnects\": %llu, \"p50_ms\": %.1f, "
                  "\"p99_ms\": %.1f, \"max_ms\": %.1f}\n",
                  self->count, (unsigned long long) self->written,
                  (unsigned long long) self->received, missing, (unsigned long long) self->gaps,
                  (unsigned long long) self->duplicates, (unsigned long long) self->reconnects,
                  late_ms(self, 0.5), late_ms(self, 0.99), late_ms(self, 1));
}

int
main(int argc, char **argv)
{
    struct bench self = { .epoll = epoll_create1(EPOLL_CLOEXEC) };
    struct rlimit files;
    int go[2], done[2];
    if (argc < 6 || pipe(go) != 0 || pipe(done) != 0)
        return 2;
    uint64_t rate = strtoull(argv[4], NULL, 10);
    unsigned seconds = (unsigned) strtoul(argv[5], NULL, 10);
    self.port = (int) strtol(argv[2], NULL, 10);
    self.count = strtoul(argv[3], NULL, 10);
    must(self.count <= CLIENTS_MAX, "too many clients");
    if (fork() == 0) {
        be_writer(argv[1], rate, seconds, go[0], done[1]);
        return 0;
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void) setrlimit(RLIMIT_NOFILE, &files);
    }
    self.clients = dz_alloc0(self.count, sizeof(*self.clients));
    self.late = dz_alloc0(BUCKETS, sizeof(*self.late));
    for (size_t i = 0; i < self.count; i++)
        connect_one(&self, i);
    wait_open(&self);
    run(&self, seconds, argc > 6 ? strtoull(argv[6], NULL, 10) : 0, go[1], done[0]);
    tell(&self);
    return self.gaps || self.duplicates || self.received != self.written * self.count;
}
