/* zone.c - TZif files (RFC 8536): a table of changes, then a rule for all later years. */
#include "store/zone.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/buf.h"
#include "shared/base/fd.h"

enum { ZONE_FILE_MAX = 256 << 10, HEADER_LEN = 44, DAY_S = 86400 };

/* "M3.2.0/2": the second Sunday of March at two o'clock. */
struct change {
    int month, week, weekday, at_s;
};

struct rule {
    bool is_there, has_summer;
    int32_t winter_s, summer_s; /* east of Greenwich */
    struct change to_summer, to_winter;
};

struct zone {
    bool is_known;
    int64_t *changes; /* owned; seconds of the epoch, ascending */
    int32_t *offsets; /* owned; from the change of the same index on */
    size_t count;
    int32_t first_s;  /* before the first change */
    struct rule rule; /* after the last one */
};

/* ---- the calendar (proleptic Gregorian; days since 1970) ---- */

static int64_t
floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t
days_of(int64_t year, int month, int day)
{
    int64_t y = year - (month <= 2);
    int64_t era = floor_div(y, 400);
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

static struct zone_time
civil_of(int64_t local_s)
{
    int64_t days = floor_div(local_s, DAY_S), rest = local_s - days * DAY_S;
    int64_t z = days + 719468, era = floor_div(z, 146097), doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    struct zone_time t = {
        .day = (int) (doy - (153 * mp + 2) / 5 + 1),
        .month = (int) (mp < 10 ? mp + 3 : mp - 9),
        .hour = (int) (rest / 3600),
        .minute = (int) (rest / 60 % 60),
        .second = (int) (rest % 60),
    };
    t.year = (int) (yoe + era * 400 + (t.month <= 2));
    return t;
}

/* ---- the rule in the footer: "CET-1CEST,M3.5.0,M10.5.0/3" ---- */

static bool
skip_name(const char **p)
{
    if (**p == '<') {
        const char *end = strchr(*p, '>');
        if (!end)
            return false;
        *p = end + 1;
        return true;
    }
    size_t len = strspn(*p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
    *p += len;
    return len >= 3;
}

/* [+-]hh[:mm[:ss]] */
static bool
read_hms(const char **p, int32_t *seconds_out)
{
    int sign = **p == '-' ? -1 : 1;
    *p += **p == '-' || **p == '+';
    int32_t total = 0;
    for (int unit = 3600; unit >= 1; unit /= 60) {
        if (**p < '0' || **p > '9')
            return false;
        total += (int32_t) strtol(*p, (char **) p, 10) % 1000 * unit;
        if (**p != ':')
            break;
        ++*p;
    }
    *seconds_out = sign * total;
    return true;
}

static bool
read_change(const char **p, struct change *out)
{
    int used = 0;
    /* NOLINTNEXTLINE(cert-err34-c): the widths bound the numbers */
    if (sscanf(*p, ",M%2d.%1d.%1d%n", &out->month, &out->week, &out->weekday, &used) != 3)
        return false;
    *p += used;
    out->at_s = 2 * 3600;
    bool is_ok = out->month >= 1 && out->month <= 12 && out->week >= 1 && out->week <= 5 &&
                 out->weekday >= 0 && out->weekday <= 6;
    if (!is_ok || **p != '/')
        return is_ok;
    ++*p;
    return read_hms(p, &out->at_s);
}

static struct rule
read_rule(const char *text)
{
    struct rule rule = { 0 };
    const char *p = text;
    int32_t west_s = 0;
    if (!skip_name(&p) || !read_hms(&p, &west_s))
        return rule;
    rule.winter_s = -west_s;
    rule.is_there = true;
    if (!*p)
        return rule;
    rule.is_there = false;
    rule.summer_s = rule.winter_s + 3600;
    if (!skip_name(&p))
        return rule;
    if (*p != ',') {
        if (!read_hms(&p, &west_s))
            return rule;
        rule.summer_s = -west_s;
    }
    rule.has_summer = read_change(&p, &rule.to_summer) && read_change(&p, &rule.to_winter);
    rule.is_there = rule.has_summer;
    return rule;
}

/* Local seconds, by the clock in force before it, at which the change happens in a year. */
static int64_t
change_at(const struct change *change, int64_t year)
{
    int64_t first = days_of(year, change->month, 1);
    int weekday = (int) ((first + 4) % 7); /* 1 January 1970 was a Thursday */
    weekday = weekday < 0 ? weekday + 7 : weekday;
    int64_t day = first + (change->weekday - weekday + 7) % 7 + (int64_t) (change->week - 1) * 7;
    int64_t next_month =
        change->month == 12 ? days_of(year + 1, 1, 1) : days_of(year, change->month + 1, 1);
    while (day >= next_month)
        day -= 7; /* week 5 is the last one */
    return day * DAY_S + change->at_s;
}

static int32_t
offset_by_rule(const struct rule *rule, int64_t epoch_s)
{
    if (!rule->has_summer)
        return rule->winter_s;
    int64_t year = civil_of(epoch_s + rule->winter_s).year;
    int64_t summer = change_at(&rule->to_summer, year) - rule->winter_s;
    int64_t winter = change_at(&rule->to_winter, year) - rule->summer_s;
    bool is_summer = summer < winter ? epoch_s >= summer && epoch_s < winter
                                     : epoch_s >= summer || epoch_s < winter;
    return is_summer ? rule->summer_s : rule->winter_s;
}

/* ---- the file ---- */

static uint64_t
big_endian(const uint8_t *p, int len)
{
    uint64_t n = 0;
    for (int i = 0; i < len; i++)
        n = n << 8 | p[i];
    return n;
}

struct counts {
    uint64_t isut, isstd, leap, time, type, chars;
};

static bool
read_header(struct dz_slice file, size_t at, struct counts *out)
{
    if (file.len < at + HEADER_LEN || memcmp(file.ptr + at, "TZif", 4) != 0)
        return false;
    const uint8_t *p = file.ptr + at + 20;
    *out = (struct counts){
        .isut = big_endian(p, 4),
        .isstd = big_endian(p + 4, 4),
        .leap = big_endian(p + 8, 4),
        .time = big_endian(p + 12, 4),
        .type = big_endian(p + 16, 4),
        .chars = big_endian(p + 20, 4),
    };
    return true;
}

static uint64_t
body_len(const struct counts *c, uint64_t time_len)
{
    return c->time * (time_len + 1) + c->type * 6 + c->chars + c->leap * (time_len + 4) + c->isstd +
           c->isut;
}

/* Version 2 and later: a second header and body with 64-bit times, then the rule. */
static bool
read_file(struct zone *self, struct dz_slice file)
{
    struct counts c;
    if (!read_header(file, 0, &c) || file.ptr[4] < '2')
        return false;
    uint64_t at = HEADER_LEN + body_len(&c, 4);
    if (at > file.len || !read_header(file, at, &c))
        return false;
    at += HEADER_LEN;
    uint64_t footer = at + body_len(&c, 8);
    if (footer > file.len || c.type == 0)
        return false;

    const uint8_t *times = file.ptr + at, *indexes = times + c.time * 8;
    const uint8_t *types = indexes + c.time;
    self->changes = dz_alloc0(c.time + 1, sizeof(*self->changes));
    self->offsets = dz_alloc0(c.time + 1, sizeof(*self->offsets));
    self->first_s = (int32_t) big_endian(types, 4);
    for (uint64_t i = 0; i < c.time; i++) {
        if (indexes[i] >= c.type)
            return false;
        self->changes[i] = (int64_t) big_endian(times + i * 8, 8);
        self->offsets[i] = (int32_t) big_endian(types + (size_t) indexes[i] * 6, 4);
    }
    self->count = c.time;
    char rule[128];
    if (file.len > footer + 1 &&
        (size_t) snprintf(rule, sizeof(rule), "%.*s", (int) (file.len - footer - 1),
                          (const char *) file.ptr + footer + 1) < sizeof(rule)) {
        rule[strcspn(rule, "\n")] = '\0';
        self->rule = read_rule(rule);
    }
    return true;
}

static bool
is_safe_name(const char *name)
{
    return *name && *name != '/' && strlen(name) < 128 && !strstr(name, "..");
}

struct zone *
zone_new(const char *name)
{
    struct zone *self = dz_alloc0(1, sizeof(*self));
    char path[256];
    struct dz_err unused;
    DZ_AUTO(dz_buf_fini) struct dz_buf file = { 0 };
    self->is_known = strcmp(name, "UTC") == 0; /* needs no file */
    if (self->is_known || !is_safe_name(name))
        return self;
    (void) snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", name);
    self->is_known = dz_fd_read_file(path, ZONE_FILE_MAX, &file, &unused) == DZ_OK &&
                     read_file(self, dz_buf_slice(&file));
    if (!self->is_known) { /* a half-read file counts for nothing */
        self->count = 0;
        self->first_s = 0;
    }
    return self;
}

void
zone_destroy(struct zone **self_p)
{
    struct zone *self = dz_move(*self_p);
    if (!self)
        return;
    free(self->changes);
    free(self->offsets);
    free(self);
}

bool
zone_is_known(const struct zone *self)
{
    return self->is_known;
}

static int32_t
offset_at(const struct zone *self, int64_t epoch_s)
{
    if (self->rule.is_there && (self->count == 0 || epoch_s >= self->changes[self->count - 1]))
        return offset_by_rule(&self->rule, epoch_s);
    size_t low = 0, high = self->count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (self->changes[mid] <= epoch_s)
            low = mid + 1;
        else
            high = mid;
    }
    return low == 0 ? self->first_s : self->offsets[low - 1];
}

struct zone_time
zone_civil(const struct zone *self, int64_t epoch_us)
{
    int64_t s = floor_div(epoch_us, 1000000);
    return civil_of(s + offset_at(self, s));
}

uint32_t
zone_day(const struct zone *self, int64_t epoch_us)
{
    struct zone_time t = zone_civil(self, epoch_us);
    return (uint32_t) (t.year * 10000 + t.month * 100 + t.day);
}

int64_t
zone_epoch_us(const struct zone *self, struct zone_time t)
{
    int64_t in_day = (int64_t) t.hour * 3600 + (int64_t) t.minute * 60 + t.second;
    int64_t local = days_of(t.year, t.month, t.day) * DAY_S + in_day;
    int64_t before = local - offset_at(self, local - DAY_S);
    int64_t after = local - offset_at(self, local + DAY_S);
    bool is_before = offset_at(self, before) == local - before;
    return (is_before ? before : after) * 1000000;
}

char *
zone_local_name(void)
{
    char target[PATH_MAX];
    const char *tz = getenv("TZ"); /* NOLINT(concurrency-mt-unsafe): nobody here sets it */
    if (tz && *tz && *tz != ':' && is_safe_name(tz))
        return dz_strdup(tz);
    ssize_t len = readlink("/etc/localtime", target, sizeof(target) - 1);
    target[len > 0 ? len : 0] = '\0';
    const char *name = strstr(target, "zoneinfo/");
    if (!name || !is_safe_name(name + strlen("zoneinfo/")))
        return dz_strdup("UTC");
    name += strlen("zoneinfo/");
    bool is_utc = strcmp(name, "Etc/UTC") == 0 || strcmp(name, "Etc/UCT") == 0;
    return dz_strdup(is_utc ? "UTC" : name);
}
