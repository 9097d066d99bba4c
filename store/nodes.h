/* nodes.h - who took part in a job, and what happened to them: the chronicle, read.
 *
 * Nodes are numbered in the order in which they arrived.  A job that was written before there were
 * chronicles has none: then who ran something is all that is known. */
#ifndef DZ_STORE_NODES_H
#define DZ_STORE_NODES_H

#include "shared/base/map.h"
#include "store/store.h"

enum { STORE_EVENTS_MAX = 100000 /* of one job that are read */ };

enum store_node_state {
    STORE_NODE_THERE, /* nothing was heard of its end; when the job is over, it was lost */
    STORE_NODE_ENDED, /* with an exit code */
    STORE_NODE_LEFT,  /* told to: SIGTERM */
    STORE_NODE_LOST,
    STORE_NODE_STATES
};
const char *store_node_state_name(enum store_node_state state); /* "running", "ended", ... */

struct store_node {
    uint64_t id;
    char *host, *how, *way; /* owned; "": not told.  way: by which endpoint others reached it */
    char *why;              /* owned; of its end, or "" */
    uint32_t workers, cpus, slot, slots; /* slot: of the CI's step, from 1; 0: it names none */
    int64_t memory;                      /* bytes of its machine */
    int64_t arrived_us, ended_us;        /* 0: not told */
    enum store_node_state state;
    int exit_code;  /* ENDED, LEFT; else -1 */
    uint32_t led;   /* times it became the scheduler */
    uint64_t epoch; /* the last that it led, 0: none */
    uint32_t lives; /* of its agent: more than 1, and it was replaced */
    bool is_shard;  /* it ran its own share, without the others */
};

struct store_event {
    int64_t at_us;
    uint32_t node; /* its number */
    char *word;    /* owned: "arrived", "lost"; "leads" for a rank that says so */
    char *text;    /* owned: "n2 lost: its process is gone" */
    bool is_main;  /* one of those that everybody wants to see */
};

/* What the first that scheduled expected. */
struct store_plan {
    uint32_t tests, known;       /* known: an earlier run tells how long it takes */
    int64_t work_us, longest_us; /* of those that are known */
};

struct store_nodes {
    struct store_node *nodes; /* owned */
    uint32_t node_count, node_cap;
    struct store_event *events; /* owned; in order of time */
    uint32_t event_count, event_cap;
    struct store_plan plan; /* tests 0: nobody told */
    struct dz_map numbers;  /* from id to number + 1 */
};

DZ_MUST_USE enum dz_rc store_nodes_load(struct store *self, const char *ulid,
                                        struct store_nodes *out, struct dz_err *err);
void store_nodes_fini(struct store_nodes *self); /* takes a zeroed one */
/* The number of a node; who was not heard of gets the next. */
uint32_t store_nodes_number(struct store_nodes *self, uint64_t node);
/* The same; node_count: not heard of. */
uint32_t store_nodes_find(const struct store_nodes *self, uint64_t node);

#endif
