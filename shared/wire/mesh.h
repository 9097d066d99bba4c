/* mesh.h - the numbers and rules that both ends of the mesh share.
 *
 * An epoch names one scheduler in one life.  Commands carry it and are fenced by it; results are
 * facts and never are. */
#ifndef DZ_SHARED_WIRE_MESH_H
#define DZ_SHARED_WIRE_MESH_H

#include "shared/base/base.h"

enum {
    DZ_GRANTS_MAX = 64,   /* grants of one ASSIGN, facts of one RESULT */
    DZ_CONTACT_MAX = 512, /* bytes that say how a node is reached; opaque to the cores */
    DZ_SUCCESSORS_MAX = 32,
};

/* Totally ordered by (n, node, inc).  n is on disk before its first use. */
struct dz_epoch {
    uint64_t n;
    uint64_t node;
    uint64_t inc;
};

/* < 0, 0, > 0, as memcmp() does. */
int dz_epoch_cmp(const struct dz_epoch *a, const struct dz_epoch *b);

/* One planned execution. */
struct dz_grant {
    uint32_t test;    /* index in the manifest, which is sorted by node id */
    uint32_t attempt; /* 0 the first */
};

/* Whom an envelope is for.  A node has both ends while it schedules. */
enum dz_mesh_end { DZ_MESH_TO_VASSAL, DZ_MESH_TO_SCHEDULER };

/* lead.flags */
enum dz_lead_flag {
    DZ_LEAD_KEEPS = 1, /* counted is not stored: keep every result until STORED */
    DZ_LEAD_BLIND = 2, /* I have not seen the store's ledger: tell stored results as well */
    DZ_LEAD_ASKS = 4,  /* your manifest is not mine: say OWN before STATE */
};

/* What a vassal says of a slot. */
enum dz_slot_say {
    DZ_SLOT_UP,   /* can be given tests */
    DZ_SLOT_WANT, /* its worker waits, at once, for a test or for "nothing" */
    DZ_SLOT_LOST, /* will never run a test again */
};

/* Why a vassal gives tests back. */
enum dz_back {
    DZ_BACK_GIVEN,   /* the slot's worker is gone, or the node leaves */
    DZ_BACK_REVOKED, /* the answer to one REVOKE, possibly with fewer tests or none */
    DZ_BACK_ABSENT,  /* the slot's worker collected no such test */
};

/* The scheduler's word on an execution that it was told. */
enum dz_word {
    DZ_WORD_COUNTED,   /* this execution is the ledger's */
    DZ_WORD_DUPLICATE, /* another one is; this is history */
    DZ_WORD_STRIKE,    /* a worker's death, not counted: the attempt is granted again */
};

enum dz_bye {
    DZ_BYE_SEALED,     /* the job is over */
    DZ_BYE_TERMINATED, /* told to leave (SIGTERM) */
    DZ_BYE_CRIPPLED,   /* no slot can run anything any more */
};

enum dz_mesh_err {
    DZ_MESH_ERR_MANIFEST, /* another list of tests */
    DZ_MESH_ERR_FULL,     /* too many nodes */
    DZ_MESH_ERR_SEALED,   /* too late */
    DZ_MESH_ERR_LIMIT,    /* more tests than a job can have */
};

/* The ledger's digest is the sum, modulo 2^64, of this over its counted rows: equal whatever the
 * order in which they arrived. */
uint64_t dz_ledger_mix(uint32_t test, uint32_t attempt, uint32_t result);

#endif
