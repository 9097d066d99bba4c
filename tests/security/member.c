/* member.c - somebody who comes to a job's hub, of good or bad will.
 *
 *     member key SECRET                        prints "KEY NODE" that belong to it
 *     member WAY SECRET KEY ENDPOINT [OTHER]   comes as WAY until its input ends
 *
 *     good       says something every few milliseconds and measures how long the echo takes
 *     plain      speaks no CURVE
 *     impostor   good, but its frames name node OTHER as their sender
 *     thief      takes the routing id that node OTHER would have without a proof
 *     parts      sends messages of so many parts that one alone is 256 MiB
 *     large      sends frames that are above the limit
 *     bomb       sends frames whose lists claim four thousand million items
 *     noise      sends frames of random bytes
 *
 * Secrets and keys are hexadecimal.  At its end it prints one JSON object: how often it was let in,
 * refused or lost, what it sent and heard, and of the echoes' times the median, the 99th part of a
 * hundred and the longest, in milliseconds. */
#include <inttypes.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "shared/base/clock.h"
#include "shared/net/link.h"
#include "shared/wire/frame.h"

enum {
    EVERY_US = 4000,
    BURST_US = 1000,
    TIMES_MAX = 1 << 20,
    PART_LEN = 4096,
    PARTS = 65536,
    LARGE_LEN = 1 << 20,
    NOISE_LEN = 300,
    WAIT_MS = 20,
};

struct member {
    struct dz_loop *loop;
    struct dz_link *link;
    struct dz_watch input;
    struct dz_timer timer;
    uint64_t node, inc, speaks_as;
    uint64_t sent, heard, seq;
    unsigned events[DZ_LINK_REFUSED + 1];
    uint32_t *times_us; /* owned */
    size_t time_count;
};

static bool
read_key(const char *text, uint8_t out[DZ_KEY_LEN])
{
    struct dz_key key;
    bool is_read = dz_key_parse(dz_str(text), &key) == DZ_OK;
    if (is_read)
        memcpy(out, key.bytes, DZ_KEY_LEN);
    else
        (void) fprintf(stderr, "member: '%s' is no key\n", text);
    return is_read;
}

/* ------------------------------------------------------------------ what is said */

/* The time is in the frame, so an echo tells how long it took. */
static void
say_frame(struct member *self)
{
    int64_t now = dz_clock_us();
    struct dz_msg_mesh envelope = {
        .job = dz_str("job"),
        .node = self->speaks_as,
        .inc = self->inc,
        .seq = ++self->seq,
        .body = { (const uint8_t *) &now, sizeof(now) },
    };
    DZ_AUTO(dz_buf_fini) struct dz_buf frame = { 0 };
    dz_mesh_seal(&envelope, &frame);
    if (dz_link_send(self->link, dz_buf_slice(&frame)) == DZ_OK)
        self->sent++;
}

static void
say_bytes(struct member *self, const uint8_t *bytes, size_t len)
{
    if (dz_link_send(self->link, (struct dz_slice){ bytes, len }) == DZ_OK)
        self->sent++;
}

static void
say_large(struct member *self)
{
    static uint8_t large[LARGE_LEN];
    say_bytes(self, large, sizeof(large));
}

/* A right head, and in the body a list of msgpack's longest kind. */
static void
say_bomb(struct member *self)
{
    static const uint8_t list[] = { 0xdd, 0xff, 0xff, 0xff, 0xff };
    struct dz_msg_mesh envelope = { .job = dz_str("job"), .node = self->speaks_as, .inc = 1 };
    DZ_AUTO(dz_buf_fini) struct dz_buf frame = { 0 };
    dz_mesh_seal(&envelope, &frame);
    for (size_t at = DZ_MESH_HEAD_LEN; at + sizeof(list) <= frame.len; at++) {
        DZ_AUTO(dz_buf_fini) struct dz_buf bad = { 0 };
        dz_buf_add(&bad, frame.data, frame.len);
        memcpy(bad.data + at, list, sizeof(list));
        say_bytes(self, bad.data, bad.len);
    }
}

static void
say_noise(struct member *self)
{
    uint8_t noise[NOISE_LEN];
    randombytes_buf(noise, sizeof(noise));
    say_bytes(self, noise, 1 + randombytes_uniform(sizeof(noise)));
}

typedef void say_fn(struct member *self);

struct way {
    const char *name;
    say_fn *say;
    dz_us every_us;
};

static const struct way WAYS[] = {
    { "good", say_frame, EVERY_US },  { "impostor", say_frame, EVERY_US },
    { "large", say_large, EVERY_US }, { "bomb", say_bomb, BURST_US },
    { "noise", say_noise, BURST_US },
};

/* ------------------------------------------------------------------ on the loop */

static void
on_body(void *arg, struct dz_slice body)
{
    struct member *self = arg;
    struct dz_msg_mesh envelope;
    int64_t then;
    self->heard++;
    if (dz_mesh_open(body, &envelope) != DZ_OK || envelope.body.len != sizeof(then))
        return;
    memcpy(&then, envelope.body.ptr, sizeof(then));
    if (self->time_count < TIMES_MAX)
        self->times_us[self->time_count++] = (uint32_t) (dz_clock_us() - then);
}

static void
on_event(void *arg, enum dz_link_event event)
{
    struct member *self = arg;
    self->events[event]++;
    if (event == DZ_LINK_UP) {
        (void) puts("up");
        (void) fflush(stdout);
    }
}

static const struct way *way_of;

static void
on_timer(void *arg)
{
    struct member *self = arg;
    way_of->say(self);
    dz_loop_set(self->loop, &self->timer, dz_clock_us() + way_of->every_us);
}

static void
on_input(void *arg, unsigned events)
{
    struct member *self = arg;
    char piece[64];
    (void) events;
    if (read(self->input.fd, piece, sizeof(piece)) <= 0)
        dz_loop_stop(self->loop);
}

static int
by_size(const void *a, const void *b)
{
    uint32_t one = *(const uint32_t *) a, other = *(const uint32_t *) b;
    return (one > other) - (one < other);
}

static double
time_ms(const struct member *self, double part)
{
    size_t at = (size_t) (part * (double) (self->time_count - 1));
    return self->time_count ? self->times_us[at] / 1e3 : -1;
}

static void
tell(struct member *self)
{
    qsort(self->times_us, self->time_count, sizeof(*self->times_us), by_size);
    (void) printf("{\"up\":%u,\"lost\":%u,\"failed\":%u,\"refused\":%u,\"sent\":%" PRIu64
                  ",\"heard\":%" PRIu64 ",\"p50_ms\":%.2f,\"p99_ms\":%.2f,\"max_ms\":%.2f}\n",
                  self->events[DZ_LINK_UP], self->events[DZ_LINK_LOST],
                  self->events[DZ_LINK_FAILED], self->events[DZ_LINK_REFUSED], self->sent,
                  self->heard, time_ms(self, 0.5), time_ms(self, 0.99), time_ms(self, 1));
}

static int
come(const struct way *way, const struct dz_keys *keys, const struct dz_key *server,
     const char *endpoint, uint64_t speaks_as)
{
    struct member self = { .node = dz_key_node(&keys->public), .inc = 1 };
    self.speaks_as = speaks_as ? speaks_as : self.node;
    self.times_us = dz_alloc0(TIMES_MAX, sizeof(*self.times_us));
    way_of = way;
    struct dz_err err;
    if (dz_loop_new(&self.loop, &err) != DZ_OK)
        return 1;
    struct dz_link_cfg cfg = { .me = { .node = self.node, .inc = self.inc },
                               .keys = keys,
                               .server = *server,
                               .endpoints = &endpoint,
                               .endpoint_count = 1,
                               .fn = on_body,
                               .event_fn = on_event,
                               .arg = &self };
    self.link = dz_link_dial(self.loop, &cfg);
    self.timer = (struct dz_timer){ .fn = on_timer, .arg = &self };
    dz_loop_set(self.loop, &self.timer, dz_clock_us() + way->every_us);
    self.input = (struct dz_watch){
        .fd = STDIN_FILENO, .events = DZ_LOOP_READ, .fn = on_input, .arg = &self
    };
    enum dz_rc rc = dz_loop_watch(self.loop, &self.input, &err);
    rc = rc == DZ_OK ? dz_loop_run(self.loop, &err) : rc;
    tell(&self);
    dz_loop_unset(self.loop, &self.timer);
    dz_loop_unwatch(self.loop, &self.input);
    dz_link_destroy(&self.link);
    dz_loop_destroy(&self.loop);
    free(self.times_us);
    return rc == DZ_OK ? 0 : 1;
}

/* ------------------------------------------------------------------ with a socket of its own */

static bool
has_ended(void)
{
    struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
    return poll(&input, 1, 0) > 0;
}

/* libzmq begins to send a message when it is whole, and the hub takes it when it is whole. */
static uint64_t
send_parts(void *sock)
{
    static uint8_t part[PART_LEN];
    uint64_t sent = 0;
    while (!has_ended()) {
        for (int i = 0; i < PARTS; i++)
            if (zmq_send(sock, part, sizeof(part), i + 1 < PARTS ? ZMQ_SNDMORE : 0) == sizeof(part))
                sent++;
            else if (has_ended())
                return sent;
    }
    return sent;
}

/* What the hub says to the owner of the name comes here, if the name could be taken. */
static uint64_t
listen_for(void *sock)
{
    uint8_t body[PART_LEN];
    uint64_t heard = 0;
    while (!has_ended())
        if (zmq_recv(sock, body, sizeof(body), 0) >= 0)
            heard++;
    return heard;
}

/* The name as anybody can make it: node and life, which are no secret. */
static void
name_of(uint64_t node, uint64_t inc, uint8_t out[17])
{
    out[0] = 'n';
    memcpy(out + 1, &node, sizeof(node));
    memcpy(out + 1 + sizeof(node), &inc, sizeof(inc));
}

static int
come_bare(const char *way, const struct dz_keys *keys, const struct dz_key *server,
          const char *endpoint, uint64_t other)
{
    void *context = zmq_ctx_new(), *sock = zmq_socket(context, ZMQ_DEALER);
    int zero = 0, one = 1, wait_ms = WAIT_MS;
    uint8_t name[17];
    (void) zmq_setsockopt(sock, ZMQ_LINGER, &zero, sizeof(zero));
    (void) zmq_setsockopt(sock, ZMQ_SNDHWM, &one, sizeof(one));
    (void) zmq_setsockopt(sock, ZMQ_RCVTIMEO, &wait_ms, sizeof(wait_ms));
    (void) zmq_setsockopt(sock, ZMQ_SNDTIMEO, &wait_ms, sizeof(wait_ms));
    if (strcmp(way, "plain") != 0) {
        (void) zmq_setsockopt(sock, ZMQ_CURVE_PUBLICKEY, keys->public.bytes, DZ_KEY_LEN);
        (void) zmq_setsockopt(sock, ZMQ_CURVE_SECRETKEY, keys->secret.bytes, DZ_KEY_LEN);
        (void) zmq_setsockopt(sock, ZMQ_CURVE_SERVERKEY, server->bytes, DZ_KEY_LEN);
    }
    if (strcmp(way, "thief") == 0) {
        name_of(other, 1, name);
        (void) zmq_setsockopt(sock, ZMQ_ROUTING_ID, name, sizeof(name));
    }
    int rc = zmq_connect(sock, endpoint);
    uint64_t count = strcmp(way, "thief") == 0 ? listen_for(sock) : send_parts(sock);
    (void) printf("{\"%s\":%" PRIu64 "}\n", strcmp(way, "thief") == 0 ? "heard" : "sent", count);
    (void) zmq_close(sock);
    (void) zmq_ctx_term(context);
    return rc == 0 ? 0 : 1;
}

/* ------------------------------------------------------------------ */

int
main(int argc, char **argv)
{
    uint8_t secret[DZ_KEY_LEN];
    struct dz_keys keys;
    struct dz_key server;
    if (argc < 3 || !read_key(argv[2], secret))
        return 2;
    dz_keys_of(secret, &keys);
    if (strcmp(argv[1], "key") == 0) {
        char text[DZ_KEY_TEXT];
        dz_key_format(&keys.public, text);
        (void) printf("%s %016" PRIx64 "\n", text, dz_key_node(&keys.public));
        return 0;
    }
    if (argc < 5 || !read_key(argv[3], server.bytes))
        return 2;
    uint64_t other = argc > 5 ? strtoull(argv[5], NULL, 16) : 0;
    for (size_t i = 0; i < DZ_LEN(WAYS); i++) {
        if (strcmp(WAYS[i].name, argv[1]) != 0)
            continue;
        dz_net_setup();
        int rc = come(&WAYS[i], &keys, &server, argv[4], other);
        dz_net_teardown();
        return rc;
    }
    return come_bare(argv[1], &keys, &server, argv[4], other);
}
