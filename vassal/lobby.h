/* lobby.h - the meeting of a join key, as the store keeps it (store/meet.h) and this node sees it.
 *
 * Coming in waits, because before it nobody knows which job this is; everything after that is asked
 * from the loop and never waits.  What the store does not answer in time is UNREACHABLE, and asked
 * again by who needs it.
 *
 * Who is let in: the store's list of members is fetched when it has changed, or somebody knocks whose
 * key is not known; a member whose part has ended, or that the store has struck off, is shut out. */
#ifndef DZ_VASSAL_LOBBY_H
#define DZ_VASSAL_LOBBY_H

#include "shared/base/buf.h"
#include "shared/net/loop.h"
#include "shared/wire/meeting.h"
#include "store/store.h"

struct lobby;

struct lobby_ops {
    void (*on_answer)(void *arg, uint64_t number, const struct dz_lease_reply *reply,
                      struct dz_slice contact);
    void (*on_member)(void *arg, uint64_t node, struct dz_slice contact); /* takes part */
    void (*on_left)(void *arg, uint64_t node);                            /* does so no more */
    void (*on_company)(
        void *arg);             /* told now and then while this node schedules, and others are in */
    void (*on_idle)(void *arg); /* what was to be told at the end has arrived */
    void *arg;
};

struct lobby_cfg {
    struct dz_loop *loop;            /* borrowed */
    const char *url, *uri;           /* of the store, of the project; copied, as is the rest */
    struct dz_slice key;             /* the join key's parts, of any length */
    uint64_t node;                   /* this one */
    struct dz_slice contact;         /* how others reach it */
    dz_ms try_ms;                    /* for one of two tries to come in */
    void (*on_wait)(void *wait_arg); /* such a try begins */
    void *wait_arg;
    const struct lobby_ops *ops;
};

/* A client for it; nothing is asked yet. */
DZ_MUST_USE enum dz_rc lobby_new(const struct lobby_cfg *cfg, struct lobby **self_out,
                                 struct dz_err *err);
void lobby_destroy(struct lobby **self_p);

/* Come in, within a few seconds, or hear that it is over: entry->answer (never AGAIN).
 * CLOSED: no store answers.  REFUSED: it does not want us, and err says why. */
DZ_MUST_USE enum dz_rc lobby_enter(struct lobby *self, struct dz_meeting_entry *entry,
                                   struct dz_err *err);

/* The meeting's name at the store, once it was entered. */
const char *lobby_name(const struct lobby *self);
unsigned
lobby_count(const struct lobby *self); /* members that have not left, as the store last said */

/* Append where the meeting's letters are sent and fetched. */
void lobby_letters_url(const struct lobby *self, struct dz_buf *out);

/* Ask for the lease; an ask that is still on its way is dropped.  on_answer() follows, later. */
void lobby_ask(struct lobby *self, uint64_t number, const struct dz_lease_ask *ask,
               dz_us patience_us);
/* Somebody is at the door who is not known. */
void lobby_look_again(struct lobby *self);

/* An earlier life of this node has entered, and the store is away: the meeting's name, as
 * lobby_name() gave it then.  It hears of this life when it is back. */
void lobby_go_back(struct lobby *self, const char *name, const struct dz_meeting_entry *entry);

/* Told until the store has heard it, or this object ends. */
void lobby_tell_end(struct lobby *self, enum dz_slot_end end);
void lobby_tell_seal(struct lobby *self, const struct dz_epoch *epoch, bool is_good,
                     const struct store_seal *account);
bool lobby_is_idle(const struct lobby *self);

#endif
