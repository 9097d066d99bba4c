/* pace.h - how often each of many nodes says that it lives, and how long it is waited for.
 *
 * A thousand nodes that speak ten times a second keep a scheduler, or a store, busy with nothing else.  Up to
 * a hundred nodes nothing depends on their number. */
#ifndef DZ_WIRE_PACE_H
#define DZ_WIRE_PACE_H

#include "shared/base/base.h"

enum {
    DZ_PACE_BEATS = 1000, /* a second, of all nodes: the more there are, the rarer each one's are */
    DZ_PACE_MOST_US = 2000 * 1000,
    DZ_PACE_LEAST = 5,           /* beats of one, before it is taken for dead */
    DZ_PACE_ACKS = 4,            /* in a heartbeat: acks take longer where many speak */
    DZ_PACE_CROWD = 32,          /* so many are none */
    DZ_PACE_CROWD_US = 5 * 1000, /* patience with who answers a crowd, for each of it */
    DZ_PACE_CROWD_MOST_US = 10 * 1000 * 1000,
    DZ_PACE_CROWD_ACKS = 16, /* of that patience, such a part is had with an ack */
};

/* After so long a heartbeat is due; usual_us: of few nodes. */
static inline dz_us
dz_pace_beat_us(size_t nodes, dz_us usual_us)
{
    dz_us beat = (dz_us) nodes * 1000000 / DZ_PACE_BEATS;
    beat = beat < DZ_PACE_MOST_US ? beat : DZ_PACE_MOST_US;
    return beat > usual_us ? beat : usual_us;
}

/* After so long a silence one is given up.  One of many weighs little: it may be missed somewhat later. */
static inline dz_us
dz_pace_dead_us(dz_us beat_us, dz_us usual_beat_us, dz_us usual_us)
{
    bool is_usual = beat_us == usual_beat_us || DZ_PACE_LEAST * beat_us < usual_us;
    return is_usual ? usual_us : DZ_PACE_LEAST * beat_us;
}

/* Whoever is asked by so many at once may be given so much longer for an answer. */
static inline dz_us
dz_pace_crowd_us(size_t nodes)
{
    dz_us more = nodes > DZ_PACE_CROWD ? (dz_us) nodes * DZ_PACE_CROWD_US : 0;
    return more < DZ_PACE_CROWD_MOST_US ? more : DZ_PACE_CROWD_MOST_US;
}

/* How much longer an answer takes on average where a crowd speaks. */
static inline dz_us
dz_pace_news_us(size_t nodes)
{
    return dz_pace_crowd_us(nodes) / DZ_PACE_CROWD_ACKS;
}

/* Patience with a first ack.  Where a crowd comes in at once they take as long as all of it. */
static inline dz_us
dz_pace_ack_us(size_t nodes, dz_us beat_us)
{
    return beat_us / DZ_PACE_ACKS + dz_pace_news_us(nodes);
}

#endif
