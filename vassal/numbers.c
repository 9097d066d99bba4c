/* numbers.c - a test's number on this node, and in the store.
 *
 * The scheduler numbers tests by its own list, then those that others brought; the store by the
 * list of who came first, then those that came later.  Mostly that is the same.  Where it is not,
 * what goes into the store and what comes from there is translated here. */
#include <stdlib.h>
#include <string.h>

#include "vassal/host.h"

void
host_numbers_fini(struct host_numbers *self)
{
    free(self->to_store);
    free(self->from_store);
    *self = (struct host_numbers){ 0 };
}

/* ------------------------------------------------------------------ tables */

static void
grow(struct host_numbers *self, uint32_t count)
{
    if (count <= self->cap)
        return;
    uint32_t twice = self->cap < UINT32_MAX / 2 ? 2 * self->cap : count;
    self->cap = twice > count ? twice : count;
    self->to_store = dz_realloc(self->to_store, self->cap, sizeof(*self->to_store));
}

/* From here on numbers differ, or may. */
static void
spell_out(struct host_numbers *self)
{
    if (!self->is_same)
        return;
    grow(self, self->count + 1);
    for (uint32_t i = 0; i < self->count; i++)
        self->to_store[i] = i;
    self->is_same = false;
}

static void
invert(struct host_numbers *self)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < self->count; i++)
        count = self->to_store[i] >= count ? self->to_store[i] + 1 : count;
    self->from_store = dz_realloc(self->from_store, (size_t) count + 1, sizeof(uint32_t));
    memset(self->from_store, 0xff, ((size_t) count + 1) * sizeof(uint32_t));
    for (uint32_t i = 0; i < self->count; i++)
        self->from_store[self->to_store[i]] = i;
    self->from_count = count;
}

static enum dz_rc
add(struct host *self, const struct dz_slice *ids, uint32_t count, struct dz_err *err)
{
    struct host_numbers *numbers = &self->numbers;
    spell_out(numbers);
    grow(numbers, numbers->count + count + 1);
    enum dz_rc rc =
        store_job_add_tests(self->job, ids, count, numbers->to_store + numbers->count, err);
    if (rc != DZ_OK)
        return rc;
    numbers->count += count;
    invert(numbers);
    return DZ_OK;
}

/* ------------------------------------------------------------------ this node's own tests */

/* The job's list takes in what it lacks.  Nodes that agree pay with one digest. */
static enum dz_rc
learn(struct host *self, struct dz_err *err)
{
    struct host_numbers *numbers = &self->numbers;
    const struct catalog *own = self->manifest;
    host_numbers_fini(numbers);
    numbers->is_same = true;
    if (self->memory.counted) { /* the store takes nothing any more */
        numbers->count = own->count;
        numbers->is_known = true;
        return DZ_OK;
    }
    DZ_AUTO(dz_free) struct dz_slice *ids = catalog_ids(own);
    enum dz_rc rc = store_job_put_manifest(self->job, ids, own->count, err);
    if (rc == DZ_EXISTS)
        rc = add(self, ids, own->count, err);
    else
        numbers->count = own->count;
    numbers->is_known = rc == DZ_OK;
    return rc;
}

/* ------------------------------------------------------------------ the job's others */

struct gathering {
    struct host *host;
    struct host_rest *rest;
};

static void
take_rest(void *arg, uint32_t number, struct dz_slice id)
{
    struct gathering *self = arg;
    struct host_rest *rest = self->rest;
    if (host_test_of(self->host, number) != STORE_NO_TEST)
        return;
    if (rest->count == rest->cap) {
        rest->cap = rest->cap ? 2 * rest->cap : 64;
        rest->ids = dz_realloc(rest->ids, rest->cap, sizeof(*rest->ids));
        rest->numbers = dz_realloc(rest->numbers, rest->cap, sizeof(*rest->numbers));
    }
    rest->ids[rest->count] = dz_arena_copy(&rest->text, id);
    rest->numbers[rest->count++] = number;
}

void
host_rest_fini(struct host_rest *self)
{
    free(self->ids);
    free(self->numbers);
    dz_arena_fini(&self->text);
    *self = (struct host_rest){ .count = 0 };
}

enum dz_rc
host_learn_tests(struct host *self, struct host_rest *out, struct dz_err *err)
{
    struct gathering gathering = { .host = self, .rest = out };
    struct host_numbers *numbers = &self->numbers;
    enum dz_rc rc = learn(self, err);
    if (rc != DZ_OK || numbers->is_same)
        return rc;
    rc = store_job_each_test(self->job, take_rest, &gathering, err);
    if (rc != DZ_OK)
        return rc;
    grow(numbers, numbers->count + out->count + 1);
    if (out->count > 0)
        memcpy(numbers->to_store + numbers->count, out->numbers,
               out->count * sizeof(*out->numbers));
    numbers->count += out->count;
    invert(numbers);
    return DZ_OK;
}

enum dz_rc
host_bring_tests(struct host *self, const struct dz_slice *ids, uint32_t count, struct dz_err *err)
{
    return add(self, ids, count, err);
}

/* ------------------------------------------------------------------ numbers */

uint32_t
host_number(struct host *self, uint32_t test)
{
    struct dz_err unused;
    struct host_numbers *numbers = &self->numbers;
    if (test == STORE_NO_TEST)
        return test;
    if (!numbers->is_known && (!self->manifest || !self->job || learn(self, &unused) != DZ_OK))
        return STORE_NO_TEST;
    if (test >= numbers->count)
        return STORE_NO_TEST;
    return numbers->is_same ? test : numbers->to_store[test];
}

uint32_t
host_test_of(const struct host *self, uint32_t number)
{
    const struct host_numbers *numbers = &self->numbers;
    if (numbers->is_same)
        return number < numbers->count ? number : STORE_NO_TEST;
    bool is_known = number < numbers->from_count && numbers->from_store[number] != UINT32_MAX;
    return is_known ? numbers->from_store[number] : STORE_NO_TEST;
}

/* ------------------------------------------------------------------ the account */

struct sum {
    const struct host *host;
    uint64_t counted, digest;
};

static void
count_row(void *arg, const struct store_result *row)
{
    struct sum *self = arg;
    uint32_t test = host_test_of(self->host, row->test);
    if (row->word != DZ_WORD_COUNTED || test == STORE_NO_TEST)
        return;
    self->counted++;
    self->digest += dz_ledger_mix(test, row->attempt, (uint32_t) row->result);
}

enum dz_rc
host_account(struct host *self, uint64_t *counted_out, uint64_t *digest_out, struct dz_err *err)
{
    struct store_ledger ledger = { 0 };
    struct sum sum = { .host = self };
    enum dz_rc rc = store_job_ledger(self->job, &ledger, err);
    *counted_out = ledger.counted;
    *digest_out = ledger.digest;
    if (rc != DZ_OK || self->numbers.is_same)
        return rc;
    rc = store_job_each_row(self->job, count_row, &sum, err);
    *counted_out = sum.counted;
    *digest_out = sum.digest;
    return rc;
}
