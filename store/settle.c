/* settle.c - is a job of shares complete, and what is its account?
 *
 * Settling reads all that is known and writes the whole account anew, so that it may be done as often
 * as something has come, in any order.  Whether tests are missing is asked of the ledger and of the
 * list that grew from all senders' lists: a test that a slot left is excused by that slot alone, so a
 * test that no slot of its share has collected is missed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/wire/meeting.h"
#include "store/shards.h"

enum { BEFORE_MAX = 16 /* generations that are looked back through */ };

static const char *const SUMS[] = { "redundant", "lost", "nodes", "sealed_workers" };
enum { SUM_REDUNDANT, SUM_LOST, SUM_NODES, SUM_WORKERS };

struct settling {
    struct dz_kv_txn *txn;
    struct store_job *job;
    json_t *head, *led; /* borrowed; led: what the scheduler said, NULL: there was none */
    uint32_t total, there;
    int64_t *left;    /* owned, for each share: tests that its slot did not run */
    int64_t *told;    /* likewise: results that its slot has counted */
    int64_t *missing; /* likewise: tests without a result */
    bool *is_there;   /* likewise: its slot has told all */
    int64_t sums[DZ_LEN(SUMS)];
    int64_t deselected; /* by each of them the same, but for lists that differ */
    int64_t end_us;
    int exit_code; /* -1: nobody has ended */
    const char *reason;
    json_t *reasons; /* owned: keeps that text */
    uint32_t as_before;
    bool is_wrong;
    struct store_ledger ledger;
};

static void
settling_fini(struct settling *self)
{
    free(self->left);
    free(self->told);
    free(self->missing);
    free(self->is_there);
    json_decref(self->reasons);
}

/* ------------------------------------------------------------------ what was told */

/* No tests in one share are none of the job's; else the worst of them, a failure before an end. */
static int
worse(int a, int b)
{
    if (a < 0 || b < 0)
        return a < 0 ? b : a;
    if (a == b)
        return a;
    bool is_a_nothing = a == 0 || a == 5, is_b_nothing = b == 0 || b == 5;
    if (is_a_nothing && is_b_nothing)
        return 0;
    if (is_a_nothing || is_b_nothing)
        return is_a_nothing ? b : a;
    return a > b ? a : b;
}

static void
add_seal(struct settling *self, const json_t *seal)
{
    for (size_t i = 0; i < DZ_LEN(SUMS); i++)
        self->sums[i] += head_number(seal, SUMS[i]);
    if (head_number(seal, "deselected") > self->deselected)
        self->deselected = head_number(seal, "deselected");
    self->exit_code = worse(self->exit_code, (int) head_number(seal, "exit_code"));
    if (head_number(seal, "end_us") > self->end_us)
        self->end_us = head_number(seal, "end_us");
    const char *reason = head_text(seal, "reason");
    if (*reason && !*self->reason) {
        self->reasons = json_text(reason);
        self->reason = json_string_value(self->reasons);
    }
}

/* Of a slot that came several times the newest that ended.  One that was taken away with tests to do
 * is as if it were still to come. */
static void
take_share(struct settling *self, uint32_t index, const json_t *seal)
{
    if (!seal || index >= self->total)
        return;
    int64_t left = head_number(seal, "not_run");
    add_seal(self, seal);
    self->told[index] = head_number(seal, "counted");
    if (left > 0 && !shard_end_is_verdict(seal))
        return;
    self->is_there[index] = true;
    self->there++;
    self->left[index] = left;
}

static enum dz_rc
read_shares(struct settling *self, struct dz_err *err)
{
    DZ_AUTO(shard_walk_fini) struct shard_walk walk;
    DZ_AUTO(head_release) json_t *newest = NULL;
    uint32_t index = 0;
    int64_t newest_us = INT64_MIN;
    shard_walk_init(&walk, self->txn, self->job->ulid);
    while (shard_walk_next(&walk)) {
        const struct shard_come *come = &walk.come;
        if (come->start_us > 0 && come->start_us < head_number(self->head, "start_us"))
            (void) json_object_set_new(self->head, "start_us", json_integer(come->start_us));
        if (come->index != index) {
            take_share(self, index, newest);
            head_release(&newest);
            newest_us = INT64_MIN;
            index = come->index;
        }
        if (!come->has_ended || come->start_us < newest_us)
            continue;
        head_release(&newest);
        newest = json_incref(json_object_get(come->note, "seal"));
        newest_us = come->start_us;
    }
    take_share(self, index, newest);
    return dz_kv_iter_rc(&walk.it, err);
}

/* ------------------------------------------------------------------ the generation before */

struct before {
    struct manifest list;
    struct ledger ledger;
    uint32_t sorted;
    char previous[DZ_ULID_LEN + 1];
};

static void
before_fini(struct before *self)
{
    manifest_fini(&self->list);
    ledger_fini(&self->ledger);
}

static enum dz_rc
read_before(struct settling *self, const char *ulid, struct before *out, struct dz_err *err)
{
    DZ_AUTO(head_release) json_t *head = NULL;
    enum dz_rc rc = head_read(self->txn, ulid, &head, err);
    if (rc == DZ_OK)
        rc = manifest_read(self->job->store, self->txn, head_text(head, "manifest"), &out->list,
                           err);
    if (rc != DZ_OK)
        return rc;
    out->sorted = manifest_sorted(head, out->list.count);
    ledger_init(&out->ledger, out->list.count);
    struct follower follower = { .store = self->job->store, .ledger = &out->ledger };
    memcpy(out->previous, head_text(head, "previous"),
           strlen(head_text(head, "previous")) == DZ_ULID_LEN ? DZ_ULID_LEN : 0);
    return results_follow(self->txn, ulid, &follower, err);
}

static enum dz_result
verdict_before(const struct before *before, struct dz_slice id)
{
    uint32_t test = manifest_find_id(&before->list, before->sorted, id);
    for (uint32_t i = before->sorted; test == STORE_NO_TEST && i < before->list.count; i++)
        if (dz_slice_eq(manifest_id(&before->list, i), id))
            test = i;
    return test == STORE_NO_TEST ? DZ_RESULT_NONE : ledger_verdict(&before->ledger, test);
}

/* Tests of shares that did not come again, and that did not fail: is_before[test] is set. */
static enum dz_rc
look_back(struct settling *self, const struct manifest *list, uint8_t *is_before,
          struct dz_err *err)
{
    char ulid[DZ_ULID_LEN + 1];
    (void) snprintf(ulid, sizeof(ulid), "%s", head_text(self->head, "previous"));
    for (unsigned i = 0; i < BEFORE_MAX && *ulid; i++) {
        struct before before = { .previous = "" };
        enum dz_rc rc = read_before(self, ulid, &before, err);
        for (uint32_t test = 0; rc == DZ_OK && test < list->count; test++) {
            if (is_before[test] || ledger_verdict(&self->job->ledger, test) != DZ_RESULT_NONE)
                continue;
            enum dz_result verdict = verdict_before(&before, manifest_id(list, test));
            is_before[test] = verdict == DZ_RESULT_NONE ? 0 : dz_result_is_bad(verdict) ? 2 : 1;
        }
        memcpy(ulid, before.previous, sizeof(ulid));
        before_fini(&before);
        if (rc == DZ_ABSENT)
            return DZ_OK; /* it was removed since */
        if (rc != DZ_OK)
            return rc;
    }
    return DZ_OK;
}

/* ------------------------------------------------------------------ what is missing */

static void
count_test(struct settling *self, uint32_t test, bool is_before)
{
    const struct ledger *ledger = &self->job->ledger;
    uint32_t share = dz_shard_of_hash(self->job->hashes[test], self->total);
    uint32_t rows = 0;
    for (uint32_t i = 0; i < STORE_ATTEMPTS; i++)
        rows += ledger->results[test * (size_t) STORE_ATTEMPTS + i] != DZ_RESULT_NONE;
    self->told[share] -= rows;
    if (rows == 0 && is_before)
        self->as_before++;
    else if (rows == 0)
        self->missing[share]++;
}

static enum dz_rc
count_tests(struct settling *self, struct dz_err *err)
{
    struct store_job *job = self->job;
    DZ_AUTO(manifest_fini) struct manifest list = { 0 };
    DZ_AUTO(dz_free) uint8_t *is_before = dz_alloc0((size_t) job->test_count + 1, 1);
    enum dz_rc rc = DZ_OK;
    if (*head_text(self->head, "previous")) {
        rc = manifest_read(job->store, self->txn, head_text(self->head, "manifest"), &list, err);
        if (rc == DZ_OK && list.count == job->test_count)
            rc = look_back(self, &list, is_before, err);
    }
    for (uint32_t i = 0; rc == DZ_OK && i < job->test_count; i++)
        count_test(self, i, is_before[i] == 1);
    return rc;
}

/* Tests that nobody has an excuse for. */
static int64_t
missed(struct settling *self)
{
    int64_t all = 0, led_left = self->led ? head_number(self->led, "not_run") : 0;
    for (uint32_t i = 0; i < self->total; i++) {
        int64_t excused = self->is_there[i] ? self->left[i] : 0;
        all += self->missing[i] > excused ? self->missing[i] - excused : 0;
        self->is_wrong |= self->told[i] > 0; /* more than the ledger has of it */
    }
    return all > led_left ? all - led_left : 0;
}

static bool
is_complete(struct settling *self)
{
    int64_t misses = missed(self);
    if (misses > 0 || self->exit_code < 0)
        return false;
    return self->led || self->there == self->total || self->as_before > 0;
}

/* ------------------------------------------------------------------ the account */

static enum dz_rc
write_account(struct settling *self, struct dz_err *err)
{
    struct store_job *job = self->job;
    json_t *head = self->head, *shards = json_object_get(head, "shards");
    bool is_done = is_complete(self);
    self->is_wrong |= self->led && head_number(self->led, "counted") > self->ledger.counted;
    struct store_seal seal = {
        .collected = job->test_count,
        .deselected = (uint32_t) self->deselected,
        .redundant = (uint32_t) self->sums[SUM_REDUNDANT],
        .not_run = job->test_count - self->ledger.tests_counted - self->as_before,
        .counted = self->ledger.counted,
        .duplicates = ledger_duplicates(&job->ledger),
        .lost = (uint32_t) self->sums[SUM_LOST],
        .nodes = (uint32_t) self->sums[SUM_NODES],
        .workers = (uint32_t) self->sums[SUM_WORKERS],
        .exit_code = self->exit_code,
        .now_us = self->end_us,
        .reason = self->reason,
        .is_witnessed = self->led && head_number(self->led, "is_witnessed"),
    };
    seal_fill(head, &seal, &self->ledger);
    (void) json_object_set_new(head, "is_sealed", json_integer(is_done));
    (void) json_object_set_new(head, "is_ledger_wrong", json_integer(is_done && self->is_wrong));
    (void) json_object_set_new(shards, "there", json_integer(self->there));
    (void) json_object_set_new(shards, "as_before", json_integer(self->as_before));
    job->is_sealed = is_done;
    enum dz_rc rc = DZ_OK;
    if (is_done && !head_number(shards, "has_taught")) {
        rc = seal_learn(self->txn, job, seal.now_us, err);
        (void) json_object_set_new(shards, "has_taught", json_integer(1));
    }
    return rc == DZ_OK ? head_write(self->txn, job->ulid, head, err) : rc;
}

enum dz_rc
shards_settle(struct dz_kv_txn *txn, struct store_job *job, json_t *head, struct dz_err *err)
{
    json_t *shards = json_object_get(head, "shards");
    int64_t total = head_number(shards, "total");
    DZ_AUTO(settling_fini)
    struct settling self = { .txn = txn,
                             .job = job,
                             .head = head,
                             .led = json_object_get(shards, "led"),
                             .total = total > 1 && total <= SHARDS_MAX ? (uint32_t) total : 2,
                             .exit_code = -1,
                             .reason = "" };
    self.left = dz_alloc0(self.total, sizeof(*self.left));
    self.told = dz_alloc0(self.total, sizeof(*self.told));
    self.missing = dz_alloc0(self.total, sizeof(*self.missing));
    self.is_there = dz_alloc0(self.total, sizeof(*self.is_there));
    if (self.led)
        add_seal(&self, self.led);
    enum dz_rc rc = read_shares(&self, err);
    if (rc == DZ_OK)
        rc = count_tests(&self, err);
    if (rc != DZ_OK || (self.there == 0 && !self.led))
        return rc;
    ledger_sum(&job->ledger, &self.ledger);
    return write_account(&self, err);
}

/* ------------------------------------------------------------------ who tells the end */

enum dz_rc
shards_settle_led(struct dz_kv_txn *txn, struct store_job *job, json_t *head,
                  const struct store_seal *seal, struct dz_err *err)
{
    json_t *shards = json_object_get(head, "shards");
    if (seal->is_witnessed && json_object_get(shards, "led"))
        return DZ_OK; /* it is known better, or as well */
    (void) json_object_set_new(shards, "led", seal_text(seal));
    job->is_witnessed = seal->is_witnessed;
    return shards_settle(txn, job, head, err);
}

struct sealing {
    struct store_job *job;
    const struct shard *shard;
    const struct store_seal *seal;
    bool is_sealed;
};

static enum dz_rc
seal_share(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    const struct sealing *self = arg;
    struct store_job *job = self->job;
    DZ_AUTO(shard_come_fini) struct shard_come come = { .note = NULL };
    DZ_AUTO(head_release) json_t *head = NULL;
    enum dz_rc rc = job_catch_up(job, txn, &head, err);
    if (rc != DZ_OK)
        return rc;
    rc = shard_get(txn, job->ulid, self->shard, &come, err);
    if (rc == DZ_OK && come.has_ended)
        return DZ_OK; /* said before */
    if (rc == DZ_OK) {
        (void) json_object_set_new(come.note, "seal", seal_text(self->seal));
        rc = shard_put(txn, job->ulid, &come, err);
    }
    return rc == DZ_OK || rc == DZ_ABSENT ? shards_settle(txn, job, head, err) : rc;
}

enum dz_rc
shard_seal(struct store_job *job, const struct shard *shard, const struct store_seal *seal,
           struct dz_err *err)
{
    struct sealing work = { .job = job, .shard = shard, .seal = seal };
    return dz_kv_write(job->store->kv, seal_share, &work, err);
}

static enum dz_rc
look(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct sealing *self = arg;
    DZ_AUTO(head_release) json_t *head = NULL;
    if (!self->shard) {
        enum dz_rc rc = head_read(txn, self->job->ulid, &head, err);
        const json_t *led = json_object_get(json_object_get(head, "shards"), "led");
        self->is_sealed = led && !head_number(led, "is_witnessed");
        return rc;
    }
    DZ_AUTO(shard_come_fini) struct shard_come come = { .note = NULL };
    enum dz_rc rc = shard_get(txn, self->job->ulid, self->shard, &come, err);
    self->is_sealed = rc == DZ_OK && come.has_ended;
    return rc == DZ_ABSENT ? DZ_OK : rc;
}

enum dz_rc
shard_is_sealed(struct store_job *job, const struct shard *shard, bool *out, struct dz_err *err)
{
    struct sealing work = { .job = job, .shard = shard };
    enum dz_rc rc = dz_kv_read(job->store->kv, look, &work, err);
    if (rc == DZ_OK)
        *out = work.is_sealed;
    return rc;
}
