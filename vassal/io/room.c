#include "vassal/io/room.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/buf.h"
#include "shared/base/digest.h"
#include "shared/base/fd.h"
#include "shared/base/str.h"
#include "shared/net/contact.h"
#include "vassal/io/folder.h"

enum {
    STATE_MAX = 256 << 10, /* bytes of the state file */
    SOCKET_PATH_MAX = 107, /* bytes that the kernel takes, without the NUL */
};

struct room {
    char *path; /* owned: of the folder */
    uint64_t node;
    int life_fd; /* owned: our own file, locked; -1: not entered */
};

/* One that took part in the newest generation. */
struct past {
    uint64_t node;
    struct dz_slot_past slot;
};

/* What the state file says. */
struct state {
    char job[DZ_ULID_LEN + 1];
    struct dz_generation generation; /* its `past` is not used: see below */
    struct dz_lease lease;
    struct past *past; /* owned */
    size_t past_count;
};

static void
state_fini(struct state *self)
{
    dz_free(&self->past);
}

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
    char digits[FOLDER_NAME_LEN + 1] = "";
    size_t len = 0;
    while (rest->len > 0 && *rest->ptr == ' ')
        *rest = (struct dz_slice){ rest->ptr + 1, rest->len - 1 };
    while (len < rest->len && len < FOLDER_NAME_LEN && rest->ptr[len] != ' ')
        len++;
    memcpy(digits, len ? rest->ptr : (const uint8_t *) "", len);
    *rest = (struct dz_slice){ rest->ptr + len, rest->len - len };
    return strtoull(digits, NULL, 16);
}

/* ------------------------------------------------------------------ members */

enum dz_rc
room_find(const struct room *self, uint64_t node, struct dz_buf *contact_out)
{
    bool is_self = node == self->node && self->life_fd >= 0;
    if (!is_self && !folder_is_alive(self->path, node))
        return DZ_ABSENT;
    DZ_AUTO(dz_free) char *path = folder_path(self->path, "%016" PRIx64 ".node", node);
    struct dz_err err;
    enum dz_rc rc = dz_fd_read_file(path, DZ_CONTACT_LEN_MAX, contact_out, &err);
    return rc == DZ_OK ? DZ_OK : DZ_ABSENT;
}

bool
room_knows(const struct room *self, const struct dz_key *key)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
    DZ_AUTO(dz_contact_fini) struct dz_contact contact = { 0 };
    return room_find(self, dz_key_node(key), &bytes) == DZ_OK &&
           dz_contact_read(dz_buf_slice(&bytes), &contact) == DZ_OK &&
           memcmp(&contact.key, key, sizeof(*key)) == 0;
}

/* ------------------------------------------------------------------ state */

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
    for (; out->witness_count < count && out->witness_count < DZ_LEASE_WITNESSES;)
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

/* Lines "past node index ci_job end". */
static void
read_past(struct dz_slice text, struct state *out)
{
    struct dz_slice line;
    out->past = dz_alloc0(ROOM_PAST_MAX, sizeof(*out->past));
    while (dz_line_next(&text, &line) && out->past_count < ROOM_PAST_MAX) {
        struct dz_slice rest = field(line, "past");
        if (rest.len == 0)
            continue;
        struct past *past = &out->past[out->past_count++];
        past->node = next_hex(&rest);
        past->slot.index = (uint32_t) next_hex(&rest);
        past->slot.ci_job = next_hex(&rest);
        past->slot.end = (enum dz_slot_end) next_hex(&rest);
    }
}

static void
read_state(const struct room *self, struct state *out)
{
    *out = (struct state){ 0 };
    DZ_AUTO(dz_free) char *path = folder_path(self->path, "state");
    DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
    struct dz_err err;
    if (dz_fd_read_file(path, STATE_MAX, &bytes, &err) != DZ_OK)
        dz_buf_clear(&bytes); /* nobody has been here */
    struct dz_slice text = dz_buf_slice(&bytes), job = field(text, "job");
    if (dz_ulid_read(job, NULL))
        memcpy(out->job, job.ptr, DZ_ULID_LEN);
    struct dz_slice line = field(text, "generation");
    out->generation.exists = line.len > 0;
    out->generation.number = line.len ? (uint32_t) next_hex(&line) : 0;
    out->generation.is_sealed = line.len && next_hex(&line) != 0;
    out->generation.is_good = line.len && next_hex(&line) != 0;
    read_lease(text, &out->lease);
    read_past(text, out);
}

static enum dz_rc
write_state(const struct room *self, const struct state *state, struct dz_err *err)
{
    DZ_AUTO(dz_free) char *path = folder_path(self->path, "state");
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    dz_buf_addf(&text, "job %s\ngeneration %" PRIx32 " %d %d\n", state->job,
                state->generation.number, state->generation.is_sealed, state->generation.is_good);
    write_lease(&state->lease, &text);
    for (size_t i = 0; i < state->past_count; i++)
        dz_buf_addf(&text, "past %" PRIx64 " %" PRIx32 " %" PRIx64 " %d\n", state->past[i].node,
                    state->past[i].slot.index, state->past[i].slot.ci_job,
                    (int) state->past[i].slot.end);
    return folder_write(path, dz_buf_slice(&text), err);
}

/* ------------------------------------------------------------------ who schedules */

enum dz_rc
room_ask(struct room *self, const struct dz_lease_ask *ask, dz_us now, struct dz_lease_reply *out,
         struct dz_buf *contact_out, struct dz_err *err)
{
    DZ_AUTO(dz_fd_close) int lock = folder_lock(self->path, true);
    if (lock < 0)
        return dz_fail_errno(err, "lock %s", self->path);
    DZ_AUTO(state_fini) struct state state;
    read_state(self, &state);
    uint64_t holder = state.lease.epoch.node;
    if (holder != 0 && holder != self->node && !folder_is_alive(self->path, holder))
        state.lease.until = 0; /* its process is dead */
    if (dz_lease_step(&state.lease, ask, now, out)) {
        enum dz_rc rc = write_state(self, &state, err);
        if (rc != DZ_OK)
            return rc;
    }
    if (out->word == DZ_LEASE_HELD)
        dz_ignore(room_find(self, out->epoch.node, contact_out)); /* died just now: empty */
    return DZ_OK;
}

/* ------------------------------------------------------------------ generations */

/* Whoever lives no more without having said how it ended is lost. */
static void
mark_lost(const struct room *self, struct state *state)
{
    for (size_t i = 0; i < state->past_count; i++) {
        struct past *past = &state->past[i];
        if (past->slot.end == DZ_SLOT_END_NONE && !folder_is_alive(self->path, past->node))
            past->slot.end = DZ_SLOT_END_LOST;
    }
}

static struct dz_arrival_reply
admit(struct state *state, const struct dz_arrival *who)
{
    struct dz_generation newest = state->generation;
    DZ_AUTO(dz_free) struct dz_slot_past *past = dz_alloc0(state->past_count + 1, sizeof(*past));
    for (size_t i = 0; i < state->past_count; i++)
        past[i] = state->past[i].slot;
    newest.past = past;
    newest.past_count = state->past_count;
    return dz_generation_of(&newest, who);
}

/* What is to be written when somebody comes in.  False: too many have. */
static bool
take_in(struct state *state, struct room_entry *entry)
{
    if (entry->answer.word == DZ_ARRIVAL_OPENS) {
        state->generation = (struct dz_generation){ .number = entry->answer.number };
        state->lease = (struct dz_lease){ .epoch.n = state->lease.epoch.n };
        state->past_count = 0;
        memcpy(state->job, entry->job, sizeof(state->job));
    }
    memcpy(entry->job, state->job, sizeof(entry->job));
    if (state->past_count == ROOM_PAST_MAX)
        return false;
    state->past[state->past_count++] = (struct past){
        .node = entry->node,
        .slot = { .index = entry->arrival.index, .ci_job = entry->arrival.ci_job },
    };
    return true;
}

/* Our file is locked before it has its name, so nobody ever sees it as a dead one's. */
static enum dz_rc
sign_in(struct room *self, const struct room_entry *entry, struct dz_err *err)
{
    DZ_AUTO(dz_free) char *path = folder_path(self->path, "%016" PRIx64 ".node", entry->node);
    DZ_AUTO(dz_free) char *draft = folder_path(self->path, "%016" PRIx64 ".draft", entry->node);
    DZ_AUTO(dz_fd_close)
    int fd = open(draft, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || !folder_set_lock(fd, F_WRLCK))
        return dz_fail_errno(err, "make %s", draft);
    enum dz_rc rc = dz_fd_write_all(fd, entry->contact, err);
    if (rc == DZ_OK && rename(draft, path) != 0)
        rc = dz_fail_errno(err, "make %s", path);
    if (rc != DZ_OK)
        return rc;
    self->node = entry->node;
    self->life_fd = dz_fd_move(&fd);
    return DZ_OK;
}

enum dz_rc
room_enter(struct room *self, struct room_entry *entry, struct dz_err *err)
{
    dz_assert(self->life_fd < 0);
    DZ_AUTO(dz_fd_close) int lock = folder_lock(self->path, true);
    if (lock < 0)
        return dz_fail_errno(err, "lock %s", self->path);
    DZ_AUTO(state_fini) struct state state;
    if (folder_is_inhabited(self->path, 0)) {
        read_state(self, &state);
    } else { /* what the dead left is no job of ours */
        state = (struct state){ .past = dz_alloc0(ROOM_PAST_MAX, sizeof(*state.past)) };
    }
    mark_lost(self, &state);
    entry->answer = admit(&state, &entry->arrival);
    if (entry->answer.word == DZ_ARRIVAL_LATE) {
        memcpy(entry->job, state.job, sizeof(entry->job));
        return DZ_OK;
    }
    if (!take_in(&state, entry))
        return dz_fail(err, DZ_LIMIT, "more than %d nodes in %s", ROOM_PAST_MAX, self->path);
    enum dz_rc rc = sign_in(self, entry, err);
    return rc == DZ_OK ? write_state(self, &state, err) : rc;
}

/* Change the state under the lock. */
typedef void change_fn(struct state *state, uint64_t node, int what);

static enum dz_rc
change(struct room *self, change_fn *fn, uint64_t node, int what, struct dz_err *err)
{
    DZ_AUTO(dz_fd_close) int lock = folder_lock(self->path, true);
    if (lock < 0)
        return dz_fail_errno(err, "lock %s", self->path);
    DZ_AUTO(state_fini) struct state state;
    read_state(self, &state);
    fn(&state, node, what);
    return write_state(self, &state, err);
}

static void
set_sealed(struct state *state, uint64_t node, int is_good)
{
    (void) node;
    state->generation.is_sealed = state->lease.is_sealed = true;
    state->generation.is_good = is_good != 0;
}

static void
set_end(struct state *state, uint64_t node, int end)
{
    for (size_t i = 0; i < state->past_count; i++)
        if (state->past[i].node == node)
            state->past[i].slot.end = (enum dz_slot_end) end;
}

enum dz_rc
room_seal(struct room *self, bool is_good, struct dz_err *err)
{
    return change(self, set_sealed, 0, is_good, err);
}

enum dz_rc
room_end(struct room *self, uint64_t node, enum dz_slot_end end, struct dz_err *err)
{
    return change(self, set_end, node, (int) end, err);
}

/* ------------------------------------------------------------------ life */

enum dz_rc
room_open(struct dz_slice key, struct room **self_out, struct dz_err *err)
{
    DZ_AUTO(dz_free) char *root = folder_root();
    enum dz_rc rc = folder_make_private(root, err);
    if (rc != DZ_OK)
        return rc;
    char name[FOLDER_NAME_LEN + 1];
    (void) snprintf(name, sizeof(name), "%016" PRIx64, dz_hash64(key));
    folder_sweep(root, name);
    DZ_AUTO(room_close) struct room *self = dz_alloc0(1, sizeof(*self));
    self->life_fd = -1;
    self->path = folder_path(root, "%s", name);
    if (strlen(self->path) + FOLDER_NAME_LEN + sizeof("/.sock") > SOCKET_PATH_MAX)
        return dz_fail(err, DZ_LIMIT, "%s is too long a path for a socket", self->path);
    *self_out = dz_move(self);
    return DZ_OK;
}

void
room_endpoint(const struct room *self, uint64_t node, char out[ROOM_ENDPOINT_MAX])
{
    (void) snprintf(out, ROOM_ENDPOINT_MAX, "ipc://%s/%016" PRIx64 ".sock", self->path, node);
}

static void
sign_out(struct room *self)
{
    DZ_AUTO(dz_fd_close) int lock = folder_lock(self->path, false);
    DZ_AUTO(dz_free) char *file = folder_path(self->path, "%016" PRIx64 ".node", self->node);
    DZ_AUTO(dz_free) char *sock = folder_path(self->path, "%016" PRIx64 ".sock", self->node);
    (void) unlink(file);
    (void) unlink(sock);
    if (lock >= 0 && !folder_is_inhabited(self->path, self->node))
        folder_remove(self->path);
}

void
room_close(struct room **self_p)
{
    struct room *self = dz_move(*self_p);
    if (!self)
        return;
    if (self->life_fd >= 0)
        sign_out(self);
    dz_fd_close(&self->life_fd);
    free(self->path);
    free(self);
}

const char *
room_path(const struct room *self)
{
    return self->path;
}
