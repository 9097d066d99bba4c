/* rows.c - what a store has counted, taken into the ledger of a scheduler that goes on. */
#include <stdio.h>
#include <string.h>

#include "store/numbers.h"

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

enum dz_rc
store_rows_take(struct store_job *job, struct dz_slice bytes, struct dz_err *err)
{
    DZ_AUTO(parcel_fini) struct parcel parcel = { 0 };
    DZ_AUTO(numbers_destroy) struct numbers_cache *numbers = numbers_new();
    const struct numbers *list = NULL;
    enum dz_rc rc = parcel_open(bytes, &parcel, err);
    if (rc != DZ_OK || parcel.parts[STREAM_RESULTS].count == 0)
        return rc;
    rc = numbers_of(numbers, job, &parcel, &list, err);
    if (rc == DZ_ABSENT)
        return dz_fail(err, DZ_REFUSED, "job %s has another list of tests in the store", job->ulid);
    struct store_batch batch = { .results = parcel.results,
                                 .result_count = parcel.parts[STREAM_RESULTS].count };
    if (rc == DZ_OK && !numbers_translate(list, &batch))
        rc = dz_fail(err, DZ_CORRUPT, "rows of tests that are not in the job's list");
    return rc == DZ_OK ? store_job_append(job, &batch, err) : rc;
}
