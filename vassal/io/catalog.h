/* catalog.h - the tests of this node, and what each collecting process calls them.
 *
 * A process that collects numbers its tests in the order of its collection.  On the mesh, in the
 * cores and to the controller a test is its index among all node ids of the node sorted by their
 * bytes.  A `roll` is what one process said and translates between the two; the `catalog`, the node's
 * manifest, is the sorted union of the rolls of a run.  Rolls that differ are legal: a test is only
 * given to processes that have it.
 *
 * Time    A roll is sorted and hashed while its parts come in.
 * Memory  A roll's ids are dropped once it is mapped: a run keeps each id once. */
#ifndef DZ_VASSAL_IO_CATALOG_H
#define DZ_VASSAL_IO_CATALOG_H

#include "shared/base/names.h"
#include "shared/wire/wire.h"
#include "vassal/io/sorter.h"

enum { CATALOG_MAX = 1 << 24 };
#define CATALOG_NO_TEST UINT32_MAX

/* Names in the order of their collection, and the groups of those that have one: 0 none, else one more than
 * the group's number. */
struct collection {
    struct dz_names ids, groups;
    uint32_t *group_of; /* owned; NULL: none has one */
    uint32_t group_cap;
};

/* Shared by all workers of one zygote. */
struct roll {
    unsigned users;
    struct collection tests; /* empty once mapped; so is what sorts them */
    struct sorter sorter;
    uint32_t count;
    uint64_t digest;    /* of the ids */
    bool is_complete;   /* `ready` has come */
    uint32_t *to_node;  /* owned; by local number; NO_TEST: the node does not know it */
    uint32_t *to_local; /* by node number; NO_TEST: this process has no such test */
    bool is_sole;       /* to_local is the catalog's list of places, borrowed; else it is owned */
};

struct roll *roll_new(void); /* one user */
struct roll *roll_share(struct roll *self);
void roll_drop(struct roll **self_p); /* the last user frees */

/* Take in one `manifest` message.  A part that begins at 0 begins anew.  CORRUPT: parts are
 * missing, or an id is empty or none.  LIMIT: too many. */
DZ_MUST_USE enum dz_rc roll_add(struct roll *self, const struct dz_msg_manifest *part,
                                struct dz_err *err);

struct catalog {
    struct collection tests;
    uint32_t *places; /* owned: where in `tests` each is; sorted by ids, no two equal */
    uint32_t *est_us; /* expected durations, 0 unknown; the host's, NULL: none is known */
    uint32_t count;
    uint32_t left_out; /* so many more were collected: others have run them */
    uint64_t digest;   /* the sum of the hashes of its ids */
};

/* Which tests are none of this node's, though it has collected them. */
struct catalog_filter {
    bool (*is_left_out)(void *arg, struct dz_slice id);
    void *arg;
};

/* The union of complete rolls; each is mapped.  filter: NULL takes all. */
void catalog_build(struct catalog *self, struct roll *const *rolls, size_t count,
                   const struct catalog_filter *filter);
void catalog_fini(struct catalog *self);

static inline struct dz_slice
catalog_id(const struct catalog *self, uint32_t test)
{
    return dz_names_at(&self->tests.ids, self->places[test]);
}

struct dz_slice catalog_group(const struct catalog *self, uint32_t test);
struct dz_slice *catalog_ids(const struct catalog *self); /* owned by the caller, [count] */
/* A permutation: each test's position in the order of collection.  Owned by the caller. */
uint32_t *catalog_order(const struct catalog *self);

static inline uint32_t
catalog_est_us(const struct catalog *self, uint32_t test)
{
    return self->est_us ? self->est_us[test] : 0;
}

/* Map one more complete roll, of a process that came later; returns how many of its tests the
 * node does not know. */
uint32_t catalog_map(const struct catalog *self, struct roll *roll);

#endif
