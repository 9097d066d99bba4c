/* meeting.h - what a node and a store say to each other about a meeting (store/meet.h), as JSON.
 *
 * Only texts are made and read here; who asks is vassal/lobby.h, who answers store/http/meet.c.
 * 64-bit numbers are hexadecimal text, since JSON's numbers are not exact. */
#ifndef DZ_STORE_PUSH_MEETING_H
#define DZ_STORE_PUSH_MEETING_H

#include "shared/base/buf.h"
#include "shared/wire/meeting.h"
#include "store/store.h"

/* Words for enums, in their order; NULL ends. */
extern const char *const meeting_arrivals[], *const meeting_leases[], *const meeting_kinds[],
                                                                          *const meeting_ends[];

void meeting_jot_hex(struct dz_buf *out, const char *key, uint64_t number);
void meeting_jot_bytes(struct dz_buf *out, const char *key, struct dz_slice bytes);
void meeting_jot_epoch(struct dz_buf *out, const char *key, const struct dz_epoch *epoch);

/* ------------------------------------------------------------------ asking */

void meeting_ask_enter(struct dz_buf *out, const char *uri, const struct dz_meeting_entry *entry,
                       struct dz_slice contact);
void meeting_ask_lease(struct dz_buf *out, const char *uri, const struct dz_lease_ask *ask);
void meeting_ask_end(struct dz_buf *out, const char *uri, uint64_t node, enum dz_slot_end end);
/* account: what the job's own seal will say (store_job_witness()). */
void meeting_ask_seal(struct dz_buf *out, const char *uri, const struct dz_epoch *epoch,
                      bool is_good, const struct store_seal *account);

/* ------------------------------------------------------------------ answers */

/* How many took part, and how many of them do no more: when it changes, the members have. */
struct meeting_roll {
    uint32_t came, ended;
};

/* CORRUPT, all of them: not such an answer. */
DZ_MUST_USE enum dz_rc meeting_read_enter(struct dz_slice json, struct dz_meeting_entry *entry,
                                          struct meeting_roll *roll);
/* contact_out: appended to. */
DZ_MUST_USE enum dz_rc meeting_read_lease(struct dz_slice json, struct dz_lease_reply *out,
                                          struct dz_buf *contact_out, struct meeting_roll *roll);
typedef void meeting_member_fn(void *arg, uint64_t node, struct dz_slice contact);
/* *next_out: where to go on, 0: that was all. */
DZ_MUST_USE enum dz_rc meeting_read_members(struct dz_slice json, meeting_member_fn *fn, void *arg,
                                            uint32_t *next_out);

#endif
