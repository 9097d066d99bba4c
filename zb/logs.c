/* logs.c - log records as lines with a time and a worker in front.
 *
 * Records are pieces of a byte stream, so a line may come in several: each worker has the line it
 * is in the middle of.  Of what a program sends to a terminal only colours are kept; moving the
 * cursor would tear the lines of others. */
#include "zb/logs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_LEN = 64 << 10, LANES_MAX = 4096 };

void
log_printer_init(struct log_printer *self, struct zb *zb, struct zone *zone, size_t tail)
{
    *self = (struct log_printer){ .zb = zb, .zone = zone, .has_notes = true, .tail = tail };
    self->lanes = dz_alloc0(LANES_MAX, sizeof(*self->lanes));
    if (tail > 0) {
        self->ring = dz_alloc0(tail, sizeof(*self->ring));
        self->ring_lens = dz_alloc0(tail, sizeof(*self->ring_lens));
    }
}

static void
lane_fini(struct log_lane *lane)
{
    dz_buf_fini(&lane->line);
    free(lane->test);
}

void
log_printer_fini(struct log_printer *self)
{
    for (size_t i = 0; i < self->lane_count; i++)
        lane_fini(&self->lanes[i]);
    for (size_t i = 0; i < self->tail; i++)
        free(self->ring[i]);
    free(self->lanes);
    free(self->ring);
    free(self->ring_lens);
    dz_buf_fini(&self->text);
    *self = (struct log_printer){ 0 };
}

/* A finished piece of output: to the terminal, or into the ring. */
static void
emit(struct log_printer *self)
{
    struct dz_slice text = dz_buf_slice(&self->text);
    if (self->tail == 0) {
        zb_put(self->zb, text);
    } else {
        size_t at = self->ring_at++ % self->tail;
        free(self->ring[at]);
        self->ring[at] = dz_slice_dup(text);
        self->ring_lens[at] = text.len;
    }
    dz_buf_clear(&self->text);
}

void
log_printer_release(struct log_printer *self)
{
    size_t first = self->ring_at > self->tail ? self->ring_at - self->tail : 0;
    for (size_t i = first; i < self->ring_at; i++) {
        size_t at = i % self->tail;
        zb_put(self->zb, (struct dz_slice){ (uint8_t *) self->ring[at], self->ring_lens[at] });
        free(self->ring[at]);
        self->ring[at] = NULL;
    }
    free(self->ring);
    free(self->ring_lens);
    self->ring = NULL;
    self->ring_lens = NULL;
    self->tail = 0;
    self->ring_at = 0;
}

/* ---- one line ---- */

static void
add_tint(struct log_printer *self, const char *code)
{
    if (self->zb->has_color)
        dz_buf_addf(&self->text, "\x1b[%sm", code);
}

static void
add_prefix(struct log_printer *self, const struct log_lane *lane)
{
    char clock[ZB_WORD];
    (void) zb_clock(clock, self->zone, lane->time_us);
    add_tint(self, "2");
    dz_buf_addf(&self->text, "%s ", clock);
    add_tint(self, "0");
    add_tint(self, strcmp(lane->worker, "agent") == 0 ? "35" : "36");
    dz_buf_addf(&self->text, "%-5s ", lane->worker);
    add_tint(self, "0");
}

/* "ESC [ parameters letter" */
static size_t
control_len(struct dz_slice s, bool *is_color_out)
{
    size_t i = 2;
    while (i < s.len && s.ptr[i] >= 0x20 && s.ptr[i] < 0x40)
        i++;
    *is_color_out = i < s.len && s.ptr[i] == 'm';
    return i < s.len ? i + 1 : i;
}

/* "ESC ] text BEL" or "ESC ] text ESC \" */
static size_t
string_len(struct dz_slice s)
{
    size_t i = 2;
    while (i < s.len && s.ptr[i] != 0x07 && s.ptr[i] != 0x1b)
        i++;
    size_t end = i < s.len && s.ptr[i] == 0x1b ? i + 2 : i + 1;
    return end < s.len ? end : s.len;
}

/* Length of an escape sequence; *is_color_out: it sets colours and nothing else. */
static size_t
escape_len(struct dz_slice s, bool *is_color_out)
{
    *is_color_out = false;
    if (s.len < 2)
        return s.len;
    if (s.ptr[1] == '[')
        return control_len(s, is_color_out);
    return s.ptr[1] == ']' ? string_len(s) : 2;
}

/* What a carriage return left visible: the text behind the last one. */
static struct dz_slice
after_return(struct dz_slice line)
{
    while (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    const uint8_t *last = line.len ? memrchr(line.ptr, '\r', line.len) : NULL;
    if (!last)
        return line;
    size_t skip = (size_t) (last + 1 - line.ptr);
    return (struct dz_slice){ line.ptr + skip, line.len - skip };
}

static size_t
printable_len(struct dz_slice s)
{
    size_t len = 0;
    while (len < s.len && (s.ptr[len] >= ' ' || s.ptr[len] == '\t') && s.ptr[len] != 0x7f)
        len++;
    return len;
}

static void
add_clean(struct log_printer *self, struct dz_slice line)
{
    bool was_tinted = false;
    for (line = after_return(line); line.len > 0;) {
        bool is_color = false;
        size_t len = printable_len(line);
        dz_buf_add(&self->text, line.ptr, len);
        line = (struct dz_slice){ line.ptr + len, line.len - len };
        if (line.len == 0)
            break;
        len = line.ptr[0] == 0x1b ? escape_len(line, &is_color) : 1;
        if (is_color && self->zb->has_color) {
            dz_buf_add(&self->text, line.ptr, len);
            was_tinted = true;
        }
        line = (struct dz_slice){ line.ptr + len, line.len - len };
    }
    if (was_tinted)
        add_tint(self, "0");
    dz_buf_add(&self->text, "\n", 1);
}

static void
end_line(struct log_printer *self, struct log_lane *lane)
{
    add_prefix(self, lane);
    add_clean(self, dz_buf_slice(&lane->line));
    emit(self);
    dz_buf_clear(&lane->line);
}

static void
say_test(struct log_printer *self, struct log_lane *lane)
{
    add_prefix(self, lane);
    add_tint(self, "1");
    dz_buf_addf(&self->text, "> ");
    for (const char *c = lane->test; *c; c++)
        dz_buf_add(&self->text, (unsigned char) *c < ' ' || *c == 0x7f ? "?" : c, 1);
    add_tint(self, "0");
    dz_buf_add(&self->text, "\n", 1);
    emit(self);
}

/* ---- records ---- */

static struct log_lane *
lane_of(struct log_printer *self, const struct doc_log *log)
{
    for (size_t i = 0; i < self->lane_count; i++)
        if (strcmp(self->lanes[i].worker, log->worker) == 0)
            return &self->lanes[i];
    if (self->lane_count == LANES_MAX)
        return &self->lanes[0];
    struct log_lane *lane = &self->lanes[self->lane_count++];
    (void) snprintf(lane->worker, sizeof(lane->worker), "%s", log->worker);
    return lane;
}

static bool
is_in_test(const struct log_lane *lane, struct dz_slice test)
{
    return lane->test && test.ptr ? dz_slice_eq(dz_str(lane->test), test)
                                  : !lane->test && !test.ptr;
}

/* The worker has gone on to another test, or out of one. */
static void
enter_test(struct log_printer *self, struct log_lane *lane, const struct doc_log *log)
{
    if (lane->line.len > 0)
        end_line(self, lane);
    free(lane->test);
    lane->test = log->test.ptr ? dz_slice_dup(log->test) : NULL;
    lane->time_us = log->first_us;
    if (lane->test)
        say_test(self, lane);
}

static void
print_lines(struct log_printer *self, struct log_lane *lane, const struct doc_log *log)
{
    struct dz_slice rest = log->text;
    while (rest.len > 0) {
        const uint8_t *end = memchr(rest.ptr, '\n', rest.len);
        size_t len = end ? (size_t) (end - rest.ptr) : rest.len;
        if (lane->line.len == 0)
            lane->time_us = log->first_us;
        dz_buf_add(&lane->line, rest.ptr, len);
        if (end || lane->line.len > LINE_MAX_LEN)
            end_line(self, lane);
        len += end != NULL;
        rest = (struct dz_slice){ rest.ptr + len, rest.len - len };
    }
    if (log->kind == STORE_LOG_NOTE && lane->line.len > 0)
        end_line(self, lane); /* notes are whole lines */
}

void
log_print(struct log_printer *self, const struct doc_log *log)
{
    if (log->kind == STORE_LOG_NOTE && !self->has_notes)
        return;
    self->records++;
    if (self->zb->is_json) {
        doc_log_json(&self->text, log);
        emit(self);
        return;
    }
    if (self->is_raw) {
        dz_buf_add(&self->text, log->text.ptr, log->text.len);
        emit(self);
        return;
    }
    struct log_lane *lane = lane_of(self, log);
    if (!is_in_test(lane, log->test))
        enter_test(self, lane, log);
    print_lines(self, lane, log);
}

void
log_printer_finish(struct log_printer *self)
{
    for (size_t i = 0; i < self->lane_count; i++)
        if (self->lanes[i].line.len > 0)
            end_line(self, &self->lanes[i]);
}
