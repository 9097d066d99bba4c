#include "shared/wire/model.h"

const char *
dz_result_name(enum dz_result result)
{
    static const char *const names[] = {
#define X(name) [DZ_RESULT_##name] = #name,
        DZ_RESULT_LIST(X)
#undef X
    };
    /* a number from a newer peer or an older file is no bug */
    return (size_t) result < DZ_LEN(names) ? names[result] : "UNKNOWN";
}

bool
dz_result_is_bad(enum dz_result result)
{
    switch (result) {
    case DZ_RESULT_FAILED:
    case DZ_RESULT_CRASHED:
    case DZ_RESULT_TIMEOUT: return true;
    default: return false;
    }
}

const char *
dz_cause_text(enum dz_cause cause)
{
    static const char *const texts[] = {
#define X(name, text) [DZ_CAUSE_##name] = text,
        DZ_CAUSE_LIST(X)
#undef X
    };
    return (size_t) cause < DZ_LEN(texts) ? texts[cause] : "for a reason that is not known here";
}
