/* contact.c - a version, the key, then the endpoints, a line each. */
#include "shared/net/contact.h"

#include <string.h>

enum { VERSION = 1, HEAD_LEN = 1 + DZ_KEY_LEN };

void
dz_contact_fini(struct dz_contact *self)
{
    dz_strs_fini(&self->endpoints);
}

void
dz_contact_write(const struct dz_key *key, const struct dz_strs *endpoints, struct dz_buf *out)
{
    size_t start = out->len;
    uint8_t version = VERSION;
    dz_buf_add(out, &version, 1);
    dz_buf_add(out, key->bytes, DZ_KEY_LEN);
    for (size_t i = 0; i < endpoints->len && i < DZ_CONTACT_ENDPOINTS; i++) {
        size_t len = strlen(endpoints->items[i]);
        if (out->len - start + len + 1 > DZ_CONTACT_LEN_MAX)
            break;
        dz_buf_addf(out, "%s\n", endpoints->items[i]);
    }
}

/* Printable, so that it can be logged, and of a transport that is meant. */
static bool
is_endpoint(struct dz_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] <= ' ' || text.ptr[i] >= 0x7f)
            return false;
    return dz_starts_with(text, dz_str("tcp://")) || dz_starts_with(text, dz_str("ipc://"));
}

enum dz_rc
dz_contact_read(struct dz_slice bytes, struct dz_contact *out)
{
    if (bytes.len < HEAD_LEN || bytes.len > DZ_CONTACT_LEN_MAX || bytes.ptr[0] != VERSION)
        return DZ_CORRUPT;
    DZ_AUTO(dz_contact_fini) struct dz_contact contact = { 0 };
    memcpy(contact.key.bytes, bytes.ptr + 1, DZ_KEY_LEN);
    struct dz_slice rest = { bytes.ptr + HEAD_LEN, bytes.len - HEAD_LEN }, line;
    while (dz_line_next(&rest, &line)) {
        if (!is_endpoint(line) || contact.endpoints.len == DZ_CONTACT_ENDPOINTS)
            return DZ_CORRUPT;
        dz_strs_add(&contact.endpoints, line);
    }
    *out = contact;
    contact.endpoints = (struct dz_strs){ 0 };
    return DZ_OK;
}
