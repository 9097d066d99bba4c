#include "tests/unit/store/store_fixture.h"

/* What a person types, and which job it means. */
static const char *
find(struct fixture *f, const char *spec, int64_t now_us)
{
    static char ulid[STORE_ULID_LEN + 1];
    enum dz_rc rc = store_job_find(f->store, URI, spec, now_us, ulid, &f->err);
    return rc == DZ_OK ? ulid : NULL;
}

static char *
make(struct fixture *f, int64_t at, const char *commit)
{
    struct store_job *job = begin_at(f, at, commit);
    char *ulid = dz_strdup(store_job_ulid(job));
    store_job_close(&job);
    return ulid;
}

static void
jobs_are_found_by_every_name_they_have(void **state)
{
    struct fixture *f = *state;
    DZ_AUTO(dz_free) char *last_year = make(f, NOON - 400 * DAY, ""); /* 2025-10-17 */
    DZ_AUTO(dz_free) char *spring = make(f, NOON - 200 * DAY, "");    /* 2026-05-05 */
    DZ_AUTO(dz_free) char *first = make(f, NOON, "");
    DZ_AUTO(dz_free) char *second = make(f, NOON + 1, "");
    assert_string_equal(find(f, "j1", NOON), first);
    assert_string_equal(find(f, "J2", NOON), second);
    assert_string_equal(find(f, "latest", NOON), second);
    assert_string_equal(find(f, "@{-1}", NOON), first);
    assert_string_equal(find(f, "@{-2}", NOON), spring);
    assert_string_equal(find(f, "j1121.2", NOON), second);
    assert_string_equal(find(f, "j1121.2", NOON + 100 * DAY), second); /* February: last November */
    assert_string_equal(find(f, "j0505.1", NOON), spring);
    assert_string_equal(find(f, "j2026-0505.1", NOON), spring);
    assert_string_equal(find(f, "j2025-1017.1", NOON), last_year);
    assert_string_equal(find(f, second, NOON), second);
}

static void
what_is_not_there_is_said_with_what_is(void **state)
{
    static const struct {
        const char *spec;
        enum dz_rc rc;
        const char *text;
    } cases[] = {
        { "j9", DZ_ABSENT, "there is no job j9: the last one today was number 2" },
        { "j0", DZ_ABSENT, "there is no job j0: the last one today was number 2" },
        { "j1120.1", DZ_ABSENT, "there is no job j1120.1: this project had none that day" },
        { "j1332.1", DZ_ABSENT, "there is no job j1332.1: no such date" },
        { "j0230.1", DZ_ABSENT, "there is no job j0230.1: no such date" },
        { "@{-7}", DZ_ABSENT, "there is no job @{-7}: this project has 2" },
        { "0ZZZZZZZ", DZ_REFUSED, "no job's long id begins with '0ZZZZZZZ'" },
        { "main", DZ_REFUSED, "'main' is not the name of a job" },
        { "j", DZ_REFUSED, "'j' is not the name of a job" },
        { "j1.2.3", DZ_REFUSED, "'j1.2.3' is not the name of a job" },
        { "j12345678901", DZ_REFUSED, "'j12345678901' is not the name of a job" },
        { "", DZ_REFUSED, "'' is not the name of a job" },
        { "@{-x}", DZ_REFUSED, "'@{-x}' is not the name of a job" },
    };
    struct fixture *f = *state;
    char ulid[STORE_ULID_LEN + 1];
    free(make(f, NOON, ""));
    free(make(f, NOON, ""));
    for (size_t i = 0; i < DZ_LEN(cases); i++) {
        enum dz_rc rc = store_job_find(f->store, URI, cases[i].spec, NOON, ulid, &f->err);
        assert_string_equal(f->err.text, cases[i].text);
        assert_int_equal(rc, cases[i].rc);
    }
}

static void
a_beginning_of_the_long_id_is_enough_while_it_is_unique(void **state)
{
    struct fixture *f = *state;
    DZ_AUTO(dz_free) char *one = make(f, NOON, "");
    DZ_AUTO(dz_free) char *two = make(f, NOON + 1000000, "");
    char begin[STORE_ULID_LEN + 1];
    (void) snprintf(begin, sizeof(begin), "%.10s", one);
    assert_string_equal(find(f, begin, NOON), one);
    begin[4] = '\0';
    char ulid[STORE_ULID_LEN + 1];
    assert_int_equal(store_job_find(f->store, URI, begin, NOON, ulid, &f->err), DZ_LIMIT);
    (void) snprintf(begin, sizeof(begin), "%.12s", two);
    for (char *p = begin; *p; p++)
        *p = (char) (*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
    assert_string_equal(find(f, begin, NOON), two);
}

static void
a_commit_means_its_newest_job(void **state)
{
    static const char a[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    static const char b[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    struct fixture *f = *state;
    free(make(f, NOON, a));
    DZ_AUTO(dz_free) char *newest = make(f, NOON + 1000000, a);
    free(make(f, NOON + 2000000, b));
    char ulid[STORE_ULID_LEN + 1];
    assert_ok(store_job_of_commit(f->store, URI, a, ulid, &f->err));
    assert_string_equal(ulid, newest);
    assert_int_equal(store_job_of_commit(f->store, URI, "cccc", ulid, &f->err), DZ_ABSENT);
}

static void
projects_do_not_see_each_others_jobs(void **state)
{
    struct fixture *f = *state;
    free(make(f, NOON, ""));
    struct store_job_list list = { 0 };
    assert_ok(store_jobs(f->store, "another", 10, NOON, &list, &f->err));
    assert_int_equal(list.count, 0);
    assert_true(store_knows_project(f->store, URI));
    assert_false(store_knows_project(f->store, "another"));
    char ulid[STORE_ULID_LEN + 1];
    assert_int_equal(store_job_find(f->store, "another", "j1", NOON, ulid, &f->err), DZ_ABSENT);
    assert_ok(store_jobs(f->store, NULL, 10, NOON, &list, &f->err));
    assert_int_equal(list.count, 1);
    store_job_list_fini(&list);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(jobs_are_found_by_every_name_they_have),
        T(what_is_not_there_is_said_with_what_is),
        T(a_beginning_of_the_long_id_is_enough_while_it_is_unique),
        T(a_commit_means_its_newest_job),
        T(projects_do_not_see_each_others_jobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
