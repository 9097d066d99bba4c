#include "tests/sim/cells.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "shared/wire/frame.h"
#include "tests/sim/rows.h"

enum table_name { PHASES, NODES, MEMBERS, RANKS, SLOTS };
_Static_assert(SLOTS + 1 == CELL_TABLES, "a place for each table");

static const char *
row_node_or_none(unsigned nth)
{
    return nth == 0 ? "" : row_node(nth - 1);
}

enum end { SCHEDULER, VASSAL, SLOT };

static const struct table {
    const char *title;
    const char *(*row)(unsigned nth);
    enum end end;
} tables[CELL_TABLES] = {
    [PHASES] = { "the scheduler's job", row_phase, SCHEDULER },
    [NODES] = { "a node, as the scheduler sees it", row_node_or_none, SCHEDULER },
    [MEMBERS] = { "a node, as it sees itself", row_member, VASSAL },
    [RANKS] = { "who schedules, as a node sees it", row_rank, VASSAL },
    [SLOTS] = { "a slot of a node", row_slot, SLOT },
};

/* message 0: any. */
static const struct expected {
    enum table_name table;
    const char *row;
    unsigned message;
    bool is_rare;
    const char *why;
} expected[] = {
#define CELL_MESSAGE(end, message)
#define CELL_NEVER(table, row, why)         { table, #row, 0, false, why },
#define CELL_RARE(table, row, message, why) { table, #row, DZ_MSG_mesh_##message, true, why },
#include "tests/sim/cells.def"
#undef CELL_MESSAGE
#undef CELL_NEVER
#undef CELL_RARE
};

static const struct column {
    enum end end;
    enum dz_msg_id message;
} columns[] = {
#define CELL_MESSAGE(end, message) { end, DZ_MSG_mesh_##message },
#define CELL_NEVER(table, row, why)
#define CELL_RARE(table, row, message, why)
#include "tests/sim/cells.def"
#undef CELL_MESSAGE
#undef CELL_NEVER
#undef CELL_RARE
};

static const struct expected *
expected_of(enum table_name table, const char *row, unsigned message)
{
    for (size_t i = 0; i < DZ_LEN(expected); i++) {
        const struct expected *it = &expected[i];
        if (it->table == table && strcmp(it->row, row) == 0 &&
            (it->message == 0 || it->message == message))
            return it;
    }
    return NULL;
}

static bool
is_listed(const struct table *table, unsigned message)
{
    for (size_t c = 0; c < DZ_LEN(columns); c++)
        if (columns[c].end == table->end && (unsigned) columns[c].message == message)
            return true;
    return false;
}

static const char *
short_name(enum dz_msg_id id)
{
    return dz_msg_name(id) + strlen("mesh_");
}

/* ------------------------------------------------------------------ counting */

static void
count(struct cells *self, enum table_name table, const char *row, unsigned message)
{
    unsigned at = 0;
    const char *name = tables[table].row(at);
    while (name && name != row && !(name[0] == '\0' && row[0] == '\0'))
        name = tables[table].row(++at);
    dz_assert(name && at < CELL_ROWS);
    self->hits[table][at][message]++;
    const struct expected *it = expected_of(table, row, message);
    bool is_known = is_listed(&tables[table], message) || tables[table].end == SLOT;
    if ((it && !it->is_rare) || !is_known)
        (void) snprintf(self->wrong, sizeof(self->wrong), "%s met in %s (%s): %s",
                        dz_msg_name((enum dz_msg_id) message), row, tables[table].title,
                        it ? it->why : "it does not go there");
}

/* 0: it has no body that we know. */
static unsigned
message_of(struct dz_slice frame)
{
    unsigned id = frame.len > DZ_MESH_KIND_AT ? frame.ptr[DZ_MESH_KIND_AT] : 0;
    return id < CELL_MESSAGES ? id : 0;
}

void
cells_coord(struct cells *self, const struct coord *coord, struct dz_slice frame)
{
    struct dz_msg_mesh from;
    unsigned message = message_of(frame);
    if (!self || message == 0 || dz_mesh_open(frame, &from) != DZ_OK)
        return;
    count(self, PHASES, coord_state_text(coord), message);
    count(self, NODES, coord_node_text(coord, from.node), message);
}

static void
count_slot(struct cells *self, const struct vassal *vassal, const struct dz_msg_mesh *from)
{
    struct dz_msg msg;
    if (dz_msg_decode(from->body, &msg) != DZ_OK)
        return;
    uint64_t num = msg.id == DZ_MSG_mesh_assign   ? msg.as.mesh_assign.slot
                   : msg.id == DZ_MSG_mesh_revoke ? msg.as.mesh_revoke.slot
                                                  : UINT64_MAX;
    if (num < UINT16_MAX)
        count(self, SLOTS, row_slot(vassal_slot_state(vassal, (unsigned) num)), (unsigned) msg.id);
}

void
cells_vassal(struct cells *self, const struct vassal *vassal, struct dz_slice frame)
{
    struct dz_msg_mesh from;
    unsigned message = message_of(frame);
    if (!self || message == 0 || dz_mesh_open(frame, &from) != DZ_OK ||
        from.to == DZ_MESH_TO_SCHEDULER)
        return;
    count(self, MEMBERS, vassal_state_text(vassal), message);
    count(self, RANKS, vassal_rank_text(vassal), message);
    count_slot(self, vassal, &from);
}

/* ------------------------------------------------------------------ printing */

static unsigned
print_row(const struct cells *self, enum table_name t, unsigned r, bool is_long)
{
    const char *row = tables[t].row(r);
    unsigned empty = 0;
    printf("%-12s", row[0] ? row : "(not known)");
    for (size_t c = 0; c < DZ_LEN(columns); c++) {
        if (columns[c].end != tables[t].end)
            continue;
        unsigned message = columns[c].message;
        uint64_t hits = self->hits[t][r][message];
        const struct expected *it = expected_of(t, row, message);
        bool is_empty = hits == 0 && (!it || (it->is_rare && is_long));
        empty += is_empty;
        if (hits == 0 && it && !it->is_rare)
            printf(" %9s", "-");
        else
            printf(" %8" PRIu64 "%s", hits, is_empty ? "!" : it ? "~" : " ");
    }
    printf("\n");
    return empty;
}

int
cells_print(const struct cells *self, bool is_long)
{
    unsigned empty = 0;
    for (unsigned t = 0; t < CELL_TABLES; t++) {
        printf("\n%s\n%-12s", tables[t].title, "");
        for (size_t c = 0; c < DZ_LEN(columns); c++)
            if (columns[c].end == tables[t].end)
                printf(" %8s ", short_name(columns[c].message));
        printf("\n");
        for (unsigned r = 0; tables[t].row(r); r++)
            empty += print_row(self, (enum table_name) t, r, is_long);
    }
    printf("\ncannot be met (-), or seldom (~):\n");
    for (size_t i = 0; i < DZ_LEN(expected); i++)
        printf("  %s x %s: %s\n", expected[i].row,
               expected[i].message ? short_name((enum dz_msg_id) expected[i].message) : "any",
               expected[i].why);
    printf("%u cells are empty\n", empty);
    return empty > 0;
}
