/* head.h - is this the head of a request?
 *
 * The library that speaks HTTP answers what it cannot read by itself, as HTML or with a closed
 * connection, and cannot be told otherwise.  So a head is looked at here first (door.h), and what
 * the library would refuse is refused with a problem document.  What passes here and is refused by
 * the library all the same is refused: nothing is trusted because it passed. */
#ifndef DZ_STORE_HTTP_HEAD_H
#define DZ_STORE_HTTP_HEAD_H

#include "store/http/call.h"

enum { HEAD_BYTES_MAX = 16 << 10 }; /* request line, headers and the empty line */

enum head_state { HEAD_PART, HEAD_SOUND, HEAD_BAD };

/* `bytes` are the first that came, HEAD_BYTES_MAX at most.  BAD: *status_out is the answer's
 * status, and `why` says what is wrong. */
enum head_state head_look(struct dz_slice bytes, int *status_out, struct dz_err *why);

/* Of a head that the library has read: does it keep to what is said above, as far as that can
 * still be seen?  false: `call` has the problem. */
bool head_admits(struct http_call *call, const char *target);

#endif
