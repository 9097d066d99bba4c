/* relay.c - boxes by the name of their meeting and node. */
#include "store/http/relay.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "shared/base/bytes.h"
#include "shared/base/log.h"
#include "shared/base/map.h"
#include "shared/wire/letter.h"

enum { NUMBER_LEN = 8 };

struct letter {
    struct letter *next;
    uint64_t from;
    size_t len;
    uint8_t bytes[];
};

struct box {
    struct dz_buf name; /* meeting, node */
    uint64_t id;        /* of chance */
    uint64_t life, batch;
    dz_ms known_at, used_at, gone_at; /* gone_at 0: it stays */
    uint64_t line;                    /* of its last fetch; 0: it has ended */
    bool is_kept;                     /* the one before it came on that line, too */
    dz_ms left_at;                    /* that ended, and the node has not come again; 0: it has */
    struct letter *first, **last_p;   /* owned */
    uint64_t first_number;            /* of the first letter, or of the next one to come */
    size_t bytes;
    bool is_awaited;
    struct relay_fetch fetch; /* when it is awaited; its `who` is not valid any more */
};

struct relay {
    pthread_mutex_t lock;
    relay_wake_fn *wake;
    struct dz_dict boxes; /* name -> struct box, owned */
    struct relay_counts counts;
    bool is_ending;
};

static void
lock(struct relay *self)
{
    (void) pthread_mutex_lock(&self->lock); /* fails only for what is not a lock */
}

static void
unlock(struct relay *self)
{
    (void) pthread_mutex_unlock(&self->lock);
}

/* ---- boxes ---- */

static void
name_box(const struct relay_who *who, struct dz_buf *out)
{
    uint8_t node[NUMBER_LEN];
    dz_uint_put(who->node, sizeof(node), node);
    dz_buf_clear(out);
    dz_buf_add(out, who->meeting.ptr, who->meeting.len);
    dz_buf_add(out, node, sizeof(node));
}

static struct box *
find(const struct relay *self, const struct relay_who *who)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf name = { 0 };
    name_box(who, &name);
    return dz_dict_get(&self->boxes, dz_buf_slice(&name));
}

static void
forget_first(struct relay *self, struct box *box)
{
    struct letter *letter = box->first;
    size_t cost = letter->len + RELAY_LETTER_COST;
    box->first = letter->next;
    box->last_p = box->first ? box->last_p : &box->first;
    box->first_number++;
    box->bytes -= cost;
    self->counts.bytes -= cost;
    free(letter);
}

/* What is there, as far as it fits into one answer. */
static void
answer(const struct box *box, struct dz_buf *out)
{
    uint8_t head[2 * NUMBER_LEN] = { 0 };
    uint64_t number = box->first_number - 1;
    size_t at = out->len;
    dz_buf_add(out, head, sizeof(head)); /* filled in below */
    for (const struct letter *one = box->first; one && out->len - at < RELAY_ANSWER_MAX;
         one = one->next, number++)
        dz_letter_add(out, one->from, (struct dz_slice){ one->bytes, one->len });
    dz_uint_put(box->id, NUMBER_LEN, head);
    dz_uint_put(number, NUMBER_LEN, head + NUMBER_LEN);
    memcpy(out->data + at, head, sizeof(head));
}

static void
answer_waiting(struct relay *self, struct box *box)
{
    if (!box->is_awaited)
        return;
    box->is_awaited = false;
    self->counts.waiting--;
    answer(box, box->fetch.out);
    self->wake(box->fetch.owner);
}

static void
remove_box(struct relay *self, struct box *box)
{
    answer_waiting(self, box);
    while (box->first)
        forget_first(self, box);
    (void) dz_dict_del(&self->boxes, dz_buf_slice(&box->name));
    dz_buf_fini(&box->name);
    free(box);
    self->counts.boxes--;
}

bool
relay_knows(struct relay *self, const struct relay_who *who, dz_ms now)
{
    lock(self);
    const struct box *box = find(self, who);
    bool is_known = box && (now - box->known_at < RELAY_KNOWN_MS || box->gone_at > now);
    unlock(self);
    return is_known;
}

bool
relay_has_box(struct relay *self, const struct relay_who *who)
{
    lock(self);
    bool is_there = find(self, who) != NULL;
    unlock(self);
    return is_there;
}

static struct box *
make_box(struct relay *self, const struct relay_who *who)
{
    struct box *box = dz_alloc0(1, sizeof(*box));
    name_box(who, &box->name);
    dz_assert(getrandom(&box->id, sizeof(box->id), 0) == (ssize_t) sizeof(box->id));
    box->last_p = &box->first;
    box->first_number = 1;
    (void) dz_dict_put(&self->boxes, dz_buf_slice(&box->name), box); /* there was none */
    self->counts.boxes++;
    return box;
}

enum dz_rc
relay_admit(struct relay *self, const struct relay_who *who, dz_ms now)
{
    lock(self);
    struct box *box = find(self, who);
    if (!box && self->counts.boxes < RELAY_BOXES_MAX) {
        box = make_box(self, who);
        box->used_at = now;
    }
    if (box) {
        box->known_at = now;
        box->gone_at = 0;
    }
    unlock(self);
    return box ? DZ_OK : DZ_FULL;
}

static bool
is_of(const struct box *box, const struct relay_who *who)
{
    uint8_t node[NUMBER_LEN];
    struct dz_slice meeting = { box->name.data, box->name.len - NUMBER_LEN };
    dz_uint_put(who->node, sizeof(node), node);
    return dz_slice_eq(meeting, who->meeting) &&
           (who->node == 0 || memcmp(meeting.ptr + meeting.len, node, sizeof(node)) == 0);
}

void
relay_end(struct relay *self, const struct relay_who *who, dz_ms now)
{
    struct dz_slice name;
    void *value = NULL;
    lock(self);
    for (size_t at = 0; dz_dict_next(&self->boxes, &at, &name, &value);) {
        struct box *box = value;
        if (is_of(box, who) && box->gone_at == 0)
            box->gone_at = now + RELAY_LINGER_MS;
    }
    unlock(self);
}

/* ---- posting ---- */

/* Are these letters, all of them? */
static bool
is_whole(struct dz_slice letters)
{
    uint64_t node;
    struct dz_slice bytes;
    enum dz_rc rc = DZ_OK;
    while (rc == DZ_OK) {
        rc = dz_letter_next(&letters, &node, &bytes);
        if (rc == DZ_OK && dz_slice_eq(bytes, DZ_LETTER_LEFT))
            rc = DZ_CORRUPT;
    }
    return rc == DZ_ABSENT;
}

static bool
put_letter(struct relay *self, struct box *box, uint64_t from, struct dz_slice bytes)
{
    size_t cost = bytes.len + RELAY_LETTER_COST;
    if (box->bytes + cost > RELAY_BOX_MAX || self->counts.bytes + cost > RELAY_ALL_MAX)
        return false;
    struct letter *letter = dz_alloc0(1, sizeof(*letter) + bytes.len);
    letter->from = from;
    letter->len = bytes.len;
    memcpy(letter->bytes, bytes.ptr, bytes.len);
    *box->last_p = letter;
    box->last_p = &letter->next;
    box->bytes += cost;
    self->counts.bytes += cost;
    return true;
}

static void
deliver(struct relay *self, const struct relay_batch *batch, struct relay_receipt *out)
{
    struct dz_slice rest = batch->letters, bytes;
    struct relay_who to = { .meeting = batch->from.meeting };
    while (dz_letter_next(&rest, &to.node, &bytes) == DZ_OK) {
        struct box *box = find(self, &to);
        bool is_taken = box && put_letter(self, box, batch->from.node, bytes);
        out->taken += is_taken;
        out->dropped += !is_taken;
    }
    self->counts.letters += out->taken;
    self->counts.dropped += out->dropped;
    for (rest = batch->letters; dz_letter_next(&rest, &to.node, &bytes) == DZ_OK;) {
        struct box *box = find(self, &to);
        if (box && box->first)
            answer_waiting(self, box);
    }
}

enum dz_rc
relay_post(struct relay *self, const struct relay_batch *batch, dz_ms now,
           struct relay_receipt *out)
{
    *out = (struct relay_receipt){ 0 };
    if (!is_whole(batch->letters))
        return DZ_CORRUPT;
    lock(self);
    struct box *from = find(self, &batch->from);
    if (from) {
        out->was_there = from->life == batch->life && batch->number <= from->batch;
        from->used_at = now;
        from->left_at = 0;
        from->life = batch->life;
        from->batch = out->was_there ? from->batch : batch->number;
    }
    if (from && !out->was_there)
        deliver(self, batch, out);
    unlock(self);
    return from ? DZ_OK : DZ_ABSENT;
}

/* ---- fetching ---- */

static void
forget_taken(struct relay *self, struct box *box, const struct relay_fetch *fetch)
{
    if (fetch->box != box->id)
        return;
    while (box->first && box->first_number <= fetch->after)
        forget_first(self, box);
}

bool
relay_take(struct relay *self, const struct relay_fetch *fetch, dz_ms now)
{
    lock(self);
    struct box *box = find(self, &fetch->who);
    bool is_answered = true;
    if (!box) {
        static const uint8_t nothing[2 * NUMBER_LEN];
        dz_buf_add(fetch->out, nothing, sizeof(nothing));
    } else {
        answer_waiting(self, box); /* of an earlier life, or whose asker has gone */
        forget_taken(self, box, fetch);
        box->used_at = now;
        box->left_at = 0;
        box->is_kept = box->line == fetch->line;
        box->line = fetch->line;
        is_answered = box->first || self->is_ending || fetch->until <= now;
        if (is_answered) {
            answer(box, fetch->out);
        } else {
            box->fetch = *fetch;
            box->is_awaited = true;
            self->counts.waiting++;
        }
    }
    unlock(self);
    return is_answered;
}

/* ---- hanging up ---- */

void
relay_hang_up(struct relay *self, uint64_t line, dz_ms now)
{
    struct dz_slice name;
    void *value = NULL;
    dz_assert(line != 0);
    lock(self);
    for (size_t at = 0; dz_dict_next(&self->boxes, &at, &name, &value);) {
        struct box *box = value;
        if (box->line != line)
            continue;
        box->line = 0;
        if (!box->is_awaited && !box->is_kept)
            continue;
        box->used_at = box->left_at = now;
        answer_waiting(self, box);
    }
    unlock(self);
}

/* To all others of its meeting, but for those who hung up as well: then the network did it. */
static void
tell_left(struct relay *self, const struct box *left)
{
    size_t len = left->name.len - NUMBER_LEN;
    const struct relay_who meeting = { { left->name.data, len }, 0 };
    uint64_t node = dz_uint_get(left->name.data + len, NUMBER_LEN);
    struct dz_slice name;
    void *value = NULL;
    for (size_t at = 0; dz_dict_next(&self->boxes, &at, &name, &value);) {
        struct box *box = value;
        if (box->line != 0 && is_of(box, &meeting) && put_letter(self, box, node, DZ_LETTER_LEFT))
            answer_waiting(self, box);
    }
    log_info("relay.left", "node=%016" PRIx64, node);
}

/* ---- time ---- */

void
relay_sweep(struct relay *self, dz_ms now)
{
    struct dz_slice name;
    void *value = NULL;
    lock(self);
    for (size_t at = 0; dz_dict_next(&self->boxes, &at, &name, &value);) {
        struct box *box = value;
        if (box->is_awaited && box->fetch.until <= now) {
            box->used_at = now;
            answer_waiting(self, box);
        }
        if (box->left_at != 0 && now - box->left_at >= RELAY_LEFT_MS) {
            box->left_at = 0;
            if (box->gone_at == 0) /* else it has said so itself */
                tell_left(self, box);
        }
        bool is_old = !box->is_awaited && now - box->used_at >= RELAY_IDLE_MS;
        if (!is_old && (box->gone_at == 0 || now < box->gone_at))
            continue;
        remove_box(self, box);
        at = 0; /* the map has moved */
    }
    unlock(self);
}

void
relay_count(struct relay *self, struct relay_counts *out)
{
    lock(self);
    *out = self->counts;
    unlock(self);
}

/* ---- life ---- */

struct relay *
relay_new(relay_wake_fn *wake)
{
    struct relay *self = dz_alloc0(1, sizeof(*self));
    (void) pthread_mutex_init(&self->lock, NULL); /* plain ones cannot fail */
    self->wake = wake;
    return self;
}

void
relay_stop(struct relay *self)
{
    struct dz_slice name;
    void *value = NULL;
    lock(self);
    self->is_ending = true;
    for (size_t at = 0; dz_dict_next(&self->boxes, &at, &name, &value);)
        answer_waiting(self, value);
    unlock(self);
}

void
relay_destroy(struct relay **self_p)
{
    struct relay *self = dz_move(*self_p);
    struct dz_slice name;
    void *value = NULL;
    if (!self)
        return;
    relay_stop(self);
    for (size_t at = 0; dz_dict_next(&self->boxes, &at, &name, &value); at = 0)
        remove_box(self, value);
    dz_dict_fini(&self->boxes);
    (void) pthread_mutex_destroy(&self->lock);
    free(self);
}
