/* shm.c - the queue and the ring: one side writes, the other reads, neither waits.
 *
 * Queue  One word holds both positions, so a take and an unput that want the same last entry meet
 *        in one compare-and-set and one of them loses.  The word alone does not name the entry:
 *        while the worker looks, the agent may take an entry back and put another one in its
 *        place, and the word is what it was.  So the worker first takes the position and then
 *        reads the slot, and the agent never writes a slot whose reader may not be through: with
 *        CAP entries waiting it writes at most CAP positions ahead, and there are twice as many.
 * Ring   Positions count bytes for ever; the offset is the position modulo the size.  Bytes are
 *        copied before the position that publishes them, so a SIGKILL leaves only whole writes.
 *
 * A test can write anything over all this.  Distances between positions are therefore claims: one
 * above the capacity means "nothing there" to the side that takes and "full" to the one that
 * adds; no index is used before it is reduced, and no loop runs longer than RETRY_MAX. */
#include "shared/shm/shm.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/buf.h"
#include "shared/base/fd.h"

enum {
    SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL,
    RETRY_MAX = 10000, /* lost races in a row; each means that the other side got on */
};

_Static_assert((DZ_QUEUE_CAP & (DZ_QUEUE_CAP - 1)) == 0, "positions may wrap");
_Static_assert((DZ_RING_SIZE & (DZ_RING_SIZE - 1)) == 0, "positions may wrap");

/* ------------------------------------------------------------------ the mapping */

/* NULL, and why, when it cannot be mapped. */
static struct dz_shm *
map(int fd, struct dz_err *err)
{
    void *at = mmap(NULL, DZ_SHM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at != MAP_FAILED)
        return at;
    (void) dz_fail_errno(err, "map a worker's memory");
    return NULL;
}

enum dz_rc
dz_shm_create(uint32_t num, int *fd_out, struct dz_shm **shm_out, struct dz_err *err)
{
    DZ_AUTO(dz_fd_close) int fd = memfd_create("dagz-worker", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return dz_fail_errno(err, "make the memory of worker %u", num);
    if (ftruncate(fd, DZ_SHM_SIZE) != 0 || fcntl(fd, F_ADD_SEALS, SEALS) != 0)
        return dz_fail_errno(err, "size the memory of worker %u", num);
    struct dz_shm *shm = map(fd, err);
    if (!shm)
        return DZ_IO;
    shm->magic = DZ_SHM_MAGIC;
    shm->version = DZ_SHM_VERSION;
    shm->num = num;
    *shm_out = shm;
    *fd_out = dz_fd_move(&fd);
    return DZ_OK;
}

enum dz_rc
dz_shm_map(int fd, struct dz_shm **shm_out, struct dz_err *err)
{
    /* A file that can shrink would kill the agent by SIGBUS, so the seal is checked and not the
     * size alone. */
    struct stat info;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &info) != 0 ||
        info.st_size < DZ_SHM_SIZE)
        return dz_fail(err, DZ_CORRUPT, "a worker's memory is not a sealed file of %d bytes",
                       DZ_SHM_SIZE);
    DZ_AUTO(dz_shm_unmap) struct dz_shm *shm = map(fd, err);
    if (!shm)
        return DZ_IO;
    if (shm->magic != DZ_SHM_MAGIC || shm->version != DZ_SHM_VERSION)
        return dz_fail(err, DZ_CORRUPT, "a worker's memory is not of version %d", DZ_SHM_VERSION);
    *shm_out = dz_move(shm);
    return DZ_OK;
}

void
dz_shm_unmap(struct dz_shm **self_p)
{
    struct dz_shm *self = dz_move(*self_p);
    if (self)
        (void) munmap(self, DZ_SHM_SIZE); /* fails only for addresses that are not ours */
}

/* ------------------------------------------------------------------ queue */

struct span {
    uint32_t next, end;
};

static struct span
unpack(uint64_t word)
{
    return (struct span){ .next = (uint32_t) word, .end = (uint32_t) (word >> 32) };
}

static uint64_t
pack(struct span span)
{
    return (uint64_t) span.end << 32 | span.next;
}

static _Atomic uint64_t *
slot_of(struct dz_shm *self, uint32_t position)
{
    return &self->slots[position % DZ_LEN(self->slots)];
}

static bool
is_empty(struct span span)
{
    uint32_t waiting = span.end - span.next;
    return waiting == 0 || waiting > DZ_QUEUE_CAP;
}

static void
read_slot(struct dz_shm *self, uint32_t position, uint32_t *test_out, uint32_t *attempt_out)
{
    uint64_t entry = atomic_load(slot_of(self, position));
    *test_out = (uint32_t) entry;
    *attempt_out = (uint32_t) (entry >> 32);
}

enum dz_rc
dz_queue_put(struct dz_shm *self, uint32_t test, uint32_t attempt)
{
    uint64_t word = atomic_load(&self->queue);
    for (int i = 0; i < RETRY_MAX; i++) {
        struct span span = unpack(word);
        if (span.end - span.next >= DZ_QUEUE_CAP)
            return DZ_FULL;
        atomic_store(slot_of(self, span.end), (uint64_t) attempt << 32 | test);
        span.end++;
        if (atomic_compare_exchange_strong(&self->queue, &word, pack(span)))
            return DZ_OK;
    }
    return DZ_FULL;
}

enum dz_rc
dz_queue_unput(struct dz_shm *self, uint32_t *test_out, uint32_t *attempt_out)
{
    uint64_t word = atomic_load(&self->queue);
    for (int i = 0; i < RETRY_MAX; i++) {
        struct span span = unpack(word);
        if (is_empty(span))
            return DZ_ABSENT;
        span.end--;
        if (atomic_compare_exchange_strong(&self->queue, &word, pack(span))) {
            read_slot(self, span.end, test_out, attempt_out);
            return DZ_OK;
        }
    }
    return DZ_ABSENT;
}

enum dz_rc
dz_queue_take(struct dz_shm *self, uint32_t *test_out, uint32_t *attempt_out)
{
    uint64_t word = atomic_load(&self->queue);
    for (int i = 0; i < RETRY_MAX; i++) {
        struct span span = unpack(word);
        if (is_empty(span))
            return DZ_ABSENT;
        uint32_t mine = span.next++;
        if (atomic_compare_exchange_strong(&self->queue, &word, pack(span))) {
            read_slot(self, mine, test_out, attempt_out); /* after it is ours: see the top */
            return DZ_OK;
        }
    }
    return DZ_ABSENT;
}

uint32_t
dz_queue_len(struct dz_shm *self)
{
    struct span span = unpack(atomic_load(&self->queue));
    return is_empty(span) ? 0 : span.end - span.next;
}

/* ------------------------------------------------------------------ ring */

size_t
dz_ring_room(struct dz_shm *self)
{
    uint64_t used = atomic_load(&self->ring_head) - atomic_load(&self->ring_tail);
    return used > DZ_RING_SIZE ? 0 : (size_t) (DZ_RING_SIZE - used);
}

enum dz_rc
dz_ring_write(struct dz_shm *self, struct dz_slice bytes)
{
    if (bytes.len == 0)
        return DZ_OK;
    if (bytes.len > dz_ring_room(self))
        return DZ_AGAIN;
    uint64_t head = atomic_load(&self->ring_head);
    size_t at = (size_t) (head % DZ_RING_SIZE);
    size_t first = bytes.len < DZ_RING_SIZE - at ? bytes.len : DZ_RING_SIZE - at;
    memcpy(self->ring + at, bytes.ptr, first);
    memcpy(self->ring, bytes.ptr + first, bytes.len - first);
    atomic_store(&self->ring_head, head + bytes.len);
    return DZ_OK;
}

enum dz_rc
dz_ring_read(struct dz_shm *self, uint64_t *pos, struct dz_buf *out)
{
    uint64_t unread = atomic_load(&self->ring_head) - *pos;
    if (unread > DZ_RING_SIZE)
        return DZ_CORRUPT;
    size_t len = (size_t) unread;
    size_t at = (size_t) (*pos % DZ_RING_SIZE);
    size_t first = len < DZ_RING_SIZE - at ? len : DZ_RING_SIZE - at;
    dz_buf_add(out, self->ring + at, first);
    dz_buf_add(out, self->ring, len - first);
    *pos += len;
    return DZ_OK;
}

void
dz_ring_commit(struct dz_shm *self, uint64_t pos)
{
    atomic_store(&self->ring_tail, pos);
}
