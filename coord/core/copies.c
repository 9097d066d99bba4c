/* copies.c - no result has a single copy for long.
 *
 * As long as the store does not have a row, it lies in our ledger and in the spool of the node that told
 * it.  Two are missing one copy: those of this node (its spool and the ledger are one disk), and
 * those of a node that is lost.  They are sent to the first successor, which would need them. */
#include <stdlib.h>
#include <string.h>

#include "coord/core/inside.h"

static struct kept *
nth(const struct coord *self, size_t n)
{
    return &self->kept[self->kept_first + n];
}

static void
set_due(struct coord *self, struct kept *kept, bool is_due)
{
    bool was_open = kept->is_due && !kept->is_copied;
    kept->is_due = is_due;
    bool is_open = kept->is_due && !kept->is_copied;
    self->copies_due += is_open;
    self->copies_due -= was_open;
}

static void
set_copied(struct coord *self, struct kept *kept, bool is_copied)
{
    bool was_open = kept->is_due && !kept->is_copied;
    kept->is_copied = is_copied;
    bool is_open = kept->is_due && !kept->is_copied;
    self->copies_due += is_open;
    self->copies_due -= was_open;
}

void
copies_fini(struct coord *self)
{
    free(self->kept);
    free(self->kept_batches);
    free(self->copy_sent);
}

/* ------------------------------------------------------------------ what is kept */

static void
keep_one(struct coord *self, struct node *teller, const struct coord_record *record)
{
    if (self->kept_first > 0 && self->kept_first + self->kept_count == self->kept_cap) {
        memmove(self->kept, self->kept + self->kept_first, self->kept_count * sizeof(*self->kept));
        self->kept_first = 0;
    }
    GROW(self->kept, self->kept_first + self->kept_count, self->kept_cap);
    struct kept *kept = nth(self, self->kept_count++);
    *kept = (struct kept){ .record = *record, .teller = teller };
    set_due(self, kept, teller->id == self->cfg.node && !DZ_BROKEN(COPY_OWN));
}

void
copies_keep(struct coord *self, struct node *teller, const struct coord_record *records,
            uint32_t count, uint64_t greatest)
{
    if (!self->cfg.has_store)
        return;
    for (uint32_t i = 0; i < count; i++)
        keep_one(self, teller, &records[i]);
    if (self->kb_first > 0 && self->kb_first + self->kb_count == self->kb_cap) {
        memmove(self->kept_batches, self->kept_batches + self->kb_first,
                self->kb_count * sizeof(*self->kept_batches));
        self->kb_first = 0;
    }
    GROW(self->kept_batches, self->kb_first + self->kb_count, self->kb_cap);
    self->kept_batches[self->kb_first + self->kb_count++] =
        (struct kept_batch){ teller, teller->inc, greatest, count };
}

static void
drop_first(struct coord *self)
{
    struct kept *kept = nth(self, 0);
    set_due(self, kept, false);
    self->kept_first++;
    self->kept_count--;
    self->kept_base++;
    self->copy_at -= self->copy_at > 0;
}

void
copies_stored(struct coord *self, uint64_t batch)
{
    while (self->kb_count > 0 && self->kb_base < batch) {
        const struct kept_batch *stored = &self->kept_batches[self->kb_first++];
        self->kb_count--;
        self->kb_base++;
        for (uint32_t i = 0; i < stored->count; i++)
            drop_first(self);
        struct node *teller = stored->teller;
        if (teller->inc == stored->teller_inc && teller->stored < stored->record)
            teller->stored = stored->record;
        node_mark(self, teller);
    }
}

void
copies_orphan(struct coord *self, const struct node *node)
{
    for (size_t i = 0; i < self->kept_count; i++) {
        struct kept *kept = nth(self, i);
        if (kept->holder == node) {
            kept->holder = NULL;
            set_copied(self, kept, false);
        }
        if (kept->teller == node)
            set_due(self, kept, true);
    }
    self->copy_at = 0;
}

/* ------------------------------------------------------------------ sending */

static bool
can_hold(const struct coord *self, const struct node *node)
{
    return node->id != self->cfg.node &&
           (node->state == NODE_MEMBER || node->state == NODE_DRAINED);
}

static struct node *
first_successor(const struct coord *self)
{
    for (size_t i = 0; i < self->node_count; i++)
        if (can_hold(self, self->nodes[i]))
            return self->nodes[i];
    return NULL;
}

/* What was on its way in a session that is over is sent again. */
static void
change_holder(struct coord *self, struct node *holder)
{
    for (size_t i = 0; i < self->kept_count; i++)
        if (!nth(self, i)->is_copied)
            nth(self, i)->holder = NULL;
    self->copy_holder = holder;
    self->copy_session = holder ? holder->sessions : 0;
    self->copy_sent_count = self->copy_acked = 0;
    self->copy_at = 0;
}

static void
add_copy(const struct kept *kept, uint32_t local, struct dz_list *list, struct dz_buf *bytes)
{
    const struct coord_record *it = &kept->record;
    struct dz_item_outcome item = {
        .test = local,
        .attempt = it->what.attempt,
        .exec = it->exec,
        .result = it->result,
        .slot = it->slot,
        .start_us = (uint64_t) it->start_us,
        .setup_us = (uint64_t) it->setup_us,
        .call_us = (uint64_t) it->call_us,
        .teardown_us = (uint64_t) it->teardown_us,
        .digest = it->digest,
        .inc = it->inc,
        .origin = it->node,
        .line = it->line,
    };
    dz_outcome_add(list, bytes, &item);
}

static void
note_sent(struct coord *self, uint64_t number)
{
    GROW(self->copy_sent, self->copy_sent_count, self->copy_sent_cap);
    self->copy_sent[self->copy_sent_count++] = number;
}

/* One message.  False: there was nothing to send. */
static bool
send_some(struct coord *self, struct node *holder, dz_us now)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
    struct dz_msg msg = { .id = DZ_MSG_mesh_copy };
    struct dz_list *list = &msg.as.mesh_copy.outcomes;
    for (; self->copy_at < self->kept_count && list->count < DZ_GRANTS_MAX; self->copy_at++) {
        struct kept *kept = nth(self, self->copy_at);
        if (!kept->is_due || kept->is_copied || kept->holder)
            continue;
        uint32_t local = local_of(self, holder, kept->record.what.test);
        if (local == (uint32_t) NO_TEST) {
            set_due(self, kept, false); /* it could not name the test to anybody */
            continue;
        }
        kept->holder = holder;
        add_copy(kept, local, list, &bytes);
        note_sent(self, self->kept_base + self->copy_at);
    }
    if (list->count == 0)
        return false;
    node_say(self, holder, &msg, now);
    return true;
}

void
copies_flush(struct coord *self, dz_us now)
{
    if (self->copies_due == 0)
        return;
    struct node *holder = self->copy_holder;
    if (!holder || !can_hold(self, holder) || holder->sessions != self->copy_session)
        holder = first_successor(self);
    if (holder != self->copy_holder || (holder && holder->sessions != self->copy_session))
        change_holder(self, holder);
    while (holder && self->copy_at < self->kept_count && dz_flow_has_room(&holder->flow))
        if (!send_some(self, holder, now))
            return;
    if (holder && self->copy_at < self->kept_count)
        holder->is_blocked = true;
}

void
copies_told(struct coord *self, struct node *node, uint64_t count)
{
    if (node != self->copy_holder || node->sessions != self->copy_session)
        return;
    for (; self->copy_acked < count && self->copy_acked < self->copy_sent_count;
         self->copy_acked++) {
        uint64_t number = self->copy_sent[self->copy_acked];
        if (number >= self->kept_base && number - self->kept_base < self->kept_count)
            set_copied(self, nth(self, number - self->kept_base), true);
    }
}

bool
copies_are_safe(const struct coord *self)
{
    return self->copies_due == 0 || !first_successor(self) || DZ_BROKEN(COPY_FIRST);
}
