/* gate.h - who may ask: Host, Origin and bearer tokens.
 *
 * Host    A browser that was led here by a name of somebody else's says that name: only names of
 *         this server are answered (421).
 * Origin  Pages of other sites may not ask (403).
 * Tokens  Needed by whoever does not come from this machine under one of its local names.  A wrong
 *         token is 401, also where none is needed.  A token sees one project, or only reads. */
#ifndef DZ_STORE_HTTP_GATE_H
#define DZ_STORE_HTTP_GATE_H

#include "shared/base/str.h"
#include "store/http/call.h"

struct gate_token {
    char *secret;  /* owned */
    char *project; /* owned; NULL: any */
    bool may_write;
};

struct gate {
    /* owned; names of this server in lower case, with the brackets of IPv6 */
    struct dz_strs near_hosts; /* used on this machine and in its containers; loopback: known */
    struct dz_strs hosts;      /* used from elsewhere */
    struct dz_strs origins;    /* owned; besides what the Host says: "https://dagz.acme.example" */
    struct gate_token *tokens; /* owned */
    size_t token_count;
};

void gate_fini(struct gate *self);

/* One token a line: SECRET, then the project's URI or '*', then perhaps 'read-only'.  ABSENT.
 * CORRUPT: with line and column.  REFUSED: others may read the file. */
DZ_MUST_USE enum dz_rc gate_load_tokens(struct gate *self, const char *path, struct dz_err *err);

/* Decide for a call whose route and headers are set; false: it has been answered. */
bool gate_admits(const struct gate *self, struct http_call *call, bool is_trusted);

#endif
