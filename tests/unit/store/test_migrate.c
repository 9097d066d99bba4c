/* Every version that was ever released is brought forward, whatever happens on the way. */
#include <sys/time.h>
#include <sys/wait.h>
#include <zstd.h>

#include "shared/base/fd.h"
#include "store/care.h"
#include "store/disk.h"
#include "tests/unit/store/store_fixture.h"
#include "tests/unit/store/transcript.h"

enum { FIXTURE_MAX = 4 << 20 };

/* What make_version.c wrote, as it was on disk. */
static void
lay_down(struct fixture *f, const char *name)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf packed = { 0 };
    char path[512];
    (void) snprintf(path, sizeof(path), "%s/%s", FIXTURES, name);
    assert_ok(dz_fd_read_file(path, FIXTURE_MAX, &packed, &f->err));
    char *raw = dz_alloc0(1, FIXTURE_MAX);
    size_t len = ZSTD_decompress(raw, FIXTURE_MAX, packed.data, packed.len);
    assert_false(ZSTD_isError(len));
    store_close(&f->store);
    (void) snprintf(path, sizeof(path), "%s/local.env/store/data.mdb", f->home);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(raw, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    free(raw);
}

/* Version 1 did not say whose span it was: the node stands for the source. */
enum { SCOPE_1 = 1, SCOPE_2 = 30 };

static void
check_job(struct fixture *f, const char *short_id, int scope)
{
    char ulid[STORE_ULID_LEN + 1], span[160];
    assert_ok(store_job_find(f->store, URI, short_id, NOON, ulid, &f->err));
    char *text = transcript(f->store, ulid);
    assert_non_null(strstr(text, "t.py::test_b 3 1/1 jw1"));
    assert_non_null(strstr(text, "38 bytes: t.py:7: AssertionError: assert 1 == 2"));
    assert_non_null(strstr(text, "15 records of logs\n"));
    assert_non_null(strstr(text, "jw0.t0 test 4.0 kind 0: second line\n"));
    (void) snprintf(span, sizeof(span),
                    "span %d/3 in 0 1795262401000000-1795262401000400 jw1 test 1 ", scope);
    assert_non_null(strstr(text, span));
    (void) snprintf(
        span, sizeof(span),
        "span %d/4 in 3 1795262401000050-1795262401000090 jw1 test 1 0 subproc:createdb\n", scope);
    assert_non_null(strstr(text, span));
    free(text);
}

static void
check_all(struct fixture *f, int scope)
{
    struct store_job_list list = { 0 };
    char ulid[STORE_ULID_LEN + 1];
    check_job(f, "j1", scope);
    check_job(f, "j2", scope);
    assert_ok(store_jobs(f->store, URI, 10, NOON + DAY, &list, &f->err));
    assert_int_equal(list.count, 2);
    assert_int_equal(list.jobs[1].state, STORE_SEALED);
    assert_int_equal(list.jobs[1].counted, 5);
    assert_false(list.jobs[1].is_ledger_wrong);
    store_job_list_fini(&list);
    assert_ok(store_job_of_commit(f->store, URI, "0123456789abcdef0123456789abcdef01234567", ulid,
                                  &f->err));
}

static void
check_written_on(struct fixture *f, int scope, uint32_t batches)
{
    char ulid[STORE_ULID_LEN + 1];
    struct store_job *job = NULL;
    struct store_tidy work = { .now_us = NOON + DAY, .budget_ms = 60000 };
    assert_ok(store_job_find(f->store, URI, "j2", NOON, ulid, &f->err));
    assert_ok(store_job_reopen(f->store, ulid, &job, &f->err));
    struct store_result more = result_of(5, 0, 99, DZ_RESULT_OK);
    append_one(f, job, &more);
    assert_int_equal(ledger_now(f, job).counted, 6);
    assert_ok(seal_job(f, job, 0));
    store_job_close(&job);
    assert_ok(store_tidy(f->store, &work, &f->err));
    assert_int_equal(work.compacted, batches);
    check_job(f, "j1", scope);
    check_job(f, "j2", scope);
}

/* Of results that say no line, none is told; of those that came later, theirs. */
static void
check_lines(struct fixture *f)
{
    char ulid[STORE_ULID_LEN + 1];
    assert_ok(store_job_find(f->store, URI, "j2", NOON, ulid, &f->err));
    char *text = transcript(f->store, ulid);
    assert_non_null(strstr(text, "t.py::test_b 3 1/1 jw1 1795262401000000+2000 line 0\n"));
    assert_non_null(strstr(text, " line 51\n"));
    free(text);
}

static void
check_brought_forward(struct fixture *f, const char *name, int scope, uint32_t batches)
{
    lay_down(f, name);
    open_store(f, STORE_WRITE);
    check_all(f, scope);
    check_written_on(f, scope, batches);
    check_lines(f);
}

static void
version_1_is_brought_forward_by_who_writes(void **state)
{
    struct fixture *f = *state;
    check_brought_forward(f, "version_1.mdb.zst", SCOPE_1, 2);
}

/* Its first job is in segments, which have no column for lines. */
static void
version_2_is_brought_forward_by_who_writes(void **state)
{
    struct fixture *f = *state;
    check_brought_forward(f, "version_2.mdb.zst", SCOPE_2, 1);
}

static void
version_2_is_brought_forward_by_who_only_reads(void **state)
{
    struct fixture *f = *state;
    lay_down(f, "version_2.mdb.zst");
    open_store(f, STORE_READ);
    check_all(f, SCOPE_2);
}

static void
version_1_is_brought_forward_by_who_only_reads(void **state)
{
    struct fixture *f = *state;
    lay_down(f, "version_1.mdb.zst");
    open_store(f, STORE_READ);
    check_all(f, SCOPE_1);
}

static void
a_migration_that_was_killed_is_begun_again(void **state)
{
    enum { KILLS = 40 };
    struct fixture *f = *state;
    for (int i = 0; i < KILLS; i++) {
        lay_down(f, "version_1.mdb.zst");
        pid_t pid = fork();
        if (pid == 0) {
            struct itimerval end = { .it_value = { .tv_usec = 1 + i * 400 } };
            (void) setitimer(ITIMER_REAL, &end, NULL); /* SIGALRM, at another place each time */
            _exit(store_open(f->home, STORE_WRITE, &f->store, NULL, &f->err) == DZ_OK ? 0 : 1);
        }
        (void) waitpid(pid, NULL, 0);
        open_store(f, STORE_WRITE);
        check_all(f, SCOPE_1);
    }
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(version_1_is_brought_forward_by_who_writes),
        T(version_1_is_brought_forward_by_who_only_reads),
        T(version_2_is_brought_forward_by_who_writes),
        T(version_2_is_brought_forward_by_who_only_reads),
        T(a_migration_that_was_killed_is_begun_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
