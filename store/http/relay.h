/* relay.h - letters between nodes that cannot reach each other, until they are fetched.
 *
 * Each node of a meeting that speaks or listens in this way has a box, in memory only: a daemon that
 * was started again has none, and the nodes, who expect no better (shared/net/duct.h), begin anew.
 * What the letters say is sealed by the nodes.
 *
 * Fetching  A letter stays until a later fetch names its number, so an answer that was lost can be
 *           asked for again.  Numbers count in one box: the name of another one is as none.  A fetch
 *           that finds nothing waits, and is woken by a letter, by time, or by a later one.
 * Posting   Batches of one life of a node are numbered by it; one that is not greater than the last
 *           was taken already.  What finds no room is dropped and counted.
 * Hang-ups  When the connection ends on which a node fetched last, it may be dead.  If it does not
 *           come again within RELAY_LEFT_MS, every other box of its meeting gets DZ_LETTER_LEFT from it.
 *           Not if that connection has carried one fetch, which was answered: proxies make one for each.
 *           Nor is anybody told who has hung up as well.
 * Members   A box is made when the store has said that the node is a member.  It has to say so again
 *           now and then; relay_knows() is whether it did lately.
 * Bounds    Below.  A box that nobody has fetched from for a while is forgotten, and one whose node
 *           has ended its part, or whose meeting is over, soon after that.
 * Threads   Any; a lock of its own, held while `wake` is called. */
#ifndef DZ_STORE_HTTP_RELAY_H
#define DZ_STORE_HTTP_RELAY_H

#include "shared/base/buf.h"

enum {
    RELAY_BOX_MAX = 4 << 20, /* bytes of letters; of each also RELAY_LETTER_COST */
    RELAY_ALL_MAX = 64 << 20,
    RELAY_LETTER_COST = 64,
    RELAY_BOXES_MAX = 4096,
    RELAY_ANSWER_MAX = 1 << 20, /* bytes of one answer, and a letter more at most */
    RELAY_WAIT_MS = 10 * 1000,  /* longest wait of a fetch */
    RELAY_KNOWN_MS = 2 * 1000,
    RELAY_LEFT_MS = 150, /* a client whose connection broke asks again after 50 */
    RELAY_IDLE_MS = 60 * 1000,
    RELAY_LINGER_MS = 10 * 1000,
    RELAY_MEETING_MAX = 8192, /* bytes of a meeting's name */
};

struct relay;

/* A node in a meeting, which is named by project and join key; borrowed. */
struct relay_who {
    struct dz_slice meeting;
    uint64_t node;
};

/* A fetch; the caller's until it is answered. */
struct relay_fetch {
    struct relay_who who;
    uint64_t line;       /* the connection's number; 0: none is known */
    uint64_t box, after; /* has taken the letters of that box up to this number */
    dz_ms until;         /* when it is answered at the latest */
    struct dz_buf *out;  /* the answer: box (8), last number (8), letters (shared/wire/letter.h) */
    void *owner;
};

/* A fetch that waited has its answer. */
typedef void relay_wake_fn(void *owner);

struct relay *relay_new(relay_wake_fn *wake);
void relay_stop(struct relay *self); /* who waits is answered; nobody waits any more */
void relay_destroy(struct relay **self_p);

bool relay_knows(struct relay *self, const struct relay_who *who, dz_ms now);
bool relay_has_box(struct relay *self, const struct relay_who *who);
/* The store has said that this is a member.  FULL: there are too many boxes. */
enum dz_rc relay_admit(struct relay *self, const struct relay_who *who, dz_ms now);
/* Its part has ended.  node 0: the whole meeting has. */
void relay_end(struct relay *self, const struct relay_who *who, dz_ms now);

struct relay_batch {
    struct relay_who from;
    uint64_t life, number;
    struct dz_slice letters; /* each names whom it is for */
};
struct relay_receipt {
    bool was_there;
    uint32_t taken, dropped;
};
/* CORRUPT: these are no letters of nodes; none was taken.  ABSENT: the sender has no box. */
DZ_MUST_USE enum dz_rc relay_post(struct relay *self, const struct relay_batch *batch, dz_ms now,
                                  struct relay_receipt *out);

/* true: answered.  false: it waits, and `wake` is called when it is, perhaps before this returns. */
DZ_MUST_USE bool relay_take(struct relay *self, const struct relay_fetch *fetch, dz_ms now);

/* That connection has ended, whatever it was for.  A fetch of it that waits is answered. */
void relay_hang_up(struct relay *self, uint64_t line, dz_ms now);

/* Answer those who have waited long enough; tell who has left; forget what is to be forgotten. */
void relay_sweep(struct relay *self, dz_ms now);

struct relay_counts {
    uint32_t boxes, waiting;
    uint64_t bytes, letters, dropped;
};
void relay_count(struct relay *self, struct relay_counts *out);

#endif
