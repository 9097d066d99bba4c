#include "shared/net/keys.h"

#include <sodium.h>
#include <string.h>
#include <sys/auxv.h>
#include <zmq.h>

enum { Z85_LEN = DZ_KEY_LEN / 4 * 5 + 1 };

enum dz_rc
dz_keys_make(struct dz_keys *out, struct dz_err *err)
{
    char public_text[Z85_LEN], secret_text[Z85_LEN];
    if (sodium_init() < 0 || zmq_curve_keypair(public_text, secret_text) != 0)
        return dz_fail(err, DZ_IO, "make CURVE keys: %s", zmq_strerror(zmq_errno()));
    struct dz_keys made;
    bool is_made = zmq_z85_decode(made.public.bytes, public_text) != NULL &&
                   zmq_z85_decode(made.secret.bytes, secret_text) != NULL;
    sodium_memzero(secret_text, sizeof(secret_text));
    dz_assert(is_made); /* libzmq reads what it wrote */
    *out = made;
    dz_keys_forget(&made);
    return DZ_OK;
}

void
dz_keys_of(const uint8_t secret[static DZ_KEY_LEN], struct dz_keys *out)
{
    int rc = crypto_box_seed_keypair(out->public.bytes, out->secret.bytes, secret);
    dz_assert(rc == 0); /* it always is */
}

void
dz_keys_forget(struct dz_keys *self)
{
    sodium_memzero(&self->secret, sizeof(self->secret));
}

static void
digest(const void *what, const void *key, size_t key_len, uint8_t out[static DZ_PROOF_LEN])
{
    int rc = crypto_generichash(out, DZ_PROOF_LEN, what, DZ_KEY_LEN, key, key_len);
    dz_assert(rc == 0); /* lengths are right */
}

void
dz_keys_proof(const struct dz_keys *mine, const struct dz_key *theirs,
              uint8_t out[static DZ_PROOF_LEN])
{
    static const uint8_t label[DZ_KEY_LEN] = "dagz routing";
    uint8_t common[crypto_box_BEFORENMBYTES];
    if (crypto_box_beforenm(common, theirs->bytes, mine->secret.bytes) != 0)
        randombytes_buf(common, sizeof(common)); /* no key that anybody has a secret of */
    digest(label, common, sizeof(common), out);
    sodium_memzero(common, sizeof(common));
}

void
dz_process_proof(uint8_t out[static DZ_PROOF_LEN])
{
    static const uint8_t label[DZ_KEY_LEN] = "dagz process";
    enum { KERNELS_LEN = 16 };
    const void *kernels = (const void *) getauxval(AT_RANDOM); /* made at exec */
    dz_assert(kernels);
    digest(label, kernels, KERNELS_LEN, out);
}

uint64_t
dz_key_node(const struct dz_key *public)
{
    uint8_t digest[crypto_generichash_BYTES_MIN];
    (void) crypto_generichash(digest, sizeof(digest), public->bytes, DZ_KEY_LEN, NULL, 0);
    uint64_t node;
    memcpy(&node, digest, sizeof(node));
    return node ? node : 1;
}

void
dz_key_format(const struct dz_key *key, char out[DZ_KEY_TEXT])
{
    (void) sodium_bin2hex(out, DZ_KEY_TEXT, key->bytes, DZ_KEY_LEN);
}

enum dz_rc
dz_key_parse(struct dz_slice text, struct dz_key *out)
{
    struct dz_key key;
    size_t len = 0;
    if (text.len != DZ_KEY_TEXT - 1 ||
        sodium_hex2bin(key.bytes, DZ_KEY_LEN, (const char *) text.ptr, text.len, NULL, &len,
                       NULL) != 0 ||
        len != DZ_KEY_LEN)
        return DZ_CORRUPT;
    *out = key;
    return DZ_OK;
}
