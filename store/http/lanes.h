/* lanes.h - the threads that answer: requests go in, answered ones come out by a callback.
 *
 * Reading requests are answered beside each other, each thread on its own store handle.  Writing
 * ones go through one thread, which takes all that wait for the same route together, so that they
 * can share a commit.  Both queues have a length; who finds one full is told to come again. */
#ifndef DZ_STORE_HTTP_LANES_H
#define DZ_STORE_HTTP_LANES_H

#include "store/http/call.h"

struct lanes;

/* Called in a lane's thread when the call has its answer. */
typedef void lanes_done_fn(struct http_call *call);

struct lanes *lanes_new(struct store *store, unsigned readers, lanes_done_fn *done);
/* Answer what is queued, then end the threads; from now on lanes_put() refuses. */
void lanes_stop(struct lanes *self);
void lanes_destroy(struct lanes **self_p); /* stopped before */

/* false: the queue is full. */
bool lanes_put(struct lanes *self, struct http_call *call);

struct lanes_counts {
    uint32_t waiting[HTTP_LANES];
    uint64_t done[HTTP_LANES];
};
void lanes_count(struct lanes *self, struct lanes_counts *out);

#endif
