/* inside.h - the node as its own files see it; nobody else includes this.
 *
 *     agent.c    made, started; what the controller says
 *     ending.c   how a run ends
 *     step.c    events to the core, its effects carried out
 *     kin.c     seed and zygote: births and deaths
 *     seat.c    one worker: up, fed, down
 *     ring.c    what workers say
 *     output.c  what tests print
 *     watch.c   timers: deadlines, stacks before a kill, heartbeat
 *     tell.c    words to the controller
 *     revive.c  taking over from an agent that died
 *
 * Order of a wake: handlers read and put events to the core; at its end agent_turn() commits to
 * the spool, tells the core, releases what the rings held, and sends. */
#ifndef DZ_VASSAL_IO_INSIDE_H
#define DZ_VASSAL_IO_INSIDE_H

#include <sys/types.h>

#include "shared/net/loop.h"
#include "shared/proc/proc.h"
#include "shared/shm/shm.h"
#include "vassal/core/vassal.h"
#include "vassal/io/agent.h"
#include "vassal/io/cargo.h"
#include "vassal/io/catalog.h"
#include "vassal/io/chan.h"
#include "vassal/io/spool.h"

enum {
    TICK_US = 10000,        /* between looks at the rings while tests run */
    CALM_MAX = 5,           /* so often it is doubled while those that wait are not begun */
    IDLE_TICK_US = 100000,  /* the same while none does */
    QUIET_TICK_US = 500000, /* ... and nobody is on the way out */
    AWAY_US = 1000000,      /* between two looks: this process was stopped */
    ALIVE_US = 1000000,     /* heartbeat to the controller */
    OUTPUT_US = 40000,      /* between two looks at what running tests print */
    OUTPUT_SHARE = 20,      /* of the time, at most one part is for writing that down */
    PROGRESS_US = 200000,
    SCHED_LOG_US = 5000000,      /* scheduler's progress line in the log */
    FORK_PATIENCE_US = 30000000, /* seed and zygote answer `fork`; a reaper tells a death */
    STOPPED_MAX_US = 30000000,   /* seed and zygote may be stopped so long, then they are killed */
    STOP_CHECK_US = 5000000,     /* between two looks for that */
    EOF_PATIENCE_US = 5000000,   /* a worker that closed its channel ends by itself */
    STACKS_PATIENCE_US = 500000, /* stacks of a test above its limit are written */
    STACKS_QUIET_US = 60000,     /* no more of them come */
    WIND_DOWN_US = 120000000,    /* zygote's own end */
    SEED_END_US = 2000000,
    REBIRTH_US = 2000000,   /* the living are named to a new agent */
    ZYGOTES_MAX = 4,        /* the first one and three that replace it */
    BARREN_MAX = 5,         /* workers of a seat that end one after another without a result */
    CHOKE = 16 << 20,       /* bytes the controller has not taken: then rings are not read */
    HELD_MAX = 64 << 20,    /* bytes of results that nobody has counted yet: likewise */
    FRAME_MAX = 64 << 20,   /* of a worker */
    DETAIL_MAX = 256 << 10, /* stacks and output of a death */
    TAIL_MAX = 8 << 10,     /* last output of it */
    FOLLOW_CHOKE = 1 << 20, /* bytes the controller has not taken: then it is told no more output */
    LOG_PIECE = 64 << 10,   /* one log record */
    LOG_TEST_MAX = 8 << 20, /* output of one execution that is kept */
    STACKS_SIGNAL_OFFSET = 5, /* SIGRTMIN + this makes a worker write its stacks */
};

enum seat_state {
    SEAT_NONE,       /* no process */
    SEAT_ASKED,      /* its parent was asked to fork it */
    SEAT_COLLECTING, /* a solo process that is not ready */
    SEAT_LIVE,
    SEAT_DEAD, /* ended; its parent has not told how */
};

struct given {
    uint32_t local, attempt, test;
};

struct seat {
    struct agent *agent; /* borrowed */
    unsigned num;
    enum seat_state state;
    bool is_wanted;  /* the core wants a worker here */
    bool is_solo;    /* it collects for itself */
    bool was_up;     /* an earlier worker had this number */
    bool is_up;      /* the core knows the present process */
    bool is_reborn;  /* an earlier agent asked for it */
    unsigned barren; /* workers that ended without a result since the last one */

    /* the process */
    uint64_t life; /* token of its fork; unique in the job, 32 bits */
    pid_t pid;
    int pidfd; /* owned, as are the other descriptors */
    struct dz_watch watch;
    struct chan chan;
    struct dz_shm *shm;
    int pty, log, crash;
    struct roll *roll; /* shared */
    dz_us asked_at, gone_at, dead_at;

    /* ring */
    uint64_t ring_pos;  /* read up to here */
    uint64_t ring_done; /* whole frames up to here are taken in */
    struct dz_buf in;   /* from ring_done on */
    uint64_t last_exec;
    uint64_t ring_free; /* what may be overwritten once the journal is written */
    uint64_t kept_pos;  /* of a frame longer than the ring: journaled up to here */
    uint32_t kept;      /* pieces of it that were journaled */
    bool is_ring_dirty; /* ring_free is to be released when the journal is written */
    bool has_relay;     /* ... and when the controller has what was relayed */

    struct given given[VASSAL_QUEUE_MAX];
    unsigned given_len;

    /* log */
    uint64_t log_at;   /* stored up to here */
    uint64_t log_test; /* bytes of the running test that were stored */
    bool is_named;     /* the running test is in the log, though it printed nothing */
    uint64_t unsaid;   /* bytes that the controller was too slow for, of what is followed */
    dz_us log_seen_us; /* when that was */

    /* the running test, as last seen */
    uint64_t seen_running, seen_exec;
    dz_us seen_us;
    dz_us waited_us;   /* of the time since, it waited for our word */
    dz_us stacks_at;   /* stacks were asked for, 0: not */
    int64_t crash_len; /* bytes of stacks at the last look */
    dz_us crash_grew_at;

    /* what was reported before a teardown that may end wider fixtures */
    uint64_t partial_exec; /* 0: nothing */
    struct dz_buf partial;

    /* its end */
    bool is_refused; /* nothing it says is believed: its first test is to blame, whatever runs */
    bool has_cause;  /* known before the parent tells a status */
    enum dz_cause cause;
    char why[128];
    struct dz_buf detail; /* for the verdict that the core makes up */
    uint32_t signal;
    dz_us elapsed_us;
};

struct kin {
    /* seed */
    struct chan seed;
    int seed_fd; /* owned, until it is the channel's */
    pid_t seed_pid;
    int seed_pidfd;
    struct dz_watch seed_watch;
    dz_us seed_stopped_at; /* since when it is seen stopped, 0: it is not; the zygote's likewise */
    dz_us seed_asked_at;   /* an answer is due, 0: none */
    bool is_seed_gone;

    /* zygote */
    struct chan zygote;
    pid_t zygote_pid; /* 0: none lives */
    int zygote_pidfd;
    struct dz_watch zygote_watch;
    uint64_t zygote_life;
    dz_us zygote_asked_at, zygote_stopped_at;
    dz_us stop_checked_at; /* seed and zygote were looked at for being stopped */
    dz_us resay_at;    /* an adopted zygote says its collection again until then, 0: it need not */
    struct roll *roll; /* of the living zygote; NULL before its birth */
    bool is_ready;
    bool forks_solo;       /* it has not collected: its workers do */
    bool is_leaving;       /* it ends by itself, as it should */
    bool is_zygote_ended;  /* the process; its channel may hold words yet */
    int64_t zygote_status; /* as its parent told; -1: not told */
    unsigned zygotes;      /* that were asked for */
    uint64_t oom;          /* count at the last death */
};

/* A part of an earlier agent's knowledge. */
struct legacy {
    uint64_t life;
    struct roll *roll; /* owned user; NULL: none */
    bool is_ready;
    bool is_late; /* came when the manifest was made: no part of it */
    uint32_t deselected;
    uint64_t last_exec;   /* greatest one in the spool */
    uint64_t partial_pos; /* where the partial frame's bytes end */
    struct dz_buf partial;
};

enum agent_state {
    AGENT_NEW, /* waiting for `start` */
    AGENT_COLLECTING,
    AGENT_RUNNING,  /* the core has the manifest */
    AGENT_ENDING,   /* no worker is left; zygote and seed end */
    AGENT_DONE,     /* `done` was said */
    AGENT_SETTLING, /* `bye` was heard; results are on their way to a server */
    AGENT_OVER,
};

struct agent {
    struct dz_loop *loop; /* borrowed */
    struct uplink up;
    enum agent_state state;
    bool is_solo;
    int exit_code;

    /* start */
    uint64_t inc;
    unsigned seat_count;
    dz_us timeout_us;
    unsigned strikes;
    bool is_in_order;
    char *job, *tag, *home;  /* owned */
    char *follow;            /* owned; whose output the controller shows, "": nobody's */
    struct uplink_job place; /* this node among others; strings are not kept */
    bool is_leading;         /* its scheduler runs here */

    struct chan controller;
    struct kin kin;
    struct dz_oom oom;
    struct seat *seats; /* owned */
    struct catalog manifest;
    bool has_manifest;
    uint32_t deselected;
    struct dz_buf inputs;       /* relays for zygotes, framed, repeated to each */
    struct dz_buf *seat_inputs; /* owned; the same for solo workers, by number */

    struct vassal *core;
    struct cargo cargo;
    struct spool *spool;
    enum spool_state spool_state;
    uint64_t journaled, to_journal; /* records */
    struct dz_slice blob, text;     /* of the result that the core is being told */
    const struct seat *made_up;     /* whose result the agent makes up, NULL: it is the worker's */
    bool is_stepping;
    struct later *later_first, *later_last; /* events that came while the core was stepping */

    /* earlier agents */
    struct legacy *legacies; /* owned */
    size_t legacy_count;
    uint64_t seen_epoch, restored;
    bool is_heir, is_waiting_births;
    bool is_anew; /* another agent begins anew, with the processes of this one */

    /* counts for people */
    uint64_t counted, failed, duplicates;
    uint32_t lives; /* tokens given out */
    dz_us last_tick, last_alive;
    unsigned calm;    /* ticks in a row in which no test ran */
    uint64_t refused; /* frames and numbers of workers that made no sense */
    bool is_dirty;    /* progress changed */
    uint64_t alive_count;
    struct dz_msg_done done;
    char *pending;     /* owned; borrowed by `done` */
    char *stop_reason; /* owned */

    struct dz_timer tick, core_timer, alive, progress, output, sched_log, rebirth, wind_down;
};

/* ---- agent.c ---- */
void agent_turn(void *arg);
/* ---- run.c ---- */
void agent_begin_run(struct agent *self); /* all rolls are there */
void agent_on_rebirth(void *arg);

/* ---- ending.c ---- */
enum {
    AGENT_EXIT_BROKEN = 3,  /* the run's: it could not go on */
    AGENT_EXIT_MISTAKE = 4, /* ... and what the user wrote has to be mended first */
};
/* No more tests: end zygote and seed, then say `done`. */
void agent_wind_down(struct agent *self, int exit_code);
/* The run cannot go on. */
void agent_give_up(struct agent *self, const char *fmt, ...) DZ_PRINTF(2, 3);
void agent_fail(struct agent *self, int exit_code, const char *text);
/* The job has ended without this node, which has run nothing: another agent finds out what is left to do
 * (uplink.anew()).  false: it cannot be. */
bool agent_begin_anew(struct agent *self);
void agent_kin_ended(struct agent *self); /* zygote or seed went while winding down */
void agent_stop(struct agent *self, int how, struct dz_slice reason);
/* What has not begun goes on elsewhere.  The core kills what does not end in time; how 1 does so at
 * once. */
void agent_leave(struct agent *self, int how, struct dz_slice reason);

/* ---- kin.c ---- */
void kin_init(struct agent *agent, int seed_fd); /* owns it */
/* Hear the seed: when an earlier agent's spool is read, because a seed names its living children
 * as soon as it has a channel. */
DZ_MUST_USE enum dz_rc kin_listen(struct agent *agent, struct dz_err *err);
void kin_fini(struct agent *agent);
void kin_ask_zygote(struct agent *agent);
void kin_ask_worker(struct agent *agent, struct seat *seat);
void kin_go_solo(struct agent *agent);
void kin_check(struct agent *agent, dz_us now); /* deadlines */
/* Called every second: whoever is stopped for good is replaced. */
void kin_check_stopped(struct agent *agent, dz_us now);
void kin_kill_zygote(struct agent *agent);
void kin_kill_all(struct agent *agent);    /* nobody below the seed, nor the seed, stays */
void kin_ask_wanted(struct agent *agent);  /* every seat that waits for a worker */
void kin_zygote_over(struct agent *agent); /* one more sign of its end */
void kin_seed_said(void *arg, const struct dz_msg *msg);
void kin_child_gone(struct agent *agent);          /* a worker ended, and its seat is free */
bool kin_is_collecting(const struct agent *agent); /* a solo process is not ready */
bool kin_can_fork(const struct agent *agent);
bool kin_is_parent_gone(const struct agent *agent, const struct seat *seat);
void kin_quit(struct agent *agent);
/* A complete roll came, by message or from an earlier agent's spool. */
void kin_zygote_ready(struct agent *agent, const struct dz_msg_ready *ready);
void kin_solo_ready(struct agent *agent, struct seat *seat, const struct dz_msg_ready *ready);
uint64_t kin_new_life(struct agent *agent);
void kin_relay_in(struct agent *agent, const struct dz_msg_relay *relay);

/* ---- seat.c ---- */
void seat_init(struct seat *self, struct agent *agent, unsigned num);
void seat_fini(struct seat *self);
/* A process for this seat was born; owns the descriptors. */
void seat_born(struct seat *self, uint64_t life, pid_t pid, bool is_solo, const int *fds);
/* Its roll is known: the core hears of it, with what an earlier agent gave it. */
void seat_present(struct seat *self);
void seat_feed(struct seat *self, const struct dz_grant *grants, size_t count, uint32_t more);
void seat_unput(struct seat *self, size_t count);
void seat_kill(struct seat *self, enum dz_cause cause, const char *why); /* cause stays the first */
/* Its parent tells how it ended; status < 0: nobody can tell. */
void seat_died(struct seat *self, int64_t status, struct dz_slice leftovers);
void seat_cannot_fork(struct seat *self);
void seat_wake(struct seat *self);
struct given *seat_find_given(struct seat *self, uint32_t local, uint32_t attempt);
void seat_drop_given(struct seat *self, struct given *given);
static inline bool
seat_has_process(const struct seat *self)
{
    return self->state >= SEAT_COLLECTING;
}

void seat_clear(struct seat *self); /* no process any more */

/* ---- ring.c ---- */
void seat_drain(struct seat *self);   /* read what the ring holds */
void seat_release(struct seat *self); /* the journal is written: let go of what was read */
void seat_refuse(struct seat *self, const char *what); /* nonsense from a worker: kill it */

/* ---- output.c ---- */
void seat_store_output(struct seat *self, uint64_t end, uint32_t test, uint32_t attempt,
                       dz_us first_us, dz_us last_us);
/* The test has ended: what the controller was too slow for is told before its result. */
void seat_end_output(struct seat *self, uint32_t test);
void seat_drain_output(struct seat *self);
/* A record without text: this test runs. */
void seat_name_running(struct seat *self, uint32_t test, uint32_t attempt, dz_us since_us);
/* Whether the controller shows what this test prints.  UPLINK_NO_TEST: between tests. */
bool output_is_followed(const struct agent *agent, uint32_t test);
/* The manifest is there: says if nobody has that name. */
void output_check_follow(struct agent *agent);
/* Stacks and last output of a dead worker into self->detail. */
void seat_gather_detail(struct seat *self, const char *headline);

/* ---- watch.c ---- */
void watch_init(struct agent *agent);
void watch_arm_tick(struct agent *agent);
void watch_arm_progress(struct agent *agent); /* if there is progress to be told */
void watch_arm_core(struct agent *agent);
void watch_overdue(struct seat *seat); /* its test is above the limit: that is final */

/* ---- tell.c ---- */
void tell_rank(struct agent *agent, const struct vassal_effect *effect);
void tell_job(struct agent *agent, const struct uplink_job *job);
void tell_report(struct agent *agent, const struct cargo_item *item);
void tell_verdict(struct agent *agent, const struct cargo_item *item, bool is_counted);
void tell_worker_up(struct seat *seat);
void tell_worker_down(struct seat *seat, uint32_t status, enum dz_cause cause, bool is_last,
                      struct dz_slice leftovers);
void tell_progress(struct agent *agent);
void tell_alive(struct agent *agent);
void tell_output(struct seat *seat, uint32_t test, struct dz_slice text, uint64_t end);
void tell_done(struct agent *agent);
void tell_left_out(struct agent *agent, uint32_t count);
void tell_anew(struct agent *agent, struct dz_slice after);
void tell_settled(struct agent *agent, uint64_t pending, const char *path, const char *why);
void tell_relay(struct agent *agent, enum dz_role from, unsigned num, struct dz_slice body);
void tell_note(struct agent *agent, unsigned severity, const char *fmt, ...) DZ_PRINTF(3, 4);

/* ---- revive.c ---- */
void revive_inherit(struct agent *agent); /* read the spools; RESTORED to the core */
struct legacy *revive_find(struct agent *agent, uint64_t life); /* NULL: not known */
void revive_fini(struct agent *agent);

#endif
