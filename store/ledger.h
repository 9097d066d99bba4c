/* ledger.h - which execution of each (test, attempt) counts.  In memory; a function of the records
 * in the order in which they were written. */
#ifndef DZ_STORE_LEDGER_H
#define DZ_STORE_LEDGER_H

#include "store/store.h"

struct ledger_extra;

struct ledger {
    uint32_t tests;
    uint8_t *results;    /* owned; [test][attempt]: enum dz_result of the counted one, 0: none */
    uint64_t *first;     /* owned; who is counted for attempt 0 */
    uint8_t *has_strike; /* owned; by test */
    struct ledger_extra *extras; /* owned; every other execution; open addressing */
    size_t extra_cap, extra_len;
    uint32_t counted, executions;
    uint32_t strangers; /* records of tests beyond `tests`, which were left out */
    uint64_t digest;
};

void ledger_init(struct ledger *self, uint32_t tests);
void ledger_fini(struct ledger *self);
void ledger_clear(struct ledger *self);
void ledger_grow(struct ledger *self, uint32_t tests); /* there are so many now */

/* Decide and remember.  The caller has checked test and attempt against their limits. */
void ledger_judge(struct ledger *self, struct store_result *result);

/* Has this very execution been judged? */
bool ledger_knows(const struct ledger *self, const struct store_result *result);

/* Does some execution of this test and attempt count? */
bool ledger_has(const struct ledger *self, const struct store_result *result);

/* Remember what was decided before. */
void ledger_replay(struct ledger *self, const struct store_result *result);

enum dz_result ledger_verdict(const struct ledger *self, uint32_t test);
uint32_t ledger_duplicates(const struct ledger *self); /* executions that came too late to count */
void ledger_sum(const struct ledger *self, struct store_ledger *out);

#endif
