/* contents.c - what is in a job's segments: reading and writing that. */
#include "store/contents.h"

#include <stdlib.h>
#include <string.h>

#include "store/column.h"

_Static_assert(sizeof(struct segment_info) == 48, "no padding in what is written");
_Static_assert(sizeof(struct contents_head) == 40, "no padding in what is written");

enum { TESTS_LEN_MAX = 1 << 30 };

void
contents_fini(struct contents *self)
{
    free(self->infos);
    dz_buf_fini(&self->tests);
    *self = (struct contents){ 0 };
}

/* ---- keys ---- */

void
contents_key(struct key *key, const char *ulid, enum batch_kind kind)
{
    batch_key(key, (const uint8_t *) ulid, kind);
}

void
segment_key(struct key *key, const char *ulid, enum batch_kind kind, uint32_t number)
{
    batch_key(key, (const uint8_t *) ulid, kind);
    key_add_number(key, number, 4);
}

enum dz_rc
contents_segment(struct dz_kv_txn *txn, const char *ulid, enum batch_kind kind, uint32_t number,
                 struct dz_slice *value_out, struct dz_err *err)
{
    struct key key = { .len = 0 };
    segment_key(&key, ulid, kind, number);
    enum dz_rc rc = dz_kv_get(txn, T_SEGMENT, key_slice(&key), value_out, err);
    if (rc == DZ_ABSENT)
        return dz_fail(err, DZ_IO, "a part of job %.26s is gone: was the job removed?", ulid);
    return rc;
}

/* ---- reading ---- */

static enum dz_rc
fail(const char *ulid, struct dz_err *err)
{
    return dz_fail(err, DZ_CORRUPT, "the contents of job %.26s cannot be read", ulid);
}

static enum dz_rc
read_value(struct dz_kv_txn *txn, const char *ulid, enum batch_kind kind, struct dz_slice *out,
           struct dz_err *err)
{
    struct key key = { .len = 0 };
    contents_key(&key, ulid, kind);
    return dz_kv_get(txn, T_CONTENTS, key_slice(&key), out, err);
}

static bool
read_head(struct dz_slice value, struct contents_head *out)
{
    if (value.len < sizeof(*out))
        return false;
    memcpy(out, value.ptr, sizeof(*out));
    size_t infos = out->segments * sizeof(struct segment_info);
    return out->tests_len <= TESTS_LEN_MAX &&
           value.len - sizeof(*out) == infos + (size_t) out->tests_stored;
}

enum dz_rc
contents_head(struct dz_kv_txn *txn, const char *ulid, enum batch_kind kind,
              struct contents_head *out, struct dz_err *err)
{
    struct dz_slice value;
    *out = (struct contents_head){ .segments = 0 };
    enum dz_rc rc = read_value(txn, ulid, kind, &value, err);
    if (rc != DZ_OK)
        return rc == DZ_ABSENT ? DZ_OK : rc;
    return read_head(value, out) ? DZ_OK : fail(ulid, err);
}

/* Tests lie where the infos say, and batches in the runs' order. */
static bool
makes_sense(const struct contents *self)
{
    uint64_t records = 0;
    for (uint32_t i = 0; i < self->head.segments; i++) {
        const struct segment_info *info = &self->infos[i];
        records += info->count;
        if (info->tests_at > self->tests.len || info->run >= self->head.runs ||
            info->count > SEGMENT_RECORDS_MAX || info->batch_to > self->head.until)
            return false;
    }
    return records == self->head.records;
}

enum dz_rc
contents_read(struct store *store, struct dz_kv_txn *txn, const char *ulid, enum batch_kind kind,
              struct contents *out, struct dz_err *err)
{
    struct dz_slice value;
    DZ_AUTO(contents_fini) struct contents contents = { .infos = NULL };
    enum dz_rc rc = read_value(txn, ulid, kind, &value, err);
    if (rc != DZ_OK && rc != DZ_ABSENT)
        return rc;
    if (rc == DZ_OK) {
        if (!read_head(value, &contents.head))
            return fail(ulid, err);
        const struct contents_head *head = &contents.head;
        size_t infos = head->segments * sizeof(*contents.infos);
        contents.infos = dz_alloc0((size_t) head->segments + 1, sizeof(*contents.infos));
        memcpy(contents.infos, value.ptr + sizeof(*head), infos);
        struct dz_slice tests = { value.ptr + sizeof(*head) + infos, head->tests_stored };
        rc = unzip_add(store, tests, head->tests_len, &contents.tests, err);
        if (rc != DZ_OK)
            return rc;
        if (!makes_sense(&contents))
            return fail(ulid, err);
    }
    *out = contents;
    contents = (struct contents){ .infos = NULL };
    return DZ_OK;
}

bool
contents_fits(const struct contents *self, uint32_t segment, const uint8_t *tests,
              uint32_t test_count)
{
    const struct segment_info *info = &self->infos[segment];
    struct dz_slice rest = { self->tests.data + info->tests_at, self->tests.len - info->tests_at };
    uint64_t test = 0, step;
    for (uint32_t i = 0; i < info->tests_count && varint_next(&rest, &step); i++) {
        test += step;
        if (test < test_count && (tests[test / 8] >> (test % 8) & 1))
            return true;
    }
    return false;
}

uint64_t
worker_bit(uint32_t worker)
{
    return UINT64_C(1) << (worker == STORE_NO_WORKER ? AGENT_BIT : worker % AGENT_BIT);
}

/* ---- writing ---- */

void
contents_pack(struct store *store, const struct contents *self, struct dz_buf *out)
{
    struct contents_head head = self->head;
    head.tests_len = (uint32_t) self->tests.len;
    dz_buf_add(out, &head, sizeof(head));
    dz_buf_add(out, self->infos, head.segments * sizeof(*self->infos));
    size_t before = out->len;
    zip_add(store, dz_buf_slice(&self->tests), out);
    head.tests_stored = (uint32_t) (out->len - before);
    memcpy(out->data, &head, sizeof(head));
}

static int
by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;
    return x < y ? -1 : x > y;
}

void
contents_add(struct contents *self, const struct segment_info *info, uint32_t *tests,
             uint32_t test_count)
{
    uint32_t n = self->head.segments++;
    self->infos = dz_realloc(self->infos, (size_t) n + 1, sizeof(*self->infos));
    struct segment_info *mine = &self->infos[n];
    *mine = *info;
    mine->tests_at = (uint32_t) self->tests.len;
    mine->tests_count = 0;
    if (test_count > 0)
        qsort(tests, test_count, sizeof(*tests), by_number);
    uint32_t before = 0;
    for (uint32_t i = 0; i < test_count; i++) {
        if (i > 0 && tests[i] == before)
            continue;
        varint_add(&self->tests, tests[i] - before);
        before = tests[i];
        mine->tests_count++;
    }
    self->head.records += info->count;
}
