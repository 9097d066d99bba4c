#include "shared/wire/schema.h"

#include <string.h>

/* An item may wait for the message that carries it. */
#define MAY_BE_UNUSED __attribute__((unused))

/* clang-format off */
enum { KIND_u64 = 'u', KIND_i64 = 'i', KIND_str = 's', KIND_bin = 'b' };

#define F(kind_, field, limit_) { .name = #field, .kind = KIND_##kind_, .limit = (limit_) },
#define L(of, field, limit_) \
    { .name = #field, .kind = 'l', .limit = (limit_), .item = #of, \
      .item_fields = fields_of_##of, .item_field_count = DZ_LEN(fields_of_##of) },
#define DZ_ITEM(name, fields) \
    MAY_BE_UNUSED static const struct dz_schema_field fields_of_##name[] = { fields };
#define DZ_MSG(id, name, fields) static const struct dz_schema_field msg_##name[] = { fields };
#include "shared/wire/messages.def"
#undef DZ_MSG
#undef DZ_ITEM

static const struct dz_schema_msg messages[] = {
#define DZ_ITEM(name, fields)
#define DZ_MSG(id_, name_, fields_) \
    { .id = DZ_MSG_##name_, .name = #name_, .fields = msg_##name_, \
      .field_count = DZ_LEN(msg_##name_) },
#include "shared/wire/messages.def"
#undef DZ_MSG
#undef DZ_ITEM
#undef L
#undef F
};
/* clang-format on */

const struct dz_schema_msg *
dz_schema(size_t *count_out)
{
    *count_out = DZ_LEN(messages);
    return messages;
}

const struct dz_schema_msg *
dz_schema_by_id(uint64_t id)
{
    for (size_t i = 0; i < DZ_LEN(messages); i++) {
        if ((uint64_t) messages[i].id == id)
            return &messages[i];
    }
    return NULL;
}

const struct dz_schema_msg *
dz_schema_by_name(const char *name)
{
    for (size_t i = 0; i < DZ_LEN(messages); i++) {
        if (strcmp(messages[i].name, name) == 0)
            return &messages[i];
    }
    return NULL;
}
