/* conf.c - libyaml's events against a table of settings.
 *
 * The table decides what may come next, so nothing is built that is not wanted: an event that the
 * table has no place for ends the reading with file, line and column.  Values are collected first
 * and moved into the caller's struct at the end, so a refused file changes nothing. */
#include "shared/conf/conf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#include "shared/base/fd.h"
#include "shared/conf/value.h"

enum { PATH_MAX_LEN = 128, DEPTH_MAX = 8, KEYS_MAX = 64 };
enum { NAME_SHOWN = 100, NAME_LEAST = 30, POSITION = 30 }; /* of a complaint */

struct reader {
    yaml_parser_t yaml;
    yaml_event_t event; /* the one being looked at; deleted by next() */
    const char *name;   /* of the file */
    struct dz_slice text;
    const struct dz_conf_key *keys;
    size_t key_count;
    struct value values[KEYS_MAX];
    struct dz_conf_mark marks[KEYS_MAX]; /* where each value began */
    struct dz_err *err;
};

/* ---- complaints ---- */

void
dz_conf_blame(const char *path, struct dz_conf_mark mark, struct dz_err *err)
{
    struct dz_err what = *err;
    size_t len = strlen(path), room = sizeof(err->text) - strlen(what.text);
    size_t shown = room > POSITION + NAME_LEAST ? room - POSITION : NAME_LEAST;
    if (shown > NAME_SHOWN)
        shown = NAME_SHOWN;
    bool is_long = len > shown; /* its end tells most */
    dz_ignore(dz_fail(err, DZ_CORRUPT, "%s%s:%u:%u: %s", is_long ? "..." : "",
                      is_long ? path + len - shown : path, mark.line, mark.column, what.text));
}

static struct dz_conf_mark
mark_of(yaml_mark_t at)
{
    return (struct dz_conf_mark){ (uint32_t) at.line + 1, (uint32_t) at.column + 1 };
}

static enum dz_rc
refuse_at(struct reader *self, struct dz_conf_mark at, const char *what)
{
    enum dz_rc rc = dz_fail(self->err, DZ_CORRUPT, "%s", what);
    dz_conf_blame(self->name, at, self->err);
    return rc;
}

static enum dz_rc DZ_PRINTF(2, 3) refuse(struct reader *self, const char *fmt, ...)
{
    struct dz_err what;
    va_list args;
    va_start(args, fmt);
    (void) vsnprintf(what.text, sizeof(what.text), fmt, args);
    va_end(args);
    return refuse_at(self, mark_of(self->event.start_mark), what.text);
}

/* What libyaml itself does not like.  Its reader (encodings) gives an offset, its scanner a mark. */
static enum dz_rc
refuse_yaml(struct reader *self)
{
    const yaml_parser_t *yaml = &self->yaml;
    const char *problem = yaml->problem ? yaml->problem : "not YAML";
    struct dz_conf_mark at = mark_of(yaml->problem_mark);
    if (yaml->error == YAML_READER_ERROR) {
        at = (struct dz_conf_mark){ 1, 1 };
        for (size_t i = 0; i < yaml->problem_offset && i < self->text.len; i++) {
            at.column = self->text.ptr[i] == '\n' ? 1 : at.column + 1;
            at.line += self->text.ptr[i] == '\n';
        }
    }
    return refuse_at(self, at, problem);
}

/* ---- events ---- */

static enum dz_rc
next(struct reader *self)
{
    yaml_event_delete(&self->event);
    if (!yaml_parser_parse(&self->yaml, &self->event))
        return refuse_yaml(self);
    if (self->event.type == YAML_ALIAS_EVENT)
        return refuse(self, "aliases (*name) are not supported here");
    return DZ_OK;
}

/* The scalar at hand, checked; borrowed until next(). */
static enum dz_rc
scalar(struct reader *self, const char *what, const char **text_out, bool *is_quoted_out)
{
    if (self->event.type != YAML_SCALAR_EVENT)
        return refuse(self, "'%.60s' must be a single value", what);
    const char *text = (const char *) self->event.data.scalar.value;
    if (strlen(text) != self->event.data.scalar.length)
        return refuse(self, "'%.60s' holds a NUL character", what);
    if (self->event.data.scalar.tag)
        return refuse(self, "tags (%.40s) are not supported here",
                      (const char *) self->event.data.scalar.tag);
    *text_out = text;
    *is_quoted_out = self->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    return DZ_OK;
}

/* ---- values ---- */

static enum dz_rc
read_list(struct reader *self, const struct dz_conf_key *key, struct value *value)
{
    if (self->event.type != YAML_SEQUENCE_START_EVENT)
        return refuse(self, "'%s' must be a list: [a, b]", key->path);
    value->is_set = true;
    for (;;) {
        const char *text;
        bool is_quoted;
        enum dz_rc rc = next(self);
        if (rc != DZ_OK || self->event.type == YAML_SEQUENCE_END_EVENT)
            return rc;
        rc = scalar(self, key->path, &text, &is_quoted);
        if (rc != DZ_OK)
            return rc;
        if (value->strs.count == DZ_CONF_ITEMS_MAX)
            return refuse(self, "'%s' has more than %d items", key->path, DZ_CONF_ITEMS_MAX);
        struct dz_err why;
        if (key->check && key->check(text, &why) != DZ_OK)
            return refuse(self, "'%s' %s", key->path, why.text);
        value_add_str(value, text, mark_of(self->event.start_mark));
    }
}

static enum dz_rc
read_pair(struct reader *self, const struct dz_conf_key *key, struct value *value)
{
    const char *text;
    bool is_quoted;
    enum dz_rc rc = scalar(self, key->path, &text, &is_quoted);
    if (rc != DZ_OK)
        return rc;
    if (value->map.count == DZ_CONF_ITEMS_MAX)
        return refuse(self, "'%s' has more than %d names", key->path, DZ_CONF_ITEMS_MAX);
    for (size_t i = 0; i < value->map.count; i++)
        if (strcmp(value->map.items[i].name, text) == 0)
            return refuse(self, "'%s.%.60s' is there twice", key->path, text);
    value_add_pair(value, text, 0);

    struct dz_conf_pair *pair = &value->map.items[value->map.count - 1];
    struct dz_err why;
    rc = next(self);
    if (rc == DZ_OK)
        rc = scalar(self, pair->name, &text, &is_quoted);
    if (rc == DZ_OK && value_number(key, text, &pair->value, &why) != DZ_OK)
        rc = refuse(self, "'%s.%.60s' %s", key->path, pair->name, why.text);
    return rc;
}

static enum dz_rc
read_map(struct reader *self, const struct dz_conf_key *key, struct value *value)
{
    if (self->event.type != YAML_MAPPING_START_EVENT)
        return refuse(self, "'%s' must be a map: {name: number}", key->path);
    value->is_set = true;
    for (;;) {
        enum dz_rc rc = next(self);
        if (rc != DZ_OK || self->event.type == YAML_MAPPING_END_EVENT)
            return rc;
        rc = read_pair(self, key, value);
        if (rc != DZ_OK)
            return rc;
    }
}

static enum dz_rc
read_value(struct reader *self, size_t index)
{
    const struct dz_conf_key *key = &self->keys[index];
    struct value *value = &self->values[index];
    self->marks[index] = mark_of(self->event.start_mark);
    if (key->kind == DZ_CONF_STRS)
        return read_list(self, key, value);
    if (key->kind == DZ_CONF_MAP)
        return read_map(self, key, value);
    const char *text;
    bool is_quoted;
    struct dz_err why;
    enum dz_rc rc = scalar(self, key->path, &text, &is_quoted);
    if (rc == DZ_OK && value_from_text(value, key, text, is_quoted, &why) != DZ_OK)
        rc = refuse(self, "'%s' %s", key->path, why.text);
    return rc;
}

/* ---- sections ---- */

/* A setting, or a section ("project") that settings lie in. */
enum place { PLACE_NOWHERE, PLACE_KEY, PLACE_SECTION };

static enum place
find(const struct reader *self, const char *path, size_t *index_out)
{
    size_t len = strlen(path);
    for (size_t i = 0; i < self->key_count; i++) {
        const char *known = self->keys[i].path;
        *index_out = i;
        if (strcmp(known, path) == 0)
            return PLACE_KEY;
        if (strncmp(known, path, len) == 0 && known[len] == '.')
            return PLACE_SECTION;
    }
    return PLACE_NOWHERE;
}

static enum dz_rc
refuse_unknown(struct reader *self, const char *path)
{
    const char *names[2 * KEYS_MAX];
    char sections[KEYS_MAX][PATH_MAX_LEN];
    size_t count = 0;
    for (size_t i = 0; i < self->key_count; i++) {
        const char *known = self->keys[i].path;
        names[count++] = known;
        (void) snprintf(sections[i], sizeof(sections[i]), "%s", known);
        char *dot = strchr(sections[i], '.');
        if (dot) {
            *dot = '\0';
            names[count++] = sections[i];
        }
    }
    const char *near = dz_nearest(path, names, count);
    if (near)
        return refuse(self, "unknown key '%.80s'; did you mean '%s'?", path, near);
    return refuse(self, "unknown key '%.80s'", path);
}

struct section {
    char path[PATH_MAX_LEN];           /* "" or "project." */
    uint64_t seen_keys, seen_sections; /* bits by index in the table */
    int depth;
};

static enum dz_rc read_section(struct reader *self, struct section *section);

static enum dz_rc
read_entry(struct reader *self, struct section *section)
{
    const char *text;
    bool is_quoted;
    enum dz_rc rc = scalar(self, "a key", &text, &is_quoted);
    if (rc != DZ_OK)
        return rc;
    char path[PATH_MAX_LEN];
    if ((size_t) snprintf(path, sizeof(path), "%s%s", section->path, text) >= sizeof(path))
        return refuse(self, "a key of %zu bytes", strlen(text));
    size_t index = 0;
    enum place place = find(self, path, &index);
    if (place == PLACE_NOWHERE)
        return refuse_unknown(self, path);
    uint64_t *seen = place == PLACE_KEY ? &section->seen_keys : &section->seen_sections;
    if (*seen & (UINT64_C(1) << index))
        return refuse(self, "'%s' is there twice", path);
    *seen |= UINT64_C(1) << index;

    rc = next(self);
    if (rc != DZ_OK)
        return rc;
    if (place == PLACE_KEY)
        return read_value(self, index);
    struct section below = { .depth = section->depth + 1 };
    (void) snprintf(below.path, sizeof(below.path), "%.*s.", PATH_MAX_LEN - 2, path);
    return read_section(self, &below);
}

/* The event at hand opens it; ends on the event that closes it. */
static enum dz_rc
read_section(struct reader *self, struct section *section)
{
    const char *what = section->path[0] ? section->path : "the file";
    bool is_empty = self->event.type == YAML_SCALAR_EVENT && self->event.data.scalar.length == 0 &&
                    self->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (is_empty)
        return DZ_OK; /* "project:" and nothing below it */
    if (self->event.type != YAML_MAPPING_START_EVENT || section->depth > DEPTH_MAX)
        return refuse(self, "'%.*s' must be a map of settings",
                      (int) (strlen(what) - (section->path[0] != '\0')), what);
    for (;;) {
        enum dz_rc rc = next(self);
        if (rc != DZ_OK || self->event.type == YAML_MAPPING_END_EVENT)
            return rc;
        rc = read_entry(self, section);
        if (rc != DZ_OK)
            return rc;
    }
}

static enum dz_rc
check_needs(struct reader *self)
{
    for (size_t i = 0; i < self->key_count; i++) {
        const struct dz_conf_key *key = &self->keys[i];
        struct dz_err what;
        size_t other = 0;
        if (!self->values[i].is_set || !key->needs)
            continue;
        dz_assert(find(self, key->needs, &other) == PLACE_KEY);
        if (self->values[other].is_set)
            continue;
        (void) snprintf(what.text, sizeof(what.text), "'%s' needs '%s' beside it", key->path,
                        key->needs);
        return refuse_at(self, self->marks[i], what.text);
    }
    return DZ_OK;
}

static enum dz_rc
read_document(struct reader *self)
{
    struct section top = { 0 };
    enum dz_rc rc = next(self); /* the stream begins */
    if (rc == DZ_OK)
        rc = next(self);
    if (rc != DZ_OK || self->event.type == YAML_STREAM_END_EVENT)
        return rc;   /* an empty file says nothing */
    rc = next(self); /* past the document's start */
    if (rc == DZ_OK)
        rc = read_section(self, &top);
    if (rc == DZ_OK)
        rc = next(self); /* the document ends */
    if (rc == DZ_OK)
        rc = next(self);
    if (rc == DZ_OK && self->event.type != YAML_STREAM_END_EVENT)
        return refuse(self, "a second document in one file");
    return rc == DZ_OK ? check_needs(self) : rc;
}

static struct reader *
reader_new(const char *name, const struct dz_conf_key *keys, size_t key_count, struct dz_err *err)
{
    struct reader *self = dz_alloc0(1, sizeof(*self));
    dz_assert(key_count <= KEYS_MAX);
    *self = (struct reader){ .name = name, .keys = keys, .key_count = key_count, .err = err };
    return self;
}

static void
reader_destroy(struct reader **self_p)
{
    struct reader *self = dz_move(*self_p);
    for (size_t i = 0; i < self->key_count; i++)
        value_fini(&self->values[i]);
    yaml_event_delete(&self->event);
    yaml_parser_delete(&self->yaml);
    free(self);
}

static enum dz_rc
read_text(struct reader *self, struct dz_slice text, void *out)
{
    static const struct dz_conf_mark start = { 1, 1 };
    enum dz_rc rc = DZ_IO;
    self->text = text;
    if (text.len > DZ_CONF_BYTES_MAX)
        rc = refuse_at(self, start, "the file is longer than 1 MiB");
    else if (yaml_parser_initialize(&self->yaml)) {
        yaml_parser_set_input_string(&self->yaml, text.ptr, text.len);
        rc = read_document(self);
    }
    for (size_t i = 0; rc == DZ_OK && i < self->key_count; i++)
        value_store(&self->values[i], &self->keys[i], out);
    return rc;
}

enum dz_rc
dz_conf_parse(const char *name, struct dz_slice text, const struct dz_conf_key *keys,
              size_t key_count, void *out, struct dz_err *err)
{
    DZ_AUTO(reader_destroy) struct reader *self = reader_new(name, keys, key_count, err);
    return read_text(self, text, out);
}

enum dz_rc
dz_conf_load(const char *path, const struct dz_conf_key *keys, size_t key_count, void *out,
             struct dz_conf_mark *marks, struct dz_err *err)
{
    struct dz_err unused;
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    enum dz_rc rc = dz_fd_read_file(path, DZ_CONF_BYTES_MAX, &text, &unused);
    if (rc == DZ_ABSENT)
        return rc;
    if (rc == DZ_LIMIT)
        return dz_fail(err, DZ_CORRUPT, "%.100s:1:1: the file is longer than 1 MiB", path);
    if (rc != DZ_OK)
        return dz_fail(err, rc, "%s", unused.text);
    DZ_AUTO(reader_destroy) struct reader *self = reader_new(path, keys, key_count, err);
    rc = read_text(self, dz_buf_slice(&text), out);
    if (rc == DZ_OK && marks)
        memcpy(marks, self->marks, key_count * sizeof(*marks));
    return rc;
}

/* ---- writing ---- */

static bool
can_be_plain(const char *text)
{
    static const char *const taken[] = {
        "true", "false", "yes", "no", "on", "off", "null", "y", "n"
    };
    static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                               "0123456789_./@:+-";
    size_t len = strlen(text);
    bool is_letter_first = len > 0 && strspn(text, safe) >= 1 && strcspn(text, safe + 52) > 0;
    if (!is_letter_first || strspn(text, safe) != len || text[len - 1] == ':')
        return false;
    for (size_t i = 0; i < DZ_LEN(taken); i++)
        if (strcasecmp(text, taken[i]) == 0)
            return false;
    return true;
}

char *
dz_conf_quote(const char *text)
{
    if (can_be_plain(text))
        return dz_strdup(text);
    struct dz_buf out = { 0 };
    dz_buf_add(&out, "\"", 1);
    for (const char *p = text; *p; p++) {
        unsigned char c = (unsigned char) *p;
        if (c == '"' || c == '\\')
            dz_buf_addf(&out, "\\%c", c);
        else if (c < ' ' || c == 0x7f)
            dz_buf_addf(&out, "\\x%02x", c);
        else
            dz_buf_add(&out, p, 1);
    }
    dz_buf_add(&out, "\"", 2); /* with its NUL */
    return (char *) out.data;
}
