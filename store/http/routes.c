/* routes.c - every route of the store.  openapi.json describes the same ones; a test compares. */
#include "store/http/routes.h"

/* clang-format off */
const struct http_route http_routes[] = {
    { "GET", "/", HTTP_READ, "project", 0, false, http_get_page, NULL },
    { "GET", "/style.css", HTTP_NOW, NULL, 0, true, http_get_style, NULL },
    { "GET", "/metrics", HTTP_READ, NULL, 0, false, http_get_metrics, NULL },
    { "GET", "/api/v1/openapi.json", HTTP_NOW, NULL, 0, true, http_get_openapi, NULL },
    { "GET", "/api/v1/schemas/{name}", HTTP_NOW, NULL, 0, true, http_get_schema, NULL },
    { "GET", "/healthz", HTTP_NOW, NULL, 0, true, http_get_health, NULL },
    { "GET", "/api/v1/projects", HTTP_READ, NULL, 0, false, http_get_projects, NULL },
    { "GET", "/api/v1/jobs", HTTP_READ, "project limit before", 0, false, http_get_jobs, NULL },
    { "GET", "/api/v1/jobs/{job}", HTTP_READ, "project failures", 0, false, http_get_job, NULL },
    { "GET", "/api/v1/jobs/{job}/tests", HTTP_READ, "project q sort limit offset text", 0, false,
      http_get_tests, NULL },
    { "GET", "/api/v1/jobs/{job}/tests/{test}", HTTP_READ, "project", 0, false, http_get_test, NULL },
    { "GET", "/api/v1/jobs/{job}/near", HTTP_READ, "project name", 0, false, http_get_near, NULL },
    { "GET", "/api/v1/jobs/{job}/logs", HTTP_READ,
      "project worker thread test failed since until from to limit offset", 0, false,
      http_get_logs, NULL },
    { "GET", "/api/v1/jobs/{job}/spans", HTTP_READ, "project worker test since until limit offset", 0,
      false, http_get_spans, NULL },
    { "GET", "/api/v1/jobs/{job}/spans/{span}", HTTP_READ, "project limit offset", 0, false,
      http_get_span, NULL },
    { "POST", "/api/v1/meetings/{key}/enter", HTTP_WRITE, NULL, 8192, false, NULL, http_post_enter },
    { "POST", "/api/v1/meetings/{key}/lease", HTTP_WRITE, NULL, 8192, false, NULL, http_post_lease },
    { "POST", "/api/v1/meetings/{key}/end", HTTP_WRITE, NULL, 8192, false, NULL, http_post_end },
    { "POST", "/api/v1/meetings/{key}/seal", HTTP_WRITE, NULL, 8192, false, NULL, http_post_seal },
    { "GET", "/api/v1/meetings/{key}/members", HTTP_READ, "project skip", 0, false, http_get_members,
      NULL },
    { "POST", "/api/v1/meetings/{key}/letters", HTTP_LETTERS, "project node life batch",
      LETTERS_BODY_MAX, false, http_post_letters, NULL },
    { "GET", "/api/v1/meetings/{key}/letters", HTTP_LETTERS, "project node box after wait_ms", 0,
      false, http_get_letters, NULL },
    { "POST", "/api/v1/jobs/{job}/records", HTTP_WRITE, NULL, HTTP_BODY_MAX, false,
      http_post_records, NULL },
    { "GET", "/api/v1/jobs/{job}/ledger", HTTP_READ, "project from list", 0, false, http_get_ledger, NULL },
    { "GET", "/api/v1/durations", HTTP_READ, "project profile", 0, false, http_get_durations, NULL },
    { "GET", "/api/v1/events", HTTP_STREAM, "project job topics after", 0, false, http_get_events,
      NULL },
};
/* clang-format on */

const size_t http_route_count = DZ_LEN(http_routes);
