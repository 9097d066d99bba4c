/* hub.c - channels, pieces, and the pump. */
#include "store/http/hub.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "store/http/channel.h"
#include "store/http/event.h"

enum {
    CHANNELS_MAX = 256,
    PIECE_BYTES = 64 << 10, /* an event more at most */
    PIECES_AT_ONCE = 16,    /* of one channel, before others have their turn */
    CATCH_UPS_AT_ONCE = 64, /* between two looks at what is new */
    LOOK_LEAST_MS = 10,
    LOOK_MOST_MS = 100,
    CLIENTS_PER_MS = 10, /* so many more clients, a millisecond longer between two looks */
    BEAT_MS = 15000,     /* an idle stream says so, and learns that its client is gone */
};

/*   READING  its owner reads it
 *   HELD     it has read everything; woken by the next piece, or to beat
 *   BEHIND   held, and the pump has to make a piece for it
 *   MAKING   the pump does */
enum stream_state { STREAM_READING, STREAM_HELD, STREAM_BEHIND, STREAM_MAKING };

struct hub_stream {
    struct hub *hub;
    struct channel *channel;
    void *owner;
    enum stream_state state;
    struct feed_at at;   /* behind what has been taken */
    struct piece *piece; /* owned; being read, or made for it; NULL: none */
    size_t offset;       /* in the piece */
    dz_ms spoke;         /* when it last had something */
    bool is_left;        /* the owner is gone; the pump frees it */
    struct hub_stream *prev, *next;
};

struct hub {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t pump;
    const struct hub_ops *ops;
    struct store *store;     /* owned; the pump's */
    struct store_feed *feed; /* owned; likewise */
    struct channel channels[CHANNELS_MAX];
    struct hub_stream *streams; /* all of them */
    struct hub_counts counts;
    struct dz_buf text; /* the pump's: the piece being made */
    uint64_t made;      /* the pump's: events in it */
    bool is_ending, is_failing;
};

static void
lock(struct hub *self)
{
    (void) pthread_mutex_lock(&self->lock); /* fails only for what is not a lock */
}

static void
unlock(struct hub *self)
{
    (void) pthread_mutex_unlock(&self->lock);
}

/* ---- channels ---- */

static bool
is_same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static struct channel *
channel_of(struct hub *self, const struct hub_ask *ask)
{
    struct channel *unused = NULL;
    const struct feed_filter *f = &ask->filter;
    for (size_t i = 0; i < CHANNELS_MAX; i++) {
        struct channel *c = &self->channels[i];
        if (!c->is_used)
            unused = unused ? unused : c;
        else if (is_same(c->uri, f->uri) && is_same(c->ulid, f->ulid) &&
                 c->filter.kinds == f->kinds)
            return c;
    }
    if (!unused)
        return NULL;
    *unused = (struct channel){
        .uri = f->uri ? dz_strdup(f->uri) : NULL,
        .ulid = f->ulid ? dz_strdup(f->ulid) : NULL,
        .end = ask->from,
        .is_used = true,
    };
    unused->filter = (struct feed_filter){ unused->uri, unused->ulid, f->kinds };
    self->counts.channels++;
    return unused;
}

/* Only the pump frees channels: it may be reading for one. */
static void
free_channel(struct hub *self, struct channel *channel)
{
    while (channel->count > 0)
        channel_forget(channel);
    free(channel->uri);
    free(channel->ulid);
    *channel = (struct channel){ .is_used = false };
    self->counts.channels--;
}

/* ---- streams ---- */

struct hub_stream *
hub_join(struct hub *self, const struct hub_ask *ask, void *owner)
{
    struct hub_stream *stream = NULL;
    lock(self);
    struct channel *channel = self->is_ending ? NULL : channel_of(self, ask);
    if (channel) {
        stream = dz_alloc0(1, sizeof(*stream));
        *stream = (struct hub_stream){ .hub = self,
                                       .channel = channel,
                                       .owner = owner,
                                       .at = ask->from,
                                       .piece = piece_new(ask->preface, ask->from, ask->from),
                                       .spoke = dz_clock_ms(),
                                       .next = self->streams };
        if (self->streams)
            self->streams->prev = stream;
        self->streams = stream;
        channel->members++;
        self->counts.streams++;
        (void) pthread_cond_signal(&self->changed);
    }
    unlock(self);
    return stream;
}

static void
free_stream(struct hub *self, struct hub_stream *stream)
{
    if (stream->prev)
        stream->prev->next = stream->next;
    else
        self->streams = stream->next;
    if (stream->next)
        stream->next->prev = stream->prev;
    stream->channel->members--;
    self->counts.streams--;
    piece_drop(&stream->piece);
    free(stream);
}

void
hub_leave(struct hub_stream **stream_p)
{
    struct hub_stream *stream = dz_move(*stream_p);
    if (!stream)
        return;
    struct hub *self = stream->hub;
    lock(self);
    if (stream->state == STREAM_MAKING)
        stream->is_left = true;
    else
        free_stream(self, stream);
    unlock(self);
}

/* Take the next piece, or hold. */
static bool
advance(struct hub *self, struct hub_stream *stream)
{
    struct feed_at until;
    piece_drop(&stream->piece);
    struct piece *piece = channel_find(stream->channel, stream->at, &until);
    if (piece) {
        piece->refs++;
        stream->piece = piece;
        stream->at = piece->to;
        stream->offset = 0;
        return true;
    }
    stream->state = feed_compare(stream->at, until) < 0 ? STREAM_BEHIND : STREAM_HELD;
    self->ops->hold(stream->owner);
    return false;
}

ssize_t
hub_read(struct hub_stream *stream, char *to, size_t max)
{
    struct hub *self = stream->hub;
    ssize_t len = 0;
    lock(self);
    stream->state = STREAM_READING;
    if (self->is_ending) {
        len = -1;
    } else if ((stream->piece && stream->offset < stream->piece->len) || advance(self, stream)) {
        size_t left = stream->piece->len - stream->offset;
        size_t part = left < max ? left : max;
        memcpy(to, stream->piece->bytes + stream->offset, part);
        stream->offset += part;
        stream->spoke = dz_clock_ms();
        self->counts.bytes += part;
        len = (ssize_t) part;
    }
    unlock(self);
    return len;
}

static void
wake(struct hub *self, struct hub_stream *stream)
{
    stream->state = STREAM_READING;
    self->ops->wake(stream->owner);
}

/* ---- the pump ---- */

static bool
add_event(void *arg, const struct feed_event *event)
{
    struct hub *self = arg;
    event_write(&self->text, event);
    self->made++;
    return self->text.len < PIECE_BYTES;
}

/* Without the lock: read events from `at` on into hub->text, as many as make a piece.  Returns where
 * that ends. */
static struct feed_at
make_text(struct hub *self, const struct feed_filter *filter, struct feed_at at,
          struct feed_at until)
{
    struct dz_err err;
    dz_buf_clear(&self->text);
    self->made = 0;
    while (feed_compare(at, until) < 0 && self->text.len < PIECE_BYTES) {
        struct feed_at before = at;
        enum dz_rc rc = store_feed_read(self->feed, filter, &at, until, add_event, self, &err);
        if (rc != DZ_OK && !self->is_failing)
            log_error("events.unreadable", "why=%s", err.text);
        self->is_failing = rc != DZ_OK;
        if (rc != DZ_OK || feed_compare(at, before) == 0)
            break;
    }
    return at;
}

/* Nothing that the channel wants lies between `from`, which was its end, and `to`. */
static void
pass_over(struct hub *self, struct channel *channel, struct feed_at from, struct feed_at to)
{
    if (channel->count > 0)
        channel_piece(channel, channel->count - 1)->to = to;
    channel->end = to;
    for (struct hub_stream *s = self->streams; s; s = s->next)
        if (s->channel == channel && feed_compare(s->at, from) == 0)
            s->at = to;
}

/* One piece of what is new since the last look.  true: there is more. */
static bool
pump_channel(struct hub *self, struct channel *channel, struct feed_at end)
{
    struct feed_at from = channel->end;
    unlock(self);
    struct feed_at to = make_text(self, &channel->filter, from, end);
    lock(self);
    self->counts.events += self->made;
    if (self->text.len > 0)
        channel_keep(channel, piece_new(dz_buf_slice(&self->text), from, to));
    else if (feed_compare(to, from) > 0)
        pass_over(self, channel, from, to);
    return self->text.len > 0 && feed_compare(to, end) < 0;
}

static void
wake_members(struct hub *self, struct channel *channel)
{
    for (struct hub_stream *s = self->streams; s; s = s->next)
        if (s->channel == channel && s->state == STREAM_HELD &&
            feed_compare(s->at, channel->end) < 0)
            wake(self, s);
}

/* true: some have more to read. */
static bool
pump_channels(struct hub *self, struct feed_at end)
{
    bool has_more = false;
    for (size_t i = 0; i < CHANNELS_MAX; i++) {
        struct channel *channel = &self->channels[i];
        bool is_behind = true;
        if (channel->is_used && channel->members == 0)
            free_channel(self, channel);
        for (int piece = 0; channel->is_used && is_behind && piece < PIECES_AT_ONCE; piece++) {
            is_behind = pump_channel(self, channel, end);
            wake_members(self, channel);
        }
        has_more |= channel->is_used && is_behind;
    }
    return has_more;
}

/* A piece for one that is behind. */
static void
catch_up(struct hub *self, struct hub_stream *stream)
{
    struct feed_at from = stream->at, until;
    if (!channel_find(stream->channel, stream->at, &until) && feed_compare(from, until) < 0) {
        struct feed_filter filter =
            stream->channel->filter; /* it stays: the stream is its member */
        stream->state = STREAM_MAKING;
        unlock(self);
        struct feed_at to = make_text(self, &filter, from, until);
        lock(self);
        self->counts.catch_ups++;
        self->counts.events += self->made;
        stream->at = to;
        if (self->text.len > 0) {
            stream->piece = piece_new(dz_buf_slice(&self->text), from, to);
            stream->offset = 0;
        }
    }
    if (stream->is_left)
        free_stream(self, stream);
    else
        wake(self, stream);
}

static bool
catch_some_up(struct hub *self)
{
    for (int i = 0; i < CATCH_UPS_AT_ONCE; i++) {
        struct hub_stream *s = self->streams;
        while (s && s->state != STREAM_BEHIND)
            s = s->next;
        if (!s)
            return false;
        catch_up(self, s);
    }
    return true;
}

/* Streams that have been silent say where they are. */
static void
beat(struct hub *self, dz_ms now)
{
    for (struct hub_stream *s = self->streams; s; s = s->next) {
        if (s->state != STREAM_HELD || now - s->spoke < BEAT_MS)
            continue;
        dz_buf_clear(&self->text);
        event_write_place(&self->text, s->at);
        s->piece = piece_new(dz_buf_slice(&self->text), s->at, s->at);
        s->offset = 0;
        wake(self, s);
    }
}

static void
rest(struct hub *self, dz_ms ms)
{
    struct timespec until;
    (void) clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    if (self->streams)
        (void) pthread_cond_timedwait(&self->changed, &self->lock, &until);
    else
        (void) pthread_cond_wait(&self->changed, &self->lock);
}

static dz_ms
pause_of(const struct hub *self)
{
    dz_ms pause = LOOK_LEAST_MS + self->counts.streams / CLIENTS_PER_MS;
    return pause < LOOK_MOST_MS ? pause : LOOK_MOST_MS;
}

static void *
pump(void *arg)
{
    struct hub *self = arg;
    dz_ms looked = 0;
    uint64_t first = 1, next = 1;
    lock(self);
    while (!self->is_ending) {
        dz_ms now = dz_clock_ms(), due = looked + pause_of(self);
        bool is_behind = catch_some_up(self);
        if (now < due || !self->streams) {
            if (!is_behind)
                rest(self, now < due ? due - now : 0);
            continue;
        }
        looked = now;
        struct dz_err unused; /* a store that cannot be read is told of by make_text() */
        unlock(self);
        dz_ignore(store_feed_bounds(self->store, &first, &next, &unused));
        lock(self);
        if (pump_channels(self, (struct feed_at){ next, 0 }))
            looked = 0;
        beat(self, now);
    }
    unlock(self);
    return NULL;
}

/* ---- beginning and end ---- */

struct hub *
hub_new(struct store *store, const struct hub_ops *ops)
{
    struct hub *self = dz_alloc0(1, sizeof(*self));
    pthread_condattr_t monotonic;
    self->ops = ops;
    self->store = store_share(store);
    self->feed = store_feed_open(self->store);
    (void) pthread_mutex_init(&self->lock, NULL); /* plain ones cannot fail */
    (void) pthread_condattr_init(&monotonic);
    (void) pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void) pthread_cond_init(&self->changed, &monotonic);
    (void) pthread_condattr_destroy(&monotonic);
    dz_assert(pthread_create(&self->pump, NULL, pump, self) == 0); /* at start only */
    return self;
}

void
hub_stop(struct hub *self)
{
    lock(self);
    self->is_ending = true;
    (void) pthread_cond_broadcast(&self->changed);
    unlock(self);
    (void) pthread_join(self->pump, NULL);
    lock(self);
    for (struct hub_stream *s = self->streams; s; s = s->next)
        if (s->state != STREAM_READING)
            wake(self, s);
    unlock(self);
}

void
hub_destroy(struct hub **self_p)
{
    struct hub *self = dz_move(*self_p);
    if (!self)
        return;
    while (self->streams)
        free_stream(self, self->streams);
    for (size_t i = 0; i < CHANNELS_MAX; i++)
        if (self->channels[i].is_used)
            free_channel(self, &self->channels[i]);
    store_feed_close(&self->feed);
    store_close(&self->store);
    dz_buf_fini(&self->text);
    (void) pthread_cond_destroy(&self->changed);
    (void) pthread_mutex_destroy(&self->lock);
    free(self);
}

void
hub_count(struct hub *self, struct hub_counts *out)
{
    lock(self);
    *out = self->counts;
    unlock(self);
}
