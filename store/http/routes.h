/* routes.h - the handlers of the table in routes.c, one file each for what belongs together. */
#ifndef DZ_STORE_HTTP_ROUTES_H
#define DZ_STORE_HTTP_ROUTES_H

#include "store/http/call.h"

enum { HTTP_ROUTES_MAX = 64, LETTERS_BODY_MAX = 2 << 20 };

extern const struct http_route http_routes[];
extern const size_t http_route_count;

/* about.c */
void http_get_health(struct http_call *call);
void http_get_openapi(struct http_call *call);
void http_get_schema(struct http_call *call);
void http_get_style(struct http_call *call);
void http_get_metrics(struct http_call *call);

/* page.c */
void http_get_page(struct http_call *call);

/* take.c */
void http_post_records(struct http_call *call);
void http_get_durations(struct http_call *call);
void http_get_ledger(struct http_call *call);

/* read_jobs.c */
void http_get_projects(struct http_call *call);
void http_get_jobs(struct http_call *call);
void http_get_job(struct http_call *call);

/* read_tests.c */
void http_get_tests(struct http_call *call);
void http_get_test(struct http_call *call);
void http_get_near(struct http_call *call);

/* read_events.c */
void http_get_events(struct http_call *call);

/* read_spans.c */
void http_get_spans(struct http_call *call);
void http_get_span(struct http_call *call);

/* read_logs.c */
void http_get_logs(struct http_call *call);

/* meet.c */
void http_post_enter(struct http_call **calls, size_t count);
void http_post_lease(struct http_call **calls, size_t count);
void http_post_end(struct http_call **calls, size_t count);
void http_post_seal(struct http_call **calls, size_t count);
void http_get_members(struct http_call *call);

/* letters.c */
void http_post_letters(struct http_call *call);
void http_get_letters(struct http_call *call);
/* A node's part in a meeting has ended, or (node 0) all of it: for meet.c. */
void letters_end(struct http_call *call, const char *uri, uint64_t node);

#endif
