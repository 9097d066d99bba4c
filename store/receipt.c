/* receipt.c - how far the side is that takes parcels, as JSON. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/disk.h"
#include "store/sync.h"

static uint32_t
pace_of(const json_t *all)
{
    int64_t ms = head_number(all, "pace_ms");
    return ms > 0 && ms < UINT32_MAX ? (uint32_t) ms : 0;
}

static const char *const STREAM_NAMES[STORE_STREAMS] = { [STREAM_RESULTS] = "results",
                                                         [STREAM_TEXTS] = "texts",
                                                         [STREAM_LOGS] = "logs",
                                                         [STREAM_SPANS] = "spans" };

char *
store_receipt_write(const struct store_receipt *self)
{
    char digest[17];
    (void) snprintf(digest, sizeof(digest), "%016" PRIx64, self->digest);
    json_t *stored = json_object(), *all = json_object();
    for (unsigned i = 0; i < STORE_STREAMS; i++)
        (void) json_object_set_new(stored, STREAM_NAMES[i],
                                   json_integer((json_int_t) self->at.count[i]));
    (void) json_object_set_new(all, "schema", json_string("dagz.receipt/1"));
    (void) json_object_set_new(all, "short", json_text(self->short_id));
    (void) json_object_set_new(all, "job", json_text(self->job));
    (void) json_object_set_new(all, "stored", stored);
    (void) json_object_set_new(all, "taken", json_integer(self->taken));
    (void) json_object_set_new(all, "wants_list", json_boolean(self->wants_list));
    (void) json_object_set_new(all, "sealed", json_boolean(self->is_sealed));
    if (self->is_witnessed)
        (void) json_object_set_new(all, "witnessed", json_true());
    (void) json_object_set_new(all, "ledger_wrong", json_boolean(self->is_ledger_wrong));
    (void) json_object_set_new(all, "counted", json_integer(self->counted));
    if (self->pace_ms > 0)
        (void) json_object_set_new(all, "pace_ms", json_integer(self->pace_ms));
    (void) json_object_set_new(all, "digest", json_string(digest));
    char *text = json_dumps(all, JSON_COMPACT);
    json_decref(all);
    return text;
}

static bool
read_at(const json_t *stored, struct store_at *out)
{
    for (unsigned i = 0; i < STORE_STREAMS; i++) {
        const json_t *number = json_object_get(stored, STREAM_NAMES[i]);
        if (!json_is_integer(number) || json_integer_value(number) < 0)
            return false;
        out->count[i] = (uint64_t) json_integer_value(number);
    }
    return true;
}

enum dz_rc
store_receipt_read(struct dz_slice json, struct store_receipt *out, struct dz_err *err)
{
    struct store_receipt r = { 0 };
    json_t *all = json_loadb((const char *) json.ptr, json.len, JSON_REJECT_DUPLICATES, NULL);
    const char *short_id = head_text(all, "short");
    const json_t *wants = json_object_get(all, "wants_list"),
                 *sealed = json_object_get(all, "sealed");
    bool is_ok = strcmp(head_text(all, "schema"), "dagz.receipt/1") == 0 &&
                 read_at(json_object_get(all, "stored"), &r.at) && json_is_boolean(wants) &&
                 json_is_boolean(sealed) && strlen(short_id) < sizeof(r.short_id);
    if (is_ok) {
        (void) snprintf(r.short_id, sizeof(r.short_id), "%s", short_id);
        (void) snprintf(r.job, sizeof(r.job), "%.26s", head_text(all, "job"));
        r.wants_list = json_is_true(wants);
        r.is_sealed = json_is_true(sealed);
        r.is_witnessed = json_is_true(json_object_get(all, "witnessed"));
        r.is_ledger_wrong = json_is_true(json_object_get(all, "ledger_wrong"));
        r.taken = (uint32_t) head_number(all, "taken");
        r.counted = (uint32_t) head_number(all, "counted");
        r.pace_ms = pace_of(all);
        r.digest = strtoull(head_text(all, "digest"), NULL, 16);
        *out = r;
    }
    json_decref(all);
    return is_ok ? DZ_OK : dz_fail(err, DZ_CORRUPT, "the answer is no receipt");
}
