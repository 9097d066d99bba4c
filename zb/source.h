/* source.h - where zb's facts come from: the store of this machine, or a server that has one.
 *
 * Both give the same structs, so there is one printer for each command.  local.c reads the store's
 * files; remote.c asks over HTTP for the documents that --json prints, and reads them back. */
#ifndef DZ_ZB_SOURCE_H
#define DZ_ZB_SOURCE_H

#include "store/doc.h"

/* Why a call failed: ABSENT, VERSION and CORRUPT as in store.h.  REFUSED: not allowed.  LIMIT: what
 * is asked for makes no sense.  CLOSED: a server does not answer. */
struct source;
struct source_logs;

struct source_ops {
    void (*close)(struct source *self);
    bool (*knows_project)(struct source *self, const char *uri);
    enum dz_rc (*jobs)(struct source *self, const char *uri, size_t limit,
                       struct store_job_list *out, struct dz_err *err);
    /* AGAIN: not a form of a job's name; a git revision, perhaps. */
    enum dz_rc (*find)(struct source *self, const char *uri, const char *spec,
                       char ulid_out[STORE_ULID_LEN + 1], struct dz_err *err);
    enum dz_rc (*find_by_commit)(struct source *self, const char *uri, const char *commit,
                                 char ulid_out[STORE_ULID_LEN + 1], struct dz_err *err);
    enum dz_rc (*info)(struct source *self, const char *ulid, struct store_job_info *out,
                       struct dz_err *err);
    enum dz_rc (*job)(struct source *self, const char *ulid, size_t failures_max,
                      struct doc_job *out, struct dz_err *err);
    /* `words` are the query's, as they were typed: ask->query is made of them. */
    enum dz_rc (*tests)(struct source *self, const char *ulid, char *const *words,
                        size_t word_count, const struct doc_tests_ask *ask, doc_test_fn *fn,
                        void *arg, struct doc_tests_sum *sum_out, struct dz_err *err);
    enum dz_rc (*near)(struct source *self, const char *ulid, const char *name,
                       struct dz_buf *list_out, struct dz_err *err);
    /* A span and all that is below it, see doc_spans(). */
    enum dz_rc (*spans)(struct source *self, const char *ulid, const char *name, doc_span_fn *fn,
                        void *arg, struct dz_err *err);
    enum dz_rc (*logs_open)(struct source *self, const char *ulid, const struct doc_logs_ask *ask,
                            bool is_followed, struct source_logs **out, struct dz_err *err);
    /* Wait until something was written, or for as long. */
    void (*pause)(struct source *self, int wait_ms);
};

struct source {
    const struct source_ops *ops;
    const char *name; /* for people: a folder or a URL; owned by the source */
};

/* The store under `home`.  ABSENT: nobody has written there yet. */
DZ_MUST_USE enum dz_rc source_local(const char *home, struct source **out, struct dz_err *err);
/* The server at a URL, with the token that DAGZ_TOKEN or DAGZ_TOKEN_FILE name.  Nothing is asked yet. */
DZ_MUST_USE enum dz_rc source_remote(const char *url, struct source **out, struct dz_err *err);
void source_close(struct source **self_p);

struct source_logs_ops {
    void (*close)(struct source_logs *self);
    enum dz_rc (*next)(struct source_logs *self, int wait_ms, struct doc_log *out,
                       struct dz_err *err);
};

struct source_logs {
    const struct source_logs_ops *ops;
};

/* The next record, valid until the next call; when there is none yet, wait up to `wait_ms` for it
 * (followed logs only).  AGAIN: none came, and the job goes on.  ABSENT: there will be no more. */
DZ_MUST_USE enum dz_rc source_logs_next(struct source_logs *self, int wait_ms, struct doc_log *out,
                                        struct dz_err *err);
void source_logs_close(struct source_logs **self_p);

#endif
