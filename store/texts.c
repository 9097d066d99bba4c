/* texts.c - what failures said: found by who said it. */
#include <string.h>

#include "shared/base/digest.h"
#include "store/disk.h"

uint64_t
text_who(const struct store_text *text)
{
    uint64_t who[3] = { text->node, text->inc, text->exec };
    return text->who ? text->who : dz_hash64((struct dz_slice){ (uint8_t *) who, sizeof(who) });
}

struct key
text_key(const char *ulid, const struct packed_text *text)
{
    struct key key = { .len = 0 };
    key_add(&key, ulid, DZ_ULID_LEN);
    key_add_number(&key, text->test, 4);
    key_add_number(&key, text->attempt, 1);
    key_add_number(&key, text->who, 8);
    return key;
}

enum dz_rc
text_read(struct store *store, struct dz_kv_txn *txn, const char *ulid,
          const struct packed_text *text, struct dz_buf *out, struct dz_err *err)
{
    struct dz_slice value;
    uint32_t raw_len;
    struct key key = text_key(ulid, text);
    enum dz_rc rc = dz_kv_get(txn, T_TEXT, key_slice(&key), &value, err);
    if (rc != DZ_OK)
        return rc;
    if (value.len < sizeof(raw_len))
        return dz_fail(err, DZ_CORRUPT, "the text of a failure of job %s is damaged", ulid);
    memcpy(&raw_len, value.ptr, sizeof(raw_len));
    value = (struct dz_slice){ value.ptr + sizeof(raw_len), value.len - sizeof(raw_len) };
    return unzip_add(store, value, raw_len, out, err);
}
