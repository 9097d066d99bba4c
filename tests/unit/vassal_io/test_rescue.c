/* test_rescue.c - a real dagz-agent when others die, lie, or fill the disk. */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/unit.h"
#include "tests/unit/vassal_io/behave.h"

/* ------------------------------------------------------------------ deaths of the others */

static void
a_dead_zygote_is_replaced_and_no_test_is_struck(void **state)
{
    (void) state;
    struct fake fake;
    fake_start(&fake, &(struct fake_plan){ .tests = 200, .workers = 2, .behave = work_a_little });
    fake_run(&fake, has_some_reports);
    pid_t first = fake.zygote;
    (void) kill(first, SIGKILL);
    fake_run(&fake, NULL);
    check_once(&fake);
    for (uint32_t test = 0; test < 200; test++)
        assert_int_equal(fake.strikes[test], 0);
    assert_int_not_equal(fake.zygote, first);
    fake_finish(&fake, 0);
}

static void
a_dead_agent_is_replaced_and_no_result_is_lost(void **state)
{
    (void) state;
    struct fake fake;
    fake_start(&fake, &(struct fake_plan){ .tests = 300, .workers = 2, .behave = work_a_little });
    fake_run(&fake, has_some_reports);
    pid_t zygote = fake.zygote;
    (void) kill(fake.agent, SIGKILL);
    fake_run(&fake, NULL);
    check_once(&fake);
    assert_int_equal(fake.done.duplicates, 0);
    assert_int_equal(fake.zygote, zygote); /* it went on */
    assert_int_equal(fake.agent_deaths, 1);
    fake_finish(&fake, 0);
}

static void
a_terminated_agent_goes_on_while_its_controller_lives(void **state)
{
    (void) state;
    struct fake fake;
    fake_start(&fake, &(struct fake_plan){ .tests = 300, .workers = 2, .behave = work_a_little });
    fake_run(&fake, has_some_reports);
    (void) kill(fake.agent, SIGTERM);
    fake_run(&fake, NULL);
    check_once(&fake);
    assert_int_equal(fake.agent_deaths, 0);
    fake_finish(&fake, 0);
}

static void
workers_go_on_when_the_seed_dies(void **state)
{
    (void) state;
    struct fake fake;
    fake_start(&fake, &(struct fake_plan){ .tests = 200, .workers = 2, .behave = work_a_little });
    fake_run(&fake, has_some_reports);
    (void) kill(fake.seed, SIGKILL);
    fake_run(&fake, NULL);
    if (fake.done.exit_code == 0) /* the fake's zygote ends with its parent, a real one stays */
        check_once(&fake);
    else
        assert_non_null(strstr(fake.note, "seed process died"));
    fake_finish(&fake, 3);
}

static void
nobody_outlives_the_controller(void **state)
{
    (void) state;
    struct fake fake;
    fake_start(&fake, &(struct fake_plan){ .tests = 40, .workers = 2, .behave = hang_in_all });
    fake_run(&fake, has_two_workers);
    fake_vanish(&fake);
}

/* ------------------------------------------------------------------ solo workers */

static void
name_by_worker(unsigned worker, uint32_t index, char out[64])
{
    if (index < 20)
        (void) snprintf(out, 64, "common%02u", index);
    else
        (void) snprintf(out, 64, "only%u-%02u", worker, index);
}

static uint32_t
count_by_worker(unsigned worker)
{
    return 20 + 5 * worker;
}

static void
workers_that_collected_different_tests_run_the_union(void **state)
{
    (void) state;
    struct fake fake;
    fake_start(&fake, &(struct fake_plan){ .tests = 25,
                                           .workers = 2,
                                           .is_solo = true,
                                           .name = name_by_worker,
                                           .count = count_by_worker,
                                           .behave = work_a_little });
    fake_run(&fake, NULL);
    check_once(&fake); /* 20 that both have, 5 that only one has */
    fake_finish(&fake, 0);
}

static void
a_read_of_the_worker_id_makes_workers_collect_for_themselves(void **state)
{
    (void) state;
    struct fake fake;
    fake_start(&fake, &(struct fake_plan){ .tests = 40, .workers = 2, .reads_id = true });
    fake_run(&fake, NULL);
    check_once(&fake);
    fake_finish(&fake, 0);
}

static void
a_crashed_solo_worker_is_replaced(void **state)
{
    (void) state;
    struct fake fake;
    fake_start(&fake, &(struct fake_plan){
                          .tests = 50, .workers = 2, .is_solo = true, .behave = crash_in_seven });
    fake_run(&fake, NULL);
    check_once(&fake);
    assert_int_equal(fake.verdicts[42], 1);
    fake_finish(&fake, 1);
}

/* ------------------------------------------------------------------ what tests do to memory */

static void
fill_blob(struct act *act)
{
    size_t len = act->test == 3 ? 5 << 20 : 100; /* five times the ring */
    memset(dz_buf_reserve(&act->blob, len), 'x', len);
    act->blob.len = len;
}

static void
a_report_longer_than_the_ring_arrives(void **state)
{
    (void) state;
    struct fake fake;
    fake_start(&fake, &(struct fake_plan){ .tests = 10, .workers = 2, .behave = fill_blob });
    fake_run(&fake, NULL);
    check_once(&fake);
    assert_int_equal(fake.blob_total, (5 << 20) + 900);
    fake_finish(&fake, 0);
}

enum { LONG_LEN = 12 << 20 };

static _Atomic pid_t *told_agent; /* shared with the workers */

static void
push_part(struct link *link, struct dz_slice all, size_t from, size_t to)
{
    size_t done = 0;
    enum dz_rc rc = DZ_AGAIN;
    while (rc == DZ_AGAIN)
        rc = link_push(link, (struct dz_slice){ all.ptr + from, to - from }, &done);
    if (rc != DZ_OK)
        _exit(1); /* nobody is left */
}

/* Half of a long frame, then the rest for another agent. */
static void
say_half_to_each_agent(struct act *act)
{
    if (act->test != 0)
        return;
    struct link *link = act->link;
    DZ_AUTO(dz_buf_fini) struct dz_buf body = { 0 }, frame = { 0 };
    memset(dz_buf_reserve(&body, LONG_LEN), 'l', LONG_LEN);
    body.len = LONG_LEN;
    dz_msg_encode_framed(&(struct dz_msg){ .id = DZ_MSG_relay,
                                           .as.relay = { .to = DZ_ROLE_CONTROLLER,
                                                         .num = act->worker,
                                                         .from = DZ_ROLE_WORKER,
                                                         .body = dz_buf_slice(&body) } },
                         &frame);
    push_part(link, dz_buf_slice(&frame), 0, frame.len / 2);
    uint32_t before = link->agents;
    while (atomic_load(told_agent) == 0)
        (void) sched_yield();
    (void) kill(atomic_load(told_agent), SIGKILL);
    while (link->agents == before && link_wait(link) != DZ_CLOSED)
        continue;
    push_part(link, dz_buf_slice(&frame), frame.len / 2, frame.len);
}

static void
a_frame_longer_than_the_ring_outlives_the_agent(void **state)
{
    (void) state;
    struct fake fake;
    told_agent =
        mmap(NULL, sizeof(*told_agent), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(told_agent != MAP_FAILED);
    fake_start(&fake,
               &(struct fake_plan){ .tests = 10, .workers = 2, .behave = say_half_to_each_agent });
    atomic_store(told_agent, fake.agent);
    fake_run(&fake, NULL);
    check_once(&fake);
    assert_int_equal(fake.agent_deaths, 1);
    assert_int_equal(fake.blob_total, LONG_LEN);
    fake_finish(&fake, 0);
    (void) munmap(told_agent, sizeof(*told_agent));
}

/* Each scribbler writes over another part of the mapping, once; then it goes on as before. */
static void
scribble(struct act *act)
{
    struct dz_shm *shm = act->link->kit.shm;
    uint32_t junk = act->test * 2654435761U;
    switch (act->test % 10) {
    case 0: atomic_store(&shm->ring_head, junk); break;
    case 1: atomic_store(&shm->queue, (uint64_t) junk << 32 | 5); break;
    case 2: memset(shm->ring, (int) junk, sizeof(shm->ring)); break;
    case 3: atomic_store(&shm->exec, junk); break;
    case 4: atomic_store(&shm->log_len, UINT64_MAX / 2); break;
    case 5: atomic_store(&shm->running, UINT64_MAX); break;
    case 6: atomic_store(&shm->started_us, INT64_MIN); break;
    case 7: (void) !write(act->link->kit.sock[0], "\xff\xff\xff\xff garbage", 12); break;
    case 8: (void) close(act->link->kit.sock[0]); break;
    default: atomic_store(&shm->log_first, INT64_MIN); break;
    }
    _exit(1);
}

static void
nothing_that_a_test_writes_into_shared_memory_harms_the_agent(void **state)
{
    (void) state;
    struct fake fake;
    fake_start(&fake,
               &(struct fake_plan){ .tests = 40, .workers = 2, .strikes = 1, .behave = scribble });
    fake_run(&fake, NULL);
    assert_true(fake.is_done);
    assert_int_equal(fake.agent_deaths, 0);
    assert_int_equal(fake.done.lost, 0);
    fake_finish(&fake, (int) fake.done.exit_code);
}

static void
lie_about_the_test(struct act *act)
{
    act->test += 1; /* too late: the report is the worker's own */
    atomic_fetch_add(&act->link->kit.shm->exec, act->attempt == 0 && act->test == 5 ? 3 : 0);
}

static void
a_worker_that_reports_nonsense_is_killed(void **state)
{
    (void) state;
    struct fake fake;
    fake_start(&fake,
               &(struct fake_plan){ .tests = 20, .workers = 1, .behave = lie_about_the_test });
    fake_run(&fake, NULL);
    check_once(&fake);
    assert_true(fake.ups > 1);
    assert_non_null(strstr(fake.note, "not given"));
    fake_finish(&fake, 1);
}

/* ------------------------------------------------------------------ disks */

static void
an_unwritable_home_is_replaced_by_a_temporary_place(void **state)
{
    (void) state;
    struct fake fake;
    fake_start(&fake, &(struct fake_plan){ .tests = 20, .workers = 2, .home = "/proc/no-home" });
    fake_run(&fake, NULL);
    check_once(&fake);
    assert_non_null(strstr(fake.note, "the results of this run are in"));
    fake_finish(&fake, 0);
}

static void
a_full_disk_ends_no_run(void **state)
{
    (void) state;
    struct fake fake;
    fake_start(&fake,
               &(struct fake_plan){
                   .tests = 3000, .workers = 2, .behave = fill_blob, .file_limit = 200 << 10 });
    fake_run(&fake, NULL);
    check_once(&fake);
    assert_true(fake.notes > 0);
    fake_finish(&fake, 0);
}

static void
damage(const char *home, const char *job, uint64_t incarnation)
{
    char path[256];
    (void) snprintf(path, sizeof(path), "%s/spool/%s-%llu/data.mdb", home, job,
                    (unsigned long long) incarnation);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    char junk[8192];
    memset(junk, 0x5a, sizeof(junk));
    assert_int_equal(write(fd, junk, sizeof(junk)), sizeof(junk));
    (void) close(fd);
}

enum { FIRST_FEW = 20 };

static int gate; /* an event that all workers wait for */

static void
wait_after_a_few(struct act *act)
{
    (void) act;
    static unsigned begun;
    struct pollfd at = { .fd = gate, .events = POLLIN };
    if (++begun > FIRST_FEW)
        (void) poll(&at, 1, FAKE_PATIENCE_MS);
}

static bool
all_wait(struct fake *fake)
{
    return fake->report_total == 2 * FIRST_FEW;
}

static void
a_damaged_spool_is_put_aside(void **state)
{
    (void) state;
    gate = eventfd(0, EFD_CLOEXEC);
    assert_true(gate >= 0);
    struct fake fake;
    fake_start(&fake,
               &(struct fake_plan){ .tests = 200, .workers = 2, .behave = wait_after_a_few });
    fake_run(&fake, all_wait); /* so nothing is only in the spool */
    (void) kill(fake.agent, SIGSTOP);
    damage(fake.home, fake.job, 1);
    fake_replace_agent(&fake);
    assert_int_equal(eventfd_write(gate, 1), 0);
    fake_run(&fake, NULL);
    check_once(&fake);
    assert_non_null(strstr(fake.note, "put aside"));
    fake_finish(&fake, 0);
    (void) close(gate);
}

/* ------------------------------------------------------------------ at random */

enum { SEEDS = 12 };

static uint32_t kill_at;

static bool
is_time(struct fake *fake)
{
    return fake->report_total >= kill_at;
}

static void
a_kill_at_any_moment_loses_nothing(void **state)
{
    (void) state;
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        struct fake fake;
        bool is_solo = seed % 4 == 3;
        fake_start(&fake,
                   &(struct fake_plan){
                       .tests = 150, .workers = 2, .is_solo = is_solo, .behave = work_a_little });
        kill_at = seed * 37 % 140;
        fake_run(&fake, is_time);
        pid_t victims[] = { fake.agent, fake.worker_pid[seed % 2], is_solo ? 0 : fake.zygote };
        pid_t victim = victims[seed % 3];
        if (victim > 0 && !fake.is_done)
            (void) kill(victim, SIGKILL);
        fake_run(&fake, NULL);
        check_once(&fake);
        fake_finish(&fake, 0);
    }
}

int
main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dead_zygote_is_replaced_and_no_test_is_struck),
        cmocka_unit_test(a_dead_agent_is_replaced_and_no_result_is_lost),
        cmocka_unit_test(a_terminated_agent_goes_on_while_its_controller_lives),
        cmocka_unit_test(workers_go_on_when_the_seed_dies),
        cmocka_unit_test(nobody_outlives_the_controller),
        cmocka_unit_test(workers_that_collected_different_tests_run_the_union),
        cmocka_unit_test(a_read_of_the_worker_id_makes_workers_collect_for_themselves),
        cmocka_unit_test(a_crashed_solo_worker_is_replaced),
        cmocka_unit_test(a_report_longer_than_the_ring_arrives),
        cmocka_unit_test(a_frame_longer_than_the_ring_outlives_the_agent),
        cmocka_unit_test(nothing_that_a_test_writes_into_shared_memory_harms_the_agent),
        cmocka_unit_test(a_worker_that_reports_nonsense_is_killed),
        cmocka_unit_test(an_unwritable_home_is_replaced_by_a_temporary_place),
        cmocka_unit_test(a_full_disk_ends_no_run),
        cmocka_unit_test(a_damaged_spool_is_put_aside),
        cmocka_unit_test(a_kill_at_any_moment_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
