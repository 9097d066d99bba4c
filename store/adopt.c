/* adopt.c - a job that another store tells of becomes one of this store. */
#include <string.h>

#include "store/shards.h"

enum { URI_MAX = 4096 };

enum dz_rc
adopt_check(const json_t *head, struct dz_err *err)
{
    static const char *const texts[] = { "uri",      "timezone", "profile", "commit", "command",
                                         "versions", "rootdir",  "host",    "boot" };
    for (size_t i = 0; i < DZ_LEN(texts); i++) {
        const json_t *value = json_object_get(head, texts[i]);
        size_t most = i == 0 ? URI_MAX : HEAD_TEXT_MAX;
        if (!json_is_string(value) || json_string_length(value) > most)
            return dz_fail(err, DZ_CORRUPT, "a job whose '%s' makes no sense", texts[i]);
    }
    bool is_ok = head_is_number(head, "start_us", HEAD_TIME_MAX) &&
                 head_is_number(head, "workers", UINT16_MAX) &&
                 head_is_number(head, "node_total", UINT16_MAX) &&
                 head_is_number(head, "is_dirty", 1) &&
                 head_is_number(head, "generation", UINT32_MAX) && shard_check(head) &&
                 json_is_integer(json_object_get(head, "origin"));
    return is_ok ? DZ_OK : dz_fail(err, DZ_CORRUPT, "a job whose numbers make no sense");
}

/* The job that a sender's records belong to: its own, but for a share. */
enum dz_rc
adopt_place(struct store *store, const char *ulid, const json_t *head, const struct shard *shard,
            struct shard_place *out, struct dz_err *err)
{
    const char *previous = head_text(head, "previous"); /* of a newer dagz only */
    *out = (struct shard_place){ .generation = (uint32_t) head_number(head, "generation") };
    if (shard)
        return shard_find_job(store, ulid, shard, out, err);
    memcpy(out->ulid, ulid, DZ_ULID_LEN);
    if (dz_ulid_read(dz_str(previous), NULL))
        memcpy(out->previous, previous, DZ_ULID_LEN);
    return DZ_OK;
}

enum dz_rc
adopt_job(struct store *store, const struct shard_place *place, const json_t *head,
          struct store_job **job_out, struct dz_err *err)
{
    struct store_begin begin = {
        .ulid = place->ulid,
        .uri = head_text(head, "uri"),
        .timezone = head_text(head, "timezone"),
        .profile = head_text(head, "profile"),
        .commit = head_text(head, "commit"),
        .command = head_text(head, "command"),
        .versions = head_text(head, "versions"),
        .rootdir = head_text(head, "rootdir"),
        .is_dirty = head_number(head, "is_dirty"),
        .workers = (uint32_t) head_number(head, "workers"),
        .node_total = (uint32_t) head_number(head, "node_total"),
        .now_us = head_number(head, "start_us"),
        .generation = place->generation,
        .previous = place->previous,
        .step = head_text(head, "step"),
        .shard_total = (uint32_t) head_number(head, "shard_total"),
    };
    return job_adopt(store, &begin, head, job_out, err);
}
