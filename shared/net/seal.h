/* seal.h - keys for what two nodes say through somebody who may neither read nor change it.
 *
 * Both pairs of keys are those of the nodes (keys.h), as they are registered at the store.  What opens
 * a session is sealed with a key that only the two can tell, another one for each direction.  A
 * session's keys also come from a fresh half of each end, so that nobody who learns a node's key later
 * can read it, and nothing of an earlier session fits.  XChaCha20-Poly1305 throughout. */
#ifndef DZ_SHARED_NET_SEAL_H
#define DZ_SHARED_NET_SEAL_H

#include "shared/base/buf.h"
#include "shared/net/keys.h"

enum { DZ_SEAL_MORE = 16, DZ_SEAL_NONCE = 24 };

struct dz_seal {
    uint8_t bytes[DZ_KEY_LEN];
};

/* A fresh half: its secret part is forgotten with the session. */
void dz_seal_half(struct dz_keys *out);
/* For what `from` says to `to`; one of them is us.  CORRUPT: theirs is no key. */
DZ_MUST_USE enum dz_rc dz_seal_static(const struct dz_keys *mine, const struct dz_key *theirs,
                                      bool is_from_me, struct dz_seal *out);
/* Of a session that the owner of `opener` opened and that of `answerer` accepted: the first is for
 * the opener's words, the second for the answers. */
struct dz_seal_session {
    struct dz_seal there, back;
};
DZ_MUST_USE enum dz_rc dz_seal_session(const struct dz_seal *from_opener,
                                       const struct dz_keys *mine, const struct dz_key *theirs,
                                       bool is_opener, struct dz_seal_session *out);

/* Append the sealed text.  head: not hidden, but not to be changed either. */
void dz_seal_close(const struct dz_seal *self, const uint8_t nonce[static DZ_SEAL_NONCE],
                   struct dz_slice head, struct dz_slice text, struct dz_buf *out);
/* The reverse.  CORRUPT: not sealed with this key, nonce and head. */
DZ_MUST_USE enum dz_rc dz_seal_open(const struct dz_seal *self,
                                    const uint8_t nonce[static DZ_SEAL_NONCE], struct dz_slice head,
                                    struct dz_slice sealed, struct dz_buf *out);
void dz_seal_chance(uint8_t nonce[static DZ_SEAL_NONCE]);
void dz_seal_forget(void *what, size_t len);

#endif
