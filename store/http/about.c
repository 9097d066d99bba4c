/* about.c - what the store says of itself. */
#include "store/http/routes.h"

void
http_get_health(struct http_call *call)
{
    dz_buf_addf(&call->out, "{\"service\":\"dagz\",\"status\":\"ok\",\"version\":\"%s\"}\n",
                DZ_VERSION_TEXT);
}
