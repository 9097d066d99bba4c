/* Damage done on purpose: whatever the bytes are, the check says so and we live. */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/unit/kv/kv_fixture.h"

enum { IMAGES = 60, PAGE = 4096 };

static void
fill(struct fixture *f)
{
    struct dz_kv *kv = open_kv(f);
    DZ_AUTO(dz_kv_batch_fini) struct dz_kv_batch batch = { 0 };
    char key[16], value[512];
    memset(value, 'v', sizeof(value));
    for (int i = 0; i < 300; i++) {
        (void) snprintf(key, sizeof(key), "key%04d", i);
        dz_kv_batch_put(&batch, i % 2 ? TABLE_A : TABLE_B, dz_str(key),
                        (struct dz_slice){ (uint8_t *) value, sizeof(value) });
    }
    assert_ok(dz_kv_batch_commit(&batch, kv, &f->err));
    dz_kv_close(&kv);
}

static int
open_data(struct fixture *f)
{
    char path[128];
    (void) snprintf(path, sizeof(path), "%s/data.mdb", f->dir);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void
overwrite(struct fixture *f, off_t at, const void *bytes, size_t len)
{
    int fd = open_data(f);
    assert_int_equal(pwrite(fd, bytes, len, at), (ssize_t) len);
    (void) close(fd);
}

static void
a_sound_directory_is_found_sound(void **state)
{
    struct fixture *f = *state;
    fill(f);
    assert_ok(dz_kv_check(f->dir, 0, &f->err));
    assert_ok(dz_kv_check(f->dir, 5, &f->err));
}

static void
a_directory_that_is_not_there_is_absent(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(dz_kv_check(f->dir, 0, &f->err), DZ_ABSENT);
}

static void
a_changed_byte_of_a_value_is_found(void **state)
{
    struct fixture *f = *state;
    fill(f);
    int fd = open_data(f);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    char *all = dz_alloc0(1, (size_t) st.st_size);
    assert_int_equal(pread(fd, all, (size_t) st.st_size, 0), st.st_size);
    for (off_t page = 0; page < st.st_size; page += PAGE) { /* some pages are free ones */
        char *hit = memmem(all + page, PAGE, "vvvvvvvv", 8);
        if (hit)
            assert_int_equal(pwrite(fd, "X", 1, hit - all + 3), 1);
    }
    (void) close(fd);
    free(all);
    assert_int_equal(dz_kv_check(f->dir, 0, &f->err), DZ_CORRUPT);
    assert_non_null(strstr(f->err.text, f->dir));
}

static void
a_file_cut_short_is_found_without_a_signal(void **state)
{
    struct fixture *f = *state;
    fill(f);
    int fd = open_data(f);
    assert_int_equal(ftruncate(fd, 5 * PAGE), 0);
    (void) close(fd);
    struct dz_kv_opts opts = OPTS;
    struct dz_kv *kv = NULL;
    opts.check_ms = 10;
    assert_int_equal(dz_kv_open(f->dir, &opts, &kv, &f->err), DZ_CORRUPT);
    assert_non_null(strstr(f->err.text, "is damaged"));
}

static void
a_file_of_something_else_is_found(void **state)
{
    struct fixture *f = *state;
    fill(f);
    char text[2 * PAGE];
    memset(text, '#', sizeof(text));
    overwrite(f, 0, text, sizeof(text));
    assert_int_equal(dz_kv_check(f->dir, 0, &f->err), DZ_CORRUPT);
}

static void
a_damaged_directory_is_put_aside_and_a_new_one_made(void **state)
{
    struct fixture *f = *state;
    fill(f);
    char text[2 * PAGE];
    memset(text, '#', sizeof(text));
    overwrite(f, 0, text, sizeof(text));
    struct dz_kv_opts opts = OPTS;
    opts.check_ms = 1000;
    struct dz_kv *kv = NULL;
    DZ_AUTO(dz_free) char *bad = NULL;
    assert_ok(dz_kv_open_or_replace(f->dir, &opts, &kv, &bad, &f->err));
    assert_non_null(bad);
    assert_string_equal(bad + strlen(f->dir), ".bad-1");
    assert_int_equal(access(bad, F_OK), 0);
    assert_int_equal(get(f, kv, "key0001").rc, DZ_ABSENT);
    put(f, kv, "works", "yes");
    dz_kv_close(&kv);
}

static void
a_good_one_that_took_its_place_is_left_alone(void **state)
{
    struct fixture *f = *state;
    fill(f);
    char *moved = NULL;
    assert_ok(dz_kv_quarantine(f->dir, &moved, &f->err));
    assert_null(moved);
    assert_ok(dz_kv_check(f->dir, 0, &f->err));
}

/* A page that is allocated and given back in one write may leave the file shorter than LMDB's own
 * count of pages: that is no damage. */
static void
a_file_that_is_shorter_than_its_count_of_pages_is_sound(void **state)
{
    struct fixture *f = *state;
    struct dz_kv *kv = open_kv(f);
    uint8_t *big = dz_alloc0(1, 40 * PAGE);
    for (int i = 0; i < 20; i++) {
        DZ_AUTO(dz_kv_batch_fini) struct dz_kv_batch batch = { 0 };
        size_t len = (size_t) (20 - i) * PAGE;
        dz_kv_batch_put(&batch, TABLE_B, dz_str("k"), (struct dz_slice){ big, 40 * PAGE });
        dz_kv_batch_put(&batch, TABLE_B, dz_str("k"), (struct dz_slice){ big, len });
        dz_kv_batch_del(&batch, TABLE_B, dz_str("k"));
        dz_kv_batch_put(&batch, TABLE_A, dz_str("small"), dz_str("v"));
        assert_ok(dz_kv_batch_commit(&batch, kv, &f->err));
        assert_ok(dz_kv_check(f->dir, 1, &f->err));
    }
    dz_kv_close(&kv);
    free(big);
}

/* xorshift: the same images in every run */
static uint32_t
draw(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

/* As after a kill in LMDB's first write.  Its first page is what it was then until the second commit. */
static void
cut_to(struct fixture *f, off_t len)
{
    int fd = open_data(f);
    assert_int_equal(ftruncate(fd, len), 0);
    (void) close(fd);
}

static void
one_whose_making_was_cut_short_is_made_anew(void **state)
{
    static const off_t lens[] = { 512, PAGE, PAGE + 512 };
    struct fixture *f = *state;
    for (size_t i = 0; i < DZ_LEN(lens); i++) {
        struct dz_kv *kv = open_kv(f); /* its first commit makes the tables */
        dz_kv_close(&kv);
        cut_to(f, PAGE);
        cut_to(f, lens[i]);
        assert_int_equal(dz_kv_check(f->dir, 0, &f->err), DZ_ABSENT);
        char *bad = NULL;
        struct dz_kv_opts opts = OPTS;
        opts.check_ms = 10;
        assert_ok(dz_kv_open_or_replace(f->dir, &opts, &kv, &bad, &f->err));
        assert_null(bad);
        put(f, kv, "key", "value");
        dz_kv_close(&kv);
        assert_ok(dz_kv_check(f->dir, 0, &f->err));
        dz_remove_tree(f->root);
        assert_int_equal(mkdir(f->root, 0700), 0);
    }
}

/* No disk is waited for, so what was written lies in memory that is not the dead process's. */
static void
what_an_unsynced_writer_put_outlives_its_death(void **state)
{
    struct fixture *f = *state;
    pid_t pid = fork();
    if (pid == 0) {
        struct dz_kv *mine = NULL;
        struct dz_kv_opts opts = OPTS;
        opts.is_unsynced = true;
        if (dz_kv_open(f->dir, &opts, &mine, &f->err) != DZ_OK)
            _exit(1);
        put(f, mine, "before", "1");
        dz_kv_sync_from_now(mine);
        put(f, mine, "after", "2");
        (void) raise(SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    struct dz_kv *kv = open_kv(f);
    assert_string_equal(get(f, kv, "before").got, "1");
    assert_string_equal(get(f, kv, "after").got, "2");
    dz_kv_close(&kv);
}

/* A power cut may have kept pages of the first commit, and not those before them. */
static void
one_whose_first_commit_was_cut_off_is_made_anew(void **state)
{
    struct fixture *f = *state;
    char nothing[PAGE] = "", *bad = NULL;
    struct dz_kv *kv = open_kv(f);
    dz_kv_close(&kv);
    overwrite(f, PAGE, nothing, sizeof(nothing));
    assert_ok(dz_kv_open_or_replace(f->dir, &OPTS, &kv, &bad, &f->err));
    assert_null(bad);
    dz_kv_close(&kv);
}

static void
one_that_had_commits_is_damaged_however_short_it_is(void **state)
{
    struct fixture *f = *state;
    fill(f); /* its second commit is in the first page */
    cut_to(f, PAGE);
    assert_int_equal(dz_kv_check(f->dir, 0, &f->err), DZ_CORRUPT);
}

/* Where the newer of two meta pages says that the table of free pages begins. */
static off_t
free_table_of(struct fixture *f)
{
    enum { ROOT_AT = 80, TXN_AT = 144 };
    uint64_t root = 0, newest = 0;
    int fd = open_data(f);
    for (off_t meta = 0; meta <= PAGE; meta += PAGE) {
        uint64_t txn = 0;
        assert_int_equal(pread(fd, &txn, sizeof(txn), meta + TXN_AT), sizeof(txn));
        if (txn > newest)
            assert_int_equal(pread(fd, &root, sizeof(root), meta + ROOT_AT), sizeof(root));
        newest = txn > newest ? txn : newest;
    }
    (void) close(fd);
    assert_true(root > 1 && root < UINT32_MAX);
    return (off_t) root * PAGE;
}

static void
a_damaged_list_of_free_pages_is_found_although_all_can_be_read(void **state)
{
    struct fixture *f = *state;
    char other[PAGE];
    memset(other, 'x', sizeof(other));
    fill(f);
    fill(f); /* what the first one wrote is free now */
    overwrite(f, free_table_of(f), other, sizeof(other));
    assert_int_equal(dz_kv_check(f->dir, 0, &f->err), DZ_CORRUPT);
    assert_int_equal(dz_kv_check(f->dir, 5, &f->err), DZ_CORRUPT);
}

static void
one_with_nothing_in_it_is_absent_for_who_reads(void **state)
{
    struct fixture *f = *state;
    struct dz_kv_opts opts = OPTS;
    struct dz_kv *kv = NULL;
    fill(f);
    cut_to(f, 0);
    opts.is_readonly = true;
    assert_int_equal(dz_kv_open(f->dir, &opts, &kv, &f->err), DZ_ABSENT);
}

static void
random_damage_never_harms_the_one_who_asks(void **state)
{
    struct fixture *f = *state;
    uint32_t seed = 20;
    fill(f);
    int fd = open_data(f);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    size_t len = (size_t) st.st_size;
    uint8_t *good = dz_alloc0(1, len);
    assert_int_equal(pread(fd, good, len, 0), (ssize_t) len);
    unsigned found = 0;
    for (int i = 0; i < IMAGES; i++) {
        assert_int_equal(pwrite(fd, good, len, 0), (ssize_t) len);
        for (int k = 0; k < 24; k++) {
            uint8_t byte = (uint8_t) draw(&seed);
            /* half of them into page headers, where they hurt most */
            off_t at = k % 2 ? (off_t) (draw(&seed) % len)
                             : (off_t) (draw(&seed) % (len / PAGE) * PAGE + draw(&seed) % 160);
            assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        }
        found += dz_kv_check(f->dir, 0, &f->err) != DZ_OK;
    }
    assert_true(found > IMAGES / 2);
    (void) close(fd);
    free(good);
}

/* Where nobody may make a folder, a folder within it is not simply absent. */
static void
why_a_folder_cannot_be_made_is_told_by_the_first_that_cannot(void **state)
{
    struct fixture *f = *state;
    struct dz_kv_opts opts = OPTS;
    struct dz_kv *kv = NULL;
    assert_int_equal(dz_kv_open("/sys/dagz/local.env/store", &opts, &kv, &f->err), DZ_REFUSED);
    assert_null(strstr(f->err.text, "No such file"));
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(why_a_folder_cannot_be_made_is_told_by_the_first_that_cannot),
        T(a_sound_directory_is_found_sound),
        T(a_directory_that_is_not_there_is_absent),
        T(a_changed_byte_of_a_value_is_found),
        T(a_file_cut_short_is_found_without_a_signal),
        T(a_file_of_something_else_is_found),
        T(a_damaged_directory_is_put_aside_and_a_new_one_made),
        T(a_good_one_that_took_its_place_is_left_alone),
        T(a_file_that_is_shorter_than_its_count_of_pages_is_sound),
        T(one_whose_making_was_cut_short_is_made_anew),
        T(one_whose_first_commit_was_cut_off_is_made_anew),
        T(one_that_had_commits_is_damaged_however_short_it_is),
        T(a_damaged_list_of_free_pages_is_found_although_all_can_be_read),
        T(one_with_nothing_in_it_is_absent_for_who_reads),
        T(random_damage_never_harms_the_one_who_asks),
        T(what_an_unsynced_writer_put_outlives_its_death),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
