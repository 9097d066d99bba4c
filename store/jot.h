/* jot.h - JSON, written only, into a buffer.
 *
 * What is open is seen from the last byte, so a document has to stay in the buffer until it ends.
 * A key of NULL: within a list. */
#ifndef DZ_STORE_JOT_H
#define DZ_STORE_JOT_H

#include "shared/base/buf.h"

void jot_open(struct dz_buf *out, char bracket);  /* '{' or '[' */
void jot_close(struct dz_buf *out, char bracket); /* '}' or ']' */
void jot_key(struct dz_buf *out, const char *key);
void jot_text(struct dz_buf *out, const char *key, const char *text);
void jot_slice(struct dz_buf *out, const char *key, struct dz_slice text); /* not UTF-8: U+FFFD */
void jot_int(struct dz_buf *out, const char *key, int64_t number);
void jot_bool(struct dz_buf *out, const char *key, bool flag);
void jot_null(struct dz_buf *out, const char *key);
/* "2026-11-21T14:03:02.123456Z"; null for 0. */
void jot_time(struct dz_buf *out, const char *key, int64_t us);
void jot_end(struct dz_buf *out); /* newline after a document */

/* Bytes of the character that `s` (not empty) begins with; 0: it is not UTF-8. */
size_t jot_char_len(struct dz_slice s);

#endif
