/* base.h - the vocabulary that every folder may use.  Depends on libc only. */
#ifndef DZ_SHARED_BASE_BASE_H
#define DZ_SHARED_BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DZ_MUST_USE     __attribute__((warn_unused_result))
#define DZ_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define DZ_LEN(array)   (sizeof(array) / sizeof((array)[0]))

/* Do without the result of a DZ_MUST_USE function, where that is right (say why): to gcc a cast to
 * void is not enough. */
#define dz_ignore(call) \
    do { \
        __typeof__(call) dz_ignored_ = (call); \
        (void) dz_ignored_; \
    } while (0)

/* Run `destroy(&variable)` when the variable leaves scope. */
#define DZ_AUTO(destroy) __attribute__((cleanup(destroy)))

/* Take the value out of an owning variable and leave NULL behind. */
#define dz_move(p) \
    __extension__({ \
        __typeof__(p) *dz_from_ = &(p); \
        __typeof__(p) dz_taken_ = *dz_from_; \
        *dz_from_ = NULL; \
        dz_taken_; \
    })

/* A bug of this program.  Always on; never used for what a peer, a file or a user sent. */
#define dz_assert(cond) ((cond) ? (void) 0 : dz_bug(__FILE__, __LINE__, #cond))
_Noreturn void dz_bug(const char *file, int line, const char *what);

/* Every failure that a caller may act on.  X(name, text) */
#define DZ_RC_LIST(X) \
    X(OK, "ok") \
    X(IO, "input/output failed") \
    X(LIMIT, "a limit was reached") \
    X(EXISTS, "already there") \
    X(ABSENT, "not there") \
    X(REFUSED, "not allowed in this state") \
    X(CORRUPT, "bytes do not match the schema") \
    X(FULL, "no space left") \
    X(AGAIN, "not now, later") \
    X(CLOSED, "the other end is gone") \
    X(VERSION, "of a version that is not known here")

enum dz_rc {
#define X(name, text) DZ_##name,
    DZ_RC_LIST(X)
#undef X
};
const char *dz_rc_text(enum dz_rc rc);

/* Borrowed bytes: never freed through this type. */
struct dz_slice {
    const uint8_t *ptr;
    size_t len;
};

/* The bytes of a C string, without its NUL. */
struct dz_slice dz_str(const char *s);
bool dz_slice_eq(struct dz_slice a, struct dz_slice b);
/* Their order by bytes: < 0, 0, > 0; what begins another one is before it. */
int dz_slice_cmp(struct dz_slice a, struct dz_slice b);

typedef int64_t dz_ms; /* milliseconds on the monotonic clock */
typedef int64_t dz_us; /* microseconds on the monotonic clock */

/* Human detail of one failure; lives on the caller's stack.  One line, names the thing. */
struct dz_err {
    char text[256];
};
enum dz_rc dz_fail(struct dz_err *err, enum dz_rc rc, const char *fmt, ...) DZ_PRINTF(3, 4);
enum dz_rc dz_fail_errno(struct dz_err *err, const char *fmt, ...) DZ_PRINTF(2, 3); /* DZ_IO */

void *dz_alloc0(size_t count, size_t size);           /* zeroed; ends the process on OOM */
void *dz_realloc(void *p, size_t count, size_t size); /* ends the process on OOM */
char *dz_strdup(const char *s);
char *dz_slice_dup(struct dz_slice s); /* NUL-terminated copy; caller owns */
void dz_free(void *p_p);               /* DZ_AUTO-able: free()s *p_p and clears it */

#endif
