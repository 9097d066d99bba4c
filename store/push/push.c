#include "store/push/push.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"

enum {
    LINES_US = 40 * 1000,   /* lines wait so long for company */
    GATHER_US = 250 * 1000, /* other news do */
    BEAT_US = 12 * 1000000, /* a live job says something so often */
    ASK_MS = 15 * 1000,     /* one request, all of it */
    ANSWER_MAX = 64 << 10,
    RETRY_FIRST_MS = 100,
    RETRY_MOST_MS = 5000,
    PACE_MAX_MS = 10 * 1000,
    SOFT_LEAST = 4 << 10, /* a server that finds this too large takes nothing */
    BAD_MAX = 5,          /* answers in a row that say the parcel is bad */
};

struct push {
    struct push_cfg cfg;
    char *url; /* owned, as are the next */
    struct store_outbox *outbox;
    struct dz_buf parcel; /* what is being sent */
    enum push_state state;
    struct store_at total, after; /* after: when the parcel under way is taken */
    bool is_sealed_here, is_asking, is_alone;
    bool has_receipt;
    bool is_witnessed_here, is_witness_sent, is_witness_there;
    bool has_lines; /* since the last parcel was made */
    struct store_receipt receipt;
    size_t soft;
    unsigned tries, bads;
    dz_us at, heard, moved;
    char why[256];
};

static void on_answer(void *arg, const struct dz_http_answer *answer);

enum dz_rc
push_new(const struct push_cfg *cfg, struct push **self_out, struct dz_err *err)
{
    DZ_AUTO(push_destroy) struct push *self = dz_alloc0(1, sizeof(*self));
    struct dz_buf url = { 0 };
    self->cfg = *cfg;
    self->soft = STORE_PARCEL_SOFT;
    dz_buf_addf(&url, "%s/api/v1/jobs/%s/records", cfg->url, cfg->ulid);
    dz_buf_add(&url, "", 1);
    self->url = (char *) url.data;
    enum dz_rc rc = store_outbox_open(cfg->store, cfg->ulid, &self->outbox, err);
    if (rc != DZ_OK)
        return rc;
    self->at = dz_clock_us();
    *self_out = dz_move(self);
    return DZ_OK;
}

void
push_destroy(struct push **self_p)
{
    struct push *self = dz_move(*self_p);
    if (!self)
        return;
    if (self->is_asking)
        dz_http_drop(self->cfg.http, self);
    store_outbox_close(&self->outbox);
    dz_buf_fini(&self->parcel);
    free(self->url);
    free(self);
}

/* ------------------------------------------------------------------ states */

static void
change(struct push *self, enum push_state state)
{
    self->state = state;
    if (state == PUSH_DONE || state == PUSH_REFUSED)
        self->at = 0;
    if (self->cfg.on_change)
        self->cfg.on_change(self->cfg.arg);
}

static void
refuse(struct push *self, const char *why)
{
    (void) snprintf(self->why, sizeof(self->why), "%s", why);
    change(self, PUSH_REFUSED);
}

static void
try_later(struct push *self, const char *why, dz_ms at_least_ms)
{
    dz_ms wait = dz_http_backoff(++self->tries, RETRY_FIRST_MS, RETRY_MOST_MS);
    if (wait < at_least_ms)
        wait = at_least_ms;
    (void) snprintf(self->why, sizeof(self->why), "%s", why);
    self->at = dz_clock_us() + wait * 1000;
    change(self, PUSH_BUSY);
}

/* What was noted of the job's seal goes with any parcel. */
static bool
owes_witness(const struct push *self)
{
    return self->is_witnessed_here && !self->is_witness_there;
}

static bool
is_all_there(const struct push *self)
{
    if (owes_witness(self))
        return false;
    if (!self->has_receipt || self->receipt.is_sealed != self->is_sealed_here)
        return self->has_receipt && self->receipt.is_sealed && !self->is_sealed_here &&
               store_at_eq(&self->total, &self->receipt.at);
    for (unsigned i = 0; i < STORE_STREAMS; i++)
        if (self->receipt.at.count[i] < self->total.count[i])
            return false;
    return true;
}

/* ------------------------------------------------------------------ asking */

static bool
measure(struct push *self)
{
    struct dz_err err;
    if (store_outbox_total(self->outbox, &self->total, &self->is_sealed_here, &err) == DZ_OK) {
        self->is_witnessed_here = store_outbox_is_witnessed(self->outbox);
        return true;
    }
    refuse(self, err.text);
    return false;
}

static void
ask(struct push *self)
{
    struct dz_err err;
    struct store_at from = self->receipt.at;
    unsigned flags = (self->cfg.is_live ? STORE_IS_LIVE : 0U) |
                     (self->has_receipt ? 0U : STORE_HELLO) |
                     (self->receipt.wants_list ? STORE_WITH_LIST : 0U);
    dz_buf_clear(&self->parcel);
    enum dz_rc rc = store_outbox_next(self->outbox, &from, flags, self->soft, &self->parcel,
                                      &self->after, &err);
    if (rc != DZ_OK) {
        refuse(self, err.text);
        return;
    }
    struct dz_http_ask asked = { .method = "POST",
                                 .url = self->url,
                                 .type = STORE_PARCEL_TYPE,
                                 .body = dz_buf_slice(&self->parcel),
                                 .answer_max = ANSWER_MAX,
                                 .timeout_ms = ASK_MS,
                                 .fn = on_answer,
                                 .arg = self };
    self->at = 0;
    self->has_lines = false;
    self->is_witness_sent = self->is_witnessed_here;
    rc = dz_http_ask(self->cfg.http, &asked, &err);
    self->is_asking = rc == DZ_OK;
    if (rc == DZ_LIMIT)
        try_later(self, err.text, 0);
    else if (rc != DZ_OK)
        refuse(self, err.text);
}

void
push_step(struct push *self, dz_us now)
{
    if (self->is_asking || self->at == 0 || self->at > now || self->state >= PUSH_DONE)
        return;
    if (measure(self))
        ask(self);
}

static dz_us
patience(const struct push *self)
{
    return self->has_lines ? LINES_US : GATHER_US;
}

void
push_poke(struct push *self, enum push_news news)
{
    if (self->state >= PUSH_DONE)
        return;
    self->has_lines |= news == PUSH_LINES;
    dz_us at = dz_clock_us() + patience(self);
    bool may_hasten = self->tries == 0 && self->receipt.pace_ms == 0;
    if (self->state == PUSH_IDLE || (may_hasten && self->at > at))
        self->at = at;
    self->state = PUSH_BUSY;
}

void
push_leave(struct push *self)
{
    self->cfg.is_live = false;
}

void
push_hurry(struct push *self)
{
    if (self->state >= PUSH_DONE || self->is_asking)
        return;
    self->state = PUSH_BUSY;
    self->at = dz_clock_us();
}

/* ------------------------------------------------------------------ answers */

static bool
has_advanced(const struct store_receipt *before, const struct store_receipt *now, bool had)
{
    return !had || !store_at_eq(&before->at, &now->at) || now->is_sealed != before->is_sealed ||
           (now->wants_list && !before->wants_list);
}

static void
take_receipt(struct push *self, const struct store_receipt *receipt)
{
    bool is_news = has_advanced(&self->receipt, receipt, self->has_receipt);
    dz_us pace_us =
        (dz_us) (receipt->pace_ms < PACE_MAX_MS ? receipt->pace_ms : PACE_MAX_MS) * 1000;
    self->receipt = *receipt;
    self->has_receipt = true;
    self->is_witness_there = self->is_witness_sent;
    self->heard = dz_clock_us();
    self->moved = is_news ? self->heard : self->moved;
    self->is_alone = false;
    self->bads = 0;
    if (!measure(self))
        return;
    if (is_all_there(self)) {
        self->tries = 0;
        self->why[0] = '\0';
        self->at = self->heard + BEAT_US;
        change(self, self->is_sealed_here || !self->cfg.is_live ? PUSH_DONE : PUSH_IDLE);
        return;
    }
    if (!is_news && !owes_witness(self)) {
        try_later(self, "the server takes nothing", (dz_ms) (pace_us / 1000));
        return;
    }
    self->tries = 0;
    self->why[0] = '\0';
    bool is_hurried =
        !self->cfg.is_live || self->is_sealed_here || receipt->wants_list ||
        self->total.count[STREAM_RESULTS] - receipt->at.count[STREAM_RESULTS] > STORE_BATCH_MAX;
    self->at = self->heard + (pace_us > 0 ? pace_us : is_hurried ? 1 : patience(self));
    change(self, PUSH_BUSY);
}

/* What a problem document says, for people; else the status. */
static void
explain(const struct dz_http_answer *answer, char *out, size_t size)
{
    static const char key[] = "\"detail\":\"";
    const char *text = answer->body.len ? (const char *) answer->body.ptr : "";
    const char *found = answer->body.len ? memmem(text, answer->body.len, key, strlen(key)) : NULL;
    int len = 0;
    if (found) {
        found += strlen(key);
        while (found + len < text + answer->body.len && found[len] >= ' ' && found[len] != '"' &&
               found[len] != '\\' && len < 160)
            len++;
    }
    (void) snprintf(out, size, "the server answered %d%s%.*s", answer->status, len ? ": " : "", len,
                    found ? found : "");
}

/* An answer that is no receipt, and that will be none however often it is asked for. */
static void
take_refusal(struct push *self, const struct dz_http_answer *answer)
{
    char why[256];
    explain(answer, why, sizeof(why));
    if (answer->status == 413 && self->soft > SOFT_LEAST) {
        self->soft /= 4; /* perhaps less is taken */
        try_later(self, why, 0);
    } else if (answer->status == 400 && ++self->bads < BAD_MAX) {
        try_later(self, why, 0); /* damaged on its way, perhaps */
    } else {
        refuse(self, why);
    }
}

static void
on_answer(void *arg, const struct dz_http_answer *answer)
{
    struct push *self = arg;
    struct store_receipt receipt;
    struct dz_err err;
    char why[256];
    self->is_asking = false;
    if (answer->status == 0) {
        self->is_alone = answer->rc == DZ_CLOSED;
        if (dz_http_is_passing(answer))
            try_later(self, answer->why, 0);
        else
            refuse(self, answer->why);
        return;
    }
    self->is_alone = false;
    explain(answer, why, sizeof(why));
    if (answer->status == 200 || answer->status == 201) {
        if (store_receipt_read(answer->body, &receipt, &err) == DZ_OK)
            take_receipt(self, &receipt);
        else
            try_later(self, err.text, answer->retry_after_ms);
    } else if (dz_http_is_passing(answer)) {
        try_later(self, why, answer->retry_after_ms);
    } else {
        take_refusal(self, answer);
    }
}

/* ------------------------------------------------------------------ looking */

dz_us
push_at(const struct push *self)
{
    return self->is_asking || self->state >= PUSH_DONE ? 0 : self->at;
}

enum push_state
push_state(const struct push *self)
{
    return self->state;
}

const struct store_receipt *
push_receipt(const struct push *self)
{
    return self->has_receipt ? &self->receipt : NULL;
}

uint64_t
push_pending(const struct push *self)
{
    struct store_at total = self->total;
    struct dz_err err;
    bool is_sealed = false;
    if (store_outbox_total(self->outbox, &total, &is_sealed, &err) != DZ_OK)
        total = self->total; /* as it was last seen */
    uint64_t there = self->receipt.at.count[STREAM_RESULTS], here = total.count[STREAM_RESULTS];
    return here > there ? here - there : 0;
}

dz_us
push_heard(const struct push *self)
{
    return self->heard;
}

dz_us
push_moved(const struct push *self)
{
    return self->moved;
}

const char *
push_why(const struct push *self)
{
    return self->why;
}

bool
push_is_alone(const struct push *self)
{
    return self->is_alone;
}

bool
push_is_asking(const struct push *self)
{
    return self->is_asking;
}
