/* workers.c - forked workers: take from the queue, run, report into the ring, and die. */
#include <inttypes.h>
#include <string.h>

#include "tests/sim/world.h"

enum { WAKE_US = 100, RINGS_US = 10 * 1000, LEARN_US = 2000 };

static struct happening *
later(struct world *self, uint32_t node, uint32_t slot, dz_us delay, enum what what)
{
    struct happening *it = world_at(self, self->now + delay, what);
    it->node = node;
    it->slot = slot;
    it->life = self->nodes[node].workers[slot].life;
    return it;
}

void
worker_poke(struct world *self, uint32_t node, uint32_t slot)
{
    const struct worker *worker = &self->nodes[node].workers[slot];
    if (worker->state == WORKER_IDLE || worker->state == WORKER_NEXT)
        (void) later(self, node, slot, 1 + (dz_us) rng_below(&self->rng, WAKE_US), WORKER_RUNS);
}

static uint64_t
exec_new(struct world *self, uint32_t test, uint32_t node)
{
    if (self->exec_count == self->exec_cap) {
        self->exec_cap = self->exec_cap ? self->exec_cap * 2 : 256;
        self->execs = dz_realloc(self->execs, self->exec_cap, sizeof(*self->execs));
    }
    self->execs[self->exec_count] = (struct exec){ .test = test, .node = node };
    return self->exec_count++;
}

static void
begin(struct world *self, uint32_t n, uint32_t s, uint32_t test)
{
    struct worker *worker = &self->nodes[n].workers[s];
    worker->state = WORKER_CALL;
    worker->running = test;
    worker->began = self->now;
    uint32_t known = node_test(self, n, test);
    oracle_begins(self, n, s, known);
    worker->exec = exec_new(self, known, n);
    world_trace(self, "n%u.jw%u runs %u, exec %" PRIu64, n, s, known, worker->exec);
    dz_us takes = self->kind[known] == TEST_HANG ? TIMEOUT_US : self->duration[known];
    (void) later(self, n, s, takes, CALL_ENDS);
}

/* ------------------------------------------------------------------ death */

void
worker_kill(struct world *self, uint32_t n, uint32_t s, enum dz_cause cause)
{
    struct worker *worker = &self->nodes[n].workers[s];
    if (worker->state == WORKER_NONE)
        return;
    bool is_running = worker->state == WORKER_CALL || worker->state == WORKER_NEXT;
    bool is_guilty =
        cause == DZ_CAUSE_SIGNAL || cause == DZ_CAUSE_EXITED || cause == DZ_CAUSE_TIMEOUT;
    if (is_running) {
        self->execs[worker->exec].end = is_guilty ? EXEC_KILLED : EXEC_INNOCENT;
        self->execs[worker->exec].is_timeout = cause == DZ_CAUSE_TIMEOUT;
    }
    world_trace(self, "n%u.jw%u dies: %s", n, s, dz_cause_text(cause));
    struct vassal_event event = { .kind = VASSAL_EV_SLOT_DOWN };
    event.as.down.slot = s;
    event.as.down.cause = cause;
    event.as.down.is_lost = self->nodes[n].lost_slots >> s & 1;
    event.as.down.has_ran = is_running;
    event.as.down.ran = (struct dz_grant){ worker->running, 0 };
    event.as.down.exec = worker->exec;
    event.as.down.start_us = worker->began;
    event.as.down.elapsed_us = self->now - worker->began;
    event.as.down.line = (uint32_t) (worker->exec & DZ_LINE_MAX);
    dz_us takes = cause == DZ_CAUSE_FINISHED ? self->opt.end_us : LEARN_US;
    struct happening *it =
        later(self, n, s, 1 + (dz_us) rng_below(&self->rng, (uint64_t) takes), WORKER_DIED);
    it->life = self->nodes[n].life;
    it->frame = dz_alloc0(1, sizeof(event));
    it->frame_len = sizeof(event);
    memcpy(it->frame, &event, sizeof(event));
    worker->state = WORKER_NONE;
    worker->life++;
    worker->queue_len = 0;
    worker->is_waiting = worker->has_next = false;
}

/* ------------------------------------------------------------------ the loop of a worker */

enum found { FOUND_TEST, FOUND_NOTHING, FOUND_END, FOUND_UNKNOWN };

static enum found
look(struct worker *worker, uint32_t *test_out)
{
    worker->is_waiting = false;
    if (worker->queue_len > 0) {
        *test_out = worker->queue[0];
        worker->queue_len--;
        memmove(worker->queue, worker->queue + 1, worker->queue_len * sizeof(*worker->queue));
        return FOUND_TEST;
    }
    switch (worker->more) {
    case VASSAL_MORE_NONE: return FOUND_NOTHING;
    case VASSAL_MORE_END: return FOUND_END;
    default: return FOUND_UNKNOWN;
    }
}

static void
wait_for_answer(struct world *self, uint32_t n, uint32_t s)
{
    self->nodes[n].workers[s].is_waiting = true;
    (void) later(self, n, s, 1 + (dz_us) rng_below(&self->rng, WAKE_US), WORKER_ASKS);
}

static void
idle(struct world *self, uint32_t n, uint32_t s)
{
    struct worker *worker = &self->nodes[n].workers[s];
    uint32_t test;
    worker->state = WORKER_IDLE;
    switch (look(worker, &test)) {
    case FOUND_TEST: begin(self, n, s, test); break;
    case FOUND_END: worker_kill(self, n, s, DZ_CAUSE_FINISHED); break;
    case FOUND_NOTHING: worker->is_waiting = true; break; /* without a word */
    case FOUND_UNKNOWN: wait_for_answer(self, n, s); break;
    }
}

/* One in seven fails always, and a few of them only sometimes. */
static bool
is_flaky(const struct world *self, uint32_t n, const struct worker *worker)
{
    uint32_t test = node_test(self, n, worker->running);
    return test % 7 == 3 || (test % 11 == 5 && worker->exec % 2 == 0);
}

static void
report(struct world *self, uint32_t n, uint32_t s)
{
    struct node *node = &self->nodes[n];
    struct worker *worker = &node->workers[s];
    if (worker->ring_len == worker->ring_cap) {
        worker->ring_cap = worker->ring_cap ? worker->ring_cap * 2 : 16;
        worker->ring = dz_realloc(worker->ring, worker->ring_cap, sizeof(*worker->ring));
    }
    worker->ring[worker->ring_len++] = (struct vassal_outcome){
        .what = { worker->running, 0 },
        .result = is_flaky(self, n, worker) ? DZ_RESULT_FAILED : DZ_RESULT_OK,
        .slot = s,
        .exec = worker->exec,
        .start_us = worker->began,
        .call_us = self->now - worker->began,
        .line = (uint32_t) (worker->exec & DZ_LINE_MAX),
    };
    self->execs[worker->exec].end = EXEC_FINISHED;
    if (node->vassal && !node->is_draining) {
        node->is_draining = true;
        later(self, n, s, 1 + (dz_us) rng_below(&self->rng, RINGS_US), RINGS)->life = node->life;
    }
}

/* The call is over; the teardown needs to know what comes next. */
static void
end_test(struct world *self, uint32_t n, uint32_t s)
{
    struct worker *worker = &self->nodes[n].workers[s];
    if (worker->state != WORKER_NEXT)
        worker->call_ended = self->now;
    worker->state = WORKER_NEXT;
    switch (look(worker, &worker->next)) {
    case FOUND_UNKNOWN: wait_for_answer(self, n, s); return;
    case FOUND_TEST: worker->has_next = true; break;
    case FOUND_NOTHING:
    case FOUND_END: worker->has_next = false; break;
    }
    oracle_worker_waited(self, n, self->now - worker->call_ended);
    report(self, n, s);
    bool has_next = worker->has_next;
    worker->has_next = false;
    if (has_next)
        begin(self, n, s, worker->next);
    else
        idle(self, n, s);
}

static void
end_call(struct world *self, uint32_t n, uint32_t s)
{
    struct worker *worker = &self->nodes[n].workers[s];
    enum test_kind kind = (enum test_kind) self->kind[node_test(self, n, worker->running)];
    if (kind == TEST_KILLER)
        worker_kill(self, n, s, DZ_CAUSE_SIGNAL);
    else if (kind == TEST_HANG && self->nodes[n].vassal)
        worker_kill(self, n, s, DZ_CAUSE_TIMEOUT);
    else if (kind == TEST_HANG)
        (void) later(self, n, s, TIMEOUT_US, CALL_ENDS);
    else
        end_test(self, n, s);
}

void
worker_on(struct world *self, struct happening *it)
{
    struct worker *worker = &self->nodes[it->node].workers[it->slot];
    if (worker->life != it->life)
        return;
    if (it->what == CALL_ENDS && worker->state == WORKER_CALL)
        end_call(self, it->node, it->slot);
    else if (it->what == WORKER_RUNS && worker->state == WORKER_IDLE)
        idle(self, it->node, it->slot);
    else if (it->what == WORKER_RUNS && worker->state == WORKER_NEXT)
        end_test(self, it->node, it->slot);
}
