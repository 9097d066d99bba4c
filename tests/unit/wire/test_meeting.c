#include <string.h>

#include "shared/wire/meeting.h"
#include "tests/unit/unit.h"

#define JOB_A "01JD8Y7W9QK3T5V2X4Z6B8D0FG"
#define JOB_B "01JD8Y7W9QK3T5V2X4Z6B8D0FH"

static struct dz_meeting_entry
enter(struct dz_meeting *meeting, uint64_t node, uint32_t index, const char *job)
{
    struct dz_meeting_entry entry = { .node = node,
                                      .arrival = { .index = index, .ci_job = 100 + node } };
    memcpy(entry.job, job, sizeof(entry.job));
    assert_ok(dz_meeting_enter(meeting, &entry));
    return entry;
}

static void
copy(const struct dz_meeting *from, struct dz_meeting *to)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    dz_meeting_write(from, &text);
    dz_meeting_read(dz_buf_slice(&text), to);
}

static void
the_first_one_names_the_job(void **state)
{
    (void) state;
    DZ_AUTO(dz_meeting_fini) struct dz_meeting meeting = { 0 };
    assert_int_equal(enter(&meeting, 1, 0, JOB_A).answer.word, DZ_ARRIVAL_OPENS);
    struct dz_meeting_entry second = enter(&meeting, 2, 1, JOB_B);
    assert_int_equal(second.answer.word, DZ_ARRIVAL_JOINS);
    assert_string_equal(second.job, JOB_A);
}

static void
a_meeting_is_read_as_it_was_written(void **state)
{
    (void) state;
    DZ_AUTO(dz_meeting_fini) struct dz_meeting meeting = { 0 }, read = { 0 };
    (void) enter(&meeting, 1, 0, JOB_A);
    (void) enter(&meeting, UINT64_MAX, DZ_NO_INDEX, JOB_B);
    dz_meeting_end(&meeting, 1, DZ_SLOT_END_TERMINATED);
    meeting.lease = (struct dz_lease){ .epoch = { 3, UINT64_MAX, 9 },
                                       .until = 123456,
                                       .members = 2,
                                       .witnesses = { 7, 8 },
                                       .witness_count = 2 };
    dz_meeting_seal(&meeting, true);
    copy(&meeting, &read);
    assert_string_equal(read.job, JOB_A);
    assert_memory_equal(&read.lease, &meeting.lease, sizeof(read.lease));
    assert_true(read.generation.exists && read.generation.is_sealed && read.generation.is_good);
    assert_int_equal(read.member_count, 2);
    assert_int_equal(read.members[0].slot.end, DZ_SLOT_END_TERMINATED);
    assert_int_equal(read.members[1].node, UINT64_MAX);
    assert_int_equal(read.members[1].slot.index, DZ_NO_INDEX);
    assert_int_equal(read.members[1].slot.ci_job, 99);
}

static void
epoch_numbers_go_on_in_the_next_generation(void **state)
{
    (void) state;
    DZ_AUTO(dz_meeting_fini) struct dz_meeting meeting = { 0 };
    (void) enter(&meeting, 1, 0, JOB_A);
    meeting.lease.epoch = (struct dz_epoch){ 5, 1, 1 };
    dz_meeting_end(&meeting, 1, DZ_SLOT_END_VERDICT);
    dz_meeting_seal(&meeting, false);
    struct dz_meeting_entry again = enter(&meeting, 2, 0, JOB_B);
    assert_int_equal(again.answer.word, DZ_ARRIVAL_OPENS);
    assert_int_equal(again.answer.number, 1);
    assert_string_equal(again.job, JOB_B);
    assert_int_equal(meeting.member_count, 1);
    assert_false(meeting.lease.is_sealed);
    struct dz_lease_ask ask = { .kind = DZ_LEASE_CLAIM, .me = { 0, 2, 1 } };
    struct dz_lease_reply reply;
    assert_true(dz_lease_step(&meeting.lease, &ask, 0, &reply));
    assert_int_equal(reply.epoch.n, 6);
}

static void
who_opens_a_generation_decides_what_it_runs_for_all(void **state)
{
    (void) state;
    DZ_AUTO(dz_meeting_fini) struct dz_meeting meeting = { 0 }, read = { 0 };
    struct dz_meeting_entry first = enter(&meeting, 1, 0, JOB_A);
    assert_string_equal(first.previous, "");
    dz_meeting_end(&meeting, 1, DZ_SLOT_END_VERDICT);
    dz_meeting_seal(&meeting, true);
    struct dz_meeting_entry again = { .node = 2,
                                      .arrival = { .index = 0, .ci_job = 200 },
                                      .mode = DZ_RERUN_FAILED };
    memcpy(again.job, JOB_B, sizeof(again.job));
    assert_ok(dz_meeting_enter(&meeting, &again));
    assert_int_equal(again.answer.word, DZ_ARRIVAL_OPENS);
    assert_string_equal(again.previous, JOB_A);
    assert_false(again.is_full);
    copy(&meeting, &read);
    struct dz_meeting_entry other = enter(&read, 3, 1, JOB_A);
    assert_int_equal(other.answer.word, DZ_ARRIVAL_JOINS);
    assert_string_equal(other.job, JOB_B);
    assert_string_equal(other.previous, JOB_A);
    assert_false(other.is_full); /* although its own mode is AUTO, and all had passed */
}

/* Slots 0 and 1; slot 0 is retried and fails again; then slot 1 is. */
static void
who_took_part_in_earlier_generations_is_remembered(void **state)
{
    (void) state;
    DZ_AUTO(dz_meeting_fini) struct dz_meeting meeting = { 0 }, read = { 0 };
    (void) enter(&meeting, 1, 0, JOB_A);
    (void) enter(&meeting, 2, 1, JOB_A);
    dz_meeting_end(&meeting, 1, DZ_SLOT_END_VERDICT);
    dz_meeting_end(&meeting, 2, DZ_SLOT_END_VERDICT);
    dz_meeting_seal(&meeting, false);
    assert_int_equal(enter(&meeting, 3, 0, JOB_B).answer.number, 1);
    dz_meeting_seal(&meeting, false);
    copy(&meeting, &read);
    assert_int_equal(read.earlier_count, 2);
    struct dz_meeting_entry other = { .node = 9, .arrival = { .index = 1, .ci_job = 102 } };
    assert_ok(dz_meeting_enter(&read, &other)); /* another command of the second one's CI job */
    assert_int_equal(other.answer.word, DZ_ARRIVAL_AGAIN);
    struct dz_meeting_entry again = enter(&read, 4, 1, JOB_A);
    assert_int_equal(again.answer.word, DZ_ARRIVAL_OPENS);
    assert_int_equal(again.answer.number, 2);
    assert_int_equal(read.earlier_count, 3);
}

static void
of_very_many_earlier_ones_the_oldest_are_forgotten(void **state)
{
    (void) state;
    DZ_AUTO(dz_meeting_fini) struct dz_meeting meeting = { 0 };
    enum { RUNS = 3 };
    for (uint32_t run = 0; run < RUNS; run++) {
        for (uint32_t i = 0; i < DZ_MEETING_MEMBERS_MAX / 2; i++)
            (void) enter(&meeting, 1 + i + run * (uint64_t) DZ_MEETING_MEMBERS_MAX, i, JOB_A);
        for (uint32_t i = 0; i < DZ_MEETING_MEMBERS_MAX / 2; i++)
            meeting.members[i].slot.end = DZ_SLOT_END_VERDICT;
        dz_meeting_seal(&meeting, false);
    }
    (void) enter(&meeting, 7 + RUNS * (uint64_t) DZ_MEETING_MEMBERS_MAX, 1, JOB_B);
    assert_int_equal(meeting.earlier_count, DZ_MEETING_MEMBERS_MAX);
    assert_int_equal(meeting.earlier[0].ci_job, 100 + 1 + (uint64_t) DZ_MEETING_MEMBERS_MAX);
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    dz_meeting_write(&meeting, &text);
    assert_true(text.len < DZ_MEETING_TEXT_MAX);
}

static void
its_members_are_counted_in_its_text(void **state)
{
    (void) state;
    DZ_AUTO(dz_meeting_fini) struct dz_meeting meeting = { 0 };
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    assert_int_equal(dz_meeting_count(dz_buf_slice(&text)), 0);
    for (uint32_t i = 0; i < 20; i++)
        (void) enter(&meeting, 1 + i, i, JOB_A);
    meeting.members[7].slot.end = DZ_SLOT_END_LOST;
    dz_meeting_write(&meeting, &text);
    assert_int_equal(dz_meeting_count(dz_buf_slice(&text)), 19);
    text.len = DZ_MEETING_LINE_MAX; /* the rest of it is not looked at */
    assert_int_equal(dz_meeting_count(dz_buf_slice(&text)), 19);
}

static void
a_generation_that_was_never_sealed_had_not_passed(void **state)
{
    (void) state;
    DZ_AUTO(dz_meeting_fini) struct dz_meeting meeting = { 0 };
    (void) enter(&meeting, 1, 0, JOB_A);
    struct dz_meeting_entry again = { .node = 2,
                                      .arrival = { .index = 0, .ci_job = 200, .attempt = 2 } };
    memcpy(again.job, JOB_B, sizeof(again.job));
    assert_ok(dz_meeting_enter(&meeting, &again));
    assert_int_equal(again.answer.number, 1);
    assert_string_equal(again.previous, JOB_A);
    assert_false(again.is_full);
}

static void
who_comes_late_changes_nothing(void **state)
{
    (void) state;
    DZ_AUTO(dz_meeting_fini) struct dz_meeting meeting = { 0 };
    (void) enter(&meeting, 1, 0, JOB_A);
    dz_meeting_seal(&meeting, true);
    struct dz_meeting_entry late = enter(&meeting, 2, 1, JOB_B);
    assert_int_equal(late.answer.word, DZ_ARRIVAL_LATE);
    assert_string_equal(late.job, JOB_A);
    assert_int_equal(meeting.member_count, 1);
}

static void
damaged_text_is_a_meeting_that_nobody_came_to(void **state)
{
    (void) state;
    static const char *const texts[] = {
        "",
        "job x\ngeneration 0 0 0\n",
        "generation 0 0 0\n",
        "job " JOB_A "\n",
        "\n\n \n",
        "job " JOB_A JOB_A "\ngeneration 1 0 0\n",
    };
    for (size_t i = 0; i < DZ_LEN(texts); i++) {
        DZ_AUTO(dz_meeting_fini) struct dz_meeting read = { 0 };
        dz_meeting_read(dz_str(texts[i]), &read);
        assert_false(read.generation.exists);
        assert_int_equal(read.member_count, 0);
    }
    DZ_AUTO(dz_meeting_fini) struct dz_meeting read = { 0 };
    dz_meeting_read(dz_str("job " JOB_A
                           "\ngeneration zz 9 1\nlease\nlease 1\nmember\nmember 5 0 1 ff\n"
                           "of a later version\n"),
                    &read);
    assert_true(read.generation.exists && read.generation.is_sealed);
    assert_int_equal(read.member_count, 1);
    assert_int_equal(read.members[0].slot.end, DZ_SLOT_END_NONE);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_one_names_the_job),
        cmocka_unit_test(a_meeting_is_read_as_it_was_written),
        cmocka_unit_test(epoch_numbers_go_on_in_the_next_generation),
        cmocka_unit_test(who_opens_a_generation_decides_what_it_runs_for_all),
        cmocka_unit_test(who_took_part_in_earlier_generations_is_remembered),
        cmocka_unit_test(of_very_many_earlier_ones_the_oldest_are_forgotten),
        cmocka_unit_test(its_members_are_counted_in_its_text),
        cmocka_unit_test(a_generation_that_was_never_sealed_had_not_passed),
        cmocka_unit_test(who_comes_late_changes_nothing),
        cmocka_unit_test(damaged_text_is_a_meeting_that_nobody_came_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
