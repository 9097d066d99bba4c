/* known.h - whom this node has met, in a file beside its records: an agent that takes over from one
 * that died finds them there when the store is away.
 *
 * It is a help and no record: what cannot be written or read is as if nobody had been met.  Where hundreds come at
 * once it is written now and then, not for each. */
#ifndef DZ_VASSAL_KNOWN_H
#define DZ_VASSAL_KNOWN_H

#include "shared/base/buf.h"
#include "shared/net/contact.h"
#include "shared/net/loop.h"
#include "shared/wire/meeting.h"

enum { KNOWN_MAX = 32 };

struct known_node {
    uint64_t node;
    struct dz_buf contact;
};

struct known {
    char *path;                     /* owned; NULL: not kept yet */
    char name[DZ_MEETING_NAME + 1]; /* of the meeting at the store; "": none */
    struct known_node items[KNOWN_MAX];
    struct dz_loop *loop; /* borrowed */
    struct dz_timer write;
    dz_us written_at;
    size_t count, next; /* next: whom the next one takes the place of, when all places are taken */
};

void known_init(struct known *self, struct dz_loop *loop);
/* What lies in a job's folder.  Nothing: as after a beginning. */
void known_read(struct known *self, const char *dir);
/* From now on, with what is known already. */
void known_keep(struct known *self, const char *dir);
/* must: another one is forgotten for it, if need be. */
void known_add(struct known *self, uint64_t node, struct dz_slice contact, bool must);
void known_fini(struct known *self); /* takes a zeroed one */

#endif
