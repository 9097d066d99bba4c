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
    zb_json_open(zb, '{');
    zb_json_text(zb, "schema", zb->command->schema);
    zb_json_text(zb, "version", DZ_VERSION_TEXT);
    zb_json_close(zb, '}');
    zb_json_end(zb);
    return ZB_DONE;
}
