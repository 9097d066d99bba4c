/* What a store says of a meeting, as a node reads it, and the record that the store and a room keep.
 *
 * The first byte says which it is.  What was read is written and read again: the same. */
#include <string.h>

#include "store/push/meeting.h"
#include "tests/fuzz/target.h"

enum { ENTER, LEASE, MEMBERS, RECORD };

static void
check_enter(struct dz_slice bytes)
{
    struct dz_meeting_entry entry = { 0 };
    struct meeting_roll roll;
    if (meeting_read_enter(bytes, &entry, &roll) != DZ_OK)
        return;
    bool is_in = entry.answer.word != DZ_ARRIVAL_LATE && entry.answer.word != DZ_ARRIVAL_AGAIN;
    dz_assert(!is_in || dz_ulid_read(dz_str(entry.job), NULL));
    dz_assert(entry.previous[0] == '\0' || dz_ulid_read(dz_str(entry.previous), NULL));
}

static void
check_lease(struct dz_slice bytes)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf contact = { 0 };
    struct dz_lease_reply reply;
    struct meeting_roll roll;
    if (meeting_read_lease(bytes, &reply, &contact, &roll) != DZ_OK)
        return;
    dz_assert(reply.word <= DZ_LEASE_UNREACHABLE && reply.ttl_us >= 0);
    dz_assert(contact.len <= DZ_CONTACT_MAX);
}

static void
see_member(void *arg, uint64_t node, struct dz_slice contact)
{
    (void) node;
    dz_assert(contact.len <= DZ_CONTACT_MAX);
    ++*(size_t *) arg;
}

static void
check_members(struct dz_slice bytes)
{
    size_t count = 0;
    uint32_t next;
    if (meeting_read_members(bytes, see_member, &count, &next) == DZ_OK)
        dz_assert(count <= bytes.len);
}

static void
check_record(struct dz_slice bytes)
{
    DZ_AUTO(dz_meeting_fini) struct dz_meeting first = { 0 }, second = { 0 };
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    DZ_AUTO(dz_buf_fini) struct dz_buf again = { 0 };
    dz_meeting_read(bytes, &first);
    if (!first.generation.exists)
        return;
    dz_meeting_write(&first, &text);
    dz_meeting_read(dz_buf_slice(&text), &second);
    dz_meeting_write(&second, &again);
    dz_assert(dz_slice_eq(dz_buf_slice(&text), dz_buf_slice(&again)));
    struct dz_meeting_entry entry = { .node = 1, .arrival = { .index = 1, .ci_job = 1 } };
    memcpy(entry.job, first.job, sizeof(entry.job));
    if (dz_meeting_enter(&second, &entry) == DZ_OK)
        dz_assert(dz_meeting_ended(&second) <= second.member_count);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct dz_slice rest = { data + 1, size - 1 };
    switch (data[0] - '0') {
    case ENTER: check_enter(rest); break;
    case LEASE: check_lease(rest); break;
    case MEMBERS: check_members(rest); break;
    case RECORD: check_record(rest); break;
    default: break;
    }
    return 0;
}
