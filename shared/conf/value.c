/* value.c - text to values, and values into the caller's struct. */
#include "shared/conf/value.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool
is_bounded(const struct dz_conf_key *key)
{
    return key->min != 0 || key->max != 0;
}

static enum dz_rc
check_bounds(const struct dz_conf_key *key, double number, struct dz_err *why)
{
    if (!is_bounded(key) || (number >= key->min && number <= key->max))
        return DZ_OK;
    if (key->kind == DZ_CONF_BYTES)
        return dz_fail(why, DZ_CORRUPT, "must be from %.15g MiB to %.15g MiB", key->min / 0x1p20,
                       key->max / 0x1p20);
    return dz_fail(why, DZ_CORRUPT, "must be from %.15g to %.15g", key->min, key->max);
}

enum dz_rc
value_number(const struct dz_conf_key *key, const char *text, uint64_t *out, struct dz_err *why)
{
    char *end = NULL;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno != 0)
        return dz_fail(why, DZ_CORRUPT, "must be a whole number, not '%.60s'", text);
    enum dz_rc rc = check_bounds(key, (double) number, why);
    if (rc == DZ_OK)
        *out = number;
    return rc;
}

static enum dz_rc
read_bytes(const struct dz_conf_key *key, const char *text, uint64_t *out, struct dz_err *why)
{
    static const struct {
        const char *suffix;
        double factor;
    } units[] = { { "", 1 },
                  { "B", 1 },
                  { "kB", 1e3 },
                  { "KB", 1e3 },
                  { "MB", 1e6 },
                  { "GB", 1e9 },
                  { "TB", 1e12 },
                  { "KiB", 1024.0 },
                  { "MiB", 1048576.0 },
                  { "GiB", 1073741824.0 },
                  { "TiB", 1099511627776.0 } };
    char *end = NULL;
    double number = text[0] >= '0' && text[0] <= '9' ? strtod(text, &end) : NAN;
    for (size_t i = 0; end && i < DZ_LEN(units); i++) {
        if (strcmp(end + strspn(end, " "), units[i].suffix) != 0)
            continue;
        number *= units[i].factor;
        if (!(number <= 0x1p62))
            return dz_fail(why, DZ_CORRUPT, "is too large: '%.60s'", text);
        enum dz_rc rc = check_bounds(key, number, why);
        if (rc == DZ_OK)
            *out = (uint64_t) number;
        return rc;
    }
    return dz_fail(why, DZ_CORRUPT, "must be a size such as 512MiB or 20GiB, not '%.60s'", text);
}

static enum dz_rc
read_real(const struct dz_conf_key *key, const char *text, double *out, struct dz_err *why)
{
    char *end = NULL;
    double number = strtod(text, &end);
    if (end == text || *end || !isfinite(number))
        return dz_fail(why, DZ_CORRUPT, "must be a number, not '%.60s'", text);
    enum dz_rc rc = check_bounds(key, number, why);
    if (rc == DZ_OK)
        *out = number;
    return rc;
}

static enum dz_rc
read_bool(const char *text, bool *out, struct dz_err *why)
{
    static const char *const words[] = { "false", "true", "no", "yes", "off", "on" };
    for (size_t i = 0; i < DZ_LEN(words); i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *out = i % 2;
            return DZ_OK;
        }
    }
    return dz_fail(why, DZ_CORRUPT, "must be true or false, not '%.60s'", text);
}

static bool
is_null(const char *text)
{
    return !*text || strcmp(text, "~") == 0 || strcasecmp(text, "null") == 0;
}

enum dz_rc
value_from_text(struct value *self, const struct dz_conf_key *key, const char *text, bool is_quoted,
                struct dz_err *why)
{
    if (!is_quoted && is_null(text))
        return dz_fail(why, DZ_CORRUPT, "has no value");
    self->is_set = true;
    switch (key->kind) {
    case DZ_CONF_STR:
        free(self->str);
        self->str = dz_strdup(text);
        return key->check ? key->check(text, why) : DZ_OK;
    case DZ_CONF_BOOL: return read_bool(text, &self->flag, why);
    case DZ_CONF_U64: return value_number(key, text, &self->number, why);
    case DZ_CONF_BYTES: return read_bytes(key, text, &self->number, why);
    case DZ_CONF_REAL: return read_real(key, text, &self->real, why);
    case DZ_CONF_STRS: return dz_fail(why, DZ_CORRUPT, "must be a list: [a, b]");
    case DZ_CONF_MAP: return dz_fail(why, DZ_CORRUPT, "must be a map: {name: number}");
    }
    return dz_fail(why, DZ_CORRUPT, "has a kind that is not known");
}

void
value_add_str(struct value *self, const char *text, struct dz_conf_mark mark)
{
    struct dz_conf_strs *strs = &self->strs;
    if (strs->count % 16 == 0) {
        strs->items = dz_realloc(strs->items, strs->count + 16, sizeof(*strs->items));
        strs->marks = dz_realloc(strs->marks, strs->count + 16, sizeof(*strs->marks));
    }
    strs->marks[strs->count] = mark;
    strs->items[strs->count++] = dz_strdup(text);
}

void
value_add_pair(struct value *self, const char *name, uint64_t number)
{
    struct dz_conf_map *map = &self->map;
    if (map->count % 16 == 0)
        map->items = dz_realloc(map->items, map->count + 16, sizeof(*map->items));
    map->items[map->count++] = (struct dz_conf_pair){ dz_strdup(name), number };
}

static void
strs_fini(struct dz_conf_strs *self)
{
    for (size_t i = 0; i < self->count; i++)
        free(self->items[i]);
    free(self->items);
    free(self->marks);
    *self = (struct dz_conf_strs){ 0 };
}

static void
map_fini(struct dz_conf_map *self)
{
    for (size_t i = 0; i < self->count; i++)
        free(self->items[i].name);
    free(self->items);
    *self = (struct dz_conf_map){ 0 };
}

/* Free what the caller's struct owns under this key. */
static void
release(const struct dz_conf_key *key, void *field)
{
    switch (key->kind) {
    case DZ_CONF_STR:
        free(*(char **) field);
        *(char **) field = NULL;
        break;
    case DZ_CONF_STRS: strs_fini(field); break;
    case DZ_CONF_MAP: map_fini(field); break;
    case DZ_CONF_BOOL:
    case DZ_CONF_U64:
    case DZ_CONF_BYTES:
    case DZ_CONF_REAL: break;
    }
}

void
value_store(struct value *self, const struct dz_conf_key *key, void *out)
{
    void *field = (char *) out + key->offset;
    if (!self->is_set)
        return;
    release(key, field);
    switch (key->kind) {
    case DZ_CONF_STR: *(char **) field = dz_move(self->str); break;
    case DZ_CONF_BOOL: *(bool *) field = self->flag; break;
    case DZ_CONF_U64:
    case DZ_CONF_BYTES: *(uint64_t *) field = self->number; break;
    case DZ_CONF_REAL: *(double *) field = self->real; break;
    case DZ_CONF_STRS:
        *(struct dz_conf_strs *) field = self->strs;
        self->strs = (struct dz_conf_strs){ 0 };
        break;
    case DZ_CONF_MAP:
        *(struct dz_conf_map *) field = self->map;
        self->map = (struct dz_conf_map){ 0 };
        break;
    }
}

void
value_fini(struct value *self)
{
    free(self->str);
    strs_fini(&self->strs);
    map_fini(&self->map);
}

void
dz_conf_fini(const struct dz_conf_key *keys, size_t key_count, void *out)
{
    for (size_t i = 0; i < key_count; i++)
        release(&keys[i], (char *) out + keys[i].offset);
}
