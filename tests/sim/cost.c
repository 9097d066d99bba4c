/* cost - what both cores together cost for each test of a large job without faults.
 *
 *   cost [TESTS [SLOTS]]        prints microseconds of CPU per test
 *
 * The world is the smallest possible one: frames go from core to core at once, workers finish a
 * test when asked to, the spool and the ledger answer at once. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "coord/core/coord.h"
#include "vassal/core/vassal.h"

enum { SLOTS_MAX = 64, QUEUE_MAX = 256, BURST = 25, DIGEST = 3, TEST_US = 300, ANSWERS_MAX = 64 };

struct slot {
    uint32_t queue[QUEUE_MAX];
    size_t len;
    enum vassal_more more;
    bool is_up, is_ending, is_asking;
};

struct bench {
    struct coord *coord;   /* owned */
    struct vassal *vassal; /* owned */
    struct slot slots[SLOTS_MAX];
    unsigned slot_count;
    dz_us now;
    uint64_t execs, counted, journaled;
    bool is_over;
    struct coord_answer answers[ANSWERS_MAX];
};

static void give_vassal(struct bench *self, const struct vassal_event *event);

/* Effects are borrowed until the next step, and answers are steps: copy what is needed first. */
struct due {
    bool is_persist, is_seal;
    uint64_t batch;
    struct dz_account account;
};

static void
give_coord(struct bench *self, const struct coord_event *event)
{
    struct coord_effects fx;
    struct due due = { 0 };
    struct dz_slice frames[256];
    size_t frame_count = 0;
    coord_step(self->coord, event, self->now, &fx);
    for (size_t i = 0; i < fx.count; i++) {
        const struct coord_effect *it = &fx.items[i];
        if (it->kind == COORD_FX_SEND && frame_count < DZ_LEN(frames)) {
            uint8_t *copy = dz_realloc(NULL, it->as.send.frame.len, 1);
            memcpy(copy, it->as.send.frame.ptr, it->as.send.frame.len);
            frames[frame_count++] = (struct dz_slice){ copy, it->as.send.frame.len };
        } else if (it->kind == COORD_FX_COUNT) {
            due.batch = it->as.count.batch;
        } else if (it->kind == COORD_FX_SEAL) {
            due.is_seal = true;
            due.account = it->as.seal;
        } else if (it->kind == COORD_FX_PERSIST) {
            due.is_persist = true;
        } else if (it->kind == COORD_FX_DONE) {
            self->is_over = true;
            self->counted = it->as.done.counted;
        }
    }
    for (size_t i = 0; i < frame_count; i++) {
        give_vassal(self,
                    &(struct vassal_event){ .kind = VASSAL_EV_MESSAGE, .as.message = frames[i] });
        free((void *) (uintptr_t) frames[i].ptr);
    }
    if (due.batch)
        give_coord(self, &(struct coord_event){ .kind = COORD_EV_COUNTED,
                                                .as.counted = { due.batch, self->answers } });
    if (due.is_persist)
        give_coord(self, &(struct coord_event){ .kind = COORD_EV_PERSISTED });
    if (due.is_seal)
        give_coord(self, &(struct coord_event){
                             .kind = COORD_EV_SEALED,
                             .as.sealed = { due.account.counted, due.account.digest } });
}

static void
feed(struct bench *self, const struct vassal_effect *fx)
{
    struct slot *slot = &self->slots[fx->as.feed.slot];
    for (size_t i = 0; i < fx->as.feed.count; i++)
        slot->queue[slot->len++] = fx->as.feed.grants[i].test;
    slot->more = fx->as.feed.more;
    slot->is_asking = false;
    slot->is_ending = slot->more == VASSAL_MORE_END;
}

static void
give_vassal(struct bench *self, const struct vassal_event *event)
{
    struct vassal_effects fx;
    struct dz_slice frames[256];
    size_t frame_count = 0;
    vassal_step(self->vassal, event, self->now, &fx);
    for (size_t i = 0; i < fx.count; i++) {
        const struct vassal_effect *it = &fx.items[i];
        if (it->kind == VASSAL_FX_SEND && frame_count < DZ_LEN(frames)) {
            uint8_t *copy = dz_realloc(NULL, it->as.send.frame.len, 1);
            memcpy(copy, it->as.send.frame.ptr, it->as.send.frame.len);
            frames[frame_count++] = (struct dz_slice){ copy, it->as.send.frame.len };
        } else if (it->kind == VASSAL_FX_FEED) {
            feed(self, it);
        } else if (it->kind == VASSAL_FX_JOURNAL) {
            self->journaled = it->as.journal.record;
        } else if (it->kind == VASSAL_FX_FORK) {
            self->slots[it->as.slot.slot].is_up = true;
        }
    }
    for (size_t i = 0; i < frame_count; i++) {
        give_coord(self,
                   &(struct coord_event){ .kind = COORD_EV_MESSAGE, .as.message = frames[i] });
        free((void *) (uintptr_t) frames[i].ptr);
    }
}

/* Up to BURST tests end, as between two looks at a worker's ring. */
static void
run_slot(struct bench *self, unsigned num)
{
    struct slot *slot = &self->slots[num];
    for (unsigned i = 0; i < BURST && slot->len > 0; i++) {
        struct vassal_event event = {
            .kind = VASSAL_EV_RESULT,
            .as.result = { .what = { slot->queue[0], 0 },
                           .result = DZ_RESULT_OK,
                           .slot = num,
                           .exec = ++self->execs,
                           .call_us = TEST_US },
        };
        memmove(slot->queue, slot->queue + 1, --slot->len * sizeof(*slot->queue));
        give_vassal(self, &event);
    }
    give_vassal(self, &(struct vassal_event){ .kind = VASSAL_EV_JOURNALED,
                                              .as.journaled.record = self->journaled });
    if (slot->len == 0 && slot->is_ending && slot->is_up) {
        slot->is_up = false;
        give_vassal(self, &(struct vassal_event){ .kind = VASSAL_EV_SLOT_DOWN,
                                                  .as.down = { .slot = num } });
    } else if (slot->len == 0 && slot->more == VASSAL_MORE_ASK && slot->is_up && !slot->is_asking) {
        slot->is_asking = true;
        give_vassal(self,
                    &(struct vassal_event){ .kind = VASSAL_EV_SLOT_ASKS, .as.slot.slot = num });
    }
}

static void
start(struct bench *self, uint32_t count)
{
    struct coord_test *tests = dz_alloc0(count + 1, sizeof(*tests));
    char(*ids)[48] = dz_alloc0(count + 1, sizeof(*ids));
    for (uint32_t t = 0; t < count; t++) {
        (void) snprintf(ids[t], sizeof(ids[t]), "m%05u.py::test_%06u", t / 160, t);
        tests[t] = (struct coord_test){ .id = dz_str(ids[t]), .order = t, .est_us = TEST_US };
    }
    give_coord(self, &(struct coord_event){ .kind = COORD_EV_START });
    give_coord(self, &(struct coord_event){ .kind = COORD_EV_MANIFEST,
                                            .as.manifest = { tests, count, DIGEST } });
    free(tests);
    free(ids);
    give_vassal(self, &(struct vassal_event){ .kind = VASSAL_EV_MANIFEST,
                                              .as.manifest = { count, DIGEST, 0 } });
    for (unsigned s = 0; s < self->slot_count; s++)
        give_vassal(self, &(struct vassal_event){ .kind = VASSAL_EV_SLOT_UP, .as.slot.slot = s });
}

int
main(int argc, char **argv)
{
    uint32_t count = argc > 1 ? (uint32_t) strtoul(argv[1], NULL, 10) : 240000;
    struct bench *self = dz_alloc0(1, sizeof(*self));
    self->slot_count = argc > 2 ? (unsigned) strtoul(argv[2], NULL, 10) : 2;
    if (self->slot_count == 0 || self->slot_count > SLOTS_MAX)
        return 2;
    self->now = 1000000;
    struct coord_cfg coord = { .job = dz_str("J"), .node = 1, .inc = 1 };
    struct vassal_cfg vassal = {
        .job = dz_str("J"), .node = 1, .inc = 1, .slots = self->slot_count
    };
    self->coord = coord_new(&coord);
    self->vassal = vassal_new(&vassal);
    clock_t begun = clock();
    start(self, count);
    clock_t started = clock();
    while (!self->is_over) {
        self->now += BURST * TEST_US;
        for (unsigned s = 0; s < self->slot_count; s++)
            run_slot(self, s);
        give_coord(self, &(struct coord_event){ .kind = COORD_EV_TICK });
        give_vassal(self, &(struct vassal_event){ .kind = VASSAL_EV_TICK });
    }
    double start_ms = (double) (started - begun) * 1000 / CLOCKS_PER_SEC;
    double run_us = (double) (clock() - started) * 1e6 / CLOCKS_PER_SEC;
    printf("%u tests, %u slots: start %.1f ms, then %.2f us per test; counted %" PRIu64 "\n", count,
           self->slot_count, start_ms, run_us / count, self->counted);
    bool is_complete = self->counted == count && self->execs == count;
    coord_destroy(&self->coord);
    vassal_destroy(&self->vassal);
    free(self);
    return !is_complete;
}
