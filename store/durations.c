/* durations.c - how long tests take: a decayed mean and variance of the logarithm, by the hash of
 * the node id.
 *
 * All of a project and profile lies in one value, sorted by hash.  Learning merges a job into it in
 * one pass; looking up guesses the position from the hash, which is spread evenly. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/digest.h"
#include "store/disk.h"

#define DECAY      0.7f  /* what earlier jobs weigh when one more is learned */
#define FIRST_VAR  0.25f /* of a test seen once: about a factor of 1.6 either way */
#define WEIGHT_MAX 8.0f

enum { ROWS_MAX = 2 << 20, FORGET_DAYS = 120 };

static struct key
durations_key(uint32_t project, const char *profile)
{
    struct key key = { .len = 0 };
    struct dz_slice bytes = dz_str(profile);
    key_add_number(&key, project, 4);
    if (bytes.len <= 255)
        key_add(&key, bytes.ptr, bytes.len);
    else
        key_add_number(&key, dz_hash64(bytes), 8);
    return key;
}

/* ---- learning ---- */

static int
by_id(const void *a, const void *b)
{
    const struct duration_row *x = a, *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

static struct duration_row
blend(struct duration_row old, struct duration_row seen)
{
    float weight = old.weight * DECAY, step = seen.log_mean - old.log_mean;
    float share = 1 / (weight + 1);
    old.log_mean += step * share;
    old.log_var = (1 - share) * (old.log_var + share * step * step);
    old.weight = weight + 1 < WEIGHT_MAX ? weight + 1 : WEIGHT_MAX;
    old.day = seen.day;
    return old;
}

static struct duration_row
row_at(struct dz_slice rows, size_t i)
{
    struct duration_row row;
    memcpy(&row, rows.ptr + i * sizeof(row), sizeof(row));
    return row;
}

static void
add_row(struct dz_buf *out, struct duration_row row)
{
    if (out->len / sizeof(row) < ROWS_MAX)
        dz_buf_add(out, &row, sizeof(row));
}

/* Both sides sorted by id; a test may be in `news` more than once (several attempts). */
static void
merge(struct dz_slice old, const struct duration_row *news, size_t count, struct dz_buf *out)
{
    size_t olds = old.len / sizeof(struct duration_row), i = 0, j = 0;
    uint32_t today = count ? news[0].day : 0;
    while (i < olds || j < count) {
        struct duration_row row;
        bool is_old = i < olds && (row = row_at(old, i), j == count || row.id <= news[j].id);
        if (is_old) {
            i++;
            if (row.day + FORGET_DAYS < today && (j == count || row.id != news[j].id))
                continue;
        } else {
            row = news[j++];
            row.log_var = FIRST_VAR;
        }
        for (; j < count && news[j].id == row.id; j++)
            row = blend(row, news[j]);
        add_row(out, row);
    }
}

enum dz_rc
durations_learn(struct dz_kv_txn *txn, uint32_t project, const char *profile,
                struct duration_row *news, size_t count, struct dz_err *err)
{
    struct dz_slice old = { 0 };
    struct key key = durations_key(project, profile);
    if (count == 0)
        return DZ_OK;
    enum dz_rc rc = dz_kv_get(txn, T_DURATION, key_slice(&key), &old, err);
    if (rc != DZ_OK && rc != DZ_ABSENT)
        return rc;
    DZ_AUTO(dz_buf_fini) struct dz_buf merged = { 0 };
    qsort(news, count, sizeof(*news), by_id);
    merge(old, news, count, &merged);
    return dz_kv_put(txn, T_DURATION, key_slice(&key), dz_buf_slice(&merged), err);
}

/* ---- looking up ---- */

struct store_durations {
    struct duration_row *rows; /* owned */
    size_t count;
};

struct load {
    const char *uri, *profile;
    struct store_durations *out;
};

static enum dz_rc
load(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct load *self = arg;
    struct dz_slice rows;
    uint32_t project = 0;
    enum dz_rc rc = project_number(txn, self->uri, &project, err);
    struct key key = durations_key(project, self->profile);
    if (rc == DZ_OK)
        rc = dz_kv_get(txn, T_DURATION, key_slice(&key), &rows, err);
    if (rc != DZ_OK)
        return rc == DZ_ABSENT ? DZ_OK : rc;
    self->out->count = rows.len / sizeof(*self->out->rows);
    self->out->rows = dz_alloc0(self->out->count + 1, sizeof(*self->out->rows));
    memcpy(self->out->rows, rows.ptr, self->out->count * sizeof(*self->out->rows));
    return DZ_OK;
}

enum dz_rc
store_durations_load(struct store *self, const char *uri, const char *profile,
                     struct store_durations **out, struct dz_err *err)
{
    DZ_AUTO(store_durations_destroy) struct store_durations *d = dz_alloc0(1, sizeof(*d));
    struct load work = { uri ? uri : "", profile ? profile : "", d };
    enum dz_rc rc = dz_kv_read(self->kv, load, &work, err);
    if (rc == DZ_OK)
        *out = dz_move(d);
    return rc;
}

void
store_durations_destroy(struct store_durations **self_p)
{
    struct store_durations *self = dz_move(*self_p);
    if (!self)
        return;
    free(self->rows);
    free(self);
}

uint32_t
store_durations_count(const struct store_durations *self)
{
    return (uint32_t) self->count;
}

/* ---- travelling: "DZDU", version u32, count u32, then zstd of the rows ---- */

enum { TRAVEL_VERSION = 1, TRAVEL_HEAD = 12 };
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rows travel as they lie in memory");

void
store_durations_write(const struct store_durations *self, struct dz_buf *out)
{
    uint32_t numbers[2] = { TRAVEL_VERSION, (uint32_t) self->count };
    size_t size = self->count * sizeof(*self->rows), room = ZSTD_compressBound(size);
    dz_buf_add(out, "DZDU", 4);
    dz_buf_add(out, numbers, sizeof(numbers));
    size_t len = ZSTD_compress(dz_buf_reserve(out, room), room, self->rows, size, 1);
    dz_assert(!ZSTD_isError(len)); /* there is room for the worst */
    out->len += len;
}

/* Sorted, no two of one test, and numbers that can be reckoned with. */
static bool
is_sound(const struct store_durations *self)
{
    for (size_t i = 0; i < self->count; i++) {
        const struct duration_row *row = &self->rows[i];
        if ((i > 0 && row->id <= row[-1].id) || !isfinite(row->log_mean) ||
            !isfinite(row->log_var) || row->log_mean > 40 || row->log_var > 40 || row->log_var < 0)
            return false;
    }
    return true;
}

enum dz_rc
store_durations_read(struct dz_slice bytes, struct store_durations **out, struct dz_err *err)
{
    uint32_t numbers[2];
    if (bytes.len < TRAVEL_HEAD || memcmp(bytes.ptr, "DZDU", 4) != 0)
        return dz_fail(err, DZ_CORRUPT, "these are no durations of dagz");
    memcpy(numbers, bytes.ptr + 4, sizeof(numbers));
    if (numbers[0] != TRAVEL_VERSION)
        return dz_fail(err, DZ_VERSION, "durations of format %u; this dagz reads %d", numbers[0],
                       TRAVEL_VERSION);
    size_t size = (size_t) numbers[1] * sizeof(struct duration_row);
    if (size > STORE_DURATIONS_MAX)
        return dz_fail(err, DZ_LIMIT, "durations of %u tests are too many", numbers[1]);
    DZ_AUTO(store_durations_destroy) struct store_durations *self = dz_alloc0(1, sizeof(*self));
    self->count = numbers[1];
    self->rows = dz_alloc0(self->count + 1, sizeof(*self->rows));
    size_t len =
        ZSTD_decompress(self->rows, size, bytes.ptr + TRAVEL_HEAD, bytes.len - TRAVEL_HEAD);
    if (ZSTD_isError(len) || len != size || !is_sound(self))
        return dz_fail(err, DZ_CORRUPT, "durations that make no sense");
    *out = dz_move(self);
    return DZ_OK;
}

/* ---- one test ---- */

/* Hashes are spread evenly, so the position is nearly known: of n rows none is further than a few
 * sqrt(n) from where it would be, and the search begins in that window. */
static const struct duration_row *
find(const struct store_durations *self, uint64_t id)
{
    if (self->count == 0)
        return NULL;
    double middle = (double) id / 0x1p64 * (double) self->count;
    double reach = 3 * sqrt((double) self->count) + 4;
    size_t low = middle > reach ? (size_t) (middle - reach) : 0;
    size_t high = (size_t) (middle + reach);
    if (high >= self->count || self->rows[high].id < id)
        high = self->count;
    if (self->rows[low].id > id)
        low = 0;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (self->rows[mid].id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low < self->count && self->rows[low].id == id ? &self->rows[low] : NULL;
}

bool
store_durations_get(const struct store_durations *self, struct dz_slice id, double *mean_us,
                    double *log_sd)
{
    const struct duration_row *row = find(self, dz_hash64(id));
    if (!row)
        return false;
    *mean_us = exp((double) row->log_mean + (double) row->log_var / 2);
    *log_sd = sqrt((double) row->log_var);
    return true;
}
