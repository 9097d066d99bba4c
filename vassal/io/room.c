#include "vassal/io/room.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/buf.h"
#include "shared/base/digest.h"
#include "shared/base/fd.h"
#include "shared/base/files.h"
#include "shared/base/str.h"
#include "shared/net/contact.h"
#include "vassal/io/folder.h"

enum {
    SOCKET_PATH_MAX = 107, /* bytes that the kernel takes, without the NUL */
    CROWD_US = 100,        /* for each byte of the record: some 5 ms for each member */
};

struct room {
    char *path; /* owned: of the folder */
    uint64_t node;
    int lock_fd;    /* owned: held from room_open() to room_enter(), so that the folder stays */
    int life_fd;    /* owned: our own file, locked; -1: not entered */
    unsigned count; /* members that had not left, when the record was last read for it */
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
read_text(const struct room *self, const char *name, struct dz_buf *out)
{
    DZ_AUTO(dz_free) char *path = folder_path(self->path, "%s", name);
    struct dz_err err;
    if (dz_fd_read_file(path, DZ_MEETING_TEXT_MAX, out, &err) != DZ_OK)
        dz_buf_clear(out); /* nobody has been here */
}

static void
read_record(const struct room *self, const char *name, struct dz_meeting *out)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    read_text(self, name, &text);
    dz_meeting_read(dz_buf_slice(&text), out);
}

static enum dz_rc
write_record(const struct room *self, const char *name, const struct dz_meeting *meeting,
             struct dz_err *err)
{
    DZ_AUTO(dz_free) char *path = folder_path(self->path, "%s", name);
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    dz_meeting_write(meeting, &text);
    return dz_replace_file(path, 0600, dz_buf_slice(&text), err);
}

/* Whose the lease is stands in a file of its own, under a lock of its own: who schedules renews it in
 * time while a thousand others come in, one after another. */
static int
lock_lease(const struct room *self)
{
    return folder_lock(self->path, "lease.lock", true);
}

static enum dz_rc
write_lease(const struct room *self, const struct dz_meeting *meeting, struct dz_err *err)
{
    struct dz_meeting head = *meeting;
    head.member_count = head.earlier_count = 0;
    return write_record(self, "lease", &head, err);
}

/* The meeting with the lease that goes for it. */
static void
read_meeting(const struct room *self, struct dz_meeting *out)
{
    DZ_AUTO(dz_meeting_fini) struct dz_meeting head;
    read_record(self, "state", out);
    read_record(self, "lease", &head);
    if (head.generation.exists)
        out->lease = head.lease;
}

unsigned
room_count(const struct room *self)
{
    return self->count;
}

void
room_count_again(struct room *self)
{
    DZ_AUTO(dz_free) char *path = folder_path(self->path, "state");
    DZ_AUTO(dz_fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    DZ_AUTO(dz_buf_fini) struct dz_buf line = { 0 };
    struct dz_err err;
    if (fd >= 0 && dz_fd_read(fd, &line, DZ_MEETING_LINE_MAX, &err) == DZ_OK)
        self->count = (unsigned) dz_meeting_count(dz_buf_slice(&line));
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

/* The lease of a new generation is there before the generation is: nobody finds the old one's in it. */
static enum dz_rc
write_entry(struct room *self, const struct dz_meeting *meeting, bool is_new, struct dz_err *err)
{
    DZ_AUTO(dz_fd_close) int lock = is_new ? lock_lease(self) : -1;
    if (is_new && lock < 0)
        return dz_fail_errno(err, "lock %s", self->path);
    enum dz_rc rc = is_new ? write_lease(self, meeting, err) : DZ_OK;
    return rc == DZ_OK ? write_record(self, "state", meeting, err) : rc;
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
    enum dz_rc rc = dz_meeting_enter(&meeting, entry);
    if (rc != DZ_OK)
        return dz_fail(err, rc, "more than %d nodes in %s", DZ_MEETING_MEMBERS_MAX, self->path);
    if (entry->answer.word == DZ_ARRIVAL_LATE || entry->answer.word == DZ_ARRIVAL_AGAIN)
        return DZ_OK;
    self->count = (unsigned) dz_meeting_present(&meeting);
    rc = sign_in(self, entry->node, contact, err);
    bool is_new = entry->answer.word == DZ_ARRIVAL_OPENS;
    return rc == DZ_OK ? write_entry(self, &meeting, is_new, err) : rc;
}

/* ------------------------------------------------------------------ being there */

/* Most of those who ask only want to hear who schedules.  What changes nothing needs no lock: the file is
 * replaced in one step. */
static bool
is_answered_at_once(const struct room *self, const struct dz_lease_ask *ask, dz_us now,
                    struct dz_lease_reply *out, struct dz_buf *contact_out)
{
    if (ask->kind != DZ_LEASE_CLAIM && ask->kind != DZ_LEASE_WHO)
        return false;
    DZ_AUTO(dz_meeting_fini) struct dz_meeting meeting;
    read_record(self, "lease", &meeting);
    uint64_t holder = meeting.lease.epoch.node;
    return holder != 0 && holder != self->node && folder_is_alive(self->path, holder) &&
           !dz_lease_step(&meeting.lease, ask, now, out) && out->word == DZ_LEASE_HELD &&
           room_find(self, out->epoch.node, contact_out) == DZ_OK;
}

/* Many on one host keep each other from the processor: a scheduler that comes too late to renew its lease
 * is busy, as long as its process lives and no more time has passed than so many need. */
static void
bear_with(const struct room *self, struct dz_lease *lease, dz_us now)
{
    struct stat record;
    DZ_AUTO(dz_free) char *path = folder_path(self->path, "state");
    dz_us crowd_us = stat(path, &record) == 0 ? (dz_us) record.st_size * CROWD_US : 0;
    if (lease->until <= now && now < lease->until + crowd_us)
        lease->until = now + 1;
}

enum dz_rc
room_ask(struct room *self, const struct dz_lease_ask *ask, dz_us now, struct dz_lease_reply *out,
         struct dz_buf *contact_out, struct dz_err *err)
{
    if (is_answered_at_once(self, ask, now, out, contact_out))
        return DZ_OK;
    dz_buf_clear(contact_out);
    DZ_AUTO(dz_fd_close) int lock = lock_lease(self);
    if (lock < 0)
        return dz_fail_errno(err, "lock %s", self->path);
    DZ_AUTO(dz_meeting_fini) struct dz_meeting meeting;
    read_record(self, "lease", &meeting);
    uint64_t holder = meeting.lease.epoch.node;
    if (holder != 0 && holder != self->node && !folder_is_alive(self->path, holder))
        meeting.lease.until = 0; /* its process is dead */
    else if (holder != 0 && holder != self->node)
        bear_with(self, &meeting.lease, now);
    if (dz_lease_step(&meeting.lease, ask, now, out)) {
        enum dz_rc rc = write_lease(self, &meeting, err);
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
    DZ_AUTO(dz_fd_close) int lock = folder_lock(self->path, "lock", true);
    DZ_AUTO(dz_fd_close) int lease = lock >= 0 ? lock_lease(self) : -1;
    if (lease < 0)
        return dz_fail_errno(err, "lock %s", self->path);
    DZ_AUTO(dz_meeting_fini) struct dz_meeting meeting;
    read_meeting(self, &meeting);
    dz_meeting_seal(&meeting, is_good);
    enum dz_rc rc = write_lease(self, &meeting, err);
    return rc == DZ_OK ? write_record(self, "state", &meeting, err) : rc;
}

enum dz_rc
room_end(struct room *self, uint64_t node, enum dz_slot_end end, struct dz_err *err)
{
    DZ_AUTO(dz_fd_close) int lock = folder_lock(self->path, "lock", true);
    if (lock < 0)
        return dz_fail_errno(err, "lock %s", self->path);
    DZ_AUTO(dz_meeting_fini) struct dz_meeting meeting;
    read_meeting(self, &meeting);
    dz_meeting_end(&meeting, node, end);
    return write_record(self, "state", &meeting, err);
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
    self->lock_fd = folder_lock(self->path, "lock", true);
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
    DZ_AUTO(dz_fd_close) int lock = folder_lock(self->path, "lock", false);
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
