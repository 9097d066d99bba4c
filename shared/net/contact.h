/* contact.h - how a node is reached: its key and the endpoints that it listens at, as bytes that the
 * cores and the store carry without looking inside. */
#ifndef DZ_SHARED_NET_CONTACT_H
#define DZ_SHARED_NET_CONTACT_H

#include "shared/base/buf.h"
#include "shared/base/str.h"
#include "shared/net/keys.h"

enum { DZ_CONTACT_LEN_MAX = 512, DZ_CONTACT_ENDPOINTS = 8 };

struct dz_contact {
    struct dz_key key;
    struct dz_strs endpoints; /* owned; the likeliest first */
};
void dz_contact_fini(struct dz_contact *self); /* DZ_AUTO-able */

/* Append the bytes.  Endpoints that do not fit are left out, the last ones first. */
void dz_contact_write(const struct dz_key *key, const struct dz_strs *endpoints,
                      struct dz_buf *out);
/* CORRUPT: not what dz_contact_write() makes.  Bytes may be anybody's. */
DZ_MUST_USE enum dz_rc dz_contact_read(struct dz_slice bytes, struct dz_contact *out);

#endif
