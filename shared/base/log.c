#include "shared/base/log.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/buf.h"
#include "shared/base/clock.h"
#include "shared/base/fd.h"

enum { LINE_MAX_LEN = 16384, NUMBER_MAX = 20 };

static int log_fd = -1;
static enum dz_log_level log_least = DZ_LOG_INFO;

void
dz_log_start(int fd, enum dz_log_level least)
{
    log_fd = fd;
    log_least = least;
}

enum dz_rc
dz_log_open(const char *path, enum dz_log_level least, struct dz_err *err)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return dz_fail_errno(err, "open the log '%s'", path);
    dz_log_start(fd, least);
    return DZ_OK;
}

bool
dz_log_wants(enum dz_log_level level)
{
    return log_fd >= 0 && level >= log_least;
}

/* ------------------------------------------------------------------ JSON */

/* Length of the UTF-8 sequence at `p`, 0: none.  Overlong forms and surrogates are none. */
static size_t
utf8_len(const uint8_t *p, size_t left)
{
    size_t len = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (len == 1)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4 || len > left)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return len;
}

void
dz_json_escape(struct dz_buf *out, struct dz_slice text)
{
    for (size_t i = 0; i < text.len;) {
        const uint8_t *p = text.ptr + i;
        size_t len = utf8_len(p, text.len - i);
        if (len == 0)
            dz_buf_add(out, "\xef\xbf\xbd", 3);
        else if (*p == '"' || *p == '\\')
            dz_buf_addf(out, "\\%c", *p);
        else if (*p < 0x20)
            dz_buf_addf(out, "\\u%04x", *p);
        else
            dz_buf_add(out, p, len);
        i += len ? len : 1;
    }
}

static bool
is_number(struct dz_slice text)
{
    size_t at = text.len > 0 && text.ptr[0] == '-' ? 1 : 0;
    if (text.len - at == 0 || text.len > NUMBER_MAX)
        return false;
    if (text.ptr[at] == '0' && text.len - at > 1) /* JSON has no leading zeros */
        return false;
    for (; at < text.len; at++) {
        if (!isdigit(text.ptr[at]))
            return false;
    }
    return true;
}

/* Length of "name" when "name=" is here, else 0. */
static size_t
name_len(struct dz_slice text)
{
    size_t len = 0;
    while (len < text.len && (isalnum(text.ptr[len]) || text.ptr[len] == '_'))
        len++;
    return len < text.len && text.ptr[len] == '=' ? len : 0;
}

/* Where the value that begins here ends: before the next " name=", or at the end. */
static size_t
value_len(struct dz_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        struct dz_slice behind = { text.ptr + i + 1, text.len - i - 1 };
        if (text.ptr[i] == ' ' && name_len(behind) > 0)
            return i;
    }
    return text.len;
}

static void
add_value(struct dz_buf *out, struct dz_slice value)
{
    if (is_number(value)) {
        dz_buf_add(out, value.ptr, value.len);
        return;
    }
    dz_buf_add(out, "\"", 1);
    dz_json_escape(out, value);
    dz_buf_add(out, "\"", 1);
}

static struct dz_slice
behind(struct dz_slice text, size_t len)
{
    len = len < text.len ? len : text.len;
    return (struct dz_slice){ text.ptr + len, text.len - len };
}

static void
add_pairs(struct dz_buf *out, struct dz_slice text)
{
    for (size_t len = name_len(text); len > 0; len = name_len(text)) {
        dz_buf_addf(out, ",\"%.*s\":", (int) len, (const char *) text.ptr);
        text = behind(text, len + 1);
        size_t value = value_len(text);
        add_value(out, (struct dz_slice){ text.ptr, value });
        text = behind(text, value + 1);
    }
    if (text.len > 0) { /* words that are no pairs */
        dz_buf_addf(out, ",\"text\":\"");
        dz_json_escape(out, text);
        dz_buf_addf(out, "\"");
    }
}

void
dz_log(enum dz_log_level level, const char *event, const char *fmt, ...)
{
    static const char *const names[] = { "debug", "info", "warn", "error" };
    _Static_assert(DZ_LEN(names) == DZ_LOG_LEVELS, "one name for each level");
    char text[LINE_MAX_LEN];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    size_t used = len < 0 ? 0 : (size_t) len < sizeof(text) ? (size_t) len : sizeof(text) - 1;

    DZ_AUTO(dz_buf_fini) struct dz_buf line = { 0 };
    dz_buf_addf(&line, "{\"t\":%lld,\"pid\":%d,\"level\":\"%s\",\"event\":\"%s\"",
                (long long) dz_clock_us(), (int) getpid(), names[level], event);
    add_pairs(&line, (struct dz_slice){ (const uint8_t *) text, used });
    dz_buf_addf(&line, "}\n");
    /* a full disk costs the log and nothing else */
    dz_ignore(dz_fd_write_all(log_fd, dz_buf_slice(&line), NULL));
}
