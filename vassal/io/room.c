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
    SOCKET_PATH_MAX = 107, /* bytes that the kernel takes, without the NUL */
};

struct room {
    char *path; /* owned: of the folder */
    uint64_t node;
    int lock_fd; /* owned: held from room_open() to room_enter(), so that the folder stays */
    int life_fd; /* owned: our own file, locked; -1: not entered */
};

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

/* ------------------------------------------------------------------ the record */

static void
read_meeting(const struct room *self, struct dz_meeting *out)
{
    DZ_AUTO(dz_free) char *path = folder_path(self->path, "state");
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    struct dz_err err;
    if (dz_fd_read_file(path, DZ_MEETING_TEXT_MAX, &text, &err) != DZ_OK)
        dz_buf_clear(&text); /* nobody has been here */
    dz_meeting_read(dz_buf_slice(&text), out);
}

static enum dz_rc
write_meeting(const struct room *self, const struct dz_meeting *meeting, struct dz_err *err)
{
    DZ_AUTO(dz_free) char *path = folder_path(self->path, "state");
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    dz_meeting_write(meeting, &text);
    return folder_write(path, dz_buf_slice(&text), err);
}

/* Whoever lives no more without having said how it ended is lost. */
static void
mark_lost(const struct room *self, struct dz_meeting *meeting)
{
    for (size_t i = 0; i < meeting->member_count; i++) {
        struct dz_meeting_member *member = &meeting->members[i];
        if (member->slot.end == DZ_SLOT_END_NONE && !folder_is_alive(self->path, member->node))
            member->slot.end = DZ_SLOT_END_LOST;
    }
}

/* ------------------------------------------------------------------ coming in */

/* Our file is locked before it has its name, so nobody ever sees it as a dead one's. */
static enum dz_rc
sign_in(struct room *self, uint64_t node, struct dz_slice contact, struct dz_err *err)
{
    DZ_AUTO(dz_free) char *path = folder_path(self->path, "%016" PRIx64 ".node", node);
    DZ_AUTO(dz_free) char *draft = folder_path(self->path, "%016" PRIx64 ".draft", node);
    DZ_AUTO(dz_fd_close)
    int fd = open(draft, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || !folder_set_lock(fd, F_WRLCK))
        return dz_fail_errno(err, "make %s", draft);
    enum dz_rc rc = dz_fd_write_all(fd, contact, err);
    if (rc == DZ_OK && rename(draft, path) != 0)
        rc = dz_fail_errno(err, "make %s", path);
    if (rc != DZ_OK)
        return rc;
    self->node = node;
    self->life_fd = dz_fd_move(&fd);
    return DZ_OK;
}

enum dz_rc
room_enter(struct room *self, struct dz_slice contact, struct dz_meeting_entry *entry,
           struct dz_err *err)
{
    dz_assert(self->lock_fd >= 0);
    DZ_AUTO(dz_fd_close) int lock = dz_fd_move(&self->lock_fd);
    DZ_AUTO(dz_meeting_fini) struct dz_meeting meeting = { 0 };
    if (folder_is_inhabited(self->path, 0)) /* else what the dead left is no job of ours */
        read_meeting(self, &meeting);
    mark_lost(self, &meeting);
    enum dz_rc rc = dz_meeting_enter(&meeting, entry);
    if (rc != DZ_OK)
        return dz_fail(err, rc, "more than %d nodes in %s", DZ_MEETING_MEMBERS_MAX, self->path);
    if (entry->answer.word == DZ_ARRIVAL_LATE || entry->answer.word == DZ_ARRIVAL_AGAIN)
        return DZ_OK;
    rc = sign_in(self, entry->node, contact, err);
    return rc == DZ_OK ? write_meeting(self, &meeting, err) : rc;
}

/* ------------------------------------------------------------------ being there */

enum dz_rc
room_ask(struct room *self, const struct dz_lease_ask *ask, dz_us now, struct dz_lease_reply *out,
         struct dz_buf *contact_out, struct dz_err *err)
{
    DZ_AUTO(dz_fd_close) int lock = folder_lock(self->path, true);
    if (lock < 0)
        return dz_fail_errno(err, "lock %s", self->path);
    DZ_AUTO(dz_meeting_fini) struct dz_meeting meeting;
    read_meeting(self, &meeting);
    uint64_t holder = meeting.lease.epoch.node;
    if (holder != 0 && holder != self->node && !folder_is_alive(self->path, holder))
        meeting.lease.until = 0; /* its process is dead */
    if (dz_lease_step(&meeting.lease, ask, now, out)) {
        enum dz_rc rc = write_meeting(self, &meeting, err);
        if (rc != DZ_OK)
            return rc;
    }
    if (out->word == DZ_LEASE_HELD)
        dz_ignore(room_find(self, out->epoch.node, contact_out)); /* died just now: empty */
    return DZ_OK;
}

enum dz_rc
room_seal(struct room *self, bool is_good, struct dz_err *err)
{
    DZ_AUTO(dz_fd_close) int lock = folder_lock(self->path, true);
    if (lock < 0)
        return dz_fail_errno(err, "lock %s", self->path);
    DZ_AUTO(dz_meeting_fini) struct dz_meeting meeting;
    read_meeting(self, &meeting);
    dz_meeting_seal(&meeting, is_good);
    return write_meeting(self, &meeting, err);
}

enum dz_rc
room_end(struct room *self, uint64_t node, enum dz_slot_end end, struct dz_err *err)
{
    DZ_AUTO(dz_fd_close) int lock = folder_lock(self->path, true);
    if (lock < 0)
        return dz_fail_errno(err, "lock %s", self->path);
    DZ_AUTO(dz_meeting_fini) struct dz_meeting meeting;
    read_meeting(self, &meeting);
    dz_meeting_end(&meeting, node, end);
    return write_meeting(self, &meeting, err);
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
    self->lock_fd = self->life_fd = -1;
    self->path = folder_path(root, "%s", name);
    if (strlen(self->path) + FOLDER_NAME_LEN + sizeof("/.sock") > SOCKET_PATH_MAX)
        return dz_fail(err, DZ_LIMIT, "%s is too long a path for a socket", self->path);
    self->lock_fd = folder_lock(self->path, true);
    if (self->lock_fd < 0)
        return dz_fail_errno(err, "lock %s", self->path);
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
    dz_fd_close(&self->lock_fd);
    dz_fd_close(&self->life_fd);
    free(self->path);
    free(self);
}
