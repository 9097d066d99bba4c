/* The log of a worker: who may append, and what a dead holder leaves. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/buf.h"
#include "shared/base/fd.h"
#include "shared/shm/shm.h"
#include "tests/unit/unit.h"

/* A pipe stands for the pseudo-terminal: the reader's end is `master`. */
struct fixture {
    struct dz_shm *shm;
    int fd, log, master, slave;
};

static int
make(void **state)
{
    struct fixture *self = dz_alloc0(1, sizeof(*self));
    int ends[2];
    assert_ok(dz_shm_create(0, &self->fd, &self->shm, NULL));
    self->log = memfd_create("log", MFD_CLOEXEC);
    assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    self->master = ends[0];
    self->slave = ends[1];
    *state = self;
    return 0;
}

static int
unmake(void **state)
{
    struct fixture *self = *state;
    dz_shm_unmap(&self->shm);
    dz_fd_close(&self->fd);
    dz_fd_close(&self->log);
    dz_fd_close(&self->master);
    dz_fd_close(&self->slave);
    free(self);
    return 0;
}

static void
assert_log(struct fixture *self, const char *wanted)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf got = { 0 };
    uint8_t *at = dz_buf_reserve(&got, 4096);
    ssize_t len = pread(self->log, at, 4096, 0);
    assert_true(len >= 0);
    assert_true(dz_slice_eq((struct dz_slice){ at, (size_t) len }, dz_str(wanted)));
    assert_int_equal(atomic_load(&self->shm->log_len), len);
}

static void
text_comes_after_what_the_terminal_holds(void **state)
{
    struct fixture *self = *state;
    uint64_t at = 0;
    assert_ok(dz_fd_write_all(self->slave, dz_str("from a child\n"), NULL));
    assert_ok(dz_log_append(self->shm, self->master, self->log, dz_str("from Python\n"), &at));
    assert_int_equal(at, 13);
    assert_log(self, "from a child\nfrom Python\n");
}

static void
draining_says_how_much_it_moved(void **state)
{
    struct fixture *self = *state;
    size_t moved = 99;
    assert_ok(dz_log_drain(self->shm, self->master, self->log, &moved));
    assert_int_equal(moved, 0);
    assert_ok(dz_fd_write_all(self->slave, dz_str("ten bytes\n"), NULL));
    assert_ok(dz_log_drain(self->shm, self->master, self->log, &moved));
    assert_int_equal(moved, 10);
    assert_int_equal(atomic_load(&self->shm->drain_lock), 0);
}

static void
a_living_holder_keeps_the_other_side_out(void **state)
{
    struct fixture *self = *state;
    assert_ok(dz_fd_write_all(self->slave, dz_str("x"), NULL));
    atomic_store(&self->shm->drain_lock, 1); /* init lives */
    assert_int_equal(dz_log_drain(self->shm, self->master, self->log, NULL), DZ_AGAIN);
    assert_log(self, "");
    atomic_store(&self->shm->drain_lock, 0);
    assert_ok(dz_log_drain(self->shm, self->master, self->log, NULL));
    assert_log(self, "x");
}

/* The holder wrote to the file and died before it said so. */
static void
nothing_is_lost_when_a_holder_is_killed(void **state)
{
    struct fixture *self = *state;
    uint64_t at = 0;
    pid_t child = fork();
    if (child == 0)
        (void) pause();
    assert_true(child > 0);
    atomic_store(&self->shm->drain_lock, (uint32_t) child);
    assert_ok(dz_fd_write_all(self->log, dz_str("half "), NULL));
    assert_int_equal(dz_log_drain(self->shm, self->master, self->log, NULL), DZ_AGAIN);

    assert_int_equal(kill(child, SIGKILL), 0);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t) child, &info, WEXITED | WNOWAIT), 0); /* a zombie */
    assert_ok(dz_log_append(self->shm, self->master, self->log, dz_str("said"), &at));
    assert_int_equal(at, 5);
    assert_log(self, "half said");

    atomic_store(&self->shm->drain_lock, (uint32_t) child);
    assert_int_equal(waitpid(child, NULL, 0), child); /* and gone */
    assert_ok(dz_log_drain(self->shm, self->master, self->log, NULL));
}

static void
a_number_that_no_process_can_have_holds_nothing(void **state)
{
    struct fixture *self = *state;
    atomic_store(&self->shm->drain_lock, 0xfffffff0U);
    assert_ok(dz_log_drain(self->shm, self->master, self->log, NULL));
}

static void
a_log_that_cannot_be_written_is_said_and_the_lock_is_left(void **state)
{
    struct fixture *self = *state;
    uint64_t at = 7;
    DZ_AUTO(dz_fd_close) int read_only = open("/dev/null", O_RDONLY | O_CLOEXEC);
    enum dz_rc rc = dz_log_append(self->shm, self->master, read_only, dz_str("text"), &at);
    assert_int_equal(rc, DZ_IO);
    assert_int_equal(at, 0);
    assert_int_equal(atomic_load(&self->shm->drain_lock), 0);
}

int
main(void)
{
#define FACT(name) cmocka_unit_test_setup_teardown(name, make, unmake)
    const struct CMUnitTest tests[] = {
        FACT(text_comes_after_what_the_terminal_holds),
        FACT(draining_says_how_much_it_moved),
        FACT(a_living_holder_keeps_the_other_side_out),
        FACT(nothing_is_lost_when_a_holder_is_killed),
        FACT(a_number_that_no_process_can_have_holds_nothing),
        FACT(a_log_that_cannot_be_written_is_said_and_the_lock_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
