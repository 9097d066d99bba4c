#include "shared/net/seal.h"

#include <sodium.h>
#include <string.h>

static const uint8_t static_label[16] = "dagz seal";
static const uint8_t session_label[16] = "dagz session";

void
dz_seal_half(struct dz_keys *out)
{
    (void) crypto_box_keypair(out->public.bytes, out->secret.bytes);
}

/* out = hash of label, first and second, keyed with `key`. */
static void
derive(uint8_t *out, size_t len, const uint8_t label[16], const struct dz_key *first,
       const struct dz_key *second, const uint8_t key[DZ_KEY_LEN])
{
    crypto_generichash_state state;
    (void) crypto_generichash_init(&state, key, DZ_KEY_LEN, len);
    (void) crypto_generichash_update(&state, label, 16);
    (void) crypto_generichash_update(&state, first->bytes, DZ_KEY_LEN);
    (void) crypto_generichash_update(&state, second->bytes, DZ_KEY_LEN);
    (void) crypto_generichash_final(&state, out, len);
    sodium_memzero(&state, sizeof(state));
}

enum dz_rc
dz_seal_static(const struct dz_keys *mine, const struct dz_key *theirs, bool is_from_me,
               struct dz_seal *out)
{
    uint8_t common[crypto_box_BEFORENMBYTES];
    if (crypto_box_beforenm(common, theirs->bytes, mine->secret.bytes) != 0)
        return DZ_CORRUPT;
    const struct dz_key *from = is_from_me ? &mine->public : theirs;
    const struct dz_key *to = is_from_me ? theirs : &mine->public;
    derive(out->bytes, sizeof(out->bytes), static_label, from, to, common);
    sodium_memzero(common, sizeof(common));
    return DZ_OK;
}

enum dz_rc
dz_seal_session(const struct dz_seal *from_opener, const struct dz_keys *mine,
                const struct dz_key *theirs, bool is_opener, struct dz_seal_session *out)
{
    uint8_t common[crypto_scalarmult_BYTES], mixed[DZ_KEY_LEN];
    uint8_t both[sizeof(*out)];
    if (crypto_scalarmult(common, mine->secret.bytes, theirs->bytes) != 0)
        return DZ_CORRUPT;
    const struct dz_key *opener = is_opener ? &mine->public : theirs;
    const struct dz_key *answerer = is_opener ? theirs : &mine->public;
    (void) crypto_generichash(mixed, sizeof(mixed), common, sizeof(common), from_opener->bytes,
                              DZ_KEY_LEN);
    derive(both, sizeof(both), session_label, opener, answerer, mixed);
    memcpy(out, both, sizeof(both));
    sodium_memzero(common, sizeof(common));
    sodium_memzero(mixed, sizeof(mixed));
    sodium_memzero(both, sizeof(both));
    return DZ_OK;
}

void
dz_seal_close(const struct dz_seal *self, const uint8_t nonce[static DZ_SEAL_NONCE],
              struct dz_slice head, struct dz_slice text, struct dz_buf *out)
{
    unsigned long long len = 0;
    uint8_t *at = dz_buf_reserve(out, text.len + DZ_SEAL_MORE);
    (void) crypto_aead_xchacha20poly1305_ietf_encrypt(at, &len, text.ptr, text.len, head.ptr,
                                                      head.len, NULL, nonce, self->bytes);
    out->len += (size_t) len;
}

enum dz_rc
dz_seal_open(const struct dz_seal *self, const uint8_t nonce[static DZ_SEAL_NONCE],
             struct dz_slice head, struct dz_slice sealed, struct dz_buf *out)
{
    unsigned long long len = 0;
    if (sealed.len < DZ_SEAL_MORE)
        return DZ_CORRUPT;
    uint8_t *at = dz_buf_reserve(out, sealed.len);
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(at, &len, NULL, sealed.ptr, sealed.len, head.ptr,
                                                   head.len, nonce, self->bytes) != 0)
        return DZ_CORRUPT;
    out->len += (size_t) len;
    return DZ_OK;
}

void
dz_seal_chance(uint8_t nonce[static DZ_SEAL_NONCE])
{
    randombytes_buf(nonce, DZ_SEAL_NONCE);
}

void
dz_seal_forget(void *what, size_t len)
{
    sodium_memzero(what, len);
}
