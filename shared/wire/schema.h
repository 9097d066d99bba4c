/* schema.h - messages.def as data, for whoever handles any message without knowing its struct:
 * pyplugin's encoder and decoder, and the generator of docs/protocol.md. */
#ifndef DZ_SHARED_WIRE_SCHEMA_H
#define DZ_SHARED_WIRE_SCHEMA_H

#include "shared/wire/wire.h"

struct dz_schema_field {
    const char *name;
    char kind;      /* 'u' u64, 'i' i64, 's' str, 'b' bin, 'l' list */
    uint64_t limit; /* as in messages.def */
    /* of a list, what its items are made of; else NULL, NULL, 0 */
    const char *item;
    const struct dz_schema_field *item_fields;
    size_t item_field_count;
};

struct dz_schema_msg {
    enum dz_msg_id id;
    const char *name;
    const struct dz_schema_field *fields; /* in the order of the frame, without the id */
    size_t field_count;
};

/* Every message, in the order of messages.def. */
const struct dz_schema_msg *dz_schema(size_t *count_out);

/* NULL: no such message. */
const struct dz_schema_msg *dz_schema_by_id(uint64_t id);
const struct dz_schema_msg *dz_schema_by_name(const char *name);

#endif
