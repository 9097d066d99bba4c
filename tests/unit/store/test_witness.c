/* Who schedules dies before it has sealed the job: others were told how it would, and the store seals
 * it when it has all that was counted. */
#include "shared/base/buf.h"
#include "store/meet.h"
#include "store/sync.h"
#include "tests/unit/store/store_fixture.h"

enum { TESTS = 10, HALF = TESTS / 2 };

#define JOB "01JD8Y7W9QK3T5V2X4Z6B8D0FG"

/* Two nodes of one job, and the store that both send to. */
struct lab {
    struct fixture *node[2], *to;
    struct store_job *job[2];
    struct store_inbox *inbox;
    struct store_receipt receipt;
};

static struct store_job *
begin_job(struct fixture *f)
{
    struct store_begin begin = { .uri = URI, .timezone = "UTC", .now_us = NOON, .ulid = JOB };
    struct store_job *job = NULL;
    assert_ok(store_job_begin(f->store, &begin, &job, &f->err));
    put_tests(f, job, TESTS);
    return job;
}

static int
setup_lab(void **state)
{
    struct lab *lab = dz_alloc0(1, sizeof(*lab));
    *state = lab;
    if (setup((void **) &lab->node[0]) || setup((void **) &lab->node[1]) ||
        setup((void **) &lab->to))
        return -1;
    for (size_t i = 0; i < 2; i++)
        lab->job[i] = begin_job(lab->node[i]);
    lab->inbox = store_inbox_new(lab->to->store);
    return 0;
}

static int
teardown_lab(void **state)
{
    struct lab *lab = *state;
    store_inbox_destroy(&lab->inbox);
    for (size_t i = 0; i < 2; i++) {
        store_job_close(&lab->job[i]);
        (void) teardown((void **) &lab->node[i]);
    }
    (void) teardown((void **) &lab->to);
    free(lab);
    return 0;
}

static void
run(struct lab *lab, size_t node, uint32_t first, uint32_t last, enum dz_result result)
{
    for (uint32_t i = first; i < last; i++) {
        struct store_result row = result_of(i, 0, i + 1, result);
        row.node = node + 1;
        append_one(lab->node[node], lab->job[node], &row);
    }
}

static struct store_seal
account(uint32_t counted, int exit_code)
{
    return (struct store_seal){ .collected = TESTS,
                                .counted = counted,
                                .not_run = TESTS - counted,
                                .nodes = 2,
                                .workers = 4,
                                .exit_code = exit_code,
                                .now_us = NOON + 5000000 };
}

static void
witness(struct lab *lab, size_t node, uint32_t counted, int exit_code)
{
    struct store_seal seal = account(counted, exit_code);
    assert_ok(store_job_witness(lab->job[node], &seal, &lab->node[node]->err));
}

static void
send(struct lab *lab, size_t node, unsigned flags)
{
    struct store_outbox *box = NULL;
    struct store_at total, after;
    bool is_sealed;
    struct fixture *f = lab->node[node];
    lab->receipt = (struct store_receipt){ 0 };
    assert_ok(store_outbox_open(f->store, JOB, &box, &f->err));
    assert_ok(store_outbox_total(box, &total, &is_sealed, &f->err));
    for (unsigned i = 0; i < 3; i++) {
        DZ_AUTO(dz_buf_fini) struct dz_buf parcel = { 0 };
        struct store_at at = lab->receipt.at;
        assert_ok(store_outbox_next(box, &at,
                                    flags | (lab->receipt.wants_list ? STORE_WITH_LIST : 0),
                                    STORE_PARCEL_SOFT, &parcel, &after, &f->err));
        assert_ok(store_inbox_take(lab->inbox, JOB, dz_buf_slice(&parcel), NULL, &lab->receipt,
                                   &lab->to->err));
    }
    assert_true(store_at_eq(&lab->receipt.at, &total));
    store_outbox_close(&box);
}

static struct store_job_info
info(struct lab *lab)
{
    struct store_job_info out;
    assert_ok(store_job_info(lab->to->store, JOB, NOON + DAY, &out, &lab->to->err));
    return out;
}

static void
assert_state(struct lab *lab, enum store_state state, int exit_code, uint32_t not_run)
{
    struct store_job_info now = info(lab);
    assert_int_equal(now.state, state);
    assert_int_equal(now.exit_code, exit_code);
    assert_int_equal(now.not_run, not_run);
    assert_false(now.is_ledger_wrong);
    store_job_info_fini(&now);
}

/* ------------------------------------------------------------------ */

static void
a_job_whose_scheduler_died_is_sealed_by_what_a_node_was_told(void **state)
{
    struct lab *lab = *state;
    run(lab, 0, 0, HALF, DZ_RESULT_OK);
    run(lab, 1, HALF, TESTS, DZ_RESULT_OK);
    send(lab, 0, STORE_IS_LIVE);
    assert_state(lab, STORE_RUNNING, -1, HALF);
    witness(lab, 1, TESTS, 0);
    send(lab, 1, 0);
    assert_state(lab, STORE_SEALED, 0, 0);
    assert_true(lab->receipt.is_witnessed);
    assert_false(lab->receipt.is_sealed); /* its scheduler has not spoken */
}

static void
it_waits_for_the_last_row_whoever_brings_it(void **state)
{
    struct lab *lab = *state;
    run(lab, 0, 0, HALF, DZ_RESULT_OK);
    run(lab, 1, HALF, TESTS, DZ_RESULT_FAILED);
    witness(lab, 1, TESTS, 1);
    send(lab, 1, 0);
    assert_state(lab, STORE_RUNNING, -1, HALF);
    assert_false(lab->receipt.is_witnessed);
    store_inbox_destroy(&lab->inbox); /* the store was started again meanwhile */
    lab->inbox = store_inbox_new(lab->to->store);
    send(lab, 0, 0); /* found on the disk of the dead */
    assert_state(lab, STORE_SEALED, 1, 0);
}

static void
what_was_not_run_is_not_waited_for(void **state)
{
    struct lab *lab = *state;
    run(lab, 0, 0, HALF, DZ_RESULT_FAILED);
    witness(lab, 0, HALF, 1);
    send(lab, 0, STORE_IS_LIVE);
    assert_state(lab, STORE_SEALED, 1, TESTS - HALF);
}

static void
the_scheduler_s_own_seal_goes_before_what_others_were_told(void **state)
{
    struct lab *lab = *state;
    run(lab, 0, 0, HALF, DZ_RESULT_OK);
    run(lab, 1, HALF, TESTS, DZ_RESULT_OK);
    send(lab, 0, STORE_IS_LIVE);
    witness(lab, 1, TESTS, 0);
    send(lab, 1, 0);
    assert_state(lab, STORE_SEALED, 0, 0);
    struct store_result others[HALF];
    for (uint32_t i = HALF; i < TESTS; i++) {
        others[i - HALF] = result_of(i, 0, i + 1, DZ_RESULT_OK);
        others[i - HALF].node = 2; /* as it was told of them */
    }
    append_results(lab->node[0], lab->job[0], others, HALF);
    assert_ok(seal_job(lab->node[0], lab->job[0], 2));
    send(lab, 0, 0);
    assert_state(lab, STORE_SEALED, 2, 0);
    assert_true(lab->receipt.is_sealed);
    send(lab, 1, 0);
    assert_state(lab, STORE_SEALED, 2, 0);
}

static void
a_note_of_other_tests_than_the_job_has_seals_nothing(void **state)
{
    struct lab *lab = *state;
    run(lab, 0, 0, TESTS, DZ_RESULT_OK);
    struct store_seal seal = account(TESTS, 0);
    seal.collected = TESTS + 1; /* somebody had one more */
    assert_ok(store_job_witness(lab->job[0], &seal, &lab->node[0]->err));
    send(lab, 0, 0);
    assert_state(lab, STORE_RUNNING, -1, 0);
}

static void
the_seal_of_a_meeting_seals_its_job(void **state)
{
    struct lab *lab = *state;
    struct store_meet ask = { .kind = STORE_MEET_ENTER, .uri = URI, .key = dz_str("k") };
    ask.entry = (struct dz_meeting_entry){ .node = 1, .job = JOB };
    ask.contact = dz_str("one");
    assert_ok(store_meet(lab->to->store, &ask, 1, NOON, &lab->to->err));
    run(lab, 0, 0, TESTS, DZ_RESULT_OK);
    send(lab, 0, STORE_IS_LIVE);
    ask.kind = STORE_MEET_SEAL;
    ask.epoch = (struct dz_epoch){ 1, 1, 1 };
    ask.has_account = true;
    ask.account = account(TESTS, 0);
    assert_ok(store_meet(lab->to->store, &ask, 1, NOON, &lab->to->err));
    assert_string_equal(ask.entry.job, JOB);
    assert_ok(store_inbox_end(lab->inbox, JOB, &lab->to->err));
    assert_state(lab, STORE_SEALED, 0, 0);
}

static void
the_seal_of_a_scheduler_that_was_succeeded_notes_nothing(void **state)
{
    struct lab *lab = *state;
    struct store_meet ask = { .kind = STORE_MEET_ENTER, .uri = URI, .key = dz_str("k") };
    ask.entry = (struct dz_meeting_entry){ .node = 1, .job = JOB };
    ask.contact = dz_str("one");
    assert_ok(store_meet(lab->to->store, &ask, 1, NOON, &lab->to->err));
    run(lab, 0, 0, TESTS, DZ_RESULT_OK);
    send(lab, 0, STORE_IS_LIVE);
    ask.kind = STORE_MEET_LEASE;
    ask.ask = (struct dz_lease_ask){ .kind = DZ_LEASE_CLAIM, .me = { 1, 2, 1 } };
    assert_ok(store_meet(lab->to->store, &ask, 1, NOON, &lab->to->err));
    ask.kind = STORE_MEET_SEAL;
    ask.epoch = (struct dz_epoch){ 1, 1, 1 };
    ask.has_account = true;
    ask.account = account(TESTS, 0);
    assert_ok(store_meet(lab->to->store, &ask, 1, NOON, &lab->to->err));
    assert_int_equal(ask.rc, DZ_REFUSED);
    assert_ok(store_inbox_end(lab->inbox, JOB, &lab->to->err));
    assert_state(lab, STORE_RUNNING, -1, 0);
}

static void
the_end_of_a_job_that_nobody_told_of_is_fine(void **state)
{
    struct lab *lab = *state;
    assert_ok(store_inbox_end(lab->inbox, JOB, &lab->to->err));
}

#define witness_test(fn) cmocka_unit_test_setup_teardown(fn, setup_lab, teardown_lab)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        witness_test(a_job_whose_scheduler_died_is_sealed_by_what_a_node_was_told),
        witness_test(it_waits_for_the_last_row_whoever_brings_it),
        witness_test(what_was_not_run_is_not_waited_for),
        witness_test(the_scheduler_s_own_seal_goes_before_what_others_were_told),
        witness_test(a_note_of_other_tests_than_the_job_has_seals_nothing),
        witness_test(the_seal_of_a_meeting_seals_its_job),
        witness_test(the_seal_of_a_scheduler_that_was_succeeded_notes_nothing),
        witness_test(the_end_of_a_job_that_nobody_told_of_is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
