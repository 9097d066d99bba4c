#include "shared/net/duct.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/bytes.h"
#include "shared/net/seal.h"

enum kind { OPEN = 1, ACCEPT, DATA, GRANT, LOST };

enum {
    TAG_LEN = 8, /* of a session: the beginning of the answerer's half */
    NUMBER_LEN = 8,
    DATA_HEAD = 1 + TAG_LEN + NUMBER_LEN + NUMBER_LEN,
    GRANT_EVERY = DZ_DUCT_WINDOW / 4,
};

/* A frame that waits. */
struct waiting {
    struct waiting *next;
    size_t len;
    uint8_t bytes[];
};

/* What we say. */
struct speaking {
    struct dz_keys half;
    struct dz_seal_session seal;
    uint8_t tag[TAG_LEN];
    bool is_open, is_asked; /* asked: OPEN was said */
    dz_us asked_at;         /* or since when nothing was granted */
    uint64_t number, sent, granted;
    uint64_t grant_number;
    struct waiting *first, **last_p;
    size_t waiting;
};

/* What we hear. */
struct hearing {
    struct dz_seal_session seal;
    uint8_t tag[TAG_LEN];
    bool is_there;
    uint64_t number, taken, told; /* told: GRANTed */
    uint64_t grant_number;
};

struct dz_duct {
    struct dz_duct_ops ops;
    struct dz_seal mine, theirs; /* for what each of us says outside of a session */
    struct speaking out;
    struct hearing in, next; /* next: accepted, and nothing was said in it yet */
};

/* ------------------------------------------------------------------ outside of a session */

static void
say(struct dz_duct *self, enum kind kind, struct dz_slice text)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf letter = { 0 };
    uint8_t head = (uint8_t) kind, nonce[DZ_SEAL_NONCE];
    dz_seal_chance(nonce);
    dz_buf_add(&letter, &head, 1);
    dz_buf_add(&letter, nonce, sizeof(nonce));
    dz_seal_close(&self->mine, nonce, (struct dz_slice){ &head, 1 }, text, &letter);
    self->ops.letter(self->ops.arg, dz_buf_slice(&letter));
}

/* Its text, which must have this length. */
static enum dz_rc
hear(const struct dz_duct *self, struct dz_slice letter, size_t len, uint8_t *text_out)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    if (letter.len != 1 + DZ_SEAL_NONCE + len + DZ_SEAL_MORE)
        return DZ_CORRUPT;
    struct dz_slice head = { letter.ptr, 1 };
    struct dz_slice sealed = { letter.ptr + 1 + DZ_SEAL_NONCE, letter.len - 1 - DZ_SEAL_NONCE };
    enum dz_rc rc = dz_seal_open(&self->theirs, letter.ptr + 1, head, sealed, &text);
    if (rc == DZ_OK)
        memcpy(text_out, text.data, len);
    return rc;
}

/* ------------------------------------------------------------------ speaking */

static void
nonce_of(uint64_t number, uint8_t out[static DZ_SEAL_NONCE])
{
    memset(out, 0, DZ_SEAL_NONCE);
    dz_uint_put(number, NUMBER_LEN, out);
}

static void
say_data(struct dz_duct *self, struct dz_slice frame)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf letter = { 0 };
    struct speaking *out = &self->out;
    uint8_t head[DATA_HEAD] = { DATA }, nonce[DZ_SEAL_NONCE];
    memcpy(head + 1, out->tag, TAG_LEN);
    dz_uint_put(++out->number, NUMBER_LEN, head + 1 + TAG_LEN);
    dz_uint_put(out->sent, NUMBER_LEN, head + 1 + TAG_LEN + NUMBER_LEN);
    nonce_of(out->number, nonce);
    dz_buf_add(&letter, head, sizeof(head));
    dz_seal_close(&out->seal.there, nonce, (struct dz_slice){ head, sizeof(head) }, frame, &letter);
    out->sent += frame.len;
    self->ops.letter(self->ops.arg, dz_buf_slice(&letter));
}

static void
ask_session(struct dz_duct *self, dz_us now)
{
    struct speaking *out = &self->out;
    dz_seal_half(&out->half);
    out->is_open = false;
    out->is_asked = true;
    out->asked_at = now;
    say(self, OPEN, (struct dz_slice){ out->half.public.bytes, DZ_KEY_LEN });
}

static bool
has_credit(const struct speaking *out, size_t len)
{
    uint64_t flying = out->sent - out->granted;
    return flying == 0 || flying + len <= DZ_DUCT_WINDOW;
}

static void
say_waiting(struct dz_duct *self, dz_us now)
{
    struct speaking *out = &self->out;
    while (out->is_open && out->first && has_credit(out, out->first->len)) {
        struct waiting *one = out->first;
        if (out->sent == out->granted)
            out->asked_at = now; /* a GRANT is due from now on */
        out->first = one->next;
        out->last_p = out->first ? out->last_p : &out->first;
        out->waiting -= one->len;
        say_data(self, (struct dz_slice){ one->bytes, one->len });
        free(one);
    }
}

enum dz_rc
dz_duct_send(struct dz_duct *self, struct dz_slice frame, dz_us now)
{
    struct speaking *out = &self->out;
    if (frame.len == 0 || frame.len > DZ_DUCT_FRAME_MAX)
        return DZ_LIMIT;
    bool is_stuck = out->is_asked && (!out->is_open || (out->first != NULL)) &&
                    now - out->asked_at >= DZ_DUCT_AGAIN_US;
    if (!out->is_asked || is_stuck)
        ask_session(self, now);
    if (out->waiting + frame.len > DZ_DUCT_WAITING)
        return DZ_FULL;
    struct waiting *one = dz_alloc0(1, sizeof(*one) + frame.len);
    one->len = frame.len;
    memcpy(one->bytes, frame.ptr, frame.len);
    *out->last_p = one;
    out->last_p = &one->next;
    out->waiting += frame.len;
    say_waiting(self, now);
    return DZ_OK;
}

static enum dz_rc
take_accept(struct dz_duct *self, struct dz_slice letter, dz_us now)
{
    struct speaking *out = &self->out;
    uint8_t text[2 * DZ_KEY_LEN];
    struct dz_key theirs;
    enum dz_rc rc = hear(self, letter, sizeof(text), text);
    if (rc != DZ_OK)
        return rc;
    bool is_ours = memcmp(text + DZ_KEY_LEN, out->half.public.bytes, DZ_KEY_LEN) == 0;
    if (!out->is_asked || out->is_open || !is_ours)
        return DZ_CORRUPT;
    memcpy(theirs.bytes, text, DZ_KEY_LEN);
    rc = dz_seal_session(&self->mine, &out->half, &theirs, true, &out->seal);
    if (rc != DZ_OK)
        return rc;
    dz_keys_forget(&out->half);
    memcpy(out->tag, theirs.bytes, TAG_LEN);
    out->number = out->sent = out->granted = out->grant_number = 0;
    out->is_open = true;
    out->asked_at = now;
    say_waiting(self, now);
    return DZ_OK;
}

static enum dz_rc
take_grant(struct dz_duct *self, struct dz_slice letter, dz_us now)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    struct speaking *out = &self->out;
    uint8_t nonce[DZ_SEAL_NONCE];
    const size_t head_len = 1 + TAG_LEN + NUMBER_LEN;
    if (letter.len != head_len + NUMBER_LEN + DZ_SEAL_MORE || !out->is_open ||
        memcmp(letter.ptr + 1, out->tag, TAG_LEN) != 0)
        return DZ_CORRUPT;
    uint64_t number = dz_uint_get(letter.ptr + 1 + TAG_LEN, NUMBER_LEN);
    nonce_of(number, nonce);
    struct dz_slice sealed = { letter.ptr + head_len, letter.len - head_len };
    enum dz_rc rc = dz_seal_open(&out->seal.back, nonce, (struct dz_slice){ letter.ptr, head_len },
                                 sealed, &text);
    if (rc != DZ_OK)
        return rc;
    uint64_t granted = dz_uint_get(text.data, NUMBER_LEN);
    if (number <= out->grant_number || granted < out->granted || granted > out->sent)
        return DZ_CORRUPT;
    out->grant_number = number;
    out->granted = granted;
    out->asked_at = now;
    say_waiting(self, now);
    return DZ_OK;
}

static enum dz_rc
take_lost(struct dz_duct *self, struct dz_slice letter, dz_us now)
{
    uint8_t tag[TAG_LEN];
    enum dz_rc rc = hear(self, letter, TAG_LEN, tag);
    if (rc != DZ_OK)
        return rc;
    if (!self->out.is_open || memcmp(tag, self->out.tag, TAG_LEN) != 0)
        return DZ_CORRUPT;
    ask_session(self, now);
    return DZ_OK;
}

/* ------------------------------------------------------------------ hearing */

static enum dz_rc
take_open(struct dz_duct *self, struct dz_slice letter)
{
    uint8_t text[2 * DZ_KEY_LEN];
    struct hearing next = { .is_there = true };
    struct dz_keys half;
    struct dz_key theirs;
    enum dz_rc rc = hear(self, letter, DZ_KEY_LEN, theirs.bytes);
    if (rc != DZ_OK)
        return rc;
    dz_seal_half(&half);
    rc = dz_seal_session(&self->theirs, &half, &theirs, false, &next.seal);
    dz_keys_forget(&half);
    if (rc != DZ_OK)
        return rc;
    memcpy(next.tag, half.public.bytes, TAG_LEN);
    self->next = next;
    memcpy(text, half.public.bytes, DZ_KEY_LEN);
    memcpy(text + DZ_KEY_LEN, theirs.bytes, DZ_KEY_LEN);
    say(self, ACCEPT, (struct dz_slice){ text, sizeof(text) });
    return DZ_OK;
}

static struct hearing *
session_of(struct dz_duct *self, const uint8_t *tag)
{
    struct hearing *const both[] = { &self->in, &self->next };
    for (size_t i = 0; i < DZ_LEN(both); i++)
        if (both[i]->is_there && memcmp(both[i]->tag, tag, TAG_LEN) == 0)
            return both[i];
    return NULL;
}

static void
say_grant(struct dz_duct *self)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf letter = { 0 };
    struct hearing *in = &self->in;
    uint8_t head[1 + TAG_LEN + NUMBER_LEN] = { GRANT }, nonce[DZ_SEAL_NONCE], text[NUMBER_LEN];
    memcpy(head + 1, in->tag, TAG_LEN);
    dz_uint_put(++in->grant_number, NUMBER_LEN, head + 1 + TAG_LEN);
    dz_uint_put(in->taken, NUMBER_LEN, text);
    nonce_of(in->grant_number, nonce);
    dz_buf_add(&letter, head, sizeof(head));
    dz_seal_close(&in->seal.back, nonce, (struct dz_slice){ head, sizeof(head) },
                  (struct dz_slice){ text, sizeof(text) }, &letter);
    in->told = in->taken;
    self->ops.letter(self->ops.arg, dz_buf_slice(&letter));
}

static enum dz_rc
take_data(struct dz_duct *self, struct dz_slice letter)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf frame = { 0 };
    uint8_t nonce[DZ_SEAL_NONCE];
    if (letter.len <= DATA_HEAD + DZ_SEAL_MORE)
        return DZ_CORRUPT;
    struct hearing *in = session_of(self, letter.ptr + 1);
    if (!in) {
        say(self, LOST, (struct dz_slice){ letter.ptr + 1, TAG_LEN });
        return DZ_CORRUPT;
    }
    uint64_t number = dz_uint_get(letter.ptr + 1 + TAG_LEN, NUMBER_LEN);
    uint64_t before = dz_uint_get(letter.ptr + 1 + TAG_LEN + NUMBER_LEN, NUMBER_LEN);
    nonce_of(number, nonce);
    struct dz_slice head = { letter.ptr, DATA_HEAD };
    struct dz_slice sealed = { letter.ptr + DATA_HEAD, letter.len - DATA_HEAD };
    enum dz_rc rc = number > in->number ? dz_seal_open(&in->seal.there, nonce, head, sealed, &frame)
                                        : DZ_CORRUPT;
    if (rc != DZ_OK)
        return rc;
    if (in == &self->next) {
        self->in = self->next;
        self->next = (struct hearing){ 0 };
    }
    self->in.number = number;
    self->in.taken = before + frame.len;
    if (self->in.taken - self->in.told >= GRANT_EVERY)
        say_grant(self);
    self->ops.frame(self->ops.arg, dz_buf_slice(&frame));
    return DZ_OK;
}

enum dz_rc
dz_duct_take(struct dz_duct *self, struct dz_slice letter, dz_us now)
{
    switch (letter.len > 0 ? letter.ptr[0] : 0) {
    case OPEN: return take_open(self, letter);
    case ACCEPT: return take_accept(self, letter, now);
    case DATA: return take_data(self, letter);
    case GRANT: return take_grant(self, letter, now);
    case LOST: return take_lost(self, letter, now);
    default: return DZ_CORRUPT;
    }
}

size_t
dz_duct_held(const struct dz_duct *self)
{
    return self->out.waiting + (size_t) (self->out.sent - self->out.granted);
}

/* ------------------------------------------------------------------ life */

enum dz_rc
dz_duct_new(const struct dz_keys *mine, const struct dz_key *theirs, const struct dz_duct_ops *ops,
            struct dz_duct **self_out)
{
    DZ_AUTO(dz_duct_destroy) struct dz_duct *self = dz_alloc0(1, sizeof(*self));
    self->ops = *ops;
    self->out.last_p = &self->out.first;
    enum dz_rc rc = dz_seal_static(mine, theirs, true, &self->mine);
    if (rc == DZ_OK)
        rc = dz_seal_static(mine, theirs, false, &self->theirs);
    if (rc == DZ_OK)
        *self_out = dz_move(self);
    return rc;
}

void
dz_duct_destroy(struct dz_duct **self_p)
{
    struct dz_duct *self = dz_move(*self_p);
    if (!self)
        return;
    while (self->out.first) {
        struct waiting *one = self->out.first;
        self->out.first = one->next;
        free(one);
    }
    dz_seal_forget(self, sizeof(*self));
    free(self);
}
