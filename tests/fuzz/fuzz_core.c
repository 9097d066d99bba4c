/* The cores against a hostile peer and a careless world: the input is a list of (event, time), and
 * what must always hold is asserted after each.
 *
 * The first bytes choose which core is driven.  Events of the driver are given only where its
 * contract allows them; the bytes of messages may be anything, dressed in an envelope that fits so
 * that they get past the door. */
#include <stdlib.h>
#include <string.h>

#include "coord/core/coord.h"
#include "shared/wire/frame.h"
#include "tests/fuzz/target.h"
#include "vassal/core/vassal.h"

enum { TESTS = 12, SLOTS = 3, DIGEST = 7, EVENTS_MAX = 400, BATCHES_MAX = 1024 };

struct input {
    const uint8_t *at;
    size_t left;
};

static uint8_t
byte_of(struct input *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->at++;
}

/* An envelope of the session that the core is most likely in, around any body. */
static void
dress(struct input *in, uint64_t node, uint64_t inc, uint64_t to_inc, struct dz_buf *out)
{
    uint8_t how = byte_of(in);
    size_t len = byte_of(in);
    len = len < in->left ? len : in->left;
    struct dz_msg_mesh envelope = { .job = dz_str("J"),
                                    .epoch_n = how & 3,
                                    .epoch_node = 1,
                                    .epoch_inc = 1,
                                    .node = node,
                                    .inc = inc,
                                    .to_inc = to_inc,
                                    .session = how >> 2 & 3,
                                    .seq = how >> 4,
                                    .ack = how >> 5,
                                    .body = { in->at, len } };
    if ((how & 3) == 0)
        envelope.epoch_node = envelope.epoch_inc = 0;
    in->at += len;
    in->left -= len;
    dz_mesh_seal(&envelope, out);
}

/* ------------------------------------------------------------------ the scheduler */

struct schedule {
    struct coord *coord;      /* owned */
    size_t lens[BATCHES_MAX]; /* records of each batch that waits for its answer */
    uint64_t asked, answered;
    bool is_persisting, is_sealing, is_over;
    dz_us now;
};

static void
give_coord(struct schedule *self, const struct coord_event *event)
{
    struct coord_effects fx;
    if (self->is_over)
        return;
    coord_step(self->coord, event, self->now, &fx);
    coord_check(self->coord);
    for (size_t i = 0; i < fx.count; i++) {
        switch (fx.items[i].kind) {
        case COORD_FX_COUNT:
            self->lens[self->asked++ % BATCHES_MAX] = fx.items[i].as.count.count;
            break;
        case COORD_FX_PERSIST: self->is_persisting = true; break;
        case COORD_FX_SEAL: self->is_sealing = true; break;
        case COORD_FX_DONE:
        case COORD_FX_DEPOSED: self->is_over = true; break;
        default: break;
        }
    }
}

static void
answer_ledger(struct schedule *self, uint8_t how)
{
    if (self->answered == self->asked || self->asked - self->answered > BATCHES_MAX)
        return;
    size_t len = self->lens[self->answered % BATCHES_MAX];
    struct coord_answer *answers = dz_alloc0(len + 1, sizeof(*answers));
    for (size_t i = 0; i < len; i++)
        answers[i] = (struct coord_answer){ .word = (enum dz_word)(how % 3), .is_repeat = how & 4 };
    self->answered++;
    give_coord(self, &(struct coord_event){ .kind = COORD_EV_COUNTED,
                                            .as.counted = { self->answered, answers } });
    free(answers);
}

static void
collect(struct schedule *self)
{
    static const char *const ids[TESTS] = { "a.py::A::1", "a.py::A::2", "a.py::B::1", "a.py::B::2",
                                            "a.py::c",    "b.py::1",    "b.py::2",    "b.py::3",
                                            "c.py::1",    "c.py::2",    "c.py::3",    "c.py::4" };
    struct coord_test tests[TESTS];
    for (uint32_t t = 0; t < TESTS; t++)
        tests[t] = (struct coord_test){ .id = dz_str(ids[t]), .order = t, .est_us = t % 3 * 900 };
    give_coord(self, &(struct coord_event){ .kind = COORD_EV_MANIFEST,
                                            .as.manifest = { tests, TESTS, DIGEST } });
}

static void
hello(struct schedule *self, uint64_t node, uint64_t inc)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf body = { 0 };
    DZ_AUTO(dz_buf_fini) struct dz_buf frame = { 0 };
    struct dz_msg msg = { .id = DZ_MSG_mesh_hello,
                          .as.mesh_hello = { .slots = SLOTS, .total = TESTS, .digest = DIGEST } };
    dz_msg_encode(&msg, &body);
    dz_mesh_seal(
        &(struct dz_msg_mesh){
            .job = dz_str("J"), .node = node, .inc = inc, .body = dz_buf_slice(&body) },
        &frame);
    give_coord(self, &(struct coord_event){ .kind = COORD_EV_MESSAGE,
                                            .as.message = dz_buf_slice(&frame) });
}

static void
coord_event(struct schedule *self, struct input *in)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf frame = { 0 };
    uint8_t what = byte_of(in);
    switch (what % 8) {
    case 0: give_coord(self, &(struct coord_event){ .kind = COORD_EV_TICK }); break;
    case 1: hello(self, 1 + what / 8 % 3, 1 + what / 32); break;
    case 2: answer_ledger(self, what / 8); break;
    case 3:
        if (self->is_persisting)
            give_coord(self, &(struct coord_event){ .kind = COORD_EV_PERSISTED });
        self->is_persisting = false;
        break;
    case 4:
        if (self->is_sealing)
            give_coord(self, &(struct coord_event){ .kind = COORD_EV_SEALED });
        self->is_sealing = false;
        break;
    case 5:
        give_coord(self, &(struct coord_event){ .kind = COORD_EV_GONE,
                                                .as.gone = { 1 + what / 8 % 3, 1 + what / 32 } });
        break;
    default:
        dress(in, 1 + what / 8 % 3, 1 + what / 32 % 2, 1, &frame);
        give_coord(self, &(struct coord_event){ .kind = COORD_EV_MESSAGE,
                                                .as.message = dz_buf_slice(&frame) });
    }
}

static void
drive_coord(struct input *in)
{
    struct coord_cfg cfg = { .job = dz_str("J"),
                             .node = 1,
                             .inc = 1,
                             .strikes = 2,
                             .placement = (enum coord_placement)(byte_of(in) % 4) };
    struct schedule self = { .coord = coord_new(&cfg), .now = 1 };
    give_coord(&self, &(struct coord_event){ .kind = COORD_EV_START });
    collect(&self);
    for (unsigned i = 0; i < EVENTS_MAX && in->left > 0; i++) {
        self.now += (dz_us) byte_of(in) * 500;
        coord_event(&self, in);
    }
    coord_destroy(&self.coord);
}

/* ------------------------------------------------------------------ the vassal */

struct service {
    struct vassal *vassal; /* owned */
    unsigned unputs[SLOTS];
    uint64_t journaled;
    uint64_t exec;
    dz_us now;
};

static void
give_vassal(struct service *self, const struct vassal_event *event)
{
    struct vassal_effects fx;
    vassal_step(self->vassal, event, self->now, &fx);
    vassal_check(self->vassal);
    for (size_t i = 0; i < fx.count; i++) {
        if (fx.items[i].kind == VASSAL_FX_UNPUT)
            self->unputs[fx.items[i].as.unput.slot]++;
        else if (fx.items[i].kind == VASSAL_FX_JOURNAL)
            self->journaled = fx.items[i].as.journal.record;
    }
}

static void
worker_event(struct service *self, uint8_t what, unsigned slot)
{
    struct dz_grant grant = { what / 16, 0 };
    struct vassal_event event = { .kind = VASSAL_EV_RESULT };
    switch (what % 8) {
    case 0: event = (struct vassal_event){ .kind = VASSAL_EV_SLOT_UP, .as.slot.slot = slot }; break;
    case 1:
        event = (struct vassal_event){ .kind = VASSAL_EV_SLOT_ASKS, .as.slot.slot = slot };
        break;
    case 2:
        event = (struct vassal_event){ .kind = VASSAL_EV_SLOT_DOWN,
                                       .as.down = { .slot = slot,
                                                    .cause = (enum dz_cause)(what % DZ_CAUSES),
                                                    .has_ran = what & 64,
                                                    .ran = grant } };
        break;
    case 3:
        if (self->unputs[slot] == 0)
            return;
        self->unputs[slot]--;
        event =
            (struct vassal_event){ .kind = VASSAL_EV_UNPUT, .as.back = { slot, &grant, what & 1 } };
        break;
    case 4:
        event = (struct vassal_event){ .kind = VASSAL_EV_ABSENT, .as.back = { slot, &grant, 1 } };
        break;
    default:
        event.as.result = (struct vassal_outcome){
            .what = grant, .result = DZ_RESULT_OK, .slot = slot, .exec = ++self->exec
        };
    }
    give_vassal(self, &event);
}

static void
vassal_event(struct service *self, struct input *in)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf frame = { 0 };
    uint8_t what = byte_of(in);
    switch (what % 8) {
    case 0: give_vassal(self, &(struct vassal_event){ .kind = VASSAL_EV_TICK }); break;
    case 1:
        give_vassal(self, &(struct vassal_event){ .kind = VASSAL_EV_JOURNALED,
                                                  .as.journaled.record = self->journaled });
        break;
    case 2:
        give_vassal(self,
                    &(struct vassal_event){ .kind = VASSAL_EV_STOP, .as.stop.how = what / 8 % 2 });
        break;
    case 3:
        if (what == 3)
            give_vassal(self, &(struct vassal_event){ .kind = VASSAL_EV_LEAVE });
        break;
    case 4:
    case 5: worker_event(self, byte_of(in), what / 8 % SLOTS); break;
    default:
        dress(in, 1, 1, 9, &frame);
        give_vassal(self, &(struct vassal_event){ .kind = VASSAL_EV_MESSAGE,
                                                  .as.message = dz_buf_slice(&frame) });
    }
}

static void
drive_vassal(struct input *in)
{
    struct vassal_cfg cfg = { .job = dz_str("J"), .node = 2, .inc = 9, .slots = SLOTS };
    struct service self = { .vassal = vassal_new(&cfg), .now = 1 };
    give_vassal(&self, &(struct vassal_event){ .kind = VASSAL_EV_MANIFEST,
                                               .as.manifest = { TESTS, DIGEST, 0 } });
    for (unsigned i = 0; i < EVENTS_MAX && in->left > 0; i++) {
        self.now += (dz_us) byte_of(in) * 500;
        vassal_event(&self, in);
    }
    vassal_destroy(&self.vassal);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = { data, size };
    if (byte_of(&in) % 2)
        drive_coord(&in);
    else
        drive_vassal(&in);
    return 0;
}
