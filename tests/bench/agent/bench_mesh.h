/* bench_mesh.h - one of many nodes, played: controller, seed, zygote and worker of a real agent. */
#ifndef DZ_TESTS_BENCH_AGENT_BENCH_MESH_H
#define DZ_TESTS_BENCH_AGENT_BENCH_MESH_H

#include <sys/types.h>

#include "tests/unit/vassal_io/fake_kin.h"

enum end { CONTROLLER, SEED, ZYGOTE, WORKER, ENDS };

/* What the threads of a process took of the processor. */
struct spent {
    uint64_t ns;
    uint64_t turns; /* how often one of them was given one */
};

struct node {
    pid_t pid;
    int fd[ENDS]; /* owned */
    struct dz_buf in[ENDS];
    struct link_kit kit;
    uint64_t zygote_token;
    struct spent spent; /* of its agent, when that was last asked */
    bool has_entered, has_test, has_left, is_done;
};

struct bench {
    uint32_t nodes, tests;
    const char *url; /* NULL: a room of this host */
    const char *log; /* folder of the agents' logs; NULL: none */
    dz_us give_up_at;
    char root[64];
    bool is_kept, is_going;
    pid_t stand_in; /* whose number workers and zygotes have */
    int epoll;
    struct node *all;
    struct dz_buf manifest; /* its frames */
    uint32_t entered, joined, done, notes;
    uint64_t reports, duplicates_at_end, lost_at_end;
};

/* Start an agent of the node; nothing is said to it. */
void node_spawn(struct bench *self, struct node *node);
void node_start(struct bench *self, struct node *node); /* say `start` */
void node_run(struct node *node); /* its worker takes what is there, and says nothing yet */
/* The same if the bench is going; then it asks for more. */
void node_work(struct bench *self, struct node *node);
/* Something can be read at that end. */
void node_read(struct bench *self, struct node *node, enum end end);

#endif
