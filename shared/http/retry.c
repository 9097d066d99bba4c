/* retry.c - when to ask again, and who we say that we are. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/buf.h"
#include "shared/base/fd.h"
#include "shared/http/http.h"

dz_ms
dz_http_backoff(unsigned tries, dz_ms first_ms, dz_ms most_ms)
{
    uint64_t chance = 0;
    if (getrandom(&chance, sizeof(chance), GRND_NONBLOCK) < 0)
        chance = 0; /* all come together */
    dz_ms span = first_ms;
    for (unsigned i = 1; i < tries && span < most_ms; i++)
        span *= 2;
    if (span > most_ms)
        span = most_ms;
    return 1 + (dz_ms) (chance % (uint64_t) (span > 0 ? span : 1));
}

bool
dz_http_is_passing(const struct dz_http_answer *answer)
{
    switch (answer->status) {
    case 0: return answer->rc != DZ_REFUSED;
    case 408:
    case 425:
    case 429: return true;
    case 501:
    case 505: return false;
    default: return answer->status >= 500;
    }
}

/* A header must not be split by what stands in a file. */
static enum dz_rc
take_token(const char *where, const char *text, char **token_out, struct dz_err *err)
{
    size_t len = strcspn(text, "\r\n");
    if (len == 0)
        return dz_fail(err, DZ_ABSENT, "%s: there is no token in it", where);
    if (len > DZ_HTTP_TOKEN_MAX)
        return dz_fail(err, DZ_LIMIT, "%s: a token of more than %d bytes", where,
                       DZ_HTTP_TOKEN_MAX);
    for (size_t i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return dz_fail(err, DZ_CORRUPT, "%s: a token is printable ASCII without blanks", where);
    *token_out = dz_slice_dup((struct dz_slice){ (const uint8_t *) text, len });
    return DZ_OK;
}

static enum dz_rc
read_file(const char *path, char **token_out, struct dz_err *err)
{
    struct stat info;
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    if (stat(path, &info) == 0 && (info.st_mode & (S_IRWXG | S_IRWXO)))
        return dz_fail(err, DZ_REFUSED,
                       "DAGZ_TOKEN_FILE: '%.150s' can be read by others: chmod 600", path);
    enum dz_rc rc = dz_fd_read_file(path, DZ_HTTP_TOKEN_MAX + 2, &text, err);
    if (rc != DZ_OK)
        return dz_fail(err, rc, "DAGZ_TOKEN_FILE: '%.150s' cannot be read", path);
    dz_buf_add(&text, "", 1);
    return take_token("DAGZ_TOKEN_FILE", (char *) text.data, token_out, err);
}

enum dz_rc
dz_http_token(char **token_out, struct dz_err *err)
{
    /* NOLINTBEGIN(concurrency-mt-unsafe): nobody here sets the environment */
    const char *text = getenv("DAGZ_TOKEN"), *path = getenv("DAGZ_TOKEN_FILE");
    /* NOLINTEND(concurrency-mt-unsafe) */
    *token_out = NULL;
    if (text && *text)
        return take_token("DAGZ_TOKEN", text, token_out, err);
    return path && *path ? read_file(path, token_out, err) : DZ_OK;
}
