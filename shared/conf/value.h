/* value.h - one setting's value while a file is being read; only for this folder. */
#ifndef DZ_SHARED_CONF_VALUE_H
#define DZ_SHARED_CONF_VALUE_H

#include "shared/conf/conf.h"

struct value {
    bool is_set;
    char *str;                /* owned */
    struct dz_conf_strs strs; /* owned */
    struct dz_conf_map map;   /* owned */
    uint64_t number;
    double real;
    bool flag;
};

/* Read a scalar's text as what the key wants.  `why` is for a person: "is not a whole number". */
DZ_MUST_USE enum dz_rc value_from_text(struct value *self, const struct dz_conf_key *key,
                                       const char *text, bool is_quoted, struct dz_err *why);
DZ_MUST_USE enum dz_rc value_number(const struct dz_conf_key *key, const char *text, uint64_t *out,
                                    struct dz_err *why);
void value_add_str(struct value *self, const char *text, struct dz_conf_mark mark);
void value_add_pair(struct value *self, const char *name, uint64_t number);

/* Move it into the caller's struct, freeing what was there. */
void value_store(struct value *self, const struct dz_conf_key *key, void *out);
void value_fini(struct value *self);

#endif
