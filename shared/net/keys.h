/* keys.h - who a node is: a pair of CURVE keys, made for one run and never written down.  An agent
 * that takes over from a dead one makes the same ones from the run's secret.
 *
 * The node's number is a digest of its public key, so whoever proved the key (the handshake does)
 * has proved the number. */
#ifndef DZ_SHARED_NET_KEYS_H
#define DZ_SHARED_NET_KEYS_H

#include "shared/base/base.h"

enum {
    DZ_KEY_LEN = 32,
    DZ_KEY_TEXT = 2 * DZ_KEY_LEN + 1, /* hexadecimal, with its NUL */
    DZ_PROOF_LEN = 16,
};

struct dz_key {
    uint8_t bytes[DZ_KEY_LEN];
};

struct dz_keys {
    struct dz_key public, secret;
};

/* IO: this libzmq has no CURVE. */
DZ_MUST_USE enum dz_rc dz_keys_make(struct dz_keys *out, struct dz_err *err);
/* The pair that belongs to a secret of 32 random bytes. */
void dz_keys_of(const uint8_t secret[static DZ_KEY_LEN], struct dz_keys *out);
void dz_keys_forget(struct dz_keys *self); /* overwrites the secret; DZ_AUTO-able */

/* Bytes that only the owners of these two pairs can tell, the same for both. */
void dz_keys_proof(const struct dz_keys *mine, const struct dz_key *theirs,
                   uint8_t out[static DZ_PROOF_LEN]);
/* Bytes that only this process can tell. */
void dz_process_proof(uint8_t out[static DZ_PROOF_LEN]);

/* Never 0. */
uint64_t dz_key_node(const struct dz_key *public);

void dz_key_format(const struct dz_key *key, char out[DZ_KEY_TEXT]);
/* CORRUPT: not 64 hexadecimal digits. */
DZ_MUST_USE enum dz_rc dz_key_parse(struct dz_slice text, struct dz_key *out);

#endif
