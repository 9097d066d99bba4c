/* scale - many vassals and one scheduler, all cores in one process, without faults.
 *
 *   scale [VASSALS [TESTS [CPU_MS [MIB]]]]     prints CPU and peak memory; exit 1: above the limits
 *
 * Frames go from core to core at once, spool and ledger answer at once; time is virtual and moves in
 * steps.  Each vassal has one slot, whose worker ends a test every TEST_US. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "coord/core/coord.h"
#include "shared/wire/frame.h"
#include "vassal/core/vassal.h"

enum { QUEUE_MAX = 256, DIGEST = 5, TEST_US = 20 * 1000, STEP_US = 10 * 1000, ANSWERS_MAX = 64 };

struct node {
    struct vassal *vassal; /* owned */
    uint32_t queue[QUEUE_MAX];
    uint32_t len, journaled, execs;
    enum vassal_more more;
    bool is_up, is_asking, is_left;
    dz_us began;
};

/* A frame under way, before its bytes. */
struct frame {
    uint64_t to;
    bool is_to_coord;
    size_t len;
};

struct scale {
    struct coord *coord; /* owned */
    struct node *nodes;  /* owned */
    uint32_t node_count, test_count, left;
    struct dz_buf posted, read; /* frames one after another, in the order in which they were sent */
    struct coord_test *tests;   /* owned */
    char (*ids)[32];            /* owned */
    dz_us now;
    uint64_t counted, frames, execs;
    bool is_over;
    struct coord_answer answers[ANSWERS_MAX];
};

static void
post(struct scale *self, uint64_t to, bool is_to_coord, struct dz_slice bytes)
{
    struct frame frame = { .to = to, .is_to_coord = is_to_coord, .len = bytes.len };
    dz_buf_add(&self->posted, &frame, sizeof(frame));
    dz_buf_add(&self->posted, bytes.ptr, bytes.len);
    self->frames++;
}

static void
give_coord(struct scale *self, const struct coord_event *event)
{
    struct coord_effects fx;
    uint64_t batch = 0;
    uint64_t count = 0, digest = 0;
    bool has_to_persist = false, has_to_seal = false;
    if (!self->coord)
        return;
    coord_step(self->coord, event, self->now, &fx);
    for (size_t i = 0; i < fx.count; i++) {
        const struct coord_effect *it = &fx.items[i];
        switch ((int) it->kind) {
        case COORD_FX_SEND: post(self, it->as.send.node, false, it->as.send.frame); break;
        case COORD_FX_COUNT: batch = it->as.count.batch; break;
        case COORD_FX_PERSIST: has_to_persist = true; break;
        case COORD_FX_SEAL:
            has_to_seal = true;
            count = it->as.seal.counted;
            digest = it->as.seal.digest;
            break;
        case COORD_FX_DONE:
            self->is_over = true;
            self->counted = it->as.done.counted;
            break;
        default: break;
        }
    }
    if (batch)
        give_coord(self, &(struct coord_event){ .kind = COORD_EV_COUNTED,
                                                .as.counted = { batch, self->answers } });
    if (has_to_persist)
        give_coord(self, &(struct coord_event){ .kind = COORD_EV_PERSISTED });
    if (has_to_seal)
        give_coord(self, &(struct coord_event){ .kind = COORD_EV_SEALED,
                                                .as.sealed = { count, digest, true } });
}

static void
begin(struct scale *self, uint64_t n)
{
    struct coord_cfg cfg = {
        .job = dz_str("J"), .node = 1, .inc = 1, .nodes_expected = self->node_count
    };
    self->coord = coord_new(&cfg);
    give_coord(self, &(struct coord_event){ .kind = COORD_EV_START, .as.start.seen_n = n - 1 });
    give_coord(self,
               &(struct coord_event){ .kind = COORD_EV_MANIFEST,
                                      .as.manifest = { self->tests, self->test_count, DIGEST } });
}

static void give_vassal(struct scale *self, uint32_t n, const struct vassal_event *event);

static void
answer(struct scale *self, uint32_t n, uint64_t number, enum dz_lease_kind kind)
{
    struct vassal_event event = { .kind = VASSAL_EV_ANSWER, .as.answer.number = number };
    bool is_leader = n == 0;
    event.as.answer.reply =
        (struct dz_lease_reply){ .word = is_leader ? DZ_LEASE_GRANTED : DZ_LEASE_HELD,
                                 .epoch = { 1, 1, 1 } };
    if (kind != DZ_LEASE_RELEASE)
        give_vassal(self, n, &event);
}

static void
feed(struct node *node, const struct vassal_effect *fx, dz_us now)
{
    if (node->len == 0)
        node->began = now;
    for (size_t i = 0; i < fx->as.feed.count; i++)
        node->queue[node->len++] = fx->as.feed.grants[i].test;
    node->more = fx->as.feed.more;
    node->is_asking = false;
}

static void
give_vassal(struct scale *self, uint32_t n, const struct vassal_event *event)
{
    struct node *node = &self->nodes[n];
    struct vassal_effects fx;
    uint64_t lead_n = 0;
    uint64_t asked = 0;
    enum dz_lease_kind kind = DZ_LEASE_WHO;
    vassal_step(node->vassal, event, self->now, &fx);
    for (size_t i = 0; i < fx.count; i++) {
        const struct vassal_effect *it = &fx.items[i];
        switch ((int) it->kind) {
        case VASSAL_FX_SEND: post(self, it->as.send.node, true, it->as.send.frame); break;
        case VASSAL_FX_FEED: feed(node, it, self->now); break;
        case VASSAL_FX_JOURNAL: node->journaled = (uint32_t) it->as.journal.record; break;
        case VASSAL_FX_LEAD: lead_n = it->as.lead.n; break;
        case VASSAL_FX_ASK:
            asked = it->as.ask.number;
            kind = it->as.ask.ask.kind;
            break;
        case VASSAL_FX_DONE:
            self->left += !node->is_left;
            node->is_left = true;
            break;
        default: break;
        }
    }
    if (lead_n > 0)
        begin(self, lead_n);
    if (asked)
        answer(self, n, asked, kind);
}

static void
hand_over(struct scale *self, const struct frame *frame, struct dz_slice bytes)
{
    if (frame->is_to_coord)
        give_coord(self, &(struct coord_event){ .kind = COORD_EV_MESSAGE, .as.message = bytes });
    else
        give_vassal(self, (uint32_t) frame->to - 1,
                    &(struct vassal_event){ .kind = VASSAL_EV_MESSAGE, .as.message = bytes });
}

static void
deliver(struct scale *self)
{
    while (self->posted.len > 0) {
        struct dz_buf now = self->posted;
        self->posted = self->read;
        dz_buf_clear(&self->posted);
        for (size_t at = 0; at < now.len;) {
            struct frame frame;
            memcpy(&frame, now.data + at, sizeof(frame));
            struct dz_slice bytes = { now.data + at + sizeof(frame), frame.len };
            at += sizeof(frame) + frame.len;
            hand_over(self, &frame, bytes);
        }
        self->read = now;
    }
}

/* Tests that ended in this step. */
static void
run(struct scale *self, uint32_t n)
{
    struct node *node = &self->nodes[n];
    uint32_t before = node->journaled;
    while (node->len > 0 && self->now - node->began >= TEST_US) {
        struct vassal_event event = {
            .kind = VASSAL_EV_RESULT,
            .as.result = { .what = { node->queue[0], 0 },
                           .result = DZ_RESULT_OK,
                           .exec = ++node->execs,
                           .call_us = TEST_US },
        };
        memmove(node->queue, node->queue + 1, --node->len * sizeof(*node->queue));
        node->began += TEST_US;
        self->execs++;
        give_vassal(self, n, &event);
    }
    if (node->journaled > before)
        give_vassal(self, n,
                    &(struct vassal_event){ .kind = VASSAL_EV_JOURNALED,
                                            .as.journaled.record = node->journaled });
    if (node->len > 0 || !node->is_up)
        return;
    if (node->more == VASSAL_MORE_END) {
        node->is_up = false;
        give_vassal(self, n, &(struct vassal_event){ .kind = VASSAL_EV_SLOT_DOWN });
    } else if (node->more == VASSAL_MORE_ASK && !node->is_asking) {
        node->is_asking = true;
        give_vassal(self, n, &(struct vassal_event){ .kind = VASSAL_EV_SLOT_ASKS });
    }
}

static void
start(struct scale *self)
{
    self->tests = dz_alloc0(self->test_count + 1, sizeof(*self->tests));
    self->ids = dz_alloc0(self->test_count + 1, sizeof(*self->ids));
    for (uint32_t t = 0; t < self->test_count; t++) {
        (void) snprintf(self->ids[t], sizeof(self->ids[t]), "m%05u.py::t_%07u", t / 50, t);
        self->tests[t] =
            (struct coord_test){ .id = dz_str(self->ids[t]), .order = t, .est_us = TEST_US };
    }
    for (uint32_t n = 0; n < self->node_count; n++) {
        struct vassal_cfg cfg = { .job = dz_str("J"),
                                  .node = n + 1,
                                  .inc = 1,
                                  .slots = 1,
                                  .rendezvous = VASSAL_MEETS,
                                  .contact = dz_str("tcp://192.0.2.1:10000") };
        self->nodes[n].vassal = vassal_new(&cfg);
        give_vassal(self, n, &(struct vassal_event){ .kind = VASSAL_EV_JOIN });
        give_vassal(self, n,
                    &(struct vassal_event){
                        .kind = VASSAL_EV_MANIFEST,
                        .as.manifest = { .total = self->test_count, .digest = DIGEST } });
        self->nodes[n].is_up = true;
        give_vassal(self, n, &(struct vassal_event){ .kind = VASSAL_EV_SLOT_UP });
    }
}

static double
cpu_ms(void)
{
    struct rusage usage;
    (void) getrusage(RUSAGE_SELF, &usage);
    return (double) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
           (double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3;
}

static uint32_t
number(int argc, char **argv, int at, uint32_t otherwise)
{
    return argc > at ? (uint32_t) strtoul(argv[at], NULL, 10) : otherwise;
}

static void
drive(struct scale *self)
{
    start(self);
    while (!self->is_over) {
        deliver(self);
        for (uint32_t n = 0; n < self->node_count; n++) {
            run(self, n);
            if (vassal_next(self->nodes[n].vassal) <= self->now)
                give_vassal(self, n, &(struct vassal_event){ .kind = VASSAL_EV_TICK });
        }
        if (coord_next(self->coord) <= self->now)
            give_coord(self, &(struct coord_event){ .kind = COORD_EV_TICK });
        self->now += STEP_US;
    }
    deliver(self);
}

int
main(int argc, char **argv)
{
    struct scale *self = dz_alloc0(1, sizeof(*self));
    self->node_count = number(argc, argv, 1, 10000);
    self->test_count = number(argc, argv, 2, 1000000);
    uint32_t cpu_max = number(argc, argv, 3, UINT32_MAX);
    uint32_t mib_max = number(argc, argv, 4, UINT32_MAX);
    self->now = 1000000;
    self->nodes = dz_alloc0(self->node_count + 1, sizeof(*self->nodes));
    drive(self);
    struct rusage usage;
    (void) getrusage(RUSAGE_SELF, &usage);
    double ms = cpu_ms();
    long mib = usage.ru_maxrss / 1024;
    printf("%u vassals, %u tests: %.0f ms of CPU, %ld MiB, %" PRIu64
           " frames, %.1f s of virtual time; "
           "counted %" PRIu64 ", executed %" PRIu64 ", left %u\n",
           self->node_count, self->test_count, ms, mib, self->frames,
           (double) (self->now - 1000000) / 1e6, self->counted, self->execs, self->left);
    bool is_complete = self->counted == self->test_count && self->execs == self->test_count;
    for (uint32_t n = 0; n < self->node_count; n++)
        vassal_destroy(&self->nodes[n].vassal);
    coord_destroy(&self->coord);
    dz_buf_fini(&self->posted);
    dz_buf_fini(&self->read);
    free(self->nodes);
    free(self->tests);
    free(self->ids);
    free(self);
    return !is_complete || ms > cpu_max || mib > (long) mib_max;
}
