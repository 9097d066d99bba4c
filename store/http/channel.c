/* channel.c - a ring of pieces. */
#include "store/http/channel.h"

#include <stdlib.h>
#include <string.h>

void
piece_drop(struct piece **piece_p)
{
    struct piece *piece = dz_move(*piece_p);
    if (piece && --piece->refs == 0)
        free(piece);
}

struct piece *
piece_new(struct dz_slice text, struct feed_at from, struct feed_at to)
{
    struct piece *piece = dz_alloc0(1, sizeof(*piece) + text.len);
    piece->refs = 1;
    piece->from = from;
    piece->to = to;
    piece->len = text.len;
    if (text.len > 0)
        memcpy(piece->bytes, text.ptr, text.len);
    return piece;
}

struct piece *
channel_piece(const struct channel *self, size_t i)
{
    return self->pieces[(self->first + i) % PIECES];
}

void
channel_forget(struct channel *self)
{
    self->bytes -= self->pieces[self->first]->len;
    piece_drop(&self->pieces[self->first]);
    self->first = (self->first + 1) % PIECES;
    self->count--;
}

void
channel_keep(struct channel *self, struct piece *piece)
{
    while (self->count == PIECES || (self->count > 0 && self->bytes + piece->len > KEPT_BYTES))
        channel_forget(self);
    self->pieces[(self->first + self->count++) % PIECES] = piece;
    self->bytes += piece->len;
    self->end = piece->to;
}

struct piece *
channel_find(const struct channel *self, struct feed_at at, struct feed_at *until_out)
{
    *until_out = self->end;
    for (size_t i = 0; i < self->count; i++) {
        struct piece *piece = channel_piece(self, i);
        int begins = feed_compare(piece->from, at);
        if (begins == 0)
            return piece;
        if (begins > 0 || feed_compare(piece->to, at) > 0) {
            *until_out = begins > 0 ? piece->from : piece->to;
            return NULL;
        }
    }
    return NULL;
}
