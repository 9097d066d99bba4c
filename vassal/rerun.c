/* rerun.c - a generation that goes on from the one before it: what did not fail there counts here.
 *
 * Only who schedules reads the earlier ledger, each time that it begins to.  Without it everything
 * runs, which is said: more work, and no other result. */
#include <inttypes.h>

#include "store/sync.h"
#include "vassal/host.h"

struct pages {
    struct dz_buf *items; /* owned */
    size_t count;
};

static void
pages_fini(struct pages *self)
{
    for (size_t i = 0; i < self->count; i++)
        dz_buf_fini(&self->items[i]);
    dz_free(&self->items);
}

bool
host_carries(const struct host *self)
{
    const struct peers *peers = &self->peers;
    return peers->is_meeting && peers->generation > 0 && peers->previous[0] != '\0' &&
           !peers->is_full;
}

/* Of the server, as they came; or of the home's store. */
static enum dz_rc
carry(struct host *self, struct store_carried *out, struct dz_err *err)
{
    DZ_AUTO(pages_fini) struct pages pages = { 0 };
    if (self->earlier) {
        size_t count;
        const struct dz_buf *came = takeover_pages(self->earlier, &count);
        return store_rows_carry(self->job, came, count, out, err);
    }
    enum dz_rc rc =
        store_rows_pages(self->store, self->peers.previous, &pages.items, &pages.count, err);
    return rc == DZ_OK ? store_rows_carry(self->job, pages.items, pages.count, out, err) : rc;
}

static void
tell(struct host *self, const struct store_carried *carried)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    uint32_t again = carried->failed + carried->missing;
    dz_buf_addf(&text, "generation %" PRIu32 ": ", self->peers.generation);
    if (again == 0)
        dz_buf_addf(&text, "nothing failed and nothing is missing of job %s", self->peers.previous);
    else
        dz_buf_addf(&text, "reruns %" PRIu32 " that failed and %" PRIu32 " missing of job %s",
                    carried->failed, carried->missing, self->peers.previous);
    dz_buf_addf(&text, "; %" PRIu32 " count as they were", carried->passed);
    agent_note(self->agent, 0, dz_buf_slice(&text));
}

void
host_carry(struct host *self)
{
    struct store_carried carried;
    struct dz_err err = { .text = "the store does not answer" };
    if (!host_carries(self) || self->memory.counted)
        return;
    bool is_there = self->url ? self->earlier && takeover_is_good(self->earlier) : true;
    enum dz_rc rc = is_there ? carry(self, &carried, &err) : DZ_CLOSED;
    takeover_destroy(&self->earlier);
    if (rc == DZ_OK) {
        tell(self, &carried);
        return;
    }
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    dz_buf_addf(&text,
                "generation %" PRIu32 ": what job %s counted cannot be read (%s), so everything "
                "runs again",
                self->peers.generation, self->peers.previous, err.text);
    agent_note(self->agent, 1, dz_buf_slice(&text));
}
