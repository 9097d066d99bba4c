/* url.c - which store is meant. */
#include "shared/conf/url.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/buf.h"
#include "shared/base/fd.h"
#include "shared/base/files.h"

static const char DEFAULT[] = "http://localhost:29111";
static const char ANNOUNCED[] = "local.env/daemon.url";

/* ---- reading one ---- */

static bool
is_host_byte(unsigned char c)
{
    return isalnum(c) || c == '-' || c == '.' || c == '_';
}

/* The length of what may be a host at the beginning of `text`, brackets included; 0: none. */
static size_t
host_len(const char *text)
{
    size_t len = 0;
    if (*text == '[') {
        len = strspn(text + 1, "0123456789abcdefABCDEF:.");
        return len > 0 && text[len + 1] == ']' ? len + 2 : 0;
    }
    while (is_host_byte((unsigned char) text[len]))
        len++;
    return len;
}

/* ":8080" or nothing; what follows, or NULL when it is no port. */
static const char *
read_port(const char *text, uint16_t *out)
{
    if (*text != ':')
        return text;
    char *end = NULL;
    if (!isdigit((unsigned char) text[1]))
        return NULL;
    unsigned long port = strtoul(text + 1, &end, 10);
    if (port == 0 || port > UINT16_MAX)
        return NULL;
    *out = (uint16_t) port;
    return end;
}

static bool
is_path(const char *text)
{
    for (; *text; text++)
        if (!isgraph((unsigned char) *text) || strchr("?#\\\"'<>", *text))
            return false;
    return true;
}

enum dz_rc
dz_url_parse(const char *what, const char *text, struct dz_url *out, struct dz_err *err)
{
    struct dz_url url = { .port = 0 };
    const char *host = NULL;
    if (strncmp(text, "http://", 7) == 0)
        host = text + 7;
    else if (strncmp(text, "https://", 8) == 0)
        host = text + 8;
    if (!host)
        return dz_fail(err, DZ_CORRUPT, "%s: '%s' does not begin with http:// or https://", what,
                       text);
    url.is_tls = text[4] == 's';
    url.port = url.is_tls ? 443 : 80;
    size_t len = host_len(host), bracket = *host == '[';
    const char *rest = len > 0 ? read_port(host + len, &url.port) : NULL;
    if (!rest || (*rest && *rest != '/') || !is_path(rest) || len >= sizeof(url.host) ||
        strlen(text) >= sizeof(url.text))
        return dz_fail(err, DZ_CORRUPT, "%s: '%s' is not the URL of a store, such as %s", what,
                       text, DEFAULT);
    (void) snprintf(url.host, sizeof(url.host), "%.*s", (int) (len - 2 * bracket), host + bracket);
    (void) snprintf(url.text, sizeof(url.text), "%s", text);
    for (size_t end = strlen(url.text); url.text[end - 1] == '/'; end--)
        url.text[end - 1] = '\0';
    *out = url;
    return DZ_OK;
}

/* ---- the daemon's announcement ---- */

static char *
path_of(const char *home)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf path = { 0 };
    dz_buf_addf(&path, "%s/%s", home, ANNOUNCED);
    return dz_slice_dup(dz_buf_slice(&path));
}

/* false: none, or nothing that makes sense. */
static bool
read_announced(const char *home, struct dz_url *out)
{
    struct dz_err unused;
    char text[DZ_URL_MAX];
    DZ_AUTO(dz_free) char *path = path_of(home);
    DZ_AUTO(dz_fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (len <= 0)
        return false;
    text[len] = '\0';
    text[strcspn(text, "\r\n")] = '\0';
    return dz_url_parse(path, text, out, &unused) == DZ_OK;
}

enum dz_rc
dz_url_announce(const char *home, const char *url, struct dz_err *err)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf line = { 0 };
    DZ_AUTO(dz_free) char *path = path_of(home);
    dz_buf_addf(&line, "%s\n", url);
    return dz_replace_file(path, 0600, dz_buf_slice(&line), err);
}

void
dz_url_withdraw(const char *home)
{
    DZ_AUTO(dz_free) char *path = path_of(home);
    (void) unlink(path); /* what stays is an address at which nobody answers */
}

/* ---- finding ---- */

static bool
is_none(const char *option, const char *env)
{
    const char *said = option && *option ? option : env;
    return said && strcmp(said, "none") == 0;
}

enum dz_rc
dz_url_find(const char *option, const char *home, struct dz_url *out, struct dz_err *err)
{
    struct dz_url announced, url;
    const char *env = getenv("DAGZ_URL"); /* NOLINT(concurrency-mt-unsafe): nobody sets it */
    bool has_daemon = read_announced(home, &announced);
    enum dz_url_from from = DZ_URL_DEFAULT;
    enum dz_rc rc;
    if (is_none(option, env)) {
        from = option && *option ? DZ_URL_OPTION : DZ_URL_ENV;
        *out = (struct dz_url){ .is_none = true, .from = from };
        return DZ_OK;
    }
    if (option && *option) {
        from = DZ_URL_OPTION;
        rc = dz_url_parse("--url", option, &url, err);
    } else if (env && *env) {
        from = DZ_URL_ENV;
        rc = dz_url_parse("DAGZ_URL", env, &url, err);
    } else if (has_daemon) {
        from = DZ_URL_HOME;
        url = announced;
        rc = DZ_OK;
    } else {
        rc = dz_url_parse("the default", DEFAULT, &url, err);
    }
    if (rc != DZ_OK)
        return rc;
    url.from = from;
    url.is_home = has_daemon && strcmp(url.text, announced.text) == 0;
    *out = url;
    return DZ_OK;
}
