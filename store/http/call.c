/* call.c - what every route needs: arguments, and answers that say what is wrong. */
#include "store/http/call.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "shared/base/log.h"

static const char *
find(const struct http_pair *pairs, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(pairs[i].name, name) == 0)
            return pairs[i].value;
    return NULL;
}

const char *
http_header(const struct http_call *self, const char *name)
{
    return find(self->headers, self->header_count, name);
}

const char *
http_arg(const struct http_call *self, const char *name)
{
    return find(self->args, self->arg_count, name);
}

bool
http_arg_number(struct http_call *self, const char *name, uint64_t least, uint64_t most,
                uint64_t otherwise, uint64_t *out)
{
    const char *text = http_arg(self, name);
    char *end = NULL;
    *out = otherwise;
    if (!text)
        return true;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (*text >= '0' && *text <= '9' && !*end && errno == 0 && number >= least && number <= most) {
        *out = number;
        return true;
    }
    http_problem(self, 400, "%s is a whole number from %llu to %llu, not '%.64s'", name,
                 (unsigned long long) least, (unsigned long long) most, text);
    return false;
}

const struct http_pair http_always[] = {
    { "X-Content-Type-Options", "nosniff" },
    { "Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'" },
    { "Referrer-Policy", "no-referrer" },
    { NULL, NULL },
};

/* ---- problems ---- */

static const char *
title_of(int status)
{
    static const struct {
        int status;
        const char *title;
    } titles[] = {
        { 400, "Bad request" },       { 401, "Not authorized" },     { 403, "Not allowed" },
        { 404, "Not found" },         { 405, "Method not allowed" }, { 408, "Too slow" },
        { 409, "Conflict" },          { 413, "Too large" },          { 414, "Too long" },
        { 415, "Unsupported type" },  { 421, "Not this server" },    { 422, "Not understood" },
        { 429, "Too many requests" }, { 431, "Too large a head" },   { 500, "Internal error" },
        { 503, "Not now" },           { 505, "Not this version" },   { 507, "No space left" },
    };
    for (size_t i = 0; i < DZ_LEN(titles); i++)
        if (titles[i].status == status)
            return titles[i].title;
    return "Error";
}

void
http_problem(struct http_call *self, int status, const char *fmt, ...)
{
    char detail[512];
    va_list args;
    va_start(args, fmt);
    (void) vsnprintf(detail, sizeof(detail), fmt, args); /* cut if long */
    va_end(args);
    self->status = status;
    self->type = "application/problem+json";
    self->is_cachable = false;
    dz_buf_clear(&self->out);
    dz_buf_clear(&self->link);
    dz_buf_addf(&self->out,
                "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"detail\":\"",
                title_of(status), status);
    dz_json_escape(&self->out, dz_str(detail));
    dz_buf_addf(&self->out, "\"}\n");
}

void
http_problem_rc(struct http_call *self, enum dz_rc rc, const struct dz_err *err)
{
    enum { RETRY_S = 1, RETRY_FULL_S = 30 };
    switch (rc) {
    case DZ_ABSENT: http_problem(self, 404, "%s", err->text); return;
    case DZ_LIMIT: http_problem(self, 413, "%s", err->text); return;
    case DZ_EXISTS:
    case DZ_REFUSED: http_problem(self, 409, "%s", err->text); return;
    case DZ_AGAIN: self->retry_s = RETRY_S; break;
    case DZ_FULL:
        self->retry_s = RETRY_FULL_S;
        http_problem(self, 507, "%s", err->text);
        return;
    case DZ_OK:
    case DZ_IO:
    case DZ_CORRUPT:
    case DZ_CLOSED:
    case DZ_VERSION: http_problem(self, 500, "%s", err->text); return;
    }
    http_problem(self, 503, "%s", err->text);
}
