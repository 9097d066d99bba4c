/* union.c - a job's list of tests grows: nodes of one job may have collected different ones.
 *
 * A test keeps its number for ever.  The list begins with the tests of who came first, sorted;
 * those that only others have are behind them, in the order in which they were brought.  The grown
 * list is a list of its own, named by what is in it like any other, so that whoever reads the job
 * reads one list; the head says how much of it is sorted.  Who has other numbers (its own places)
 * is told the job's. */
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/map.h"
#include "store/job.h"

struct growing {
    struct store_job *job;
    const struct dz_slice *ids;
    uint32_t count;
    uint32_t *numbers; /* borrowed; out */
    struct manifest before;
    uint32_t sorted;
    struct dz_dict tail; /* number + 1 of the unsorted ones, new ones too */
    uint32_t *news;      /* owned; which of ids are new */
    uint32_t news_count;
};

static void
growing_fini(struct growing *self)
{
    manifest_fini(&self->before);
    dz_dict_fini(&self->tail);
    free(self->news);
    self->news = NULL;
    self->news_count = 0;
}

static void *
as_place(uint32_t number)
{
    return (void *) (uintptr_t) (number + 1);
}

static void
number_one(struct growing *self, uint32_t i)
{
    uint32_t found = manifest_find_id(&self->before, self->sorted, self->ids[i]);
    void *place = found == STORE_NO_TEST ? dz_dict_get(&self->tail, self->ids[i]) : as_place(found);
    if (!place) {
        place = as_place(self->before.count + self->news_count);
        (void) dz_dict_put(&self->tail, self->ids[i], place);
        self->news[self->news_count++] = i;
    }
    self->numbers[i] = (uint32_t) ((uintptr_t) place - 1);
}

/* The list before is thrown away if no job has it any more: tidying looks. */
static enum dz_rc
leave(struct dz_kv_txn *txn, const char *name, struct dz_err *err)
{
    char note[STORE_ULID_LEN + 1];
    enum dz_rc rc = store_new_ulid(dz_clock_wall_ms() * 1000, note, err);
    return rc == DZ_OK ? dz_kv_put(txn, T_TRASH, dz_str(note), dz_str(name), err) : rc;
}

static enum dz_rc
write_list(struct growing *self, struct dz_kv_txn *txn, json_t *head, struct dz_err *err)
{
    uint32_t count = self->before.count + self->news_count;
    char name[MANIFEST_NAME_LEN];
    if (count > STORE_TESTS_MAX)
        return dz_fail(err, DZ_LIMIT, "%u tests; the limit is %u", count, STORE_TESTS_MAX);
    DZ_AUTO(dz_free) struct dz_slice *all = dz_alloc0((size_t) count + 1, sizeof(*all));
    for (uint32_t i = 0; i < self->before.count; i++)
        all[i] = manifest_id(&self->before, i);
    for (uint32_t i = 0; i < self->news_count; i++)
        all[self->before.count + i] = self->ids[self->news[i]];
    enum dz_rc rc = manifest_put(self->job->store, txn, all, count, name, err);
    if (rc == DZ_OK)
        rc = leave(txn, head_text(head, "manifest"), err);
    if (rc != DZ_OK)
        return rc;
    (void) json_object_set_new(head, "manifest", json_string(name));
    (void) json_object_set_new(head, "sorted", json_integer(self->sorted));
    (void) json_object_set_new(head, "collected", json_integer(count));
    rc = head_write(txn, self->job->ulid, head, err);
    return rc == DZ_OK ? job_read_list(self->job, txn, head, err) : rc;
}

static enum dz_rc
grow(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct growing *self = arg;
    DZ_AUTO(head_release) json_t *head = NULL;
    growing_fini(self); /* it may be the second time */
    enum dz_rc rc = head_read(txn, self->job->ulid, &head, err);
    if (rc == DZ_OK)
        rc = job_read_list(self->job, txn, head, err);
    if (rc == DZ_OK)
        rc = manifest_read(self->job->store, txn, head_text(head, "manifest"), &self->before, err);
    if (rc != DZ_OK)
        return rc;
    self->sorted = manifest_sorted(head, self->before.count);
    self->news = dz_alloc0((size_t) self->count + 1, sizeof(*self->news));
    for (uint32_t i = self->sorted; i < self->before.count; i++)
        (void) dz_dict_put(&self->tail, manifest_id(&self->before, i), as_place(i));
    for (uint32_t i = 0; i < self->count; i++)
        number_one(self, i);
    return self->news_count > 0 ? write_list(self, txn, head, err) : DZ_OK;
}

static int
by_bytes(const void *a_, const void *b_)
{
    const struct dz_slice *a = a_, *b = b_;
    return dz_slice_cmp(*a, *b);
}

/* The first who come: sorted, and each once. */
static enum dz_rc
begin_list(struct store_job *self, const struct dz_slice *ids, uint32_t count, struct dz_err *err)
{
    DZ_AUTO(dz_free) struct dz_slice *sorted = dz_alloc0((size_t) count + 1, sizeof(*sorted));
    uint32_t kept = 0;
    if (count > 0)
        memcpy(sorted, ids, count * sizeof(*ids));
    qsort(sorted, count, sizeof(*sorted), by_bytes);
    for (uint32_t i = 0; i < count; i++)
        if (i == 0 || by_bytes(&sorted[i], &sorted[i - 1]) != 0)
            sorted[kept++] = sorted[i];
    enum dz_rc rc = store_job_put_manifest(self, sorted, kept, err);
    return rc == DZ_EXISTS ? DZ_OK : rc; /* another process was faster */
}

enum dz_rc
store_job_add_tests(struct store_job *self, const struct dz_slice *ids, uint32_t count,
                    uint32_t *numbers_out, struct dz_err *err)
{
    struct growing work = { .job = self, .ids = ids, .count = count, .numbers = numbers_out };
    enum dz_rc rc = self->has_manifest ? DZ_OK : begin_list(self, ids, count, err);
    if (rc == DZ_OK)
        rc = dz_kv_write(self->store->kv, grow, &work, err);
    growing_fini(&work);
    return rc;
}
