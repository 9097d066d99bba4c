/* gate.c - who may ask. */
#include "store/http/gate.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "shared/base/fd.h"

enum { SECRET_MIN = 16, TOKENS_MAX = 4096, TOKENS_BYTES_MAX = 1 << 20, HOST_MAX = 256 };

static const char *const LOOPBACK[] = { "localhost", "127.0.0.1", "[::1]" };

void
gate_fini(struct gate *self)
{
    for (size_t i = 0; i < self->token_count; i++) {
        free(self->tokens[i].secret);
        free(self->tokens[i].project);
    }
    free(self->tokens);
    dz_strs_fini(&self->near_hosts);
    dz_strs_fini(&self->hosts);
    dz_strs_fini(&self->origins);
    *self = (struct gate){ .tokens = NULL };
}

/* ---- the file of tokens ---- */

struct words {
    struct dz_slice items[4];
    size_t columns[4];
    size_t count;
};

static void
split(struct dz_slice line, struct words *out)
{
    out->count = 0;
    for (size_t i = 0; i < line.len && out->count < DZ_LEN(out->items);) {
        if (line.ptr[i] == ' ' || line.ptr[i] == '\t' || line.ptr[i] == '\r') {
            i++;
            continue;
        }
        size_t start = i;
        while (i < line.len && line.ptr[i] > ' ')
            i++;
        if (i == start) /* a control character: a word of its own, refused later */
            i++;
        out->items[out->count] = (struct dz_slice){ line.ptr + start, i - start };
        out->columns[out->count++] = start + 1;
    }
}

static const char *
problem_of(const struct words *words, size_t *at_out)
{
    *at_out = 0;
    for (size_t i = 0; i < words->items[0].len; i++)
        if (!isgraph(words->items[0].ptr[i]))
            return "a token is made of visible ASCII characters";
    if (words->items[0].len < SECRET_MIN)
        return "a token has at least 16 characters";
    if (words->count < 2)
        return "behind the token comes the URI of its project, or '*'";
    *at_out = 2;
    if (words->count > 2 && !dz_slice_eq(words->items[2], dz_str("read-only")))
        return "behind the project only 'read-only' may come";
    *at_out = 3;
    if (words->count > 3)
        return "there is more than token, project and 'read-only'";
    return NULL;
}

static void
add_token(struct gate *self, const struct words *words)
{
    self->tokens = dz_realloc(self->tokens, self->token_count + 1, sizeof(*self->tokens));
    self->tokens[self->token_count++] = (struct gate_token){
        .secret = dz_slice_dup(words->items[0]),
        .project = dz_slice_eq(words->items[1], dz_str("*")) ? NULL : dz_slice_dup(words->items[1]),
        .may_write = words->count < 3,
    };
}

static enum dz_rc
parse_tokens(struct gate *self, const char *path, struct dz_slice text, struct dz_err *err)
{
    struct dz_slice line;
    for (unsigned number = 1; dz_line_next(&text, &line); number++) {
        struct words words;
        size_t at;
        split(line, &words);
        if (words.count == 0 || words.items[0].ptr[0] == '#')
            continue;
        const char *problem = problem_of(&words, &at);
        if (!problem && self->token_count == TOKENS_MAX)
            problem = "there are too many tokens";
        if (problem)
            return dz_fail(err, DZ_CORRUPT, "%s:%u:%zu: %s", path, number,
                           words.columns[at < words.count ? at : 0], problem);
        add_token(self, &words);
    }
    return DZ_OK;
}

enum dz_rc
gate_load_tokens(struct gate *self, const char *path, struct dz_err *err)
{
    struct stat info;
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    if (stat(path, &info) == 0) {
        if (!S_ISREG(info.st_mode))
            return dz_fail(err, DZ_CORRUPT, "'%s' is not a file", path);
        if (info.st_mode & (S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH))
            return dz_fail(err, DZ_REFUSED, "others may read '%s': chmod 600 it", path);
    }
    enum dz_rc rc = dz_fd_read_file(path, TOKENS_BYTES_MAX, &text, err);
    return rc == DZ_OK ? parse_tokens(self, path, dz_buf_slice(&text), err) : rc;
}

/* ---- names ---- */

/* The host of "host:port" in lower case, brackets kept; false: not a host. */
static bool
host_of(const char *text, char out[HOST_MAX])
{
    const char *from = *text == '[' ? strchr(text, ']') : text;
    size_t len = from ? (size_t) (from - text) + strcspn(from, ":") : 0;
    if (len == 0 || len >= HOST_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        out[i] = (char) tolower((unsigned char) text[i]);
    out[len] = '\0';
    return true;
}

static bool
is_loopback_name(const char *host)
{
    for (size_t i = 0; i < DZ_LEN(LOOPBACK); i++)
        if (strcmp(host, LOOPBACK[i]) == 0)
            return true;
    return false;
}

/* A page that this server gave out, under the name that it was asked by. */
static bool
is_own_origin(const struct gate *self, const char *origin, const char *host_header)
{
    const char *rest = strstr(origin, "://");
    if (rest && strcasecmp(rest + 3, host_header) == 0)
        return true;
    return dz_strs_has(&self->origins, dz_str(origin));
}

static size_t
count_hosts(const struct http_call *call)
{
    size_t count = 0;
    for (size_t i = 0; i < call->header_count; i++)
        count += strcasecmp(call->headers[i].name, "Host") == 0;
    return count;
}

static bool
check_names(const struct gate *self, struct http_call *call, bool *is_local_out)
{
    char host[HOST_MAX];
    const char *header = http_header(call, "Host"), *origin = http_header(call, "Origin");
    if (!header || !host_of(header, host)) {
        http_problem(call, 400, "the request has no Host");
        return false;
    }
    if (count_hosts(call) > 1) { /* a proxy may believe the other one */
        http_problem(call, 400, "the request has more than one Host");
        return false;
    }
    *is_local_out = is_loopback_name(host) || dz_strs_has(&self->near_hosts, dz_str(host));
    if (!*is_local_out && !dz_strs_has(&self->hosts, dz_str(host))) {
        http_problem(call, 421, "this server is not called '%.128s'", host);
        return false;
    }
    if (origin && !is_own_origin(self, origin, header)) {
        http_problem(call, 403, "pages of '%.128s' may not ask here", origin);
        return false;
    }
    return true;
}

/* ---- tokens ---- */

/* In a time that does not tell how much of it was right. */
static bool
is_secret(const char *secret, const char *given)
{
    size_t len = strlen(secret), given_len = strlen(given);
    unsigned char differs = len != given_len;
    for (size_t i = 0; i < len; i++)
        differs |= (unsigned char) (secret[i] ^ given[given_len ? i % given_len : 0]);
    return !differs;
}

static const struct gate_token *
token_of(const struct gate *self, const char *given)
{
    const struct gate_token *found = NULL;
    for (size_t i = 0; i < self->token_count; i++)
        if (is_secret(self->tokens[i].secret, given))
            found = &self->tokens[i];
    return found;
}

bool
gate_admits(const struct gate *self, struct http_call *call, bool is_trusted)
{
    static const char scheme[] = "Bearer ";
    bool is_local = false;
    if (!check_names(self, call, &is_local))
        return false;
    const char *given = http_header(call, "Authorization");
    if (given) {
        bool is_bearer = strncasecmp(given, scheme, strlen(scheme)) == 0;
        const struct gate_token *token = is_bearer ? token_of(self, given + strlen(scheme)) : NULL;
        if (!token) {
            http_problem(call, 401, "this token is not known here");
            return false;
        }
        call->who = (struct http_who){ .project = token->project, .may_write = token->may_write };
    } else if ((is_trusted && is_local) || call->route->is_open) {
        call->who = (struct http_who){ .may_write = is_trusted && is_local };
    } else {
        http_problem(call, 401, "a token is needed: Authorization: Bearer ...");
        return false;
    }
    bool is_writing = call->route->lane == HTTP_WRITE || call->route->lane == HTTP_LETTERS;
    if (is_writing && !call->who.may_write) {
        http_problem(call, 403, "this token may only read");
        return false;
    }
    return true;
}
