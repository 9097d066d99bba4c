/* test_room.c - real processes in one room: who leads, who lives, what stays. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/files.h"
#include "shared/net/contact.h"
#include "shared/net/hub.h"
#include "tests/unit/unit.h"
#include "vassal/io/room.h"

#define JOB_A "01JD8Y7W9QK3T5V2X4Z6B8D0FG"
#define JOB_B "01JD8Y7W9QK3T5V2X4Z6B8D0FH"

struct fixture {
    char top[64];
};

static int
setup(void **state)
{
    struct fixture *f = dz_alloc0(1, sizeof(*f));
    (void) snprintf(f->top, sizeof(f->top), "/tmp/dz-room-XXXXXX");
    assert_non_null(mkdtemp(f->top));
    assert_int_equal(setenv("XDG_RUNTIME_DIR", f->top, 1), 0);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;
    dz_remove_tree(f->top);
    free(f);
    return 0;
}

struct member {
    struct dz_keys keys;
    struct dz_meeting_entry entry;
    struct dz_buf contact;
    struct room *room;
};

/* Come in under a key, as the slot `index` of a CI step. */
static enum dz_arrival_word
come(struct member *self, const char *key, uint32_t index, uint64_t ci_job, const char *job)
{
    *self = (struct member){ 0 };
    assert_ok(dz_keys_make(&self->keys, NULL));
    struct dz_err err = { "" };
    assert_ok(room_open(dz_str(key), &self->room, &err));
    char endpoint[ROOM_ENDPOINT_MAX];
    room_endpoint(self->room, dz_key_node(&self->keys.public), endpoint);
    struct dz_strs endpoints = { 0 };
    dz_strs_add(&endpoints, dz_str(endpoint));
    dz_contact_write(&self->keys.public, &endpoints, &self->contact);
    dz_strs_fini(&endpoints);
    self->entry = (struct dz_meeting_entry){
        .node = dz_key_node(&self->keys.public),
        .arrival = { .index = index, .ci_job = ci_job ? ci_job : dz_key_node(&self->keys.public) },
    };
    memcpy(self->entry.job, job, sizeof(self->entry.job));
    assert_ok(room_enter(self->room, dz_buf_slice(&self->contact), &self->entry, &err));
    return self->entry.answer.word;
}

static void
enter(struct member *self, const char *key)
{
    enum dz_arrival_word word = come(self, key, DZ_NO_INDEX, 0, JOB_A);
    assert_true(word == DZ_ARRIVAL_OPENS || word == DZ_ARRIVAL_JOINS);
}

static void
leave(struct member *self)
{
    room_close(&self->room);
    dz_buf_fini(&self->contact);
}

static struct dz_lease_reply
claim(struct member *self, uint64_t n, dz_us now)
{
    struct dz_lease_ask ask = { .kind = DZ_LEASE_CLAIM, .me = { n, self->entry.node, 1 } };
    struct dz_lease_reply reply;
    DZ_AUTO(dz_buf_fini) struct dz_buf contact = { 0 };
    assert_ok(room_ask(self->room, &ask, now, &reply, &contact, NULL));
    return reply;
}

static void
the_first_leads_and_names_the_job(void **state)
{
    (void) state;
    struct member a, b;
    assert_int_equal(come(&a, "k", DZ_NO_INDEX, 0, JOB_A), DZ_ARRIVAL_OPENS);
    assert_int_equal(come(&b, "k", DZ_NO_INDEX, 0, JOB_B), DZ_ARRIVAL_JOINS);
    assert_string_equal(b.entry.job, JOB_A);
    struct dz_lease_reply got = claim(&a, 0, 1000);
    assert_int_equal(got.word, DZ_LEASE_GRANTED);
    assert_int_equal(got.epoch.n, 1);
    struct dz_lease_ask ask = { .kind = DZ_LEASE_CLAIM, .me = { 0, b.entry.node, 1 } };
    DZ_AUTO(dz_buf_fini) struct dz_buf contact = { 0 };
    assert_ok(room_ask(b.room, &ask, 2000, &got, &contact, NULL));
    assert_int_equal(got.word, DZ_LEASE_HELD);
    assert_int_equal(got.epoch.node, a.entry.node);
    assert_true(dz_slice_eq(dz_buf_slice(&contact), dz_buf_slice(&a.contact)));
    leave(&a);
    leave(&b);
}

static void
another_key_is_another_room(void **state)
{
    (void) state;
    struct member a, b;
    enter(&a, "k");
    enter(&b, "l");
    assert_int_equal(claim(&a, 0, 0).word, DZ_LEASE_GRANTED);
    assert_int_equal(claim(&b, 0, 0).word, DZ_LEASE_GRANTED);
    assert_false(room_knows(b.room, &a.keys.public));
    leave(&a);
    leave(&b);
}

static void
members_know_each_other_s_keys_while_they_live(void **state)
{
    (void) state;
    struct member a, b;
    struct dz_keys stranger;
    enter(&a, "k");
    enter(&b, "k");
    assert_ok(dz_keys_make(&stranger, NULL));
    assert_true(room_knows(a.room, &b.keys.public));
    assert_true(room_knows(b.room, &a.keys.public));
    assert_true(room_knows(a.room, &a.keys.public));
    assert_false(room_knows(a.room, &stranger.public));
    uint64_t node = b.entry.node;
    leave(&b);
    DZ_AUTO(dz_buf_fini) struct dz_buf contact = { 0 };
    assert_int_equal(room_find(a.room, node, &contact), DZ_ABSENT);
    leave(&a);
}

/* A process of its own that enters, may lead, says so, and waits to be killed. */
static pid_t
start_member(const char *key, bool leads)
{
    int said[2];
    assert_int_equal(pipe2(said, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct member me;
        enter(&me, key);
        bool is_fine = !leads || claim(&me, 0, 0).word == DZ_LEASE_GRANTED;
        if (!is_fine || write(said[1], "y", 1) != 1)
            _exit(1);
        for (;;)
            (void) pause();
    }
    char byte;
    (void) close(said[1]);
    assert_int_equal(read(said[0], &byte, 1), 1);
    (void) close(said[0]);
    return pid;
}

static void
end_member(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void
a_killed_leader_is_succeeded_at_once_with_a_greater_number(void **state)
{
    (void) state;
    pid_t pid = start_member("k", true);
    struct member me;
    assert_int_equal(come(&me, "k", DZ_NO_INDEX, 0, JOB_B), DZ_ARRIVAL_JOINS);
    assert_int_equal(claim(&me, 1, 1).word, DZ_LEASE_HELD); /* the lease has not run out */
    end_member(pid);
    struct dz_lease_reply got = claim(&me, 1, 2);
    assert_int_equal(got.word, DZ_LEASE_GRANTED);
    assert_int_equal(got.epoch.n, 2);
    assert_string_equal(me.entry.job, JOB_A); /* the job goes on */
    leave(&me);
}

static void
a_leader_that_does_not_renew_loses_the_lease(void **state)
{
    (void) state;
    struct member a, b;
    enter(&a, "k");
    enter(&b, "k");
    assert_int_equal(claim(&a, 0, 0).word, DZ_LEASE_GRANTED);
    assert_int_equal(claim(&b, 1, DZ_LEASE_TTL_US - 1).word, DZ_LEASE_HELD);
    dz_us late = DZ_LEASE_TTL_US + 100 * 1000;
    struct dz_lease_reply got = claim(&b, 1, late);
    assert_int_equal(got.word, DZ_LEASE_GRANTED);
    assert_int_equal(got.epoch.n, 2);
    struct dz_lease_ask renew = { .kind = DZ_LEASE_RENEW, .me = { 1, a.entry.node, 1 } };
    DZ_AUTO(dz_buf_fini) struct dz_buf contact = { 0 };
    assert_ok(room_ask(a.room, &renew, late + 1, &got, &contact, NULL));
    assert_int_equal(got.word, DZ_LEASE_HELD); /* it wakes up, and hears of the other */
    assert_int_equal(got.epoch.node, b.entry.node);
    leave(&a);
    leave(&b);
}

static void
in_a_crowd_a_leader_that_lives_may_renew_later(void **state)
{
    (void) state;
    enum { CROWD = 100 };
    struct member all[CROWD];
    for (size_t i = 0; i < CROWD; i++)
        enter(&all[i], "k");
    dz_us late = DZ_LEASE_TTL_US + 100 * 1000;
    assert_int_equal(claim(&all[0], 0, 0).word, DZ_LEASE_GRANTED);
    assert_int_equal(claim(&all[1], 1, late).word, DZ_LEASE_HELD);
    assert_int_equal(claim(&all[2], 1, late).word, DZ_LEASE_HELD); /* nothing was prolonged */
    assert_int_equal(claim(&all[1], 1, late + 3 * 1000 * 1000).word, DZ_LEASE_GRANTED);
    for (size_t i = 0; i < CROWD; i++)
        leave(&all[i]);
}

static void
a_leader_renews_while_somebody_is_coming_in(void **state)
{
    (void) state;
    enum { PATIENCE_S = 10 };
    struct member a;
    enter(&a, "k");
    assert_int_equal(claim(&a, 0, 0).word, DZ_LEASE_GRANTED);
    struct room *door = NULL;
    assert_ok(room_open(dz_str("k"), &door, NULL)); /* nobody else comes in until this is closed */
    struct dz_lease_ask renew = { .kind = DZ_LEASE_RENEW, .me = { 1, a.entry.node, 1 } };
    struct dz_lease_reply got;
    DZ_AUTO(dz_buf_fini) struct dz_buf contact = { 0 };
    (void) alarm(PATIENCE_S); /* one that waits for the other would wait for ever */
    assert_ok(room_ask(a.room, &renew, 1, &got, &contact, NULL));
    (void) alarm(0);
    assert_int_equal(got.word, DZ_LEASE_GRANTED);
    room_close(&door);
    leave(&a);
}

static void
after_all_were_killed_the_next_run_is_a_new_job(void **state)
{
    (void) state;
    end_member(start_member("k", true));
    struct member me;
    assert_int_equal(come(&me, "k", DZ_NO_INDEX, 0, JOB_B), DZ_ARRIVAL_OPENS);
    assert_string_equal(me.entry.job, JOB_B);
    assert_int_equal(claim(&me, 0, 0).word, DZ_LEASE_GRANTED);
    leave(&me);
}

static void
nothing_stays_when_the_last_has_left_or_was_killed(void **state)
{
    struct fixture *f = *state;
    end_member(start_member("killed", true));
    struct member a, b;
    enter(&a, "k");
    enter(&b, "k");
    assert_int_equal(claim(&a, 0, 0).word, DZ_LEASE_GRANTED);
    leave(&a);
    leave(&b);
    char root[80];
    (void) snprintf(root, sizeof(root), "%s/dagz", f->top);
    assert_int_equal(rmdir(root), 0); /* it is empty */
}

static void
who_comes_after_the_seal_is_late_or_opens_the_next_generation(void **state)
{
    (void) state;
    struct member one, two, late, retried;
    assert_int_equal(come(&one, "k", 0, 10, JOB_A), DZ_ARRIVAL_OPENS);
    assert_int_equal(come(&two, "k", 1, 11, JOB_A), DZ_ARRIVAL_JOINS);
    assert_ok(room_seal(one.room, false, NULL));
    assert_ok(room_end(two.room, two.entry.node, DZ_SLOT_END_VERDICT, NULL));
    assert_int_equal(claim(&two, 0, 0).word, DZ_LEASE_SEALED);
    assert_int_equal(come(&late, "k", 2, 12, JOB_B), DZ_ARRIVAL_LATE);
    assert_int_equal(come(&retried, "k", 1, 13, JOB_B), DZ_ARRIVAL_OPENS);
    assert_int_equal(retried.entry.answer.number, 1);
    assert_string_equal(retried.entry.job, JOB_B);
    assert_int_equal(claim(&retried, 0, 0).word, DZ_LEASE_GRANTED);
    leave(&one);
    leave(&two);
    leave(&late);
    leave(&retried);
}

static void
a_killed_slot_that_returns_is_a_new_incarnation(void **state)
{
    (void) state;
    struct member one, two, again;
    assert_int_equal(come(&one, "k", 0, 10, JOB_A), DZ_ARRIVAL_OPENS);
    assert_int_equal(come(&two, "k", 1, 11, JOB_A), DZ_ARRIVAL_JOINS);
    assert_int_equal(come(&again, "k", 1, 12, JOB_A), DZ_ARRIVAL_RETURNS);
    leave(&one);
    leave(&two);
    leave(&again);
}

enum { RACERS = 12, ROUNDS = 10 };

/* Enter and ask at the same moment as the others, say 'y' if it was granted, and stay to the end. */
static void
race(int start, int said, int end, const char *key)
{
    char byte;
    struct member me;
    if (read(start, &byte, 1) != 0)
        _exit(1);
    enter(&me, key);
    byte = claim(&me, 0, 0).word == DZ_LEASE_GRANTED ? 'y' : 'n';
    if (write(said, &byte, 1) != 1 || read(end, &byte, 1) != 0)
        _exit(1);
    leave(&me);
    _exit(0);
}

static void
run_race(const char *key)
{
    int start[2], said[2], end[2], granted = 0, status = 0;
    assert_int_equal(pipe2(start, O_CLOEXEC), 0);
    assert_int_equal(pipe2(said, O_CLOEXEC), 0);
    assert_int_equal(pipe2(end, O_CLOEXEC), 0);
    pid_t pids[RACERS];
    for (int i = 0; i < RACERS; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0) {
            (void) close(start[1]);
            (void) close(end[1]);
            race(start[0], said[1], end[0], key);
        }
    }
    (void) close(start[1]);
    (void) close(said[1]);
    char byte;
    for (int i = 0; i < RACERS; i++) {
        assert_int_equal(read(said[0], &byte, 1), 1);
        granted += byte == 'y';
    }
    (void) close(end[1]);
    for (int i = 0; i < RACERS; i++) {
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(granted, 1);
    (void) close(start[0]);
    (void) close(said[0]);
    (void) close(end[0]);
}

static void
of_processes_started_together_exactly_one_leads(void **state)
{
    (void) state;
    for (int round = 0; round < ROUNDS; round++)
        run_race("race");
}

static void
a_root_that_others_can_enter_is_refused(void **state)
{
    struct fixture *f = *state;
    char root[80];
    (void) snprintf(root, sizeof(root), "%s/dagz", f->top);
    assert_int_equal(mkdir(root, 0700), 0);
    assert_int_equal(chmod(root, 0755), 0);
    struct room *room = NULL;
    struct dz_err err;
    assert_int_equal(room_open(dz_str("k"), &room, &err), DZ_REFUSED);
    assert_non_null(strstr(err.text, "is open to other users (its mode is 755, not 700)"));
    assert_int_equal(rmdir(root), 0);
    assert_int_equal(symlink("/tmp", root), 0);
    assert_int_equal(room_open(dz_str("k"), &room, &err), DZ_REFUSED);
    assert_null(room);
}

#define room_test(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
    dz_net_setup();
    const struct CMUnitTest tests[] = {
        room_test(the_first_leads_and_names_the_job),
        room_test(another_key_is_another_room),
        room_test(members_know_each_other_s_keys_while_they_live),
        room_test(a_killed_leader_is_succeeded_at_once_with_a_greater_number),
        room_test(a_leader_that_does_not_renew_loses_the_lease),
        room_test(in_a_crowd_a_leader_that_lives_may_renew_later),
        room_test(a_leader_renews_while_somebody_is_coming_in),
        room_test(after_all_were_killed_the_next_run_is_a_new_job),
        room_test(nothing_stays_when_the_last_has_left_or_was_killed),
        room_test(who_comes_after_the_seal_is_late_or_opens_the_next_generation),
        room_test(a_killed_slot_that_returns_is_a_new_incarnation),
        room_test(of_processes_started_together_exactly_one_leads),
        room_test(a_root_that_others_can_enter_is_refused),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    dz_net_teardown();
    return failed;
}
