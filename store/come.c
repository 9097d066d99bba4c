/* come.c - the shares of a job that have come, as they lie in SHARD; see shards.h. */
#include "store/shards.h"

static struct key
come_key(const char *ulid, uint32_t index, uint64_t origin)
{
    struct key key = { .len = 0 };
    key_add(&key, ulid, DZ_ULID_LEN);
    key_add_number(&key, index, 4);
    key_add_number(&key, origin, 8);
    return key;
}

enum dz_rc
shard_put(struct dz_kv_txn *txn, const char *ulid, const struct shard_come *come,
          struct dz_err *err)
{
    struct key key = come_key(ulid, come->index, come->origin);
    DZ_AUTO(dz_free) char *text = json_dumps(come->note, JSON_COMPACT | JSON_SORT_KEYS);
    dz_assert(text); /* every string went through json_text(), or was read as JSON */
    return dz_kv_put(txn, T_SHARD, key_slice(&key), dz_str(text), err);
}

void
shard_walk_init(struct shard_walk *self, struct dz_kv_txn *txn, const char *ulid)
{
    *self = (struct shard_walk){ .prefix = { .len = 0 } };
    key_add(&self->prefix, ulid, DZ_ULID_LEN);
    dz_kv_iter_init(&self->it, txn, T_SHARD, key_slice(&self->prefix));
}

void
shard_walk_fini(struct shard_walk *self)
{
    shard_come_fini(&self->come);
    dz_kv_iter_fini(&self->it);
}

/* False: it is damaged, and as if it were not there. */
static bool
read_come(struct dz_slice value, struct shard_come *out)
{
    out->note = json_loadb((const char *) value.ptr, value.len, 0, NULL);
    if (!json_is_object(out->note))
        return false;
    out->ci_job = (uint64_t) head_number(out->note, "ci_job");
    out->start_us = head_number(out->note, "start_us");
    out->has_ended = json_is_object(json_object_get(out->note, "seal"));
    return true;
}

enum dz_rc
shard_get(struct dz_kv_txn *txn, const char *ulid, const struct shard *shard,
          struct shard_come *out, struct dz_err *err)
{
    struct key key = come_key(ulid, shard->index, shard->origin);
    struct dz_slice value;
    *out = (struct shard_come){ .index = shard->index, .origin = shard->origin };
    enum dz_rc rc = dz_kv_get(txn, T_SHARD, key_slice(&key), &value, err);
    if (rc == DZ_OK && !read_come(value, out)) {
        shard_come_fini(out);
        return dz_fail(err, DZ_ABSENT, "the share of a slot is damaged");
    }
    return rc;
}

void
shard_come_fini(struct shard_come *self)
{
    json_decref(self->note);
    self->note = NULL;
}

bool
shard_walk_next(struct shard_walk *self)
{
    struct dz_slice key, value;
    struct shard_come *come = &self->come;
    do {
        shard_come_fini(come);
        if (!dz_kv_next(&self->it, &key, &value))
            return false;
        *come = (struct shard_come){ .note = NULL };
    } while (key.len != DZ_ULID_LEN + 12 || !read_come(value, come));
    come->index = (uint32_t) number_at(key, DZ_ULID_LEN, 4);
    come->origin = number_at(key, DZ_ULID_LEN + 4, 8);
    return true;
}
