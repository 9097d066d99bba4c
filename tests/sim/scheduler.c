/* scheduler.c - what drives the coordinator's core on node 0, the ledger, and the network. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/world.h"

enum { PERSIST_US = 3000, LEDGER_US = 3000, LOCAL_US = 100 };

/* ------------------------------------------------------------------ network */

struct link {
    uint32_t node; /* at its far end */
    bool is_up;    /* towards the scheduler */
    bool is_bad;
};

static void
deliver(struct world *self, struct link link, struct dz_slice frame, dz_us most)
{
    dz_us *last = link.is_up ? &self->last_up[link.node] : &self->last_down[link.node];
    dz_us at = self->now + 1 + (dz_us) rng_below(&self->rng, (uint64_t) most);
    bool is_in_order = !link.is_bad || !self->opt.reorders;
    if (is_in_order && at <= *last)
        at = *last + 1;
    *last = at > *last ? at : *last;
    struct happening *it = world_at(self, at, link.is_up ? TO_COORD : TO_VASSAL);
    it->node = link.node;
    it->frame = dz_realloc(NULL, frame.len + 1, 1);
    memcpy(it->frame, frame.ptr, frame.len);
    it->frame_len = frame.len;
}

void
net_send(struct world *self, uint32_t node, bool is_up, struct dz_slice frame)
{
    /* A node talks to itself through a pipe that loses nothing, or (every other history) not. */
    bool is_bad = !self->is_healed && (node != 0 || self->opt.tests % 2);
    struct link link = { node, is_up, is_bad };
    self->messages++;
    if (is_bad && rng_chance(&self->rng, self->opt.loss))
        return;
    deliver(self, link, frame, is_bad ? self->opt.delay_us : LOCAL_US);
    if (is_bad && rng_chance(&self->rng, self->opt.twice))
        deliver(self, link, frame, 3 * self->opt.delay_us);
}

/* ------------------------------------------------------------------ ledger */

static int64_t
find_row(const struct ledger *self, const struct coord_record *record)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->rows[i].node == record->node && self->rows[i].inc == record->inc &&
            self->rows[i].exec == record->exec)
            return (int64_t) i;
    return -1;
}

bool
ledger_write(struct world *world, const struct coord_record *record, struct coord_answer *out)
{
    struct ledger *self = &world->ledger;
    int64_t known = find_row(self, record);
    if (known >= 0) {
        *out = (struct coord_answer){ self->rows[known].word, true };
        return false;
    }
    if (self->is_sealed) {
        *out = (struct coord_answer){ DZ_WORD_DUPLICATE, false };
        return false;
    }
    uint32_t test = record->what.test;
    bool is_first = !record->is_history && self->counted[test] < 0;
    enum dz_word word = record->is_history ? DZ_WORD_STRIKE
                        : is_first         ? DZ_WORD_COUNTED
                                           : DZ_WORD_DUPLICATE;
    if (self->count == self->cap) {
        self->cap = self->cap ? self->cap * 2 : 64;
        self->rows = dz_realloc(self->rows, self->cap, sizeof(*self->rows));
    }
    if (is_first)
        self->counted[test] = (int32_t) self->count;
    self->rows[self->count++] =
        (struct row){ record->node, record->inc, record->exec, test, record->result, word };
    *out = (struct coord_answer){ word, false };
    return true;
}

uint64_t
ledger_count(const struct ledger *self)
{
    uint64_t count = 0;
    for (size_t i = 0; i < self->count; i++)
        count += self->rows[i].word == DZ_WORD_COUNTED;
    return count;
}

uint64_t
ledger_digest(const struct ledger *self)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < self->count; i++)
        if (self->rows[i].word == DZ_WORD_COUNTED)
            sum += dz_ledger_mix(self->rows[i].test, 0, self->rows[i].result);
    return sum;
}

/* ------------------------------------------------------------------ effects */

static void
ask_ledger(struct world *self, const struct coord_effect *fx)
{
    dz_us at = self->now + 1 + (dz_us) rng_below(&self->rng, LEDGER_US);
    if (at <= self->answer_at) /* one writer: in order */
        at = self->answer_at + 1;
    self->answer_at = at;
    struct happening *it = world_at(self, at, LEDGER_WROTE);
    it->life = self->coord_life;
    it->a = fx->as.count.batch;
    it->frame_len = fx->as.count.count * sizeof(struct coord_record);
    it->frame = dz_realloc(NULL, it->frame_len + 1, 1);
    memcpy(it->frame, fx->as.count.records, it->frame_len);
}

static void
apply(struct world *self, const struct coord_effect *fx)
{
    switch (fx->kind) {
    case COORD_FX_SEND:
        oracle_coord_sends(self, fx->as.send.frame);
        net_send(self, (uint32_t) fx->as.send.node - 1, false, fx->as.send.frame);
        break;
    case COORD_FX_PERSIST: {
        struct happening *it =
            world_at(self, self->now + 1 + (dz_us) rng_below(&self->rng, PERSIST_US), PERSISTED);
        it->life = self->coord_life;
        it->a = fx->as.persist.n;
        break;
    }
    case COORD_FX_COUNT: ask_ledger(self, fx); break;
    case COORD_FX_SEAL: {
        struct happening *it =
            world_at(self, self->now + 1 + (dz_us) rng_below(&self->rng, LEDGER_US), SEALED);
        it->life = self->coord_life;
        break;
    }
    case COORD_FX_DONE:
        self->account = fx->as.done;
        self->is_done = true;
        world_trace(self, "job done: counted %" PRIu64 ", not run %" PRIu64, fx->as.done.counted,
                    fx->as.done.not_run);
        break;
    case COORD_FX_DEPOSED: world_break(self, "the only scheduler was deposed"); break;
    case COORD_FX_NOTE:
        world_trace(self, "scheduler notes: %.*s", (int) fx->as.note.text.len,
                    (const char *) fx->as.note.text.ptr);
        break;
    default: break;
    }
}

void
coord_give(struct world *self, const struct coord_event *event)
{
    if (!self->coord || self->violation || self->is_done)
        return;
    struct coord_effects fx;
    coord_step(self->coord, event, self->now, &fx);
    self->steps++;
    for (size_t i = 0; i < fx.count; i++)
        apply(self, &fx.items[i]);
    fault_at_phase(self);
    dz_us at = coord_next(self->coord);
    if (at == INT64_MAX || (self->coord_tick_at > self->now && self->coord_tick_at <= at))
        return;
    self->coord_tick_at = at > self->now ? at : self->now + 1;
    world_at(self, self->coord_tick_at, COORD_TICK)->life = self->coord_life;
}

/* ------------------------------------------------------------------ life */

static void
give_ledger(struct world *self)
{
    const struct ledger *ledger = &self->ledger;
    struct coord_row *rows = dz_alloc0(ledger->count + 1, sizeof(*rows));
    for (size_t i = 0; i < ledger->count; i++)
        rows[i] = (struct coord_row){ .what = { ledger->rows[i].test, 0 },
                                      .result = ledger->rows[i].result,
                                      .node = ledger->rows[i].node,
                                      .inc = ledger->rows[i].inc,
                                      .exec = ledger->rows[i].exec,
                                      .is_counted = ledger->rows[i].word == DZ_WORD_COUNTED };
    coord_give(self, &(struct coord_event){ .kind = COORD_EV_LEDGER,
                                            .as.ledger = { rows, ledger->count } });
    free(rows);
}

/* Who was a member before: a driver that takes a job up again knows them from the store. */
static unsigned
living_others(const struct world *self)
{
    unsigned count = 0;
    for (uint32_t n = 1; n < self->opt.nodes; n++)
        count += self->nodes[n].vassal && !self->nodes[n].has_left;
    return count;
}

void
coord_start(struct world *self)
{
    struct coord_cfg cfg = {
        .job = dz_str("job"),
        .node = self->nodes[0].id,
        .inc = self->nodes[0].inc,
        .nodes_expected = 1 + living_others(self),
        .strikes = self->opt.strikes,
        .placement = self->opt.placement,
        .keep_order = self->opt.keep_order,
    };
    self->coord_life++;
    self->coord = coord_new(&cfg);
    self->coord_tick_at = self->answer_at = 0;
    coord_give(self, &(struct coord_event){ .kind = COORD_EV_START,
                                            .as.start.seen_n = self->nodes[0].disk_n });
    coord_give(self, &(struct coord_event){ .kind = COORD_EV_MANIFEST,
                                            .as.manifest = { self->tests, self->opt.tests, 77 } });
    give_ledger(self);
    if (self->ledger.is_sealed) /* the driver sees that, and has nothing to do */
        self->is_done = true;
}

void
coord_crash(struct world *self)
{
    coord_destroy(&self->coord);
    self->coord_life++;
}

static void
on_wrote(struct world *self, const struct happening *it)
{
    const struct coord_record *records = (const struct coord_record *) (void *) it->frame;
    size_t count = it->frame_len / sizeof(*records);
    struct coord_answer *answers = dz_alloc0(count + 1, sizeof(*answers));
    for (size_t i = 0; i < count; i++)
        if (ledger_write(self, &records[i], &answers[i]))
            world_trace(self, "ledger: test %u, result %u, word %d", records[i].what.test,
                        records[i].result, answers[i].word);
    coord_give(self,
               &(struct coord_event){ .kind = COORD_EV_COUNTED, .as.counted = { it->a, answers } });
    free(answers);
}

static void
on_sealed(struct world *self)
{
    self->ledger.is_sealed = true;
    coord_give(self, &(struct coord_event){ .kind = COORD_EV_SEALED,
                                            .as.sealed = { ledger_count(&self->ledger),
                                                           ledger_digest(&self->ledger) } });
}

void
coord_on(struct world *self, struct happening *it)
{
    if (it->what != TO_COORD && it->life != self->coord_life)
        return;
    if (self->nodes[0].frozen_until > self->now) {
        struct happening *later = world_at(self, self->nodes[0].frozen_until, it->what);
        later->life = it->life;
        later->a = it->a;
        later->frame = it->frame;
        later->frame_len = it->frame_len;
        it->frame = NULL;
        return;
    }
    switch ((int) it->what) {
    case TO_COORD:
        coord_give(self, &(struct coord_event){ .kind = COORD_EV_MESSAGE,
                                                .as.message = { it->frame, it->frame_len } });
        break;
    case COORD_TICK: coord_give(self, &(struct coord_event){ .kind = COORD_EV_TICK }); break;
    case PERSISTED:
        self->nodes[0].disk_n = it->a;
        coord_give(self, &(struct coord_event){ .kind = COORD_EV_PERSISTED });
        break;
    case LEDGER_WROTE: on_wrote(self, it); break;
    case SEALED: on_sealed(self); break;
    default: dz_assert(!"an event of the scheduler");
    }
}
