/* numbers.c - whose number of a test is which. */
#include "store/numbers.h"

#include <stdlib.h>
#include <string.h>

void
numbers_fini(struct numbers_cache *self)
{
    for (size_t i = 0; i < NUMBERS_LISTS_MAX; i++)
        free(self->lists[i].map);
    *self = (struct numbers_cache){ .next = 0 };
}

struct numbers_cache *
numbers_new(void)
{
    return dz_alloc0(1, sizeof(struct numbers_cache));
}

void
numbers_destroy(struct numbers_cache **self_p)
{
    struct numbers_cache *self = dz_move(*self_p);
    if (!self)
        return;
    numbers_fini(self);
    free(self);
}

static struct numbers *
find(struct numbers_cache *self, const char *name)
{
    for (size_t i = 0; i < NUMBERS_LISTS_MAX; i++)
        if (strcmp(self->lists[i].name, name) == 0)
            return &self->lists[i];
    return NULL;
}

/* ---- a list that the store has already ---- */

struct reading {
    struct store_job *job;
    const char *name;
    struct manifest list;
};

static enum dz_rc
read_list(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct reading *self = arg;
    manifest_fini(&self->list);
    enum dz_rc rc = manifest_find(txn, self->name, err);
    return rc == DZ_OK ? manifest_read(self->job->store, txn, self->name, &self->list, err) : rc;
}

static enum dz_rc
add_ids(struct store_job *job, const struct dz_slice *ids, uint32_t count, struct numbers *out,
        struct dz_err *err)
{
    DZ_AUTO(dz_free) uint32_t *map = dz_alloc0((size_t) count + 1, sizeof(*map));
    enum dz_rc rc = store_job_add_tests(job, ids, count, map, err);
    if (rc != DZ_OK)
        return rc;
    bool is_same = true;
    for (uint32_t i = 0; i < count && is_same; i++)
        is_same = map[i] == i;
    out->count = count;
    out->map = is_same ? NULL : dz_move(map);
    return DZ_OK;
}

static enum dz_rc
learn(struct store_job *job, const struct parcel *parcel, struct numbers *out, struct dz_err *err)
{
    if (parcel->ids)
        return add_ids(job, parcel->ids, parcel->id_count, out, err);
    struct reading reading = { .job = job, .name = parcel->name };
    enum dz_rc rc = dz_kv_read(job->store->kv, read_list, &reading, err);
    if (rc == DZ_OK) {
        DZ_AUTO(dz_free)
        struct dz_slice *ids = dz_alloc0((size_t) reading.list.count + 1, sizeof(*ids));
        for (uint32_t i = 0; i < reading.list.count; i++)
            ids[i] = manifest_id(&reading.list, i);
        rc = add_ids(job, ids, reading.list.count, out, err);
    }
    manifest_fini(&reading.list);
    return rc;
}

enum dz_rc
numbers_of(struct numbers_cache *self, struct store_job *job, const struct parcel *parcel,
           const struct numbers **out, struct dz_err *err)
{
    *out = NULL;
    if (!parcel->name[0])
        return DZ_OK;
    static const struct numbers same;
    struct numbers news = { .map = NULL };
    if (strcmp(job->list, parcel->name) == 0) {
        *out = &same;
        return DZ_OK;
    }
    struct numbers *known = find(self, parcel->name);
    if (!known) {
        enum dz_rc rc = learn(job, parcel, &news, err);
        if (rc != DZ_OK)
            return rc;
        memcpy(news.name, parcel->name, sizeof(news.name));
        known = &self->lists[self->next++ % NUMBERS_LISTS_MAX];
        free(known->map);
        *known = news;
    }
    *out = known;
    return DZ_OK;
}

/* ---- records ---- */

static bool
translate(const struct numbers *self, uint32_t *test)
{
    if (*test >= self->count)
        return false;
    *test = self->map[*test];
    return true;
}

bool
numbers_translate(const struct numbers *self, struct store_batch *batch)
{
    bool is_ok = true;
    if (!self || !self->map)
        return true;
    for (uint32_t i = 0; i < batch->result_count; i++)
        is_ok &= translate(self, &batch->results[i].test);
    for (uint32_t i = 0; i < batch->text_count; i++)
        is_ok &= translate(self, &batch->texts[i].test);
    for (uint32_t i = 0; i < batch->log_count; i++)
        is_ok &= batch->logs[i].test == STORE_NO_TEST || translate(self, &batch->logs[i].test);
    for (uint32_t i = 0; i < batch->span_count; i++)
        is_ok &= batch->spans[i].test == STORE_NO_TEST || translate(self, &batch->spans[i].test);
    return is_ok;
}

void
numbers_sum(const struct numbers *self, const struct ledger *ledger, uint32_t *counted_out,
            uint64_t *digest_out)
{
    *counted_out = ledger->counted;
    *digest_out = ledger->digest;
    if (!self || !self->map)
        return;
    *digest_out = 0;
    for (uint32_t i = 0; i < self->count; i++) {
        const uint8_t *results = &ledger->results[self->map[i] * (size_t) STORE_ATTEMPTS];
        for (uint32_t attempt = 0; attempt < STORE_ATTEMPTS && self->map[i] < ledger->tests;
             attempt++)
            if (results[attempt] != DZ_RESULT_NONE)
                *digest_out += dz_ledger_mix(i, attempt, results[attempt]);
    }
}
