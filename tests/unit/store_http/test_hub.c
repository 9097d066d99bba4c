/* test_hub.c - streams of events from the real store, read by owners that are slow, late or gone. */
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include "shared/base/clock.h"
#include "store/http/hub.h"
#include "tests/unit/store/store_fixture.h"

enum { SOON_MS = 20000, PIECE = 4096, LOGS = 64, TEXT = 2000 };

/* Woken by a descriptor, as a connection is by its loop. */
struct owner {
    int fd;
    struct hub_stream *stream;
    struct dz_buf line;  /* not whole yet */
    uint64_t next;       /* number that has to come */
    uint64_t number;     /* of the event that is not whole yet, and one more; 0: none */
    uint64_t wrong;      /* numbers that were not that */
    struct feed_at last; /* place behind the last whole event */
    struct feed_at place;
};

static void
hold(void *arg)
{
    (void) arg; /* whoever reads 0 waits */
}

static void
wake(void *arg)
{
    const struct owner *owner = arg;
    const uint64_t one = 1;
    assert_int_equal(write(owner->fd, &one, sizeof(one)), sizeof(one));
}

static const struct hub_ops OPS = { hold, wake };

static void
join(struct hub *hub, struct owner *owner, struct feed_at from)
{
    const struct hub_ask ask = { .filter = { .kinds = 1 << FEED_LOG }, .from = from };
    owner->fd = eventfd(0, EFD_CLOEXEC);
    assert_true(owner->fd >= 0);
    owner->stream = hub_join(hub, &ask, owner);
    assert_non_null(owner->stream);
    dz_buf_clear(&owner->line);
}

static void
leave(struct owner *owner)
{
    hub_leave(&owner->stream);
    (void) close(owner->fd);
    dz_buf_clear(&owner->line);
    owner->number = 0;
}

static void
take_line(struct owner *owner, const char *line)
{
    unsigned long long row;
    unsigned record;
    const char *text = strstr(line, "\"text\":\"#");
    if (text) {
        owner->number = strtoull(text + strlen("\"text\":\"#"), NULL, 10) + 1;
    } else if (sscanf(line, "id: %llu.%u", &row, &record) == 2) {
        owner->place = (struct feed_at){ row, record };
    } else if (!*line) {
        owner->wrong += owner->number > 0 && owner->number != owner->next + 1;
        owner->next = owner->number > 0 ? owner->number : owner->next;
        owner->number = 0;
        owner->last = owner->place;
    }
}

static void
take(struct owner *owner, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != '\n') {
            dz_buf_add(&owner->line, &bytes[i], 1);
            continue;
        }
        dz_buf_add(&owner->line, "", 1);
        take_line(owner, (const char *) owner->line.data);
        dz_buf_clear(&owner->line);
    }
}

/* Read a piece, waiting for it; false: the end. */
static bool
read_piece(struct owner *owner)
{
    char bytes[PIECE];
    struct pollfd news = { .fd = owner->fd, .events = POLLIN };
    for (;;) {
        uint64_t count;
        ssize_t len = hub_read(owner->stream, bytes, sizeof(bytes));
        if (len < 0)
            return false;
        take(owner, bytes, (size_t) len);
        if (len > 0)
            return true;
        assert_int_equal(poll(&news, 1, SOON_MS), 1);
        assert_int_equal(read(owner->fd, &count, sizeof(count)), sizeof(count));
    }
}

static void
read_up_to(struct owner *owner, uint64_t number)
{
    while (owner->next < number)
        assert_true(read_piece(owner));
    assert_int_equal(owner->wrong, 0);
}

/* `count` batches of LOGS numbered records, TEXT bytes each. */
static void
write_logs(struct fixture *f, struct store_job *job, uint64_t *number, unsigned count)
{
    static char texts[LOGS][TEXT + 1];
    static struct store_log logs[LOGS];
    for (unsigned batch = 0; batch < count; batch++) {
        for (unsigned i = 0; i < LOGS; i++) {
            memset(texts[i], 'x', TEXT);
            texts[i][snprintf(texts[i], TEXT, "#%llu ", (unsigned long long) (*number)++)] = 'x';
            logs[i] = (struct store_log){
                .first_us = NOON, .last_us = NOON, .test = STORE_NO_TEST, .text = dz_str(texts[i])
            };
        }
        struct store_batch all = { .logs = logs, .log_count = LOGS };
        assert_ok(store_job_append(job, &all, &f->err));
    }
}

static const struct feed_at FIRST = { 1, 0 };

static void
who_is_behind_all_that_is_kept_misses_nothing(void **state)
{
    struct fixture *f = *state;
    struct store_job *job = begin_at(f, NOON, "");
    struct hub *hub = hub_new(f->store, &OPS);
    struct owner quick = { .next = 0 }, slow = { .next = 0 };
    struct hub_counts counts;
    uint64_t number = 0;
    join(hub, &quick, FIRST);
    join(hub, &slow, FIRST);
    write_logs(f, job, &number, 1);
    read_up_to(&quick, number);
    assert_true(read_piece(&slow));
    write_logs(f, job, &number, 80); /* some 10 MiB: more than a channel keeps */
    read_up_to(&quick, number);
    read_up_to(&slow, number);
    hub_count(hub, &counts);
    assert_true(counts.catch_ups > 0);
    assert_int_equal(counts.streams, 2);
    leave(&quick);
    leave(&slow);
    hub_stop(hub);
    hub_destroy(&hub);
    dz_buf_fini(&quick.line);
    dz_buf_fini(&slow.line);
    store_job_close(&job);
}

static void
who_comes_back_again_and_again_gets_each_event_once(void **state)
{
    struct fixture *f = *state;
    struct store_job *job = begin_at(f, NOON, "");
    struct hub *hub = hub_new(f->store, &OPS);
    struct owner stays = { .next = 0 }, returns = { .last = FIRST };
    uint64_t number = 0;
    join(hub, &stays, FIRST);
    for (unsigned turn = 0; turn < 40; turn++) {
        join(hub, &returns, returns.last);
        write_logs(f, job, &number, 1 + turn % 3);
        for (unsigned pieces = 0; pieces < turn % 7; pieces++)
            assert_true(read_piece(&returns));
        leave(&returns); /* in the middle of an event, mostly: that one comes again */
    }
    join(hub, &returns, returns.last);
    read_up_to(&stays, number);
    while (returns.next < number)
        assert_true(read_piece(&returns));
    assert_int_equal(returns.wrong, 0);
    leave(&returns);
    leave(&stays);
    hub_stop(hub);
    hub_destroy(&hub);
    dz_buf_fini(&stays.line);
    dz_buf_fini(&returns.line);
    store_job_close(&job);
}

static void
the_end_wakes_everybody(void **state)
{
    struct fixture *f = *state;
    struct hub *hub = hub_new(f->store, &OPS);
    struct owner owners[3] = { { .next = 0 } };
    char byte;
    for (size_t i = 0; i < DZ_LEN(owners); i++) {
        join(hub, &owners[i], FIRST);
        assert_int_equal(hub_read(owners[i].stream, &byte, 1), 0);
    }
    hub_stop(hub);
    for (size_t i = 0; i < DZ_LEN(owners); i++) {
        assert_false(read_piece(&owners[i]));
        leave(&owners[i]);
        dz_buf_fini(&owners[i].line);
    }
    hub_destroy(&hub);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_is_behind_all_that_is_kept_misses_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(who_comes_back_again_and_again_gets_each_event_once, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_end_wakes_everybody, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
