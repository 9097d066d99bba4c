/* carry.c - what an earlier generation of a job has counted, into the ledger of the next.
 *
 * Only tests whose verdict was not bad are taken, with the strikes that led to it, so the verdict
 * stays what it was.  The rows say that nobody of this generation ran them. */
#include <stdlib.h>
#include <string.h>

#include "shared/base/digest.h"
#include "shared/base/map.h"
#include "shared/wire/generation.h"
#include "store/job.h"
#include "store/parcel.h"

struct carrying {
    struct store_job *job;
    char list[PARCEL_NAME_MAX]; /* the earlier one's, as the map is of it */
    uint32_t *map;              /* owned: its numbers to ours; NULL: the same */
    uint32_t map_count;         /* of it; or of the job's tests */
    struct store_result *rows;  /* owned */
    size_t row_count, row_cap;
    uint8_t *counted; /* owned, [test][STORE_ATTEMPTS] */
    bool *has_strike; /* owned, [test] */
};

static void
carrying_fini(struct carrying *self)
{
    free(self->map);
    free(self->rows);
    free(self->counted);
    free(self->has_strike);
}

/* ------------------------------------------------------------------ whose number is which */

static void
map_ids(struct carrying *self, const struct parcel *parcel)
{
    const struct store_job *job = self->job;
    DZ_AUTO(dz_map_fini) struct dz_map numbers = { 0 };
    for (uint32_t i = 0; i < job->test_count; i++)
        (void) dz_map_put(&numbers, job->hashes[i], (void *) ((uintptr_t) i + 1));
    self->map_count = parcel->id_count;
    self->map = dz_alloc0((size_t) parcel->id_count + 1, sizeof(*self->map));
    for (uint32_t i = 0; i < parcel->id_count; i++) {
        void *place = dz_map_get(&numbers, dz_hash64(parcel->ids[i]));
        self->map[i] = place ? (uint32_t) ((uintptr_t) place - 1) : STORE_NO_TEST;
    }
}

static enum dz_rc
learn_list(struct carrying *self, const struct parcel *parcel, struct dz_err *err)
{
    if (strcmp(self->list, parcel->name) == 0)
        return DZ_OK;
    if (self->list[0] == '\0' && strcmp(self->job->list, parcel->name) == 0)
        self->map_count = self->job->test_count;
    else if (self->list[0] == '\0' && parcel->ids)
        map_ids(self, parcel);
    else
        return dz_fail(err, DZ_REFUSED, "its list of tests is not told");
    memcpy(self->list, parcel->name, sizeof(self->list));
    return DZ_OK;
}

/* ------------------------------------------------------------------ rows */

static void
keep(struct carrying *self, struct store_result row)
{
    if (self->row_count == self->row_cap) {
        self->row_cap = self->row_cap ? 2 * self->row_cap : 1024;
        self->rows = dz_realloc(self->rows, self->row_cap, sizeof(*self->rows));
    }
    self->rows[self->row_count++] = row;
}

/* As the ledger did it: the first one counts, and of the others only strikes say something. */
static void
take_row(struct carrying *self, struct store_result row)
{
    if (row.test < self->map_count && self->map)
        row.test = self->map[row.test];
    if (row.test >= self->job->test_count || row.attempt >= STORE_ATTEMPTS)
        return;
    uint8_t *counted = &self->counted[row.test * (size_t) STORE_ATTEMPTS + row.attempt];
    if (row.is_strike)
        self->has_strike[row.test] = true;
    else if (*counted != DZ_RESULT_NONE)
        return;
    else
        *counted = (uint8_t) row.result;
    uint64_t who[3] = { row.node, row.inc, row.exec };
    if (row.node != DZ_NODE_CARRIED)
        row.exec = dz_hash64((struct dz_slice){ (const uint8_t *) who, sizeof(who) });
    row.node = DZ_NODE_CARRIED;
    row.inc = 1;
    row.worker = STORE_EARLIER;
    row.text = (struct dz_slice){ 0 };
    keep(self, row);
}

static enum dz_rc
take_page(struct carrying *self, struct dz_slice bytes, struct dz_err *err)
{
    DZ_AUTO(parcel_fini) struct parcel parcel = { 0 };
    enum dz_rc rc = parcel_open(bytes, &parcel, err);
    if (rc != DZ_OK || parcel.parts[STREAM_RESULTS].count == 0)
        return rc;
    rc = learn_list(self, &parcel, err);
    for (uint32_t i = 0; rc == DZ_OK && i < parcel.parts[STREAM_RESULTS].count; i++)
        take_row(self, parcel.results[i]);
    return rc;
}

/* ------------------------------------------------------------------ what is carried over */

static enum dz_result
verdict(const struct carrying *self, uint32_t test)
{
    enum dz_result attempts[STORE_ATTEMPTS];
    for (unsigned i = 0; i < STORE_ATTEMPTS; i++)
        attempts[i] = (enum dz_result) self->counted[test * (size_t) STORE_ATTEMPTS + i];
    return store_verdict(attempts, STORE_ATTEMPTS, self->has_strike[test]);
}

static bool
is_passed(enum dz_result result)
{
    return result != DZ_RESULT_NONE && !dz_result_is_bad(result);
}

static enum dz_rc
append(struct carrying *self, struct dz_err *err)
{
    size_t count = 0;
    for (size_t i = 0; i < self->row_count; i++)
        if (is_passed(verdict(self, self->rows[i].test)))
            self->rows[count++] = self->rows[i];
    for (size_t at = 0; at < count; at += STORE_BATCH_MAX) {
        size_t left = count - at;
        struct store_batch batch = {
            .results = self->rows + at,
            .result_count = (uint32_t) (left < STORE_BATCH_MAX ? left : STORE_BATCH_MAX),
        };
        enum dz_rc rc = store_job_append(self->job, &batch, err);
        if (rc != DZ_OK)
            return rc;
    }
    return DZ_OK;
}

enum dz_rc
store_rows_carry(struct store_job *job, const struct dz_buf *pages, size_t page_count,
                 struct store_carried *out, struct dz_err *err)
{
    DZ_AUTO(carrying_fini) struct carrying self = { .job = job };
    enum dz_rc rc = DZ_OK;
    *out = (struct store_carried){ 0 };
    self.counted = dz_alloc0((size_t) job->test_count + 1, STORE_ATTEMPTS);
    self.has_strike = dz_alloc0((size_t) job->test_count + 1, sizeof(*self.has_strike));
    for (size_t i = 0; rc == DZ_OK && i < page_count; i++)
        rc = take_page(&self, dz_buf_slice(&pages[i]), err);
    if (rc == DZ_OK)
        rc = append(&self, err);
    for (uint32_t i = 0; rc == DZ_OK && i < job->test_count; i++) {
        enum dz_result result = verdict(&self, i);
        out->passed += is_passed(result);
        out->failed += dz_result_is_bad(result);
        out->missing += result == DZ_RESULT_NONE;
    }
    return rc;
}

/* ------------------------------------------------------------------ the list alone */

enum dz_rc
store_rows_list(struct dz_slice page, store_listed_fn *fn, void *arg, bool *is_told_out,
                struct dz_err *err)
{
    DZ_AUTO(parcel_fini) struct parcel parcel = { 0 };
    enum dz_rc rc = parcel_open(page, &parcel, err);
    if (rc != DZ_OK)
        return rc;
    *is_told_out = parcel.ids != NULL;
    for (uint32_t i = 0; parcel.ids && i < parcel.id_count; i++)
        fn(arg, parcel.ids[i]);
    return DZ_OK;
}

enum dz_rc
store_list_page(struct store *store, const char *ulid, struct dz_buf *out, struct dz_err *err)
{
    struct store_at at = { .count = { 0 } }, after;
    struct store_outbox *box = NULL;
    enum dz_rc rc = store_outbox_open(store, ulid, &box, err);
    if (rc == DZ_OK)
        rc = store_outbox_next(box, &at, STORE_ROWS_ONLY | STORE_WITH_LIST, 0, out, &after, err);
    store_outbox_close(&box);
    return rc;
}

/* ------------------------------------------------------------------ from a store that is here */

enum dz_rc
store_rows_pages(struct store *store, const char *ulid, struct dz_buf **pages_out,
                 size_t *count_out, struct dz_err *err)
{
    struct store_at at = { .count = { 0 } }, after;
    struct store_outbox *box = NULL;
    enum dz_rc rc = store_outbox_open(store, ulid, &box, err);
    for (bool is_over = false; rc == DZ_OK && !is_over;) {
        DZ_AUTO(dz_buf_fini) struct dz_buf page = { 0 };
        rc = store_outbox_next(box, &at, STORE_ROWS_ONLY | STORE_WITH_LIST, STORE_PARCEL_SOFT,
                               &page, &after, err);
        is_over = rc != DZ_OK || after.count[STREAM_RESULTS] == at.count[STREAM_RESULTS];
        if (is_over)
            break;
        at = after;
        *pages_out = dz_realloc(*pages_out, *count_out + 1, sizeof(**pages_out));
        (*pages_out)[(*count_out)++] = page;
        page = (struct dz_buf){ 0 };
    }
    store_outbox_close(&box);
    return rc;
}
