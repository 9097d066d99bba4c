/* What a spool holds, as the agent that inherits it reads it.  LMDB's own pages are looked at in a
 * child that may die (shared/kv); what it then hands over is this: records, each refused, or one
 * that says the same after another trip. */
#include "shared/base/buf.h"
#include "shared/wire/wire.h"
#include "tests/fuzz/target.h"
#include "vassal/io/outbox.h"

static void
check_record(struct dz_slice value)
{
    struct outbox_item item = { 0 };
    struct dz_slice blob = { 0 }, text = { 0 };
    if (outbox_decode(value, &item, &blob, &text) != DZ_OK)
        return;
    dz_assert(blob.len <= value.len && text.len <= value.len - blob.len);

    DZ_AUTO(outbox_fini) struct outbox box = { 0 };
    DZ_AUTO(dz_buf_fini) struct dz_buf written = { 0 };
    struct outbox_item *kept = outbox_add(&box, item.record ? item.record : 1, blob, text);
    kept->outcome = item.outcome;
    kept->cause = item.cause;
    kept->signal = item.signal;
    kept->elapsed_us = item.elapsed_us;
    outbox_encode(kept, &written);

    struct outbox_item again = { 0 };
    struct dz_slice blob_again = { 0 }, text_again = { 0 };
    dz_assert(outbox_decode(dz_buf_slice(&written), &again, &blob_again, &text_again) == DZ_OK);
    dz_assert(dz_slice_eq(blob, blob_again) && dz_slice_eq(text, text_again));
    dz_assert(again.cause == item.cause && again.elapsed_us == item.elapsed_us);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_record((struct dz_slice){ data, size });
    return 0;
}
