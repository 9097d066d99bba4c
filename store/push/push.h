/* push.h - a job on its way to a store behind HTTP, as its records come.
 *
 * One request at a time.  It decides when to ask and what to make of the answer; its user tells of
 * time and news, and looks at the state.  It never waits, and holds one parcel in memory at most.
 *
 * Whatever the answer is, nothing is lost: the records are where they were.  An answer that may be
 * better the next time (none, slow, 5xx, 429, no receipt) is waited for, with jitter, and what the
 * server asks for by Retry-After is done.  After one that will not (401, 409, an unknown version)
 * nothing is sent any more, and push_why() tells people. */
#ifndef DZ_STORE_PUSH_PUSH_H
#define DZ_STORE_PUSH_PUSH_H

#include "shared/http/http.h"
#include "store/sync.h"

struct push;

enum push_state {
    PUSH_BUSY,    /* something is to be sent, or is being sent, or will be tried again */
    PUSH_IDLE,    /* all that is here is there */
    PUSH_DONE,    /* the same, and nothing more will come: the spool may go */
    PUSH_REFUSED, /* it will not be taken; push_why() says why */
};

struct push_cfg {
    struct dz_http *http; /* borrowed */
    const char *url;      /* of the server, without a slash at its end; copied */
    struct store *store;  /* borrowed; where the job is */
    const char *ulid;     /* copied */
    bool is_live;         /* the job's writer is this process: more may come until it is sealed */
    void (*on_change)(void *arg); /* state or receipt changed; may be NULL */
    void *arg;
};

DZ_MUST_USE enum dz_rc push_new(const struct push_cfg *cfg, struct push **self_out,
                                struct dz_err *err);
void push_destroy(struct push **self_p);

/* What is new, and so how soon it wants to be there. */
enum push_news {
    PUSH_RESULTS, /* or the seal: more of them go with one request */
    PUSH_LINES,   /* somebody may be reading along */
};
void push_poke(struct push *self, enum push_news news);
/* Nothing more will come from here: the seal is another node's. */
void push_leave(struct push *self);
/* Try at once what waits for a retry or for company. */
void push_hurry(struct push *self);
/* When push_step() wants to be called; 0: not before an answer or news. */
dz_us push_at(const struct push *self);
void push_step(struct push *self, dz_us now);

enum push_state push_state(const struct push *self);
/* What the server said last; NULL: nothing yet. */
const struct store_receipt *push_receipt(const struct push *self);
/* Results that are not there, as far as is known; with is_sealed_there false, one more thing is. */
uint64_t push_pending(const struct push *self);
dz_us push_heard(const struct push *self);     /* when a receipt came last; 0: never */
dz_us push_moved(const struct push *self);     /* when one last said something new; likewise */
const char *push_why(const struct push *self); /* of the last failure, "" */
bool push_is_asking(const struct push *self);  /* an answer is waited for */
/* The last try found nobody listening. */
bool push_is_alone(const struct push *self);

#endif
