#include "vassal/tunnel.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/bytes.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/map.h"
#include "shared/net/seal.h"
#include "shared/wire/letter.h"
#include "vassal/client.h"

#define LETTERS_TYPE "application/x-dagz-letters"

enum {
    NUMBER_LEN = 8,
    ANSWER_HEAD = 2 * NUMBER_LEN, /* box, number of the last letter */
    ANSWER_MAX = 2 << 20,
    RECEIPT_MAX = 4096,
    SEND_MS = 5000,
    WAIT_MS = 10 * 1000,   /* a fetch is answered by then */
    GRACE_MS = 3000,       /* ... or this much later */
    PACE_US = 5 * 1000,    /* between the beginnings of two requests of a kind */
    QUICK_US = 500 * 1000, /* a fetch that brings nothing so soon did not wait */
    RETRY_FIRST_MS = 50,
    RETRY_MOST_MS = 1000,
    REFUSED_US = 10 * 1000 * 1000, /* the store does not want them: an older one, perhaps */
};

/* To a node and from it. */
struct road {
    struct tunnel *tunnel; /* borrowed */
    uint64_t node;
    struct dz_duct *duct; /* owned */
};

/* One kind of request, of which one at a time is under way. */
struct errand {
    struct tunnel *tunnel;
    bool is_asking;
    dz_us began, at; /* not before that */
    unsigned tries;  /* that failed, since one did not */
    struct dz_timer timer;
};

struct tunnel {
    struct dz_loop *loop; /* borrowed */
    char *url, *uri;      /* owned */
    uint64_t node;
    struct dz_keys keys;
    struct tunnel_ops ops;
    struct client client;
    struct dz_map roads; /* node -> struct road, owned */
    struct errand send, fetch;
    struct dz_buf out, batch; /* letters that wait; those that are on their way */
    uint64_t life, number;    /* of this object, of the batch */
    uint64_t box, after;      /* what has been fetched */
    dz_us listen_until;
    bool is_refused_told;
};

static void send_letters(void *arg);
static void fetch_letters(void *arg);

/* ------------------------------------------------------------------ roads */

static void
on_letter(void *arg, struct dz_slice letter)
{
    struct road *road = arg;
    struct tunnel *self = road->tunnel;
    if (self->out.len >= TUNNEL_OUT_MAX)
        return; /* lost, as on any way */
    dz_letter_add(&self->out, road->node, letter);
    if (!self->send.is_asking) /* with what else is said in this turn */
        dz_loop_set(self->loop, &self->send.timer, dz_clock_us());
}

static void
on_frame(void *arg, struct dz_slice frame)
{
    const struct road *road = arg;
    road->tunnel->ops.frame(road->tunnel->ops.arg, road->node, frame);
}

/* NULL: with such a node nothing is spoken. */
static struct road *
road_to(struct tunnel *self, uint64_t node)
{
    const struct dz_key *key = self->ops.key(self->ops.arg, node);
    struct road *road = dz_map_get(&self->roads, node);
    if (!key || road || self->roads.len >= TUNNEL_ROADS_MAX)
        return key ? road : NULL;
    road = dz_alloc0(1, sizeof(*road));
    road->tunnel = self;
    road->node = node;
    struct dz_duct_ops ops = { .letter = on_letter, .frame = on_frame, .arg = road };
    if (dz_duct_new(&self->keys, key, &ops, &road->duct) != DZ_OK) {
        free(road);
        return NULL;
    }
    (void) dz_map_put(&self->roads, node, road); /* there was none */
    return road;
}

/* ------------------------------------------------------------------ requests */

static void
add_number(struct dz_buf *url, const char *name, uint64_t number)
{
    dz_buf_addf(url, "&%s=%" PRIx64, name, number);
}

static bool
ask(struct errand *errand, struct dz_http_ask *ask, struct dz_buf *url)
{
    struct tunnel *self = errand->tunnel;
    struct dz_err err;
    dz_buf_add(url, "", 1);
    ask->url = (const char *) url->data;
    ask->arg = errand;
    errand->began = dz_clock_us();
    errand->at = errand->began + PACE_US;
    errand->is_asking = dz_http_ask(self->client.http, ask, &err) == DZ_OK;
    if (!errand->is_asking)
        log_warn("tunnel.ask", "why=%s", err.text);
    return errand->is_asking;
}

static void
begin_url(const struct tunnel *self, struct dz_buf *out)
{
    dz_buf_addf(out, "%s?project=", self->url);
    dz_url_add(out, self->uri);
    add_number(out, "node", self->node);
}

/* When it may be asked again. */
static void
note_failure(struct errand *errand, const struct dz_http_answer *answer)
{
    struct tunnel *self = errand->tunnel;
    dz_us now = dz_clock_us();
    bool is_passing = answer->status == 200 || dz_http_is_passing(answer);
    dz_ms wait_ms = dz_http_backoff(++errand->tries, RETRY_FIRST_MS, RETRY_MOST_MS);
    errand->at = now + (is_passing ? wait_ms * 1000 : REFUSED_US);
    if (is_passing || self->is_refused_told)
        log_debug("tunnel.retry", "status=%d why=%s", answer->status, answer->why);
    else
        log_warn("tunnel.refused", "status=%d", answer->status);
    self->is_refused_told = self->is_refused_told || !is_passing;
}

/* ------------------------------------------------------------------ sending */

bool
tunnel_is_idle(const struct tunnel *self)
{
    return self->out.len == 0 && self->batch.len == 0;
}

static void
on_sent(void *arg, const struct dz_http_answer *answer)
{
    struct errand *errand = arg;
    struct tunnel *self = errand->tunnel;
    errand->is_asking = false;
    if (answer->status == 200)
        errand->tries = 0;
    else
        note_failure(errand, answer);
    if (answer->status == 200 || !dz_http_is_passing(answer))
        dz_buf_clear(&self->batch);
    if (tunnel_is_idle(self))
        self->ops.idle(self->ops.arg);
    else
        send_letters(errand);
}

/* A batch that may have been taken is sent again as it was. */
static void
send_letters(void *arg)
{
    struct errand *errand = arg;
    struct tunnel *self = errand->tunnel;
    DZ_AUTO(dz_buf_fini) struct dz_buf url = { 0 };
    if (errand->is_asking || tunnel_is_idle(self))
        return;
    if (dz_clock_us() < errand->at) {
        dz_loop_set(self->loop, &errand->timer, errand->at);
        return;
    }
    if (self->batch.len == 0) {
        struct dz_buf empty = self->batch;
        self->batch = self->out;
        self->out = empty;
        self->number++;
    }
    begin_url(self, &url);
    add_number(&url, "life", self->life);
    dz_buf_addf(&url, "&batch=%" PRIu64, self->number);
    struct dz_http_ask what = { .method = "POST",
                                .type = LETTERS_TYPE,
                                .body = dz_buf_slice(&self->batch),
                                .answer_max = RECEIPT_MAX,
                                .timeout_ms = SEND_MS,
                                .fn = on_sent };
    if (!ask(errand, &what, &url))
        dz_buf_clear(&self->batch);
}

void
tunnel_send(struct tunnel *self, uint64_t node, struct dz_slice frame)
{
    struct road *road = road_to(self, node);
    if (!road)
        return;
    (void) dz_duct_send(road->duct, frame, dz_clock_us()); /* dropped: said again */
    tunnel_listen(self);
}

/* ------------------------------------------------------------------ fetching */

static void
take_letters(struct tunnel *self, struct dz_slice body)
{
    struct dz_slice rest = { body.ptr + ANSWER_HEAD, body.len - ANSWER_HEAD }, letter;
    uint64_t node;
    while (dz_letter_next(&rest, &node, &letter) == DZ_OK) {
        if (dz_slice_eq(letter, DZ_LETTER_LEFT)) {
            self->ops.left(self->ops.arg, node);
            continue;
        }
        struct road *road = road_to(self, node);
        if (road && dz_duct_take(road->duct, letter, dz_clock_us()) != DZ_OK)
            log_debug("tunnel.letter", "node=%016" PRIx64,
                      node); /* of an earlier session, mostly */
    }
}

static void
on_fetched(void *arg, const struct dz_http_answer *answer)
{
    struct errand *errand = arg;
    struct tunnel *self = errand->tunnel;
    dz_us now = dz_clock_us();
    errand->is_asking = false;
    bool is_good = answer->status == 200 && answer->body.len >= ANSWER_HEAD;
    bool is_empty = is_good && answer->body.len == ANSWER_HEAD;
    if (!is_good || (is_empty && now - errand->began < QUICK_US)) {
        note_failure(errand, answer);
    } else {
        errand->tries = 0;
        self->box = dz_uint_get(answer->body.ptr, NUMBER_LEN);
        self->after = dz_uint_get(answer->body.ptr + NUMBER_LEN, NUMBER_LEN);
    }
    if (is_good && !is_empty) {
        tunnel_listen(self);
        take_letters(self, answer->body);
    }
    fetch_letters(errand);
}

static void
fetch_letters(void *arg)
{
    struct errand *errand = arg;
    struct tunnel *self = errand->tunnel;
    DZ_AUTO(dz_buf_fini) struct dz_buf url = { 0 };
    dz_us now = dz_clock_us();
    if (errand->is_asking || now >= self->listen_until)
        return;
    if (now < errand->at) {
        dz_loop_set(self->loop, &errand->timer, errand->at);
        return;
    }
    begin_url(self, &url);
    add_number(&url, "box", self->box);
    dz_buf_addf(&url, "&after=%" PRIu64 "&wait_ms=%d", self->after, (int) WAIT_MS);
    struct dz_http_ask what = { .method = "GET",
                                .answer_max = ANSWER_MAX,
                                .timeout_ms = WAIT_MS + GRACE_MS,
                                .fn = on_fetched };
    if (!ask(errand, &what, &url))
        dz_loop_set(self->loop, &errand->timer, now + RETRY_MOST_MS * 1000);
}

void
tunnel_listen(struct tunnel *self)
{
    self->listen_until = dz_clock_us() + TUNNEL_LISTEN_US;
    if (!self->fetch.is_asking && self->fetch.timer.at == 0)
        fetch_letters(&self->fetch);
}

/* ------------------------------------------------------------------ life */

enum dz_rc
tunnel_new(const struct tunnel_cfg *cfg, struct tunnel **self_out, struct dz_err *err)
{
    DZ_AUTO(tunnel_destroy) struct tunnel *self = dz_alloc0(1, sizeof(*self));
    uint8_t chance[DZ_SEAL_NONCE];
    self->loop = cfg->loop;
    self->url = dz_strdup(cfg->url);
    self->uri = dz_strdup(cfg->uri);
    self->node = cfg->node;
    self->keys = *cfg->keys;
    self->ops = cfg->ops;
    dz_seal_chance(chance);
    self->life = dz_uint_get(chance, NUMBER_LEN);
    self->send = (struct errand){ .tunnel = self };
    self->fetch = (struct errand){ .tunnel = self };
    self->send.timer = (struct dz_timer){ .fn = send_letters, .arg = &self->send };
    self->fetch.timer = (struct dz_timer){ .fn = fetch_letters, .arg = &self->fetch };
    enum dz_rc rc = client_open(&self->client, cfg->loop, NULL, NULL, err);
    if (rc == DZ_OK)
        *self_out = dz_move(self);
    return rc;
}

void
tunnel_destroy(struct tunnel **self_p)
{
    struct tunnel *self = dz_move(*self_p);
    uint64_t node = 0;
    void *value = NULL;
    if (!self)
        return;
    client_close(&self->client); /* nothing is answered any more */
    dz_loop_unset(self->loop, &self->send.timer);
    dz_loop_unset(self->loop, &self->fetch.timer);
    for (size_t at = 0; dz_map_next(&self->roads, &at, &node, &value);) {
        struct road *road = value;
        dz_duct_destroy(&road->duct);
        free(road);
    }
    dz_map_fini(&self->roads);
    dz_buf_fini(&self->out);
    dz_buf_fini(&self->batch);
    dz_keys_forget(&self->keys);
    free(self->url);
    free(self->uri);
    free(self);
}
