#include "store/http/pickup.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "shared/base/fd.h"
#include "shared/base/log.h"
#include "shared/base/map.h"
#include "shared/conf/url.h"
#include "store/push/drain.h"

enum { LOOK_MS = 2000, AT_ONCE = 64, TOLD_MAX = 1000 };

struct pickup {
    struct store *store; /* owned: this thread's handle */
    char *home;          /* owned */
    char urls[3][DZ_URL_MAX];
    const char *url_list[4];
    struct dz_dict told; /* folders that could not be taken, so that each is logged once */
    pthread_t thread;
    int stop; /* owned */
};

static void
note(void *arg, const char *path, enum dz_rc rc, const char *why)
{
    struct pickup *self = arg;
    if (rc == DZ_OK)
        log_info("spool.taken", "path=%s", path);
    else if (self->told.len < TOLD_MAX && !dz_dict_put(&self->told, dz_str(path), self))
        log_warn("spool.stays", "path=%s why=%s", path, why);
}

static void *
look(void *arg)
{
    struct pickup *self = arg;
    struct pollfd stop = { .fd = self->stop, .events = POLLIN };
    int wait_ms = 0;
    while (poll(&stop, 1, wait_ms) == 0) {
        size_t taken = drain_home(self->store, self->home, self->url_list, AT_ONCE, note, self);
        wait_ms = taken == AT_ONCE ? 0 : LOOK_MS;
    }
    return NULL;
}

static void
name_urls(struct pickup *self, const char *url)
{
    struct dz_url parts;
    struct dz_err unused;
    (void) snprintf(self->urls[0], DZ_URL_MAX, "%s", url);
    if (dz_url_parse("url", url, &parts, &unused) == DZ_OK) {
        const char *scheme = parts.is_tls ? "https" : "http";
        (void) snprintf(self->urls[1], DZ_URL_MAX, "%s://localhost:%u", scheme, parts.port);
        (void) snprintf(self->urls[2], DZ_URL_MAX, "%s://127.0.0.1:%u", scheme, parts.port);
    }
    for (size_t i = 0; i < DZ_LEN(self->urls); i++)
        self->url_list[i] = self->urls[i];
}

enum dz_rc
pickup_new(struct store *store, const char *home, const char *url, struct pickup **self_out,
           struct dz_err *err)
{
    struct pickup *self = dz_alloc0(1, sizeof(*self));
    self->stop = eventfd(0, EFD_CLOEXEC);
    self->store = store_share(store);
    self->home = dz_strdup(home);
    name_urls(self, url);
    if (self->stop < 0 || pthread_create(&self->thread, NULL, look, self) != 0) {
        dz_fd_close(&self->stop);
        store_close(&self->store);
        free(self->home);
        free(self);
        return dz_fail(err, DZ_IO, "start a thread that looks for spools");
    }
    *self_out = self;
    return DZ_OK;
}

void
pickup_destroy(struct pickup **self_p)
{
    struct pickup *self = dz_move(*self_p);
    if (!self)
        return;
    static const uint64_t one = 1;
    dz_assert(write(self->stop, &one, sizeof(one)) == (ssize_t) sizeof(one));
    (void) pthread_join(self->thread, NULL);
    store_close(&self->store);
    dz_dict_fini(&self->told);
    dz_fd_close(&self->stop);
    free(self->home);
    free(self);
}
