/* A mapping that a test scribbled over: the agent's functions and the worker's neither crash nor
 * run for ever, and give out no more than there can be. */
#include <string.h>

#include "shared/base/buf.h"
#include "shared/base/fd.h"
#include "shared/shm/shm.h"
#include "tests/fuzz/target.h"

enum { NUMBERS = 6 };

static struct dz_shm *
mapping(void)
{
    static struct dz_shm *shm; /* made once: a mapping for each input would be most of the time */
    if (!shm) {
        int fd = -1;
        dz_assert(dz_shm_create(0, &fd, &shm, NULL) == DZ_OK);
        dz_fd_close(&fd);
    }
    return shm;
}

static void
scribble(struct dz_shm *shm, const uint64_t numbers[static NUMBERS])
{
    atomic_store(&shm->queue, numbers[0]);
    atomic_store(&shm->ring_head, numbers[1]);
    atomic_store(&shm->ring_tail, numbers[2]);
    atomic_store(&shm->log_len, numbers[3]);
    atomic_store(&shm->drain_lock, 0);
}

static void
use_queue(struct dz_shm *shm)
{
    uint32_t test = 0, attempt = 0;
    unsigned taken = 0, put = 0, back = 0;
    dz_assert(dz_queue_len(shm) <= DZ_QUEUE_CAP);
    while (dz_queue_unput(shm, &test, &attempt) == DZ_OK)
        back++;
    while (dz_queue_put(shm, put, 1) == DZ_OK)
        put++;
    while (dz_queue_take(shm, &test, &attempt) == DZ_OK) {
        dz_assert(test == taken && attempt == 1);
        taken++;
    }
    dz_assert(back <= DZ_QUEUE_CAP && put <= DZ_QUEUE_CAP && taken == put);
}

static void
use_ring(struct dz_shm *shm, uint64_t pos, struct dz_slice bytes)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf out = { 0 };
    dz_assert(dz_ring_room(shm) <= DZ_RING_SIZE);
    uint64_t before = pos;
    enum dz_rc rc = dz_ring_read(shm, &pos, &out);
    dz_assert(out.len <= DZ_RING_SIZE && pos - before == out.len);
    dz_assert(rc == DZ_OK || (rc == DZ_CORRUPT && out.len == 0));

    size_t room = dz_ring_room(shm);
    uint64_t head = atomic_load(&shm->ring_head);
    rc = dz_ring_write(shm, bytes);
    dz_assert((rc == DZ_OK) == (bytes.len <= room));
    if (rc != DZ_OK)
        return;
    dz_buf_clear(&out);
    dz_assert(dz_ring_read(shm, &head, &out) == DZ_OK);
    dz_assert(dz_slice_eq(dz_buf_slice(&out), bytes));
    dz_ring_commit(shm, head);
    dz_assert(dz_ring_room(shm) == DZ_RING_SIZE);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t numbers[NUMBERS] = { 0 };
    if (size < sizeof(numbers))
        return 0;
    memcpy(numbers, data, sizeof(numbers));
    struct dz_shm *shm = mapping();
    scribble(shm, numbers);
    use_queue(shm);
    use_ring(shm, numbers[4], (struct dz_slice){ data + sizeof(numbers), size - sizeof(numbers) });
    return 0;
}
