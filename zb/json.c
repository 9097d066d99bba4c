/* json.c - JSON, written only.
 *
 * Not a library's: a list of 240,000 tests is written in a tenth of a second, and node ids may
 * hold bytes that are not UTF-8, which libraries refuse.  Such bytes become U+FFFD. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "zb/zb.h"

/* A comma unless something was just opened. */
static void
separate(struct zb *self)
{
    uint8_t last = self->out.len ? self->out.data[self->out.len - 1] : '\n';
    if (last != '{' && last != '[' && last != ':' && last != '\n')
        dz_buf_add(&self->out, ",", 1);
}

/* The first byte says how long a character is and what its second byte may be. */
static size_t
utf8_len(struct dz_slice s)
{
    static const struct {
        uint8_t first, last, low, high;
        size_t len;
    } forms[] = { { 0x00, 0x7f, 0x00, 0xff, 1 }, { 0xc2, 0xdf, 0x80, 0xbf, 2 },
                  { 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
                  { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
                  { 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
                  { 0xf4, 0xf4, 0x80, 0x8f, 4 } };
    size_t form = 0;
    while (form < DZ_LEN(forms) && !(s.ptr[0] >= forms[form].first && s.ptr[0] <= forms[form].last))
        form++;
    if (form == DZ_LEN(forms) || forms[form].len > s.len)
        return 0;
    for (size_t i = 1; i < forms[form].len; i++) {
        uint8_t low = i == 1 ? forms[form].low : 0x80, high = i == 1 ? forms[form].high : 0xbf;
        if (s.ptr[i] < low || s.ptr[i] > high)
            return 0;
    }
    return forms[form].len;
}

static bool
is_simple(uint8_t c)
{
    return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
}

static void
put_string(struct dz_buf *out, struct dz_slice s)
{
    dz_buf_add(out, "\"", 1);
    while (s.len > 0) {
        size_t len = 0;
        while (len < s.len && is_simple(s.ptr[len]))
            len++;
        dz_buf_add(out, s.ptr, len);
        s = (struct dz_slice){ s.ptr + len, s.len - len };
        if (s.len == 0)
            break;
        len = utf8_len(s);
        if (len > 1)
            dz_buf_add(out, s.ptr, len);
        else if (len == 0)
            dz_buf_add(out, "\xef\xbf\xbd", 3);
        else if (s.ptr[0] == '\n')
            dz_buf_add(out, "\\n", 2);
        else if (s.ptr[0] == '"' || s.ptr[0] == '\\')
            dz_buf_addf(out, "\\%c", s.ptr[0]);
        else
            dz_buf_addf(out, "\\u%04x", s.ptr[0]);
        len = len ? len : 1;
        s = (struct dz_slice){ s.ptr + len, s.len - len };
    }
    dz_buf_add(out, "\"", 1);
}

void
zb_json_open(struct zb *self, char bracket)
{
    separate(self);
    dz_buf_add(&self->out, &bracket, 1);
}

void
zb_json_close(struct zb *self, char bracket)
{
    dz_buf_add(&self->out, &bracket, 1);
}

void
zb_json_key(struct zb *self, const char *key)
{
    if (!key)
        return;
    separate(self);
    put_string(&self->out, dz_str(key));
    dz_buf_add(&self->out, ":", 1);
}

void
zb_json_slice(struct zb *self, const char *key, struct dz_slice text)
{
    zb_json_key(self, key);
    separate(self);
    put_string(&self->out, text);
}

void
zb_json_text(struct zb *self, const char *key, const char *text)
{
    zb_json_slice(self, key, dz_str(text));
}

void
zb_json_int(struct zb *self, const char *key, int64_t number)
{
    zb_json_key(self, key);
    separate(self);
    dz_buf_addf(&self->out, "%" PRId64, number);
}

void
zb_json_bool(struct zb *self, const char *key, bool flag)
{
    zb_json_key(self, key);
    separate(self);
    dz_buf_addf(&self->out, "%s", flag ? "true" : "false");
}

void
zb_json_time(struct zb *self, const char *key, int64_t us)
{
    char text[ZB_WORD];
    if (us > 0) {
        zb_json_text(self, key, zb_iso(text, us));
        return;
    }
    zb_json_key(self, key);
    dz_buf_addf(&self->out, "null");
}

void
zb_json_end(struct zb *self)
{
    zb_put(self, dz_str("\n")); /* flushes when there is much */
}
