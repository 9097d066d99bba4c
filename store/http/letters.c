/* letters.c - the routes by which nodes that cannot reach each other send and fetch letters. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/wire/letter.h"
#include "store/http/read.h"
#include "store/http/server.h"
#include "store/jot.h"
#include "store/meet.h"

#define LETTERS_TYPE "application/x-dagz-letters"

enum { HEX_LEN = 16, STRANGERS_MAX = 64 /* of one batch, whom the store is asked about */ };

/* ---- reading ---- */

static bool
hex_arg(struct http_call *call, const char *name, bool is_needed, uint64_t *out)
{
    const char *text = http_arg(call, name);
    size_t len = text ? strspn(text, "0123456789abcdef") : 0;
    *out = 0;
    if (!text && !is_needed)
        return true;
    if (len == 0 || len > HEX_LEN || text[len] != '\0') {
        http_problem(call, 400, "%s: is not 1 to 16 hexadecimal digits", name);
        return false;
    }
    *out = strtoull(text, NULL, 16);
    return true;
}

/* Projects are texts, so that the first NUL ends one. */
static void
name_meeting(struct http_call *call, const char *uri, struct relay_who *out)
{
    size_t uri_len = strlen(uri) + 1, key_len = strlen(call->params[0]);
    uint8_t *name = dz_arena_take(&call->arena, uri_len + key_len, 1);
    memcpy(name, uri, uri_len);
    memcpy(name + uri_len, call->params[0], key_len);
    out->meeting = (struct dz_slice){ name, uri_len + key_len };
}

static bool
read_who(struct http_call *call, const char **uri_out, struct relay_who *out)
{
    if (!read_project(call, uri_out) || !hex_arg(call, "node", true, &out->node))
        return false;
    if (!*uri_out || out->node == 0) {
        http_problem(call, 400, *uri_out ? "node: is 0" : "?project= is missing");
        return false;
    }
    name_meeting(call, *uri_out, out);
    if (out->meeting.len <= RELAY_MEETING_MAX)
        return true;
    http_problem(call, 400, "project: is longer than %d bytes", RELAY_MEETING_MAX);
    return false;
}

/* ---- members ---- */

/* Those whom the store calls members have boxes then. */
static enum dz_rc
admit(struct http_call *call, const char *uri, const struct relay_who *who, const uint64_t *nodes,
      size_t count, struct dz_err *err)
{
    bool is_in[STRANGERS_MAX];
    struct relay *relay = server_relay(call->server);
    if (count == 0 || !call->store)
        return DZ_OK;
    enum dz_rc rc =
        store_meet_present(call->store, uri, dz_str(call->params[0]), nodes, is_in, count, err);
    for (size_t i = 0; rc == DZ_OK && i < count; i++) {
        struct relay_who one = { who->meeting, nodes[i] };
        if (is_in[i] && relay_admit(relay, &one, dz_clock_ms()) != DZ_OK)
            rc = dz_fail(err, DZ_AGAIN, "too many nodes speak through this store; come again");
    }
    return rc;
}

/* Who asks must be a member. */
static bool
admit_asker(struct http_call *call, const char *uri, const struct relay_who *who)
{
    struct relay *relay = server_relay(call->server);
    struct dz_err err;
    if (relay_knows(relay, who, dz_clock_ms()))
        return true;
    enum dz_rc rc = admit(call, uri, who, &who->node, 1, &err);
    if (rc != DZ_OK)
        http_problem_rc(call, rc, &err);
    else if (!relay_knows(relay, who, dz_clock_ms()))
        http_problem(call, 404, "there is no node %016" PRIx64 " in this meeting", who->node);
    else
        return true;
    return false;
}

/* Addressees that have no box yet.  What is left out, or is no member, has none later either, and
 * loses its letters. */
static void
admit_addressees(struct http_call *call, const char *uri, const struct relay_who *who)
{
    uint64_t nodes[STRANGERS_MAX], last = 0;
    size_t count = 0;
    struct dz_slice rest = dz_buf_slice(&call->body), bytes;
    struct relay_who to = { .meeting = who->meeting };
    struct dz_err unused;
    while (count < STRANGERS_MAX && dz_letter_next(&rest, &to.node, &bytes) == DZ_OK) {
        bool is_new = to.node != last && !relay_has_box(server_relay(call->server), &to);
        last = to.node;
        if (is_new)
            nodes[count++] = to.node;
    }
    dz_ignore(admit(call, uri, who, nodes, count, &unused));
}

void
letters_end(struct http_call *call, const char *uri, uint64_t node)
{
    struct relay_who who = { .node = node };
    name_meeting(call, uri, &who);
    relay_end(server_relay(call->server), &who, dz_clock_ms());
}

/* ---- the routes ---- */

void
http_post_letters(struct http_call *call)
{
    struct relay_batch batch = { .letters = dz_buf_slice(&call->body) };
    struct relay_receipt receipt;
    const char *uri, *type = http_header(call, "content-type");
    if (!read_who(call, &uri, &batch.from) || !hex_arg(call, "life", true, &batch.life) ||
        !http_arg_number(call, "batch", 1, INT64_MAX, 0, &batch.number))
        return;
    if (batch.number == 0) {
        http_problem(call, 400, "?batch= is missing");
        return;
    }
    if (!type || strcmp(type, LETTERS_TYPE) != 0) {
        http_problem(call, 415, "letters come as " LETTERS_TYPE ", not as '%.80s'",
                     type ? type : "");
        return;
    }
    if (!admit_asker(call, uri, &batch.from))
        return;
    admit_addressees(call, uri, &batch.from);
    enum dz_rc rc = relay_post(server_relay(call->server), &batch, dz_clock_ms(), &receipt);
    if (rc == DZ_CORRUPT) {
        http_problem(call, 400, "the body is no list of letters");
        return;
    }
    jot_open(&call->out, '{');
    jot_text(&call->out, "schema", "dagz.letters/1");
    jot_bool(&call->out, "again", rc == DZ_OK && receipt.was_there);
    jot_int(&call->out, "taken", receipt.taken);
    jot_int(&call->out, "dropped", receipt.dropped);
    jot_close(&call->out, '}');
    jot_end(&call->out);
}

void
http_get_letters(struct http_call *call)
{
    struct relay_fetch fetch = { .out = &call->out, .owner = call };
    const char *uri;
    uint64_t wait_ms;
    if (!read_who(call, &uri, &fetch.who) || !hex_arg(call, "box", false, &fetch.box) ||
        !http_arg_number(call, "after", 0, INT64_MAX, 0, &fetch.after) ||
        !http_arg_number(call, "wait_ms", 0, RELAY_WAIT_MS, 0, &wait_ms) ||
        !admit_asker(call, uri, &fetch.who))
        return;
    fetch.until = dz_clock_ms() + (dz_ms) wait_ms;
    call->type = LETTERS_TYPE;
    call->fetch = fetch;
    call->is_fetch = true;
}
