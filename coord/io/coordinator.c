/* coordinator.c - carries out what the scheduler's core says; decides nothing.
 *
 * Rows wait until the loop has handed out what came in its turn, and then go into the ledger together:
 * where many nodes tell of results at once, a sync for each message would be all that is done.  After a
 * write as much time belongs to everything else, so that on a slow disk tests go on being granted.  Those
 * that the ledger does not take (a full disk) stay here and are tried again, in order.  The core
 * hears of each batch only when it is written: what is not in the ledger is not counted. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coord/coord.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/wire/frame.h"

enum { RETRY_US = 200000, REST_MAX_US = 250000, LINE_LEN = 256, NUMBER_LEN = 12, NODE_LEN = 32 };

/* Rows that wait for the ledger. */
struct batch {
    struct batch *next;
    uint64_t number;
    size_t count;
    struct coord_record rows[];
};

/* A batch that is in the ledger and not yet in the store. */
struct unstored {
    uint64_t number;
    uint64_t rows; /* that the ledger held with it */
};

struct coordinator {
    struct dz_loop *loop; /* borrowed */
    struct coordinator_host host;
    struct coord *core; /* owned */
    struct dz_timer timer, write;
    struct batch *first, *last; /* owned */
    dz_us rests_until;          /* before that nothing is written */
    struct unstored *unstored;  /* owned: a queue that begins at unstored_first */
    size_t unstored_first, unstored_count, unstored_cap;
    bool is_stepping;
    bool has_to_persist, has_to_seal;
    uint64_t persist_n;
    struct dz_account account;
    bool is_over, is_deposed, is_closed; /* closed: the ledger */
    struct dz_epoch greater;             /* of who deposed it */
    bool has_to_retell;
    const struct coord_test *tests; /* borrowed: the manifest */
    size_t test_count;
    uint64_t digest;
    unsigned nodes; /* have come to the job */
};

static void step(struct coordinator *self, const struct coord_event *event);

/* ------------------------------------------------------------------ effects */

/* The numbers of tests that are granted, as many as fit. */
static void
log_assigned(uint64_t node, const struct dz_msg_mesh_assign *assign)
{
    char tests[LINE_LEN] = "";
    size_t len = 0;
    struct dz_list list = assign->grants;
    struct dz_item_grant grant;
    while (len + NUMBER_LEN < sizeof(tests) && dz_grant_next(&list, &grant))
        len += (size_t) snprintf(tests + len, NUMBER_LEN, "%" PRIu64 ",", grant.test);
    log_debug("coord.assign", "node=%016" PRIx64 " tests=%s", node, tests);
}

static void
log_sent(struct coordinator *self, uint64_t node, struct dz_slice frame)
{
    struct dz_msg_mesh mesh;
    struct dz_msg msg;
    if (dz_mesh_open(frame, &mesh) != DZ_OK || mesh.body.len == 0 ||
        dz_msg_decode(mesh.body, &msg) != DZ_OK)
        return;
    log_debug("coord.send", "msg=%s node=%016" PRIx64 " seq=%" PRIu64 " epoch=%" PRIu64,
              dz_msg_name(msg.id), node, mesh.seq, mesh.epoch_n);
    bool is_plan = msg.id == DZ_MSG_mesh_assign && msg.as.mesh_assign.grants.count > 0;
    bool is_steal = msg.id == DZ_MSG_mesh_revoke;
    if (!is_plan && !is_steal)
        return;
    if (is_plan && dz_log_wants(DZ_LOG_DEBUG))
        log_assigned(node, &msg.as.mesh_assign);
    char line[LINE_LEN], of[NODE_LEN] = "";
    uint64_t count = is_plan ? msg.as.mesh_assign.grants.count : msg.as.mesh_revoke.count;
    if (self->nodes > 1)
        (void) snprintf(of, sizeof(of), " of node %016" PRIx64, node);
    if (is_steal)
        (void) snprintf(line, sizeof(line), "steal: ask for %" PRIu64 " test%s of jw%" PRIu64 "%s",
                        count, count == 1 ? "" : "s", msg.as.mesh_revoke.slot, of);
    else
        (void) snprintf(line, sizeof(line), "plan: %" PRIu64 " test%s to jw%" PRIu64 "%s", count,
                        count == 1 ? "" : "s", msg.as.mesh_assign.slot, of);
    self->host.line(self->host.arg, dz_str(line));
}

static void
send_to(struct coordinator *self, const struct coord_effect *effect)
{
    log_sent(self, effect->as.send.node, effect->as.send.frame);
    self->host.send(self->host.arg, effect->as.send.node, effect->as.send.inc,
                    effect->as.send.frame); /* best effort: the core says it again */
}

static void
add_tests(struct coordinator *self, const struct coord_effect *effect)
{
    struct dz_err err;
    if (self->host.tests(self->host.arg, effect->as.tests.first, effect->as.tests.ids,
                         effect->as.tests.count, &err) != DZ_OK)
        self->host.note(self->host.arg, 2, dz_str(err.text));
}

static void
keep_batch(struct coordinator *self, const struct coord_effect *effect)
{
    size_t count = effect->as.count.count;
    struct batch *batch = dz_realloc(NULL, 1, sizeof(*batch) + count * sizeof(batch->rows[0]));
    *batch = (struct batch){ .number = effect->as.count.batch, .count = count };
    memcpy(batch->rows, effect->as.count.records, count * sizeof(batch->rows[0]));
    if (self->last)
        self->last->next = batch;
    else
        self->first = batch;
    self->last = batch;
}

static void
apply(struct coordinator *self, const struct coord_effect *effect)
{
    switch (effect->kind) {
    case COORD_FX_SEND: send_to(self, effect); return;
    case COORD_FX_PERSIST:
        self->has_to_persist = true;
        self->persist_n = effect->as.persist.n;
        return;
    case COORD_FX_COUNT: keep_batch(self, effect); return;
    case COORD_FX_SEAL:
        self->has_to_seal = true;
        self->account = effect->as.seal;
        return;
    case COORD_FX_DONE:
        self->is_over = true;
        log_debug("coord.over", "state=%s", coord_state_text(self->core));
        return;
    case COORD_FX_DEPOSED:
        self->is_over = self->is_deposed = true;
        self->greater = effect->as.deposed;
        log_debug("coord.over", "state=%s", coord_state_text(self->core));
        return;
    case COORD_FX_NOTE:
        self->host.note(self->host.arg, effect->as.note.severity, effect->as.note.text);
        return;
    case COORD_FX_RETELL: self->has_to_retell = true; return;
    case COORD_FX_TESTS: add_tests(self, effect); return;
    case COORD_FX_NODE:
        log_debug("coord.node", "node=%016" PRIx64 " word=%s why=%s", effect->as.node.node,
                  effect->as.node.word, effect->as.node.why);
        self->host.node(self->host.arg, effect);
        return;
    }
}

/* ------------------------------------------------------------------ answers */

static void
persist(struct coordinator *self)
{
    self->has_to_persist = false;
    self->host.persist(self->host.arg, self->persist_n);
    step(self, &(struct coord_event){ .kind = COORD_EV_PERSISTED });
}

/* rows: that the ledger holds by now. */
static void
note_unstored(struct coordinator *self, uint64_t number, uint64_t rows)
{
    if (self->unstored_first > 0 && self->unstored_first == self->unstored_count)
        self->unstored_first = self->unstored_count = 0;
    if (self->unstored_count == self->unstored_cap) {
        self->unstored_cap = self->unstored_cap ? 2 * self->unstored_cap : 64;
        self->unstored = dz_realloc(self->unstored, self->unstored_cap, sizeof(*self->unstored));
    }
    self->unstored[self->unstored_count++] = (struct unstored){ number, rows };
}

static size_t
rows_waiting(const struct coordinator *self)
{
    size_t count = 0;
    for (const struct batch *batch = self->first; batch; batch = batch->next)
        count += batch->count;
    return count;
}

static void
tell_counted(struct coordinator *self, const struct coord_answer *answers, uint64_t rows)
{
    struct batch *batch = self->first;
    self->first = batch->next;
    if (!self->first)
        self->last = NULL;
    if (self->host.rows)
        note_unstored(self, batch->number, rows);
    struct coord_event event = {
        .kind = COORD_EV_COUNTED,
        .as.counted = { .batch = batch->number, .answers = answers },
    };
    step(self, &event);
    free(batch);
}

/* All that wait, in one transaction. */
static void
write_rows(struct coordinator *self)
{
    size_t count = rows_waiting(self), at = 0;
    DZ_AUTO(dz_free) struct coord_record *rows = dz_alloc0(count + 1, sizeof(*rows));
    DZ_AUTO(dz_free) struct coord_answer *answers = dz_alloc0(count + 1, sizeof(*answers));
    for (const struct batch *batch = self->first; batch; batch = batch->next) {
        if (batch->count > 0)
            memcpy(rows + at, batch->rows, batch->count * sizeof(*rows));
        at += batch->count;
    }
    struct dz_err err;
    dz_us began = dz_clock_us();
    enum dz_rc rc = self->host.count(self->host.arg, rows, count, answers, &err);
    dz_us now = dz_clock_us(), took = now - began;
    self->rests_until = now + (took < REST_MAX_US ? took : REST_MAX_US);
    if (rc != DZ_OK) {
        log_warn("coord.ledger_refuses", "rows=%zu why=%s", count, err.text);
        dz_loop_set(self->loop, &self->write, now + RETRY_US);
        return;
    }
    uint64_t held = self->host.rows ? self->host.rows(self->host.arg) : 0;
    for (at = 0; at < count && !self->is_over;) {
        size_t len = self->first->count;
        tell_counted(self, answers + at, held);
        at += len;
    }
}

static void
tell_rows(struct coordinator *self, const struct coord_row *rows, size_t count)
{
    struct coord_event event = { .kind = COORD_EV_LEDGER, .as.ledger = { rows, count } };
    if (count > 0)
        step(self, &event);
}

/* The ledger's word goes: a scheduler that was at work beside this one has counted as well. */
static enum dz_rc
take_rows(struct coordinator *self, struct dz_err *err)
{
    struct coord_row *rows = NULL;
    size_t count = 0;
    enum dz_rc rc = self->host.reread(self->host.arg, &rows, &count, err);
    if (rc == DZ_OK)
        tell_rows(self, rows, count);
    free(rows);
    return rc;
}

static void
seal(struct coordinator *self)
{
    self->has_to_seal = false;
    struct coord_closed closed = { 0 };
    struct dz_err err;
    enum dz_rc rc = self->host.seal(self->host.arg, &self->account, &closed, &err);
    bool is_agreed = closed.count == self->account.counted && closed.digest == self->account.digest;
    if (rc == DZ_OK && !is_agreed)
        rc = take_rows(self, &err);
    if (rc != DZ_OK)
        self->host.note(self->host.arg, 2, dz_str(err.text));
    struct coord_event event = { .kind = COORD_EV_SEALED,
                                 .as.sealed = { .count = closed.count,
                                                .digest = closed.digest,
                                                .is_stored = closed.is_stored } };
    step(self, &event);
}

static void
tell_manifest(struct coordinator *self)
{
    struct coord_event event = {
        .kind = COORD_EV_MANIFEST,
        .as.manifest = { .tests = self->tests,
                         .count = self->test_count,
                         .digest = self->digest,
                         .nodes = self->nodes },
    };
    step(self, &event);
}

static void
retell(struct coordinator *self)
{
    self->has_to_retell = false;
    tell_manifest(self);
}

/* Effects may ask for things whose answers have effects; this ends because each answer is given
 * once. */
static void
answer(struct coordinator *self)
{
    while (!self->is_over) {
        if (self->has_to_persist)
            persist(self);
        else if (self->has_to_seal && !self->first && !self->is_closed)
            seal(self);
        else if (self->has_to_retell)
            retell(self);
        else
            break;
    }
    if (!self->first || self->is_over || self->is_closed || self->write.is_listed)
        return;
    dz_us now = dz_clock_us(); /* when this turn's events are through */
    dz_loop_set(self->loop, &self->write, now > self->rests_until ? now : self->rests_until);
}

static void
step(struct coordinator *self, const struct coord_event *event)
{
    struct coord_effects effects = { 0 };
    coord_step(self->core, event, dz_clock_us(), &effects);
    for (size_t i = 0; i < effects.count; i++)
        apply(self, &effects.items[i]);
}

static void
arm(struct coordinator *self)
{
    dz_us at = self->is_over ? INT64_MAX : coord_next(self->core);
    if (at == INT64_MAX)
        dz_loop_unset(self->loop, &self->timer);
    else
        dz_loop_set(self->loop, &self->timer, at > 0 ? at : 1);
}

/* The host hears of its end when all else is done: it destroys what is calling it only later. */
static void
settle(struct coordinator *self)
{
    answer(self);
    arm(self);
    if (!self->is_deposed)
        return;
    self->is_deposed = false;
    self->host.deposed(self->host.arg, self->greater);
}

static void
give(struct coordinator *self, const struct coord_event *event)
{
    if (self->is_over)
        return;
    step(self, event);
    settle(self);
}

/* ------------------------------------------------------------------ events */

void
coordinator_receive(struct coordinator *self, struct dz_slice frame)
{
    give(self, &(struct coord_event){ .kind = COORD_EV_MESSAGE, .as.message = frame });
}

void
coordinator_gone(struct coordinator *self, uint64_t node, uint64_t inc)
{
    give(self,
         &(struct coord_event){ .kind = COORD_EV_GONE, .as.gone = { .node = node, .inc = inc } });
}

void
coordinator_outrank(struct coordinator *self, struct dz_epoch epoch)
{
    give(self, &(struct coord_event){ .kind = COORD_EV_OUTRANKED, .as.outranked = epoch });
}

void
coordinator_stored(struct coordinator *self, uint64_t rows)
{
    uint64_t number = 0;
    while (self->unstored_first < self->unstored_count &&
           self->unstored[self->unstored_first].rows <= rows)
        number = self->unstored[self->unstored_first++].number;
    if (number > 0)
        give(self, &(struct coord_event){ .kind = COORD_EV_STORED, .as.stored.batch = number });
}

static void
on_time(void *arg)
{
    struct coordinator *self = arg;
    bool is_behind = dz_loop_is_behind(self->loop);
    give(self, &(struct coord_event){ .kind = COORD_EV_TICK, .as.tick.is_behind = is_behind });
}

static void
on_write(void *arg)
{
    struct coordinator *self = arg;
    if (self->first && !self->is_over && !self->is_closed)
        write_rows(self);
    settle(self);
}

void
coordinator_close_ledger(struct coordinator *self)
{
    on_write(self);
    self->is_closed = true;
}

void
coordinator_start(struct coordinator *self, uint64_t seen_n)
{
    give(self, &(struct coord_event){ .kind = COORD_EV_START, .as.start.seen_n = seen_n });
}

void
coordinator_manifest(struct coordinator *self, const struct coordinator_tests *tests)
{
    if (self->is_over)
        return;
    self->tests = tests->tests;
    self->test_count = tests->count;
    self->digest = tests->digest;
    self->nodes = tests->nodes;
    tell_manifest(self);
    if (tests->other_count > 0) {
        struct coord_event others = { .kind = COORD_EV_TESTS,
                                      .as.tests = { .ids = tests->others,
                                                    .count = tests->other_count } };
        tell_manifest(self); /* with it in hand, others can be compared */
        step(self, &others);
    }
    tell_rows(self, tests->rows, tests->row_count);
    settle(self);
}

void
coordinator_progress(const struct coordinator *self, struct coord_progress *out)
{
    coord_progress(self->core, out);
}

/* ------------------------------------------------------------------ life */

struct coordinator *
coordinator_new(struct dz_loop *loop, const struct coord_cfg *cfg,
                const struct coordinator_host *host)
{
    struct coordinator *self = dz_alloc0(1, sizeof(*self));
    self->loop = loop;
    self->host = *host;
    self->timer = (struct dz_timer){ .fn = on_time, .arg = self };
    self->write = (struct dz_timer){ .fn = on_write, .arg = self };
    self->core = coord_new(cfg);
    return self;
}

void
coordinator_destroy(struct coordinator **self_p)
{
    struct coordinator *self = dz_move(*self_p);
    if (!self)
        return;
    dz_loop_unset(self->loop, &self->timer);
    dz_loop_unset(self->loop, &self->write);
    while (self->first) {
        struct batch *batch = self->first;
        self->first = batch->next;
        free(batch);
    }
    coord_destroy(&self->core);
    free(self->unstored);
    free(self);
}
