/* host.h - what surrounds a node in this program: the store, and the scheduler while this node is
 * it (always, on a single machine).
 *
 * Server   With one, the store is a private one in a spool folder, and upload.h sends what is written
 *          there. Without one it is the home's, which runs and zb share.
 *
 * Ledger on a full disk: rows are tried again for PATIENCE; then the run goes on with a ledger in
 * memory, and people are told that its results are not kept.  A finished run with an honest
 * warning is worth more than one that hangs. */
#ifndef DZ_VASSAL_HOST_H
#define DZ_VASSAL_HOST_H

#include "coord/coord.h"
#include "shared/base/arena.h"
#include "shared/base/map.h"
#include "shared/net/loop.h"
#include "store/chronicle.h"
#include "store/push/spools.h"
#include "store/store.h"
#include "vassal/io/agent.h"
#include "vassal/peers.h"
#include "vassal/takeover.h"
#include "vassal/upload.h"

enum { HOST_TAG_MAX = STORE_ULID_LEN + 18 };

/* Log records that wait for the next transaction. */
struct host_logs {
    struct store_log *items; /* owned; texts are offsets into `text` until they are written */
    uint32_t count, cap;
    struct dz_buf text;
    bool has_output; /* of tests, beside lines of the agent */
};

/* The ledger when the disk is full. */
struct host_memory {
    uint8_t *counted; /* owned, [test][STORE_ATTEMPTS]: its result; NULL: the store is used */
    uint64_t rows, digest;
};

/* What people said of failures that another node's scheduler has counted. */
struct host_texts {
    struct store_text *items; /* owned, with their texts */
    uint32_t count, cap;
};

/* What the store calls the tests of this node, and, while it schedules, those that others brought:
 * numbers.c. */
struct host_numbers {
    bool is_known, is_same; /* is_same: as here, without a table */
    uint32_t *to_store;     /* owned */
    uint32_t *from_store;   /* owned; UINT32_MAX: not one of ours */
    uint32_t count, cap, from_count;
};

/* Tests of the job that this node lacks. */
struct host_rest {
    struct dz_arena text;
    struct dz_slice *ids; /* owned, as is the next */
    uint32_t *numbers;
    uint32_t count, cap;
};

enum { LATE_JOBS_MAX = 16 };

/* A node that came when its job had ended: which tests are left for it. */
struct host_late {
    char jobs[LATE_JOBS_MAX][DZ_ULID_LEN + 1]; /* that had ended, each of those who came after the
                                                * one before it */
    unsigned count;                            /* 0: this node was in time */
    unsigned at, tries;    /* whose list is asked for, and how often it was in vain */
    struct takeover *list; /* owned; on its way from the server */
    struct dz_timer again;
    struct dz_map known; /* hashes of their ids: tests of these jobs */
    bool is_over;        /* all lists are read that can be */
    struct dz_buf why;   /* owned; why one could not be, or empty */
    struct dz_buf start; /* owned: what the job will begin with, as a message */
    bool is_dirty, is_begun;
};

/* What a job is called and what it belongs to, as said by the controller or found in the folder.
 * Strings are borrowed. */
struct naming {
    const char *uri, *timezone, *profile, *commit;
    bool is_dirty;
};

struct host {
    struct dz_loop *loop;   /* borrowed */
    struct agent *agent;    /* borrowed */
    struct spool_dir spool; /* owned; where there is a server, or is_apart: the job's folder */
    struct store *keeps;    /* owned; is_apart: the home's store, which makes one job of shares */
    struct upload *upload;  /* owned; likewise */
    char short_id[STORE_SHORT_MAX];
    char *url;              /* owned; NULL: no server */
    char *uri;              /* owned: the project */
    struct dz_buf budgets;  /* of its resources, as message fork has them */
    uint32_t budget_count;  /* items of it */
    char tag[HOST_TAG_MAX]; /* of this node in this job: names its folders */
    bool is_home;           /* the server is the daemon of this home */
    bool has_answered;      /* it was looked at, and is a store */
    bool is_apart;          /* no server; other slots that run their own share may use this home */
    bool was_shard;         /* as the agent was that this one replaces */
    struct store *store;    /* owned, as are all below; with a server the spool's, and borrowed */
    struct store_job *job;
    struct store_durations *durations;
    struct coordinator *coordinator; /* while this node schedules */
    struct coordinator *past;        /* deposed, to be destroyed when nothing calls it any more */
    struct takeover *takeover;       /* before it leads: what the store has counted */
    struct takeover *earlier;        /* likewise, what counts of the generation before */
    struct vassal_effect leading;    /* as it was told to lead */
    struct dz_timer farewell;
    bool is_uploaded;      /* nothing more will be sent of this node's records */
    struct dz_epoch told;  /* who schedules, as people were told; n 0: nobody */
    bool is_lost_told;     /* and that it was lost */
    bool is_detour_told;   /* and that it is reached through the store */
    bool is_about_to_lead; /* when the takeover is over */
    struct dz_timer reap;
    struct peers peers;
    struct coord_cfg coord_cfg;     /* but for what LEAD says */
    struct coord_test *tests;       /* of the manifest, for the coordinator; NULL: never led */
    const struct catalog *manifest; /* borrowed from the agent; NULL: not known yet */
    struct host_logs logs;
    struct chronicle chronicle;
    struct dz_timer lines; /* those of the chronicle are to be written */
    dz_us lines_took_us;   /* the last transaction of lines */
    struct host_texts texts;
    struct host_memory memory;
    struct host_late late;
    char *home, *note;
    char *unsent; /* owned; why nothing can be sent to the server at all; NULL: it can be tried */
    int64_t wall_offset_us; /* add it to the monotonic clock */
    struct host_numbers numbers;
    uint32_t test_count; /* of the scheduler here: brought ones, too */
    uint32_t brought;    /* tests that this node lacks */
    dz_us failing_since; /* the store takes nothing, 0: it does */
    bool has_rows;       /* others may have counted before: an earlier agent, another scheduler */
    bool has_led;        /* the job is ours to seal */
    uint64_t known[KNOWN_MAX]; /* nodes that an earlier agent had met */
};

void host_init(struct host *self, struct dz_loop *loop);
void host_fini(struct host *self);
/* The functions that the node calls. */
struct uplink host_uplink(struct host *self);

/* -- within this folder: place.c -- */
/* "<long id>", or "<long id>.<node>" where the job has several. */
void host_tag(const char *ulid, uint64_t node, char out[HOST_TAG_MAX]);
/* Which server, if any: before there is a job.  For an agent that takes over also the folder. */
DZ_MUST_USE enum dz_rc host_find_server(struct host *self, const struct dz_msg_start *start,
                                        struct dz_err *err);
/* Where this run's records go: opens store and spool. */
DZ_MUST_USE enum dz_rc host_open_store(struct host *self, struct dz_err *err);
/* The same somewhere else, because of `why`. */
DZ_MUST_USE enum dz_rc host_reopen_store(struct host *self, const char *why, struct dz_err *err);
void host_close_store(struct host *self);
const char *host_where(const struct host *self); /* URL, or the store's folder: for people */
/* A line for people that goes with the job. */
void host_say(struct host *self, const char *text);
/* The store of the home, which takes what is in the folder at the end, hears of the job. */
void host_announce(struct host *self);
/* Send the job that was begun or taken up. */
void host_upload(struct host *self, const char *uri, const char *profile);
bool host_settle(void *arg);
/* Something was written that may be sent. */
void host_poke(struct host *self, enum push_news news);
void host_on_idle(void *arg); /* whoever keeps the meeting has heard of our end */
void host_on_farewell(void *arg);

/* lead.c */
struct peers_ops host_peers_ops(struct host *self);
void host_send(void *arg, uint64_t node, uint64_t inc, struct dz_slice frame);
void host_want(void *arg, const struct vassal_effect *effect);
void host_deposed(void *arg, struct dz_epoch epoch);
void host_reap(void *arg);
/* So many nodes have come to the job by now, 0: not known. */
unsigned host_crowd(void *arg);
DZ_MUST_USE enum dz_rc host_brief(struct host *self, struct dz_err *err);
/* chronicle.c: what is told of nodes, into the store */
void host_tell_arrived(struct host *self, const struct dz_msg_start *start);
void host_tell_rank(struct host *self, const struct vassal_effect *effect);
void host_tell_plan(struct host *self, const struct coord_row *rows, size_t row_count);
void host_tell_node(void *arg, const struct coord_effect *effect);
void host_tell_way(struct host *self, uint64_t node, const char *endpoint);
void host_tell_ended(struct host *self, int exit_code, const char *reason);
/* lead.c: the tests, by their numbers, into the store */
DZ_MUST_USE enum dz_rc host_put_tests(struct host *self, struct dz_err *err);
/* numbers.c */
void host_numbers_fini(struct host_numbers *self);
void host_rest_fini(struct host_rest *self); /* DZ_AUTO-able */
/* The job's list takes in the tests of this node; out: those that it lacks, with the next numbers. */
DZ_MUST_USE enum dz_rc host_learn_tests(struct host *self, struct host_rest *out,
                                        struct dz_err *err);
/* Others brought these: they have the next numbers here. */
DZ_MUST_USE enum dz_rc host_bring_tests(struct host *self, const struct dz_slice *ids,
                                        uint32_t count, struct dz_err *err);
uint32_t host_number(struct host *self, uint32_t test); /* in the store, or STORE_NO_TEST */
uint32_t host_test_of(const struct host *self, uint32_t number); /* the reverse */
/* What the store has counted, in our numbers. */
DZ_MUST_USE enum dz_rc host_account(struct host *self, uint64_t *counted_out, uint64_t *digest_out,
                                    struct dz_err *err);
/* What a witness of the end tells the store. */
struct store_seal host_witness(const struct host *self, const struct dz_account *account);
/* ledger.c */
struct coordinator_host host_for_coordinator(struct host *self);
void host_log(void *arg, const struct uplink_log *log);
void host_said(void *arg, const struct cargo_item *item);
void host_forget_texts(struct host *self);
void host_forgo_store(struct host *self, const char *why);
void host_flush(void *arg);
void host_flush_soon(void *arg);
DZ_MUST_USE enum dz_rc host_rows(struct host *self, struct coord_row **rows_out, size_t *count_out,
                                 struct dz_err *err);
/* rerun.c: what a generation takes over from the one before it */
bool host_carries(const struct host *self);
/* Into the ledger, before the coordinator reads that; and a line for people. */
void host_carry(struct host *self);
/* host.c: begin the job, wherever there is room for it */
DZ_MUST_USE enum dz_rc host_begin_job(struct host *self, const struct dz_msg_start *start,
                                      const struct naming *name, struct dz_err *err);
void host_rename(struct host *self, const char *ulid, const char *short_id);
/* late.c: a node that came when its job had ended */
void host_late_init(struct host *self);
void host_late_fini(struct host *self);
/* LIMIT: that has happened too often. */
DZ_MUST_USE enum dz_rc host_late_add(struct host *self, const char *ulid, struct dz_err *err);
/* What the job will begin with, if there is one. */
void host_late_keep(struct host *self, const struct dz_msg_start *start, const struct naming *name);
bool host_late_compare(void *arg, struct catalog_filter *out); /* as uplink.compare() */
bool host_late_anew(void *arg, struct dz_buf *after);          /* as uplink.anew() */
/* `after` of the message start. */
DZ_MUST_USE enum dz_rc host_late_read(struct host *self, struct dz_slice after, struct dz_err *err);
/* Begins the job of the tests that are left, and says so; or that none are. */
DZ_MUST_USE enum dz_rc host_late_begin(struct host *self, const struct catalog *manifest,
                                       struct dz_err *err);
bool host_is_for_nothing(const struct host *self); /* it is late, and there is no job of its own */
/* left.c */
/* What nobody is known to have stored goes into this node's own folder. */
void host_keep_left(struct host *self);

#endif
