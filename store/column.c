/* column.c - records to columns and back. */
#include "store/column.h"

#include <string.h>

struct segment_head {
    uint32_t count, columns;
};

struct piece {
    uint32_t raw_len, stored_len;
};

enum { VARINT_MAX = 10 };

/* ---- numbers ---- */

static uint8_t *
varint_write(uint8_t *to, uint64_t number)
{
    for (; number >= 0x80; number >>= 7)
        *to++ = (uint8_t) (number | 0x80);
    *to++ = (uint8_t) number;
    return to;
}

void
varint_add(struct dz_buf *out, uint64_t number)
{
    uint8_t bytes[VARINT_MAX];
    dz_buf_add(out, bytes, (size_t) (varint_write(bytes, number) - bytes));
}

bool
varint_next(struct dz_slice *from, uint64_t *out)
{
    uint64_t number = 0;
    for (size_t i = 0; i < from->len && i < VARINT_MAX; i++) {
        number |= (uint64_t) (from->ptr[i] & 0x7f) << (7 * i);
        if (from->ptr[i] < 0x80) {
            from->ptr += i + 1;
            from->len -= i + 1;
            *out = number;
            return true;
        }
    }
    return false;
}

/* Small differences of either sign become small numbers. */
static uint64_t
fold(uint64_t difference)
{
    return difference << 1 ^ (0 - (difference >> 63));
}

static uint64_t
unfold(uint64_t number)
{
    return number >> 1 ^ (0 - (number & 1));
}

/* Packed records have the byte order of the machine, see disk.h. */
static uint64_t
field_at(const uint8_t *record, struct column column)
{
    uint64_t number = 0;
    memcpy(&number, record + column.offset, column.size);
    return number;
}

/* ---- packing ---- */

static void
add_piece(struct store *store, struct dz_slice raw, size_t table, struct dz_buf *out)
{
    size_t before = out->len;
    zip_add(store, raw, out);
    struct piece piece = { (uint32_t) raw.len, (uint32_t) (out->len - before) };
    memcpy(out->data + table, &piece, sizeof(piece));
}

void
segment_pack(struct store *store, const struct column_set *set, const void *records, uint32_t count,
             struct dz_slice text, struct dz_buf *out)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf column = { 0 };
    struct segment_head head = { count, set->count };
    size_t table = out->len + sizeof(head), pieces = (set->count + 1) * sizeof(struct piece);
    dz_buf_add(out, &head, sizeof(head));
    memset(dz_buf_reserve(out, pieces), 0, pieces);
    out->len += pieces;
    for (uint32_t c = 0; c < set->count; c++, table += sizeof(struct piece)) {
        const uint8_t *record = records;
        uint64_t before = 0;
        dz_buf_clear(&column);
        uint8_t *at = dz_buf_reserve(&column, (size_t) count * VARINT_MAX + 1), *to = at;
        for (uint32_t i = 0; i < count; i++, record += set->record_size) {
            uint64_t number = field_at(record, set->columns[c]);
            to = varint_write(to, fold(number - before));
            before = number;
        }
        column.len = (size_t) (to - at);
        add_piece(store, dz_buf_slice(&column), table, out);
    }
    add_piece(store, text, table, out);
}

/* ---- unpacking ---- */

bool
segment_open(struct dz_slice value, const struct column_set *set, struct segment *out)
{
    struct segment_head head;
    if (value.len < sizeof(head))
        return false;
    memcpy(&head, value.ptr, sizeof(head));
    bool is_known = head.columns <= set->count && head.columns + set->newer >= set->count;
    if (!is_known || head.count > SEGMENT_RECORDS_MAX)
        return false;
    size_t pieces = (head.columns + 1) * sizeof(struct piece);
    if (value.len < sizeof(head) + pieces)
        return false;
    const uint8_t *table = value.ptr + sizeof(head);
    struct dz_slice rest = { table + pieces, value.len - sizeof(head) - pieces };
    out->count = head.count;
    out->column_count = head.columns;
    for (uint32_t c = 0; c <= head.columns; c++) {
        struct piece piece;
        memcpy(&piece, table + c * sizeof(piece), sizeof(piece));
        size_t most = c < head.columns ? (size_t) head.count * VARINT_MAX : SEGMENT_TEXT_MAX;
        if (piece.stored_len > rest.len || piece.raw_len > most)
            return false;
        struct dz_slice stored = { rest.ptr, piece.stored_len };
        rest = (struct dz_slice){ rest.ptr + piece.stored_len, rest.len - piece.stored_len };
        if (c == head.columns) {
            out->text = stored;
            out->text_len = piece.raw_len;
        } else {
            out->columns[c] = stored;
            out->lens[c] = piece.raw_len;
        }
    }
    return rest.len == 0;
}

static bool
spread(struct dz_slice column, struct column where, uint8_t *records, uint32_t count, size_t size)
{
    const uint8_t *at = column.ptr, *end = column.ptr + column.len;
    uint64_t number = 0, step;
    for (uint8_t *to = records + where.offset; count > 0; count--, to += size) {
        if (at < end && *at < 0x80) { /* nearly always */
            step = *at++;
        } else {
            struct dz_slice rest = { at, (size_t) (end - at) };
            if (!varint_next(&rest, &step))
                return false;
            at = rest.ptr;
        }
        number += unfold(step);
        memcpy(to, &number, where.size);
    }
    return at == end;
}

enum dz_rc
segment_records(struct store *store, const struct segment *self, const struct column_set *set,
                struct dz_buf *out, struct dz_err *err)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf column = { 0 };
    size_t len = (size_t) self->count * set->record_size;
    uint8_t *records = dz_buf_reserve(out, len + 1);
    memset(records, 0, len);
    for (uint32_t c = 0; c < self->column_count; c++) {
        dz_buf_clear(&column);
        enum dz_rc rc = unzip_add(store, self->columns[c], self->lens[c], &column, err);
        if (rc != DZ_OK)
            return rc;
        if (!spread(dz_buf_slice(&column), set->columns[c], records, self->count, set->record_size))
            return dz_fail(err, DZ_CORRUPT, "'%s': a column does not unpack", store->dir);
    }
    out->len += len;
    return DZ_OK;
}

enum dz_rc
segment_text(struct store *store, const struct segment *self, struct dz_buf *out,
             struct dz_err *err)
{
    return unzip_add(store, self->text, self->text_len, out, err);
}
