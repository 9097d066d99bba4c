#include "store/http/keeper.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "shared/base/clock.h"
#include "shared/base/fd.h"
#include "shared/base/log.h"
#include "store/care.h"
#include "store/meet.h"

#define SWEEP_US (INT64_C(60) * 60 * 1000 * 1000) /* of meetings that are over */

enum {
    FIRST_MS = 1000,
    LOOK_MS = 30 * 1000,
    SETTLE_US = 15 * 60 * 1000 * 1000,
    BUDGET_MS = 500,     /* then it is looked whether the daemon ends */
    PIECE_PAUSE_MS = 20, /* others get their turn to write */
};

struct keeper {
    struct store *store; /* owned: this thread's handle */
    pthread_t thread;
    int stop; /* owned */
    enum dz_rc last;
};

static void
note_removed(void *arg, const struct store_removed *job)
{
    (void) arg;
    log_info("job.removed", "job=%s project=%s why=%s", job->ulid, job->uri, job->why);
}

/* One failure is told once, until it is over. */
static void
tell(struct keeper *self, const struct store_tidy *work, enum dz_rc rc, const char *why)
{
    if (rc != DZ_OK && rc != DZ_AGAIN && rc != self->last)
        log_warn("store.tidy", "why=%s", why);
    if (rc == DZ_OK && work->failed > 0)
        log_warn("store.tidy", "jobs=%u why=%s", work->failed, work->first_failure);
    if (rc == DZ_OK && work->removed + work->compacted > 0)
        log_info("store.tidied", "small=%u removed=%u used=%llu file=%llu", work->compacted,
                 work->removed, (unsigned long long) work->live_bytes,
                 (unsigned long long) work->file_bytes);
    self->last = rc;
}

static void *
look(void *arg)
{
    struct keeper *self = arg;
    struct pollfd stop = { .fd = self->stop, .events = POLLIN };
    int wait_ms = FIRST_MS;
    int64_t sweep_us = 0;
    while (poll(&stop, 1, wait_ms) == 0) {
        struct store_tidy work = { .now_us = dz_clock_wall_ms() * 1000,
                                   .settle_us = SETTLE_US,
                                   .budget_ms = BUDGET_MS,
                                   .on_removed = note_removed };
        struct dz_err err = { "" };
        enum dz_rc rc = store_tidy(self->store, &work, &err);
        tell(self, &work, rc, err.text);
        if (rc == DZ_OK && work.is_done && work.now_us >= sweep_us) {
            sweep_us = work.now_us + SWEEP_US;
            if (store_meet_sweep(self->store, work.now_us, &err) != DZ_OK)
                log_warn("store.meetings", "why=%s", err.text);
        }
        wait_ms = rc == DZ_OK && !work.is_done ? PIECE_PAUSE_MS : LOOK_MS;
    }
    return NULL;
}

enum dz_rc
keeper_new(struct store *store, const struct store_retention *keep, struct keeper **self_out,
           struct dz_err *err)
{
    enum dz_rc rc = store_retention_set(store, keep, err);
    if (rc != DZ_OK)
        return rc;
    struct keeper *self = dz_alloc0(1, sizeof(*self));
    self->stop = eventfd(0, EFD_CLOEXEC);
    self->store = store_share(store);
    if (self->stop < 0 || pthread_create(&self->thread, NULL, look, self) != 0) {
        dz_fd_close(&self->stop);
        store_close(&self->store);
        free(self);
        return dz_fail(err, DZ_IO, "no thread can be made");
    }
    *self_out = self;
    return DZ_OK;
}

void
keeper_destroy(struct keeper **self_p)
{
    struct keeper *self = dz_move(*self_p);
    struct dz_err unused;
    uint64_t one = 1;
    if (!self)
        return;
    dz_ignore(dz_fd_write_all(self->stop, (struct dz_slice){ (uint8_t *) &one, sizeof(one) },
                              &unused)); /* an eventfd takes it */
    (void) pthread_join(self->thread, NULL);
    dz_fd_close(&self->stop);
    store_close(&self->store);
    free(self);
}
