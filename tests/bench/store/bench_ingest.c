/* bench_ingest.c - how many results a second a daemon takes, over HTTP and on the disk.
 *
 *     bench_ingest FOLDER PORT JOBS TESTS CONNECTIONS
 *
 * Makes JOBS jobs of TESTS results each in a store under FOLDER, turns them into the parcels that an
 * agent would send, and then posts them all, each job over one connection at a time.  Then it posts
 * them once more: all are duplicates.  One JSON line tells results a second of both. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/buf.h"
#include "shared/base/clock.h"
#include "store/store.h"
#include "store/sync.h"

enum { JOBS_MAX = 64, PARCELS_MAX = 4096, ANSWER_MAX = 8192, PER_BATCH = 1024 };

struct job {
    char ulid[STORE_ULID_LEN + 1];
    struct dz_buf parcels[PARCELS_MAX]; /* owned */
    size_t count, next;
};

struct line {
    int fd;
    struct job *job; /* whose parcel is on its way */
    char answer[ANSWER_MAX];
    size_t len;
};

static void
must(bool is_ok, const char *what)
{
    if (is_ok)
        return;
    (void) fprintf(stderr, "bench_ingest: %s\n", what);
    exit(2); /* NOLINT(concurrency-mt-unsafe): one thread */
}

/* ---- parcels ---- */

static void
put_results(struct store_job *job, uint32_t tests)
{
    static struct store_result results[PER_BATCH];
    struct dz_err err;
    for (uint32_t at = 0; at < tests;) {
        uint32_t count = tests - at < PER_BATCH ? tests - at : PER_BATCH;
        for (uint32_t i = 0; i < count; i++)
            results[i] = (struct store_result){ .test = at + i,
                                                .node = 1,
                                                .inc = 1,
                                                .exec = at + i + 1,
                                                .result = DZ_RESULT_OK,
                                                .worker = (at + i) % 8,
                                                .start_us = dz_clock_wall_ms() * 1000 + i,
                                                .setup_us = 50 + i % 13,
                                                .call_us = 1000 + i % 997,
                                                .teardown_us = 40 + i % 7 };
        struct store_batch batch = { .results = results, .result_count = count };
        must(store_job_append(job, &batch, &err) == DZ_OK, err.text);
        at += count;
    }
}

static void
make_job(struct store *store, struct job *self, uint32_t tests)
{
    struct store_begin begin = {
        .uri = "u", .now_us = dz_clock_wall_ms() * 1000, .workers = 8, .node_total = 1
    };
    struct store_job *job = NULL;
    struct store_outbox *outbox = NULL;
    struct store_at at = { 0 }, total, after;
    struct dz_err err;
    bool is_sealed;
    struct dz_slice *ids = dz_alloc0(tests, sizeof(*ids));
    char(*texts)[64] = dz_alloc0(tests, sizeof(*texts));
    for (uint32_t i = 0; i < tests; i++) {
        (void) snprintf(texts[i], sizeof(texts[i]), "tests/test_%04u.py::test_%06u", i / 160, i);
        ids[i] = dz_str(texts[i]);
    }
    must(store_job_begin(store, &begin, &job, &err) == DZ_OK, err.text);
    must(store_job_put_manifest(job, ids, tests, &err) == DZ_OK, err.text);
    put_results(job, tests);
    (void) snprintf(self->ulid, sizeof(self->ulid), "%s", store_job_ulid(job));
    must(store_outbox_open(store, self->ulid, &outbox, &err) == DZ_OK, err.text);
    must(store_outbox_total(outbox, &total, &is_sealed, &err) == DZ_OK, err.text);
    for (unsigned flags = STORE_WITH_LIST; !store_at_eq(&at, &total); flags = 0, at = after) {
        must(self->count < PARCELS_MAX, "too many parcels");
        enum dz_rc rc = store_outbox_next(outbox, &at, flags, STORE_PARCEL_SOFT,
                                          &self->parcels[self->count++], &after, &err);
        must(rc == DZ_OK, err.text);
    }
    store_outbox_close(&outbox);
    store_job_close(&job);
    free(ids);
    free(texts);
}

/* ---- posting ---- */

static int
dial(int port)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t) port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fd >= 0 && connect(fd, (struct sockaddr *) &to, sizeof(to)) == 0, "connect");
    return fd;
}

static void
send_all(int fd, const void *data, size_t len)
{
    for (const uint8_t *at = data; len > 0;) {
        ssize_t sent = send(fd, at, len, MSG_NOSIGNAL);
        must(sent > 0, "send");
        at += sent;
        len -= (size_t) sent;
    }
}

static void
post(struct line *line, struct job *job)
{
    char head[512];
    const struct dz_buf *parcel = &job->parcels[job->next++];
    int len = snprintf(head, sizeof(head),
                       "POST /api/v1/jobs/%s/records HTTP/1.1\r\nHost: localhost\r\n"
                       "Content-Type: " STORE_PARCEL_TYPE "\r\nContent-Length: %zu\r\n\r\n",
                       job->ulid, parcel->len);
    send_all(line->fd, head, (size_t) len);
    send_all(line->fd, parcel->data, parcel->len);
    line->job = job;
    line->len = 0;
}

/* true: the answer is whole. */
static bool
take_answer(struct line *line)
{
    ssize_t len = recv(line->fd, line->answer + line->len, sizeof(line->answer) - 1 - line->len, 0);
    must(len > 0, "the daemon hung up");
    line->len += (size_t) len;
    line->answer[line->len] = '\0';
    const char *body = strstr(line->answer, "\r\n\r\n");
    if (!body || !strchr(body, '}'))
        return false;
    if (strncmp(line->answer, "HTTP/1.1 200", 12) != 0)
        must(false, line->answer);
    return true;
}

/* A job whose next parcel may go: one at a time, as an agent does. */
static struct job *
job_for(struct job *jobs, size_t count, const struct line *lines, size_t line_count)
{
    for (size_t i = 0; i < count; i++) {
        bool is_busy = jobs[i].next == jobs[i].count;
        for (size_t k = 0; k < line_count; k++)
            is_busy |= lines[k].job == &jobs[i];
        if (!is_busy)
            return &jobs[i];
    }
    return NULL;
}

static double
post_all(struct job *jobs, size_t count, struct line *lines, size_t line_count)
{
    struct pollfd polls[JOBS_MAX];
    dz_us begun = dz_clock_us();
    size_t busy = 0;
    for (size_t i = 0; i < count; i++)
        jobs[i].next = 0;
    do {
        for (size_t i = 0; i < line_count; i++) {
            struct job *job = lines[i].job ? NULL : job_for(jobs, count, lines, line_count);
            if (job)
                post(&lines[i], job);
        }
        busy = 0;
        for (size_t i = 0; i < line_count; i++) {
            polls[i] = (struct pollfd){ .fd = lines[i].fd, .events = POLLIN };
            busy += lines[i].job != NULL;
        }
        if (busy > 0)
            (void) poll(polls, line_count, -1);
        for (size_t i = 0; i < line_count; i++)
            if (polls[i].revents && lines[i].job && take_answer(&lines[i]))
                lines[i].job = NULL;
    } while (busy > 0);
    return (double) (dz_clock_us() - begun) / 1e6;
}

int
main(int argc, char **argv)
{
    static struct job jobs[JOBS_MAX];
    static struct line lines[JOBS_MAX];
    struct store *store = NULL;
    struct dz_err err;
    size_t parcels = 0, bytes = 0;
    if (argc < 6)
        return 2;
    size_t job_count = strtoul(argv[3], NULL, 10), line_count = strtoul(argv[5], NULL, 10);
    uint32_t tests = (uint32_t) strtoul(argv[4], NULL, 10);
    must(job_count <= JOBS_MAX && line_count <= JOBS_MAX, "too many");
    must(store_open(argv[1], STORE_WRITE, &store, NULL, &err) == DZ_OK, err.text);
    for (size_t i = 0; i < job_count; i++) {
        make_job(store, &jobs[i], tests);
        parcels += jobs[i].count;
        for (size_t k = 0; k < jobs[i].count; k++)
            bytes += jobs[i].parcels[k].len;
    }
    for (size_t i = 0; i < line_count; i++)
        lines[i].fd = dial(atoi(argv[2]));
    double fresh = post_all(jobs, job_count, lines, line_count);
    double again = post_all(jobs, job_count, lines, line_count);
    double results = (double) tests * (double) job_count;
    (void) printf("{\"results\": %.0f, \"parcels\": %zu, \"bytes\": %zu, \"fresh_per_s\": %.0f, "
                  "\"again_per_s\": %.0f}\n",
                  results, parcels, bytes, results / fresh, results / again);
    store_close(&store);
    return 0;
}
