/* meet.c - the routes by which nodes of one job find each other: meetings, leases, contacts.
 *
 * 64-bit numbers are hexadecimal text here, since JSON's numbers are not exact.  A group of requests
 * is answered with one commit. */
#include "store/meet.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/log.h"
#include "store/http/read.h"
#include "store/jot.h"
#include "store/push/meeting.h"
#include "store/sync.h"

enum { HEX_LEN = 16 };

/* A request while it is read and answered. */
struct meet_call {
    struct http_call *call;
    json_t *body; /* owned */
    struct store_meet ask;
    uint8_t contact[DZ_CONTACT_MAX];
};

static void
meet_call_fini(struct meet_call *self)
{
    json_decref(self->body);
    dz_buf_fini(&self->ask.found);
}

/* ------------------------------------------------------------------ reading */

static bool
refuse(struct meet_call *self, const char *field, const char *what)
{
    http_problem(self->call, 400, "%s: %s", field, what);
    return false;
}

static bool
read_hex(struct meet_call *self, const json_t *value, const char *field, uint64_t *out)
{
    const char *text = json_string_value(value);
    char *end = NULL;
    size_t len = text ? strspn(text, "0123456789abcdefABCDEF") : 0;
    if (len == 0 || len > HEX_LEN || text[len] != '\0')
        return refuse(self, field, "is not 1 to 16 hexadecimal digits");
    *out = strtoull(text, &end, 16);
    return true;
}

static bool
hex_field(struct meet_call *self, const char *field, uint64_t *out)
{
    return read_hex(self, json_object_get(self->body, field), field, out);
}

/* A whole number up to `most`; `otherwise` where it is not given or null. */
static bool
number_field(struct meet_call *self, const char *field, uint64_t most, uint64_t otherwise,
             uint64_t *out)
{
    const json_t *value = json_object_get(self->body, field);
    *out = otherwise;
    if (!value || json_is_null(value))
        return true;
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 0 || (uint64_t) number > most)
        return refuse(self, field, "is not a whole number within bounds");
    *out = (uint64_t) number;
    return true;
}

/* The place of a word in a list that ends with NULL. */
static bool
word_field(struct meet_call *self, const char *field, const char *const *words, int *out)
{
    const char *text = json_string_value(json_object_get(self->body, field));
    for (int i = 0; text && words[i]; i++) {
        if (strcmp(text, words[i]) != 0)
            continue;
        *out = i;
        return true;
    }
    return refuse(self, field, "is none of the words that are known");
}

/* [n, node, incarnation]; null or not given: all zero, if that may be. */
static bool
epoch_field(struct meet_call *self, const char *field, bool is_needed, struct dz_epoch *out)
{
    const json_t *value = json_object_get(self->body, field);
    *out = (struct dz_epoch){ 0 };
    if (!is_needed && (!value || json_is_null(value)))
        return true;
    if (json_array_size(value) != 3)
        return refuse(self, field, "is not a list of number, node and incarnation");
    return read_hex(self, json_array_get(value, 0), field, &out->n) &&
           read_hex(self, json_array_get(value, 1), field, &out->node) &&
           read_hex(self, json_array_get(value, 2), field, &out->inc);
}

static bool
contact_field(struct meet_call *self)
{
    const char *text = json_string_value(json_object_get(self->body, "contact"));
    size_t len = 0;
    if (!text || !dz_hex_read(dz_str(text), self->contact, sizeof(self->contact), &len) || len == 0)
        return refuse(self, "contact", "is not 1 to 512 bytes in hexadecimal digits");
    self->ask.contact = (struct dz_slice){ self->contact, len };
    return true;
}

static bool
job_field(struct meet_call *self)
{
    const char *text = json_string_value(json_object_get(self->body, "job"));
    if (!text || !dz_ulid_read(dz_str(text), NULL))
        return refuse(self, "job", "is no job's long id");
    memcpy(self->ask.entry.job, text, DZ_ULID_LEN);
    return true;
}

/* What all have in common.  A token that is bound to a project has no other one's meetings. */
static bool
begin(struct meet_call *self, struct http_call *call, enum store_meet_kind kind)
{
    *self = (struct meet_call){ .call = call, .ask = { .kind = kind } };
    json_error_t error;
    self->body =
        json_loadb((const char *) call->body.data, call->body.len, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(self->body)) {
        http_problem(call, 400, "the body is no JSON object");
        return false;
    }
    const char *uri = json_string_value(json_object_get(self->body, "project"));
    if (!uri || !*uri)
        return refuse(self, "project", "is missing");
    if (call->who.project && strcmp(call->who.project, uri) != 0) {
        http_problem(call, 404, "there is no project '%.200s'", uri);
        return false;
    }
    self->ask.uri = uri;
    self->ask.key = dz_str(call->params[0]);
    if (self->ask.key.len > STORE_MEET_KEY_MAX)
        return refuse(self, "key", "is longer than 64 bytes");
    return true;
}

static bool
read_enter(struct meet_call *self)
{
    struct dz_meeting_entry *entry = &self->ask.entry;
    uint64_t index, attempt;
    int mode = DZ_RERUN_AUTO;
    if (!hex_field(self, "node", &entry->node) ||
        !hex_field(self, "ci_job", &entry->arrival.ci_job) ||
        !number_field(self, "index", UINT32_MAX, DZ_NO_INDEX, &index) ||
        !number_field(self, "attempt", UINT32_MAX, 0, &attempt) || !contact_field(self) ||
        !job_field(self) ||
        (json_object_get(self->body, "mode") && !word_field(self, "mode", dz_rerun_words, &mode)))
        return false;
    entry->mode = (enum dz_rerun) mode;
    entry->arrival.index = (uint32_t) index;
    entry->arrival.attempt = (uint32_t) attempt;
    return true;
}

static bool
read_lease(struct meet_call *self)
{
    struct dz_lease_ask *ask = &self->ask.ask;
    int kind;
    if (!word_field(self, "kind", meeting_kinds, &kind) ||
        !epoch_field(self, "epoch", true, &ask->me) ||
        !epoch_field(self, "gone", false, &ask->gone) ||
        !number_field(self, "members", UINT32_MAX, 0, &ask->members))
        return false;
    ask->kind = (enum dz_lease_kind) kind;
    return true;
}

static bool
read_end(struct meet_call *self)
{
    int end;
    if (!hex_field(self, "node", &self->ask.node) || !word_field(self, "end", meeting_ends, &end))
        return false;
    self->ask.end = (enum dz_slot_end) end;
    return true;
}

/* Of an older node there is none. */
static bool
account_field(struct meet_call *self)
{
    json_t *body = self->body, *account = json_object_get(body, "account");
    uint64_t collected, not_run, counted, duplicates, nodes, workers;
    if (!account)
        return true;
    if (!json_is_object(account))
        return refuse(self, "account", "is no object");
    self->body = account;
    bool is_ok = number_field(self, "collected", STORE_TESTS_MAX, 0, &collected) &&
                 number_field(self, "not_run", STORE_TESTS_MAX, 0, &not_run) &&
                 number_field(self, "counted", STORE_TESTS_MAX, 0, &counted) &&
                 number_field(self, "duplicates", INT32_MAX, 0, &duplicates) &&
                 number_field(self, "nodes", INT32_MAX, 0, &nodes) &&
                 number_field(self, "workers", INT32_MAX, 0, &workers);
    self->body = body;
    if (!is_ok)
        return false;
    self->ask.has_account = true;
    self->ask.account = (struct store_seal){ .collected = (uint32_t) collected,
                                             .not_run = (uint32_t) not_run,
                                             .counted = (uint32_t) counted,
                                             .duplicates = (uint32_t) duplicates,
                                             .nodes = (uint32_t) nodes,
                                             .workers = (uint32_t) workers,
                                             .exit_code = !self->ask.is_good,
                                             .now_us = self->call->now_us };
    return true;
}

static bool
read_seal(struct meet_call *self)
{
    const json_t *good = json_object_get(self->body, "good");
    if (!json_is_boolean(good))
        return refuse(self, "good", "is not true or false");
    self->ask.is_good = json_is_true(good);
    return epoch_field(self, "epoch", true, &self->ask.epoch) && account_field(self);
}

/* ------------------------------------------------------------------ answering */

static void
write_entry(struct dz_buf *out, const struct dz_meeting_entry *entry)
{
    jot_text(out, "word", meeting_arrivals[entry->answer.word]);
    jot_int(out, "generation", entry->answer.number);
    jot_text(out, "job", entry->job);
    if (entry->previous[0] != '\0')
        jot_text(out, "previous", entry->previous);
    else
        jot_null(out, "previous");
    jot_bool(out, "full", entry->is_full);
}

static void
write_lease(struct dz_buf *out, const struct dz_lease_reply *reply, struct dz_slice contact)
{
    jot_text(out, "word", meeting_leases[reply->word]);
    meeting_jot_epoch(out, "epoch", &reply->epoch);
    jot_int(out, "ttl_us", reply->ttl_us);
    jot_int(out, "members", (int64_t) reply->members);
    if (contact.len > 0)
        meeting_jot_bytes(out, "contact", contact);
    else
        jot_null(out, "contact");
}

static void
write_answer(struct meet_call *self)
{
    struct http_call *call = self->call;
    switch (self->ask.rc) {
    case DZ_OK: break;
    case DZ_ABSENT: http_problem(call, 404, "nobody has come to this meeting"); return;
    case DZ_REFUSED: http_problem(call, 409, "a scheduler with a greater epoch exists"); return;
    default: http_problem(call, 413, "there are too many nodes in this meeting"); return;
    }
    jot_open(&call->out, '{');
    jot_text(&call->out, "schema", "dagz.meeting/1");
    if (self->ask.kind == STORE_MEET_ENTER)
        write_entry(&call->out, &self->ask.entry);
    if (self->ask.kind == STORE_MEET_LEASE)
        write_lease(&call->out, &self->ask.reply, dz_buf_slice(&self->ask.found));
    jot_int(&call->out, "came", self->ask.came);
    jot_int(&call->out, "ended", self->ask.ended);
    jot_close(&call->out, '}');
    jot_end(&call->out);
}

/* If it is whole here, it is sealed now. */
static void
end_job(const struct meet_call *self)
{
    struct dz_err err;
    if (self->ask.rc == DZ_OK &&
        store_inbox_end(store_inbox_of(self->call->store), self->ask.entry.job, &err) != DZ_OK)
        log_warn("meet.seal", "job=%s why=%s", self->ask.entry.job, err.text);
}

/* ------------------------------------------------------------------ groups */

typedef bool read_fn(struct meet_call *self);

/* Letters to who has left are not kept for long. */
static void
tell_relay(struct meet_call *self)
{
    bool is_end = self->ask.kind == STORE_MEET_END && self->ask.end != DZ_SLOT_END_NONE;
    if (self->ask.rc == DZ_OK && (is_end || self->ask.kind == STORE_MEET_SEAL))
        letters_end(self->call, self->ask.uri, is_end ? self->ask.node : 0);
}

/* Those that make sense are asked together; the others are answered already. */
static void
serve(struct http_call **calls, size_t count, enum store_meet_kind kind, read_fn *read)
{
    struct meet_call *meets = dz_alloc0(count, sizeof(*meets));
    struct store_meet *asks = dz_alloc0(count, sizeof(*asks));
    size_t *who = dz_alloc0(count, sizeof(*who)), asked = 0;
    for (size_t i = 0; i < count; i++) {
        if (!begin(&meets[i], calls[i], kind) || !read(&meets[i]))
            continue;
        who[asked] = i;
        asks[asked++] = meets[i].ask;
    }
    struct dz_err err;
    enum dz_rc rc =
        asked > 0 ? store_meet(calls[0]->store, asks, asked, calls[0]->now_us, &err) : DZ_OK;
    for (size_t i = 0; i < asked; i++) {
        struct meet_call *meet = &meets[who[i]];
        meet->ask = asks[i];
        if (rc == DZ_OK && kind == STORE_MEET_SEAL && meet->ask.has_account)
            end_job(meet);
        if (rc == DZ_OK)
            tell_relay(meet);
        if (rc == DZ_OK)
            write_answer(meet);
        else
            http_problem_rc(meet->call, rc, &err);
    }
    for (size_t i = 0; i < count; i++)
        meet_call_fini(&meets[i]);
    free(meets);
    free(asks);
    free(who);
}

void
http_post_enter(struct http_call **calls, size_t count)
{
    serve(calls, count, STORE_MEET_ENTER, read_enter);
}

void
http_post_lease(struct http_call **calls, size_t count)
{
    serve(calls, count, STORE_MEET_LEASE, read_lease);
}

void
http_post_end(struct http_call **calls, size_t count)
{
    serve(calls, count, STORE_MEET_END, read_end);
}

void
http_post_seal(struct http_call **calls, size_t count)
{
    serve(calls, count, STORE_MEET_SEAL, read_seal);
}

/* ------------------------------------------------------------------ members */

static void
write_member(void *arg, uint64_t node, struct dz_slice contact)
{
    struct http_call *call = arg;
    jot_open(&call->out, '{');
    meeting_jot_hex(&call->out, "node", node);
    meeting_jot_bytes(&call->out, "contact", contact);
    jot_close(&call->out, '}');
}

void
http_get_members(struct http_call *call)
{
    const char *uri;
    uint64_t skip;
    uint32_t next = 0;
    struct dz_err err;
    if (!read_project(call, &uri) ||
        !http_arg_number(call, "skip", 0, DZ_MEETING_MEMBERS_MAX, 0, &skip))
        return;
    if (!uri || !call->store) {
        http_problem(call, uri ? 404 : 400,
                     uri ? "nobody has come to this meeting" : "?project= is missing");
        return;
    }
    jot_open(&call->out, '{');
    jot_text(&call->out, "schema", "dagz.members/1");
    jot_key(&call->out, "members");
    jot_open(&call->out, '[');
    enum dz_rc rc = store_meet_members(call->store, uri, dz_str(call->params[0]), (uint32_t) skip,
                                       write_member, call, &next, &err);
    if (rc != DZ_OK) {
        http_problem_rc(call, rc, &err);
        return;
    }
    jot_close(&call->out, ']');
    jot_int(&call->out, "next", next);
    jot_close(&call->out, '}');
    jot_end(&call->out);
}
