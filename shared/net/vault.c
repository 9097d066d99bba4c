/* vault.c - where libzmq keeps the secrets of a handshake: its calls of libsodium's allocator end here.
 *
 * A place is what libsodium makes of it, too: pages of their own, locked, in no core dump, between two that
 * nobody may touch, with the bytes at the end, and wiped when they are given back.  Only that it is then kept
 * for the next one: a handshake asks for six, each of which costs ten calls of the kernel, and three at a time.
 *
 * Decision 0049.  The linker takes this for libsodium's, as it does with malloc(); see CMakeLists.txt. */
#include <errno.h>
#include <sodium.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shared/base/base.h"

enum {
    KEPT = 4, /* places of one page that wait for the next secret */
    HEAD = 16,
    FRESH = 0xdb, /* what new memory holds, as with libsodium */
};

/* At the begin of a place. */
struct head {
    size_t size; /* of the place, without the two pages around it */
};

static _Atomic(uint8_t *) kept[KEPT];

static size_t
page_size(void)
{
    return (size_t) sysconf(_SC_PAGESIZE);
}

static uint8_t *
take_kept(void)
{
    for (int i = 0; i < KEPT; i++) {
        uint8_t *place = atomic_load(&kept[i]) ? atomic_exchange(&kept[i], NULL) : NULL;
        if (place)
            return place;
    }
    return NULL;
}

/* False: there is no room. */
static bool
keep(uint8_t *place)
{
    for (int i = 0; i < KEPT; i++) {
        uint8_t *none = NULL;
        if (atomic_compare_exchange_strong(&kept[i], &none, place))
            return true;
    }
    return false;
}

/* NULL: there is no memory. */
static uint8_t *
make(size_t size)
{
    size_t page = page_size();
    uint8_t *all =
        mmap(NULL, size + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED)
        return NULL;
    uint8_t *place = all + page;
    if (mprotect(place, size, PROT_READ | PROT_WRITE) != 0) {
        (void) munmap(all, size + 2 * page);
        return NULL;
    }
    (void) madvise(place, size, MADV_DONTDUMP);
    (void) mlock(place, size); /* as much as the limit allows */
    ((struct head *) (void *) place)->size = size;
    return place;
}

void *
sodium_allocarray(size_t count, size_t size)
{
    size_t page = page_size(), len = 0;
    if (__builtin_mul_overflow(count, size, &len) || len > SIZE_MAX / 2) {
        errno = ENOMEM;
        return NULL;
    }
    size_t need = (len + HEAD + page - 1) / page * page;
    uint8_t *place = need == page ? take_kept() : NULL;
    place = place ? place : make(need);
    if (!place)
        return NULL;
    return memset(place + need - len, FRESH, len);
}

void *
sodium_malloc(size_t size)
{
    return sodium_allocarray(size, 1);
}

/* The bytes begin in the first page of their place, or in the first HEAD bytes of the next. */
void
sodium_free(void *bytes)
{
    if (!bytes)
        return;
    size_t page = page_size();
    uint8_t *at = bytes;
    uint8_t *place = at - HEAD - (uintptr_t) (at - HEAD) % page;
    size_t size = ((struct head *) (void *) place)->size;
    sodium_memzero(at, (size_t) (place + size - at));
    if (size == page && keep(place))
        return;
    (void) munmap(place - page, size + 2 * page); /* which unlocks it */
}
