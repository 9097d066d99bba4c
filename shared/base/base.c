#include "shared/base/base.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
dz_bug(const char *file, int line, const char *what)
{
    (void) fprintf(stderr, "dagz: bug at %s:%d: not true: %s\n", file, line, what);
    abort();
}

const char *
dz_rc_text(enum dz_rc rc)
{
    static const char *const texts[] = {
#define X(name, text) [DZ_##name] = text,
        DZ_RC_LIST(X)
#undef X
    };
    dz_assert((size_t) rc < DZ_LEN(texts));
    return texts[rc];
}

struct dz_slice
dz_str(const char *s)
{
    return (struct dz_slice){ .ptr = (const uint8_t *) s, .len = strlen(s) };
}

bool
dz_slice_eq(struct dz_slice a, struct dz_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

int
dz_slice_cmp(struct dz_slice a, struct dz_slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len > 0 ? memcmp(a.ptr, b.ptr, len) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* What a person reads is one line, whatever a file's name or a peer put into it. */
static void
flatten(char *text)
{
    for (; *text; text++) {
        if (*text == '\n' || *text == '\r')
            *text = ' ';
    }
}

DZ_PRINTF(2, 0)
static void
fill(struct dz_err *err, const char *fmt, va_list args)
{
    (void) vsnprintf(err->text, sizeof(err->text), fmt, args);
    flatten(err->text);
}

enum dz_rc
dz_fail(struct dz_err *err, enum dz_rc rc, const char *fmt, ...)
{
    if (!err)
        return rc;
    va_list args;
    va_start(args, fmt);
    fill(err, fmt, args);
    va_end(args);
    return rc;
}

enum dz_rc
dz_fail_errno(struct dz_err *err, const char *fmt, ...)
{
    int code = errno;
    if (!err)
        return DZ_IO;
    va_list args;
    va_start(args, fmt);
    fill(err, fmt, args);
    va_end(args);

    char reason[80]; /* the GNU strerror_r may or may not use it */
    const char *why = strerror_r(code, reason, sizeof(reason));
    size_t used = strlen(err->text);
    size_t room = sizeof(err->text) - used;
    size_t wanted = strlen(why) + 3;
    if (wanted > room) /* the reason is worth more than the end of a long name */
        used = sizeof(err->text) - (wanted < sizeof(err->text) ? wanted : sizeof(err->text));
    (void) snprintf(err->text + used, sizeof(err->text) - used, ": %s", why);
    return DZ_IO;
}

static void *
checked(void *p)
{
    if (!p) {
        (void) fputs("dagz: out of memory\n", stderr);
        abort();
    }
    return p;
}

void *
dz_alloc0(size_t count, size_t size)
{
    /* calloc(0) may say NULL, which is no failure */
    return checked(calloc(count ? count : 1, size ? size : 1));
}

void *
dz_realloc(void *p, size_t count, size_t size)
{
    size_t total = 0;
    if (__builtin_mul_overflow(count, size, &total))
        return checked(NULL);
    return checked(realloc(p, total ? total : 1));
}

char *
dz_slice_dup(struct dz_slice s)
{
    char *copy = dz_alloc0(s.len + 1, 1);
    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    return copy;
}

char *
dz_strdup(const char *s)
{
    return dz_slice_dup(dz_str(s));
}

void
dz_free(void *p_p)
{
    void *p = NULL; /* copied bytewise: the variable is a pointer to anything */
    memcpy(&p, p_p, sizeof(p));
    free(p);
    p = NULL;
    memcpy(p_p, &p, sizeof(p));
}
