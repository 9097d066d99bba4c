/* texts.c - finding what a failure said. */
#include "store/texts.h"

#include <string.h>

#include "shared/base/digest.h"

static const struct column text_columns[] = {
    COLUMN(struct placed_text, test), COLUMN(struct placed_text, attempt),
    COLUMN(struct placed_text, who),  COLUMN(struct placed_text, offset),
    COLUMN(struct placed_text, len),
};
const struct column_set TEXT_COLUMNS = { text_columns, DZ_LEN(text_columns),
                                         sizeof(struct placed_text), 0 };

/* ---- rows ---- */

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

void
text_pack(struct store *store, struct dz_slice text, struct dz_buf *value)
{
    uint32_t raw_len = (uint32_t) text.len;
    dz_buf_add(value, &raw_len, sizeof(raw_len));
    zip_add(store, text, value);
}

enum dz_rc
text_unpack(struct store *store, struct dz_slice value, struct dz_buf *out, struct dz_err *err)
{
    uint32_t raw_len;
    if (value.len < sizeof(raw_len))
        return dz_fail(err, DZ_CORRUPT, "'%s': the text of a failure is damaged", store->dir);
    memcpy(&raw_len, value.ptr, sizeof(raw_len));
    value = (struct dz_slice){ value.ptr + sizeof(raw_len), value.len - sizeof(raw_len) };
    return unzip_add(store, value, raw_len, out, err);
}

/* ---- segments ---- */

void
text_reader_fini(struct text_reader *self)
{
    contents_fini(&self->contents);
    dz_buf_fini(&self->texts);
    dz_buf_fini(&self->bytes);
    *self = (struct text_reader){ .has_loaded = false };
}

static enum dz_rc
load(struct store *store, struct dz_kv_txn *txn, struct text_reader *self, const char *ulid,
     uint32_t number, struct dz_err *err)
{
    struct dz_slice value;
    struct segment segment;
    if (self->has_loaded && self->loaded == number)
        return DZ_OK;
    self->has_loaded = false;
    dz_buf_clear(&self->texts);
    dz_buf_clear(&self->bytes);
    enum dz_rc rc = contents_segment(txn, ulid, BATCH_TEXTS, number, &value, err);
    if (rc == DZ_OK && !segment_open(value, &TEXT_COLUMNS, &segment))
        return dz_fail(err, DZ_CORRUPT, "texts of job %.26s cannot be read", ulid);
    if (rc == DZ_OK)
        rc = segment_records(store, &segment, &TEXT_COLUMNS, &self->texts, err);
    if (rc == DZ_OK)
        rc = segment_text(store, &segment, &self->bytes, err);
    self->loaded = number;
    self->has_loaded = rc == DZ_OK;
    return rc;
}

static bool
find(const struct text_reader *self, const struct packed_text *name, struct dz_buf *out)
{
    struct placed_text text;
    for (size_t at = 0; at + sizeof(text) <= self->texts.len; at += sizeof(text)) {
        memcpy(&text, self->texts.data + at, sizeof(text));
        if (text.test != name->test || text.attempt != name->attempt || text.who != name->who ||
            (uint64_t) text.offset + text.len > self->bytes.len)
            continue;
        dz_buf_add(out, self->bytes.data + text.offset, text.len);
        return true;
    }
    return false;
}

/* Another process may have made segments since the contents were read. */
static enum dz_rc
catch_up(struct store *store, struct dz_kv_txn *txn, struct text_reader *self, const char *ulid,
         struct dz_err *err)
{
    struct contents_head head;
    enum dz_rc rc = contents_head(txn, ulid, BATCH_TEXTS, &head, err);
    if (rc != DZ_OK || head.segments == self->contents.head.segments)
        return rc;
    contents_fini(&self->contents);
    self->has_loaded = false;
    return contents_read(store, txn, ulid, BATCH_TEXTS, &self->contents, err);
}

static bool
has_test(const struct contents *contents, uint32_t segment, uint32_t test)
{
    const struct segment_info *info = &contents->infos[segment];
    return test >= (uint64_t) info->first_us && test <= (uint64_t) info->last_us;
}

enum dz_rc
text_find(struct store *store, struct dz_kv_txn *txn, struct text_reader *reader, const char *ulid,
          const struct packed_text *name, struct dz_buf *out, struct dz_err *err)
{
    struct key key = text_key(ulid, name);
    struct dz_slice value;
    enum dz_rc rc = dz_kv_get(txn, T_TEXT, key_slice(&key), &value, err);
    if (rc == DZ_OK)
        return text_unpack(store, value, out, err);
    if (rc == DZ_ABSENT)
        rc = catch_up(store, txn, reader, ulid, err);
    for (uint32_t i = reader->contents.head.segments; rc == DZ_OK && i-- > 0;) { /* newest first */
        if (!has_test(&reader->contents, i, name->test))
            continue;
        rc = load(store, txn, reader, ulid, i, err);
        if (rc == DZ_OK && find(reader, name, out))
            return DZ_OK;
    }
    return rc == DZ_OK ? DZ_ABSENT : rc;
}

enum dz_rc
text_read(struct store *store, struct dz_kv_txn *txn, const char *ulid,
          const struct packed_text *text, struct dz_buf *out, struct dz_err *err)
{
    DZ_AUTO(text_reader_fini) struct text_reader reader = { .has_loaded = false };
    return text_find(store, txn, &reader, ulid, text, out, err);
}
