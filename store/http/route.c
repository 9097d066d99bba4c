/* route.c - finding the row of the table. */
#include "store/http/route.h"

#include <string.h>

#include "shared/conf/conf.h"
#include "store/http/routes.h"

const struct http_route *
route_table(size_t *count_out)
{
    *count_out = http_route_count;
    return http_routes;
}

/* ---- paths ---- */

static int
hex_of(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c | 0x20) : NULL;
    return at ? (int) (at - digits) : -1;
}

/* A piece of a URL, decoded; NULL: not decodable, or a NUL in it. */
static const char *
decode(struct dz_arena *arena, const char *text, size_t len, bool is_arg)
{
    char *out = dz_arena_take(arena, len + 1, 1), *to = out;
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '%') {
            *to++ = is_arg && text[i] == '+' ? ' ' : text[i];
            continue;
        }
        int high = i + 2 < len ? hex_of(text[i + 1]) : -1;
        int low = high >= 0 ? hex_of(text[i + 2]) : -1;
        if (low < 0 || (high == 0 && low == 0))
            return NULL;
        *to++ = (char) (high << 4 | low);
        i += 2;
    }
    *to = '\0';
    return out;
}

/* Does `path` fit the pattern?  Segments of {names} are decoded into call->params. */
static bool
fits(struct http_call *call, const char *pattern, const char *path)
{
    size_t param = 0;
    for (;;) {
        size_t want = strcspn(pattern, "/"), have = strcspn(path, "/");
        if (*pattern == '{') {
            call->params[param] = have > 0 ? decode(&call->arena, path, have, false) : NULL;
            if (!call->params[param++])
                return false;
        } else if (want != have || memcmp(pattern, path, want) != 0) {
            return false;
        }
        pattern += want;
        path += have;
        if (!*pattern || !*path)
            return !*pattern && !*path;
        pattern++;
        path++;
    }
}

/* ---- arguments ---- */

enum { ARGS_MAX = 24 };

/* "limit=10&project=x" into call->args. */
static bool
read_args(struct http_call *call, const char *query)
{
    while (*query) {
        size_t len = strcspn(query, "&"), name = strcspn(query, "=&");
        const char *value = query + name + (name < len);
        struct http_pair arg = {
            .name = decode(&call->arena, query, name, true),
            .value = decode(&call->arena, value, (size_t) (query + len - value), true),
        };
        if (!arg.name || !arg.value || call->arg_count == HTTP_PAIRS) {
            http_problem(call, 400, "the query is not decodable or has too many arguments");
            return false;
        }
        if (len > 0)
            call->args[call->arg_count++] = arg;
        query += len + (query[len] == '&');
    }
    return true;
}

/* Split the names; they point into `copy`. */
static size_t
split(char *copy, const char *names[ARGS_MAX])
{
    size_t count = 0;
    char *rest = copy;
    for (char *word = strtok_r(copy, " ", &rest); word && count < ARGS_MAX;
         word = strtok_r(NULL, " ", &rest))
        names[count++] = word;
    return count;
}

static bool
check_args(struct http_call *call)
{
    const char *names[ARGS_MAX];
    DZ_AUTO(dz_free) char *copy = dz_strdup(call->route->args ? call->route->args : "");
    size_t count = split(copy, names);
    for (size_t i = 0; i < call->arg_count; i++) {
        size_t k = 0;
        while (k < count && strcmp(names[k], call->args[i].name) != 0)
            k++;
        if (k < count)
            continue;
        const char *near = dz_nearest(call->args[i].name, names, count);
        if (near)
            http_problem(call, 400, "%s knows no argument '%.64s'; did you mean '%s'?",
                         call->route->path, call->args[i].name, near);
        else
            http_problem(call, 400, "%s knows no argument '%.64s'", call->route->path,
                         call->args[i].name);
        return false;
    }
    return true;
}

/* ---- the search ---- */

static void
answer_absent(struct http_call *call, const char *path)
{
    const char *paths[HTTP_ROUTES_MAX];
    for (size_t i = 0; i < http_route_count; i++)
        paths[i] = http_routes[i].path;
    const char *near = dz_nearest(path, paths, http_route_count);
    if (near)
        http_problem(call, 404, "there is no %.200s; did you mean %s?", path, near);
    else
        http_problem(call, 404, "there is no %.200s; /api/v1/openapi.json lists what there is",
                     path);
}

/* HEAD is asked as GET; the body is left out when it is sent. */
static bool
is_method(const struct http_route *route, const char *method)
{
    return strcmp(route->method, method) == 0 ||
           (strcmp(route->method, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

bool
route_find(struct http_call *call, const char *method, const char *target)
{
    dz_assert(http_route_count <= HTTP_ROUTES_MAX);
    size_t len = strcspn(target, "?");
    char *path = dz_arena_take(&call->arena, len + 1, 1);
    memcpy(path, target, len);
    path[len] = '\0';
    if (!read_args(call, target[len] ? target + len + 1 : ""))
        return false;
    for (size_t i = 0; i < http_route_count; i++) {
        const struct http_route *route = &http_routes[i];
        if (!fits(call, route->path, path))
            continue;
        if (is_method(route, method)) {
            call->route = route;
            return check_args(call);
        }
        dz_buf_addf(&call->allow, "%s%s", call->allow.len ? ", " : "", route->method);
    }
    if (call->allow.len == 0) {
        answer_absent(call, path);
        return false;
    }
    dz_buf_add(&call->allow, "", 1);
    http_problem(call, 405, "%.200s is for %s", path, (char *) call->allow.data);
    return false;
}
