/* test_head.c - what is refused before the library reads it, and what is left to it. */
#include <stdlib.h>
#include <string.h>

#include "store/http/head.h"
#include "tests/unit/unit.h"

#define HOST "Host: localhost\r\n"
#define GET  "GET / HTTP/1.1\r\n" HOST

static struct dz_err why;

/* The status; 0: sound; -1: more has to come. */
static int
look_at(const char *bytes, size_t len)
{
    int status = 0;
    switch (head_look((struct dz_slice){ (const uint8_t *) bytes, len }, &status, &why)) {
    case HEAD_PART: return -1;
    case HEAD_SOUND: return 0;
    case HEAD_BAD: assert_true(strlen(why.text) > 0); return status;
    }
    return -2;
}

static int
look(const char *text)
{
    return look_at(text, strlen(text));
}

static void
a_sound_head_is_sound_once_it_is_whole(void **state)
{
    static const char head[] = "POST /a?b=c HTTP/1.1\r\n" HOST "X:\r\nY: 1\r\n 2\r\n"
                               "Content-Length: 18446744073709551615\r\n\r\n";
    (void) state;
    for (size_t len = 0; len < sizeof(head) - 1; len++)
        assert_int_equal(look_at(head, len), -1);
    assert_int_equal(look(head), 0);
    assert_int_equal(look("GET / HTTP/1.1\nhost:x\n\nand a body\x01"), 0);
    assert_int_equal(look("\r\n\r\n" GET "\r\n"), 0);
    assert_int_equal(look("GET / HTTP/1.0\r\n\r\n"), 0);
    assert_int_equal(look("OPTIONS * HTTP/1.2\r\n" HOST "\r\n"), 0);
    assert_int_equal(look(GET "Transfer-Encoding: chunked\r\nContent-Length: x\r\n\r\n"), 0);
}

static void
a_request_line_that_is_none_is_refused_without_its_headers(void **state)
{
    static const char *const lines[] = { "GET\r\n",
                                         "GET /\r\n",
                                         "GET  HTTP/1.1\r\n",
                                         "GET / HTTP/1.1 \r\n",
                                         "GET / b HTTP/1.1\r\n",
                                         " / HTTP/1.1\r\n",
                                         "GET / HTTP/1.x\r\n",
                                         "GET / http/1.1\r\n",
                                         "GET / HTTP/11\r\n",
                                         "GET /\x01 HTTP/1.1\r\n",
                                         "GET / HTTP/1.1\r\r\n" };
    (void) state;
    for (size_t i = 0; i < DZ_LEN(lines); i++)
        assert_int_equal(look(lines[i]), 400);
    assert_int_equal(look("GET / HTTP/2.0\r\n"), 505);
    assert_int_equal(look("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
    assert_int_equal(look("GET / HTTP/0.9\r\n"), 505);
    assert_string_equal(why.text, "this server speaks HTTP/1.1, not HTTP/0.9");
}

static void
who_speaks_tls_to_a_plain_port_is_told_at_the_first_bytes(void **state)
{
    (void) state;
    assert_int_equal(look_at("\x16\x03\x01", 3), 400);
    assert_string_equal(why.text, "the request line has the byte 0x16; this port speaks HTTP");
}

static void
headers_that_are_none_are_refused(void **state)
{
    static const char nul[] = GET "X\0: y\r\n";
    (void) state;
    assert_int_equal(look(GET "no colon\r\n"), 400);
    assert_string_equal(why.text, "header 2 has no colon");
    assert_int_equal(look("GET / HTTP/1.1\r\n folded\r\n"), 400);
    assert_int_equal(look_at(nul, sizeof(nul) - 1), 400);
    assert_int_equal(look("GET / HTTP/1.1\r\nHosts: x\r\n\r\n"), 400);
    assert_string_equal(why.text, "the request has no Host");
    assert_int_equal(look(GET "Content-Length: \r\n\r\n"), 400);
    assert_int_equal(look(GET "Content-Length: -1\r\n\r\n"), 400);
    assert_int_equal(look(GET "content-length: 1x\r\n\r\n"), 400);
    assert_int_equal(look(GET "Content-Length: 18446744073709551616\r\n\r\n"), 413);
}

static void
a_head_has_a_greatest_size_and_number_of_headers(void **state)
{
    char *bytes = malloc(HEAD_BYTES_MAX);
    struct dz_buf many = { 0 };
    (void) state;
    memset(bytes, 'a', HEAD_BYTES_MAX);
    memcpy(bytes, "GET /", 5);
    assert_int_equal(look_at(bytes, HEAD_BYTES_MAX - 1), -1);
    assert_int_equal(look_at(bytes, HEAD_BYTES_MAX), 414);
    memcpy(bytes, GET "X: ", strlen(GET "X: "));
    assert_int_equal(look_at(bytes, HEAD_BYTES_MAX - 1), -1);
    assert_int_equal(look_at(bytes, HEAD_BYTES_MAX), 431);
    memcpy(bytes + HEAD_BYTES_MAX - 4, "\r\n\r\n", 4);
    assert_int_equal(look_at(bytes, HEAD_BYTES_MAX), 0);
    free(bytes);
    dz_buf_addf(&many, GET);
    for (int i = 1; i < HTTP_PAIRS; i++)
        dz_buf_addf(&many, "X: y\r\n");
    size_t most = many.len;
    dz_buf_addf(&many, "\r\n");
    assert_int_equal(look_at((const char *) many.data, many.len), 0);
    many.len = most;
    dz_buf_addf(&many, "X: y\r\n\r\n");
    assert_int_equal(look_at((const char *) many.data, many.len), 400);
    dz_buf_fini(&many);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_head_is_sound_once_it_is_whole),
        cmocka_unit_test(a_request_line_that_is_none_is_refused_without_its_headers),
        cmocka_unit_test(who_speaks_tls_to_a_plain_port_is_told_at_the_first_bytes),
        cmocka_unit_test(headers_that_are_none_are_refused),
        cmocka_unit_test(a_head_has_a_greatest_size_and_number_of_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
