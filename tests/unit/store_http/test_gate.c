/* test_gate.c - who may ask. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/http/gate.h"
#include "tests/unit/unit.h"

static const struct http_route READING = { .path = "/api/v1/jobs", .lane = HTTP_READ };
static const struct http_route WRITING = { .path = "/api/v1/x", .lane = HTTP_WRITE };
static const struct http_route OPEN = { .path = "/healthz", .is_open = true };

static char path[64];

static enum dz_rc
load(struct gate *gate, const char *text, mode_t mode, struct dz_err *err)
{
    (void) snprintf(path, sizeof(path), "/tmp/dz-tokens-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t) strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    (void) close(fd);
    enum dz_rc rc = gate_load_tokens(gate, path, err);
    (void) unlink(path);
    return rc;
}

/* The status of an answer, 0: admitted. */
static int
ask(const struct gate *gate, const struct http_route *route, bool is_trusted, const char *host,
    const char *origin, const char *authorization)
{
    struct http_call *call = dz_alloc0(1, sizeof(*call));
    call->route = route;
    if (host)
        call->headers[call->header_count++] = (struct http_pair){ "host", host };
    if (origin)
        call->headers[call->header_count++] = (struct http_pair){ "Origin", origin };
    if (authorization)
        call->headers[call->header_count++] = (struct http_pair){ "Authorization", authorization };
    int status = gate_admits(gate, call, is_trusted) ? 0 : call->status;
    dz_buf_fini(&call->out);
    dz_free(&call);
    return status;
}

static void
make(struct gate *gate)
{
    struct dz_err err;
    memset(gate, 0, sizeof(*gate));
    assert_ok(load(gate,
                   "# who may ask\n\n"
                   "0123456789abcdef  git@x:a.git\n"
                   "  fedcba9876543210 * read-only\n",
                   0600, &err));
    assert_int_equal(gate->token_count, 2);
    dz_strs_add(&gate->near_hosts, dz_str("127.0.0.2"));
    dz_strs_add(&gate->hosts, dz_str("dagz.acme.example"));
    dz_strs_add(&gate->origins, dz_str("https://dagz.acme.example"));
}

static void
only_names_of_this_server_are_answered(void **state)
{
    (void) state;
    struct gate gate;
    make(&gate);
    assert_int_equal(ask(&gate, &READING, true, "localhost:29111", NULL, NULL), 0);
    assert_int_equal(ask(&gate, &READING, true, "LocalHost", NULL, NULL), 0);
    assert_int_equal(ask(&gate, &READING, true, "[::1]:29111", NULL, NULL), 0);
    assert_int_equal(ask(&gate, &READING, true, "127.0.0.2:1", NULL, NULL), 0);
    assert_int_equal(ask(&gate, &READING, true, "evil.example:29111", NULL, NULL), 421);
    assert_int_equal(ask(&gate, &OPEN, true, "localhost.evil.example", NULL, NULL), 421);
    assert_int_equal(ask(&gate, &READING, true, NULL, NULL, NULL), 400);
    assert_int_equal(ask(&gate, &READING, true, "", NULL, NULL), 400);
    assert_int_equal(ask(&gate, &READING, true, "[::1", NULL, NULL), 400);
    gate_fini(&gate);
}

static void
of_two_hosts_none_is_believed(void **state)
{
    (void) state;
    struct gate gate;
    make(&gate);
    struct http_call *call = dz_alloc0(1, sizeof(*call));
    call->route = &OPEN;
    call->headers[call->header_count++] = (struct http_pair){ "Host", "localhost" };
    call->headers[call->header_count++] = (struct http_pair){ "host", "evil.example" };
    assert_false(gate_admits(&gate, call, true));
    assert_int_equal(call->status, 400);
    dz_buf_fini(&call->out);
    dz_free(&call);
    gate_fini(&gate);
}

static void
pages_of_other_sites_may_not_ask(void **state)
{
    (void) state;
    struct gate gate;
    make(&gate);
    const char *host = "localhost:29111";
    assert_int_equal(ask(&gate, &READING, true, host, "http://localhost:29111", NULL), 0);
    assert_int_equal(ask(&gate, &READING, true, host, "https://dagz.acme.example", NULL), 0);
    assert_int_equal(ask(&gate, &READING, true, host, "http://localhost:3000", NULL), 403);
    assert_int_equal(ask(&gate, &READING, true, host, "http://evil.example", NULL), 403);
    assert_int_equal(ask(&gate, &READING, true, host, "null", NULL), 403);
    gate_fini(&gate);
}

static void
who_comes_from_elsewhere_needs_a_token(void **state)
{
    (void) state;
    struct gate gate;
    make(&gate);
    const char *far = "dagz.acme.example", *token = "Bearer 0123456789abcdef";
    assert_int_equal(ask(&gate, &READING, false, far, NULL, NULL), 401);
    assert_int_equal(ask(&gate, &READING, false, "localhost", NULL, NULL), 401);
    assert_int_equal(ask(&gate, &READING, true, far, NULL, NULL), 401); /* through a proxy */
    assert_int_equal(ask(&gate, &READING, false, far, NULL, token), 0);
    assert_int_equal(ask(&gate, &OPEN, false, far, NULL, NULL), 0);
    gate_fini(&gate);
}

static void
a_wrong_token_is_refused_also_where_none_is_needed(void **state)
{
    (void) state;
    struct gate gate;
    make(&gate);
    static const char *const wrong[] = { "Bearer 0123456789abcdeF",
                                         "Bearer 0123456789abcde",
                                         "Bearer 0123456789abcdef0",
                                         "Bearer ",
                                         "Bearer",
                                         "Basic 0123456789abcdef",
                                         "" };
    for (size_t i = 0; i < DZ_LEN(wrong); i++)
        assert_int_equal(ask(&gate, &READING, true, "localhost", NULL, wrong[i]), 401);
    gate_fini(&gate);
}

static void
a_token_may_be_for_reading_only(void **state)
{
    (void) state;
    struct gate gate;
    make(&gate);
    const char *far = "dagz.acme.example";
    assert_int_equal(ask(&gate, &WRITING, false, far, NULL, "Bearer 0123456789abcdef"), 0);
    assert_int_equal(ask(&gate, &READING, false, far, NULL, "Bearer fedcba9876543210"), 0);
    assert_int_equal(ask(&gate, &WRITING, false, far, NULL, "Bearer fedcba9876543210"), 403);
    gate_fini(&gate);
}

static void
a_bad_line_is_named_with_line_and_column(void **state)
{
    (void) state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        { "short x\n", ":1:1: a token has at least 16 characters" },
        { "\n0123456789abcdef\n", ":2:1: behind the token comes the URI" },
        { "0123456789abcdef u readonly\n", ":1:20: behind the project only 'read-only'" },
        { "0123456789abcdef u read-only x\n", ":1:30: there is more than" },
        { "0123456789abcde\xc3\xa9 u\n", ":1:1: a token is made of visible ASCII" },
    };
    for (size_t i = 0; i < DZ_LEN(cases); i++) {
        struct gate gate = { .tokens = NULL };
        struct dz_err err;
        assert_int_equal(load(&gate, cases[i].text, 0600, &err), DZ_CORRUPT);
        if (!strstr(err.text, cases[i].says))
            fail_msg("%s", err.text);
        gate_fini(&gate);
    }
}

static void
a_file_that_others_may_read_is_refused(void **state)
{
    (void) state;
    struct gate gate = { .tokens = NULL };
    struct dz_err err;
    assert_int_equal(load(&gate, "0123456789abcdef *\n", 0640, &err), DZ_REFUSED);
    assert_non_null(strstr(err.text, "chmod 600"));
    assert_int_equal(gate_load_tokens(&gate, "/nonexistent/tokens", &err), DZ_ABSENT);
    gate_fini(&gate);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_names_of_this_server_are_answered),
        cmocka_unit_test(of_two_hosts_none_is_believed),
        cmocka_unit_test(pages_of_other_sites_may_not_ask),
        cmocka_unit_test(who_comes_from_elsewhere_needs_a_token),
        cmocka_unit_test(a_wrong_token_is_refused_also_where_none_is_needed),
        cmocka_unit_test(a_token_may_be_for_reading_only),
        cmocka_unit_test(a_bad_line_is_named_with_line_and_column),
        cmocka_unit_test(a_file_that_others_may_read_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
