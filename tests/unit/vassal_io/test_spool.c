/* test_spool.c - what a new agent clears away in the spool, and what it leaves alone. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/files.h"
#include "tests/unit/unit.h"
#include "vassal/io/catalog.h"
#include "vassal/io/spool.h"

enum { DAY_S = 24 * 3600 };

static int
setup(void **state)
{
    char *home = dz_strdup("/tmp/dz-spool-XXXXXX");
    assert_non_null(mkdtemp(home));
    *state = home;
    return 0;
}

static int
teardown(void **state)
{
    dz_remove_tree(*state);
    free(*state);
    return 0;
}

static void
put(const char *path, time_t age_s)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    const struct timespec then = { .tv_sec = time(NULL) - age_s };
    assert_int_equal(futimens(fd, (const struct timespec[2]){ then, then }), 0);
    assert_int_equal(close(fd), 0);
}

/* A folder in the spool, last written to so many days ago; `also` is a further file in it. */
static void
lay(const char *home, const char *name, int age_days, const char *also)
{
    char path[128];
    (void) snprintf(path, sizeof(path), "%s/spool", home);
    (void) mkdir(path, 0700);
    (void) snprintf(path, sizeof(path), "%s/spool/%s", home, name);
    assert_int_equal(mkdir(path, 0700), 0);
    (void) snprintf(path, sizeof(path), "%s/spool/%s/data.mdb", home, name);
    put(path, (time_t) age_days * DAY_S);
    if (also) {
        (void) snprintf(path, sizeof(path), "%s/spool/%s/%s", home, name, also);
        put(path, (time_t) age_days * DAY_S);
    }
}

static bool
is_there(const char *home, const char *name)
{
    char path[128];
    (void) snprintf(path, sizeof(path), "%s/spool/%s", home, name);
    return access(path, F_OK) == 0;
}

static void
a_journal_that_nobody_writes_goes_after_a_week(void **state)
{
    lay(*state, "01JD8Y7W9QK3T5V2X4Z6B8D0FG-17", SPOOL_KEEP_DAYS + 1, NULL);
    lay(*state, "01JD8Y7W9QK3T5V2X4Z6B8D0FH-18", SPOOL_KEEP_DAYS - 1, NULL);
    spool_sweep(*state);
    assert_false(is_there(*state, "01JD8Y7W9QK3T5V2X4Z6B8D0FG-17"));
    assert_true(is_there(*state, "01JD8Y7W9QK3T5V2X4Z6B8D0FH-18"));
}

static void
what_waits_for_a_server_waits_however_long(void **state)
{
    lay(*state, "01JD8Y7W9QK3T5V2X4Z6B8D0FG.5f", 400, "to");
    spool_sweep(*state);
    assert_true(is_there(*state, "01JD8Y7W9QK3T5V2X4Z6B8D0FG.5f"));
}

enum { INC = 3 };
static const char job[] = "01JD8Y7W9QK3T5V2X4Z6B8D0FG";

static void
count_record(void *arg, const struct cargo_item *item, struct dz_slice blob, struct dz_slice text)
{
    (void) item, (void) blob, (void) text;
    ((unsigned *) arg)[0]++;
}

static void
count_ready(void *arg, uint64_t life, const struct dz_msg_ready *ready)
{
    (void) ready;
    assert_int_equal(life, 1);
    ((unsigned *) arg)[1]++;
}

/* Records and `ready` that the next agent would find. */
static void
assert_left(const char *home, unsigned records, unsigned readies)
{
    unsigned found[2] = { 0, 0 };
    const struct spool_heir heir = { .arg = found,
                                     .on_record = count_record,
                                     .on_ready = count_ready };
    assert_int_equal(spool_inherit(home, job, INC + 1, &heir), 0);
    assert_int_equal(found[0], records);
    assert_int_equal(found[1], readies);
}

static void
what_is_patient_waits_for_a_record(void **state)
{
    const struct dz_msg_ready ready = { .total = 1 };
    const struct cargo_item item = { .record = 1 };
    for (unsigned i = 0; i < 2; i++) {
        struct spool *spool = NULL;
        struct dz_err err = { "" };
        char *note = NULL;
        assert_ok(spool_open(*state, job, INC, &spool, &note, &err));
        spool_put_ready(spool, 1, &ready, true);
        assert_int_equal(spool_commit(spool, &err), SPOOL_SOUND);
        if (i == 1)
            spool_put_record(spool, &item);
        assert_int_equal(spool_commit(spool, &err), SPOOL_SOUND);
        spool_close(&spool);
        assert_left(*state, i, i);
    }
}

/* ------------------------------------------------------------------ what was collected */

enum { TESTS = 400 };

static void
name_of(unsigned test, char out[64])
{
    (void) snprintf(out, 64, "tests/unit/test_%u.py::test_names[%u]", test / 7, test % 50);
}

static void
on_roll(void *arg, uint64_t life, const struct dz_msg_manifest *part)
{
    struct dz_err err;
    assert_int_equal(life, 3);
    assert_ok(roll_add(arg, part, &err));
}

static void
what_was_collected_is_read_again_name_by_name(void **state)
{
    struct spool *spool = NULL;
    DZ_AUTO(dz_free) char *note = NULL;
    struct dz_err err;
    assert_ok(spool_open(*state, job, 1, &spool, &note, &err));
    for (unsigned first = 0; first < TESTS; first += TESTS / 2) {
        DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
        struct dz_msg_manifest part = { .first = first };
        for (unsigned t = first; t < first + TESTS / 2; t++) {
            char name[64];
            name_of(t, name);
            dz_entry_add(&part.entries, &bytes, &(struct dz_item_entry){ .id = dz_str(name) });
        }
        part.entries.items = dz_buf_slice(&bytes);
        spool_put_roll(spool, 3, &part);
    }
    assert_int_equal(spool_commit(spool, &err), SPOOL_SOUND);
    spool_close(&spool);
    DZ_AUTO(roll_drop) struct roll *roll = roll_new();
    const struct spool_heir heir = { .arg = roll, .on_roll = on_roll };
    assert_int_equal(spool_inherit(*state, job, 2, &heir), 0);
    assert_int_equal(roll->count, TESTS);
    for (unsigned t = 0; t < TESTS; t++) {
        char name[64];
        name_of(t, name);
        assert_true(dz_slice_eq(dz_names_at(&roll->tests.ids, t), dz_str(name)));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_collected_is_read_again_name_by_name, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_journal_that_nobody_writes_goes_after_a_week, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_waits_for_a_server_waits_however_long, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_patient_waits_for_a_record, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
