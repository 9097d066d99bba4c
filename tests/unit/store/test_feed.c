/* The feed: every event once, in the order of writing, from any place on. */
#include "store/care.h"
#include "store/feed.h"
#include "tests/unit/store/store_fixture.h"

enum { ALL = 1 << FEED_JOB | 1 << FEED_RESULT | 1 << FEED_LOG };

struct seen {
    char text[4096];
    struct feed_at last;
    uint32_t count, stop_after; /* 0: never */
};

static bool
note(void *arg, const struct feed_event *event)
{
    static const char *const names[] = { "job", "result", "log", "span", "gap" };
    struct seen *seen = arg;
    size_t len = strlen(seen->text);
    struct dz_slice what = event->kind == FEED_LOG ? event->log.text : event->test_id;
    (void) snprintf(seen->text + len, sizeof(seen->text) - len, "%s:%.*s ", names[event->kind],
                    (int) what.len, what.ptr ? (const char *) what.ptr : "");
    assert_true(feed_compare(event->at, event->next) < 0);
    assert_true(seen->count == 0 || feed_compare(seen->last, event->at) <= 0);
    seen->last = event->next;
    seen->count++;
    return seen->count != seen->stop_after;
}

static struct feed_at
end_of(struct fixture *f)
{
    uint64_t first, next;
    assert_ok(store_feed_bounds(f->store, &first, &next, &f->err));
    return (struct feed_at){ next, 0 };
}

static void
read_from(struct fixture *f, const struct feed_filter *filter, struct feed_at at, struct seen *seen)
{
    struct store_feed *feed = store_feed_open(f->store);
    seen->text[0] = '\0';
    seen->count = 0;
    assert_ok(store_feed_read(feed, filter, &at, end_of(f), note, seen, &f->err));
    if (!seen->stop_after)
        assert_int_equal(feed_compare(at, end_of(f)), 0);
    store_feed_close(&feed);
}

/* job, job (its tests), results 0 1, a log, result 2, job (sealed) */
static struct store_job *
fill(struct fixture *f)
{
    struct store_job *job = begin_with_tests(f, 3);
    struct store_result first[] = { result_of(0, 0, 1, DZ_RESULT_OK),
                                    result_of(1, 0, 2, DZ_RESULT_FAILED) };
    struct store_log log = { .source = 1,
                             .seq = 1,
                             .first_us = NOON,
                             .last_us = NOON,
                             .test = STORE_NO_TEST,
                             .text = dz_str("hello") };
    struct store_result second = result_of(2, 0, 3, DZ_RESULT_OK);
    struct store_batch batch = { .logs = &log, .log_count = 1 };
    append_results(f, job, first, 2);
    assert_ok(store_job_append(job, &batch, &f->err));
    append_one(f, job, &second);
    assert_ok(seal_job(f, job, 1));
    return job;
}

static void
events_come_in_the_order_of_writing(void **state)
{
    struct fixture *f = *state;
    struct store_job *job = fill(f);
    const struct feed_filter filter = { .kinds = ALL };
    struct seen seen = { 0 };
    read_from(f, &filter, (struct feed_at){ 1, 0 }, &seen);
    assert_string_equal(seen.text, "job: job: result:t.py::test_000000 result:t.py::test_000001 "
                                   "log:hello result:t.py::test_000002 job: ");
    store_job_close(&job);
}

static void
reading_on_from_any_event_misses_nothing_and_repeats_nothing(void **state)
{
    struct fixture *f = *state;
    struct store_job *job = fill(f);
    const struct feed_filter filter = { .kinds = ALL };
    struct seen whole = { 0 };
    read_from(f, &filter, (struct feed_at){ 1, 0 }, &whole);
    for (uint32_t cut = 1; cut < whole.count; cut++) {
        char joined[8192];
        struct seen head = { .stop_after = cut }, tail = { 0 };
        read_from(f, &filter, (struct feed_at){ 1, 0 }, &head);
        assert_int_equal(head.count, cut);
        read_from(f, &filter, head.last, &tail);
        (void) snprintf(joined, sizeof(joined), "%s%s", head.text, tail.text);
        assert_string_equal(joined, whole.text);
    }
    store_job_close(&job);
}

static void
a_filter_keeps_one_job_or_project_and_some_kinds(void **state)
{
    struct fixture *f = *state;
    struct store_job *job = fill(f), *other = begin_at(f, NOON + DAY, "");
    struct seen seen = { 0 };
    struct feed_filter filter = { .ulid = store_job_ulid(other), .kinds = ALL };
    read_from(f, &filter, (struct feed_at){ 1, 0 }, &seen);
    assert_string_equal(seen.text, "job: ");
    filter = (struct feed_filter){ .uri = "git@example.org:acme/other.git", .kinds = ALL };
    read_from(f, &filter, (struct feed_at){ 1, 0 }, &seen);
    assert_string_equal(seen.text, "");
    filter = (struct feed_filter){ .uri = URI, .kinds = 1 << FEED_LOG };
    read_from(f, &filter, (struct feed_at){ 1, 0 }, &seen);
    assert_string_equal(seen.text, "log:hello ");
    store_job_close(&job);
    store_job_close(&other);
}

static void
said_again_it_is_no_event(void **state)
{
    struct fixture *f = *state;
    struct store_job *job = begin_with_tests(f, 1);
    struct store_result result = result_of(0, 0, 1, DZ_RESULT_OK);
    append_one(f, job, &result);
    struct feed_at end = end_of(f);
    append_one(f, job, &result);
    assert_true(result.is_repeat);
    assert_int_equal(feed_compare(end, end_of(f)), 0);
    store_job_close(&job);
}

static void
what_became_small_is_one_gap_and_what_did_not_is_whole(void **state)
{
    struct fixture *f = *state;
    struct store_job *job = fill(f);
    struct seen seen = { 0 };
    const struct feed_filter filter = { .kinds = ALL };
    assert_ok(store_tidy_job(f->store, store_job_ulid(job), 60000, &f->err));
    struct store_job *other = begin_with_tests(f, 1);
    struct store_result result = result_of(0, 0, 1, DZ_RESULT_OK);
    append_one(f, other, &result);
    read_from(f, &filter, (struct feed_at){ 1, 0 }, &seen);
    assert_string_equal(seen.text, "job: job: gap: job: job: job: result:t.py::test_000000 ");
    store_job_close(&job);
    store_job_close(&other);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(events_come_in_the_order_of_writing, setup, teardown),
        cmocka_unit_test_setup_teardown(
            reading_on_from_any_event_misses_nothing_and_repeats_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_filter_keeps_one_job_or_project_and_some_kinds, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(said_again_it_is_no_event, setup, teardown),
        cmocka_unit_test_setup_teardown(what_became_small_is_one_gap_and_what_did_not_is_whole,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
