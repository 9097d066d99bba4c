/* chronicle.h - what happens to the nodes of a job, as records of the job.
 *
 * Every agent writes down what it sees: that it arrived, and on what machine, who schedules, by
 * which way another node is reached, how it ended; and the one that schedules, who joined, who was
 * lost, who left.  Each is a span without length, so it travels and is kept as spans are, by stores
 * that know nothing of it too:
 *
 *     type   "node." and a word
 *     node   whom it is about
 *     name   facts, as a JSON object: {"by":"<node>","why":"its process is gone"}
 *
 * Readers pass over words and facts that they do not know, and ask for none. */
#ifndef DZ_STORE_CHRONICLE_H
#define DZ_STORE_CHRONICLE_H

#include "shared/base/buf.h"
#include "store/store.h"

#define CHRONICLE_TYPE "node."

/* Words, and their facts:
 *   arrived  host, pid, inc, workers, cpus, memory (bytes), slot (from 1), slots, how
 *   rank     rank, epoch, leader, why
 *   way      endpoint: how the node is reached by `by`; or one of the words below
 *   differs  why: it collected other tests; said by the one that schedules
 *   joined, lost, left    inc, epoch, why: said by the one that schedules
 *   planned  tests, known (of how many earlier runs tell the duration), work_us (of those),
 *            longest_us (the longest of them): of what was not counted when `by` began to schedule
 *   ended    exit_code, ran (tests), failed, why */

#define CHRONICLE_WAY_STORE  "store"  /* through it: there is no direct way */
#define CHRONICLE_WAY_ITSELF "itself" /* directly again, over a connection that it made */

/* Lines of one agent that wait for a transaction. */
struct chronicle {
    uint64_t source, seq, by;
    struct store_span *items; /* owned; texts are offsets until they are given out */
    uint32_t count, cap;
    struct dz_buf text;
};

struct chronicle_fact {
    const char *key;
    const char *text; /* NULL: the number */
    int64_t number;
};

/* Whose: the node and this life of it. */
void chronicle_init(struct chronicle *self, uint64_t node, uint64_t inc);
void chronicle_fini(struct chronicle *self); /* takes a zeroed one */
/* facts: until one without a key. */
void chronicle_add(struct chronicle *self, const char *word, uint64_t node, int64_t at_us,
                   const struct chronicle_fact *facts);
/* For a batch; valid until the next call. */
struct store_span *chronicle_spans(struct chronicle *self);
void chronicle_clear(struct chronicle *self); /* they are written */

#endif
