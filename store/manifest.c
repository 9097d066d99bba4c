/* manifest.c - a job's list of tests, kept once for all jobs that have the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/digest.h"
#include "store/disk.h"
#include "store/job.h"

enum { NAME_LEN = MANIFEST_NAME_LEN, IDS_MAX = 900 << 20 };

/* ---- bytes: count, then a length for each id, then the ids ---- */

static enum dz_rc
check_ids(const struct dz_slice *ids, uint32_t count, struct dz_err *err)
{
    size_t total = 0;
    if (count > STORE_TESTS_MAX)
        return dz_fail(err, DZ_LIMIT, "%u tests; the limit is %u", count, STORE_TESTS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        total += ids[i].len;
        if (i > 0 && dz_slice_cmp(ids[i - 1], ids[i]) >= 0)
            return dz_fail(err, DZ_CORRUPT, "test %u is not after test %u: '%.*s'", i, i - 1,
                           (int) (ids[i].len < 100 ? ids[i].len : 100), (const char *) ids[i].ptr);
    }
    if (total > IDS_MAX)
        return dz_fail(err, DZ_LIMIT, "the tests' ids have %zu bytes; the limit is %d", total,
                       IDS_MAX);
    return DZ_OK;
}

static void
pack(const struct dz_slice *ids, uint32_t count, struct dz_buf *out)
{
    size_t total = 0;
    for (uint32_t i = 0; i < count; i++)
        total += ids[i].len;
    uint8_t *at = dz_buf_reserve(out, count * sizeof(uint32_t) + total);
    uint8_t *text = at + count * sizeof(uint32_t);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t len = (uint32_t) ids[i].len;
        memcpy(at + i * sizeof(len), &len, sizeof(len));
        if (len > 0)
            memcpy(text, ids[i].ptr, len);
        text += len;
    }
    out->len += count * sizeof(uint32_t) + total;
}

/* Stored: count and raw length in front of what zip_add() made. */
struct manifest_head {
    uint32_t count, reserved;
    uint64_t raw_len;
};

static void
name_of(struct dz_slice raw, uint32_t count, char out[NAME_LEN])
{
    (void) snprintf(out, NAME_LEN, "%016llx-%u", (unsigned long long) dz_hash64(raw), count);
}

/* ---- reading ---- */

struct dz_slice
manifest_id(const struct manifest *self, uint32_t test)
{
    return (struct dz_slice){ self->bytes + self->starts[test],
                              self->starts[test + 1] - self->starts[test] };
}

uint32_t
manifest_find_id(const struct manifest *self, uint32_t sorted, struct dz_slice id)
{
    uint32_t low = 0, high = sorted;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (dz_slice_cmp(manifest_id(self, mid), id) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low < sorted && dz_slice_eq(manifest_id(self, low), id) ? low : STORE_NO_TEST;
}

uint32_t
manifest_sorted(const json_t *head, uint32_t count)
{
    int64_t sorted = head_number(head, "sorted");
    return sorted > 0 && sorted < count ? (uint32_t) sorted : count;
}

void
manifest_fini(struct manifest *self)
{
    free(self->bytes);
    free(self->starts);
    *self = (struct manifest){ 0 };
}

static bool
unpack(struct dz_buf *raw, uint32_t count, struct manifest *out)
{
    size_t lens = (size_t) count * sizeof(uint32_t);
    if (lens > raw->len || raw->len - lens > UINT32_MAX)
        return false;
    uint32_t *starts = dz_alloc0((size_t) count + 1, sizeof(*starts));
    uint64_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t len;
        memcpy(&len, raw->data + i * sizeof(len), sizeof(len));
        at += len;
        if (at > raw->len - lens) {
            free(starts);
            return false;
        }
        starts[i + 1] = (uint32_t) at;
    }
    memmove(raw->data, raw->data + lens, raw->len - lens);
    *out = (struct manifest){ .count = count, .bytes = dz_move(raw->data), .starts = starts };
    return true;
}

enum dz_rc
manifest_read(struct store *store, struct dz_kv_txn *txn, const char *name, struct manifest *out,
              struct dz_err *err)
{
    struct dz_slice value;
    struct manifest_head head;
    DZ_AUTO(dz_buf_fini) struct dz_buf raw = { 0 };
    if (!*name) {
        *out =
            (struct manifest){ .bytes = dz_alloc0(1, 1), .starts = dz_alloc0(1, sizeof(uint32_t)) };
        return DZ_OK;
    }
    enum dz_rc rc = dz_kv_get(txn, T_MANIFEST, dz_str(name), &value, err);
    if (rc == DZ_ABSENT || (rc == DZ_OK && value.len < sizeof(head)))
        return dz_fail(err, DZ_CORRUPT, "'%s': the list of tests %s is gone", store->dir, name);
    if (rc != DZ_OK)
        return rc;
    memcpy(&head, value.ptr, sizeof(head));
    dz_buf_add(&raw, "", 1); /* so that even an empty list has memory */
    raw.len = 0;
    value = (struct dz_slice){ value.ptr + sizeof(head), value.len - sizeof(head) };
    rc = unzip_add(store, value, head.raw_len, &raw, err);
    if (rc == DZ_OK && (head.count > STORE_TESTS_MAX || !unpack(&raw, head.count, out)))
        return dz_fail(err, DZ_CORRUPT, "'%s': the list of tests %s is damaged", store->dir, name);
    return rc;
}

enum dz_rc
manifest_find(struct dz_kv_txn *txn, const char *name, struct dz_err *err)
{
    struct dz_slice there;
    return dz_kv_get(txn, T_MANIFEST, dz_str(name), &there, err);
}

/* ---- writing ---- */

struct put {
    struct store_job *job;
    const char *name;
    struct dz_slice raw;
    uint32_t count;
};

static enum dz_rc
put_list(struct store *store, struct dz_kv_txn *txn, const char *name, struct dz_slice raw,
         uint32_t count, struct dz_err *err)
{
    struct dz_slice there;
    enum dz_rc rc = dz_kv_get(txn, T_MANIFEST, dz_str(name), &there, err);
    if (rc != DZ_ABSENT)
        return rc; /* an earlier job had the same */
    struct manifest_head head = { .count = count, .raw_len = raw.len };
    DZ_AUTO(dz_buf_fini) struct dz_buf value = { 0 };
    dz_buf_add(&value, &head, sizeof(head));
    zip_add(store, raw, &value);
    return dz_kv_put(txn, T_MANIFEST, dz_str(name), dz_buf_slice(&value), err);
}

enum dz_rc
manifest_put(struct store *store, struct dz_kv_txn *txn, const struct dz_slice *ids, uint32_t count,
             char name_out[MANIFEST_NAME_LEN], struct dz_err *err)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf raw = { 0 };
    pack(ids, count, &raw);
    name_of(dz_buf_slice(&raw), count, name_out);
    return put_list(store, txn, name_out, dz_buf_slice(&raw), count, err);
}

static enum dz_rc
put_manifest(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    const struct put *put = arg;
    DZ_AUTO(head_release) json_t *head = NULL;
    enum dz_rc rc = head_read(txn, put->job->ulid, &head, err);
    if (rc != DZ_OK)
        return rc;
    const char *before = head_text(head, "manifest");
    if (strcmp(before, put->name) == 0)
        return DZ_OK;
    if (*before)
        return dz_fail(err, DZ_EXISTS, "job %s has another list of tests", put->job->ulid);
    rc = put_list(put->job->store, txn, put->name, put->raw, put->count, err);
    if (rc != DZ_OK)
        return rc;
    (void) json_object_set_new(head, "manifest", json_string(put->name));
    (void) json_object_set_new(head, "collected", json_integer(put->count));
    return head_write(txn, put->job->ulid, head, err);
}

enum dz_rc
store_job_put_manifest(struct store_job *self, const struct dz_slice *ids, uint32_t count,
                       struct dz_err *err)
{
    enum dz_rc rc = check_ids(ids, count, err);
    if (rc != DZ_OK)
        return rc;
    char name[NAME_LEN];
    DZ_AUTO(dz_buf_fini) struct dz_buf raw = { 0 };
    pack(ids, count, &raw);
    name_of(dz_buf_slice(&raw), count, name);
    struct put put = { self, name, dz_buf_slice(&raw), count };
    rc = dz_kv_write(self->store->kv, put_manifest, &put, err);
    if (rc != DZ_OK || strcmp(self->list, name) == 0)
        return rc;
    job_set_tests(self, name, count);
    for (uint32_t i = 0; i < count; i++)
        self->hashes[i] = dz_hash64(ids[i]);
    return DZ_OK;
}

/* ---- a job's list, as it is now ---- */

struct reading {
    struct store_job *job;
    struct manifest list;
};

static enum dz_rc
read_list(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct reading *self = arg;
    DZ_AUTO(head_release) json_t *head = NULL;
    manifest_fini(&self->list);
    enum dz_rc rc = head_read(txn, self->job->ulid, &head, err);
    if (rc == DZ_OK)
        rc = job_read_list(self->job, txn, head, err);
    if (rc == DZ_OK)
        rc = manifest_read(self->job->store, txn, head_text(head, "manifest"), &self->list, err);
    return rc;
}

enum dz_rc
store_job_each_test(struct store_job *self, store_id_fn *fn, void *arg, struct dz_err *err)
{
    struct reading reading = { .job = self };
    enum dz_rc rc = dz_kv_read(self->store->kv, read_list, &reading, err);
    for (uint32_t i = 0; rc == DZ_OK && i < reading.list.count; i++)
        fn(arg, i, manifest_id(&reading.list, i));
    manifest_fini(&reading.list);
    return rc;
}
