/* chronicle.c - lines about nodes, on their way into the store. */
#include "store/chronicle.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/digest.h"
#include "store/jot.h"

enum { HEX_LEN = 17, NAME_MAX_LEN = UINT16_MAX };

void
chronicle_init(struct chronicle *self, uint64_t node, uint64_t inc)
{
    uint64_t name[3] = { node, inc, UINT64_C(0x6e6f6465) /* a stream of its own: "node" */ };
    uint64_t source = dz_hash64((struct dz_slice){ (const uint8_t *) name, sizeof(name) });
    *self = (struct chronicle){ .source = source ? source : 1, .by = node };
}

void
chronicle_fini(struct chronicle *self)
{
    free(self->items);
    dz_buf_fini(&self->text);
    *self = (struct chronicle){ 0 };
}

static void
write_facts(const struct chronicle *self, const struct chronicle_fact *facts, struct dz_buf *out)
{
    char hex[HEX_LEN];
    (void) snprintf(hex, sizeof(hex), "%016" PRIx64, self->by);
    jot_open(out, '{');
    jot_text(out, "by", hex);
    for (; facts->key; facts++) {
        if (facts->text)
            jot_text(out, facts->key, facts->text);
        else
            jot_int(out, facts->key, facts->number);
    }
    jot_close(out, '}');
}

void
chronicle_add(struct chronicle *self, const char *word, uint64_t node, int64_t at_us,
              const struct chronicle_fact *facts)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf name = { 0 };
    write_facts(self, facts, &name);
    if (self->count == STORE_BATCH_MAX || name.len > NAME_MAX_LEN)
        return; /* the store takes nothing, or somebody's text has no end */
    if (self->count == self->cap) {
        self->cap = self->cap ? 2 * self->cap : 16;
        self->items = dz_realloc(self->items, self->cap, sizeof(*self->items));
    }
    size_t type_len = strlen(CHRONICLE_TYPE) + strlen(word);
    self->seq++;
    self->items[self->count++] = (struct store_span){
        .source = self->source,
        .seq = self->seq,
        .id = self->seq,
        .start_us = at_us,
        .end_us = at_us,
        .node = node,
        .worker = STORE_NO_WORKER,
        .test = STORE_NO_TEST,
        .type.len = type_len,
        .name.len = name.len,
    };
    dz_buf_addf(&self->text, "%s%s", CHRONICLE_TYPE, word);
    dz_buf_add(&self->text, name.data, name.len);
}

struct store_span *
chronicle_spans(struct chronicle *self)
{
    const uint8_t *at = self->text.data;
    for (uint32_t i = 0; i < self->count; i++) {
        struct store_span *span = &self->items[i];
        span->type.ptr = at;
        span->name.ptr = at + span->type.len;
        at += span->type.len + span->name.len;
    }
    return self->items;
}

void
chronicle_clear(struct chronicle *self)
{
    self->count = 0;
    dz_buf_clear(&self->text);
}
