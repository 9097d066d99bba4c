#include "store/push/meeting.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/ulid.h"
#include "store/jot.h"

enum { HEX_LEN = 16 };

const char *const meeting_arrivals[] = {
    [DZ_ARRIVAL_JOINS] = "joins", [DZ_ARRIVAL_RETURNS] = "returns", [DZ_ARRIVAL_LATE] = "late",
    [DZ_ARRIVAL_OPENS] = "opens", [DZ_ARRIVAL_AGAIN] = "again",     NULL
};
const char *const meeting_leases[] = { [DZ_LEASE_GRANTED] = "granted",
                                       [DZ_LEASE_HELD] = "held",
                                       [DZ_LEASE_FREE] = "free",
                                       [DZ_LEASE_SEALED] = "sealed",
                                       [DZ_LEASE_UNREACHABLE] = "unreachable",
                                       NULL };
const char *const meeting_kinds[] = { [DZ_LEASE_CLAIM] = "claim",
                                      [DZ_LEASE_RENEW] = "renew",
                                      [DZ_LEASE_WHO] = "who",
                                      [DZ_LEASE_RELEASE] = "release",
                                      NULL };
const char *const meeting_ends[] = { [DZ_SLOT_END_NONE] = "none",
                                     [DZ_SLOT_END_VERDICT] = "verdict",
                                     [DZ_SLOT_END_TERMINATED] = "terminated",
                                     [DZ_SLOT_END_LOST] = "lost",
                                     NULL };

/* ------------------------------------------------------------------ writing */

void
meeting_jot_hex(struct dz_buf *out, const char *key, uint64_t number)
{
    char text[HEX_LEN + 1];
    (void) snprintf(text, sizeof(text), "%016" PRIx64, number);
    jot_text(out, key, text);
}

void
meeting_jot_bytes(struct dz_buf *out, const char *key, struct dz_slice bytes)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    dz_hex_add(&text, bytes);
    jot_slice(out, key, dz_buf_slice(&text));
}

void
meeting_jot_epoch(struct dz_buf *out, const char *key, const struct dz_epoch *epoch)
{
    jot_key(out, key);
    jot_open(out, '[');
    meeting_jot_hex(out, NULL, epoch->n);
    meeting_jot_hex(out, NULL, epoch->node);
    meeting_jot_hex(out, NULL, epoch->inc);
    jot_close(out, ']');
}

static void
begin(struct dz_buf *out, const char *uri)
{
    jot_open(out, '{');
    jot_text(out, "project", uri);
}

void
meeting_ask_enter(struct dz_buf *out, const char *uri, const struct dz_meeting_entry *entry,
                  struct dz_slice contact)
{
    begin(out, uri);
    meeting_jot_hex(out, "node", entry->node);
    meeting_jot_hex(out, "ci_job", entry->arrival.ci_job);
    if (entry->arrival.index == DZ_NO_INDEX)
        jot_null(out, "index");
    else
        jot_int(out, "index", entry->arrival.index);
    jot_int(out, "attempt", entry->arrival.attempt);
    jot_text(out, "mode", dz_rerun_words[entry->mode]);
    meeting_jot_bytes(out, "contact", contact);
    jot_text(out, "job", entry->job);
    jot_close(out, '}');
}

void
meeting_ask_lease(struct dz_buf *out, const char *uri, const struct dz_lease_ask *ask)
{
    begin(out, uri);
    jot_text(out, "kind", meeting_kinds[ask->kind]);
    meeting_jot_epoch(out, "epoch", &ask->me);
    if (ask->gone.n > 0)
        meeting_jot_epoch(out, "gone", &ask->gone);
    jot_int(out, "members", (int64_t) ask->members);
    jot_close(out, '}');
}

void
meeting_ask_end(struct dz_buf *out, const char *uri, uint64_t node, enum dz_slot_end end)
{
    begin(out, uri);
    meeting_jot_hex(out, "node", node);
    jot_text(out, "end", meeting_ends[end]);
    jot_close(out, '}');
}

void
meeting_ask_seal(struct dz_buf *out, const char *uri, const struct dz_epoch *epoch, bool is_good,
                 const struct store_seal *account)
{
    begin(out, uri);
    meeting_jot_epoch(out, "epoch", epoch);
    jot_bool(out, "good", is_good);
    jot_key(out, "account");
    jot_open(out, '{');
    jot_int(out, "collected", account->collected);
    jot_int(out, "not_run", account->not_run);
    jot_int(out, "counted", account->counted);
    jot_int(out, "duplicates", account->duplicates);
    jot_int(out, "nodes", account->nodes);
    jot_int(out, "workers", account->workers);
    jot_close(out, '}');
    jot_close(out, '}');
}

/* ------------------------------------------------------------------ reading */

static json_t *
load(struct dz_slice json)
{
    json_error_t unused;
    return json_loadb((const char *) json.ptr, json.len, JSON_REJECT_DUPLICATES, &unused);
}

static void
release(json_t **self)
{
    json_decref(*self);
}

static bool
read_word(const json_t *answer, const char *field, const char *const *words, int *out)
{
    const char *text = json_string_value(json_object_get(answer, field));
    for (*out = 0; text && words[*out]; ++*out)
        if (strcmp(text, words[*out]) == 0)
            return true;
    return false;
}

static bool
read_hex(const json_t *value, uint64_t *out)
{
    const char *text = json_string_value(value);
    size_t len = text ? strspn(text, "0123456789abcdef") : 0;
    if (len == 0 || len > HEX_LEN || text[len] != '\0')
        return false;
    *out = strtoull(text, NULL, 16);
    return true;
}

static bool
read_number(const json_t *answer, const char *field, int64_t most, int64_t *out)
{
    const json_t *value = json_object_get(answer, field);
    *out = json_integer_value(value);
    return json_is_integer(value) && *out >= 0 && *out <= most;
}

static bool
read_roll(const json_t *answer, struct meeting_roll *out)
{
    int64_t came, ended;
    if (!read_number(answer, "came", UINT32_MAX, &came) ||
        !read_number(answer, "ended", UINT32_MAX, &ended))
        return false;
    *out = (struct meeting_roll){ (uint32_t) came, (uint32_t) ended };
    return true;
}

enum dz_rc
meeting_read_enter(struct dz_slice json, struct dz_meeting_entry *entry, struct meeting_roll *roll)
{
    DZ_AUTO(release) json_t *answer = load(json);
    int word;
    int64_t generation;
    const char *job = json_string_value(json_object_get(answer, "job"));
    if (!read_word(answer, "word", meeting_arrivals, &word) ||
        !read_number(answer, "generation", UINT32_MAX, &generation) || !read_roll(answer, roll) ||
        !job || (*job && !dz_ulid_read(dz_str(job), NULL)))
        return DZ_CORRUPT;
    bool is_in = word != DZ_ARRIVAL_LATE && word != DZ_ARRIVAL_AGAIN;
    if (is_in && !*job)
        return DZ_CORRUPT;
    if (*job)
        memcpy(entry->job, job, DZ_ULID_LEN);
    const char *previous = json_string_value(json_object_get(answer, "previous"));
    bool has_previous = previous && dz_ulid_read(dz_str(previous), NULL);
    (void) snprintf(entry->previous, sizeof(entry->previous), "%s", has_previous ? previous : "");
    entry->is_full = json_is_true(json_object_get(answer, "full"));
    entry->answer = (struct dz_arrival_reply){ (enum dz_arrival_word) word, (uint32_t) generation };
    return DZ_OK;
}

static bool
read_contact(const json_t *value, struct dz_buf *out)
{
    uint8_t bytes[DZ_CONTACT_MAX];
    size_t len = 0;
    if (!value || json_is_null(value))
        return true;
    if (!json_is_string(value) ||
        !dz_hex_read(dz_str(json_string_value(value)), bytes, sizeof(bytes), &len))
        return false;
    dz_buf_add(out, bytes, len);
    return true;
}

enum dz_rc
meeting_read_lease(struct dz_slice json, struct dz_lease_reply *out, struct dz_buf *contact_out,
                   struct meeting_roll *roll)
{
    DZ_AUTO(release) json_t *answer = load(json);
    const json_t *epoch = json_object_get(answer, "epoch");
    struct dz_lease_reply reply = { 0 };
    int word;
    int64_t ttl_us, members;
    if (!read_word(answer, "word", meeting_leases, &word) || json_array_size(epoch) != 3 ||
        !read_hex(json_array_get(epoch, 0), &reply.epoch.n) ||
        !read_hex(json_array_get(epoch, 1), &reply.epoch.node) ||
        !read_hex(json_array_get(epoch, 2), &reply.epoch.inc) ||
        !read_number(answer, "ttl_us", INT32_MAX, &ttl_us) ||
        !read_number(answer, "members", UINT32_MAX, &members) || !read_roll(answer, roll) ||
        !read_contact(json_object_get(answer, "contact"), contact_out))
        return DZ_CORRUPT;
    reply.word = (enum dz_lease_word) word;
    reply.ttl_us = ttl_us;
    reply.members = (uint64_t) members;
    *out = reply;
    return DZ_OK;
}

enum dz_rc
meeting_read_members(struct dz_slice json, meeting_member_fn *fn, void *arg, uint32_t *next_out)
{
    DZ_AUTO(release) json_t *answer = load(json);
    const json_t *members = json_object_get(answer, "members"), *member;
    int64_t next;
    size_t i;
    if (!json_is_array(members) || !read_number(answer, "next", UINT32_MAX, &next))
        return DZ_CORRUPT;
    json_array_foreach(members, i, member)
    {
        DZ_AUTO(dz_buf_fini) struct dz_buf contact = { 0 };
        uint64_t node;
        if (!read_hex(json_object_get(member, "node"), &node) ||
            !read_contact(json_object_get(member, "contact"), &contact))
            return DZ_CORRUPT;
        fn(arg, node, dz_buf_slice(&contact));
    }
    *next_out = (uint32_t) next;
    return DZ_OK;
}
