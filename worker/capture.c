#include "worker/capture.h"

#include <errno.h>
#include <sched.h>
#include <unistd.h>

enum { PIECE = 65536 };

void
capture_init(struct capture *self, struct dz_shm *shm, int master, int log)
{
    *self = (struct capture){ .shm = shm, .master = master, .log = log };
    self->seen = atomic_load(&shm->log_len);
}

void
capture_fini(struct capture *self)
{
    for (int i = 0; i < CAPTURE_STREAMS; i++)
        dz_buf_fini(&self->text[i]);
    dz_buf_fini(&self->passed);
}

/* fd-level output belongs to stdout: a terminal does not tell its two sides apart. */
static struct dz_buf *
sink_of_terminal(struct capture *self)
{
    return self->is_suspended ? &self->passed : &self->text[CAPTURE_OUT];
}

/* Bytes of the file from `seen` to `end` came from the terminal. */
static void
take_in(struct capture *self, uint64_t end)
{
    while (self->seen < end) {
        size_t want = end - self->seen < PIECE ? (size_t) (end - self->seen) : PIECE;
        struct dz_buf *sink = sink_of_terminal(self);
        ssize_t got = pread(self->log, dz_buf_reserve(sink, want), want, (off_t) self->seen);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break; /* the file is damaged: go on with what is there */
        sink->len += (size_t) got;
        self->seen += (uint64_t) got;
    }
    self->seen = end;
}

void
capture_absorb(struct capture *self)
{
    enum dz_rc rc = dz_log_drain(self->shm, self->master, self->log, NULL);
    while (rc == DZ_AGAIN) { /* the agent is at it, for microseconds */
        (void) sched_yield();
        rc = dz_log_drain(self->shm, self->master, self->log, NULL);
    }
    take_in(self, atomic_load(&self->shm->log_len));
}

bool
capture_has_text(struct capture *self, enum capture_stream stream)
{
    if (stream == CAPTURE_OUT)
        capture_absorb(self);
    return self->text[stream].len > 0;
}

void
capture_log(struct capture *self, struct dz_slice text)
{
    uint64_t at = self->seen;
    enum dz_rc rc = dz_log_append(self->shm, self->master, self->log, text, &at);
    take_in(self, at);
    if (rc == DZ_OK)
        self->seen = at + text.len;
}

void
capture_write(struct capture *self, enum capture_stream stream, struct dz_slice text)
{
    capture_log(self, text);
    dz_buf_add(&self->text[stream], text.ptr, text.len);
}
