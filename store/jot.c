/* jot.c - JSON, written only.
 *
 * Not a library's: a list of 240,000 tests is written in a tenth of a second, and node ids may
 * hold bytes that are not UTF-8, which libraries refuse.  Such bytes become U+FFFD. */
#include "store/jot.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A comma unless something was just opened. */
static void
separate(struct dz_buf *out)
{
    uint8_t last = out->len ? out->data[out->len - 1] : '\n';
    if (last != '{' && last != '[' && last != ':' && last != '\n')
        dz_buf_add(out, ",", 1);
}

/* The first byte says how long a character is and what its second byte may be. */
size_t
jot_char_len(struct dz_slice s)
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
        len = jot_char_len(s);
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
jot_open(struct dz_buf *out, char bracket)
{
    separate(out);
    dz_buf_add(out, &bracket, 1);
}

void
jot_close(struct dz_buf *out, char bracket)
{
    dz_buf_add(out, &bracket, 1);
}

void
jot_key(struct dz_buf *out, const char *key)
{
    if (!key)
        return;
    separate(out);
    put_string(out, dz_str(key));
    dz_buf_add(out, ":", 1);
}

void
jot_slice(struct dz_buf *out, const char *key, struct dz_slice text)
{
    jot_key(out, key);
    separate(out);
    put_string(out, text);
}

void
jot_text(struct dz_buf *out, const char *key, const char *text)
{
    jot_slice(out, key, dz_str(text));
}

void
jot_int(struct dz_buf *out, const char *key, int64_t number)
{
    jot_key(out, key);
    separate(out);
    dz_buf_addf(out, "%" PRId64, number);
}

void
jot_bool(struct dz_buf *out, const char *key, bool flag)
{
    jot_key(out, key);
    separate(out);
    dz_buf_addf(out, "%s", flag ? "true" : "false");
}

void
jot_null(struct dz_buf *out, const char *key)
{
    jot_key(out, key);
    separate(out);
    dz_buf_addf(out, "null");
}

/* Days since 1970 as a date; years from 1970 on. */
static void
civil(int64_t days, int *year, int *month, int *day)
{
    int64_t shifted = days + 719468, era = shifted / 146097, in_era = shifted % 146097;
    int64_t y = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    int64_t in_year = in_era - (365 * y + y / 4 - y / 100), m = (5 * in_year + 2) / 153;
    *day = (int) (in_year - (153 * m + 2) / 5 + 1);
    *month = (int) (m < 10 ? m + 3 : m - 9);
    *year = (int) (y + era * 400 + (*month <= 2));
}

void
jot_time(struct dz_buf *out, const char *key, int64_t us)
{
    static const int64_t day_us = INT64_C(86400000000);
    int year, month, day;
    if (us <= 0) {
        jot_null(out, key);
        return;
    }
    civil(us / day_us, &year, &month, &day);
    int64_t in_day = us % day_us;
    jot_key(out, key);
    separate(out);
    dz_buf_addf(out, "\"%04d-%02d-%02dT%02d:%02d:%02d.%06dZ\"", year, month, day,
                (int) (in_day / 3600000000), (int) (in_day / 60000000 % 60),
                (int) (in_day / 1000000 % 60), (int) (in_day % 1000000));
}

void
jot_end(struct dz_buf *out)
{
    dz_buf_add(out, "\n", 1);
}
