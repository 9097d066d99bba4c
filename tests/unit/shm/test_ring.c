/* The ring from a worker to its agent. */
#include <pthread.h>
#include <stdlib.h>

#include "shared/base/buf.h"
#include "shared/base/fd.h"
#include "shared/shm/shm.h"
#include "tests/unit/unit.h"

struct fixture {
    struct dz_shm *shm;
    int fd;
};

static int
make(void **state)
{
    struct fixture *self = dz_alloc0(1, sizeof(*self));
    assert_ok(dz_shm_create(0, &self->fd, &self->shm, NULL));
    *state = self;
    return 0;
}

static int
unmake(void **state)
{
    struct fixture *self = *state;
    dz_shm_unmap(&self->shm);
    dz_fd_close(&self->fd);
    free(self);
    return 0;
}

static void
what_was_not_committed_is_read_again_by_the_next_agent(void **state)
{
    struct dz_shm *shm = ((struct fixture *) *state)->shm;
    DZ_AUTO(dz_buf_fini) struct dz_buf got = { 0 };
    assert_ok(dz_ring_write(shm, dz_str("first")));
    uint64_t pos = atomic_load(&shm->ring_tail);
    assert_ok(dz_ring_read(shm, &pos, &got));
    assert_true(dz_slice_eq(dz_buf_slice(&got), dz_str("first")));
    dz_ring_commit(shm, pos);
    assert_ok(dz_ring_write(shm, dz_str("second")));
    assert_ok(dz_ring_read(shm, &pos, &got)); /* and this agent dies before its commit */

    uint64_t next_pos = atomic_load(&shm->ring_tail);
    dz_buf_clear(&got);
    assert_ok(dz_ring_read(shm, &next_pos, &got));
    assert_true(dz_slice_eq(dz_buf_slice(&got), dz_str("second")));
}

static void
bytes_are_refused_whole_when_there_is_no_room_for_all(void **state)
{
    struct dz_shm *shm = ((struct fixture *) *state)->shm;
    DZ_AUTO(dz_free) uint8_t *many = dz_alloc0(DZ_RING_SIZE, 1);
    assert_ok(dz_ring_write(shm, (struct dz_slice){ many, DZ_RING_SIZE - 3 }));
    assert_int_equal(dz_ring_room(shm), 3);
    assert_int_equal(dz_ring_write(shm, dz_str("four")), DZ_AGAIN);
    assert_ok(dz_ring_write(shm, dz_str("two")));
    assert_int_equal(dz_ring_room(shm), 0);
    dz_ring_commit(shm, 5);
    assert_int_equal(dz_ring_room(shm), 5);
}

static void
positions_that_make_no_sense_are_named_corrupt(void **state)
{
    struct dz_shm *shm = ((struct fixture *) *state)->shm;
    DZ_AUTO(dz_buf_fini) struct dz_buf got = { 0 };
    uint64_t pos = 100;
    atomic_store(&shm->ring_head, 99);
    assert_int_equal(dz_ring_read(shm, &pos, &got), DZ_CORRUPT);
    atomic_store(&shm->ring_head, 100 + (uint64_t) DZ_RING_SIZE + 1);
    assert_int_equal(dz_ring_read(shm, &pos, &got), DZ_CORRUPT);
    assert_int_equal(got.len, 0);
    assert_int_equal(pos, 100);
    assert_int_equal(dz_ring_room(shm), 0);
}

enum { TOTAL = 8 * DZ_RING_SIZE };

static uint8_t
byte_at(size_t i)
{
    return (uint8_t) (i * 31 + (i >> 13));
}

static void *
write_total(void *arg)
{
    struct dz_shm *shm = arg;
    uint8_t piece[4096];
    for (size_t at = 0; at < TOTAL;) {
        size_t len = at * 7 % sizeof(piece) + 1;
        len = len < TOTAL - at ? len : TOTAL - at;
        for (size_t i = 0; i < len; i++)
            piece[i] = byte_at(at + i);
        if (dz_ring_write(shm, (struct dz_slice){ piece, len }) == DZ_OK)
            at += len;
    }
    return NULL;
}

static void
bytes_arrive_unchanged_and_in_order_round_and_round(void **state)
{
    struct dz_shm *shm = ((struct fixture *) *state)->shm;
    DZ_AUTO(dz_buf_fini) struct dz_buf got = { 0 };
    pthread_t worker;
    uint64_t pos = 0;
    assert_int_equal(pthread_create(&worker, NULL, write_total, shm), 0);
    while (pos < TOTAL) {
        size_t first = (size_t) pos;
        dz_buf_clear(&got);
        assert_ok(dz_ring_read(shm, &pos, &got));
        for (size_t i = 0; i < got.len; i++) {
            if (got.data[i] != byte_at(first + i))
                fail_msg("byte %zu differs", first + i);
        }
        dz_ring_commit(shm, pos);
    }
    assert_int_equal(pthread_join(worker, NULL), 0);
}

int
main(void)
{
#define FACT(name) cmocka_unit_test_setup_teardown(name, make, unmake)
    const struct CMUnitTest tests[] = {
        FACT(what_was_not_committed_is_read_again_by_the_next_agent),
        FACT(bytes_are_refused_whole_when_there_is_no_room_for_all),
        FACT(positions_that_make_no_sense_are_named_corrupt),
        FACT(bytes_arrive_unchanged_and_in_order_round_and_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
