#include "store/parcel.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/bytes.h"
#include "shared/base/digest.h"

enum { ZIP_LEVEL = 1, SECTION_HEAD = 5 };

static const char MAGIC[4] = "DZPL";
static const char STREAM_KINDS[STORE_STREAMS] = {
    [STREAM_RESULTS] = 'r', [STREAM_TEXTS] = 't', [STREAM_LOGS] = 'l', [STREAM_SPANS] = 's'
};

/* ------------------------------------------------------------------ writing */

static void
add(struct dz_buf *out, uint64_t number, unsigned len)
{
    uint8_t bytes[8];
    dz_uint_put(number, len, bytes);
    dz_buf_add(out, bytes, len);
}

static void
put_u32(uint8_t *at, uint32_t number)
{
    dz_uint_put(number, sizeof(number), at);
}

void
parcel_add_bytes(struct dz_buf *raw, char kind, struct dz_slice bytes)
{
    add(raw, (uint8_t) kind, 1);
    add(raw, bytes.len, 4);
    dz_buf_add(raw, bytes.ptr, bytes.len);
}

size_t
parcel_begin(struct dz_buf *raw, char kind, uint64_t from)
{
    size_t at = raw->len;
    add(raw, (uint8_t) kind, 1);
    add(raw, 0, 4);
    add(raw, from, 8);
    add(raw, 0, 4);
    return at;
}

void
parcel_end(struct dz_buf *raw, size_t at, uint32_t count)
{
    put_u32(raw->data + at + 1, (uint32_t) (raw->len - at - SECTION_HEAD));
    put_u32(raw->data + at + SECTION_HEAD + 8, count);
}

void
parcel_add_list(struct dz_buf *raw, const struct manifest *list)
{
    size_t bytes = list->starts[list->count];
    add(raw, 'M', 1);
    add(raw, 4 + 4 * (uint64_t) list->count + bytes, 4);
    add(raw, list->count, 4);
    for (uint32_t i = 0; i < list->count; i++)
        add(raw, list->starts[i + 1] - list->starts[i], 4);
    dz_buf_add(raw, list->bytes, bytes);
}

void
parcel_add_result(struct dz_buf *raw, const struct store_result *r)
{
    add(raw, r->test, 4);
    add(raw, r->worker, 2);
    add(raw, r->attempt, 1);
    add(raw, (uint64_t) r->result, 1);
    add(raw, (uint64_t) r->cause, 1);
    add(raw, r->signal, 1);
    add(raw, r->is_strike, 1);
    add(raw, 0, 1);
    add(raw, r->node, 8);
    add(raw, r->inc, 8);
    add(raw, r->exec, 8);
    add(raw, (uint64_t) r->start_us, 8);
    add(raw, (uint64_t) r->setup_us, 8);
    add(raw, (uint64_t) r->call_us, 8);
    add(raw, (uint64_t) r->teardown_us, 8);
    add(raw, r->line, 4);
}

void
parcel_add_text(struct dz_buf *raw, const struct store_text *text)
{
    add(raw, text->test, 4);
    add(raw, text->attempt, 1);
    add(raw, text->who, 8);
    add(raw, text->text.len, 4);
    dz_buf_add(raw, text->text.ptr, text->text.len);
}

void
parcel_add_log(struct dz_buf *raw, const struct store_log *log)
{
    add(raw, log->node, 8);
    add(raw, (uint64_t) log->first_us, 8);
    add(raw, (uint64_t) log->last_us, 8);
    add(raw, log->thread, 4);
    add(raw, log->test, 4);
    add(raw, log->worker, 2);
    add(raw, log->attempt, 1);
    add(raw, (uint64_t) log->kind, 1);
    add(raw, log->text.len, 4);
    dz_buf_add(raw, log->text.ptr, log->text.len);
}

void
parcel_add_span(struct dz_buf *raw, const struct store_span *span)
{
    add(raw, span->node, 8);
    add(raw, span->scope, 8);
    add(raw, span->id, 8);
    add(raw, span->parent, 8);
    add(raw, (uint64_t) span->start_us, 8);
    add(raw, (uint64_t) span->end_us, 8);
    add(raw, span->test, 4);
    add(raw, span->worker, 2);
    add(raw, span->attempt, 1);
    add(raw, (uint64_t) span->result, 1);
    add(raw, span->type.len, 2);
    add(raw, span->name.len, 2);
    dz_buf_add(raw, span->type.ptr, span->type.len);
    dz_buf_add(raw, span->name.ptr, span->name.len);
}

void
parcel_close(struct dz_slice raw, struct dz_buf *out)
{
    size_t at = out->len, room = ZSTD_compressBound(raw.len);
    uint8_t *to = dz_buf_reserve(out, PARCEL_HEAD + room);
    size_t len = ZSTD_compress(to + PARCEL_HEAD, room, raw.ptr, raw.len, ZIP_LEVEL);
    dz_assert(!ZSTD_isError(len)); /* there is room for the worst */
    struct dz_slice packed = { to + PARCEL_HEAD, len };
    memcpy(to, MAGIC, sizeof(MAGIC));
    put_u32(to + 4, STORE_PARCEL_VERSION);
    put_u32(to + 8, (uint32_t) raw.len);
    put_u32(to + 12, dz_crc32c(0, packed));
    out->len = at + PARCEL_HEAD + len;
}

/* ------------------------------------------------------------------ reading */

struct reader {
    const uint8_t *at, *end;
    bool is_bad; /* more was asked for than there is */
};

static uint64_t
get(struct reader *self, unsigned len)
{
    if ((size_t) (self->end - self->at) < len) {
        self->is_bad = true;
        self->at = self->end;
        return 0;
    }
    uint64_t number = dz_uint_get(self->at, len);
    self->at += len;
    return number;
}

static struct dz_slice
get_bytes(struct reader *self, uint64_t len)
{
    struct dz_slice bytes = { self->at, (size_t) len };
    if ((uint64_t) (self->end - self->at) < len) {
        self->is_bad = true;
        bytes.len = 0;
    }
    self->at += bytes.len;
    return bytes;
}

/* ---- records ---- */

static struct store_result
get_result(struct reader *self, uint32_t version)
{
    struct store_result r = { 0 };
    r.test = (uint32_t) get(self, 4);
    r.worker = (uint32_t) get(self, 2);
    r.attempt = (uint32_t) get(self, 1);
    r.result = (enum dz_result) get(self, 1);
    r.cause = (enum dz_cause) get(self, 1);
    r.signal = (uint32_t) get(self, 1);
    r.is_strike = get(self, 1) == 1;
    (void) get(self, 1);
    r.node = get(self, 8);
    r.inc = get(self, 8);
    r.exec = get(self, 8);
    r.start_us = (int64_t) get(self, 8);
    r.setup_us = (int64_t) get(self, 8);
    r.call_us = (int64_t) get(self, 8);
    r.teardown_us = (int64_t) get(self, 8);
    if (version > 1)
        r.line = (uint32_t) get(self, 4);
    return r;
}

static struct store_text
get_text(struct reader *self)
{
    struct store_text text = { 0 };
    text.test = (uint32_t) get(self, 4);
    text.attempt = (uint32_t) get(self, 1);
    text.who = get(self, 8);
    text.text = get_bytes(self, get(self, 4));
    return text;
}

static struct store_log
get_log(struct reader *self)
{
    struct store_log log = { 0 };
    log.node = get(self, 8);
    log.first_us = (int64_t) get(self, 8);
    log.last_us = (int64_t) get(self, 8);
    log.thread = (uint32_t) get(self, 4);
    log.test = (uint32_t) get(self, 4);
    log.worker = (uint32_t) get(self, 2);
    log.attempt = (uint32_t) get(self, 1);
    log.kind = get(self, 1) == STORE_LOG_NOTE ? STORE_LOG_NOTE : STORE_LOG_OUTPUT;
    log.text = get_bytes(self, get(self, 4));
    return log;
}

static struct store_span
get_span(struct reader *self)
{
    struct store_span span = { 0 };
    span.node = get(self, 8);
    span.scope = get(self, 8);
    span.id = get(self, 8);
    span.parent = get(self, 8);
    span.start_us = (int64_t) get(self, 8);
    span.end_us = (int64_t) get(self, 8);
    span.test = (uint32_t) get(self, 4);
    span.worker = (uint32_t) get(self, 2);
    span.attempt = (uint32_t) get(self, 1);
    span.result = (enum dz_result) get(self, 1);
    uint64_t type_len = get(self, 2), name_len = get(self, 2);
    span.type = get_bytes(self, type_len);
    span.name = get_bytes(self, name_len);
    return span;
}

static void
get_records(struct reader *in, enum store_stream stream, uint32_t count, struct parcel *out)
{
    /* none is shorter than a byte, so `count` is bounded by what is there as well */
    switch (stream) {
    case STREAM_RESULTS:
        out->results = dz_alloc0((size_t) count + 1, sizeof(*out->results));
        for (uint32_t i = 0; i < count; i++)
            out->results[i] = get_result(in, out->version);
        return;
    case STREAM_TEXTS:
        out->texts = dz_alloc0((size_t) count + 1, sizeof(*out->texts));
        for (uint32_t i = 0; i < count; i++)
            out->texts[i] = get_text(in);
        return;
    case STREAM_LOGS:
        out->logs = dz_alloc0((size_t) count + 1, sizeof(*out->logs));
        for (uint32_t i = 0; i < count; i++)
            out->logs[i] = get_log(in);
        return;
    case STREAM_SPANS:
        out->spans = dz_alloc0((size_t) count + 1, sizeof(*out->spans));
        for (uint32_t i = 0; i < count; i++)
            out->spans[i] = get_span(in);
        return;
    case STORE_STREAMS: break;
    }
}

/* ---- sections ---- */

static bool
read_json(struct dz_slice bytes, json_t **out)
{
    if (*out || bytes.len > PARCEL_JSON_MAX)
        return false;
    json_t *json = json_loadb((const char *) bytes.ptr, bytes.len, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(json)) {
        json_decref(json);
        return false;
    }
    *out = json;
    return true;
}

static bool
read_name(struct dz_slice bytes, struct parcel *out)
{
    if (out->name[0] || bytes.len == 0 || bytes.len >= sizeof(out->name) ||
        memchr(bytes.ptr, '\0', bytes.len))
        return false;
    memcpy(out->name, bytes.ptr, bytes.len);
    return true;
}

static bool
read_list(struct dz_slice bytes, struct parcel *out)
{
    struct reader lens = { bytes.ptr, bytes.ptr + bytes.len, false };
    uint32_t count = (uint32_t) get(&lens, 4);
    if (out->ids || lens.is_bad || count > STORE_TESTS_MAX || count * UINT64_C(4) > bytes.len - 4)
        return false;
    struct reader ids = { lens.at + (size_t) count * 4, lens.end, false };
    lens.end = ids.at;
    out->ids = dz_alloc0((size_t) count + 1, sizeof(*out->ids));
    out->id_count = count;
    for (uint32_t i = 0; i < count; i++)
        out->ids[i] = get_bytes(&ids, get(&lens, 4));
    return !lens.is_bad && !ids.is_bad && ids.at == ids.end;
}

static bool
read_records(struct dz_slice bytes, enum store_stream stream, struct parcel *out)
{
    struct reader in = { bytes.ptr, bytes.ptr + bytes.len, false };
    struct parcel_part part = { .is_there = true };
    part.from = get(&in, 8);
    part.count = (uint32_t) get(&in, 4);
    if (out->parts[stream].is_there || in.is_bad || part.count > STORE_BATCH_MAX)
        return false;
    out->parts[stream] = part;
    get_records(&in, stream, part.count, out);
    return !in.is_bad && in.at == in.end && part.from <= UINT64_MAX - part.count;
}

static bool
read_section(char kind, struct dz_slice bytes, struct parcel *out)
{
    for (unsigned i = 0; i < STORE_STREAMS; i++)
        if (kind == STREAM_KINDS[i])
            return read_records(bytes, (enum store_stream) i, out);
    switch (kind) {
    case 'h': return read_json(bytes, &out->head);
    case 'z': return read_json(bytes, &out->seal);
    case 'm': return read_name(bytes, out);
    case 'M': return read_list(bytes, out);
    default: return false;
    }
}

static enum dz_rc
unzip(struct dz_slice bytes, struct parcel *out, struct dz_err *err)
{
    if (bytes.len < PARCEL_HEAD || memcmp(bytes.ptr, MAGIC, sizeof(MAGIC)) != 0)
        return dz_fail(err, DZ_CORRUPT, "this is no parcel of dagz");
    if (bytes.len > STORE_PARCEL_MAX)
        return dz_fail(err, DZ_LIMIT, "a parcel of %zu bytes; the limit is %d", bytes.len,
                       STORE_PARCEL_MAX);
    struct reader head = { bytes.ptr + sizeof(MAGIC), bytes.ptr + PARCEL_HEAD, false };
    uint32_t version = (uint32_t) get(&head, 4), raw_len = (uint32_t) get(&head, 4);
    uint32_t crc = (uint32_t) get(&head, 4);
    if (version == 0 || version > STORE_PARCEL_VERSION)
        return dz_fail(err, DZ_VERSION, "a parcel of format %u; this store reads 1 to %d", version,
                       STORE_PARCEL_VERSION);
    if (raw_len > STORE_PARCEL_RAW_MAX)
        return dz_fail(err, DZ_LIMIT, "a parcel of %u bytes unpacked; the limit is %d", raw_len,
                       STORE_PARCEL_RAW_MAX);
    struct dz_slice packed = { bytes.ptr + PARCEL_HEAD, bytes.len - PARCEL_HEAD };
    if (dz_crc32c(0, packed) != crc)
        return dz_fail(err, DZ_CORRUPT, "a parcel was damaged on its way");
    if (ZSTD_getFrameContentSize(packed.ptr, packed.len) != raw_len)
        return dz_fail(err, DZ_CORRUPT, "a parcel does not unpack");
    size_t len = ZSTD_decompress(dz_buf_reserve(&out->raw, (size_t) raw_len + 1), raw_len,
                                 packed.ptr, packed.len);
    if (ZSTD_isError(len) || len != raw_len)
        return dz_fail(err, DZ_CORRUPT, "a parcel does not unpack");
    out->raw.len = raw_len;
    out->version = version;
    return DZ_OK;
}

enum dz_rc
parcel_open(struct dz_slice bytes, struct parcel *out, struct dz_err *err)
{
    DZ_AUTO(parcel_fini) struct parcel parcel = { 0 };
    enum dz_rc rc = unzip(bytes, &parcel, err);
    if (rc != DZ_OK)
        return rc;
    struct reader in = { parcel.raw.data, parcel.raw.data + parcel.raw.len, false };
    while (rc == DZ_OK && in.at < in.end) {
        char kind = (char) get(&in, 1);
        struct dz_slice section = get_bytes(&in, get(&in, 4));
        if (in.is_bad || !read_section(kind, section, &parcel))
            rc = dz_fail(err, DZ_CORRUPT, "section 0x%02x of a parcel makes no sense",
                         (unsigned) (uint8_t) kind);
    }
    if (rc == DZ_OK && !parcel.head)
        rc = dz_fail(err, DZ_CORRUPT, "a parcel that does not say of which job it is");
    if (rc != DZ_OK)
        return rc;
    *out = parcel;
    parcel = (struct parcel){ 0 };
    return DZ_OK;
}

void
parcel_fini(struct parcel *self)
{
    json_decref(self->head);
    json_decref(self->seal);
    free(self->ids);
    free(self->results);
    free(self->texts);
    free(self->logs);
    free(self->spans);
    dz_buf_fini(&self->raw);
    *self = (struct parcel){ 0 };
}
