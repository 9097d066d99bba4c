/* lanes.c - the threads that answer. */
#include "store/http/lanes.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    QUEUE_MAX = 512,            /* calls of one lane */
    QUEUE_BYTES_MAX = 64 << 20, /* of their bodies */
    READERS_MAX = 8,
};

/* A ring of calls. */
struct queue {
    struct http_call *calls[QUEUE_MAX];
    size_t first, count, bytes;
    pthread_cond_t filled;
};

struct worker {
    struct lanes *lanes; /* borrowed */
    struct store *store; /* owned */
    enum http_lane lane;
    pthread_t thread;
};

struct lanes {
    pthread_mutex_t lock;
    struct queue queues[HTTP_LANES]; /* of READ and WRITE only */
    struct worker workers[READERS_MAX + 1];
    size_t worker_count;
    lanes_done_fn *done;
    struct lanes_counts counts;
    bool is_ending;
};

static struct http_call *
take(struct queue *queue)
{
    struct http_call *call = queue->calls[queue->first];
    queue->first = (queue->first + 1) % QUEUE_MAX;
    queue->count--;
    queue->bytes -= call->body.len;
    return call;
}

/* The next call, and those behind it of the same route if they can be answered together.  0: the
 * end. */
static size_t
take_group(struct lanes *self, enum http_lane lane, struct http_call *out[HTTP_GROUP_MAX])
{
    struct queue *queue = &self->queues[lane];
    size_t count = 0;
    (void) pthread_mutex_lock(&self->lock);
    while (queue->count == 0 && !self->is_ending)
        (void) pthread_cond_wait(&queue->filled, &self->lock);
    while (queue->count > 0 && count < HTTP_GROUP_MAX) {
        const struct http_route *route = queue->calls[queue->first]->route;
        if (count > 0 && (route != out[0]->route || !route->handle_group))
            break;
        out[count++] = take(queue);
    }
    self->counts.waiting[lane] = (uint32_t) queue->count;
    self->counts.done[lane] += count;
    (void) pthread_mutex_unlock(&self->lock);
    return count;
}

/* Who reads a document and then the events behind `event` misses nothing. */
static void
prepare(struct worker *self, struct http_call *call)
{
    uint64_t first;
    struct dz_err unused; /* the answer will say it */
    call->store = self->store;
    if (self->lane == HTTP_READ)
        dz_ignore(store_feed_bounds(self->store, &first, &call->event, &unused));
}

static void *
work(void *arg)
{
    struct worker *self = arg;
    struct http_call *calls[HTTP_GROUP_MAX];
    for (;;) {
        size_t count = take_group(self->lanes, self->lane, calls);
        if (count == 0)
            return NULL;
        for (size_t i = 0; i < count; i++)
            prepare(self, calls[i]);
        const struct http_route *route = calls[0]->route;
        if (route->handle_group)
            route->handle_group(calls, count);
        else
            route->handle(calls[0]);
        for (size_t i = 0; i < count; i++)
            self->lanes->done(calls[i]);
    }
}

static void
start(struct lanes *self, struct store *store, enum http_lane lane)
{
    struct worker *worker = &self->workers[self->worker_count++];
    *worker = (struct worker){ .lanes = self, .store = store_share(store), .lane = lane };
    dz_assert(pthread_create(&worker->thread, NULL, work, worker) == 0); /* at start only */
}

struct lanes *
lanes_new(struct store *store, unsigned readers, lanes_done_fn *done)
{
    struct lanes *self = dz_alloc0(1, sizeof(*self));
    self->done = done;
    (void) pthread_mutex_init(&self->lock, NULL); /* plain ones cannot fail */
    for (unsigned i = 0; i < HTTP_LANES; i++)
        (void) pthread_cond_init(&self->queues[i].filled, NULL);
    start(self, store, HTTP_WRITE);
    for (unsigned i = 0; i < readers && i < READERS_MAX; i++)
        start(self, store, HTTP_READ);
    return self;
}

void
lanes_stop(struct lanes *self)
{
    (void) pthread_mutex_lock(&self->lock);
    self->is_ending = true;
    for (unsigned i = 0; i < HTTP_LANES; i++)
        (void) pthread_cond_broadcast(&self->queues[i].filled);
    (void) pthread_mutex_unlock(&self->lock);
    for (size_t i = 0; i < self->worker_count; i++) {
        (void) pthread_join(self->workers[i].thread, NULL);
        store_close(&self->workers[i].store);
    }
    self->worker_count = 0;
}

void
lanes_destroy(struct lanes **self_p)
{
    struct lanes *self = dz_move(*self_p);
    if (!self)
        return;
    lanes_stop(self);
    for (unsigned i = 0; i < HTTP_LANES; i++)
        (void) pthread_cond_destroy(&self->queues[i].filled);
    (void) pthread_mutex_destroy(&self->lock);
    free(self);
}

bool
lanes_put(struct lanes *self, struct http_call *call)
{
    enum http_lane lane = call->route->lane == HTTP_WRITE ? HTTP_WRITE : HTTP_READ;
    struct queue *queue = &self->queues[lane];
    (void) pthread_mutex_lock(&self->lock);
    bool has_room = !self->is_ending && queue->count < QUEUE_MAX &&
                    queue->bytes + call->body.len <= QUEUE_BYTES_MAX;
    if (has_room) {
        queue->calls[(queue->first + queue->count) % QUEUE_MAX] = call;
        queue->count++;
        queue->bytes += call->body.len;
        self->counts.waiting[lane] = (uint32_t) queue->count;
        (void) pthread_cond_signal(&queue->filled);
    }
    (void) pthread_mutex_unlock(&self->lock);
    return has_room;
}

void
lanes_count(struct lanes *self, struct lanes_counts *out)
{
    (void) pthread_mutex_lock(&self->lock);
    *out = self->counts;
    (void) pthread_mutex_unlock(&self->lock);
}
