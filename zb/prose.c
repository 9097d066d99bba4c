/* prose.c - help, which is written for wide terminals, on narrow ones.
 *
 * A line that does not begin with a space is part of a paragraph.  One that does may be an entry of a
 * table: words, two spaces or more, and what they mean, which goes on in lines that begin below. */
#include <string.h>

#include "zb/zb.h"

enum { STEP = 4 };

static struct dz_slice
next_line(const char **text)
{
    struct dz_slice line = { (const uint8_t *) *text, strcspn(*text, "\n") };
    *text += line.len;
    *text += **text == '\n';
    return line;
}

static size_t
spaces_at(struct dz_slice line, size_t at)
{
    size_t from = at;
    while (at < line.len && line.ptr[at] == ' ')
        at++;
    return at - from;
}

/* Where the meaning begins, or the text if there is none. */
static size_t
hang_of(struct dz_slice line, size_t indent)
{
    for (size_t i = indent; indent > 0 && i < line.len; i++)
        if (spaces_at(line, i) > 1)
            return i + spaces_at(line, i);
    return indent;
}

static bool
goes_on(const char *text, size_t indent, size_t hang)
{
    struct dz_slice line = next_line(&text);
    bool may_go_on = indent == 0 || hang > indent;
    return may_go_on && line.len > 0 && spaces_at(line, 0) == hang;
}

static void
add_words(struct dz_buf *out, struct dz_slice line, size_t from)
{
    dz_buf_add(out, " ", out->len > 0);
    for (size_t i = from; i < line.len; i++)
        dz_buf_add(out, &line.ptr[i], line.ptr[i] != ' ' || spaces_at(line, i) == 1);
}

/* A paragraph, an entry, or a line of neither; moves *text behind it. */
static void
say_piece(struct zb *zb, const char **text)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf words = { 0 };
    struct dz_slice line = next_line(text);
    size_t indent = spaces_at(line, 0), hang = hang_of(line, indent);
    if (line.len == 0) {
        zb_put(zb, dz_str("\n"));
        return;
    }
    add_words(&words, line, hang);
    while (goes_on(*text, indent, hang))
        add_words(&words, next_line(text), hang);
    dz_buf_add(&words, "", 1);
    bool is_wide = hang > indent && 2 * hang > (size_t) zb->width;
    size_t key_len = hang;
    while (is_wide && line.ptr[key_len - 1] == ' ')
        key_len--;
    zb_put(zb, (struct dz_slice){ line.ptr, key_len });
    if (is_wide) { /* its meaning on lines of its own */
        zb_put(zb, dz_str("\n"));
        zb_pad(zb, (int) indent + STEP);
    }
    size_t below = is_wide || (indent > 0 && hang == indent) ? indent + STEP : hang;
    zb_fold(zb, (const char *) words.data, (int) below);
}

void
zb_prose(struct zb *self, const char *text)
{
    size_t longest = 0;
    for (const char *at = text; *at;) {
        size_t len = next_line(&at).len;
        longest = len > longest ? len : longest;
    }
    if (self->width <= 0 || longest <= (size_t) self->width) {
        zb_put(self, dz_str(text));
        zb_put(self, dz_str(*text && text[strlen(text) - 1] != '\n' ? "\n" : ""));
        return;
    }
    while (*text)
        say_piece(self, &text);
}
