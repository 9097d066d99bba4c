/* What a spool holds, as the agent that inherits it reads it.  LMDB's own pages are looked at in a
 * child that may die (shared/kv); what it then hands over is this: records, each refused, or one
 * that says the same after another trip. */
#include "shared/base/buf.h"
#include "shared/wire/wire.h"
#include "tests/fuzz/target.h"
#include "vassal/io/cargo.h"

static void
check_record(struct dz_slice value)
{
    struct cargo_item item = { 0 };
    struct dz_slice blob = { 0 }, text = { 0 };
    if (cargo_decode(value, &item, &blob, &text) != DZ_OK)
        return;
    dz_assert(blob.len <= value.len && text.len <= value.len - blob.len);

    DZ_AUTO(cargo_fini) struct cargo box = { 0 };
    DZ_AUTO(dz_buf_fini) struct dz_buf written = { 0 };
    struct cargo_item *kept = cargo_add(&box, item.record ? item.record : 1, blob, text);
    kept->outcome = item.outcome;
    kept->cause = item.cause;
    kept->signal = item.signal;
    kept->elapsed_us = item.elapsed_us;
    cargo_encode(kept, &written);

    struct cargo_item again = { 0 };
    struct dz_slice blob_again = { 0 }, text_again = { 0 };
    dz_assert(cargo_decode(dz_buf_slice(&written), &again, &blob_again, &text_again) == DZ_OK);
    dz_assert(dz_slice_eq(blob, blob_again) && dz_slice_eq(text, text_again));
    dz_assert(again.cause == item.cause && again.elapsed_us == item.elapsed_us);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_record((struct dz_slice){ data, size });
    return 0;
}
