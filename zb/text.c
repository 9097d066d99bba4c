/* text.c - names, spans of time and moments, as people read them. */
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "zb/zb.h"

static const char DOTS[] = "...";
enum { DOTS_LEN = 3, TAB = 4, FOLD_LEAST = 12 };

/* One character: its bytes and its columns; what cannot be shown is one column wide. */
static size_t
next_char(struct dz_slice text, int *columns_out, bool *is_shown_out)
{
    wchar_t wide = 0;
    mbstate_t state = { 0 };
    *columns_out = 1;
    *is_shown_out = false;
    if (text.ptr[0] < 0x80) {
        *is_shown_out = text.ptr[0] >= ' ' && text.ptr[0] != 0x7f;
        *columns_out = text.ptr[0] == '\t' ? TAB : 1;
        return 1;
    }
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): the state is ours */
    size_t len = mbrtowc(&wide, (const char *) text.ptr, text.len, &state);
    if (len == 0 || len > text.len)
        return 1; /* not a character of this locale */
    int columns = wcwidth(wide);
    *is_shown_out = columns >= 0;
    *columns_out = columns >= 0 ? columns : 1;
    return len;
}

/* Nearly every node id is: then bytes are columns. */
static bool
is_plain_ascii(struct dz_slice text)
{
    unsigned odd = 0;
    for (size_t i = 0; i < text.len; i++)
        odd |= text.ptr[i] < ' ' || text.ptr[i] >= 0x7f;
    return !odd;
}

int
zb_columns(struct dz_slice text)
{
    int total = 0;
    if (is_plain_ascii(text))
        return (int) text.len;
    while (text.len > 0) {
        int columns;
        bool is_shown;
        size_t len = next_char(text, &columns, &is_shown);
        total += columns;
        text = (struct dz_slice){ text.ptr + len, text.len - len };
    }
    return total;
}

/* At most `columns` of it, without dots. */
static int
put_text(struct zb *self, struct dz_slice text, int columns)
{
    int used = 0;
    while (text.len > 0) {
        int wide;
        bool is_shown;
        size_t len = next_char(text, &wide, &is_shown);
        if (used + wide > columns)
            break;
        if (text.ptr[0] == '\t')
            zb_pad(self, TAB);
        else
            zb_put(self, is_shown ? (struct dz_slice){ text.ptr, len } : dz_str("?"));
        used += wide;
        text = (struct dz_slice){ text.ptr + len, text.len - len };
    }
    return used;
}

/* As it is: all fits, and each byte is a column.  Most texts are so. */
static bool
put_plain(struct zb *self, struct dz_slice text, int columns)
{
    if ((columns > 0 && text.len > (size_t) columns) || !is_plain_ascii(text))
        return false;
    zb_put(self, text);
    return true;
}

int
zb_text(struct zb *self, struct dz_slice text, int columns)
{
    if (put_plain(self, text, columns))
        return (int) text.len;
    int all = zb_columns(text);
    if (columns == 0 || all <= columns)
        return put_text(self, text, all);
    if (columns <= DOTS_LEN)
        return put_text(self, text, columns);
    int used = put_text(self, text, columns - DOTS_LEN);
    zb_put(self, dz_str(DOTS));
    return used + DOTS_LEN;
}

/* The end of a node id tells most. */
int
zb_id(struct zb *self, struct dz_slice id, int columns)
{
    if (put_plain(self, id, columns))
        return (int) id.len;
    int all = zb_columns(id);
    if (columns == 0 || all <= columns)
        return put_text(self, id, all);
    if (columns <= DOTS_LEN)
        return put_text(self, id, columns);
    for (int over = all - (columns - DOTS_LEN); over > 0 && id.len > 0;) {
        int wide;
        bool is_shown;
        size_t len = next_char(id, &wide, &is_shown);
        over -= wide;
        id = (struct dz_slice){ id.ptr + len, id.len - len };
    }
    zb_put(self, dz_str(DOTS));
    return DOTS_LEN + put_text(self, id, columns - DOTS_LEN);
}

void
zb_fold(struct zb *self, const char *text, int indent)
{
    size_t room = self->width > indent + FOLD_LEAST ? (size_t) (self->width - indent) : SIZE_MAX;
    for (bool is_first = true; *text; is_first = false) {
        size_t len = strlen(text);
        for (len = len > room ? room : len; len > 0 && text[len] && text[len] != ' ';)
            len--;
        len = len > 0 ? len : strcspn(text, " "); /* a word that no line can hold */
        zb_pad(self, is_first ? 0 : indent);
        (void) zb_text(self, (struct dz_slice){ (const uint8_t *) text, len }, 0);
        zb_put(self, dz_str("\n"));
        text += len + strspn(text + len, " ");
    }
}

/* ---- time ---- */

/* "0.4 ms", "17 ms": below a second, which nearly all tests are; printf() takes its time with
 * fractions. */
static const char *
short_span(char out[ZB_WORD], unsigned us)
{
    static const char unit[] = " ms";
    unsigned tenths = (us + 50) / 100, ms = tenths >= 100 ? (us + 500) / 1000 : tenths / 10;
    char *at = out;
    for (unsigned part = 1000; part > 0; part /= 10)
        if (ms >= part || part == 1)
            *at++ = (char) ('0' + ms / part % 10);
    if (tenths < 100) {
        *at++ = '.';
        *at++ = (char) ('0' + tenths % 10);
    }
    memcpy(at, unit, sizeof(unit));
    return out;
}

const char *
zb_span(char out[ZB_WORD], int64_t us)
{
    double s = (double) us / 1e6;
    long long whole = us / 1000000;
    if (us < 0)
        (void) snprintf(out, ZB_WORD, "?");
    else if (us < 999500)
        return short_span(out, (unsigned) us);
    else if (us < 10000000)
        (void) snprintf(out, ZB_WORD, "%.2f s", s);
    else if (us < 60000000)
        (void) snprintf(out, ZB_WORD, "%.1f s", s);
    else if (whole < 3600)
        (void) snprintf(out, ZB_WORD, "%lld m %02lld s", whole / 60, whole % 60);
    else
        (void) snprintf(out, ZB_WORD, "%lld h %02lld m", whole / 3600, whole / 60 % 60);
    return out;
}

const char *
zb_when(char out[ZB_WORD], const struct zone *zone, int64_t us, int64_t now_us)
{
    static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    static const int64_t day_us = INT64_C(86400000000);
    struct zone_time t = zone_civil(zone, us);
    uint32_t day = zone_day(zone, us), today = zone_day(zone, now_us);
    if (day == today)
        (void) snprintf(out, ZB_WORD, "today %02d:%02d", t.hour, t.minute);
    else if (day == zone_day(zone, now_us - day_us))
        (void) snprintf(out, ZB_WORD, "yesterday %02d:%02d", t.hour, t.minute);
    else if (day <= today && day + 10000 > today)
        (void) snprintf(out, ZB_WORD, "%d %s %02d:%02d", t.day, months[(t.month + 11) % 12], t.hour,
                        t.minute);
    else
        (void) snprintf(out, ZB_WORD, "%04d-%02d-%02d", t.year, t.month, t.day);
    return out;
}

const char *
zb_clock(char out[ZB_WORD], const struct zone *zone, int64_t us)
{
    struct zone_time t = zone_civil(zone, us);
    (void) snprintf(out, ZB_WORD, "%02d:%02d:%02d.%03d", t.hour, t.minute, t.second,
                    (int) (us % 1000000 / 1000));
    return out;
}

/* ---- results ---- */

enum zb_tint
zb_result_tint(enum dz_result result)
{
    switch (result) {
    case DZ_RESULT_OK: return ZB_GREEN;
    case DZ_RESULT_FAILED:
    case DZ_RESULT_CRASHED:
    case DZ_RESULT_TIMEOUT: return ZB_RED;
    case DZ_RESULT_OK_FLAKY:
    case DZ_RESULT_SKIPPED:
    case DZ_RESULT_XFAIL:
    case DZ_RESULT_XPASS: return ZB_YELLOW;
    case DZ_RESULT_NONE:
    case DZ_RESULT_REDUNDANT:
    case DZ_RESULTS: break;
    }
    return ZB_DIM;
}
