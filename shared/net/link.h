/* link.h - whole messages between nodes: a vassal's end (DEALER).  See hub.h. */
#ifndef DZ_SHARED_NET_LINK_H
#define DZ_SHARED_NET_LINK_H

#include "shared/net/hub.h"

struct dz_link;

/* Messages from the hub at `endpoint` go to `fn`; `me` is what the hub knows us by. */
DZ_MUST_USE enum dz_rc dz_link_new(struct dz_loop *loop, const char *endpoint, struct dz_peer me,
                                   dz_body_fn *fn, void *arg, struct dz_link **self_out,
                                   struct dz_err *err);
void dz_link_destroy(struct dz_link **self_p);
/* FULL: dropped. */
enum dz_rc dz_link_send(struct dz_link *self, struct dz_slice body);

#endif
