/* What is wrong in a store is told, and put right as far as it can be. */
#include "store/care.h"
#include "store/disk.h"
#include "tests/unit/store/store_fixture.h"

struct seen {
    uint32_t count, repairable;
    struct dz_buf texts;
};

static void
note(void *arg, const struct store_trouble *trouble)
{
    struct seen *self = arg;
    self->count++;
    self->repairable += trouble->can_repair;
    dz_buf_addf(&self->texts, "%s: %s\n", trouble->ulid, trouble->text);
}

static enum dz_rc
check(struct fixture *f, struct seen *seen)
{
    struct store_check work = { .on_trouble = note, .arg = seen };
    enum dz_rc rc = store_check(f->home, &work, &f->err);
    dz_buf_add(&seen->texts, "", 1);
    if (rc == DZ_OK)
        assert_int_equal(work.troubles, seen->count);
    return rc;
}

/* Nothing is wrong any more. */
static void
assert_sound(struct fixture *f)
{
    struct seen seen = { 0 };
    enum dz_rc rc = check(f, &seen);
    if (rc != DZ_OK)
        fail_msg("%s", f->err.text);
    assert_string_equal((char *) seen.texts.data, "");
    dz_buf_fini(&seen.texts);
}

static void
repair(struct fixture *f, char **saved_out)
{
    struct store_check work = { .on_trouble = NULL };
    enum dz_rc rc = store_repair(f->home, &work, saved_out, &f->err);
    if (rc != DZ_OK)
        fail_msg("%s", f->err.text);
}

/* Two jobs: one is small already, the other is not.  Leaves the store closed. */
static void
fill(struct fixture *f, char ulid_out[STORE_ULID_LEN + 1])
{
    for (int i = 0; i < 2; i++) {
        struct store_job *job = begin_at(f, NOON + i, "0123456789");
        put_tests(f, job, 20);
        for (uint32_t t = 0; t < 20; t++) {
            struct store_result r = result_of(t, 0, t + 1, DZ_RESULT_FAILED);
            struct store_log log = { .first_us = NOON, .test = t, .text = dz_str("said\n") };
            r.text = dz_str("t.py:1: why");
            struct store_batch batch = {
                .results = &r, .result_count = 1, .logs = &log, .log_count = 1
            };
            assert_ok(store_job_append(job, &batch, &f->err));
        }
        assert_ok(seal_job(f, job, 1));
        memcpy(ulid_out, store_job_ulid(job), STORE_ULID_LEN + 1);
        if (i == 0)
            assert_ok(store_tidy_job(f->store, store_job_ulid(job), 60000, &f->err));
        store_job_close(&job);
    }
    store_close(&f->store);
}

struct change {
    unsigned table;
    struct key key;
    const char *value; /* NULL: delete it */
};

static enum dz_rc
first_key(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct change *change = arg;
    struct dz_slice key, value;
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, txn, change->table, key_slice(&change->key));
    assert_true(dz_kv_next(&it, &key, &value));
    change->key = (struct key){ .len = 0 };
    key_add(&change->key, key.ptr, key.len);
    return dz_kv_iter_rc(&it, err);
}

static enum dz_rc
apply(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct change *change = arg;
    if (!change->value)
        return dz_kv_del(txn, change->table, key_slice(&change->key), err);
    return dz_kv_put(txn, change->table, key_slice(&change->key), dz_str(change->value), err);
}

/* The first value of the table whose key begins so becomes another one. */
static void
spoil(struct fixture *f, unsigned table, const char *prefix, const char *value)
{
    struct change change = { .table = table, .value = value };
    key_add(&change.key, prefix, strlen(prefix));
    open_store(f, STORE_WRITE);
    assert_ok(dz_kv_read(f->store->kv, first_key, &change, &f->err));
    assert_ok(dz_kv_write(f->store->kv, apply, &change, &f->err));
    store_close(&f->store);
}

static void
a_sound_store_has_no_troubles(void **state)
{
    struct fixture *f = *state;
    char ulid[STORE_ULID_LEN + 1];
    fill(f, ulid);
    struct store_check work = { .on_trouble = NULL };
    assert_ok(store_check(f->home, &work, &f->err));
    assert_int_equal(work.jobs, 2);
    assert_int_equal(work.troubles, 0);
    assert_true(work.records > 40);
}

static void
lists_are_made_right_again_without_losing_anything(void **state)
{
    struct fixture *f = *state;
    char ulid[STORE_ULID_LEN + 1], found[STORE_ULID_LEN + 1];
    struct seen seen = { 0 };
    fill(f, ulid);
    spoil(f, T_INDEX, "", NULL);
    spoil(f, T_COMMIT, "", NULL);
    assert_ok(check(f, &seen));
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.repairable, 2);
    assert_non_null(strstr((char *) seen.texts.data, "its short id leads nowhere"));
    dz_buf_fini(&seen.texts);
    repair(f, NULL);
    assert_sound(f);
    open_store(f, STORE_READ);
    assert_ok(store_job_find(f->store, URI, "j1", NOON, found, &f->err));
}

static void
a_batch_that_cannot_be_read_is_dropped_and_its_job_marked(void **state)
{
    struct fixture *f = *state;
    char ulid[STORE_ULID_LEN + 1];
    struct seen seen = { 0 };
    struct store_job_info info;
    fill(f, ulid);
    spoil(f, T_BATCH, ulid, "nonsense"); /* of its logs: they come first */
    assert_ok(check(f, &seen));
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.repairable, 0);
    assert_non_null(strstr((char *) seen.texts.data, ulid));
    assert_non_null(strstr((char *) seen.texts.data, "a batch of logs cannot be read"));
    dz_buf_fini(&seen.texts);
    repair(f, NULL);
    assert_sound(f);
    open_store(f, STORE_READ);
    assert_ok(store_job_info(f->store, ulid, NOON, &info, &f->err));
    assert_true(info.is_ledger_wrong);
    store_job_info_fini(&info);
}

static void
a_segment_that_cannot_be_read_costs_only_its_own_records(void **state)
{
    struct fixture *f = *state;
    char ulid[STORE_ULID_LEN + 1];
    struct seen seen = { 0 };
    struct store_job_list list = { 0 };
    fill(f, ulid);
    spoil(f, T_SEGMENT, "", "nonsense");
    assert_ok(check(f, &seen));
    assert_int_equal(seen.count, 1);
    assert_non_null(strstr((char *) seen.texts.data, "20 records of its logs cannot be read"));
    dz_buf_fini(&seen.texts);
    repair(f, NULL);
    assert_sound(f);
    open_store(f, STORE_READ);
    assert_ok(store_jobs(f->store, URI, 10, NOON, &list, &f->err));
    assert_int_equal(list.count, 2);
    store_job_list_fini(&list);
}

static void
what_belongs_to_no_job_is_cleared_away(void **state)
{
    struct fixture *f = *state;
    char ulid[STORE_ULID_LEN + 1];
    struct seen seen = { 0 };
    fill(f, ulid);
    spoil(f, T_JOB, ulid, NULL);
    assert_ok(check(f, &seen));
    assert_non_null(strstr((char *) seen.texts.data, "names a job that is not there"));
    assert_non_null(strstr((char *) seen.texts.data, "rows of table 'batch' are of a job that is"));
    dz_buf_fini(&seen.texts);
    repair(f, NULL);
    assert_sound(f);
}

/* Damage from byte `at` of the file on. */
static void
damage(struct fixture *f, long at, int bytes)
{
    char path[128];
    (void) snprintf(path, sizeof(path), "%s/local.env/store/data.mdb", f->home);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    for (int i = 0; i < bytes; i++)
        (void) fputc('#', file);
    assert_int_equal(fclose(file), 0);
}

static void
of_a_damaged_file_all_that_can_be_read_is_saved(void **state)
{
    enum { PAGE = 4096, PAGES = 40 };
    struct fixture *f = *state;
    char ulid[STORE_ULID_LEN + 1];
    fill(f, ulid);
    int crashes = 0;
    for (long page = 2; page < PAGES; page++) {
        struct seen seen = { 0 };
        DZ_AUTO(dz_free) char *saved = NULL;
        damage(f, page * PAGE + 8, 24); /* the head of a page: LMDB's own numbers */
        enum dz_rc rc = check(f, &seen);
        dz_buf_fini(&seen.texts);
        crashes += rc == DZ_CORRUPT && strstr(f->err.text, "a program that reads it crashes");
        if (rc == DZ_OK && seen.count == 0)
            continue; /* a free page */
        repair(f, &saved);
        seen = (struct seen){ 0 };
        assert_ok(check(f, &seen)); /* it can be read; what is lost for ever is still named */
        assert_int_equal(seen.repairable, 0);
        dz_buf_fini(&seen.texts);
    }
    assert_true(crashes > 0);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_sound_store_has_no_troubles),
        T(lists_are_made_right_again_without_losing_anything),
        T(a_batch_that_cannot_be_read_is_dropped_and_its_job_marked),
        T(a_segment_that_cannot_be_read_costs_only_its_own_records),
        T(what_belongs_to_no_job_is_cleared_away),
        T(of_a_damaged_file_all_that_can_be_read_is_saved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
