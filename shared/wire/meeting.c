#include "shared/wire/meeting.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/digest.h"
#include "shared/base/str.h"

enum { HEX_LEN = 16 };

void
dz_meeting_fini(struct dz_meeting *self)
{
    dz_free(&self->members);
    dz_free(&self->earlier);
    self->member_count = self->member_cap = self->earlier_count = 0;
}

/* False: there is no room for more. */
static bool
add_member(struct dz_meeting *self, struct dz_meeting_member member)
{
    if (self->member_count == DZ_MEETING_MEMBERS_MAX)
        return false;
    if (self->member_count == self->member_cap) {
        self->member_cap = self->member_cap ? 2 * self->member_cap : 16;
        self->members = dz_realloc(self->members, self->member_cap, sizeof(*self->members));
    }
    self->members[self->member_count++] = member;
    return true;
}

/* ------------------------------------------------------------------ names */

/* 128 bits of a hash that needs no secret: the store keeps projects apart, and a token is needed. */
void
dz_meeting_name(struct dz_slice key, unsigned ordinal, char out[DZ_MEETING_NAME + 1])
{
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    dz_buf_addf(&text, "%u", ordinal);
    dz_buf_add(&text, key.ptr, key.len);
    uint64_t first = dz_hash64(dz_buf_slice(&text));
    dz_buf_addf(&text, "+");
    (void) snprintf(out, DZ_MEETING_NAME + 1, "%016" PRIx64 "%016" PRIx64, first,
                    dz_hash64(dz_buf_slice(&text)));
}

unsigned
dz_shard_of(struct dz_slice id, unsigned total)
{
    return total > 1 ? dz_shard_of_hash(dz_hash64(id), total) : 0;
}

unsigned
dz_shard_of_hash(uint64_t hash, unsigned total)
{
    return total > 1 ? (unsigned) (hash % total) : 0;
}

/* ------------------------------------------------------------------ earlier ones */

/* Where there is no room for all, the oldest are forgotten. */
static void
add_earlier(struct dz_meeting *self, const struct dz_slot_past *slots, size_t count)
{
    size_t all = self->earlier_count + count;
    size_t drop = all > DZ_MEETING_MEMBERS_MAX ? all - DZ_MEETING_MEMBERS_MAX : 0;
    self->earlier = dz_realloc(self->earlier, all + 1, sizeof(*self->earlier));
    for (size_t i = 0; i < count; i++)
        self->earlier[self->earlier_count++] = slots[i];
    memmove(self->earlier, self->earlier + drop, (all - drop) * sizeof(*self->earlier));
    self->earlier_count = all - drop;
}

/* ------------------------------------------------------------------ text */

/* The value of "name value" in a small file; empty: not there. */
static struct dz_slice
field(struct dz_slice text, const char *name)
{
    struct dz_slice line;
    size_t len = strlen(name);
    while (dz_line_next(&text, &line)) {
        if (line.len > len && memcmp(line.ptr, name, len) == 0 && line.ptr[len] == ' ')
            return (struct dz_slice){ line.ptr + len + 1, line.len - len - 1 };
    }
    return (struct dz_slice){ 0 };
}

/* The next hexadecimal number of a line; 0 at its end. */
static uint64_t
next_hex(struct dz_slice *rest)
{
    char digits[HEX_LEN + 1] = "";
    size_t len = 0;
    while (rest->len > 0 && *rest->ptr == ' ')
        *rest = (struct dz_slice){ rest->ptr + 1, rest->len - 1 };
    while (len < rest->len && len < HEX_LEN && rest->ptr[len] != ' ')
        len++;
    memcpy(digits, len ? rest->ptr : (const uint8_t *) "", len);
    *rest = (struct dz_slice){ rest->ptr + len, rest->len - len };
    return strtoull(digits, NULL, 16);
}

static void
read_lease(struct dz_slice text, struct dz_lease *out)
{
    struct dz_slice line = field(text, "lease");
    *out = (struct dz_lease){ 0 };
    if (line.len == 0)
        return;
    out->epoch.n = next_hex(&line);
    out->epoch.node = next_hex(&line);
    out->epoch.inc = next_hex(&line);
    out->until = (dz_us) next_hex(&line);
    out->members = next_hex(&line);
    out->is_sealed = next_hex(&line) != 0;
    uint64_t count = next_hex(&line);
    while (out->witness_count < count && out->witness_count < DZ_LEASE_WITNESSES)
        out->witnesses[out->witness_count++] = next_hex(&line);
}

static void
write_lease(const struct dz_lease *lease, struct dz_buf *out)
{
    dz_buf_addf(out,
                "lease %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 " %d %" PRIx64,
                lease->epoch.n, lease->epoch.node, lease->epoch.inc, (uint64_t) lease->until,
                lease->members, lease->is_sealed, lease->witness_count);
    for (uint64_t i = 0; i < lease->witness_count; i++)
        dz_buf_addf(out, " %" PRIx64, lease->witnesses[i]);
    dz_buf_addf(out, "\n");
}

/* "index ci_job end" */
static struct dz_slot_past
read_slot(struct dz_slice *rest)
{
    struct dz_slot_past slot = { .index = (uint32_t) next_hex(rest) };
    slot.ci_job = next_hex(rest);
    uint64_t end = next_hex(rest);
    slot.end = end <= DZ_SLOT_END_LOST ? (enum dz_slot_end) end : DZ_SLOT_END_NONE;
    return slot;
}

/* Lines "member node slot". */
static void
read_members(struct dz_slice text, struct dz_meeting *out)
{
    struct dz_slice line;
    while (dz_line_next(&text, &line)) {
        struct dz_slice rest = field(line, "member");
        if (rest.len == 0)
            continue;
        struct dz_meeting_member member = { .node = next_hex(&rest) };
        member.slot = read_slot(&rest);
        if (!add_member(out, member))
            return;
    }
}

/* Lines "earlier slot". */
static void
read_earlier(struct dz_slice text, struct dz_meeting *out)
{
    struct dz_slice line;
    DZ_AUTO(dz_free) struct dz_slot_past *slots = NULL;
    size_t count = 0, cap = 0;
    while (count < DZ_MEETING_MEMBERS_MAX && dz_line_next(&text, &line)) {
        struct dz_slice rest = field(line, "earlier");
        if (rest.len == 0)
            continue;
        if (count == cap) {
            cap = cap ? 2 * cap : 16;
            slots = dz_realloc(slots, cap, sizeof(*slots));
        }
        slots[count++] = read_slot(&rest);
    }
    out->earlier = dz_move(slots);
    out->earlier_count = count;
}

/* "previous <job> <is it run in full>" */
static void
read_previous(struct dz_slice text, struct dz_meeting *out)
{
    struct dz_slice line = field(text, "previous");
    struct dz_slice job = { line.ptr, line.len < DZ_ULID_LEN ? line.len : DZ_ULID_LEN };
    if (!dz_ulid_read(job, NULL))
        return;
    memcpy(out->previous, job.ptr, DZ_ULID_LEN);
    line = (struct dz_slice){ line.ptr + DZ_ULID_LEN, line.len - DZ_ULID_LEN };
    out->is_full = next_hex(&line) != 0;
}

void
dz_meeting_read(struct dz_slice text, struct dz_meeting *out)
{
    *out = (struct dz_meeting){ 0 };
    struct dz_slice job = field(text, "job"), line = field(text, "generation");
    if (!dz_ulid_read(job, NULL) || line.len == 0)
        return;
    memcpy(out->job, job.ptr, DZ_ULID_LEN);
    read_previous(text, out);
    out->generation.exists = true;
    out->generation.number = (uint32_t) next_hex(&line);
    out->generation.is_sealed = next_hex(&line) != 0;
    out->generation.is_good = next_hex(&line) != 0;
    read_lease(text, &out->lease);
    read_members(text, out);
    read_earlier(text, out);
}

static void
write_slot(const struct dz_slot_past *slot, struct dz_buf *out)
{
    dz_buf_addf(out, "%" PRIx32 " %" PRIx64 " %x\n", slot->index, slot->ci_job,
                (unsigned) slot->end);
}

void
dz_meeting_write(const struct dz_meeting *self, struct dz_buf *out)
{
    dz_buf_addf(out, "present %zx\n", dz_meeting_present(self));
    dz_buf_addf(out, "job %s\ngeneration %" PRIx32 " %d %d\n", self->job, self->generation.number,
                self->generation.is_sealed, self->generation.is_good);
    if (self->previous[0] != '\0')
        dz_buf_addf(out, "previous %s %d\n", self->previous, self->is_full);
    write_lease(&self->lease, out);
    for (size_t i = 0; i < self->member_count; i++) {
        dz_buf_addf(out, "member %" PRIx64 " ", self->members[i].node);
        write_slot(&self->members[i].slot, out);
    }
    for (size_t i = 0; i < self->earlier_count; i++) {
        dz_buf_addf(out, "earlier ");
        write_slot(&self->earlier[i], out);
    }
}

size_t
dz_meeting_count(struct dz_slice text)
{
    struct dz_slice count = field(text, "present");
    return next_hex(&count);
}

/* ------------------------------------------------------------------ changes */

/* The slots of all members.  Caller owns. */
static struct dz_slot_past *
slots_of(const struct dz_meeting *self)
{
    struct dz_slot_past *slots = dz_alloc0(self->member_count + 1, sizeof(*slots));
    for (size_t i = 0; i < self->member_count; i++)
        slots[i] = self->members[i].slot;
    return slots;
}

static struct dz_arrival_reply
ask(const struct dz_meeting *self, const struct dz_arrival *who)
{
    struct dz_generation newest = self->generation;
    DZ_AUTO(dz_free) struct dz_slot_past *past = slots_of(self);
    newest.past = past;
    newest.past_count = self->member_count;
    newest.earlier = self->earlier;
    newest.earlier_count = self->earlier_count;
    return dz_generation_of(&newest, who);
}

static struct dz_meeting_member *
find_node(const struct dz_meeting *self, uint64_t node)
{
    for (size_t i = 0; i < self->member_count; i++)
        if (self->members[i].node == node)
            return &self->members[i];
    return NULL;
}

static bool
is_ended_part(const struct dz_slot_past *slot, uint64_t ci_job)
{
    return slot->ci_job == ci_job &&
           (slot->end == DZ_SLOT_END_VERDICT || slot->end == DZ_SLOT_END_TERMINATED);
}

/* A CI that counts attempts gives a job that is run again the same id. */
static bool
has_ended_here(const struct dz_meeting *self, const struct dz_arrival *who)
{
    bool is_of_this = who->attempt == 0 || who->attempt - 1 == self->generation.number;
    for (size_t i = 0; is_of_this && i < self->member_count; i++)
        if (is_ended_part(&self->members[i].slot, who->ci_job))
            return true;
    for (size_t i = 0; who->attempt == 0 && i < self->earlier_count; i++)
        if (is_ended_part(&self->earlier[i], who->ci_job))
            return true;
    return false;
}

/* Epoch numbers go on over generations: a scheduler of an older one is fenced in the next. */
static void
open_generation(struct dz_meeting *self, const struct dz_meeting_entry *entry)
{
    bool was_good = self->generation.is_sealed && self->generation.is_good;
    DZ_AUTO(dz_free) struct dz_slot_past *slots = slots_of(self);
    add_earlier(self, slots, self->member_count);
    memcpy(self->previous, self->job, sizeof(self->previous));
    self->is_full = dz_rerun_is_full(entry->mode, was_good);
    self->generation = (struct dz_generation){ .exists = true, .number = entry->answer.number };
    self->lease = (struct dz_lease){ .epoch.n = self->lease.epoch.n };
    self->member_count = 0;
    memcpy(self->job, entry->job, sizeof(self->job));
}

enum dz_rc
dz_meeting_enter(struct dz_meeting *self, struct dz_meeting_entry *entry)
{
    struct dz_meeting_member *known = find_node(self, entry->node);
    if (!known && has_ended_here(self, &entry->arrival)) {
        entry->answer = (struct dz_arrival_reply){ DZ_ARRIVAL_AGAIN, self->generation.number };
        return DZ_OK;
    }
    entry->answer = ask(self, &entry->arrival);
    if (entry->answer.word == DZ_ARRIVAL_OPENS)
        open_generation(self, entry);
    memcpy(entry->job, self->job, sizeof(entry->job));
    memcpy(entry->previous, self->previous, sizeof(entry->previous));
    entry->is_full = self->is_full;
    if (entry->answer.word == DZ_ARRIVAL_LATE)
        return DZ_OK;
    known = find_node(self, entry->node); /* of this generation */
    if (known) {
        known->slot.end = DZ_SLOT_END_NONE;
        return DZ_OK;
    }
    struct dz_meeting_member member = {
        .node = entry->node,
        .slot = { .index = entry->arrival.index, .ci_job = entry->arrival.ci_job },
    };
    return add_member(self, member) ? DZ_OK : DZ_LIMIT;
}

void
dz_meeting_seal(struct dz_meeting *self, bool is_good)
{
    self->generation.is_sealed = self->lease.is_sealed = true;
    self->generation.is_good = is_good;
}

void
dz_meeting_end(struct dz_meeting *self, uint64_t node, enum dz_slot_end end)
{
    struct dz_meeting_member *member = find_node(self, node);
    if (member)
        member->slot.end = end;
}

size_t
dz_meeting_ended(const struct dz_meeting *self)
{
    size_t count = 0;
    for (size_t i = 0; i < self->member_count; i++)
        count += self->members[i].slot.end != DZ_SLOT_END_NONE;
    return count;
}

size_t
dz_meeting_present(const struct dz_meeting *self)
{
    return self->member_count - dz_meeting_ended(self);
}
