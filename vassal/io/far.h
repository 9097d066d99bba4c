/* far.h - another node as the mesh speaks to it: the link to it, and whether frames go that way or
 * through the detour.  Of mesh.c and far.c alone. */
#ifndef DZ_VASSAL_IO_FAR_H
#define DZ_VASSAL_IO_FAR_H

#include "shared/base/map.h"
#include "shared/net/contact.h"
#include "shared/net/hub.h"
#include "shared/net/link.h"
#include "vassal/io/mesh.h"

/* Another node. */
struct far {
    struct mesh *mesh; /* borrowed */
    uint64_t node, inc;
    struct dz_contact contact;
    struct dz_link *link; /* owned; NULL: not dialled */
    struct dz_buf first;  /* the last short frame that there was no way for while it was dialled */
    bool is_up;
    bool is_out;   /* it takes part no more */
    bool was_near; /* it has spoken to us, or a link was up: its absence means something */
    dz_us used_at;
    /* 0: not so */
    dz_us mute_since;   /* there is something to say, and no direct way */
    dz_us silent_since; /* we speak directly, and hear nothing */
    dz_us said_at;      /* directly, the last time */
    dz_us dial_at;      /* not before that */
    dz_us retry_us;     /* the next wait between two tries to dial it */
    dz_us detoured_at;  /* it spoke through the detour */
    bool is_detoured;   /* as people were told */
};

struct mesh {
    struct dz_loop *loop; /* borrowed */
    struct dz_peer me;
    struct dz_keys keys;
    struct dz_gate *gate; /* borrowed; NULL: alone */
    struct mesh_ops ops;
    struct dz_hub *hub;        /* owned */
    struct dz_link *self_link; /* owned: from here to here */
    struct dz_map far;         /* node -> struct far, owned */
    unsigned links;
    struct dz_buf contact;
    uint64_t impostors;
    mesh_detour_fn *detour; /* NULL: none */
    void *detour_arg;
    dz_us detoured_at; /* a frame came through it */
};

/* False, and counted: the envelope names another sender than the one whose key it was. */
bool mesh_is_from(struct mesh *self, struct dz_slice frame, uint64_t node, uint64_t *inc_out);

/* In this life, or in a later one; 0: not known. */
static inline void
far_lives(struct far *far, uint64_t inc)
{
    far->inc = inc > far->inc ? inc : far->inc;
}

/* Something came from it directly. */
void far_is_near(struct far *far);
/* Dials it, if it was not yet and may be. */
void far_reach(struct far *far);
void far_send(struct far *far, uint64_t inc, struct dz_slice frame);
void far_hang_up(struct far *far);
/* Whoever leads the detour says that it is gone. */
void far_leave(struct far *far);

#endif
