/* meet.c - a meeting is one value of text, a member's contact another; see disk.h. */
#include "store/meet.h"

#include <string.h>

#include "store/job.h"

enum { SWEEP_MAX = 256, PREFIX_LEN = 4 };

/* project, what ('m' meeting, 'n' node), join key [, node] */
static enum dz_rc
make_key(struct dz_kv_txn *txn, const struct store_meet *ask, char what, struct key *out,
         struct dz_err *err)
{
    uint32_t project;
    *out = (struct key){ .len = 0 };
    enum dz_rc rc = project_make(txn, ask->uri, &project, err);
    if (rc != DZ_OK)
        return rc;
    key_add_number(out, project, PREFIX_LEN);
    key_add(out, &what, 1);
    key_add(out, ask->key.ptr, ask->key.len);
    return DZ_OK;
}

/* ------------------------------------------------------------------ one meeting */

/* Every value begins with when it was written. */
static struct dz_slice
without_time(struct dz_slice value)
{
    size_t skip = value.len < sizeof(int64_t) ? value.len : sizeof(int64_t);
    return (struct dz_slice){ value.ptr + skip, value.len - skip };
}

static enum dz_rc
read_meeting(struct dz_kv_txn *txn, const struct key *key, struct dz_meeting *out,
             struct dz_err *err)
{
    struct dz_slice value;
    *out = (struct dz_meeting){ 0 };
    enum dz_rc rc = dz_kv_get(txn, T_MEETING, key_slice(key), &value, err);
    if (rc == DZ_OK)
        dz_meeting_read(without_time(value), out);
    return rc == DZ_ABSENT ? DZ_OK : rc;
}

static enum dz_rc
put_timed(struct dz_kv_txn *txn, const struct key *key, int64_t now_us, struct dz_slice bytes,
          struct dz_err *err)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf value = { 0 };
    dz_buf_add(&value, &now_us, sizeof(now_us));
    dz_buf_add(&value, bytes.ptr, bytes.len);
    return dz_kv_put(txn, T_MEETING, key_slice(key), dz_buf_slice(&value), err);
}

static enum dz_rc
write_meeting(struct dz_kv_txn *txn, const struct key *key, int64_t now_us,
              const struct dz_meeting *meeting, struct dz_err *err)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    dz_meeting_write(meeting, &text);
    return put_timed(txn, key, now_us, dz_buf_slice(&text), err);
}

static void
node_key(const struct key *meeting, uint64_t node, struct key *out)
{
    *out = *meeting;
    out->bytes[PREFIX_LEN] = 'n';
    key_add_number(out, node, sizeof(node));
}

/* ------------------------------------------------------------------ requests */

struct group {
    struct store_meet *asks;
    size_t count;
    int64_t now_us;
};

/* Has who entered become a member? */
static bool
is_in(const struct store_meet *ask)
{
    return ask->entry.answer.word != DZ_ARRIVAL_LATE && ask->entry.answer.word != DZ_ARRIVAL_AGAIN;
}

/* What one request does to the meeting; true: it has to be written. */
static bool
enter(struct store_meet *ask, struct dz_meeting *meeting)
{
    ask->rc = dz_meeting_enter(meeting, &ask->entry);
    return ask->rc == DZ_OK && is_in(ask);
}

static bool
seal(struct store_meet *ask, struct dz_meeting *meeting)
{
    if (dz_epoch_cmp(&ask->epoch, &meeting->lease.epoch) < 0) {
        ask->rc = DZ_REFUSED;
        return false;
    }
    dz_meeting_seal(meeting, ask->is_good);
    return true;
}

static bool
change(struct store_meet *ask, struct dz_meeting *meeting, int64_t now_us)
{
    if (ask->kind == STORE_MEET_ENTER)
        return enter(ask, meeting);
    if (!meeting->generation.exists) {
        ask->rc = DZ_ABSENT;
        return false;
    }
    switch (ask->kind) {
    case STORE_MEET_LEASE: return dz_lease_step(&meeting->lease, &ask->ask, now_us, &ask->reply);
    case STORE_MEET_END: dz_meeting_end(meeting, ask->node, ask->end); return true;
    case STORE_MEET_SEAL: return seal(ask, meeting);
    case STORE_MEET_ENTER: break;
    }
    return false;
}

static enum dz_rc
find_holder(struct dz_kv_txn *txn, const struct key *key, struct store_meet *ask,
            struct dz_err *err)
{
    struct key node;
    struct dz_slice value;
    node_key(key, ask->reply.epoch.node, &node);
    enum dz_rc rc = dz_kv_get(txn, T_MEETING, key_slice(&node), &value, err);
    if (rc != DZ_OK)
        return rc == DZ_ABSENT ? DZ_OK : rc;
    value = without_time(value);
    dz_buf_clear(&ask->found); /* the transaction may run again */
    dz_buf_add(&ask->found, value.ptr, value.len);
    return DZ_OK;
}

/* With the meeting: from here on nobody else will schedule it. */
static enum dz_rc
note_seal(struct dz_kv_txn *txn, struct store_meet *ask, const struct dz_meeting *meeting,
          struct dz_err *err)
{
    memcpy(ask->entry.job, meeting->job, sizeof(ask->entry.job));
    return ask->has_account ? witness_put(txn, meeting->job, &ask->account, err) : DZ_OK;
}

static enum dz_rc
serve_one(struct dz_kv_txn *txn, struct store_meet *ask, int64_t now_us, struct dz_err *err)
{
    struct key key, node;
    DZ_AUTO(dz_meeting_fini) struct dz_meeting meeting = { 0 };
    ask->rc = DZ_OK;
    enum dz_rc rc = make_key(txn, ask, 'm', &key, err);
    if (rc == DZ_OK)
        rc = read_meeting(txn, &key, &meeting, err);
    if (rc != DZ_OK)
        return rc;
    if (change(ask, &meeting, now_us))
        rc = write_meeting(txn, &key, now_us, &meeting, err);
    if (rc == DZ_OK && ask->kind == STORE_MEET_SEAL && ask->rc == DZ_OK)
        rc = note_seal(txn, ask, &meeting, err);
    ask->came = (uint32_t) meeting.member_count;
    ask->ended = (uint32_t) dz_meeting_ended(&meeting);
    if (rc == DZ_OK && ask->kind == STORE_MEET_ENTER && ask->rc == DZ_OK && is_in(ask)) {
        node_key(&key, ask->entry.node, &node);
        rc = put_timed(txn, &node, now_us, ask->contact, err);
    }
    if (rc == DZ_OK && ask->kind == STORE_MEET_LEASE && ask->reply.word == DZ_LEASE_HELD)
        rc = find_holder(txn, &key, ask, err);
    return rc;
}

static enum dz_rc
serve_group(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct group *group = arg;
    for (size_t i = 0; i < group->count; i++) {
        enum dz_rc rc = serve_one(txn, &group->asks[i], group->now_us, err);
        if (rc != DZ_OK)
            return rc;
    }
    return DZ_OK;
}

enum dz_rc
store_meet(struct store *self, struct store_meet *asks, size_t count, int64_t now_us,
           struct dz_err *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct store_meet *ask = &asks[i];
        if (ask->key.len == 0 || ask->key.len > STORE_MEET_KEY_MAX ||
            ask->contact.len > DZ_CONTACT_MAX)
            return dz_fail(err, DZ_LIMIT, "a join key of %zu or a contact of %zu bytes",
                           ask->key.len, ask->contact.len);
    }
    struct group group = { asks, count, now_us };
    return dz_kv_write(self->kv, serve_group, &group, err);
}

/* ------------------------------------------------------------------ members */

/* ABSENT: nobody has come to it. */
static enum dz_rc
find_meeting(struct dz_kv_txn *txn, const struct store_meet *ask, struct key *key,
             struct dz_meeting *out, struct dz_err *err)
{
    uint32_t project;
    enum dz_rc rc = project_number(txn, ask->uri, &project, err);
    if (rc == DZ_OK) {
        key_add_number(key, project, PREFIX_LEN);
        key_add(key, "m", 1);
        key_add(key, ask->key.ptr, ask->key.len);
        rc = read_meeting(txn, key, out, err);
    }
    if (rc == DZ_ABSENT || (rc == DZ_OK && !out->generation.exists))
        return dz_fail(err, DZ_ABSENT, "nobody has come to this meeting");
    return rc;
}

static bool
takes_part(const struct dz_meeting_member *member)
{
    return member->slot.end == DZ_SLOT_END_NONE;
}

struct roll {
    const struct store_meet *ask; /* names the meeting */
    uint32_t skip, next;
    store_member_fn *fn;
    void *arg;
};

static enum dz_rc
call_roll(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct roll *roll = arg;
    struct key key = { .len = 0 }, node;
    uint32_t shown = 0;
    DZ_AUTO(dz_meeting_fini) struct dz_meeting meeting = { 0 };
    enum dz_rc rc = find_meeting(txn, roll->ask, &key, &meeting, err);
    for (size_t i = roll->skip; rc == DZ_OK && i < meeting.member_count; i++) {
        struct dz_slice value;
        if (shown == STORE_MEET_MEMBERS_SHOWN) {
            roll->next = (uint32_t) i;
            return DZ_OK;
        }
        node_key(&key, meeting.members[i].node, &node);
        bool is_there = takes_part(&meeting.members[i]) &&
                        dz_kv_get(txn, T_MEETING, key_slice(&node), &value, err) == DZ_OK;
        if (is_there)
            roll->fn(roll->arg, meeting.members[i].node, without_time(value));
        shown += is_there;
    }
    return rc;
}

enum dz_rc
store_meet_members(struct store *self, const char *uri, struct dz_slice key, uint32_t skip,
                   store_member_fn *fn, void *arg, uint32_t *next_out, struct dz_err *err)
{
    if (key.len == 0 || key.len > STORE_MEET_KEY_MAX)
        return dz_fail(err, DZ_LIMIT, "a join key of %zu bytes", key.len);
    struct store_meet ask = { .uri = uri, .key = key };
    struct roll roll = { .ask = &ask, .skip = skip, .fn = fn, .arg = arg };
    enum dz_rc rc = dz_kv_read(self->kv, call_roll, &roll, err);
    if (rc == DZ_OK)
        *next_out = roll.next;
    return rc;
}

struct presence {
    const struct store_meet *ask;
    const uint64_t *nodes;
    bool *is_in; /* of each */
    size_t count;
};

static enum dz_rc
look_for(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    const struct presence *who = arg;
    struct key key = { .len = 0 };
    DZ_AUTO(dz_meeting_fini) struct dz_meeting meeting = { 0 };
    memset(who->is_in, 0, who->count * sizeof(*who->is_in));
    enum dz_rc rc = find_meeting(txn, who->ask, &key, &meeting, err);
    for (size_t i = 0; rc == DZ_OK && i < meeting.member_count; i++)
        for (size_t k = 0; k < who->count && takes_part(&meeting.members[i]); k++)
            who->is_in[k] |= meeting.members[i].node == who->nodes[k];
    return rc == DZ_ABSENT ? DZ_OK : rc;
}

enum dz_rc
store_meet_present(struct store *self, const char *uri, struct dz_slice key, const uint64_t *nodes,
                   bool *is_in_out, size_t count, struct dz_err *err)
{
    if (key.len == 0 || key.len > STORE_MEET_KEY_MAX)
        return dz_fail(err, DZ_LIMIT, "a join key of %zu bytes", key.len);
    struct store_meet ask = { .uri = uri, .key = key };
    struct presence who = { &ask, nodes, is_in_out, count };
    return dz_kv_read(self->kv, look_for, &who, err);
}

/* ------------------------------------------------------------------ forgetting */

struct sweep {
    int64_t before_us;
    struct dz_kv_batch batch;
};

static enum dz_rc
find_old(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct sweep *sweep = arg;
    struct dz_slice key, value;
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, txn, T_MEETING, (struct dz_slice){ 0 });
    while (sweep->batch.count < SWEEP_MAX && dz_kv_next(&it, &key, &value)) {
        int64_t written_us = 0;
        if (value.len >= sizeof(written_us))
            memcpy(&written_us, value.ptr, sizeof(written_us));
        if (written_us < sweep->before_us)
            dz_kv_batch_del(&sweep->batch, T_MEETING, key);
    }
    return dz_kv_iter_rc(&it, err);
}

enum dz_rc
store_meet_sweep(struct store *self, int64_t now_us, struct dz_err *err)
{
    struct sweep sweep = { .before_us = now_us - INT64_C(1000000) * STORE_MEET_AGE_S };
    enum dz_rc rc = dz_kv_read(self->kv, find_old, &sweep, err);
    if (rc == DZ_OK && sweep.batch.count > 0)
        rc = dz_kv_batch_commit(&sweep.batch, self->kv, err);
    dz_kv_batch_fini(&sweep.batch);
    return rc;
}
