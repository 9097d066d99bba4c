#include "vassal/known.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/fd.h"
#include "shared/base/files.h"
#include "shared/base/log.h"
#include "shared/base/str.h"

/* Lines "meeting <name>" and "node <number> <contact>", both in hexadecimal digits. */
static const char FILE_NAME[] = "peers", MEETING[] = "meeting ", NODE[] = "node ";

enum {
    FILE_MAX = 64 << 10,
    HEX_LEN = 16,
    FEW = 8, /* each of them is written at once */
    WRITE_US = 50 * 1000,
};

static char *
path_in(const char *dir)
{
    struct dz_buf path = { 0 };
    dz_buf_addf(&path, "%s/%s", dir, FILE_NAME);
    dz_buf_add(&path, "", 1);
    return (char *) path.data;
}

/* ------------------------------------------------------------------ nodes */

static struct known_node *
find(struct known *self, uint64_t node)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->items[i].node == node)
            return &self->items[i];
    return NULL;
}

/* False: it is there already, or there is no place. */
static bool
put(struct known *self, uint64_t node, struct dz_slice contact, bool must)
{
    struct known_node *item = find(self, node);
    if (item && dz_slice_eq(dz_buf_slice(&item->contact), contact))
        return false;
    if (!item && self->count == KNOWN_MAX && !must)
        return false;
    if (!item && self->count < KNOWN_MAX)
        item = &self->items[self->count++];
    else if (!item)
        item = &self->items[self->next++ % KNOWN_MAX];
    item->node = node;
    dz_buf_clear(&item->contact);
    dz_buf_add(&item->contact, contact.ptr, contact.len);
    return true;
}

/* ------------------------------------------------------------------ the file */

static bool
begins(struct dz_slice *line, const char *word)
{
    size_t len = strlen(word);
    if (!dz_starts_with(*line, dz_str(word)))
        return false;
    *line = (struct dz_slice){ line->ptr + len, line->len - len };
    return true;
}

static void
read_node(struct known *self, struct dz_slice line)
{
    uint8_t number[sizeof(uint64_t)], contact[DZ_CONTACT_LEN_MAX];
    size_t number_len = 0, len = 0;
    uint64_t node = 0;
    if (line.len <= HEX_LEN + 1 || line.ptr[HEX_LEN] != ' ')
        return;
    struct dz_slice first = { line.ptr, HEX_LEN };
    struct dz_slice rest = { line.ptr + HEX_LEN + 1, line.len - HEX_LEN - 1 };
    if (!dz_hex_read(first, number, sizeof(number), &number_len) || number_len != sizeof(number) ||
        !dz_hex_read(rest, contact, sizeof(contact), &len) || len == 0)
        return;
    for (size_t i = 0; i < sizeof(number); i++)
        node = node << 8 | number[i];
    (void) put(self, node, (struct dz_slice){ contact, len }, false);
}

void
known_read(struct known *self, const char *dir)
{
    DZ_AUTO(dz_free) char *path = path_in(dir);
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    struct dz_slice rest, line;
    if (dz_fd_read_file(path, FILE_MAX, &text, NULL) != DZ_OK)
        return;
    rest = dz_buf_slice(&text);
    while (dz_line_next(&rest, &line)) {
        if (begins(&line, MEETING) && line.len < sizeof(self->name))
            (void) snprintf(self->name, sizeof(self->name), "%.*s", (int) line.len,
                            (const char *) line.ptr);
        else if (begins(&line, NODE))
            read_node(self, line);
    }
}

static void
write_file(void *arg)
{
    struct known *self = arg;
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    struct dz_err err;
    if (!self->path)
        return;
    self->written_at = dz_clock_us();
    dz_buf_addf(&text, "%s%s\n", MEETING, self->name);
    for (size_t i = 0; i < self->count; i++) {
        dz_buf_addf(&text, "%s%016" PRIx64 " ", NODE, self->items[i].node);
        dz_hex_add(&text, dz_buf_slice(&self->items[i].contact));
        dz_buf_addf(&text, "\n");
    }
    if (dz_replace_file(self->path, 0600, dz_buf_slice(&text), &err) != DZ_OK)
        log_warn("known.keep", "why=%s", err.text);
}

void
known_init(struct known *self, struct dz_loop *loop)
{
    self->loop = loop;
    self->write = (struct dz_timer){ .fn = write_file, .arg = self };
}

void
known_keep(struct known *self, const char *dir)
{
    free(self->path);
    self->path = path_in(dir);
    write_file(self);
}

void
known_add(struct known *self, uint64_t node, struct dz_slice contact, bool must)
{
    bool is_new =
        contact.len > 0 && contact.len <= DZ_CONTACT_LEN_MAX && put(self, node, contact, must);
    if (!is_new || self->write.is_listed)
        return;
    if (self->count <= FEW || dz_clock_us() >= self->written_at + WRITE_US)
        write_file(self);
    else
        dz_loop_set(self->loop, &self->write, self->written_at + WRITE_US);
}

void
known_fini(struct known *self)
{
    if (self->loop)
        dz_loop_unset(self->loop, &self->write);
    dz_free(&self->path);
    for (size_t i = 0; i < KNOWN_MAX; i++)
        dz_buf_fini(&self->items[i].contact);
    self->count = 0;
}
