/* read.h - what the reading routes share. */
#ifndef DZ_STORE_HTTP_READ_H
#define DZ_STORE_HTTP_READ_H

#include "store/doc.h"
#include "store/http/routes.h"

/* The job that {job} names: a long id, or with ?project= any name that zb takes, or a commit.
 * false: answered (404 also for what the caller's token does not see). */
bool read_job(struct http_call *call, char ulid_out[STORE_ULID_LEN + 1]);
/* The same for a name that stands elsewhere. */
bool read_job_named(struct http_call *call, const char *name, char ulid_out[STORE_ULID_LEN + 1]);

/* The project that is asked for; NULL: all.  false: answered. */
bool read_project(struct http_call *call, const char **uri_out);

/* Say where the next page is: this request with `name` set to `value`. */
void read_next(struct http_call *call, const char *name, const char *value);

#endif
