#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/unit/kv/kv_fixture.h"

static void
what_was_put_is_there_after_opening_again(void **state)
{
    struct fixture *f = *state;
    struct dz_kv *kv = open_kv(f);
    put(f, kv, "colour", "green");
    dz_kv_close(&kv);
    kv = open_kv(f);
    assert_string_equal(get(f, kv, "colour").got, "green");
    assert_int_equal(get(f, kv, "shape").rc, DZ_ABSENT);
    dz_kv_close(&kv);
}

static enum dz_rc
put_then_refuse(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    (void) arg;
    enum dz_rc rc = dz_kv_put(txn, TABLE_A, dz_str("half"), dz_str("done"), err);
    return rc == DZ_OK ? dz_fail(err, DZ_EXISTS, "changed my mind") : rc;
}

static void
a_write_that_fails_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct dz_kv *kv = open_kv(f);
    assert_int_equal(dz_kv_write(kv, put_then_refuse, NULL, &f->err), DZ_EXISTS);
    assert_string_equal(f->err.text, "changed my mind");
    assert_int_equal(get(f, kv, "half").rc, DZ_ABSENT);
    dz_kv_close(&kv);
}

static void
a_batch_is_applied_in_order_and_empty_afterwards(void **state)
{
    struct fixture *f = *state;
    struct dz_kv *kv = open_kv(f);
    DZ_AUTO(dz_kv_batch_fini) struct dz_kv_batch batch = { 0 };
    dz_kv_batch_put(&batch, TABLE_A, dz_str("k"), dz_str("1"));
    dz_kv_batch_del(&batch, TABLE_A, dz_str("k"));
    dz_kv_batch_del(&batch, TABLE_A, dz_str("never there"));
    dz_kv_batch_put(&batch, TABLE_A, dz_str("k"), dz_str("2"));
    assert_int_equal(batch.count, 4);
    assert_ok(dz_kv_batch_commit(&batch, kv, &f->err));
    assert_int_equal(batch.count, 0);
    assert_string_equal(get(f, kv, "k").got, "2");
    dz_kv_close(&kv);
}

struct walked {
    char keys[128];
    const char *prefix, *seek;
    bool backwards;
};

static enum dz_rc
walk(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct walked *w = arg;
    struct dz_slice key, value;
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, txn, TABLE_A, dz_str(w->prefix));
    if (w->seek)
        dz_kv_iter_seek(&it, dz_str(w->seek));
    while (w->backwards ? dz_kv_prev(&it, &key, &value) : dz_kv_next(&it, &key, &value)) {
        size_t len = strlen(w->keys);
        (void) snprintf(w->keys + len, sizeof(w->keys) - len, "%.*s ", (int) key.len, key.ptr);
    }
    return dz_kv_iter_rc(&it, err);
}

static void
a_walk_sees_the_keys_of_its_prefix_in_either_direction(void **state)
{
    static const struct {
        struct walked how;
        const char *expected;
    } cases[] = {
        { { .prefix = "j" }, "j1 j2 j4 " },
        { { .prefix = "j", .backwards = true }, "j4 j2 j1 " },
        { { .prefix = "" }, "a j1 j2 j4 k " },
        { { .prefix = "", .backwards = true }, "k j4 j2 j1 a " },
        { { .prefix = "j", .seek = "j2" }, "j2 j4 " },
        { { .prefix = "j", .seek = "j3" }, "j4 " },
        { { .prefix = "j", .seek = "j3", .backwards = true }, "j2 j1 " },
        { { .prefix = "j", .seek = "j9", .backwards = true }, "j4 j2 j1 " },
        { { .prefix = "x" }, "" },
        { { .prefix = "k", .backwards = true }, "k " },
        { { .prefix = "\xff", .backwards = true }, "" },
    };
    struct fixture *f = *state;
    struct dz_kv *kv = open_kv(f);
    static const char *const keys[] = { "k", "j2", "a", "j4", "j1" };
    for (size_t i = 0; i < DZ_LEN(keys); i++)
        put(f, kv, keys[i], "v");
    for (size_t i = 0; i < DZ_LEN(cases); i++) {
        struct walked w = cases[i].how;
        assert_ok(dz_kv_read(kv, walk, &w, &f->err));
        assert_string_equal(w.keys, cases[i].expected);
    }
    dz_kv_close(&kv);
}

enum { BIG_VALUES = 24, BIG_LEN = 1 << 20 };

static bool
is_odd(const void *arg, struct dz_slice value)
{
    (void) arg;
    return value.ptr[0] % 2 == 1;
}

/* Every second value, from the first to the last byte, and the first again after all. */
static enum dz_rc
walk_big(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    unsigned *count = arg;
    struct dz_slice key, value, first = { 0 };
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, txn, TABLE_A, dz_str("big"));
    it.is_skipped = is_odd;
    for (*count = 0; dz_kv_next(&it, &key, &value); ++*count) {
        assert_int_equal(value.len, BIG_LEN);
        assert_int_equal(value.ptr[0], 2 * *count);
        assert_int_equal(value.ptr[BIG_LEN - 1], 2 * *count);
        if (!first.ptr)
            first = value;
    }
    assert_int_equal(first.ptr[BIG_LEN / 2], 0);
    return dz_kv_iter_rc(&it, err);
}

static enum dz_rc
put_big_and_walk(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    DZ_AUTO(dz_free) uint8_t *bytes = dz_alloc0(BIG_LEN, 1);
    enum dz_rc rc = DZ_OK;
    for (unsigned i = 0; rc == DZ_OK && i < BIG_VALUES; i++) {
        char key[8];
        (void) snprintf(key, sizeof(key), "big%02u", i);
        memset(bytes, (int) i, BIG_LEN);
        rc = dz_kv_put(txn, TABLE_A, dz_str(key), (struct dz_slice){ bytes, BIG_LEN }, err);
    }
    return rc == DZ_OK ? walk_big(txn, arg, err) : rc;
}

static void
a_long_walk_passes_over_what_it_need_not_read(void **state)
{
    struct fixture *f = *state;
    struct dz_kv *kv = open_kv(f);
    unsigned count = 0;
    put(f, kv, "bih", "\1"); /* behind the prefix */
    assert_ok(dz_kv_write(kv, put_big_and_walk, &count, &f->err));
    assert_int_equal(count, BIG_VALUES / 2);
    assert_ok(dz_kv_read(kv, walk_big, &count, &f->err));
    assert_int_equal(count, BIG_VALUES / 2);
    dz_kv_close(&kv);
}

static void
an_empty_table_has_nothing_to_walk(void **state)
{
    struct fixture *f = *state;
    struct dz_kv *kv = open_kv(f);
    struct walked w = { .prefix = "" };
    assert_ok(dz_kv_read(kv, walk, &w, &f->err));
    w.backwards = true;
    assert_ok(dz_kv_read(kv, walk, &w, &f->err));
    assert_string_equal(w.keys, "");
    dz_kv_close(&kv);
}

static void
the_map_grows_when_it_is_full(void **state)
{
    struct fixture *f = *state;
    struct dz_kv *kv = open_kv(f); /* 1 MiB */
    uint8_t *big = dz_alloc0(1, 3 << 20);
    DZ_AUTO(dz_kv_batch_fini) struct dz_kv_batch batch = { 0 };
    dz_kv_batch_put(&batch, TABLE_B, dz_str("big"), (struct dz_slice){ big, 3 << 20 });
    dz_kv_batch_put(&batch, TABLE_A, dz_str("small"), dz_str("too"));
    assert_ok(dz_kv_batch_commit(&batch, kv, &f->err));
    assert_string_equal(get(f, kv, "small").got, "too");
    struct dz_kv_stat stat;
    assert_ok(dz_kv_stat(kv, &stat, &f->err));
    assert_true(stat.map_bytes >= 4 << 20);
    dz_kv_close(&kv);
    free(big);
}

static void
at_the_maps_limit_a_write_is_full_and_the_batch_is_kept(void **state)
{
    struct fixture *f = *state;
    struct dz_kv_opts opts = OPTS;
    opts.map_limit = 2 << 20;
    struct dz_kv *kv = NULL;
    assert_ok(dz_kv_open(f->dir, &opts, &kv, &f->err));
    put(f, kv, "before", "here");
    uint8_t *big = dz_alloc0(1, 3 << 20);
    DZ_AUTO(dz_kv_batch_fini) struct dz_kv_batch batch = { 0 };
    dz_kv_batch_put(&batch, TABLE_B, dz_str("big"), (struct dz_slice){ big, 3 << 20 });
    assert_int_equal(dz_kv_batch_commit(&batch, kv, &f->err), DZ_FULL);
    assert_int_equal(batch.count, 1);
    assert_string_equal(get(f, kv, "before").got, "here");
    put(f, kv, "after", "works");
    dz_kv_close(&kv);
    free(big);
}

/* RLIMIT_FSIZE stands for a full disk: the kernel refuses to make the file longer. */
static void
a_full_disk_refuses_the_write_and_still_reads_and_deletes(void **state)
{
    struct fixture *f = *state;
    struct dz_kv *kv = open_kv(f);
    put(f, kv, "before", "here");
    struct rlimit old, small = { 256 << 10, RLIM_INFINITY };
    (void) getrlimit(RLIMIT_FSIZE, &old);
    small.rlim_max = old.rlim_max;
    (void) signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    uint8_t *big = dz_alloc0(1, 512 << 10);
    DZ_AUTO(dz_kv_batch_fini) struct dz_kv_batch batch = { 0 };
    dz_kv_batch_put(&batch, TABLE_B, dz_str("big"), (struct dz_slice){ big, 512 << 10 });
    enum dz_rc rc = dz_kv_batch_commit(&batch, kv, &f->err);
    enum dz_rc again = dz_kv_batch_commit(&batch, kv, &f->err);
    struct dz_kv_batch del = { 0 };
    dz_kv_batch_del(&del, TABLE_A, dz_str("before"));
    struct want seen = get(f, kv, "before");
    enum dz_rc deleted = dz_kv_batch_commit(&del, kv, &f->err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    dz_kv_batch_fini(&del);
    assert_true(rc == DZ_FULL || rc == DZ_IO);
    assert_true(again == DZ_FULL || again == DZ_IO);
    assert_string_equal(seen.got, "here");
    assert_ok(deleted);
    assert_ok(dz_kv_batch_commit(&batch, kv, &f->err)); /* there is room again */
    assert_int_equal(get(f, kv, "before").rc, DZ_ABSENT);
    dz_kv_close(&kv);
    free(big);
}

static enum dz_rc
read_while_another_process_writes(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct fixture *f = arg;
    struct dz_slice value;
    enum dz_rc rc = dz_kv_get(txn, TABLE_A, dz_str("n"), &value, err);
    assert_ok(rc);
    assert_memory_equal(value.ptr, "1", 1);
    pid_t pid = fork();
    if (pid == 0) {
        struct dz_kv *other = NULL; /* the parent's handle is not touched here */
        struct dz_kv_batch batch = { 0 };
        dz_kv_batch_put(&batch, TABLE_A, dz_str("n"), dz_str("2"));
        bool ok = dz_kv_open(f->dir, &OPTS, &other, err) == DZ_OK &&
                  dz_kv_batch_commit(&batch, other, err) == DZ_OK;
        _exit(ok ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    rc = dz_kv_get(txn, TABLE_A, dz_str("n"), &value, err);
    assert_ok(rc);
    assert_memory_equal(value.ptr, "1", 1);
    return DZ_OK;
}

static void
a_reader_sees_one_moment_and_never_blocks_a_writer(void **state)
{
    struct fixture *f = *state;
    struct dz_kv *kv = open_kv(f);
    put(f, kv, "n", "1");
    assert_ok(dz_kv_read(kv, read_while_another_process_writes, f, &f->err));
    assert_string_equal(get(f, kv, "n").got, "2");
    dz_kv_close(&kv);
}

static void
a_map_grown_by_another_process_is_followed(void **state)
{
    struct fixture *f = *state;
    struct dz_kv *kv = open_kv(f);
    put(f, kv, "n", "1");
    pid_t pid = fork();
    if (pid == 0) {
        struct dz_kv *other = NULL;
        struct dz_err err;
        uint8_t *big = dz_alloc0(1, 5 << 20);
        struct dz_kv_batch batch = { 0 };
        dz_kv_batch_put(&batch, TABLE_B, dz_str("big"), (struct dz_slice){ big, 5 << 20 });
        bool ok = dz_kv_open(f->dir, &OPTS, &other, &err) == DZ_OK &&
                  dz_kv_batch_commit(&batch, other, &err) == DZ_OK;
        _exit(ok ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_string_equal(get(f, kv, "n").got, "1");
    put(f, kv, "n", "3");
    assert_string_equal(get(f, kv, "n").got, "3");
    dz_kv_close(&kv);
}

static void
reading_what_nobody_made_is_absent_and_makes_nothing(void **state)
{
    struct fixture *f = *state;
    struct dz_kv_opts opts = OPTS;
    struct dz_kv *kv = NULL;
    opts.is_readonly = true;
    assert_int_equal(dz_kv_open(f->dir, &opts, &kv, &f->err), DZ_ABSENT);
    assert_null(kv);
    assert_int_not_equal(access(f->dir, F_OK), 0);
}

static void
a_table_that_was_never_made_is_empty_to_a_reader(void **state)
{
    struct fixture *f = *state;
    struct dz_kv *kv = open_kv(f);
    put(f, kv, "n", "1");
    dz_kv_close(&kv);
    static const char *const more[] = { "a", "later" };
    struct dz_kv_opts opts = { .tables = more, .table_count = 2, .is_readonly = true };
    assert_ok(dz_kv_open(f->dir, &opts, &kv, &f->err));
    struct want want = { .key = "n", .table = 1 };
    assert_ok(dz_kv_read(kv, read_one, &want, &f->err));
    assert_int_equal(want.rc, DZ_ABSENT);
    dz_kv_close(&kv);
}

static void
keys_that_lmdb_cannot_hold_are_refused(void **state)
{
    struct fixture *f = *state;
    struct dz_kv *kv = open_kv(f);
    struct dz_kv_batch batch = { 0 };
    dz_kv_batch_put(&batch, TABLE_A, dz_str(""), dz_str("v"));
    assert_int_equal(dz_kv_batch_commit(&batch, kv, &f->err), DZ_LIMIT);
    dz_kv_batch_fini(&batch);
    dz_kv_close(&kv);
}

static enum dz_rc
die(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    (void) txn, (void) arg, (void) err;
    (void) raise(SIGKILL);
    return DZ_OK;
}

static void
the_slot_of_a_reader_killed_while_it_read_is_freed(void **state)
{
    struct fixture *f = *state;
    struct dz_kv *kv = open_kv(f);
    put(f, kv, "n", "1");
    pid_t pid = fork();
    if (pid == 0) {
        struct dz_kv *other = NULL;
        struct dz_kv_opts opts = OPTS;
        opts.is_readonly = true;
        if (dz_kv_open(f->dir, &opts, &other, &f->err) == DZ_OK)
            (void) !dz_kv_read(other, die, NULL, &f->err);
        _exit(1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    struct dz_kv_stat stat;
    assert_ok(dz_kv_stat(kv, &stat, &f->err));
    assert_int_equal(stat.stale_readers, 1);
    dz_kv_close(&kv);
}

static enum dz_rc
stop_in_the_middle(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    enum dz_rc rc = dz_kv_put(txn, TABLE_A, dz_str("n"), dz_str("stopped"), err);
    (void) arg;
    (void) raise(SIGSTOP);
    return rc;
}

static pid_t
start_stopped_writer(struct fixture *f)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct dz_kv *other = NULL;
        bool ok = dz_kv_open(f->dir, &OPTS, &other, &f->err) == DZ_OK &&
                  dz_kv_write(other, stop_in_the_middle, NULL, &f->err) == DZ_OK;
        _exit(ok ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
    return pid;
}

static void
a_stopped_writer_does_not_stop_the_others_for_ever(void **state)
{
    struct fixture *f = *state;
    struct dz_kv_opts opts = OPTS;
    struct dz_kv *kv = NULL;
    opts.lock_ms = 50;
    assert_ok(dz_kv_open(f->dir, &opts, &kv, &f->err));
    put(f, kv, "n", "1");
    pid_t pid = start_stopped_writer(f);
    struct dz_kv_batch batch = { 0 };
    dz_kv_batch_put(&batch, TABLE_A, dz_str("m"), dz_str("2"));
    assert_int_equal(dz_kv_batch_commit(&batch, kv, &f->err), DZ_AGAIN);
    assert_string_equal(get(f, kv, "n").got, "1"); /* reading goes on */
    assert_int_equal(kill(pid, SIGCONT), 0);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_ok(dz_kv_batch_commit(&batch, kv, &f->err));
    assert_string_equal(get(f, kv, "n").got, "stopped");
    assert_string_equal(get(f, kv, "m").got, "2");
    dz_kv_batch_fini(&batch);
    dz_kv_close(&kv);
}

static void
a_writer_killed_in_the_middle_gives_its_turn_up(void **state)
{
    struct fixture *f = *state;
    struct dz_kv *kv = open_kv(f);
    put(f, kv, "n", "1");
    pid_t pid = start_stopped_writer(f);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_string_equal(get(f, kv, "n").got, "1");
    put(f, kv, "n", "3");
    assert_string_equal(get(f, kv, "n").got, "3");
    dz_kv_close(&kv);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(what_was_put_is_there_after_opening_again),
        T(a_write_that_fails_changes_nothing),
        T(a_batch_is_applied_in_order_and_empty_afterwards),
        T(a_walk_sees_the_keys_of_its_prefix_in_either_direction),
        T(a_long_walk_passes_over_what_it_need_not_read),
        T(an_empty_table_has_nothing_to_walk),
        T(the_map_grows_when_it_is_full),
        T(at_the_maps_limit_a_write_is_full_and_the_batch_is_kept),
        T(a_full_disk_refuses_the_write_and_still_reads_and_deletes),
        T(a_reader_sees_one_moment_and_never_blocks_a_writer),
        T(a_map_grown_by_another_process_is_followed),
        T(reading_what_nobody_made_is_absent_and_makes_nothing),
        T(a_table_that_was_never_made_is_empty_to_a_reader),
        T(keys_that_lmdb_cannot_hold_are_refused),
        T(a_stopped_writer_does_not_stop_the_others_for_ever),
        T(a_writer_killed_in_the_middle_gives_its_turn_up),
        T(the_slot_of_a_reader_killed_while_it_read_is_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
