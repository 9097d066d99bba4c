/* Golden frames, our side: each file decodes to the message that it is named after, and encodes
 * back to the same bytes.  (tests/golden/frames.py checks the same files with another decoder.) */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/buf.h"
#include "shared/base/fd.h"
#include "shared/base/str.h"
#include "shared/wire/schema.h"
#include "shared/wire/wire.h"

enum { FILE_MAX_LEN = 1 << 20 };

static unsigned
nibble(uint8_t c)
{
    return isdigit(c) ? (unsigned) c - '0' : (unsigned) c - 'a' + 10;
}

static bool
read_hex(const char *path, struct dz_buf *out)
{
    struct dz_err err;
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    if (dz_fd_read_file(path, FILE_MAX_LEN, &text, &err) != DZ_OK) {
        (void) printf("%s\n", err.text);
        return false;
    }
    struct dz_slice rest = dz_buf_slice(&text), line = { 0 };
    while (dz_line_next(&rest, &line)) {
        for (size_t i = 0; line.len > 0 && line.ptr[0] != '#' && i + 1 < line.len; i += 3) {
            uint8_t byte = (uint8_t) (nibble(line.ptr[i]) << 4 | nibble(line.ptr[i + 1]));
            dz_buf_add(out, &byte, 1);
        }
    }
    return true;
}

static const char *
check(const char *path, const char *name)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
    DZ_AUTO(dz_buf_fini) struct dz_buf again = { 0 };
    struct dz_msg msg;
    if (!read_hex(path, &bytes))
        return "it cannot be read";
    if (dz_msg_decode(dz_buf_slice(&bytes), &msg) != DZ_OK)
        return "it is refused";
    if (strcmp(dz_msg_name(msg.id), name) != 0)
        return "it is another message";
    dz_msg_encode(&msg, &again);
    if (!dz_slice_eq(dz_buf_slice(&bytes), dz_buf_slice(&again)))
        return "it is encoded to other bytes";
    return NULL;
}

int
main(int argc, char **argv)
{
    if (argc != 2) {
        (void) fprintf(stderr, "usage: golden_frames FOLDER\n");
        return 2;
    }
    size_t count = 0;
    int bad = 0;
    const struct dz_schema_msg *all = dz_schema(&count);
    for (size_t i = 0; i < count; i++) {
        char path[4096];
        (void) snprintf(path, sizeof(path), "%s/%s.hex", argv[1], all[i].name);
        const char *problem = check(path, all[i].name);
        if (problem) {
            (void) printf("%s: %s\n", path, problem);
            bad = 1;
        }
    }
    return bad;
}
