/* daemon.c - the life of the daemon's process. */
#include "store/http/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/fd.h"
#include "shared/base/log.h"
#include "store/care.h"
#include "store/http/keeper.h"
#include "store/http/listen.h"
#include "store/http/pickup.h"
#include "store/http/pidfile.h"
#include "store/http/server.h"
#include "store/http/tls.h"
#include "store/settings.h"
#include "store/store.h"

enum { HEAD_MS = 10000, IDLE_MS = 30000, BODY_RATE = 1024, LOG_MAX = 16 << 20 };

struct daemon {
    const char *home;
    struct settings settings;
    struct gate gate;
    struct tls tls;
    struct server_opts opts;
    struct store *store;        /* owned */
    struct http_server *server; /* owned */
    struct pickup *pickup;      /* owned */
    struct keeper *keeper;      /* owned */
    int pid_fd, signals;        /* owned */
    uint16_t port;
    char url[DZ_URL_MAX];
};

char *
daemon_log_path(const char *home)
{
    char *path = NULL;
    return asprintf(&path, "%s/local.env/daemon.log", home) < 0 ? NULL : path;
}

/* ---- getting ready ---- */

/* Before any thread is made, so that all of them have it blocked. */
static enum dz_rc
catch_signals(struct daemon *self, struct dz_err *err)
{
    sigset_t set;
    (void) sigemptyset(&set);
    (void) sigaddset(&set, SIGTERM);
    (void) sigaddset(&set, SIGINT);
    (void) sigaddset(&set, SIGHUP);
    (void) pthread_sigmask(SIG_BLOCK, &set, NULL); /* the set is valid */
    (void) signal(SIGPIPE, SIG_IGN);
    self->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return self->signals < 0 ? dz_fail_errno(err, "watch for signals") : DZ_OK;
}

/* One old log is kept. */
static enum dz_rc
open_log(const char *home, struct dz_err *err)
{
    struct stat info;
    DZ_AUTO(dz_free) char *path = daemon_log_path(home);
    DZ_AUTO(dz_free) char *old = NULL;
    if (stat(path, &info) == 0 && info.st_size > LOG_MAX && asprintf(&old, "%s.1", path) > 0)
        (void) rename(path, old); /* else it grows on */
    return dz_log_open(path, DZ_LOG_INFO, err);
}

static void
add_public_name(struct daemon *self)
{
    struct dz_url url;
    struct dz_err unused;
    char host[DZ_URL_HOST_MAX + 2], origin[DZ_URL_MAX];
    if (!self->settings.public_url ||
        dz_url_parse("public_url", self->settings.public_url, &url, &unused) != DZ_OK)
        return;
    (void) snprintf(host, sizeof(host), strchr(url.host, ':') ? "[%s]" : "%s", url.host);
    (void) snprintf(origin, sizeof(origin), "%s", url.text);
    char *path = strchr(origin + strlen("https://"), '/');
    if (path)
        *path = '\0';
    dz_strs_add(&self->gate.hosts, dz_str(host));
    dz_strs_add(&self->gate.origins, dz_str(origin));
}

static enum dz_rc
read_tokens(struct daemon *self, struct dz_err *err)
{
    enum dz_rc rc = gate_load_tokens(&self->gate, self->settings.tokens, err);
    if (rc == DZ_ABSENT) {
        if (!settings_has(&self->settings, "tokens"))
            return DZ_OK;
        rc = dz_fail(err, DZ_CORRUPT, "there is no '%s'", self->settings.tokens);
    }
    return rc == DZ_OK ? DZ_OK : settings_blame(&self->settings, "tokens", rc, err);
}

static enum dz_rc
read_settings(struct daemon *self, struct dz_err *err)
{
    enum dz_rc rc = settings_load(self->home, &self->settings, err);
    if (rc != DZ_OK)
        return rc;
    rc = read_tokens(self, err);
    if (rc == DZ_OK)
        rc = tls_load(&self->tls, &self->settings, err);
    if (rc != DZ_OK)
        return rc;
    add_public_name(self);
    self->opts = (struct server_opts){
        .tls_cert = self->tls.cert,
        .tls_key = self->tls.key,
        .gate = &self->gate,
        .limits = { .total = (uint32_t) self->settings.connections,
                    .per_address = (uint32_t) self->settings.per_address,
                    .streams = (uint32_t) self->settings.streams,
                    .rate = (uint32_t) self->settings.rate,
                    .head_ms = HEAD_MS,
                    .idle_ms = IDLE_MS,
                    .body_rate = BODY_RATE },
    };
    return DZ_OK;
}

static enum dz_rc
open_store(struct daemon *self, struct dz_err *err)
{
    DZ_AUTO(dz_free) char *warning = NULL;
    enum dz_rc rc = store_open(self->home, STORE_WRITE, &self->store, &warning, err);
    if (warning)
        log_warn("store.warning", "text=%s", warning);
    return rc;
}

static enum dz_rc
start_server(struct daemon *self, struct dz_err *err)
{
    enum dz_rc rc = server_new(self->store, &self->opts, &self->server, err);
    return rc == DZ_REFUSED ? settings_blame(&self->settings, "tls.cert", rc, err) : rc;
}

static bool
is_known_here(const char *host)
{
    struct addrinfo *found = NULL;
    if (getaddrinfo(host, NULL, NULL, &found) != 0)
        return false;
    freeaddrinfo(found);
    return true;
}

/* What a certificate has instead of 0.0.0.0. */
static const char *
name_of_any(const struct daemon *self, struct dz_url *public)
{
    struct dz_err unused;
    const char *text = self->settings.public_url, *why = "'public_url' is not set";
    if (text && dz_url_parse("public_url", text, public, &unused) == DZ_OK) {
        if (is_known_here(public->host))
            return public->host;
        why = "the name in 'public_url' is not known on this machine";
    }
    log_warn("daemon.nameless", "path=%s why=%s", self->settings.path, why);
    return "localhost";
}

/* Where programs on this machine find it: by the first address. */
static void
name_url(struct daemon *self)
{
    struct dz_url public;
    const struct http_listener *listener = &self->opts.listeners[0];
    const char *first =
        listener->is_any ? name_of_any(self, &public) : self->settings.listen.items[0];
    bool is_tls = listener->is_tls, is_v6 = strchr(first, ':') != NULL;
    (void) snprintf(self->url, sizeof(self->url), "%s://%s%s%s:%u", is_tls ? "https" : "http",
                    is_v6 ? "[" : "", first, is_v6 ? "]" : "", self->port);
}

static void
warn_of_tls(const struct daemon *self)
{
    bool is_used = !self->tls.cert;
    for (size_t i = 0; i < self->opts.listener_count; i++)
        is_used |= self->opts.listeners[i].is_tls;
    if (!is_used)
        log_warn("daemon.tls_unused", "path=%s url=%s", self->settings.path, self->url);
}

static enum dz_rc
begin(struct daemon *self, struct dz_err *err)
{
    enum dz_rc rc = pidfile_take(self->home, &self->pid_fd, err);
    if (rc == DZ_OK)
        rc = open_log(self->home, err);
    if (rc == DZ_OK)
        rc = read_settings(self, err);
    if (rc == DZ_OK)
        rc = catch_signals(self, err);
    if (rc == DZ_OK)
        rc = listen_all(&self->settings, &self->gate, &self->opts, &self->port, err);
    if (rc == DZ_OK)
        rc = open_store(self, err);
    if (rc == DZ_OK)
        rc = start_server(self, err);
    if (rc != DZ_OK)
        return rc;
    name_url(self);
    warn_of_tls(self);
    rc = dz_url_announce(self->home, self->url, err);
    if (rc == DZ_OK)
        rc = pidfile_write(self->pid_fd, self->url, err);
    struct store_retention keep = { (uint32_t) self->settings.retention_days,
                                    self->settings.retention_bytes };
    if (rc == DZ_OK)
        rc = pickup_new(self->store, self->home, self->url, &self->pickup, err);
    return rc == DZ_OK ? keeper_new(self->store, &keep, &self->keeper, err) : rc;
}

static void
end(struct daemon *self)
{
    if (self->server)
        dz_url_withdraw(self->home);
    if (!self->server)
        listen_close(&self->opts);
    keeper_destroy(&self->keeper);
    pickup_destroy(&self->pickup);
    server_destroy(&self->server);
    store_close(&self->store);
    settings_fini(&self->settings);
    tls_fini(&self->tls);
    gate_fini(&self->gate);
    dz_fd_close(&self->signals);
    pidfile_release(self->home, &self->pid_fd);
}

/* ---- running ---- */

enum dz_rc
daemon_run(const char *home, daemon_ready_fn *ready, void *arg, struct dz_err *err)
{
    struct daemon self = { .home = home, .pid_fd = -1, .signals = -1 };
    dz_fd_raise_limit();
    enum dz_rc rc = begin(&self, err);
    if (rc == DZ_OK) {
        log_info("daemon.up", "url=%s version=%s", self.url, DZ_VERSION_TEXT);
        ready(arg, self.url);
        server_serve(self.server, self.signals);
        log_info("daemon.down", "url=%s", self.url);
    } else {
        log_error("daemon.failed", "why=%s", err->text);
    }
    end(&self);
    return rc;
}
