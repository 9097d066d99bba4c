#include "vassal/io/cargo.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_CAP = 256 };

static struct cargo_item *
place_of(const struct cargo *self, uint64_t record)
{
    return &self->items[record & (self->cap - 1)];
}

void
cargo_fini(struct cargo *self)
{
    for (size_t i = 0; i < self->cap; i++)
        free(self->items[i].bytes);
    free(self->items);
    *self = (struct cargo){ 0 };
}

static void
grow(struct cargo *self)
{
    struct cargo old = *self;
    self->cap = old.cap ? 2 * old.cap : FIRST_CAP;
    self->items = dz_alloc0(self->cap, sizeof(*self->items));
    for (uint64_t record = old.first; record < old.end; record++)
        *place_of(self, record) = *place_of(&old, record);
    free(old.items);
}

struct cargo_item *
cargo_add(struct cargo *self, uint64_t record, struct dz_slice blob, struct dz_slice text)
{
    if (self->first == self->end)
        self->first = self->end = self->hint = record;
    dz_assert(record == self->end);
    if (self->end - self->first == self->cap)
        grow(self);
    self->end++;
    struct cargo_item *item = place_of(self, record);
    *item = (struct cargo_item){ .record = record,
                                 .blob_len = (uint32_t) blob.len,
                                 .text_len = (uint32_t) text.len };
    item->bytes = dz_realloc(NULL, blob.len + text.len + 1, 1);
    if (blob.len > 0)
        memcpy(item->bytes, blob.ptr, blob.len);
    if (text.len > 0)
        memcpy(item->bytes + blob.len, text.ptr, text.len);
    self->bytes += blob.len + text.len;
    return item;
}

struct cargo_item *
cargo_get(struct cargo *self, uint64_t record)
{
    if (record < self->first || record >= self->end)
        return NULL;
    struct cargo_item *item = place_of(self, record);
    return item->record == record ? item : NULL;
}

static bool
is_it(const struct cargo_item *item, uint64_t inc, uint64_t exec)
{
    return item && item->outcome.exec == exec && item->outcome.inc == inc &&
           item->outcome.origin == 0;
}

struct cargo_item *
cargo_find(struct cargo *self, uint64_t inc, uint64_t exec)
{
    struct cargo_item *item = cargo_get(self, self->hint);
    for (uint64_t record = self->first; !is_it(item, inc, exec); record++) {
        if (record == self->end)
            return NULL;
        item = cargo_get(self, record);
    }
    self->hint = item->record + 1;
    return item;
}

void
cargo_strip(struct cargo *self, uint64_t record)
{
    struct cargo_item *item = cargo_get(self, record);
    if (!item)
        return;
    self->bytes -= (size_t) item->blob_len + item->text_len;
    dz_free(&item->bytes);
    item->blob_len = item->text_len = 0;
}

void
cargo_each(const struct cargo *self, cargo_fn *fn, void *arg)
{
    for (uint64_t record = self->first; record < self->end; record++) {
        const struct cargo_item *item = place_of(self, record);
        if (item->record == record)
            fn(arg, item);
    }
}

void
cargo_drop(struct cargo *self, uint64_t record)
{
    struct cargo_item *item = cargo_get(self, record);
    if (!item)
        return;
    cargo_strip(self, record);
    *item = (struct cargo_item){ 0 };
    while (self->first < self->end && place_of(self, self->first)->record == 0)
        self->first++;
}

/* ------------------------------------------------------------------ in the spool */

enum { FORMAT = 2 };

/* Fixed fields as they are on disk, all of this machine: a spool is not carried about. */
struct stored {
    uint32_t format, test, attempt, result, slot, cause, signal, blob_len, text_len, line;
    uint64_t exec, inc, digest, origin;
    int64_t start_us, setup_us, call_us, teardown_us, elapsed_us;
};

void
cargo_encode(const struct cargo_item *item, struct dz_buf *out)
{
    const struct vassal_outcome *outcome = &item->outcome;
    struct stored stored = { .format = FORMAT,
                             .test = outcome->what.test,
                             .attempt = outcome->what.attempt,
                             .result = outcome->result,
                             .slot = outcome->slot,
                             .cause = item->cause,
                             .signal = item->signal,
                             .blob_len = item->blob_len,
                             .text_len = item->text_len,
                             .line = outcome->line,
                             .exec = outcome->exec,
                             .inc = outcome->inc,
                             .digest = outcome->digest,
                             .origin = outcome->origin,
                             .start_us = outcome->start_us,
                             .setup_us = outcome->setup_us,
                             .call_us = outcome->call_us,
                             .teardown_us = outcome->teardown_us,
                             .elapsed_us = item->elapsed_us };
    dz_buf_add(out, &stored, sizeof(stored));
    dz_buf_add(out, item->bytes, (size_t) item->blob_len + item->text_len);
}

static bool
is_sound(const struct stored *stored, size_t len)
{
    return stored->format == FORMAT && stored->result < DZ_RESULTS && stored->cause < DZ_CAUSES &&
           stored->slot < VASSAL_SLOTS_MAX &&
           (uint64_t) stored->blob_len + stored->text_len + sizeof(*stored) == len;
}

enum dz_rc
cargo_decode(struct dz_slice value, struct cargo_item *item_out, struct dz_slice *blob_out,
             struct dz_slice *text_out)
{
    struct stored stored;
    if (value.len < sizeof(stored))
        return DZ_CORRUPT;
    memcpy(&stored, value.ptr, sizeof(stored));
    if (!is_sound(&stored, value.len))
        return DZ_CORRUPT;
    *item_out = (struct cargo_item){
        .outcome = { .what = { .test = stored.test, .attempt = stored.attempt },
                     .result = stored.result,
                     .slot = stored.slot,
                     .exec = stored.exec,
                     .inc = stored.inc,
                     .digest = stored.digest,
                     .origin = stored.origin,
                     .start_us = stored.start_us,
                     .setup_us = stored.setup_us,
                     .call_us = stored.call_us,
                     .teardown_us = stored.teardown_us,
                     .line = stored.line },
        .cause = (enum dz_cause) stored.cause,
        .signal = stored.signal,
        .elapsed_us = stored.elapsed_us,
    };
    *blob_out = (struct dz_slice){ value.ptr + sizeof(stored), stored.blob_len };
    *text_out = (struct dz_slice){ blob_out->ptr + stored.blob_len, stored.text_len };
    return DZ_OK;
}
