/* mesh_lab.h - nodes of a mesh in one process, on one loop. */
#ifndef DZ_TESTS_MESH_LAB_H
#define DZ_TESTS_MESH_LAB_H

#include "shared/base/clock.h"
#include "tests/unit/unit.h"
#include "vassal/io/mesh.h"

enum { PATIENCE_US = 20000000, INC = 7, NODES = 3 };

struct node {
    struct mesh *mesh;
    struct dz_keys keys;
    uint64_t number;
    unsigned frames, gone, ways;
    uint64_t from, last_seq, gone_node;
    char way[128];
};

struct fixture {
    char top[64];
    struct dz_loop *loop;
    struct dz_gate *gate;
    struct node nodes[NODES];
};

int setup(void **state);
int teardown(void **state);
/* The i-th: over TCP, or over a socket in the fixture's folder. */
void open_node(struct fixture *f, unsigned i, bool is_tcp);
void meet(struct node *node, const struct node *other);
/* The first two, which have met. */
void open_pair(struct fixture *f, bool is_tcp);

void send_as(struct node *node, uint64_t from, uint64_t to);
/* A frame whose envelope says that it is from `from`. */
void send_numbered(struct node *node, uint64_t from, uint64_t to, uint64_t seq);
/* As the cores do: say it again until it is heard. */
void send_until(struct fixture *f, struct node *node, uint64_t to, const unsigned *counter);
void wait_for(struct fixture *f, const unsigned *counter);

#endif
