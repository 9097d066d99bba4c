/* head.c - a head is read once more than it needs to be, to refuse it in our own words. */
#include "store/http/head.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { VERSION_LEN = 8 }; /* HTTP/1.1 */

struct head {
    struct dz_slice rest; /* what has not been looked at */
    uint32_t headers;
    bool is_old; /* HTTP/1.0: Host may be missing, as far as HTTP goes */
    bool has_host, is_chunked;
    struct dz_slice length; /* of the first Content-Length; ptr NULL: none */
    int status;
    struct dz_err *why;
};

DZ_PRINTF(3, 4)
static bool
refuse(struct head *self, int status, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void) vsnprintf(self->why->text, sizeof(self->why->text), fmt, args); /* cut if long */
    va_end(args);
    self->status = status;
    return false;
}

/* Without what ends it.  false: its end has not come. */
static bool
take_line(struct dz_slice *rest, struct dz_slice *line_out)
{
    const uint8_t *end = rest->len ? memchr(rest->ptr, '\n', rest->len) : NULL;
    if (!end)
        return false;
    size_t len = (size_t) (end - rest->ptr);
    bool has_cr = len > 0 && end[-1] == '\r';
    *line_out = (struct dz_slice){ rest->ptr, len - has_cr };
    *rest = (struct dz_slice){ end + 1, rest->len - len - 1 };
    return true;
}

/* ---- the request line ---- */

/* Also of a line that has not ended: who speaks TLS here will not end it. */
static bool
check_bytes(struct head *self, struct dz_slice line)
{
    for (size_t i = 0; i < line.len; i++) {
        bool is_end = line.ptr[i] == '\r' && i + 1 == line.len;
        if ((line.ptr[i] < ' ' || line.ptr[i] == 0x7f) && !is_end)
            return refuse(self, 400, "the request line has the byte 0x%02x; this port speaks HTTP",
                          line.ptr[i]);
    }
    return true;
}

static bool
is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

static bool
check_version(struct head *self, struct dz_slice text)
{
    if (text.len != VERSION_LEN || memcmp(text.ptr, "HTTP/", 5) != 0 || !is_digit(text.ptr[5]) ||
        text.ptr[6] != '.' || !is_digit(text.ptr[7]))
        return refuse(self, 400, "the request line does not end in HTTP/1.1");
    if (text.ptr[5] != '1')
        return refuse(self, 505, "this server speaks HTTP/1.1, not %.*s", (int) text.len,
                      (const char *) text.ptr);
    self->is_old = text.ptr[7] == '0';
    return true;
}

static bool
check_request_line(struct head *self, struct dz_slice line)
{
    size_t spaces = 0, at[2] = { 0 };
    if (!check_bytes(self, line))
        return false;
    for (size_t i = 0; i < line.len; i++)
        if (line.ptr[i] == ' ' && spaces++ < DZ_LEN(at))
            at[spaces - 1] = i;
    if (spaces != DZ_LEN(at) || at[0] == 0 || at[1] == at[0] + 1)
        return refuse(self, 400,
                      "the request line is not a method, a target and HTTP/1.1, with "
                      "one space between them");
    return check_version(self, (struct dz_slice){ line.ptr + at[1] + 1, line.len - at[1] - 1 });
}

/* ---- headers ---- */

static bool
is_named(struct dz_slice name, const char *wanted)
{
    return name.len == strlen(wanted) &&
           strncasecmp((const char *) name.ptr, wanted, name.len) == 0;
}

static bool
check_header(struct head *self, struct dz_slice line)
{
    if (memchr(line.ptr, '\0', line.len))
        return refuse(self, 400, "header %u has a NUL", self->headers + 1);
    if (self->headers > 0 && (line.ptr[0] == ' ' || line.ptr[0] == '\t'))
        return true; /* the line before goes on */
    const uint8_t *colon = memchr(line.ptr, ':', line.len);
    self->headers++;
    if (!colon)
        return refuse(self, 400, "header %u has no colon", self->headers);
    struct dz_slice name = { line.ptr, (size_t) (colon - line.ptr) };
    struct dz_slice value = { colon + 1, line.len - name.len - 1 };
    while (value.len > 0 && (*value.ptr == ' ' || *value.ptr == '\t'))
        value = (struct dz_slice){ value.ptr + 1, value.len - 1 };
    self->has_host |= is_named(name, "Host");
    self->is_chunked |= is_named(name, "Transfer-Encoding");
    if (!self->length.ptr && is_named(name, "Content-Length"))
        self->length = value;
    return true;
}

static bool
check_length(struct head *self)
{
    uint64_t number = 0;
    bool is_number = self->length.len > 0;
    if (!self->length.ptr || self->is_chunked)
        return true;
    for (size_t i = 0; i < self->length.len; i++)
        is_number &= is_digit(self->length.ptr[i]);
    if (!is_number)
        return refuse(self, 400, "Content-Length is not a number");
    for (size_t i = 0; i < self->length.len; i++) {
        uint64_t digit = self->length.ptr[i] - (uint64_t) '0';
        if (number > (UINT64_MAX - digit) / 10)
            return refuse(self, 413, "Content-Length is more than any body may have");
        number = number * 10 + digit;
    }
    return true;
}

static bool
check_whole(struct head *self)
{
    if (self->headers > HTTP_PAIRS)
        return refuse(self, 400, "the request has %u headers; %d are the most", self->headers,
                      HTTP_PAIRS);
    if (!self->has_host && !self->is_old)
        return refuse(self, 400, "the request has no Host");
    return check_length(self);
}

/* ---- what there is of it ---- */

static bool
check(struct head *self, bool is_full, bool *is_whole_out)
{
    struct dz_slice line = { 0 };
    bool has_line = take_line(&self->rest, &line);
    while (has_line && line.len == 0) /* some clients send one too many behind a body */
        has_line = take_line(&self->rest, &line);
    if (!has_line && is_full)
        return refuse(self, 414, "the request line takes at most %d bytes", HEAD_BYTES_MAX);
    if (!has_line)
        return check_bytes(self, self->rest);
    if (!check_request_line(self, line))
        return false;
    while (take_line(&self->rest, &line)) {
        if (line.len == 0) {
            *is_whole_out = true;
            return check_whole(self);
        }
        if (!check_header(self, line))
            return false;
    }
    if (is_full)
        return refuse(self, 431, "the head of a request takes at most %d bytes", HEAD_BYTES_MAX);
    return true;
}

enum head_state
head_look(struct dz_slice bytes, int *status_out, struct dz_err *why)
{
    struct head self = { .rest = bytes, .why = why };
    bool is_whole = false;
    if (!check(&self, bytes.len >= HEAD_BYTES_MAX, &is_whole)) {
        *status_out = self.status;
        return HEAD_BAD;
    }
    return is_whole ? HEAD_SOUND : HEAD_PART;
}

bool
head_admits(struct http_call *call, const char *target)
{
    size_t len = strlen(target);
    if (strchr(target, ' '))
        http_problem(call, 400, "the target of the request has a space");
    else if (len > HEAD_BYTES_MAX)
        http_problem(call, 414, "the request line takes at most %d bytes", HEAD_BYTES_MAX);
    for (size_t i = 0; i < call->header_count; i++)
        len += strlen(call->headers[i].name) + strlen(call->headers[i].value);
    if (call->status == 200 && len > HEAD_BYTES_MAX)
        http_problem(call, 431, "the head of a request takes at most %d bytes", HEAD_BYTES_MAX);
    return call->status == 200;
}
