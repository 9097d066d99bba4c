/* cmd_version.c - zb version */
#include "zb/zb.h"

int
cmd_version(struct zb *zb, int argc, char **argv)
{
    bool is_over;
    int code = zb_parse(zb, argc, argv, zb_parse_nothing, NULL, &is_over);
    if (is_over)
        return code;
    if (!zb->is_json) {
        zb_say(zb, "zb %s\n", DZ_VERSION_TEXT);
        return ZB_DONE;
    }
    jot_open(&zb->out, '{');
    jot_text(&zb->out, "schema", zb->command->schema);
    jot_text(&zb->out, "version", DZ_VERSION_TEXT);
    jot_close(&zb->out, '}');
    jot_end(&zb->out);
    return ZB_DONE;
}
