/* remote.h - what the two halves of asking a server share: asking, and reading documents back. */
#ifndef DZ_ZB_REMOTE_H
#define DZ_ZB_REMOTE_H

#include <jansson.h>

#include "shared/http/http.h"
#include "zb/source.h"

struct remote {
    struct source base;
    char *url;                        /* owned */
    struct dz_http *http;             /* owned */
    char watched[STORE_ULID_LEN + 1]; /* the job that was asked about last */
    bool is_listening, has_news;      /* to its events; some came since it was looked at */
    dz_ms listened_ms, looked_ms;     /* when it was begun, and when a pause ended */
};

/* A path with its query, made piece by piece; values are encoded. */
void remote_path(struct dz_buf *path, const char *text);
void remote_value(struct dz_buf *path, const char *name, const char *value); /* NULL: none */
void remote_number(struct dz_buf *path, const char *name, int64_t value);

/* GET `path`.  ABSENT: 404.  REFUSED: 401, 403.  LIMIT: 400, what was asked makes no sense.  CLOSED:
 * nobody answers.  CORRUPT: it is no store. */
DZ_MUST_USE enum dz_rc remote_get(struct remote *self, struct dz_buf *path, struct dz_buf *body_out,
                                  struct dz_err *err);
/* And the answer's header Dagz-Place; -1: it has none. */
DZ_MUST_USE enum dz_rc remote_get_part(struct remote *self, struct dz_buf *path,
                                       struct dz_buf *body_out, int64_t *place_out,
                                       struct dz_err *err);
/* The same for one document of this schema; VERSION: of another. */
DZ_MUST_USE enum dz_rc remote_document(struct remote *self, struct dz_buf *path, const char *schema,
                                       json_t **out, struct dz_err *err);
/* Each line of a body, one document a line. */
typedef void remote_line_fn(void *arg, json_t *line);
DZ_MUST_USE enum dz_rc remote_lines(struct remote *self, struct dz_buf *body, const char *schema,
                                    remote_line_fn *fn, void *arg, struct dz_err *err);

/* ---- remote_read.c: documents as structs; what is missing is empty ---- */

void remote_read_info(const json_t *doc, struct store_job_info *out); /* owned by *out */
void remote_read_test(const json_t *doc,
                      struct doc_test *out);            /* its id is borrowed from the document */
void remote_read_job(json_t *doc, struct doc_job *out); /* takes a reference to the document */
void remote_read_log(const json_t *doc, struct doc_log *out);   /* borrowed */
void remote_read_span(const json_t *doc, struct doc_span *out); /* likewise */
int64_t remote_read_time(const json_t *doc, const char *key);   /* 0: null */

DZ_MUST_USE enum dz_rc remote_logs_open(struct source *source, const char *ulid,
                                        const struct doc_logs_ask *ask, bool is_followed,
                                        struct source_logs **out, struct dz_err *err);

#endif
