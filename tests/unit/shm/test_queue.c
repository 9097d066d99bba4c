/* The queue between an agent and its worker, alone and with both sides hammering it. */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

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
    assert_ok(dz_shm_create(7, &self->fd, &self->shm, NULL));
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
entries_come_out_in_the_order_in_which_they_went_in(void **state)
{
    struct dz_shm *shm = ((struct fixture *) *state)->shm;
    uint32_t test = 0, attempt = 0;
    assert_ok(dz_queue_put(shm, 16777215, 255));
    assert_ok(dz_queue_put(shm, 5, 0));
    assert_int_equal(dz_queue_len(shm), 2);
    assert_ok(dz_queue_take(shm, &test, &attempt));
    assert_int_equal(test, 16777215);
    assert_int_equal(attempt, 255);
    assert_ok(dz_queue_take(shm, &test, &attempt));
    assert_int_equal(test, 5);
    assert_int_equal(attempt, 0);
    assert_int_equal(dz_queue_take(shm, &test, &attempt), DZ_ABSENT);
}

static void
what_was_not_taken_can_be_taken_back_from_the_end(void **state)
{
    struct dz_shm *shm = ((struct fixture *) *state)->shm;
    uint32_t test = 0, attempt = 0;
    for (uint32_t i = 1; i <= 3; i++)
        assert_ok(dz_queue_put(shm, i, 0));
    assert_ok(dz_queue_take(shm, &test, &attempt));
    assert_ok(dz_queue_unput(shm, &test, &attempt));
    assert_int_equal(test, 3);
    assert_ok(dz_queue_unput(shm, &test, &attempt));
    assert_int_equal(test, 2);
    assert_int_equal(dz_queue_unput(shm, &test, &attempt), DZ_ABSENT);
}

static void
it_is_full_at_its_capacity_also_after_many_rounds(void **state)
{
    struct dz_shm *shm = ((struct fixture *) *state)->shm;
    uint32_t test = 0, attempt = 0;
    for (uint32_t round = 0; round < 1000; round++) {
        assert_ok(dz_queue_put(shm, round, 0));
        assert_ok(dz_queue_take(shm, &test, &attempt));
    }
    for (uint32_t i = 0; i < DZ_QUEUE_CAP; i++)
        assert_ok(dz_queue_put(shm, i, 0));
    assert_int_equal(dz_queue_put(shm, 9, 0), DZ_FULL);
    for (uint32_t i = 0; i < DZ_QUEUE_CAP; i++) {
        assert_ok(dz_queue_take(shm, &test, &attempt));
        assert_int_equal(test, i);
    }
}

static void
positions_survive_passing_the_end_of_32_bits(void **state)
{
    struct dz_shm *shm = ((struct fixture *) *state)->shm;
    uint32_t test = 0, attempt = 0;
    atomic_store(&shm->queue, 0xfffffffefffffffeULL);
    for (uint32_t i = 0; i < 5; i++)
        assert_ok(dz_queue_put(shm, i, 1));
    assert_int_equal(dz_queue_len(shm), 5);
    for (uint32_t i = 0; i < 5; i++) {
        assert_ok(dz_queue_take(shm, &test, &attempt));
        assert_int_equal(test, i);
    }
    assert_int_equal(dz_queue_len(shm), 0);
}

static void
positions_that_make_no_sense_are_an_empty_and_full_queue(void **state)
{
    struct dz_shm *shm = ((struct fixture *) *state)->shm;
    uint32_t test = 0, attempt = 0;
    atomic_store(&shm->queue, 0x0000000500000009ULL); /* the end before the next */
    assert_int_equal(dz_queue_take(shm, &test, &attempt), DZ_ABSENT);
    assert_int_equal(dz_queue_unput(shm, &test, &attempt), DZ_ABSENT);
    assert_int_equal(dz_queue_put(shm, 1, 0), DZ_FULL);
    assert_int_equal(dz_queue_len(shm), 0);
}

enum { HAMMERED = 200000 };

struct hammer {
    struct dz_shm *shm;
    _Atomic bool is_over;
    uint8_t *taken; /* times that each entry was taken */
};

static void *
take_all(void *arg)
{
    struct hammer *self = arg;
    uint32_t test = 0, attempt = 0;
    for (;;) {
        bool was_over = atomic_load(&self->is_over);
        if (dz_queue_take(self->shm, &test, &attempt) == DZ_OK)
            self->taken[test] = (uint8_t) (self->taken[test] + 1);
        else if (was_over)
            return NULL;
    }
}

/* The agent puts every entry once, takes some back and puts them again later; whatever the
 * interleaving, an entry is either with the worker or with the agent. */
static void
every_entry_is_taken_exactly_once_while_the_agent_takes_back(void **state)
{
    struct fixture *fixture = *state;
    struct hammer self = { .shm = fixture->shm, .taken = dz_alloc0(HAMMERED, 1) };
    uint32_t *stack = dz_alloc0(HAMMERED, sizeof(*stack)); /* still to be put */
    size_t left = 0, back_count = 0;
    for (uint32_t i = 0; i < HAMMERED; i++)
        stack[left++] = HAMMERED - 1 - i;

    pthread_t worker;
    assert_int_equal(pthread_create(&worker, NULL, take_all, &self), 0);
    for (uint32_t round = 0; left > 0; round++) {
        for (uint32_t burst = round % 3 + 1; burst > 0 && left > 0; burst--) {
            if (dz_queue_put(self.shm, stack[left - 1], 0) == DZ_OK)
                left--;
        }
        uint32_t test = 0, attempt = 0;
        for (uint32_t i = 0; i < round % 3; i++) {
            if (dz_queue_unput(self.shm, &test, &attempt) != DZ_OK)
                continue;
            /* another one goes into its place: that the word is what it was proves nothing */
            size_t other = round * 7919U % (left + 1);
            stack[left] = stack[other];
            stack[other] = test;
            left++;
            back_count++;
        }
    }
    atomic_store(&self.is_over, true);
    assert_int_equal(pthread_join(worker, NULL), 0);
    for (uint32_t i = 0; i < HAMMERED; i++)
        assert_int_equal(self.taken[i], 1);
    assert_true(back_count > 0);
    free(self.taken);
    free(stack);
}

static void
a_mapping_is_seen_by_both_sides(void **state)
{
    struct fixture *fixture = *state;
    DZ_AUTO(dz_shm_unmap) struct dz_shm *other = NULL;
    uint32_t test = 0, attempt = 0;
    assert_ok(dz_shm_map(fixture->fd, &other, NULL));
    assert_int_equal(other->num, 7);
    assert_ok(dz_queue_put(other, 3, 1));
    assert_ok(dz_queue_take(fixture->shm, &test, &attempt));
    assert_int_equal(test, 3);
}

static void
a_file_that_could_shrink_under_the_agent_is_refused(void **state)
{
    (void) state;
    struct dz_err err;
    struct dz_shm *shm = NULL;
    DZ_AUTO(dz_fd_close) int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(ftruncate(fd, DZ_SHM_SIZE), 0);
    assert_int_equal(dz_shm_map(fd, &shm, &err), DZ_CORRUPT);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    assert_int_equal(dz_shm_map(fd, &shm, &err), DZ_CORRUPT); /* no magic */
    assert_null(shm);
}

int
main(void)
{
#define FACT(name) cmocka_unit_test_setup_teardown(name, make, unmake)
    const struct CMUnitTest tests[] = {
        FACT(entries_come_out_in_the_order_in_which_they_went_in),
        FACT(what_was_not_taken_can_be_taken_back_from_the_end),
        FACT(it_is_full_at_its_capacity_also_after_many_rounds),
        FACT(positions_survive_passing_the_end_of_32_bits),
        FACT(positions_that_make_no_sense_are_an_empty_and_full_queue),
        FACT(every_entry_is_taken_exactly_once_while_the_agent_takes_back),
        FACT(a_mapping_is_seen_by_both_sides),
        FACT(a_file_that_could_shrink_under_the_agent_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
