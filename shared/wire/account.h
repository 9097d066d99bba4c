/* account.h - what a job comes to: its scheduler's sums, which the message `mesh_seal` tells every node. */
#ifndef DZ_WIRE_ACCOUNT_H
#define DZ_WIRE_ACCOUNT_H

#include "shared/base/base.h"

/* collected == counted + not_run + elsewhere. */
struct dz_account {
    uint64_t collected, counted, duplicates, not_run, failed;
    uint64_t nodes, workers; /* that ever took part */
    uint64_t digest;         /* dz_ledger_mix() over the counted rows */
    uint64_t carried;        /* of counted: as an earlier generation had them */
    uint64_t elsewhere;      /* of other shards */
    bool agrees;             /* the ledger's count and digest are the same; false: exit code 16 */
};

#endif
