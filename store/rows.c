/* rows.c - what a store has counted, taken into the ledger of a scheduler that goes on. */
#include <stdio.h>
#include <string.h>

#include "store/job.h"
#include "store/parcel.h"

enum dz_rc
store_rows_end(struct dz_slice bytes, uint64_t *end_out, struct dz_err *err)
{
    DZ_AUTO(parcel_fini) struct parcel parcel = { 0 };
    enum dz_rc rc = parcel_open(bytes, &parcel, err);
    const struct parcel_part *part = &parcel.parts[STREAM_RESULTS];
    if (rc == DZ_OK)
        *end_out = part->from + part->count;
    return rc;
}

struct naming {
    const struct store_job *job;
    char name[PARCEL_NAME_MAX];
};

static enum dz_rc
read_name(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct naming *self = arg;
    DZ_AUTO(head_release) json_t *head = NULL;
    enum dz_rc rc = head_read(txn, self->job->ulid, &head, err);
    if (rc == DZ_OK)
        (void) snprintf(self->name, sizeof(self->name), "%s", head_text(head, "manifest"));
    return rc;
}

enum dz_rc
store_rows_take(struct store_job *job, struct dz_slice bytes, struct dz_err *err)
{
    DZ_AUTO(parcel_fini) struct parcel parcel = { 0 };
    struct naming naming = { .job = job };
    enum dz_rc rc = parcel_open(bytes, &parcel, err);
    if (rc != DZ_OK || parcel.parts[STREAM_RESULTS].count == 0)
        return rc;
    rc = dz_kv_read(job->store->kv, read_name, &naming, err);
    if (rc == DZ_OK && strcmp(naming.name, parcel.name) != 0)
        return dz_fail(err, DZ_REFUSED, "job %s has another list of tests in the store", job->ulid);
    struct store_batch batch = { .results = parcel.results,
                                 .result_count = parcel.parts[STREAM_RESULTS].count };
    return rc == DZ_OK ? store_job_append(job, &batch, err) : rc;
}
