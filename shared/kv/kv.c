/* kv.c - keys and values inside a transaction: get, put, del, walk, and batches of them. */
#include "shared/kv/kv.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/digest.h"
#include "shared/kv/env.h"

static MDB_val
to_val(struct dz_slice s)
{
    return (MDB_val){ .mv_size = s.len, .mv_data = (void *) s.ptr };
}

static struct dz_slice
to_slice(MDB_val v)
{
    return (struct dz_slice){ .ptr = v.mv_data, .len = v.mv_size };
}

static uint32_t
crc_of(MDB_val key, struct dz_slice value)
{
    return dz_crc32c(dz_crc32c(0, to_slice(key)), value);
}

bool
kv_value_ok(MDB_val key, MDB_val stored, struct dz_slice *value_out)
{
    uint32_t crc;
    if (stored.mv_size < CRC_LEN)
        return false;
    memcpy(&crc, stored.mv_data, CRC_LEN);
    struct dz_slice value = { (const uint8_t *) stored.mv_data + CRC_LEN,
                              stored.mv_size - CRC_LEN };
    if (crc != crc_of(key, value))
        return false;
    *value_out = value;
    return true;
}

static enum dz_rc
fail_corrupt(struct dz_kv_txn *txn, unsigned table, struct dz_err *err)
{
    return dz_fail(err, DZ_CORRUPT, "'%s': a value of table '%s' does not match its checksum",
                   txn->kv->dir, txn->kv->names[table]);
}

static bool
is_bad_key(struct dz_slice key)
{
    return key.len == 0 || key.len > DZ_KV_KEY_MAX;
}

enum dz_rc
dz_kv_get(struct dz_kv_txn *txn, unsigned table, struct dz_slice key, struct dz_slice *value_out,
          struct dz_err *err)
{
    struct dz_kv *kv = txn->kv;
    dz_assert(table < kv->table_count);
    if (is_bad_key(key) || !kv->is_there[table])
        return DZ_ABSENT;
    MDB_val k = to_val(key), stored;
    int code = mdb_get(txn->txn, kv->dbis[table], &k, &stored);
    if (code == MDB_NOTFOUND)
        return DZ_ABSENT;
    if (code != 0)
        return kv_fail(err, kv->dir, code, "read");
    return kv_value_ok(k, stored, value_out) ? DZ_OK : fail_corrupt(txn, table, err);
}

enum dz_rc
dz_kv_put(struct dz_kv_txn *txn, unsigned table, struct dz_slice key, struct dz_slice value,
          struct dz_err *err)
{
    struct dz_kv *kv = txn->kv;
    dz_assert(table < kv->table_count);
    if (is_bad_key(key) || value.len > UINT32_MAX - CRC_LEN)
        return dz_fail(err, DZ_LIMIT, "'%s': a key of %zu bytes with a value of %zu", kv->dir,
                       key.len, value.len);
    MDB_val k = to_val(key), stored = { .mv_size = value.len + CRC_LEN };
    int code = mdb_put(txn->txn, kv->dbis[table], &k, &stored, MDB_RESERVE);
    if (code != 0) {
        txn->is_map_full |= code == MDB_MAP_FULL;
        return kv_fail(err, kv->dir, code, "write to");
    }
    uint32_t crc = crc_of(k, value);
    memcpy(stored.mv_data, &crc, CRC_LEN);
    if (value.len > 0)
        memcpy((uint8_t *) stored.mv_data + CRC_LEN, value.ptr, value.len);
    return DZ_OK;
}

enum dz_rc
dz_kv_del(struct dz_kv_txn *txn, unsigned table, struct dz_slice key, struct dz_err *err)
{
    struct dz_kv *kv = txn->kv;
    dz_assert(table < kv->table_count);
    if (is_bad_key(key))
        return DZ_ABSENT;
    MDB_val k = to_val(key);
    int code = mdb_del(txn->txn, kv->dbis[table], &k, NULL);
    if (code == 0 || code == MDB_NOTFOUND)
        return code == 0 ? DZ_OK : DZ_ABSENT;
    txn->is_map_full |= code == MDB_MAP_FULL;
    return kv_fail(err, kv->dir, code, "write to");
}

/* ---- walking ---- */

enum iter_state {
    ITER_FRESH,  /* nowhere yet */
    ITER_ON,     /* on the key that was given last */
    ITER_BEFORE, /* on the first key >= the one sought, not given yet */
    ITER_END,    /* behind the last key of the table */
    ITER_DONE,
};

void
dz_kv_iter_init(struct dz_kv_iter *self, struct dz_kv_txn *txn, unsigned table,
                struct dz_slice prefix)
{
    struct dz_kv *kv = txn->kv;
    dz_assert(table < kv->table_count && prefix.len <= DZ_KV_KEY_MAX);
    *self = (struct dz_kv_iter){ .txn = txn, .table = table, .prefix_len = prefix.len };
    if (prefix.len > 0)
        memcpy(self->prefix, prefix.ptr, prefix.len);
    if (!kv->is_there[table]) {
        self->state = ITER_DONE;
        return;
    }
    MDB_cursor *cursor = NULL;
    self->rc = mdb_cursor_open(txn->txn, kv->dbis[table], &cursor);
    self->cursor = cursor;
    if (self->rc != 0)
        self->state = ITER_DONE;
}

void
dz_kv_iter_fini(struct dz_kv_iter *self)
{
    if (self->cursor)
        mdb_cursor_close(self->cursor);
    self->cursor = NULL;
}

static void
stop(struct dz_kv_iter *self, int code)
{
    self->state = ITER_DONE;
    self->rc = code == MDB_NOTFOUND ? 0 : code;
}

/* To the first key >= `key`; an empty key is the first of all. */
static void
place(struct dz_kv_iter *self, struct dz_slice key)
{
    MDB_val k = to_val(key), stored;
    int code = mdb_cursor_get(self->cursor, &k, &stored, key.len ? MDB_SET_RANGE : MDB_FIRST);
    self->state = code == 0 ? ITER_BEFORE : ITER_END;
    if (code != 0 && code != MDB_NOTFOUND)
        stop(self, code);
}

void
dz_kv_iter_seek(struct dz_kv_iter *self, struct dz_slice key)
{
    if (self->cursor && self->rc == 0)
        place(self, key);
}

/* Behind the last key with our prefix: the first key >= the prefix with its last byte raised. */
static void
place_behind(struct dz_kv_iter *self)
{
    uint8_t key[DZ_KV_KEY_MAX];
    size_t len = self->prefix_len;
    memcpy(key, self->prefix, len);
    while (len > 0 && key[len - 1] == 0xff)
        len--;
    if (len == 0) {
        self->state = ITER_END;
        return;
    }
    key[len - 1]++;
    place(self, (struct dz_slice){ key, len });
}

static bool
is_below(const struct dz_kv_iter *self, MDB_val key)
{
    return key.mv_size >= self->prefix_len &&
           memcmp(key.mv_data, self->prefix, self->prefix_len) == 0;
}

/* Give what the cursor is on, unless it has left the prefix or is damaged. */
static bool
give(struct dz_kv_iter *self, MDB_val key, MDB_val stored, struct dz_slice *key_out,
     struct dz_slice *value_out)
{
    if (!is_below(self, key)) {
        stop(self, 0);
        return false;
    }
    *value_out = (struct dz_slice){ 0 };
    if (!self->is_keys_only && !kv_value_ok(key, stored, value_out)) {
        stop(self, MDB_CORRUPTED);
        return false;
    }
    self->state = ITER_ON;
    *key_out = to_slice(key);
    return true;
}

static bool
is_passed_over(const struct dz_kv_iter *self, MDB_val key, MDB_val stored)
{
    struct dz_slice value = to_slice(stored);
    if (!self->is_skipped || !is_below(self, key) || value.len < CRC_LEN)
        return false;
    value = (struct dz_slice){ value.ptr + CRC_LEN, value.len - CRC_LEN };
    return self->is_skipped(self->skip_arg, value);
}

bool
dz_kv_next(struct dz_kv_iter *self, struct dz_slice *key_out, struct dz_slice *value_out)
{
    MDB_val key, stored;
    if (self->state == ITER_FRESH)
        place(self, (struct dz_slice){ self->prefix, self->prefix_len });
    if (self->state != ITER_BEFORE && self->state != ITER_ON)
        return false;
    do {
        int code = mdb_cursor_get(self->cursor, &key, &stored,
                                  self->state == ITER_ON ? MDB_NEXT : MDB_GET_CURRENT);
        if (code != 0) {
            stop(self, code);
            return false;
        }
        self->state = ITER_ON;
        if (self->txn->is_read) /* what a write gives may be in memory of its own */
            kv_walked(&self->walk, stored);
    } while (is_passed_over(self, key, stored));
    return give(self, key, stored, key_out, value_out);
}

bool
dz_kv_prev(struct dz_kv_iter *self, struct dz_slice *key_out, struct dz_slice *value_out)
{
    if (self->state == ITER_FRESH)
        place_behind(self);
    if (self->state == ITER_DONE)
        return false;
    MDB_val key, stored;
    int code =
        mdb_cursor_get(self->cursor, &key, &stored, self->state == ITER_END ? MDB_LAST : MDB_PREV);
    if (code != 0) {
        stop(self, code);
        return false;
    }
    return give(self, key, stored, key_out, value_out);
}

enum dz_rc
dz_kv_iter_rc(const struct dz_kv_iter *self, struct dz_err *err)
{
    if (self->rc == 0)
        return DZ_OK;
    if (self->rc == MDB_CORRUPTED)
        return fail_corrupt(self->txn, self->table, err);
    return kv_fail(err, self->txn->kv->dir, self->rc, "read");
}

/* ---- batches ---- */

struct op {
    uint32_t key_len, value_len;
    uint8_t is_del, table;
};

static void
add(struct dz_kv_batch *self, struct op op, struct dz_slice key, struct dz_slice value)
{
    size_t need = sizeof(op) + key.len + value.len;
    if (self->cap - self->len < need) {
        self->cap = (self->len + need) * 2;
        self->ops = dz_realloc(self->ops, self->cap, 1);
    }
    uint8_t *at = self->ops + self->len;
    memcpy(at, &op, sizeof(op));
    if (key.len > 0)
        memcpy(at + sizeof(op), key.ptr, key.len);
    if (value.len > 0)
        memcpy(at + sizeof(op) + key.len, value.ptr, value.len);
    self->len += need;
    self->count++;
}

void
dz_kv_batch_put(struct dz_kv_batch *self, unsigned table, struct dz_slice key,
                struct dz_slice value)
{
    dz_assert(table < DZ_KV_TABLES && key.len <= DZ_KV_KEY_MAX && value.len <= UINT32_MAX);
    struct op op = { .table = (uint8_t) table,
                     .key_len = (uint32_t) key.len,
                     .value_len = (uint32_t) value.len };
    add(self, op, key, value);
}

void
dz_kv_batch_del(struct dz_kv_batch *self, unsigned table, struct dz_slice key)
{
    dz_assert(table < DZ_KV_TABLES && key.len <= DZ_KV_KEY_MAX);
    struct op op = { .table = (uint8_t) table, .key_len = (uint32_t) key.len, .is_del = 1 };
    add(self, op, key, (struct dz_slice){ 0 });
}

static enum dz_rc
apply(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    const struct dz_kv_batch *self = arg;
    struct op op;
    for (const uint8_t *at = self->ops, *end = at + self->len; at < end;) {
        memcpy(&op, at, sizeof(op));
        struct dz_slice key = { at + sizeof(op), op.key_len };
        struct dz_slice value = { key.ptr + key.len, op.value_len };
        enum dz_rc rc = op.is_del ? dz_kv_del(txn, op.table, key, err)
                                  : dz_kv_put(txn, op.table, key, value, err);
        if (rc != DZ_OK && !(op.is_del && rc == DZ_ABSENT))
            return rc;
        at = value.ptr + value.len;
    }
    return DZ_OK;
}

enum dz_rc
dz_kv_batch_commit(struct dz_kv_batch *self, struct dz_kv *kv, struct dz_err *err)
{
    if (self->count == 0)
        return DZ_OK;
    enum dz_rc rc = dz_kv_write(kv, apply, self, err);
    if (rc != DZ_OK)
        return rc;
    self->len = 0;
    self->count = 0;
    return DZ_OK;
}

void
dz_kv_batch_fini(struct dz_kv_batch *self)
{
    free(self->ops);
    *self = (struct dz_kv_batch){ 0 };
}
