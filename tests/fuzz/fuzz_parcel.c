/* Bytes that a stranger sends as a parcel, a receipt or durations.  To get past the checksum, the
 * input is what a parcel unpacks to, and is packed here; byte 0 says which of them it is.  What a
 * store has taken it must be able to read, and to send on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/files.h"
#include "store/parcel.h"
#include "store/store.h"
#include "tests/fuzz/target.h"

enum { INPUT_MAX = 64 << 10, JOBS_MAX = 200 };
static const char ULID[] = "01JD8Y7W9QK3T5V2X4Z6B8D0FG";

struct world {
    char home[32];
    struct store *store;
    struct store_inbox *inbox;
    unsigned inputs;
};

static struct world world;

static void
end_world(void)
{
    store_inbox_destroy(&world.inbox);
    store_close(&world.store);
    if (world.home[0])
        dz_remove_tree(world.home);
    world.home[0] = '\0';
    world.inputs = 0;
}

/* A new one now and then: what was taken before makes a difference, but must not grow for ever. */
static void
begin_world(void)
{
    struct dz_err err;
    if (world.store && ++world.inputs < JOBS_MAX)
        return;
    if (!world.store)
        (void) atexit(end_world);
    end_world();
    (void) snprintf(world.home, sizeof(world.home), "/dev/shm/dz-parcel-XXXXXX");
    if (!mkdtemp(world.home) ||
        store_open(world.home, STORE_WRITE, &world.store, NULL, &err) != DZ_OK)
        abort();
    world.inbox = store_inbox_new(world.store);
}

/* Whatever was taken can be read and sent on. */
static void
read_back(void)
{
    struct dz_err err;
    struct store_view *view = NULL;
    struct store_outbox *outbox = NULL;
    struct store_job_info info = { 0 };
    struct store_at at = { 0 }, after;
    DZ_AUTO(dz_buf_fini) struct dz_buf out = { 0 };
    DZ_AUTO(parcel_fini) struct parcel parcel = { 0 };
    if (store_view_load(world.store, ULID, &view, &err) != DZ_OK ||
        store_job_info(world.store, ULID, 0, &info, &err) != DZ_OK ||
        store_outbox_open(world.store, ULID, &outbox, &err) != DZ_OK ||
        store_outbox_next(outbox, &at, STORE_WITH_LIST, STORE_PARCEL_SOFT, &out, &after, &err) !=
            DZ_OK ||
        parcel_open(dz_buf_slice(&out), &parcel, &err) != DZ_OK) {
        (void) fprintf(stderr, "fuzz_parcel: %s\n", err.text);
        abort();
    }
    store_job_info_fini(&info);
    store_view_destroy(&view);
    store_outbox_close(&outbox);
}

static void
take(struct dz_slice raw)
{
    struct dz_err err;
    struct store_receipt receipt;
    DZ_AUTO(dz_buf_fini) struct dz_buf packed = { 0 };
    parcel_close(raw, &packed);
    begin_world();
    if (store_inbox_take(world.inbox, ULID, dz_buf_slice(&packed), NULL, &receipt, &err) == DZ_OK)
        read_back();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dz_err err;
    struct parcel parcel = { 0 };
    struct store_receipt receipt;
    struct store_durations *durations = NULL;
    if (size < 1 || size > INPUT_MAX)
        return 0;
    struct dz_slice rest = { data + 1, size - 1 };
    if (data[0] == 'p' && parcel_open(rest, &parcel, &err) == DZ_OK)
        parcel_fini(&parcel);
    else if (data[0] == 'r' && store_receipt_read(rest, &receipt, &err) == DZ_OK)
        dz_assert(strlen(receipt.short_id) < sizeof(receipt.short_id));
    else if (data[0] == 'd' && store_durations_read(rest, &durations, &err) == DZ_OK)
        store_durations_destroy(&durations);
    else if (data[0] == 'u')
        take(rest);
    return 0;
}
