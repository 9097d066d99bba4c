#include "store/meet.h"
#include "tests/unit/store/store_fixture.h"

#define JOB_A "01JD8Y7W9QK3T5V2X4Z6B8D0FG"
#define JOB_B "01JD8Y7W9QK3T5V2X4Z6B8D0FH"

static struct store_meet
ask_of(enum store_meet_kind kind, const char *key)
{
    return (struct store_meet){ .kind = kind, .uri = URI, .key = dz_str(key) };
}

static void
serve(struct fixture *f, struct store_meet *asks, size_t count, int64_t now_us)
{
    if (store_meet(f->store, asks, count, now_us, &f->err) != DZ_OK)
        fail_msg("%s", f->err.text);
}

static struct store_meet
enter(struct fixture *f, const char *key, uint64_t node, const char *job, const char *contact)
{
    struct store_meet ask = ask_of(STORE_MEET_ENTER, key);
    ask.entry = (struct dz_meeting_entry){ .node = node,
                                           .arrival = { .index = DZ_NO_INDEX, .ci_job = node } };
    memcpy(ask.entry.job, job, sizeof(ask.entry.job));
    ask.contact = dz_str(contact);
    serve(f, &ask, 1, NOON);
    return ask;
}

static struct store_meet
claim(struct fixture *f, const char *key, uint64_t node, int64_t now_us)
{
    struct store_meet ask = ask_of(STORE_MEET_LEASE, key);
    ask.ask = (struct dz_lease_ask){ .kind = DZ_LEASE_CLAIM, .me = { 0, node, 1 } };
    serve(f, &ask, 1, now_us);
    return ask;
}

static void
the_first_names_the_job_and_the_others_find_the_holder(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(enter(f, "k", 1, JOB_A, "one").entry.answer.word, DZ_ARRIVAL_OPENS);
    struct store_meet second = enter(f, "k", 2, JOB_B, "two");
    assert_int_equal(second.entry.answer.word, DZ_ARRIVAL_JOINS);
    assert_string_equal(second.entry.job, JOB_A);
    assert_int_equal(claim(f, "k", 1, NOON).reply.word, DZ_LEASE_GRANTED);
    struct store_meet held = claim(f, "k", 2, NOON);
    assert_int_equal(held.reply.word, DZ_LEASE_HELD);
    assert_true(dz_slice_eq(dz_buf_slice(&held.found), dz_str("one")));
    dz_buf_fini(&held.found);
}

static void
the_lease_runs_on_the_store_s_clock_and_survives_reopening(void **state)
{
    struct fixture *f = *state;
    (void) enter(f, "k", 1, JOB_A, "one");
    (void) enter(f, "k", 2, JOB_A, "two");
    assert_int_equal(claim(f, "k", 1, NOON).reply.epoch.n, 1);
    store_close(&f->store);
    open_store(f, STORE_WRITE);
    struct store_meet held = claim(f, "k", 2, NOON + DZ_LEASE_TTL_US - 1);
    assert_int_equal(held.reply.word, DZ_LEASE_HELD);
    dz_buf_fini(&held.found);
    struct store_meet got = claim(f, "k", 2, NOON + DZ_LEASE_TTL_US);
    assert_int_equal(got.reply.word, DZ_LEASE_GRANTED);
    assert_int_equal(got.reply.epoch.n, 2);
}

static void
of_a_group_that_comes_together_one_is_granted(void **state)
{
    struct fixture *f = *state;
    struct store_meet asks[32];
    for (uint64_t i = 0; i < DZ_LEN(asks); i++) {
        (void) enter(f, "k", i + 1, JOB_A, "x");
        asks[i] = ask_of(STORE_MEET_LEASE, "k");
        asks[i].ask = (struct dz_lease_ask){ .kind = DZ_LEASE_CLAIM, .me = { 0, i + 1, 1 } };
    }
    serve(f, asks, DZ_LEN(asks), NOON);
    unsigned granted = 0;
    for (size_t i = 0; i < DZ_LEN(asks); i++) {
        granted += asks[i].reply.word == DZ_LEASE_GRANTED;
        dz_buf_fini(&asks[i].found);
    }
    assert_int_equal(granted, 1);
}

static void
another_project_s_meeting_is_another_one(void **state)
{
    struct fixture *f = *state;
    (void) enter(f, "k", 1, JOB_A, "one");
    struct store_meet ask = ask_of(STORE_MEET_LEASE, "k");
    ask.uri = "git@example.org:acme/other.git";
    ask.ask = (struct dz_lease_ask){ .kind = DZ_LEASE_WHO, .me = { 0, 1, 1 } };
    serve(f, &ask, 1, NOON);
    assert_int_equal(ask.rc, DZ_ABSENT);
}

static void
a_stale_scheduler_does_not_seal(void **state)
{
    struct fixture *f = *state;
    (void) enter(f, "k", 1, JOB_A, "one");
    assert_int_equal(claim(f, "k", 1, NOON).reply.word, DZ_LEASE_GRANTED);
    struct store_meet seal = ask_of(STORE_MEET_SEAL, "k");
    serve(f, &seal, 1, NOON);
    assert_int_equal(seal.rc, DZ_REFUSED);
    seal.epoch = (struct dz_epoch){ 1, 1, 1 };
    seal.is_good = true;
    serve(f, &seal, 1, NOON);
    assert_int_equal(seal.rc, DZ_OK);
    assert_int_equal(claim(f, "k", 1, NOON).reply.word, DZ_LEASE_SEALED);
    assert_int_equal(enter(f, "k", 9, JOB_B, "late").entry.answer.word, DZ_ARRIVAL_LATE);
}

static void
count_member(void *arg, uint64_t node, struct dz_slice contact)
{
    assert_true(dz_slice_eq(contact, dz_str("two")));
    *(uint64_t *) arg += node;
}

static void
the_roll_has_those_whose_part_has_not_ended(void **state)
{
    struct fixture *f = *state;
    (void) enter(f, "k", 1, JOB_A, "one");
    (void) enter(f, "k", 2, JOB_A, "two");
    struct store_meet end = ask_of(STORE_MEET_END, "k");
    end.node = 1;
    end.end = DZ_SLOT_END_LOST;
    serve(f, &end, 1, NOON);
    uint64_t nodes = 0;
    uint32_t next = 9;
    assert_ok(store_meet_members(f->store, URI, dz_str("k"), 0, count_member, &nodes, &next, NULL));
    assert_int_equal(nodes, 2);
    assert_int_equal(next, 0);
    assert_int_equal(
        store_meet_members(f->store, URI, dz_str("none"), 0, count_member, &nodes, &next, &f->err),
        DZ_ABSENT);
}

static void
an_old_meeting_is_forgotten(void **state)
{
    struct fixture *f = *state;
    (void) enter(f, "k", 1, JOB_A, "one");
    assert_ok(store_meet_sweep(f->store, NOON + 7 * DAY, NULL));
    assert_int_equal(enter(f, "k", 2, JOB_B, "two").entry.answer.word, DZ_ARRIVAL_JOINS);
    assert_ok(store_meet_sweep(f->store, NOON + 7 * DAY + 1, NULL));
    assert_int_equal(enter(f, "k", 3, JOB_B, "two").entry.answer.word, DZ_ARRIVAL_OPENS);
}

static void
what_is_too_long_is_refused(void **state)
{
    struct fixture *f = *state;
    char key[STORE_MEET_KEY_MAX + 2] = "";
    memset(key, 'k', STORE_MEET_KEY_MAX + 1);
    struct store_meet ask = ask_of(STORE_MEET_LEASE, key);
    assert_int_equal(store_meet(f->store, &ask, 1, NOON, &f->err), DZ_LIMIT);
    ask = ask_of(STORE_MEET_LEASE, "");
    assert_int_equal(store_meet(f->store, &ask, 1, NOON, &f->err), DZ_LIMIT);
}

static void
present_are_members_whose_part_has_not_ended(void **state)
{
    struct fixture *f = *state;
    const uint64_t nodes[] = { 1, 2, 3 };
    bool is_in[3] = { true, true, true };
    assert_ok(store_meet_present(f->store, URI, dz_str("k"), nodes, is_in, 3, &f->err));
    assert_false(is_in[0] || is_in[1] || is_in[2]);
    (void) enter(f, "k", 1, JOB_A, "one");
    (void) enter(f, "k", 2, JOB_A, "two");
    struct store_meet end = ask_of(STORE_MEET_END, "k");
    end.node = 2;
    end.end = DZ_SLOT_END_VERDICT;
    serve(f, &end, 1, NOON);
    assert_ok(store_meet_present(f->store, URI, dz_str("k"), nodes, is_in, 3, &f->err));
    assert_true(is_in[0]);
    assert_false(is_in[1] || is_in[2]);
}

#define meet_test(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        meet_test(the_first_names_the_job_and_the_others_find_the_holder),
        meet_test(the_lease_runs_on_the_store_s_clock_and_survives_reopening),
        meet_test(of_a_group_that_comes_together_one_is_granted),
        meet_test(another_project_s_meeting_is_another_one),
        meet_test(a_stale_scheduler_does_not_seal),
        meet_test(the_roll_has_those_whose_part_has_not_ended),
        meet_test(an_old_meeting_is_forgotten),
        meet_test(what_is_too_long_is_refused),
        meet_test(present_are_members_whose_part_has_not_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
