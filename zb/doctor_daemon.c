/* doctor_daemon.c - who answers at the URL that runs here would use, and of which version. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "shared/conf/url.h"
#include "shared/http/http.h"
#include "zb/doctor.h"

enum { TIMEOUT_MS = 3000, ANSWER_MAX = 4096, VERSION = 32 };

/* CLOSED: nobody answers.  CORRUPT: something that is no store does. */
static enum dz_rc
ask_version(const char *url, char version_out[VERSION], struct dz_err *err)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf path = { 0 }, body = { 0 };
    DZ_AUTO(dz_http_destroy) struct dz_http *http = NULL;
    json_error_t unused;
    int status = 0;
    dz_buf_addf(&path, "%s/healthz", url);
    dz_buf_add(&path, "", 1);
    struct dz_http_ask ask = { .method = "GET",
                               .url = (char *) path.data,
                               .answer_max = ANSWER_MAX,
                               .timeout_ms = TIMEOUT_MS };
    enum dz_rc rc = dz_http_new(&(struct dz_http_opts){ .token = NULL }, &http, err);
    if (rc == DZ_OK && dz_http_call(http, &ask, &status, &body, err) != DZ_OK)
        rc = DZ_CLOSED;
    if (rc != DZ_OK)
        return rc;
    json_t *doc = json_loadb((const char *) body.data, body.len, 0, &unused);
    const char *version = json_string_value(json_object_get(doc, "version"));
    if (status == 200 && version)
        (void) snprintf(version_out, VERSION, "%.*s", VERSION - 1, version);
    else
        rc = dz_fail(err, DZ_CORRUPT, "it answers with %d", status);
    json_decref(doc);
    return rc;
}

void
doctor_look_at_daemon(struct doctor *self, const char *home)
{
    struct dz_url url;
    struct dz_err err;
    char version[VERSION] = "";
    if (dz_url_find(self->zb->url, home, &url, &err) != DZ_OK) {
        doctor_say(self, FINDING_WRONG, "daemon", NULL, "%s", err.text);
        return;
    }
    if (url.is_none) {
        doctor_say(self, FINDING_NOTE, "daemon", NULL, "none is wanted: runs write to the store");
        return;
    }
    bool is_asked = url.from == DZ_URL_OPTION || url.from == DZ_URL_ENV;
    enum dz_rc rc = ask_version(url.text, version, &err);
    if (rc == DZ_OK && strcmp(version, DZ_VERSION_TEXT) == 0)
        doctor_say(self, FINDING_OK, "daemon", NULL, "%s answers at %s", version, url.text);
    else if (rc == DZ_OK)
        doctor_say(self, FINDING_WARNING, "daemon",
                   url.is_home ? "'zb daemon up --bg --restart' starts this one" : NULL,
                   "%s answers at %s, and this is %s", version, url.text, DZ_VERSION_TEXT);
    else if (rc == DZ_CORRUPT)
        doctor_say(self, FINDING_WRONG, "daemon", "is DAGZ_URL right?",
                   "what answers at %s is no store: %s", url.text, err.text);
    else if (is_asked)
        doctor_say(self, FINDING_WRONG, "daemon", "is it up? Is DAGZ_URL right?",
                   "nobody answers at %s: %s", url.text, err.text);
    else
        doctor_say(self, FINDING_NOTE, "daemon", NULL,
                   "none answers at %s: runs write to the store directly", url.text);
}
