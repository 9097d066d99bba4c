/* source.c - what is the same wherever the facts come from. */
#include "zb/source.h"

void
source_close(struct source **self_p)
{
    struct source *self = dz_move(*self_p);
    if (self)
        self->ops->close(self);
}

enum dz_rc
source_logs_next(struct source_logs *self, int wait_ms, struct doc_log *out, struct dz_err *err)
{
    return self->ops->next(self, wait_ms, out, err);
}

void
source_logs_close(struct source_logs **self_p)
{
    struct source_logs *self = dz_move(*self_p);
    if (self)
        self->ops->close(self);
}
