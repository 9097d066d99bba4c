/* route.h - from a method and a path to the row that answers. */
#ifndef DZ_STORE_HTTP_ROUTE_H
#define DZ_STORE_HTTP_ROUTE_H

#include "store/http/call.h"

/* Set call->route, params and args, or answer: 404 with the nearest path, 405 with what may be
 * asked, 400 for an argument that the route does not know.  `target` is path and query as they were
 * sent.  true: there is a route and nothing has been answered. */
bool route_find(struct http_call *call, const char *method, const char *target);

/* Every route, for the test that holds them against the OpenAPI document. */
const struct http_route *route_table(size_t *count_out);

#endif
