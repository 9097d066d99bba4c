/* conf.h - YAML in, a filled struct out.  The only door to libyaml.
 *
 * The caller describes its settings in a static table; a file either fills the struct or is
 * refused with one line that gives file, line and column:
 *
 *     .dagz/config.yaml:4:3: unknown key 'project.ulr'; did you mean 'project.uri'?
 *
 * What a file does not mention keeps the value that the struct had, so defaults are set before.
 * Merge keys, tags other than YAML's own scalars, several documents and duplicate keys are refused.
 * Limits: 1 MiB of text, depth 8, 4096 items of a list or map, aliases are not followed. */
#ifndef DZ_SHARED_CONF_CONF_H
#define DZ_SHARED_CONF_CONF_H

#include "shared/base/base.h"

enum { DZ_CONF_BYTES_MAX = 1 << 20, DZ_CONF_ITEMS_MAX = 4096 };

/* Where a value stands in its file, counted from 1; line 0: the file does not have it. */
struct dz_conf_mark {
    uint32_t line, column;
};

struct dz_conf_strs {
    char **items;               /* owned, each owned */
    struct dz_conf_mark *marks; /* owned; of each item; NULL: they come from no file */
    size_t count;
};

struct dz_conf_pair {
    char *name; /* owned */
    uint64_t value;
};

struct dz_conf_map {
    struct dz_conf_pair *items; /* owned */
    size_t count;
};

enum dz_conf_kind {
    DZ_CONF_STR,   /* char *, owned by the struct */
    DZ_CONF_BOOL,  /* bool: true, false, yes, no, on, off */
    DZ_CONF_U64,   /* uint64_t within min..max */
    DZ_CONF_BYTES, /* uint64_t within min..max; suffixes KiB MiB GiB TiB kB MB GB TB */
    DZ_CONF_REAL,  /* double within min..max */
    DZ_CONF_STRS,  /* struct dz_conf_strs */
    DZ_CONF_MAP,   /* struct dz_conf_map: any names, whole numbers within min..max */
};

struct dz_conf_key {
    const char *path; /* "project.uri" */
    enum dz_conf_kind kind;
    size_t offset;   /* in the struct */
    double min, max; /* both 0: no bounds */
    /* Of STR, and of each of STRS: what else it must be; `why` follows the key's name: "is no URL".
     * NULL: any text. */
    enum dz_rc (*check)(const char *text, struct dz_err *why);
    const char *needs; /* the path of another key that must be there with it; NULL: none */
};

/* `name` is what complaints call the file.  CORRUPT: refused, *out is as it was. */
DZ_MUST_USE enum dz_rc dz_conf_parse(const char *name, struct dz_slice text,
                                     const struct dz_conf_key *keys, size_t key_count, void *out,
                                     struct dz_err *err);
/* ABSENT: there is no such file (err is untouched).  `marks`: as many as keys, filled where the file
 * has a value, for complaints that come later; NULL: not wanted. */
DZ_MUST_USE enum dz_rc dz_conf_load(const char *path, const struct dz_conf_key *keys,
                                    size_t key_count, void *out, struct dz_conf_mark *marks,
                                    struct dz_err *err);
/* Put in front of the complaint in `err` where in which file the value stands that it is about.
 * All of the complaint stays: if there is no room, the end of the file's name is what is shown. */
void dz_conf_blame(const char *path, struct dz_conf_mark mark, struct dz_err *err);
/* Free what the struct owns and clear it; safe on a zeroed struct. */
void dz_conf_fini(const struct dz_conf_key *keys, size_t key_count, void *out);

/* The text as one YAML scalar, quoted where it must be.  Caller owns. */
char *dz_conf_quote(const char *text);

/* The candidate nearest to `word` by edit distance, or NULL when none is near enough to be meant.
 * Used wherever a person may have mistyped a name. */
const char *dz_nearest(const char *word, const char *const *candidates, size_t count);

#endif
