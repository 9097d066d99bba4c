/* export.h - a whole job, gathered, and what writes it. */
#ifndef DZ_ZB_EXPORT_H
#define DZ_ZB_EXPORT_H

#include "zb/zb.h"

struct export_test {
    struct doc_test test; /* its id and text are owned */
    struct dz_buf output; /* owned; the end of what a failed one printed */
};

struct export
{
    struct zb *zb;
    const char *file;           /* NULL: stdout */
    struct store_job_info info; /* owned */
    struct export_test *tests;  /* owned */
    size_t count, cap;
    size_t skipped_output; /* bytes that were printed and are not in `output` */
};

/* Everything written from now on goes there.  ZB_DONE, or the error is told. */
DZ_MUST_USE int export_to(struct export *self, const char *path);
struct dz_slice export_id_file(struct dz_slice id); /* the file in a test's id */
struct dz_slice export_file_of(const struct doc_test *test);
DZ_MUST_USE int export_junit(struct export *self);

#endif
