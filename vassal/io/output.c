/* output.c - what tests print, and what dying workers leave behind. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/str.h"
#include "vassal/io/inside.h"

/* ------------------------------------------------------------------ --dagz-follow */

static const char FOLLOW_ALL[] = "all";

bool
output_is_followed(const struct agent *agent, uint32_t test)
{
    if (!agent->follow || !*agent->follow)
        return false;
    if (strcmp(agent->follow, FOLLOW_ALL) == 0)
        return true;
    return test < agent->manifest.count &&
           dz_id_is_below(catalog_id(&agent->manifest, test), agent->follow);
}

void
output_check_follow(struct agent *agent)
{
    if (!agent->follow || !*agent->follow || strcmp(agent->follow, FOLLOW_ALL) == 0)
        return;
    for (uint32_t i = 0; i < agent->manifest.count; i++)
        if (output_is_followed(agent, i))
            return;
    tell_note(agent, 1, "--dagz-follow=%s: no test of this run has that name", agent->follow);
}

/* The controller was too slow for some of what was followed, up to `end`. */
static void
say_gap(struct seat *self, uint64_t end, uint32_t test)
{
    if (self->unsaid == 0)
        return;
    char gap[96];
    (void) snprintf(gap, sizeof(gap), "\n[dagz: %" PRIu64 " bytes are in 'zb logs' only]\n",
                    self->unsaid);
    self->unsaid = 0;
    tell_output(self, test, dz_str(gap), end);
}

/* What is followed also goes to the controller; not more than it takes: the store has it all. */
static void
say_piece(struct seat *self, struct dz_slice text, uint64_t end, uint32_t test)
{
    if (!output_is_followed(self->agent, test))
        return;
    if (chan_backlog(&self->agent->controller) > FOLLOW_CHOKE) {
        self->unsaid += text.len;
        return;
    }
    say_gap(self, end - text.len, test);
    tell_output(self, test, text, end);
}

void
seat_end_output(struct seat *self, uint32_t test)
{
    say_gap(self, self->log_at, test);
}

/* ------------------------------------------------------------------ the store */

static void
store_piece(struct seat *self, struct dz_slice text, uint64_t end, const struct uplink_log *about)
{
    struct uplink_log log = *about;
    log.source = self->life;
    log.seq = end;
    log.worker = self->num;
    log.text = text;
    self->agent->up.log(self->agent->up.arg, &log);
    say_piece(self, text, end, about->test);
}

/* What is above the limit of one execution is skipped, and said. */
static void
skip_rest(struct seat *self, uint64_t end, const struct uplink_log *about)
{
    char text[96];
    (void) snprintf(text, sizeof(text), "\n[dagz: %" PRIu64 " more bytes of output are not kept]\n",
                    end - self->log_at);
    self->log_at = end;
    store_piece(self, dz_str(text), end, about);
}

void
seat_store_output(struct seat *self, uint64_t end, uint32_t test, uint32_t attempt, dz_us first_us,
                  dz_us last_us)
{
    bool is_more = self->log_test > 0 && self->log_seen_us > first_us; /* of a long test */
    struct uplink_log about = { .first_us = is_more ? self->log_seen_us : first_us,
                                .last_us = last_us,
                                .test = test,
                                .attempt = attempt };
    if (about.last_us < about.first_us)
        about.last_us = about.first_us;
    self->log_seen_us = last_us;
    uint8_t piece[LOG_PIECE];
    while (self->log_at < end) {
        if (self->log_test >= LOG_TEST_MAX) {
            skip_rest(self, end, &about);
            return;
        }
        size_t want = end - self->log_at < LOG_PIECE ? (size_t) (end - self->log_at) : LOG_PIECE;
        ssize_t got = pread(self->log, piece, want, (off_t) self->log_at);
        if (got <= 0) {
            self->log_at = end; /* log_len was a lie */
            return;
        }
        self->log_at += (uint64_t) got;
        self->log_test += (uint64_t) got;
        store_piece(self, (struct dz_slice){ piece, (size_t) got }, self->log_at, &about);
    }
}

void
seat_name_running(struct seat *self, uint32_t test, uint32_t attempt, dz_us since_us)
{
    struct uplink_log log = { .first_us = since_us,
                              .last_us = since_us,
                              .worker = self->num,
                              .test = test,
                              .attempt = attempt };
    self->agent->up.log(self->agent->up.arg, &log); /* source 0: it may be said twice */
}

void
seat_drain_output(struct seat *self)
{
    if (!self->shm || self->pty < 0)
        return;
    enum dz_rc rc = dz_log_drain(self->shm, self->pty, self->log, NULL);
    (void) rc; /* the worker is at it, or there is nothing: again with the next tick */
}

/* ------------------------------------------------------------------ death */

static int64_t
size_of(int fd)
{
    struct stat info;
    return fd >= 0 && fstat(fd, &info) == 0 ? (int64_t) info.st_size : 0;
}

static void
add_range(struct dz_buf *out, int fd, int64_t from, int64_t end)
{
    while (from < end) {
        size_t want = (size_t) (end - from);
        ssize_t got = pread(fd, dz_buf_reserve(out, want), want, (off_t) from);
        if (got <= 0)
            return;
        out->len += (size_t) got;
        from += got;
    }
}

void
seat_gather_detail(struct seat *self, const char *headline)
{
    struct dz_buf *out = &self->detail;
    dz_buf_clear(out);
    dz_buf_addf(out, "%s\n", headline);
    int64_t stacks = size_of(self->crash);
    if (stacks > 0 && self->has_cause && self->cause == DZ_CAUSE_TIMEOUT)
        dz_buf_addf(out, "all stacks:\n");
    add_range(out, self->crash, 0, stacks < DETAIL_MAX ? stacks : DETAIL_MAX);
    seat_drain_output(self);
    int64_t first = atomic_load(&self->shm->log_first);
    int64_t len = size_of(self->log);
    if (first < 0 || first > len)
        first = len;
    if (len - first > TAIL_MAX)
        first = len - TAIL_MAX;
    if (first == len)
        return;
    dz_buf_addf(out, "\nlast output:\n");
    add_range(out, self->log, first, len);
}
