#include "vassal/lobby.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/map.h"
#include "store/push/meeting.h"
#include "vassal/client.h"

enum {
    ENTER_TRIES = 2,
    BUSY_TRIES =
        20, /* of a store that is there, and answers that it has too much to do: half a minute */
    BUSY_FIRST_MS = 200,
    BUSY_MOST_MS = 3000,
    SMALL_JOB = 64, /* nodes that all know each other */
    TELL_MS = 2000,
    TELL_AGAIN_US = 300 * 1000,
    KNOCK_AGAIN_US = 500 * 1000,
    ROLL_MS = 2000,
    ROLL_EVERY_US = 100 * 1000, /* however many knock */
    ANSWER_MAX = 64 << 10,
    ROLL_MAX = 4 << 20,
};

/* One kind of request, of which one at a time is under way. */
struct errand {
    struct lobby *lobby;
    const char *verb; /* "lease" */
    struct dz_buf body;
    bool is_asking, is_due; /* due: to be asked, again perhaps */
};

struct lobby {
    struct dz_loop *loop; /* borrowed */
    char *url, *uri;      /* owned */
    struct dz_buf key, contact;
    char name[DZ_MEETING_NAME + 1]; /* the meeting's, at the store */
    uint64_t node;
    dz_ms try_ms;
    void (*on_wait)(void *wait_arg);
    void *wait_arg;
    struct lobby_ops ops;
    struct client client;
    struct errand lease, seal, end, roll, back;
    uint64_t number; /* of the lease's question */
    bool is_renewal; /* the question is of who schedules */
    struct dz_timer again, look, knock;
    struct meeting_roll known;
    unsigned count;        /* members that have not left, as was last heard */
    struct dz_map members; /* node -> the round in which it was seen last, as a pointer */
    uintptr_t round;
    dz_us looked_at;
    uint32_t skip;
};

/* ------------------------------------------------------------------ names */

static void
add_url(const struct lobby *self, const char *verb, struct dz_buf *out)
{
    dz_buf_addf(out, "%s/api/v1/meetings/%s/%s", self->url, self->name, verb);
}

void
lobby_letters_url(const struct lobby *self, struct dz_buf *out)
{
    add_url(self, "letters", out);
}

/* ------------------------------------------------------------------ asking */

static bool
send(struct errand *errand, const char *method, dz_ms timeout_ms, size_t answer_max,
     void (*fn)(void *arg, const struct dz_http_answer *answer))
{
    struct lobby *self = errand->lobby;
    DZ_AUTO(dz_buf_fini) struct dz_buf url = { 0 };
    struct dz_err err;
    add_url(self, errand->verb, &url);
    if (errand == &self->roll) {
        dz_buf_addf(&url, "?skip=%" PRIu32 "&project=", self->skip);
        dz_url_add(&url, self->uri);
    }
    dz_buf_add(&url, "", 1);
    struct dz_http_ask ask = { .method = method,
                               .url = (const char *) url.data,
                               .type = "application/json",
                               .body = dz_buf_slice(&errand->body),
                               .answer_max = answer_max,
                               .timeout_ms = timeout_ms,
                               .fn = fn,
                               .arg = errand };
    errand->is_asking = dz_http_ask(self->client.http, &ask, &err) == DZ_OK;
    if (!errand->is_asking)
        log_warn("lobby.ask", "what=%s why=%s", errand->verb, err.text);
    return errand->is_asking;
}

static void
drop(struct errand *errand)
{
    if (errand->is_asking)
        dz_http_drop(errand->lobby->client.http, errand);
    errand->is_asking = false;
    dz_buf_clear(&errand->body);
}

/* ------------------------------------------------------------------ members */

static void look(void *arg);

/* In a large job only who schedules keeps the whole list; the others hear of their successors. */
static void
see_roll(struct lobby *self, const struct meeting_roll *roll, bool is_leading)
{
    self->count = roll->came > roll->ended ? roll->came - roll->ended : 0;
    bool is_same = roll->came == self->known.came && roll->ended == self->known.ended;
    if (is_same || (!is_leading && roll->came > SMALL_JOB))
        return;
    self->known = *roll;
    self->roll.is_due = true;
    look(self);
}

static void
see_member(void *arg, uint64_t node, struct dz_slice contact)
{
    struct lobby *self = arg;
    if (node == self->node || node == 0)
        return;
    bool is_new = dz_map_put(&self->members, node, (void *) self->round) == NULL;
    if (is_new)
        self->ops.on_member(self->ops.arg, node, contact);
}

/* All pages were read: who was not on them takes part no more. */
static void
end_round(struct lobby *self)
{
    uint64_t node = 0;
    void *round = NULL;
    for (size_t at = 0; dz_map_next(&self->members, &at, &node, &round);) {
        if ((uintptr_t) round == self->round)
            continue;
        (void) dz_map_del(&self->members, node);
        self->ops.on_left(self->ops.arg, node);
        at = 0; /* the map has moved */
    }
}

static void
on_roll(void *arg, const struct dz_http_answer *answer)
{
    struct errand *errand = arg;
    struct lobby *self = errand->lobby;
    uint32_t next = 0;
    errand->is_asking = false;
    bool is_good = answer->status == 200 &&
                   meeting_read_members(answer->body, see_member, self, &next) == DZ_OK;
    if (!is_good) {
        log_debug("lobby.roll", "status=%d why=%s", answer->status, answer->why);
        self->known = (struct meeting_roll){ 0 }; /* the next answer begins it anew */
        self->skip = 0;
        return;
    }
    self->skip = next;
    if (next > 0)
        errand->is_due = true;
    else
        end_round(self);
    look(self);
}

static void
look(void *arg)
{
    struct lobby *self = arg;
    dz_us now = dz_clock_us(), at = self->looked_at + ROLL_EVERY_US;
    if (!self->roll.is_due || self->roll.is_asking)
        return;
    if (self->skip == 0 && now < at) {
        dz_loop_set(self->loop, &self->look, at);
        return;
    }
    self->roll.is_due = false;
    if (self->skip == 0) {
        self->looked_at = now;
        self->round++;
    }
    (void) send(&self->roll, "GET", ROLL_MS, ROLL_MAX, on_roll);
}

void
lobby_look_again(struct lobby *self)
{
    self->roll.is_due = true;
    look(self);
}

/* ------------------------------------------------------------------ coming in */

/* AGAIN: the store is there, and busy. */
static enum dz_rc
enter_once(struct lobby *self, struct dz_http *http, struct dz_meeting_entry *entry,
           struct meeting_roll *roll, struct dz_err *err)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf url = { 0 };
    DZ_AUTO(dz_buf_fini) struct dz_buf body = { 0 };
    DZ_AUTO(dz_buf_fini) struct dz_buf answer = { 0 };
    int status = 0;
    add_url(self, "enter", &url);
    dz_buf_add(&url, "", 1);
    meeting_ask_enter(&body, self->uri, entry, dz_buf_slice(&self->contact));
    struct dz_http_ask ask = { .method = "POST",
                               .url = (const char *) url.data,
                               .type = "application/json",
                               .body = dz_buf_slice(&body),
                               .answer_max = ANSWER_MAX,
                               .timeout_ms = self->try_ms };
    enum dz_rc rc = dz_http_call(http, &ask, &status, &answer, err);
    struct dz_http_answer said = { .status = rc == DZ_OK ? status : 0, .rc = rc };
    if (said.status == 200 && meeting_read_enter(dz_buf_slice(&answer), entry, roll) == DZ_OK)
        return DZ_OK;
    if (said.status == 200)
        return dz_fail(err, DZ_REFUSED, "%s: this is no store that nodes can meet at", self->url);
    bool is_passing = dz_http_is_passing(&said);
    if (rc != DZ_OK)
        return is_passing ? DZ_CLOSED : DZ_REFUSED;
    return is_passing ? dz_fail(err, DZ_AGAIN, "the server answered %d", status)
                      : dz_fail(err, DZ_REFUSED, "%s: the server answered %d", self->url, status);
}

static void
pause_for(struct lobby *self, dz_ms pause_ms)
{
    struct timespec pause = { .tv_sec = pause_ms / 1000, .tv_nsec = pause_ms % 1000 * 1000000L };
    self->on_wait(self->wait_arg);
    (void) nanosleep(&pause, NULL);
}

static enum dz_rc
enter_with(struct lobby *self, struct dz_http *http, struct dz_meeting_entry *entry,
           struct dz_err *err)
{
    struct meeting_roll roll = { 0 };
    unsigned tries = 0, busy = 0, ordinal = 0;
    char job[DZ_ULID_LEN + 1];
    memcpy(job, entry->job, sizeof(job));
    for (;;) {
        dz_meeting_name(dz_buf_slice(&self->key), ordinal, self->name);
        self->on_wait(self->wait_arg);
        enum dz_rc rc = enter_once(self, http, entry, &roll, err);
        if (rc == DZ_CLOSED && ++tries < ENTER_TRIES)
            continue;
        if (rc == DZ_AGAIN && ++busy < BUSY_TRIES) {
            pause_for(self, dz_http_backoff(busy, BUSY_FIRST_MS, BUSY_MOST_MS));
            continue;
        }
        if (rc != DZ_OK)
            return rc == DZ_AGAIN ? DZ_CLOSED : rc;
        if (entry->answer.word != DZ_ARRIVAL_AGAIN)
            break;
        memcpy(entry->job, job, sizeof(job)); /* that was the other command's */
        if (++ordinal == DZ_COMMANDS_MAX)
            return dz_fail(err, DZ_REFUSED, "this CI job has run %u commands under one key",
                           ordinal);
    }
    if (entry->answer.word != DZ_ARRIVAL_LATE)
        see_roll(self, &roll, false);
    return DZ_OK;
}

enum dz_rc
lobby_enter(struct lobby *self, struct dz_meeting_entry *entry, struct dz_err *err)
{
    DZ_AUTO(dz_free) char *token = NULL;
    struct dz_http *http = NULL;
    enum dz_rc rc = dz_http_token(&token, err);
    struct dz_http_opts opts = { .token = token };
    if (rc == DZ_OK)
        rc = dz_http_new(&opts, &http, err);
    if (rc != DZ_OK)
        return DZ_REFUSED;
    rc = enter_with(self, http, entry, err);
    dz_http_destroy(&http);
    return rc;
}

/* ------------------------------------------------------------------ coming back */

static void on_back(void *arg, const struct dz_http_answer *answer);

static void
knock(void *arg)
{
    struct lobby *self = arg;
    if (!send(&self->back, "POST", self->try_ms, ANSWER_MAX, on_back))
        dz_loop_set(self->loop, &self->knock, dz_clock_us() + KNOCK_AGAIN_US);
}

static void
on_back(void *arg, const struct dz_http_answer *answer)
{
    struct errand *errand = arg;
    struct lobby *self = errand->lobby;
    struct dz_meeting_entry entry = { 0 };
    struct meeting_roll roll;
    errand->is_asking = false;
    if (answer->status == 200 && meeting_read_enter(answer->body, &entry, &roll) == DZ_OK) {
        log_info("lobby.back", "word=%d", (int) entry.answer.word);
        see_roll(self, &roll, false);
    } else if (dz_http_is_passing(answer)) {
        dz_loop_set(self->loop, &self->knock, dz_clock_us() + KNOCK_AGAIN_US);
    } else {
        log_warn("lobby.refused", "status=%d why=%s", answer->status, answer->why);
    }
}

void
lobby_go_back(struct lobby *self, const char *name, const struct dz_meeting_entry *entry)
{
    (void) snprintf(self->name, sizeof(self->name), "%s", name);
    meeting_ask_enter(&self->back.body, self->uri, entry, dz_buf_slice(&self->contact));
    dz_loop_set(self->loop, &self->knock, dz_clock_us() + KNOCK_AGAIN_US);
}

unsigned
lobby_count(const struct lobby *self)
{
    return self->count;
}

const char *
lobby_name(const struct lobby *self)
{
    return self->name;
}

/* ------------------------------------------------------------------ the lease */

static void
on_lease(void *arg, const struct dz_http_answer *answer)
{
    struct errand *errand = arg;
    struct lobby *self = errand->lobby;
    DZ_AUTO(dz_buf_fini) struct dz_buf contact = { 0 };
    struct dz_lease_reply reply;
    struct meeting_roll roll;
    errand->is_asking = false;
    bool is_good =
        answer->status == 200 && meeting_read_lease(answer->body, &reply, &contact, &roll) == DZ_OK;
    if (!is_good) {
        log_debug("lobby.lease", "status=%d why=%s", answer->status, answer->why);
        reply = (struct dz_lease_reply){ .word = DZ_LEASE_UNREACHABLE };
        dz_buf_clear(&contact);
    } else {
        see_roll(self, &roll, self->is_renewal);
        if (self->is_renewal && roll.came > roll.ended + 1)
            self->ops.on_company(self->ops.arg);
    }
    self->ops.on_answer(self->ops.arg, self->number, &reply, dz_buf_slice(&contact));
}

void
lobby_ask(struct lobby *self, uint64_t number, const struct dz_lease_ask *ask, dz_us patience_us)
{
    static const struct dz_lease_reply nobody = { .word = DZ_LEASE_UNREACHABLE };
    drop(&self->lease);
    self->number = number;
    self->is_renewal = ask->kind == DZ_LEASE_RENEW;
    meeting_ask_lease(&self->lease.body, self->uri, ask);
    if (!send(&self->lease, "POST", (dz_ms) (patience_us / 1000), ANSWER_MAX, on_lease))
        self->ops.on_answer(self->ops.arg, number, &nobody, (struct dz_slice){ 0 });
}

/* ------------------------------------------------------------------ the end */

static void
on_told(void *arg, const struct dz_http_answer *answer)
{
    struct errand *errand = arg;
    struct lobby *self = errand->lobby;
    errand->is_asking = false;
    errand->is_due = dz_http_is_passing(answer);
    if (errand->is_due)
        dz_loop_set(self->loop, &self->again, dz_clock_us() + TELL_AGAIN_US);
    else if (lobby_is_idle(self))
        self->ops.on_idle(self->ops.arg);
}

/* The seal first: who comes later is to hear that it is over. */
static void
tell(void *arg)
{
    struct lobby *self = arg;
    struct errand *const errands[] = { &self->seal, &self->end };
    for (size_t i = 0; i < DZ_LEN(errands); i++) {
        if (!errands[i]->is_due || errands[i]->is_asking)
            continue;
        errands[i]->is_due = false;
        if (!send(errands[i], "POST", TELL_MS, ANSWER_MAX, on_told))
            errands[i]->is_due = true;
    }
}

void
lobby_tell_seal(struct lobby *self, const struct dz_epoch *epoch, bool is_good,
                const struct store_seal *account)
{
    drop(&self->seal);
    meeting_ask_seal(&self->seal.body, self->uri, epoch, is_good, account);
    self->seal.is_due = true;
    tell(self);
}

void
lobby_tell_end(struct lobby *self, enum dz_slot_end end)
{
    drop(&self->end);
    meeting_ask_end(&self->end.body, self->uri, self->node, end);
    self->end.is_due = true;
    tell(self);
}

bool
lobby_is_idle(const struct lobby *self)
{
    return !self->seal.is_due && !self->seal.is_asking && !self->end.is_due && !self->end.is_asking;
}

/* ------------------------------------------------------------------ life */

enum dz_rc
lobby_new(const struct lobby_cfg *cfg, struct lobby **self_out, struct dz_err *err)
{
    DZ_AUTO(lobby_destroy) struct lobby *self = dz_alloc0(1, sizeof(*self));
    self->loop = cfg->loop;
    self->url = dz_strdup(cfg->url);
    self->uri = dz_strdup(cfg->uri);
    self->node = cfg->node;
    self->try_ms = cfg->try_ms;
    self->on_wait = cfg->on_wait;
    self->wait_arg = cfg->wait_arg;
    self->ops = *cfg->ops;
    dz_buf_add(&self->key, cfg->key.ptr, cfg->key.len);
    dz_buf_add(&self->contact, cfg->contact.ptr, cfg->contact.len);
    self->lease = (struct errand){ .lobby = self, .verb = "lease" };
    self->seal = (struct errand){ .lobby = self, .verb = "seal" };
    self->end = (struct errand){ .lobby = self, .verb = "end" };
    self->roll = (struct errand){ .lobby = self, .verb = "members" };
    self->back = (struct errand){ .lobby = self, .verb = "enter" };
    self->again = (struct dz_timer){ .fn = tell, .arg = self };
    self->look = (struct dz_timer){ .fn = look, .arg = self };
    self->knock = (struct dz_timer){ .fn = knock, .arg = self };
    enum dz_rc rc = client_open(&self->client, cfg->loop, NULL, NULL, err);
    if (rc == DZ_OK)
        *self_out = dz_move(self);
    return rc;
}

void
lobby_destroy(struct lobby **self_p)
{
    struct lobby *self = dz_move(*self_p);
    if (!self)
        return;
    client_close(&self->client); /* nothing is answered any more */
    dz_loop_unset(self->loop, &self->again);
    dz_loop_unset(self->loop, &self->look);
    dz_loop_unset(self->loop, &self->knock);
    struct errand *const errands[] = { &self->lease, &self->seal, &self->end, &self->roll,
                                       &self->back };
    for (size_t i = 0; i < DZ_LEN(errands); i++)
        dz_buf_fini(&errands[i]->body);
    dz_map_fini(&self->members);
    dz_buf_fini(&self->key);
    dz_buf_fini(&self->contact);
    free(self->url);
    free(self->uri);
    free(self);
}
