/* What people type: taken, or refused with one line that names the file and a line in it; a file
 * that is refused leaves the settings as they were. */
#include <stdio.h>
#include <string.h>

#include "shared/conf/conf.h"
#include "tests/fuzz/target.h"

struct settings {
    char *uri;
    bool is_on;
    uint64_t slots, memory;
    double ratio;
    struct dz_conf_strs names;
    struct dz_conf_map limits;
};

#define KEY(path, kind, field, min, max) \
    { \
        path, kind, offsetof(struct settings, field), min, max, NULL, NULL \
    }

static const struct dz_conf_key keys[] = {
    KEY("project.uri", DZ_CONF_STR, uri, 0, 0),      KEY("project.on", DZ_CONF_BOOL, is_on, 0, 0),
    KEY("slots", DZ_CONF_U64, slots, 1, 1024),       KEY("memory", DZ_CONF_BYTES, memory, 0, 0),
    KEY("plan.ratio", DZ_CONF_REAL, ratio, 0, 1),    KEY("plan.names", DZ_CONF_STRS, names, 0, 0),
    KEY("plan.limits", DZ_CONF_MAP, limits, 0, 100),
};

static void
check_refusal(const struct dz_err *err, const struct settings *settings)
{
    unsigned line = 0, column = 0;
    dz_assert(strchr(err->text, '\n') == NULL);
    dz_assert(sscanf(err->text, "input:%u:%u: ", &line, &column) == 2 && line > 0);
    dz_assert(settings->slots == 7 && !settings->uri && settings->names.count == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dz_err err = { .text = "" };
    struct settings settings = { .slots = 7 };
    struct dz_slice text = { data, size };
    enum dz_rc rc = dz_conf_parse("input", text, keys, DZ_LEN(keys), &settings, &err);
    if (rc == DZ_OK) {
        dz_assert(settings.slots >= 1 && settings.slots <= 1024);
        dz_assert(settings.ratio >= 0 && settings.ratio <= 1);
        dz_assert(settings.names.count <= DZ_CONF_ITEMS_MAX);
    } else {
        check_refusal(&err, &settings);
    }
    dz_conf_fini(keys, DZ_LEN(keys), &settings);
    return 0;
}
