/* ci.h - which slot of which CI step this process runs in, by the variables that CIs document.
 *
 * Slots of one step share a key, and by it they find each other.  A key is made of the pipeline and
 * the step's name, in which only a trailing number of a slot ("test 2/5") does not count: the cells
 * of a matrix are named differently, and each is a step of its own.  A key that a person gives
 * replaces both.
 *
 * Nothing here reads the environment: the caller passes a function that does. */
#ifndef DZ_SHARED_CI_CI_H
#define DZ_SHARED_CI_CI_H

#include "shared/base/base.h"

enum { DZ_CI_TOTAL_MAX = 10000, DZ_CI_KEY_MAX = 1024, DZ_CI_FACTS = 10 };

/* What a value was taken from, for `zb ci env`. */
struct dz_ci_fact {
    const char *what; /* "pipeline", "step", "slot", "job", "attempt", "commit": static */
    const char *from; /* "CI_JOB_NAME without its 2/5": static, or in self->words */
};

struct dz_ci {
    const char *provider;  /* "gitlab", ..., "" when none was recognised: static */
    const char *title;     /* "GitLab CI" */
    char *key;             /* owned; NULL: this run joins nobody */
    char *pipeline, *step; /* owned; NULL: not known, or replaced by a given key */
    char *job; /* owned: the CI's own id of this slot's job, with its attempt where the id stays the
                   * same in a retry; NULL: not known */
    char *commit;         /* owned, NULL: not told */
    unsigned attempt;     /* of the whole pipeline, from 1; 0: this CI does not count them */
    unsigned slot, total; /* from 0; total 0: this CI does not say how many slots there are */
    struct dz_ci_fact facts[DZ_CI_FACTS];
    unsigned fact_count;
    char words[128];   /* texts that facts point to */
    char problem[256]; /* one line about a variable that makes no sense, or "" */
};

typedef const char *dz_ci_getenv_fn(void *arg, const char *name); /* NULL: not set */

/* `given`: the key of --dagz-job, which goes before DAGZ_JOB_KEY; NULL or "": none.  `out` is filled
 * in any case; a value that makes no sense is as if not set, and told in `problem`. */
void dz_ci_detect(dz_ci_getenv_fn *get, void *arg, const char *given, struct dz_ci *out);
void dz_ci_fini(struct dz_ci *self);

#endif
