/* Slots that ran a share each, without each other, are one job in the store that they are sent to. */
#include "shared/base/clock.h"
#include "tests/unit/store/shards_fixture.h"

/* ------------------------------------------------------------------ */

static void
shares_are_one_job_that_is_incomplete_until_all_have_come(void **state)
{
    struct world *w = *state;
    static const unsigned order[SLOTS] = { 2, 0, 3, 1 };
    uint32_t left = TESTS;
    for (unsigned i = 0; i < SLOTS; i++) {
        struct how how = { .index = order[i], .total = SLOTS };
        push(w, whole_run(w, &how));
        left -= size_of_share(w, order[i], TESTS);
        assert_string_equal(w->runs[i].receipt.job, store_job_ulid(w->runs[0].job));
        assert_string_equal(w->runs[i].receipt.short_id, "j1");
        assert_state(w, w->runs[0].receipt.job, left > 0 ? STORE_INCOMPLETE : STORE_SEALED, i + 1,
                     left, left > 0 ? -1 : 0);
    }
    assert_int_equal(jobs_there(w), 1);
    struct store_job_info info = info_of(w, w->runs[0].receipt.job);
    assert_int_equal(info.shards, SLOTS);
    assert_int_equal(info.collected, TESTS);
    assert_int_equal(info.counted, TESTS);
    assert_int_equal(info.duplicates, 0);
    assert_int_equal(info.lost, 0);
    assert_int_equal(info.nodes, SLOTS);
    assert_int_equal(info.verdicts[DZ_RESULT_OK], TESTS);
    assert_false(info.is_ledger_wrong);
    store_job_info_fini(&info);
}

static void
said_twice_and_to_another_inbox_nothing_changes(void **state)
{
    struct world *w = *state;
    for (unsigned i = 0; i < SLOTS; i++)
        push(w, whole_run(w, &(struct how){ .index = i, .total = SLOTS }));
    for (unsigned i = 0; i < SLOTS; i++) {
        store_inbox_destroy(&w->inbox);
        w->inbox = store_inbox_new(w->to->store);
        push(w, &w->runs[i]);
        assert_int_equal(w->runs[i].receipt.taken, 0);
    }
    assert_int_equal(jobs_there(w), 1);
    assert_state(w, w->runs[0].receipt.job, STORE_SEALED, SLOTS, 0, 0);
    struct store_job_info info = info_of(w, w->runs[0].receipt.job);
    assert_int_equal(info.duplicates, 0);
    store_job_info_fini(&info);
}

/* Two pushers, each with an inbox of its own, send the halves of a job in turns. */
static void
two_pushers_make_one_job(void **state)
{
    struct world *w = *state;
    struct store_inbox *inboxes[2] = { w->inbox, store_inbox_new(w->to->store) };
    for (unsigned i = 0; i < SLOTS; i++)
        (void) whole_run(w, &(struct how){ .index = i, .total = SLOTS });
    for (unsigned i = 0; i < 2 * SLOTS; i++) {
        w->inbox = inboxes[i % 2];
        push(w, &w->runs[(i * 3 + i / SLOTS) % SLOTS]);
    }
    w->inbox = inboxes[0];
    store_inbox_destroy(&inboxes[1]);
    assert_int_equal(jobs_there(w), 1);
    assert_state(w, w->runs[0].receipt.job, STORE_SEALED, SLOTS, 0, 0);
}

static void
the_worst_exit_code_is_the_job_s_and_a_share_without_tests_is_none(void **state)
{
    struct world *w = *state;
    for (unsigned i = 0; i < SLOTS; i++)
        push(w, whole_run(w, &(struct how){ .index = i,
                                            .total = SLOTS,
                                            .fails = i == 1,
                                            .exit_code = i == 1   ? 1
                                                         : i == 2 ? 5
                                                                  : 0 }));
    assert_state(w, w->runs[0].receipt.job, STORE_SEALED, SLOTS, 0, 1);
}

/* Slot 3 alone has the last test, which is slot 0's, 1's or 2's share. */
static void
a_test_that_its_own_slot_has_not_collected_is_missed(void **state)
{
    struct world *w = *state;
    unsigned owner = dz_shard_of(w->list[TESTS], SLOTS);
    for (unsigned i = 0; i < SLOTS; i++) {
        bool has_more = i != owner && (i == 3 || owner == 3);
        push(w,
             whole_run(w, &(struct how){ .index = i, .total = SLOTS, .tests = TESTS + has_more }));
    }
    assert_state(w, w->runs[0].receipt.job, STORE_INCOMPLETE, SLOTS, 1, -1);
}

static void
what_its_own_slot_left_is_no_other_s_excuse(void **state)
{
    struct world *w = *state;
    unsigned owner = dz_shard_of(w->list[TESTS], SLOTS), other = (owner + 1) % SLOTS;
    for (unsigned i = 0; i < SLOTS; i++)
        push(w, whole_run(w, &(struct how){ .index = i,
                                            .total = SLOTS,
                                            .tests = TESTS + (i == other),
                                            .left = i == other,
                                            .exit_code = i == other }));
    assert_state(w, w->runs[0].receipt.job, STORE_INCOMPLETE, SLOTS, 2, -1);
}

static void
what_a_slot_left_on_purpose_is_not_run(void **state)
{
    struct world *w = *state;
    for (unsigned i = 0; i < SLOTS; i++)
        push(w, whole_run(w, &(struct how){ .index = i,
                                            .total = SLOTS,
                                            .left = i == 1,
                                            .exit_code = i == 1 ? 2 : 0 }));
    assert_state(w, w->runs[0].receipt.job, STORE_SEALED, SLOTS, 1, 2);
}

static void
a_slot_that_was_taken_away_is_still_to_come(void **state)
{
    struct world *w = *state;
    for (unsigned i = 0; i < SLOTS; i++)
        push(w, whole_run(w, &(struct how){ .index = i,
                                            .total = SLOTS,
                                            .left = i == 1,
                                            .exit_code = i == 1 ? 143 : 0 }));
    assert_state(w, w->runs[0].receipt.job, STORE_INCOMPLETE, SLOTS - 1, 1, -1);
    push(w, whole_run(w, &(struct how){
                             .index = 1, .total = SLOTS, .ci_job = 999, .later_us = 60000000 }));
    assert_int_equal(jobs_there(w), 1);
    assert_state(w, w->runs[0].receipt.job, STORE_SEALED, SLOTS, 0, 0);
}

/* Its agent was killed, and nobody took up what was left. */
static void
a_slot_that_never_ended_comes_again(void **state)
{
    struct world *w = *state;
    struct how lost = { .index = 2, .total = SLOTS, .left = 1 };
    struct run *run = begin_run(w, &lost);
    run_share(w, run, &lost);
    push(w, run);
    for (unsigned i = 0; i < SLOTS; i++)
        if (i != 2)
            push(w, whole_run(w, &(struct how){ .index = i, .total = SLOTS }));
    assert_state(w, run->receipt.job, STORE_INCOMPLETE, SLOTS - 1, 1, -1);
    push(w, whole_run(w, &(struct how){
                             .index = 2, .total = SLOTS, .ci_job = 999, .later_us = 60000000 }));
    assert_int_equal(jobs_there(w), 1);
    assert_state(w, run->receipt.job, STORE_SEALED, SLOTS, 0, 0);
    struct store_job_info info = info_of(w, run->receipt.job);
    assert_int_equal(info.duplicates, size_of_share(w, 2, TESTS) - 1);
    store_job_info_fini(&info);
}

static void
a_retried_slot_opens_the_next_generation_and_the_rest_counts_as_it_was(void **state)
{
    struct world *w = *state;
    for (unsigned i = 0; i < SLOTS; i++)
        push(w,
             whole_run(w, &(struct how){
                              .index = i, .total = SLOTS, .fails = i == 2, .exit_code = i == 2 }));
    const char *first = w->runs[0].receipt.job;
    assert_state(w, first, STORE_SEALED, SLOTS, 0, 1);
    struct run *again = whole_run(
        w, &(struct how){ .index = 2, .total = SLOTS, .ci_job = 999, .later_us = 60000000 });
    push(w, again);
    assert_string_equal(again->receipt.job, store_job_ulid(again->job));
    assert_state(w, again->receipt.job, STORE_SEALED, 1, 0, 0);
    assert_state(w, first, STORE_SEALED, SLOTS, 0, 1);
    struct store_job_info info = info_of(w, again->receipt.job);
    assert_int_equal(info.generation, 1);
    assert_string_equal(info.previous, first);
    assert_int_equal(info.as_before, TESTS - size_of_share(w, 2, TESTS));
    store_job_info_fini(&info);
}

static void
what_failed_before_in_a_share_that_is_not_retried_is_missed(void **state)
{
    struct world *w = *state;
    for (unsigned i = 0; i < SLOTS; i++)
        push(w, whole_run(w, &(struct how){
                                 .index = i, .total = SLOTS, .fails = i > 1, .exit_code = i > 1 }));
    struct run *again = whole_run(
        w, &(struct how){ .index = 2, .total = SLOTS, .generation = 1, .later_us = 60000000 });
    push(w, again);
    assert_state(w, again->receipt.job, STORE_INCOMPLETE, 1, 1, -1);
    push(w, whole_run(w, &(struct how){
                             .index = 3, .total = SLOTS, .generation = 1, .later_us = 60000000 }));
    assert_state(w, again->receipt.job, STORE_SEALED, 2, 0, 0);
    assert_int_equal(jobs_there(w), 2);
}

/* The retry was pushed first: its results count, what the first run said is history. */
static void
an_older_run_of_a_slot_that_comes_late_decides_nothing(void **state)
{
    struct world *w = *state;
    struct run *older =
        whole_run(w, &(struct how){ .index = 2, .total = SLOTS, .fails = true, .exit_code = 1 });
    for (unsigned i = 0; i < SLOTS; i++)
        push(w,
             whole_run(w, &(struct how){
                              .index = i, .total = SLOTS, .ci_job = 900, .later_us = 60000000 }));
    push(w, older);
    assert_int_equal(jobs_there(w), 1);
    assert_state(w, older->receipt.job, STORE_SEALED, SLOTS, 0, 0);
    struct store_job_info info = info_of(w, older->receipt.job);
    assert_int_equal(info.verdicts[DZ_RESULT_OK], TESTS);
    assert_false(info.is_ledger_wrong);
    store_job_info_fini(&info);
}

static void
the_same_ci_job_again_runs_another_command(void **state)
{
    struct world *w = *state;
    for (unsigned i = 0; i < 2; i++)
        for (unsigned slot = 0; slot < SLOTS; slot++)
            push(w, whole_run(w, &(struct how){
                                     .index = slot, .total = SLOTS, .later_us = i * 60000000 }));
    assert_int_equal(jobs_there(w), 2);
    assert_state(w, w->runs[0].receipt.job, STORE_SEALED, SLOTS, 0, 0);
    assert_state(w, w->runs[SLOTS].receipt.job, STORE_SEALED, SLOTS, 0, 0);
    assert_string_equal(w->runs[SLOTS + 1].receipt.job, store_job_ulid(w->runs[SLOTS].job));
}

/* Slot 1 could not reach the store when the others met there. */
static void
a_share_is_of_the_job_of_the_meeting(void **state)
{
    struct world *w = *state;
    struct how all = { .total = 0 };
    struct run *led = begin_run(w, &all);
    run_share(w, led, &all);
    push(w, led);
    push(w, whole_run(w, &(struct how){ .index = 1, .total = SLOTS }));
    assert_string_equal(w->runs[1].receipt.job, store_job_ulid(led->job));
    end_run(led, &all);
    push(w, led);
    assert_int_equal(jobs_there(w), 1);
    assert_state(w, led->receipt.job, STORE_SEALED, 1, 0, 0);
    struct store_job_info info = info_of(w, led->receipt.job);
    assert_int_equal(info.duplicates, size_of_share(w, 1, TESTS));
    assert_false(info.is_ledger_wrong);
    store_job_info_fini(&info);
}

static void
a_share_that_comes_after_the_seal_is_told_of_there(void **state)
{
    struct world *w = *state;
    struct run *led = whole_run(w, &(struct how){ .total = 0 });
    push(w, led);
    assert_state(w, led->receipt.job, STORE_SEALED, 0, 0, 0);
    push(w, whole_run(w, &(struct how){ .index = 1, .total = SLOTS }));
    assert_state(w, led->receipt.job, STORE_SEALED, 1, 0, 0);

    /* and one whose list has a test more, which is another's share: that makes the job incomplete */
    unsigned owner = dz_shard_of(w->list[TESTS], SLOTS), other = owner == 2 ? 3 : 2;
    assert_int_not_equal(owner, 1);
    push(w, whole_run(w, &(struct how){ .index = other, .total = SLOTS, .tests = TESTS + 1 }));
    assert_int_equal(jobs_there(w), 1);
    assert_state(w, led->receipt.job, STORE_INCOMPLETE, 2, 1, -1);
    push(w, whole_run(w, &(struct how){ .index = owner, .total = SLOTS, .tests = TESTS + 1 }));
    assert_state(w, led->receipt.job, STORE_SEALED, 3, 0, 0);
}

/* A share has a test that nobody ran: the scheduler's slot is told nevertheless that its seal is here. */
static void
who_scheduled_an_incomplete_job_is_told_that_it_is_sealed(void **state)
{
    struct world *w = *state;
    struct how all = { .total = 0 };
    struct run *led = begin_run(w, &all);
    run_share(w, led, &all);
    push(w, led);
    unsigned other = dz_shard_of(w->list[TESTS], SLOTS) == 1 ? 2 : 1;
    push(w, whole_run(w, &(struct how){ .index = other, .total = SLOTS, .tests = TESTS + 1 }));
    end_run(led, &all);
    push(w, led);
    push(w, led);
    assert_state(w, led->receipt.job, STORE_INCOMPLETE, 1, 1, -1);
}

static void
a_sender_s_long_id_leads_to_the_job_that_it_is_in(void **state)
{
    struct world *w = *state;
    char ulid[STORE_ULID_LEN + 1] = "";
    for (unsigned i = 0; i < 2; i++)
        push(w, whole_run(w, &(struct how){ .index = i, .total = SLOTS }));
    assert_ok(
        store_job_find(w->to->store, URI, store_job_ulid(w->runs[1].job), NOON, ulid, &w->to->err));
    assert_string_equal(ulid, store_job_ulid(w->runs[0].job));
}

/* An inbox notes by the clock when it heard of a job, which otherwise begins at NOON. */
static int64_t
long_after(void)
{
    int64_t now_us = dz_clock_wall_ms() * 1000;
    return (now_us > NOON ? now_us : NOON) + 9 * DAY;
}

static void
a_job_that_was_removed_may_come_again(void **state)
{
    struct world *w = *state;
    for (unsigned i = 0; i < 2; i++)
        push(w, whole_run(w, &(struct how){ .index = i, .total = SLOTS }));
    store_inbox_destroy(&w->inbox);
    assert_ok(store_job_remove(w->to->store, w->runs[0].receipt.job, long_after(), &w->to->err));
    assert_int_equal(jobs_there(w), 0);
    w->inbox = store_inbox_new(w->to->store);
    push(w, &w->runs[1]);
    assert_string_equal(w->runs[1].receipt.job, store_job_ulid(w->runs[1].job));
    push(w, &w->runs[0]);
    assert_int_equal(jobs_there(w), 1);
    assert_state(w, w->runs[1].receipt.job, STORE_INCOMPLETE, 2,
                 size_of_share(w, 2, TESTS) + size_of_share(w, 3, TESTS), -1);
}

/* Retention takes the oldest first; what was settled with its help stays so. */
static void
what_counts_as_before_stays_when_the_generation_before_is_removed(void **state)
{
    struct world *w = *state;
    for (unsigned i = 0; i < SLOTS; i++)
        push(w,
             whole_run(w, &(struct how){
                              .index = i, .total = SLOTS, .fails = i == 2, .exit_code = i == 2 }));
    struct how again = { .index = 2, .total = SLOTS, .ci_job = 900, .later_us = DAY };
    push(w, whole_run(w, &again));
    const char *ulid = w->runs[SLOTS].receipt.job;
    uint32_t others = TESTS - size_of_share(w, 2, TESTS);
    assert_string_not_equal(ulid, w->runs[0].receipt.job);
    assert_ok(store_job_remove(w->to->store, w->runs[0].receipt.job, long_after(), &w->to->err));
    push(w, &w->runs[SLOTS]); /* said again */
    assert_state(w, ulid, STORE_SEALED, 1, 0, 0);
    struct store_job_info info = info_of(w, ulid);
    assert_int_equal(info.as_before, others);
    assert_int_equal(info.counted + info.as_before, TESTS);
    store_job_info_fini(&info);
}

static void
a_job_that_was_made_small_takes_shares_as_before(void **state)
{
    struct world *w = *state;
    for (unsigned i = 0; i < SLOTS; i++) {
        push(w, whole_run(w, &(struct how){ .index = i, .total = SLOTS }));
        struct store_tidy work = { .now_us = long_after(), .budget_ms = 10000 };
        assert_ok(store_tidy(w->to->store, &work, &w->to->err));
        assert_int_equal(work.removed, 0);
    }
    assert_state(w, w->runs[0].receipt.job, STORE_SEALED, SLOTS, 0, 0);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup_world, teardown_world)
    const struct CMUnitTest tests[] = {
        T(shares_are_one_job_that_is_incomplete_until_all_have_come),
        T(said_twice_and_to_another_inbox_nothing_changes),
        T(two_pushers_make_one_job),
        T(the_worst_exit_code_is_the_job_s_and_a_share_without_tests_is_none),
        T(a_test_that_its_own_slot_has_not_collected_is_missed),
        T(what_its_own_slot_left_is_no_other_s_excuse),
        T(what_a_slot_left_on_purpose_is_not_run),
        T(a_slot_that_was_taken_away_is_still_to_come),
        T(a_slot_that_never_ended_comes_again),
        T(a_retried_slot_opens_the_next_generation_and_the_rest_counts_as_it_was),
        T(what_failed_before_in_a_share_that_is_not_retried_is_missed),
        T(an_older_run_of_a_slot_that_comes_late_decides_nothing),
        T(the_same_ci_job_again_runs_another_command),
        T(a_share_is_of_the_job_of_the_meeting),
        T(a_share_that_comes_after_the_seal_is_told_of_there),
        T(who_scheduled_an_incomplete_job_is_told_that_it_is_sealed),
        T(a_sender_s_long_id_leads_to_the_job_that_it_is_in),
        T(a_job_that_was_removed_may_come_again),
        T(what_counts_as_before_stays_when_the_generation_before_is_removed),
        T(a_job_that_was_made_small_takes_shares_as_before),
    };
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
