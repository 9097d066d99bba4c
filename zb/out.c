/* out.c - stdout as a buffer, its colours and its width. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "shared/base/fd.h"
#include "zb/zb.h"

enum { FLUSH_FROM = 64 << 10, WIDTH_MIN = 20 };

static bool
is_set(const char *name)
{
    const char *value = getenv(name); /* NOLINT(concurrency-mt-unsafe): one thread */
    return value && *value;
}

static bool
is_smart(void)
{
    const char *term = getenv("TERM"); /* NOLINT(concurrency-mt-unsafe): one thread */
    return term && *term && strcmp(term, "dumb") != 0;
}

/* --color, then NO_COLOR, then FORCE_COLOR and CLICOLOR_FORCE, then what stdout is. */
static bool
wants_color(const struct zb *self)
{
    if (strcmp(self->color, "always") == 0)
        return true;
    if (strcmp(self->color, "never") == 0 || is_set("NO_COLOR"))
        return false;
    if (is_set("FORCE_COLOR") || is_set("CLICOLOR_FORCE"))
        return true;
    return self->is_tty && is_smart();
}

static int
terminal_width(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return 80;
    return size.ws_col < WIDTH_MIN ? WIDTH_MIN : size.ws_col;
}

void
zb_out_measure(struct zb *self)
{
    self->width = self->is_tty ? terminal_width() : 0;
}

void
zb_out_init(struct zb *self)
{
    self->is_tty = isatty(STDOUT_FILENO);
    self->has_color = wants_color(self);
    self->wants_pager = self->is_tty && is_smart() && !self->is_unpaged && !self->is_json &&
                        (self->is_help || (self->command->kind & ZB_PAGED));
    self->has_cursor = self->is_tty && is_smart();
    zb_out_measure(self);
}

void
zb_flush(struct zb *self)
{
    struct dz_err err;
    if (self->wants_pager && self->out.len > 0)
        zb_pager_start(self);
    enum dz_rc rc = dz_fd_write_all(STDOUT_FILENO, dz_buf_slice(&self->out), &err);
    dz_buf_clear(&self->out);
    if (rc == DZ_OK)
        return;
    if (rc != DZ_CLOSED) /* a pager that was left is no error */
        (void) fprintf(stderr, "zb: %s\n", err.text);
    zb_pager_end(self);
    _exit(rc == DZ_CLOSED ? ZB_DONE : ZB_FAILED);
}

void
zb_spill(struct zb *self)
{
    if (self->out.len >= FLUSH_FROM)
        zb_flush(self);
}

void
zb_put(struct zb *self, struct dz_slice bytes)
{
    dz_buf_add(&self->out, bytes.ptr, bytes.len);
    zb_spill(self);
}

void
zb_say(struct zb *self, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    size_t used = len < 0 ? 0 : (size_t) len < sizeof(text) ? (size_t) len : sizeof(text) - 1;
    zb_put(self, (struct dz_slice){ (uint8_t *) text, used });
}

void
zb_pad(struct zb *self, int columns)
{
    static const char spaces[] = "                                                                ";
    for (; columns > 0; columns -= (int) sizeof(spaces) - 1) {
        size_t len = (size_t) columns < sizeof(spaces) - 1 ? (size_t) columns : sizeof(spaces) - 1;
        zb_put(self, (struct dz_slice){ (const uint8_t *) spaces, len });
    }
}

void
zb_tint(struct zb *self, enum zb_tint tint)
{
    static const char *const codes[] = {
        [ZB_PLAIN] = "0",  [ZB_DIM] = "2",     [ZB_BOLD] = "1",  [ZB_RED] = "31",
        [ZB_GREEN] = "32", [ZB_YELLOW] = "33", [ZB_BLUE] = "34", [ZB_CYAN] = "36",
    };
    if (self->has_color)
        zb_say(self, "\x1b[%sm", codes[tint]);
}

int
zb_fail(struct zb *self, int code, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    (void) vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    zb_flush(self);
    if (self->command)
        (void) fprintf(stderr, "zb %s: %s\n", self->command->name, text);
    else
        (void) fprintf(stderr, "zb: %s\n", text);
    return code;
}
